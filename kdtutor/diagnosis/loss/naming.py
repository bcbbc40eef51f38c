"""From the parts of a loss to the names of its mistakes, and to its formula in words and in LaTeX."""

import math

from kdtutor.diagnosis.loss.balance import DIVERGENCES, Named, weights
from kdtutor.diagnosis.loss.formulas import Hard, Soft
from kdtutor.diagnosis.loss.parts import SEQUENCES, Dissection
from kdtutor.diagnosis.loss.probe import Probe
from kdtutor.diagnosis.loss.recognition import Part

FORMS = {
    "mse": "the squared distance of the logits",
    "mse_p": "the squared distance of the probabilities",
    "mse_log": "the squared distance of the log-probabilities",
    "l1": "the absolute distance of the logits",
    "l1_p": "the absolute distance of the probabilities",
    "smooth_l1": "the smooth L1 distance of the logits",
    "cosine": "one minus the cosine of the logits",
    "symmetric": "KL in both directions, added up",
    "jsd": "the generalised Jensen-Shannon divergence, beta = {beta:g}",
    "skew": "KL to a mixture that holds {beta:g} of the teacher",
    "brier": "the squared distance of probabilities and one-hot labels",
    "bce": "a yes or no for each class (binary cross-entropy)",
}
FORMS_OF_HARD = FORMS | {"mse": "the squared distance of logits and one-hot labels"}
SLIPS_OF_A = {"p": "student_probabilities", "raw": "student_logits_raw"}
SLIPS_OF_Q = {"log": "teacher_log_probabilities", "raw": "teacher_logits_raw", "hard": "hard_targets"}
SLIPS_OF_HARD = {"twice": "softmax_twice", "nll_p": "nll_of_probabilities", "teacher": "hard_on_teacher"}
REST = {  # with plus and with minus
    "entropy": ("its negative entropy, a penalty for being sure", "its entropy, a reward for being sure"),
    "square": ("the squares of its logits, which keeps them small", "minus the squares of its logits"),
}


def names(found: Dissection, probe: Probe, alpha: str | None) -> Named:
    """The names of `catalogue` that hold, with the words that their sentences want. alpha: "soft", "hard", or None
    for the meaning that the argument's name gives, if any."""
    flags, soft, hard = found.flags, found.soft, found.hard
    swapped = bool(soft and soft.form.reverse and not soft.flows and "teacher_gradient" in flags)
    if swapped:
        yield "student_teacher_swapped", {}
    elif "no_gradient" in flags and "nan" not in flags:
        yield "no_gradient", {}
    if "in_place" in flags:
        yield "in_place", {}
    if "soft_without_student" in flags:
        yield "teacher_with_itself", {}
    if "hard_without_gradient" in flags:
        yield "argmax", {}
    if soft:
        yield from _soft_form(soft, swapped)
        yield from _temperatures(soft)
    if hard:
        yield from _hard_form(hard)
    for term, part in (("soft", soft), ("hard", hard)):
        if part and not (part.flows or swapped or "no_gradient" in flags or part.form == Hard("teacher")):
            yield "detached", {"term": term}
    if found.weights is not None:
        highest = (found.weights / found.weights.mean(0)).nan_to_num().max()
        yield "weighted", {"high": f"{highest:.3g}"}
    elif not found.why:
        yield from _reductions(found)
        yield from weights(found, probe, alpha)
    if "nan" in flags and not (soft and soft.form.q in ("log", "raw")):
        yield "nan", {}
    if "underflow" in flags and "nan" not in flags:
        hintons = not soft or (soft.form.kernel in DIVERGENCES and not soft.form.reverse)
        yield "underflow", {"sure": hintons}  # in other methods it is a risk to know of
    if "clamped" in flags and not (soft and soft.form.q == "raw"):
        yield "clamped", {}
    yield from _rest(found)
    yield from _branches(found)
    if "teacher_gradient" in flags and not swapped:
        yield "teacher_gradient", {}


def _soft_form(soft: Part, swapped: bool) -> Named:
    form = soft.form
    if form.kernel not in DIVERGENCES:
        yield "other_term", {"form": FORMS[form.kernel].format(beta=form.beta)}
        return
    if form.reverse and not swapped:
        yield ("reverse_kl" if (form.a, form.q) == ("log", "p") else "kl_arguments_swapped"), {}
    elif not form.reverse:
        if form.a in SLIPS_OF_A:
            yield SLIPS_OF_A[form.a], {}
        if form.q in SLIPS_OF_Q and form.kernel != "kl_log":
            yield SLIPS_OF_Q[form.q], {}
    if form.kernel == "kl_log":
        yield "log_target_with_probabilities", {}
    for side, name in (("twice", "softmax_twice"), ("batch", "softmax_over_batch")):
        if side in (form.a, form.q):
            yield name, {}
    if form == Soft("ce"):
        yield "soft_cross_entropy", {}


def _temperatures(soft: Part) -> Named:
    ts, tt = soft.ts, soft.tt
    if soft.form.kernel in ("mse", "l1", "cosine", "smooth_l1") or soft.form.q in ("hard", "raw"):
        return
    if isinstance(ts, str):
        if ts == tt == "1":
            yield "temperature_unused", {}
        if "1/T" in (ts, tt):
            yield "temperature_multiplied", {}
        if "T²" in (ts, tt):
            yield "temperature_twice", {}
    elif 1 not in (ts, tt) and ts != tt:
        yield "temperature_differs", {"ts": f"{ts:g}", "tt": f"{tt:g}"}
    elif min(ts, tt) < 1:
        yield "sharpened", {"ts": f"{min(ts, tt):.4g}"}
    one = ("1", 1.0)
    if (ts in one) != (tt in one):
        yield ("temperature_teacher_only" if ts in one else "temperature_student_only"), {}


def _hard_form(hard: Part) -> Named:
    kernel = hard.form.kernel
    if kernel in SLIPS_OF_HARD:
        yield SLIPS_OF_HARD[kernel], {}
    if kernel in ("brier", "bce", "mse"):
        yield "other_hard", {"form": FORMS_OF_HARD[kernel]}
    if hard.ts not in ("1", 1.0):
        yield "temperature_on_hard", {}


def _reductions(found: Dissection) -> Named:
    """How each term is averaged, and whether both are averaged alike."""
    averaged = {part.batch for part in found.parts}
    for part in found.parts:
        by_class = part.form.kernel in ("mse", "mse_p", "mse_log", "l1", "l1_p", "smooth_l1", "brier", "bce")
        if part.classes == -1 and not by_class:
            yield "reduction_mean", {}
        if part.length == 0 and part.batch == -1:
            yield "batchmean_on_sequences", {}
        if part.batch == -2:
            yield "batch_twice", {}
    if averaged == {0.0}:
        yield "sum", {}
    elif 0.0 in averaged:
        yield "sum_with_mean", {}
    if found.sequences is not None and math.isnan(found.sequences):
        yield "other_on_sequences", {"sure": "flattens" in found.flags}
    elif found.sequences and abs(found.sequences - SEQUENCES[0][1]) < 1e-3:  # L times too strong
        yield "batchmean_on_sequences", {"sure": "flattens" in found.flags}


def _rest(found: Dissection) -> Named:
    if found.rest == "smoothing":
        yield "label_smoothing", {}
    elif found.rest in REST:
        yield "student_term", {"form": REST[found.rest][found.share < 0]}


def _branches(found: Dissection) -> Named:
    for where, (is_, would) in found.jumps.items():
        t = found.soft.ts if found.soft and isinstance(found.soft.ts, float) else found.seen.temperature
        ratio = is_ / would if would else 0.0
        squares = [t**p for p in (2, -2, 1, -1)]
        words = {"where": f"with {where}", "is_": "unknown" if is_ != is_ else f"{is_:.4g}", "would": f"{would:.4g}"}
        if where == "without labels":
            words["where"] = where
            if not any(abs(ratio / one - 1) < 1e-3 for one in squares):
                continue
        square = not where.startswith("T") and any(abs(ratio / x - 1) < 1e-3 for x in squares)
        yield ("t2_in_one_branch" if square else "branch"), words
