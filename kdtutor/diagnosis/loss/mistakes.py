"""From the analysis of a loss to its mistakes: each check adds what it finds, by the names of findings.md."""

import math

from kdtutor.diagnosis.loss.analysis import Analysis
from kdtutor.diagnosis.loss.catalogue import Findings
from kdtutor.diagnosis.loss.forms import DIVERGENCES, MEAN_OVER_CLASSES, OTHER_HARD_TERMS, Hard, Soft, other_method
from kdtutor.diagnosis.loss.observation import SEQUENCES
from kdtutor.diagnosis.loss.terms import CLOSE, Term
from kdtutor.diagnosis.loss.weights import check_weights

REVERSE_CROSS_ENTROPY = Soft("ce", "softmax", "log_softmax")  # -sum p_s log p_t
WRONG_INPUTS = {"softmax": "student_probabilities", "logits": "student_logits_raw"}
WRONG_TARGETS = {"log_softmax": "teacher_log_probabilities", "logits": "teacher_logits_raw", "argmax": "hard_targets"}
WRONG_HARD = {"softmax_twice": "softmax_twice", "nll_p": "nll_of_probabilities", "teacher": "hard_on_teacher"}
STUDENT_TERMS_IN_WORDS = {
    "entropy": "its entropy, a reward for being sure",
    "-entropy": "its negative entropy, a penalty for being sure",
    "square": "the squares of its logits, which keeps them small",
    "-square": "minus the squares of its logits",
}


def find_mistakes(analysis: Analysis, alpha: str | None, findings: Findings) -> None:
    """Add what is wrong with a loss.

    alpha: the term that it is to weigh, "soft" or "hard"; None for the one that the argument's name says, if it does.
    """
    decomposition, symptoms, swapped = analysis.decomposition, analysis.symptoms, analysis.swapped
    soft, hard = decomposition.soft, decomposition.hard

    findings.add_where(
        student_teacher_swapped=swapped,
        no_gradient=symptoms.no_gradient and not symptoms.nan and not swapped,
        in_place=symptoms.in_place,
        teacher_with_itself=symptoms.soft_without_student,
        argmax=symptoms.hard_without_gradient,
    )
    if soft:
        check_soft_form(soft.form, swapped, findings)
        check_temperatures(soft, analysis.loss.takes("temperature"), findings)
    if hard:
        check_hard_form(hard, findings)
    if not (swapped or symptoms.no_gradient):
        for name, term in (("soft", soft), ("hard", hard)):
            if term and not term.trains and term.form != Hard("teacher"):
                findings.add("detached", term=name)

    if decomposition.row_weights is not None:
        highest = (decomposition.row_weights / decomposition.row_weights.mean(0)).nan_to_num().max()
        findings.add("weighted", high=f"{highest:.3g}")
    elif not decomposition.why:
        check_reductions(analysis, findings)
        check_weights(analysis, alpha, findings)

    check_numbers(analysis, findings)
    findings.add_where(label_smoothing="smoothing" in decomposition.remainder)
    if decomposition.remainder in STUDENT_TERMS_IN_WORDS:
        findings.add("student_term", form=STUDENT_TERMS_IN_WORDS[decomposition.remainder])
    check_jumps(analysis, findings)
    if analysis.edges.mixture_jumps:
        findings.add("mixture_jumps", beta=analysis.edges.mixture_jumps)
    findings.add_where(teacher_gradient=symptoms.teacher_gradient and not swapped)


def check_soft_form(form: Soft, swapped: bool, findings: Findings) -> None:
    """Which divergence the soft term is, in which direction, and what stands on its two sides."""
    method = other_method(form)
    if method:
        findings.add("other_term", form=method[0].format(beta=form.beta))
        return

    if form == REVERSE_CROSS_ENTROPY:
        findings.add("reverse_cross_entropy")
        return
    if form.reverse:
        right_sides = form == Soft(form.kernel, reverse=True)
        findings.add_where(reverse_kl=right_sides and not swapped, kl_arguments_swapped=not (right_sides or swapped))
    else:
        if form.input in WRONG_INPUTS:
            findings.add(WRONG_INPUTS[form.input])
        if form.target in WRONG_TARGETS and form.kernel != "kl_log_target":
            findings.add(WRONG_TARGETS[form.target])

    findings.add_where(standardised=form.standardised)
    sides = (form.input, form.target)
    findings.add_where(
        log_target_with_probabilities=form.kernel == "kl_log_target",
        softmax_twice="softmax_twice" in sides,
        softmax_over_batch="softmax_over_batch" in sides,
        soft_cross_entropy=form == Soft("ce"),
    )


def check_temperatures(soft: Term, is_argument: bool, findings: Findings) -> None:
    """What the temperature divides. is_argument: whether the loss takes it, so that it should divide something."""
    student, teacher = soft.temperatures
    if soft.form.target in ("argmax", "logits"):
        return  # there a temperature is a factor, or nothing

    findings.add_where(
        temperature_unused=is_argument and student == teacher == 1.0,
        temperature_multiplied="1/T" in soft.temperatures,
        temperature_twice="T²" in soft.temperatures,
        temperature_teacher_only=student == 1.0 != teacher,
        temperature_student_only=teacher == 1.0 != student,
    )
    if soft.temperature_is_fixed:
        if 1.0 not in soft.temperatures and student != teacher:
            findings.add("temperature_differs", ts=f"{student:g}", tt=f"{teacher:g}")
        elif min(soft.temperatures) < 1:
            findings.add("sharpened", ts=f"{min(soft.temperatures):.4g}")


def check_hard_form(hard: Term, findings: Findings) -> None:
    """Whether the hard term is cross-entropy, on the student's logits at T = 1."""
    kernel = hard.form.kernel
    if kernel in WRONG_HARD:
        findings.add(WRONG_HARD[kernel])
    if kernel in OTHER_HARD_TERMS:
        findings.add("other_hard", form=OTHER_HARD_TERMS[kernel])
    findings.add_where(class_weights=hard.by_class)
    if hard.student_temperature != 1.0:
        findings.add("temperature_on_hard")


def check_reductions(analysis: Analysis, findings: Findings) -> None:
    """How each term is averaged, and whether both are averaged alike."""
    terms = analysis.decomposition.terms
    for term in terms:
        findings.add_where(
            reduction_mean=term.class_power == -1
            and not analysis.edges.mean_by_shape
            and term.form.kernel not in MEAN_OVER_CLASSES,
            batchmean_on_sequences=term.length_power == 0 and term.batch_power == -1,
            batch_twice=term.batch_power == -2,
        )

    batch_powers = {term.batch_power for term in terms}
    findings.add_where(sum=batch_powers == {0}, sum_with_mean=0 in batch_powers and batch_powers != {0})

    edges = analysis.edges
    findings.add_where(
        mean_by_shape=edges.mean_by_shape,
        nan_without_tokens=edges.nan_without_tokens,
    )
    if edges.on_padding:
        findings.add("soft_on_padding", as_note=not edges.expects_padding)
    ratio, length = edges.on_sequences, SEQUENCES[0][1]
    if ratio is not None:
        as_note = not analysis.edges.flattens
        if math.isnan(ratio):
            findings.add("other_on_sequences", as_note=as_note)
        elif abs(ratio - length) < CLOSE:  # L times too strong
            findings.add("batchmean_on_sequences", as_note=as_note)


def check_numbers(analysis: Analysis, findings: Findings) -> None:
    """NaN, infinity and clamped numbers."""
    soft, symptoms, edges = analysis.decomposition.soft, analysis.symptoms, analysis.edges
    target = soft.form.target if soft else None
    findings.add_where(
        nan=symptoms.nan and target not in ("log_softmax", "logits"),
        clamped=edges.clamped and target != "logits",
    )
    if edges.underflow and not symptoms.nan:
        proper_reverse = soft and soft.form == Soft(soft.form.kernel, reverse=True)
        hintons = not soft or (soft.form.kernel in DIVERGENCES and (not soft.form.reverse or proper_reverse))
        findings.add("underflow", as_note=not hintons)  # in other methods it is a risk to know of


def check_jumps(analysis: Analysis, findings: Findings) -> None:
    """Where a weight isn't the formula's: is T², or T, all that is missing there?"""
    soft = analysis.decomposition.soft
    temperature = analysis.observation.temperature
    if soft and not analysis.loss.takes("temperature"):
        temperature = soft.student_temperature  # it is fixed inside

    for jump in analysis.edges.jumps:
        ratio = jump.weight / jump.expected if jump.expected else 0.0
        squares = any(abs(ratio / temperature**power - 1) < CLOSE for power in (2, -2, 1, -1))
        if jump.where == "without labels" and not squares:
            continue
        name = "branch"
        if squares and not jump.where.startswith("with T"):
            name = "t2_in_one_branch"
        weight = "unknown" if math.isnan(jump.weight) else f"{jump.weight:.4g}"
        findings.add(name, where=jump.where, is_=weight, would=f"{jump.expected:.4g}")
