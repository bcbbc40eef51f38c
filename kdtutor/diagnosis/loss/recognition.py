"""Recognise a term: which forms, at which temperatures, explain how a loss changes with the teacher (or the labels)?

Every form is tried at every likely pair of temperatures. All that fit are candidates, for some can't be told apart by
this change alone: `decomposition` settles between them. If none fits, temperatures between those tried are searched.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product

from kdtutor.diagnosis.loss.forms import DIVERGENCES, HARD_FORMS, SOFT_FORMS, Hard, Soft
from kdtutor.diagnosis.loss.observation import Observation
from kdtutor.diagnosis.loss.rows import total_weight
from kdtutor.diagnosis.loss.signature import Loss
from kdtutor.diagnosis.loss.terms import POWERS, TOLERANCE, Temperatures, Term, fit

SHARP = (0.04, 0.05, 0.06, 0.07, 0.1, 0.2)  # as in DINO
USUAL_TEMPERATURES = (0.5, 0.7, 0.8, 0.9, 1.5, 2.0, 2.5, *map(float, range(3, 11)), 15.0, 20.0)
STEP = 1.3  # from one temperature that is tried to the next, so that a search finds those in between
GRID = sorted({*(STEP**power for power in range(-8, 18)), *SHARP, 0.25, *USUAL_TEMPERATURES, 30.0, 40.0, 50.0, 100.0})
LIKELY = (Soft("kl"), Soft("ce"), Soft("kl", reverse=True))


def soft_terms(loss: Loss, observation: Observation) -> Iterator[Term]:
    """Terms that explain what another teacher changes, likely ones first."""
    return _candidates({form: soft_temperatures(form, loss) for form in SOFT_FORMS}, observation)


def hard_terms(loss: Loss, observation: Observation, soft: Term | None) -> Iterator[Term]:
    """Terms that explain what other labels change. If temperatures are fixed, the soft term's are tried first."""
    likely = [1.0]
    if loss.takes("temperature"):
        likely += POWERS
    elif soft:
        likely += sorted({*soft.temperatures} - {1.0})
    pairs = tuple(zip(likely, likely, strict=True))
    terms = list(_candidates(dict.fromkeys(HARD_FORMS, pairs), observation, search=False))
    if not terms and total_weight(observation) is not None:
        terms = [Term(Hard("ce"), 1.0, 1.0, by_class=True)]
    if terms or loss.takes("temperature"):
        return iter(terms)

    pairs = tuple(zip(GRID, GRID, strict=True))  # only then, for it takes long
    return _candidates(dict.fromkeys(HARD_FORMS, pairs), observation)


def soft_temperatures(form: Soft, loss: Loss) -> list[Temperatures]:
    """The temperatures at which a soft form may stand, likely ones first."""
    if loss.takes("temperature"):
        pairs = list(product(["T", 1.0, "1/T", "T²"], repeat=2))
        if form.kernel not in DIVERGENCES and form.input == "logits":
            pairs.insert(0, (1.0, 1.0))  # elsewhere T may be but a factor
        return pairs

    grid = [1.0, *GRID]
    pairs = [*zip(grid, grid, strict=True), *product(grid, [1.0]), *product([1.0], grid)]
    if form.input == "log_softmax" and form.target == "softmax":
        for several in (USUAL_TEMPERATURES, SHARP):
            pairs += [(one, other) for one, other in product(several, repeat=2) if one != other]
    return pairs


def _candidates(
    temperatures: Mapping[Soft | Hard, Sequence[Temperatures]], observation: Observation, *, search: bool = True
) -> Iterator[Term]:
    """The forms at those of their temperatures at which they fit; if none does, others that a search finds."""
    fits = False
    misfits: list[tuple[float, Term]] = []
    for form, pairs in temperatures.items():
        trains = bool(observation.change_for(form).gradient.any())
        _, residuals = fit(form, observation, pairs)
        for pair, residual in zip(pairs, residuals.tolist(), strict=True):
            term = Term(form, *pair, trains=trains)
            if residual <= TOLERANCE:
                fits = True
                yield _polished(term, residual, observation)
            else:
                misfits.append((residual, term))

    if search and not fits:
        for term, parameter in _starting_points(misfits):
            refined = _search(term, parameter, observation)
            if refined:
                yield refined


def _starting_points(misfits: list[tuple[float, Term]]) -> list[tuple[Term, str]]:
    """Where to search, and for which parameter: for all likely forms, and the six others that come nearest."""
    nearest: dict[tuple, Term] = {}
    for _, term in sorted(misfits, key=lambda misfit: round(misfit[0], 4)):
        for parameter in _parameters(term):
            bare_sides = tuple(temperature == 1.0 for temperature in term.temperatures)
            nearest.setdefault((term.form, parameter, bare_sides), term)

    points = [(term, parameter) for (_, parameter, _), term in nearest.items()]
    likely = [point for point in points if point[0].form in LIKELY]  # near T = 1 all forms look alike
    return likely + [point for point in points if point not in likely][:6]


def _parameters(term: Term) -> list[str]:
    """What can be searched: a temperature that is fixed inside, on both sides or one, and the beta of a mixture."""
    parameters = []
    student, teacher = term.temperatures
    if term.temperature_is_fixed and (student == teacher or 1.0 in term.temperatures):
        parameters.append("temperature")
    if isinstance(term.form, Soft) and term.form.beta and student == teacher and term.form.input == "log_softmax":
        parameters.append("beta")
    return parameters


def _polished(term: Term, residual: float, observation: Observation) -> Term:
    """The term, or the same at a temperature close by if it fits far better there."""
    if residual < 1e-9 or "temperature" not in _parameters(term):
        return term
    refined = _search(term, "temperature", observation)
    if refined and refined.fit(observation)[1] < residual / 3:
        return refined
    return term


def _search(term: Term, parameter: str, observation: Observation) -> Term | None:
    """The term with another temperature (or beta) near the one that it has, if it fits there."""
    from scipy.optimize import minimize_scalar

    if parameter == "beta":
        beta = term.form.beta
        bounds = max(beta - 0.1, 1e-4), min(beta + 0.1, 1 - 1e-4)
    else:
        temperature = max(term.temperatures, key=lambda side: side != 1.0)
        sides = [side for side in ("student_temperature", "teacher_temperature") if getattr(term, side) == temperature]
        bounds = temperature / 1.4, temperature * 1.4

    def changed(number: float) -> Term:
        if parameter == "beta":
            return replace(term, form=replace(term.form, beta=number))
        return replace(term, **dict.fromkeys(sides, number))

    def residual(number: float) -> float:
        return changed(number).fit(observation)[1]

    minimum = minimize_scalar(residual, bounds=bounds, method="bounded", options={"xatol": 1e-9})
    if minimum.fun > TOLERANCE:
        return None
    rounded = float(f"{minimum.x:.5g}")
    return changed(min(minimum.x, rounded, key=residual))
