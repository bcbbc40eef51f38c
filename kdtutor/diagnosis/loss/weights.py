"""Mistakes in the weights of the two terms: alpha, T², constant factors, signs."""

from kdtutor.diagnosis.loss.analysis import Analysis
from kdtutor.diagnosis.loss.catalogue import Findings
from kdtutor.diagnosis.loss.forms import DIVERGENCES
from kdtutor.diagnosis.loss.terms import CLOSE, Term


def check_weights(analysis: Analysis, alpha: str | None, findings: Findings) -> None:
    """What is wrong, or worth a note, in how the terms are weighted; `alpha` as in `diagnose`."""
    soft, hard = analysis.decomposition.soft, analysis.decomposition.hard
    loss, symptoms = analysis.loss, analysis.symptoms

    if symptoms.no_teacher and hard and not symptoms.nan:
        # Has the hard term a weight that leaves room for a soft one?
        weighted = hard.slope or not _same(hard.intercept, 1)
        if weighted and analysis.decomposition.remainder != "smoothing":
            findings.add("teacher_unused")
        else:
            findings.add("teacher_ignored")
    if not soft:
        return

    negative = False
    for name, term in (("soft", soft), ("hard", hard)):
        if term and term.trains and term.weight(0.3) < 0 and term.weight(0.8) < 0:
            findings.add("sign", term=name)
            negative = True

    if loss.takes("alpha") and not any(term.slope for term in analysis.decomposition.terms):
        findings.add("alpha_unused")
    if not negative and soft.slope:
        check_alpha(soft, hard, _meaning_of_alpha(loss.names["alpha"], alpha), alpha, findings)

    # With the temperature on the teacher's side alone, the student's gradient doesn't shrink with T.
    teacher_only = soft.student_temperature == 1.0 and (loss.takes("temperature") or soft.teacher_temperature != 1.0)
    divergence = soft.form.kernel in DIVERGENCES and soft.form.target not in ("argmax", "logits")
    if divergence and not teacher_only and not negative:
        alone = not hard and not symptoms.hard_without_gradient
        check_squares(soft, hard, alone, findings)


def _same(one: float, other: float) -> bool:
    return abs(one - other) < CLOSE


def _meaning_of_alpha(name: str, declared: str | None) -> str | None:
    """The term that alpha is to weigh: as declared, else as its name says, if it does."""
    if declared:
        return declared
    meaning = None
    for term, words in (("soft", ("soft", "kd", "dist")), ("hard", ("hard", "ce"))):
        if meaning is None and any(word in name.lower() for word in words):
            meaning = term
    return meaning


def check_alpha(soft: Term, hard: Term | None, meaning: str | None, declared: str | None, findings: Findings) -> None:
    """Whether alpha weighs the term that it is meant to."""
    if not (hard and hard.slope):
        if soft.slope < 0 and declared == "soft":
            findings.add("alpha_swapped")
        return
    if _same(soft.slope / soft.largest_weight, hard.slope / hard.largest_weight):
        findings.add("alpha_on_both")
    elif soft.slope < 0 < hard.slope and meaning != "hard":
        findings.add("alpha_swapped", as_note=meaning != "soft")
    elif hard.slope < 0 < soft.slope and meaning == "hard":
        findings.add("alpha_swapped")


def check_squares(soft: Term, hard: Term | None, alone: bool, findings: Findings) -> None:
    """Whether T² stands where it belongs. alone: there is no hard term for it to be
    balanced with."""
    if isinstance(soft.student_temperature, str):
        _check_powers(soft, hard, alone, findings)
    elif soft.slope:
        _check_fixed_temperature(soft, hard, alone, findings)
    elif hard:
        _check_fixed_weights(soft, hard, findings)
    elif alone:
        power = _power_in(soft.intercept, soft.student_temperature)
        if power is not None:
            _check_power(power, alone, findings)


def _check_powers(soft: Term, hard: Term | None, alone: bool, findings: Findings) -> None:
    """T is an argument: its powers in the two factors are known."""
    if hard and hard.temperature_power and soft.temperature_power - hard.temperature_power == 2:
        findings.add("divided")
    else:
        _check_power(soft.temperature_power, alone, findings)
        if hard and hard.temperature_power == 2:
            findings.add("t2_on_hard")

    if soft.slope and not _same(soft.largest_weight, 1):
        _add_constant_factor(soft.largest_weight, hard, findings)


def _check_fixed_temperature(soft: Term, hard: Term | None, alone: bool, findings: Findings) -> None:
    """T is fixed inside and alpha isn't: the largest weight is a power of T, unless there is a further factor."""
    temperature = soft.student_temperature
    power = _power_in(soft.largest_weight, temperature)
    if power is not None:
        _check_power(power, alone, findings)
    else:
        _add_constant_factor(soft.largest_weight / temperature**2, hard, findings)
    if hard and temperature != 1 and _same(hard.largest_weight / temperature**2, 1):
        findings.add("t2_on_hard")


def _check_fixed_weights(soft: Term, hard: Term, findings: Findings) -> None:
    """T and alpha are fixed inside: in which reading do the two weights sum to one?"""
    temperature = soft.student_temperature
    for soft_power, hard_power, finding in (
        (2, 0, None), (0, 0, "t2_missing"), (1, 0, "t_for_t2"), (2, 2, "t2_on_hard"),
    ):  # fmt: skip
        if _same(soft.intercept / temperature**soft_power + hard.intercept / temperature**hard_power, 1):
            if finding:
                findings.add(finding)
            return

    without_square = soft.intercept / temperature**2
    if temperature != 1 and _same(soft.intercept, hard.intercept):
        findings.add("t2_missing")
    elif not _same(without_square, hard.intercept):
        share = without_square / (without_square + hard.intercept)
        findings.add("weights", soft=f"{soft.intercept:.4g}", hard=f"{hard.intercept:.4g}", share=f"{share:.3g}")


def _power_in(factor: float, temperature: float) -> int | None:
    """The power of T that a factor is, if it is T², 1 or T."""
    for power in (2, 0, 1):
        if _same(factor / temperature**power, 1):
            return power
    return None


def _check_power(power: float, alone: bool, findings: Findings) -> None:
    if power == 2:
        return
    if alone:
        findings.add("t2_left_to_you")
    elif power == 0:
        findings.add("t2_missing")
    elif power == 1:
        findings.add("t_for_t2")
    else:
        findings.add("t_power", power=f"{power:g}")


def _add_constant_factor(factor: float, hard: Term | None, findings: Findings) -> None:
    effect = f"The soft term counts {factor:.4g} times as much."
    if not hard or _same(hard.largest_weight, factor):
        effect = "It acts as a learning rate."
    findings.add("constant_factor", factor=f"{factor:.4g}", effect=effect)
