"""Mistakes that lead to no value known beforehand, but to a pattern over the calls: which of them are right, and what
the others have in common."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from kdtutor.course.answers import same
from kdtutor.course.answers.values import numbers_of

Values = Sequence[Any]  # what came, or what is right: one per call


def _numbers(values: Values) -> list[float] | None:
    """One number per call; None if it is anything else."""
    numbers = []
    for value in values:
        tensor = numbers_of(value)
        if tensor is None or tensor.numel() != 1 or tensor.is_complex():
            return None
        numbers.append(float(tensor))
    return numbers


def _at_an_end(given: Values, wanted: Values) -> bool:
    """No more than two different numbers, and all of them wrong: a search that runs into the ends of its range."""
    numbers = _numbers(given)
    if numbers is None or not all(math.isfinite(number) and number > 0 for number in numbers):
        return False
    ends = (min(numbers), max(numbers))
    for number, right in zip(numbers, wanted, strict=True):
        at_end = any(math.isclose(number, end, rel_tol=0.01) for end in ends)
        if not at_end or same(number, right):
            return False
    return not math.isclose(numbers[0], 1) or len(set(numbers)) > 1  # T = 1 throughout is no search


def _without_infinity(given: Values, wanted: Values) -> bool:
    """Right in all calls but those where infinity is right."""
    found = False
    for value, right in zip(given, wanted, strict=True):
        if same(value, right):
            continue
        number = _numbers([value])
        infinite = _numbers([right]) == [math.inf]
        if not infinite or number is None or not math.isfinite(number[0]):
            return False
        found = True
    return found


PATTERNS: dict[str, dict[str, Callable[[Values, Values], bool]]] = {
    "temperature_for": {"at an end": _at_an_end},
    "kl": {"infinity replaced": _without_infinity},
}
