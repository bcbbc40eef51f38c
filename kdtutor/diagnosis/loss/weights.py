"""Mistakes in the weights of the two terms: alpha, T², constant factors, signs."""

import re

from kdtutor.diagnosis.loss.analysis import Analysis
from kdtutor.diagnosis.loss.catalogue import Findings
from kdtutor.diagnosis.loss.forms import DIVERGENCES
from kdtutor.diagnosis.loss.terms import CLOSE, Term

# Words in the name of an argument that say which term it weighs.
WEIGHS = {"soft": "soft|kd|dist", "hard": "hard|ce"}
# Powers of T before the soft term that have names of their own.
POWERS_OF_T = {0: "t2_missing", 1: "t_for_t2"}
# With T and alpha fixed inside, weights that sum to one with these powers of T in the soft and the hard one.
READINGS = ((2, 0, None), (0, 0, "t2_missing"), (1, 0, "t_for_t2"), (2, 2, "t2_on_hard"))


def check_weights(analysis: Analysis, alpha: str | None, findings: Findings) -> None:
    """What is wrong, or worth a note, in how the terms are weighted; `alpha` as in `diagnose`."""
    soft, hard = analysis.decomposition.soft, analysis.decomposition.hard
    loss, symptoms = analysis.loss, analysis.symptoms

    if symptoms.no_teacher and hard and not symptoms.nan:
        # Has the hard term a weight that leaves room for a soft one?
        weighted = hard.slope or not _same(hard.intercept, 1)
        unused = bool(weighted) and "smoothing" not in analysis.decomposition.remainder
        findings.add_where(teacher_unused=unused, teacher_ignored=not unused)
    if not soft:
        return

    negative = False
    for name, term in (("soft", soft), ("hard", hard)):
        if term and term.trains and term.weight(0.3) < 0 and term.weight(0.8) < 0:
            findings.add("sign", term=name)
            negative = True

    if loss.takes("alpha") and not any(term.slope for term in analysis.decomposition.terms):
        findings.add("alpha_unused")
    if negative:
        return
    if soft.slope:
        check_alpha(soft, hard, loss.names.get("alpha", "alpha"), alpha, findings)

    # With the temperature on the teacher's side alone, the student's gradient doesn't shrink with T.
    teacher_only = soft.student_temperature == 1.0 and (loss.takes("temperature") or soft.teacher_temperature != 1.0)
    if soft.form.kernel in DIVERGENCES and soft.form.target not in ("argmax", "logits") and not teacher_only:
        alone = not hard and not symptoms.hard_without_gradient
        check_squares(soft, hard, alone, findings)


def _same(one: float, other: float) -> bool:
    return abs(one - other) < CLOSE


def check_alpha(soft: Term, hard: Term | None, name: str, declared: str | None, findings: Findings) -> None:
    """Whether alpha weighs the term that it is meant to: the one that is declared, else the one that its name says."""
    if not (hard and hard.slope):
        if soft.slope < 0 and declared == "soft":
            findings.add("alpha_swapped")
        return

    said = [term for term, words in WEIGHS.items() if re.search(words, name.lower())]
    meaning = declared or next(iter(said), None)
    if _same(soft.slope / soft.largest_weight, hard.slope / hard.largest_weight):
        findings.add("alpha_on_both")
    elif soft.slope < 0 < hard.slope and meaning != "hard":
        findings.add("alpha_swapped", as_note=meaning != "soft")
    elif hard.slope < 0 < soft.slope and meaning == "hard":
        findings.add("alpha_swapped")


def check_squares(soft: Term, hard: Term | None, alone: bool, findings: Findings) -> None:
    """Whether T² stands where it belongs. alone: there is no hard term for it to be balanced with."""
    temperature = soft.student_temperature
    if soft.temperature_is_fixed and not soft.slope and not alone:
        if hard:
            _check_fixed_weights(soft, hard, temperature, findings)
        return

    hard_power = 0.0
    if soft.temperature_is_fixed:
        power, constant = _read_power(soft.largest_weight, temperature)
        if hard and temperature != 1 and _same(hard.largest_weight / temperature**2, 1):
            hard_power = 2.0
    else:
        power, constant = soft.temperature_power, soft.largest_weight
        if hard:
            hard_power = hard.temperature_power

    divided = hard_power != 0 and power - hard_power == 2
    wrong_power = power != 2 and not divided
    if wrong_power and not alone:
        findings.add(POWERS_OF_T.get(power, "t_power"), power=f"{power:g}")
    findings.add_where(
        divided=divided,
        t2_left_to_you=wrong_power and alone,
        t2_on_hard=hard_power == 2 and not divided,
    )

    if soft.slope and not _same(constant, 1):
        effect = f"The soft term counts {constant:.4g} times as much."
        if not hard or _same(hard.largest_weight, constant):
            effect = "It acts as a learning rate."
        findings.add("constant_factor", factor=f"{constant:.4g}", effect=effect)


def _read_power(weight: float, temperature: float) -> tuple[int, float]:
    """The power of a known T that a weight is, T², 1 or T; else T² and a constant factor."""
    for power in (2, 0, 1):
        if _same(weight / temperature**power, 1):
            return power, 1.0
    return 2, weight / temperature**2


def _check_fixed_weights(soft: Term, hard: Term, temperature: float, findings: Findings) -> None:
    """T and alpha are fixed inside: in which reading do the two weights sum to one?"""
    without_square = soft.intercept / temperature**2
    equal = temperature != 1 and _same(without_square, hard.intercept) and not _same(2 * hard.intercept, 1)
    if equal:  # (T² KL + CE) / n, even where soft and hard happen to sum to one
        return

    for soft_power, hard_power, finding in READINGS:
        if _same(soft.intercept / temperature**soft_power + hard.intercept / temperature**hard_power, 1):
            if finding:
                findings.add(finding)
            return

    if temperature != 1 and _same(soft.intercept, hard.intercept):
        findings.add("t2_missing")
    elif not _same(without_square, hard.intercept):
        share = without_square / (without_square + hard.intercept)
        findings.add("weights", soft=f"{soft.intercept:.4g}", hard=f"{hard.intercept:.4g}", share=f"{share:.3g}")
