"""What keeps a value from being compared with the right one, number by number: its kind, its shape, NaN or infinity;
and the dtypes that hurt where the values are right."""

from typing import Any

import torch
from torch import Tensor

from kdtutor._check import describe_type, shape
from kdtutor.course.answers.values import close, numbers_of, pairs_of, parts_of, show


def why_incomparable(given: Any, wanted: Any) -> str | None:
    """A sentence on the kind, the shape, or NaN and infinity in a value; None if its numbers can be compared with the
    right ones."""
    for given_part, wanted_part in pairs_of(given, wanted):
        for complaint in (_wrong_kind, _wrong_shape, _not_finite):  # each relies on those before it
            sentence = complaint(given_part, wanted_part)
            if sentence:
                return sentence
    return None


def dtype_problem(given: Any, wanted: Any) -> str | None:
    """Where the values are right and the dtype will hurt: truth values, and tensors of indices."""
    for given_part, wanted_part in pairs_of(given, wanted):
        sentence = _wrong_dtype(given_part, wanted_part)
        if sentence:
            return sentence
    return None


def _wrong_dtype(given: Any, wanted: Any) -> str | None:
    given_numbers = numbers_of(given)
    wanted_numbers = numbers_of(wanted)
    if wanted_numbers is None:
        return None

    came_in = f"the values are right, but in {given_numbers.dtype}"
    came_as_bool = given_numbers.dtype == torch.bool
    wanted_as_bool = wanted_numbers.dtype == torch.bool
    if came_as_bool and not wanted_as_bool:
        return f"{came_in}: numbers are wanted"
    if wanted_as_bool and not came_as_bool:
        return f"{came_in}: True and False are wanted"

    single_number = wanted_numbers.dim() == 0 or not hasattr(given, "dtype")
    if single_number or given_numbers.is_floating_point() == wanted_numbers.is_floating_point():
        return None
    if wanted_numbers.is_floating_point():
        return f"{came_in}: floating point is wanted, as losses take it"
    return f"{came_in}: indices are whole numbers"


def _wrong_kind(given: Any, wanted: Any) -> str | None:
    """What came isn't numbers, or not as many things as are wanted."""
    if given is ...:
        return "a part of this is not filled in yet"
    if given is None:
        return "this is None: is a `return` missing?"
    if isinstance(wanted, list | tuple):
        parts = parts_of(given)
        if parts is None:
            return f"{len(wanted)} values are wanted, in a tuple; one came"
        return f"{len(wanted)} values are wanted, in a tuple; {len(parts)} came"

    numbers = numbers_of(given)
    if numbers is None:
        return _no_numbers(given)
    if numbers.is_complex() and not torch.as_tensor(wanted).is_complex():
        return "this is complex: real numbers are wanted"
    return None


def _no_numbers(given: Any) -> str:
    sequence = isinstance(given, list | tuple) and len(given) > 0
    if sequence and all(isinstance(part, Tensor) for part in given):
        return f"this is a {type(given).__name__} of {len(given)} tensors: torch.stack or torch.cat makes one of them"
    return f"this is {show(given)} ({describe_type(given)}): numbers are wanted"


def _wrong_shape(given: Any, wanted: Any) -> str | None:
    given = numbers_of(given)
    wanted = numbers_of(wanted)
    if given.dim() == 2 and close(given.T, wanted) and not close(given, wanted):
        return "this is the right value transposed"
    if given.shape == wanted.shape:
        return None

    shapes = f"the shape is {shape(given)}, {shape(wanted)} is wanted"
    if given.numel() == wanted.numel() and given.squeeze().shape == wanted.squeeze().shape:
        axis = f"{shapes}: an axis of length 1 too many or too few"
        if close(given.reshape(wanted.shape), wanted):
            return f"the values are right, but {axis}"
        return axis

    missing = _reduction(given, wanted)
    if missing:
        return f"the {missing[0]} over {missing[1]} is missing, it would be right then; {shapes}"
    excess = _reduction(wanted, given)
    if excess:
        return f"this is the {excess[0]} of the right values over {excess[1]}: one value for each is wanted; {shapes}"
    return shapes


def _reduction(larger: Tensor, smaller: Tensor) -> tuple[str, str] | None:
    """Which reduction ("mean" or "sum") over which axis turns one tensor into the other; None if none does."""
    if larger.numel() <= smaller.numel():
        return None
    larger = larger.double()
    for axis in range(larger.dim()):
        if close(larger.mean(axis), smaller):
            return "mean", f"axis {axis}"
        if close(larger.sum(axis), smaller):
            return "sum", f"axis {axis}"
    if close(larger.mean(), smaller):
        return "mean", "all"
    if close(larger.sum(), smaller):
        return "sum", "all"
    return None


def _not_finite(given: Any, wanted: Any) -> str | None:
    given = numbers_of(given)
    wanted = numbers_of(wanted)
    bad = ~given.isfinite() & wanted.isfinite()
    if not bad.any():
        return None
    kind = "nan" if given[bad].isnan().any() else "infinite"
    count = f"{int(bad.sum())} of {given.numel()} values" if given.dim() else "this"
    return f"{count} came out {kind}, not finite: look for log(0), 0 · inf, 0 / 0, or exp of a large number"
