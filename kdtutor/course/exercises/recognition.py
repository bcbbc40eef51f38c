"""Which of the known mistakes a learner's function makes, by what it returns in the calls."""

import math
import warnings
from collections.abc import Callable
from functools import cache

from torch import Tensor

from kdtutor.course.answers import same
from kdtutor.course.answers.values import numbers_of
from kdtutor.course.exercises.calls import CALLS
from kdtutor.course.exercises.mistakes import (
    comparing,
    divergences,
    losses,
    measuring,
    methods,
    targets,
    training,
    transfer,
)
from kdtutor.course.exercises.outcomes import Outcome, outcome_of
from kdtutor.course.exercises.patterns import PATTERNS
from kdtutor.course.exercises.words import EXERCISES, mistake_sentence, together

# The known mistakes of all exercises, as functions: their names are the keys, here and in `words.md`.
MISTAKES: dict[str, dict[str, Callable]] = {
    **targets.MISTAKES,
    **divergences.MISTAKES,
    **losses.MISTAKES,
    **training.MISTAKES,
    **comparing.MISTAKES,
    **measuring.MISTAKES,
    **transfer.MISTAKES,
    **methods.MISTAKES,
}

# Losses, right: the student's gradient is compared as well.
LOSSES: dict[str, Callable] = {
    **losses.LOSSES,
    "reverse_kl": methods.reverse,
    "decoupled_kl": methods.decoupled,
}


def known_mistake(name: str, given: list[Outcome]) -> str | None:
    """The sentence of the known mistake that agrees in all calls."""
    values = [outcome.values for outcome in given]
    for mistake in MISTAKES[name]:
        if same(values, _mistaken(name, mistake)):
            return mistake_sentence(name, mistake)
    return None


@cache
def _mistaken(name: str, mistake: str) -> list[tuple]:
    """What a known mistake makes of the calls; the same each time, so it is computed once."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # F.kl_div's own, on its reduction
        return [outcome_of(MISTAKES[name][mistake], call).values for call in CALLS[name]]


def pattern(name: str, given: list[Outcome], wanted: list[Outcome]) -> str | None:
    """The sentence of the mistake that is known by which calls come out right."""
    given_values = [outcome.returned for outcome in given]
    wanted_values = [outcome.returned for outcome in wanted]
    for mistake, agrees in PATTERNS.get(name, {}).items():
        if agrees(given_values, wanted_values):
            return mistake_sentence(name, mistake)
    return None


def scaled_mistake(name: str, given: list[Outcome], wanted: list[Outcome]) -> str | None:
    """A known mistake, and a factor that means something on top of it: unless the right value times this would do."""
    values = [numbers_of(outcome.returned) for outcome in given]
    if any(value is None or value.is_complex() or not value.numel() for value in values):
        return None
    wanted_values = [outcome.returned for outcome in wanted]
    mistaken_values = {}
    for mistake in MISTAKES[name]:
        mistaken_values[mistake] = [returned for returned, _ in _mistaken(name, mistake)]

    for words, factors in _factors(name).items():
        unscaled = [value.double() / factor for value, factor in zip(values, factors, strict=True)]
        if same(unscaled, wanted_values):
            return None  # arithmetic tells it
        for mistake, mistaken in mistaken_values.items():
            if " + " not in mistake and same(unscaled, mistaken):
                return together([EXERCISES[name].mistakes[mistake.partition(":")[0]], words])
    return None


def _factors(name: str) -> dict[str, list[float]]:
    """What to say of a factor -> the factor in each call: the sign, the units, the sizes of a batch (B, C)."""
    count = len(CALLS[name])
    factors = {
        "the sign is the other one": [-1.0] * count,
        "it is divided by ln 2, as from nats to bits": [1 / math.log(2)] * count,
        "it is multiplied by ln 2, as from bits to nats": [math.log(2)] * count,
    }
    batches = [call[0] for call in CALLS[name] if isinstance(call[0], Tensor) and call[0].dim() == 2]
    if len(batches) == count:
        rows = [float(batch.shape[0]) for batch in batches]
        columns = [float(batch.shape[1]) for batch in batches]
        factors["it is B times too large, the batch size: a sum instead of a mean"] = rows
        factors["it is divided by the batch size, B"] = [1 / row for row in rows]
        factors["it is C times too large, the number of classes"] = columns
        factors["it is divided by the number of classes, C"] = [1 / column for column in columns]
    return factors
