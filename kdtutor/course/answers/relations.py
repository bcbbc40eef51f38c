"""What a wrong value is of the right one, where arithmetic is certain: a factor, a shift, another order, and so on."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from kdtutor.course.answers.comparability import why_incomparable
from kdtutor.course.answers.values import close, numbers_of, pairs_of

NEAR_SHARE = 0.01  # of the size of a value: a smaller difference is reported as a lack of precision
UNITS = {1 / math.log(2): "bits instead of nats", math.log(2): "nats instead of bits"}  # by their factor


def relation(given: Any, wanted: Any, constants: Mapping[str, float] = {}) -> str | None:
    """What a wrong value is of the right one, where arithmetic is certain of it: exact to 1e-5 in at least two
    numbers that differ from each other (and from 0, for a factor). None if nothing is certain."""
    pairs = list(pairs_of(given, wanted))
    for _, wanted_part in pairs:
        if numbers_of(wanted_part) is None and not isinstance(wanted_part, list | tuple):
            return None

    sentence = why_incomparable(given, wanted) or shared_relation(given, wanted, constants)
    if sentence:
        return sentence
    for given_part, wanted_part in pairs:
        sentence = _sums(given_part, wanted_part)
        if sentence:
            return sentence
    return None


def shared_relation(given: Any, wanted: Any, constants: Mapping[str, float] = {}) -> str | None:
    """A relation of numbers that holds over all parts at once; asks for values that `why_incomparable` lets pass."""
    pairs = []
    low_precision = None
    for given_part, wanted_part in pairs_of(given, wanted):
        given_numbers = numbers_of(given_part)
        wanted_numbers = numbers_of(wanted_part)
        if low_precision is None and given_numbers.dtype in (torch.float16, torch.bfloat16):
            low_precision = given_numbers.dtype
        if wanted_numbers.numel():
            pairs.append((given_numbers.double(), wanted_numbers.double()))

    if not pairs or not all(wanted_part.isfinite().all() for _, wanted_part in pairs):
        return None
    flat_given = torch.cat([given_part.flatten() for given_part, _ in pairs])
    flat_wanted = torch.cat([wanted_part.flatten() for _, wanted_part in pairs])
    shapes = {wanted_part.shape for _, wanted_part in pairs}

    largest = flat_wanted.abs().max()
    spread = _differ(flat_wanted, largest)  # else a shift would always fit
    if spread and not flat_given.any():
        return "all its values are 0"
    multiple = _multiple(flat_given, flat_wanted, shapes, constants)
    near = _near(pairs, low_precision)
    if not spread:
        return multiple or near
    return multiple or _shifted(flat_given, flat_wanted) or near or _reordered(flat_given, flat_wanted)


def _multiple(
    given: Tensor, wanted: Tensor, shapes: set[tuple[int, ...]], constants: Mapping[str, float]
) -> str | None:
    """The right value times a factor, read off at its largest number."""
    place = wanted.abs().argmax()
    largest = wanted[place].abs()
    factor = (given[place] / wanted[place]).item()
    beside_zero = wanted[wanted.abs() > 1e-3 * largest]
    if factor and _differ(beside_zero, largest) and close(given, factor * wanted):
        return f"this is the right value {_factor(factor, shapes, constants)}"
    return None


def _shifted(given: Tensor, wanted: Tensor) -> str | None:
    """The right value plus or minus a number, read off at its largest number."""
    place = wanted.abs().argmax()
    shift = (given[place] - wanted[place]).item()
    if not close(given - shift, wanted):
        return None
    sign = "plus" if shift > 0 else "minus"
    return f"this is the right value {sign} {abs(shift):.4g} in every place"


def _near(pairs: list[tuple[Tensor, Tensor]], low_precision: torch.dtype | None) -> str | None:
    """Near the right value in each part, by that part's own size."""
    largest_gap = 0.0
    for given, wanted in pairs:
        size = wanted.abs().max().clamp_min(1e-300)
        gap = ((given - wanted).abs().max() / size).item()
        if not gap < NEAR_SHARE:  # nor if it is NaN
            return None
        largest_gap = max(largest_gap, gap)
    why = "a rounded number, an added epsilon, or a search cut short?"
    if low_precision:
        why = f"{low_precision} holds few digits"
    return f"this is near the right value, but up to {100 * largest_gap:.2g} % off: {why}"


def _reordered(given: Tensor, wanted: Tensor) -> str | None:
    if close(given.sort().values, wanted.sort().values):
        return "these are the right values in another order"
    return None


def _sums(given: Any, wanted: Any) -> str | None:
    """Probabilities are wanted, and these don't sum to 1."""
    given = numbers_of(given).double()
    wanted = numbers_of(wanted).double()
    if not wanted.dim() or not wanted.numel() or wanted.min() < 0:
        return None
    if not _all_one(wanted.sum(-1)) or _all_one(given.sum(-1)):
        return None
    if _all_one(given.sum(0)):
        return "this sums to 1 over the first axis: probabilities must sum to 1 over the classes, the last one"
    return f"these probabilities must sum to 1 over the last axis; the first sum is {given.sum(-1).flatten()[0]:.4g}"


def _all_one(sums: Tensor) -> bool:
    return bool(((sums - 1).abs() < 1e-4).all())


def _differ(numbers: Tensor, size: Tensor) -> bool:
    """Whether there are two that differ, by more than a thousandth of `size`."""
    return bool(numbers.numel() and numbers.max() - numbers.min() > 1e-3 * size)


def _factor(factor: float, shapes: set[tuple[int, ...]], constants: Mapping[str, float]) -> str:
    """A factor in words: those that are given, units, the sign, the lengths of the first and the last axis."""
    if _equal(factor, -1):
        return "with the other sign"
    times = f"times {factor:.4g}"
    if abs(factor) < 1:
        times = f"divided by {1 / factor:.4g}"
    for value, words in UNITS.items():
        if _equal(factor, value):
            return f"{times}: {words}"

    meanings = dict(constants)
    if len(shapes) == 1:
        (shape,) = shapes
        if shape:
            meanings["the number of rows"] = shape[0]
            meanings["the number of columns"] = shape[-1]
    for words, value in meanings.items():
        if value not in (0, 1) and (_equal(factor, value) or _equal(factor, 1 / value)):
            return f"{times}, {words}"
    return times


def _equal(factor: float, value: float) -> bool:
    return math.isclose(factor, value, rel_tol=1e-5)
