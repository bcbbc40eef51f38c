"""How a term's factor comes about: the reduction (powers of B, L and C), the power of T, and the weight in alpha.

Each is told from how the factor changes when one thing does. What results must then hold on inputs, a temperature and
an alpha that had no part in finding it.
"""

import math
from dataclasses import replace

from kdtutor.diagnosis.loss.decomposition import Decomposition, name_remainder
from kdtutor.diagnosis.loss.observation import ALPHA, TEMPERATURE, Observation, Shape, observe
from kdtutor.diagnosis.loss.signature import Loss
from kdtutor.diagnosis.loss.terms import Term

WARMER = 1.5  # times the temperature
HIGH_ALPHA, MIDDLE_ALPHA = 0.8, 0.55


def explain_factors(
    loss: Loss, shapes: tuple[Shape, ...], observation: Observation, decomposition: Decomposition
) -> Decomposition:
    """The decomposition with its factors explained; with a `why` where they can't be, or don't hold on new inputs."""
    try:
        variations = _vary(loss, shapes, observation)
        unseen = observe(loss, shapes[0], temperature=1.25 * TEMPERATURE, alpha=0.65, seed=1)
    except Exception as error:  # whatever somebody's loss raises
        why = f"with other batches, classes, T or alpha it raises {type(error).__name__}: {error}"
        return replace(decomposition, why=why)

    for name, term in (("soft", decomposition.soft), ("hard", decomposition.hard)):
        if term:
            explained = _explained(term, variations)
            decomposition = replace(decomposition, **{name: explained})
            if not explained:
                why = f"its {name} term changes with batch, classes, T or alpha in a way that isn't known"
                return replace(decomposition, why=why)

    if name_remainder(decomposition.left_over(unseen), unseen) != decomposition.remainder:
        return replace(decomposition, why="what seems to be its formula doesn't give its values on other inputs")
    return decomposition


def _vary(loss: Loss, shapes: tuple[Shape, ...], observation: Observation) -> dict[str, Observation]:
    """The loss as it was observed, and with one thing changed in each of the others."""
    variations = {"first": observation}
    for name, shape in zip(("batch_power", "class_power", "length_power"), shapes[1:], strict=False):
        variations[name] = observe(loss, shape)
    if loss.takes("temperature"):
        variations["temperature_power"] = observe(loss, shapes[0], temperature=WARMER * TEMPERATURE)
    if loss.takes("alpha"):
        variations["high_alpha"] = observe(loss, shapes[0], alpha=HIGH_ALPHA)
        variations["middle_alpha"] = observe(loss, shapes[0], alpha=MIDDLE_ALPHA)
    return variations


def _explained(term: Term, variations: dict[str, Observation]) -> Term | None:
    """The term with powers and a weight that give its factor in all variations; None if there are none."""
    factors = {name: term.observed_factor(observation) for name, observation in variations.items()}
    if not all(factors.values()):
        return None  # there is another term in one of them, or none

    first = variations["first"]
    bases = {"temperature_power": WARMER}
    for name, axis in (("batch_power", 0), ("class_power", -1), ("length_power", 1)):
        if name in variations:
            bases[name] = variations[name].shape[axis] / first.shape[axis]
    powers = {name: _power(factors[name] / factors["first"], bases[name]) for name in bases if name in factors}
    if any(math.isnan(power) for power in powers.values()):
        return None

    term = replace(term, **powers)
    weight = factors["first"] / term.factor(first)  # so far the term's own weight is 1
    if "high_alpha" not in factors:
        return replace(term, intercept=_without_rounding(weight))
    high, middle = (weight * factors[name] / factors["first"] for name in ("high_alpha", "middle_alpha"))
    slope = (high - weight) / (HIGH_ALPHA - ALPHA)
    intercept = weight - slope * ALPHA
    if abs(intercept + slope * MIDDLE_ALPHA - middle) > 1e-3 * max(abs(intercept), abs(slope)):
        return None  # it isn't linear in alpha
    return replace(term, intercept=_without_rounding(intercept), slope=_without_rounding(slope))


def _power(ratio: float, base: float) -> float:
    """The p in ratio = base^p, a whole number where it is close to one; NaN if there is none."""
    if ratio <= 0:
        return math.nan
    power = math.log(ratio) / math.log(base)
    if abs(power - round(power)) < 0.01:
        return float(round(power))
    return power


def _without_rounding(number: float) -> float:
    """Five digits where the others are rounding errors."""
    if abs(number) <= 1e-5:
        return 0.0
    short = float(f"{number:.5g}")
    if abs(short - number) < 3e-7 * max(abs(number), 1e-3):
        return short
    return number
