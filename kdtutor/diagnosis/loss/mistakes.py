"""From the analysis of a loss to its mistakes: each check adds what it finds, by the names of findings.md."""

import math

from kdtutor.diagnosis.loss.analysis import Analysis
from kdtutor.diagnosis.loss.catalogue import Findings
from kdtutor.diagnosis.loss.forms import DIVERGENCES, OTHER_HARD_TERMS, STUDENT_TERMS, Hard, Soft, other_method
from kdtutor.diagnosis.loss.observation import SEQUENCES
from kdtutor.diagnosis.loss.terms import CLOSE, Term
from kdtutor.diagnosis.loss.weights import check_weights

WRONG_INPUTS = {"softmax": "student_probabilities", "logits": "student_logits_raw"}
WRONG_TARGETS = {"log_softmax": "teacher_log_probabilities", "logits": "teacher_logits_raw", "argmax": "hard_targets"}
WRONG_SIDES = {"softmax_twice": "softmax_twice", "softmax_over_batch": "softmax_over_batch"}
WRONG_HARD = {"softmax_twice": "softmax_twice", "nll_p": "nll_of_probabilities", "teacher": "hard_on_teacher"}


def find_mistakes(analysis: Analysis, alpha: str | None, findings: Findings, *, exchanged: bool) -> None:
    """Add what is wrong with a loss.

    alpha: the term that it is to weigh, "soft" or "hard"; None for the one that the argument's name says, if it does.
    exchanged: whether the loss was analysed with student and teacher exchanged.
    """
    soft, hard = analysis.decomposition.soft, analysis.decomposition.hard

    check_inputs(analysis, exchanged, findings)
    if soft:
        check_soft_form(soft.form, findings)
        check_temperatures(soft, analysis.loss.takes("temperature"), findings)
    if hard:
        check_hard_form(hard, findings)
    check_gradients(analysis, exchanged, findings)

    if analysis.decomposition.row_weights is not None:
        row_weights = analysis.decomposition.row_weights
        highest = (row_weights / row_weights.mean(0)).nan_to_num().max()
        findings.add("weighted", high=f"{highest:.3g}")
    elif not analysis.decomposition.why:
        check_reductions(analysis, findings)
        check_weights(analysis, alpha, findings)

    check_numbers(analysis, findings)
    check_remainder(analysis, findings)
    check_jumps(analysis, findings)
    if analysis.symptoms.teacher_gradient and not exchanged:
        findings.add("teacher_gradient")


def check_inputs(analysis: Analysis, exchanged: bool, findings: Findings) -> None:
    symptoms = analysis.symptoms
    if exchanged:
        findings.add("student_teacher_swapped")
    elif symptoms.no_gradient and not symptoms.nan:
        findings.add("no_gradient")
    if symptoms.in_place:
        findings.add("in_place")
    if symptoms.soft_without_student:
        findings.add("teacher_with_itself")
    if symptoms.hard_without_gradient:
        findings.add("argmax")


def check_soft_form(form: Soft, findings: Findings) -> None:
    method = other_method(form)
    if method:
        findings.add("other_term", form=method[0].format(beta=form.beta))
        return

    if form == Soft(form.kernel, reverse=True):
        findings.add("reverse_kl")
    elif form.reverse:
        findings.add("kl_arguments_swapped")
    else:
        if form.input in WRONG_INPUTS:
            findings.add(WRONG_INPUTS[form.input])
        if form.target in WRONG_TARGETS and form.kernel != "kl_log_target":
            findings.add(WRONG_TARGETS[form.target])

    if form.kernel == "kl_log_target":
        findings.add("log_target_with_probabilities")
    for side in (form.input, form.target):
        if side in WRONG_SIDES:
            findings.add(WRONG_SIDES[side])
    if form == Soft("ce"):
        findings.add("soft_cross_entropy")


def check_temperatures(soft: Term, is_argument: bool, findings: Findings) -> None:
    """What the temperature divides. is_argument: whether the loss takes it, so that it should divide something."""
    student, teacher = soft.temperatures
    if soft.form.target in ("argmax", "logits"):
        return  # there a temperature is a factor, or nothing

    if is_argument and student == teacher == 1.0:
        findings.add("temperature_unused")
    if "1/T" in soft.temperatures:
        findings.add("temperature_multiplied")
    if "T²" in soft.temperatures:
        findings.add("temperature_twice")
    if not isinstance(student, str) and not isinstance(teacher, str):
        if 1.0 not in soft.temperatures and student != teacher:
            findings.add("temperature_differs", ts=f"{student:g}", tt=f"{teacher:g}")
        elif min(soft.temperatures) < 1:
            findings.add("sharpened", ts=f"{min(soft.temperatures):.4g}")

    if student == 1.0 != teacher:
        findings.add("temperature_teacher_only")
    if teacher == 1.0 != student:
        findings.add("temperature_student_only")


def check_hard_form(hard: Term, findings: Findings) -> None:
    kernel = hard.form.kernel
    if kernel in WRONG_HARD:
        findings.add(WRONG_HARD[kernel])
    if kernel in OTHER_HARD_TERMS:
        findings.add("other_hard", form=OTHER_HARD_TERMS[kernel])
    if hard.student_temperature != 1.0:
        findings.add("temperature_on_hard")


def check_gradients(analysis: Analysis, exchanged: bool, findings: Findings) -> None:
    """Whether the student receives the gradient of each term, where it receives one at all."""
    if exchanged or analysis.symptoms.no_gradient:
        return
    for name, term in (("soft", analysis.decomposition.soft), ("hard", analysis.decomposition.hard)):
        if term and not term.trains and term.form != Hard("teacher"):
            findings.add("detached", term=name)


def check_reductions(analysis: Analysis, findings: Findings) -> None:
    """How each term is averaged, and whether both are averaged alike."""
    terms = analysis.decomposition.terms
    for term in terms:
        if term.class_power == -1 and not term.form.mean_over_classes:
            findings.add("reduction_mean")
        if term.length_power == 0 and term.batch_power == -1:
            findings.add("batchmean_on_sequences")
        if term.batch_power == -2:
            findings.add("batch_twice")

    batch_powers = {term.batch_power for term in terms}
    if batch_powers == {0}:
        findings.add("sum")
    elif 0 in batch_powers:
        findings.add("sum_with_mean")

    ratio, length = analysis.edges.on_sequences, SEQUENCES[0][1]
    not_meant = not analysis.edges.flattens
    if ratio is not None and math.isnan(ratio):
        findings.add("other_on_sequences", as_note=not_meant)
    elif ratio is not None and abs(ratio - length) < CLOSE:  # L times too strong
        findings.add("batchmean_on_sequences", as_note=not_meant)


def check_numbers(analysis: Analysis, findings: Findings) -> None:
    """NaN, infinity and clamped numbers."""
    soft, symptoms, edges = analysis.decomposition.soft, analysis.symptoms, analysis.edges
    if symptoms.nan and not (soft and soft.form.target in ("log_softmax", "logits")):
        findings.add("nan")
    if edges.underflow and not symptoms.nan:
        hintons = not soft or (soft.form.kernel in DIVERGENCES and not soft.form.reverse)
        findings.add("underflow", as_note=not hintons)  # in other methods it is a risk to know of
    if edges.clamped and not (soft and soft.form.target == "logits"):
        findings.add("clamped")


def check_remainder(analysis: Analysis, findings: Findings) -> None:
    remainder = analysis.decomposition.remainder
    if remainder == "smoothing":
        findings.add("label_smoothing")
    elif remainder in STUDENT_TERMS:
        positive, negative = STUDENT_TERMS[remainder].words
        findings.add("student_term", form=negative if analysis.decomposition.negative else positive)


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
