"""Is an answer right, and if not, what is it? The difference between a value that came and the right one is named:
by a known mistake that leads to just this value, by a relation that arithmetic finds, or by showing both::

    expect(loss, 0.25, {"this is in bits, nats are wanted": 0.25 / math.log(2)})

Knows nothing of exercises, notebooks or distillation.
"""

import contextlib
import math
import warnings
from collections.abc import Iterator, Mapping
from itertools import starmap
from numbers import Number
from typing import Any

import torch
from torch import Tensor, nn

from kdtutor._check import came, shape

UNFILLED = "not filled in yet"


def expect(given: Any, wanted: Any, mistakes: Mapping[str, Any] = {}) -> None:
    """Raise AssertionError, with `difference` as its sentence, unless `given` is right."""
    if sentence := difference(given, wanted, mistakes):
        raise AssertionError(sentence)


def difference(
    given: Any, wanted: Any, mistakes: Mapping[str, Any] = {}, constants: Mapping[str, float] = {}
) -> str | None:
    """None if `given` is right, else one sentence (without a full stop) that names the difference.

    Args:
        given: a number, a tensor, an array, or a list or tuple of these; ``...`` is 'not filled in yet'.
        wanted: the right value.
        mistakes: what to say -> the value that this mistake leads to, or a function of no arguments that returns it,
            called only when it is needed.
        constants: words for factors that mean something here, {"the number of classes": 10}.
    """
    if given is ...:
        return UNFILLED
    if same(given, wanted):
        return next(filter(None, (_dtype(*pair) for pair in _pairs(given, wanted))), None)
    for sentence, value in mistakes.items():
        with contextlib.suppress(Exception):  # who made a mistake that raises wouldn't have brought a value
            if same(given, value() if callable(value) else value):
                return sentence
    return relation(given, wanted, constants) or f"this is {show(given)}, the right value is {show(wanted)}"


def same(given: Any, wanted: Any) -> bool:
    """Equal numbers up to rounding (1e-4 of their size, or 1e-6), in equal shapes; NaN equals NaN, dtypes may differ.
    A number may stand for a tensor without axes, a tensor's rows for the parts of a list or tuple."""
    if isinstance(wanted, list | tuple):
        parts = _parts(given)
        return parts is not None and len(parts) == len(wanted) and all(map(same, parts, wanted))
    numbers, right = _numbers(given), _numbers(wanted)
    if right is None:
        return type(given) is type(wanted) and given == wanted
    return numbers is not None and _close(numbers, right, 1e-4, 1e-6)


def show(value: Any) -> str:
    """A value in a few words: up to four numbers, or the shape and the first of them."""
    if isinstance(value, nn.Module):
        return "a model"
    if not hasattr(value, "dtype"):
        text = f"{value:.4g}" if isinstance(value, float) else " ".join(repr(value).split())
        if isinstance(value, list | tuple):
            first, last = "[]" if isinstance(value, list) else "()"
            text = f"{first}{', '.join(map(show, value[:80]))}{last}"
        return text if len(text) <= 80 else f"{text[:77]}..."
    numbers = _numbers(value)
    if numbers is None:
        return f"a {type(value).__name__}"
    if numbers.dim() == 0:
        return f"{numbers.item():.4g}"
    first = [round(number, 4) if isinstance(number, float) else number for number in numbers.flatten()[:4].tolist()]
    if numbers.dim() == 1 and len(numbers) <= 4:
        return str(first)
    return f"a tensor {shape(numbers)} that begins {', '.join(map(str, first))}"


def relation(given: Any, wanted: Any, constants: Mapping[str, float] = {}) -> str | None:
    """What a wrong value is of the right one, where arithmetic is certain of it: exact to 1e-5 in at least two
    numbers that differ from each other (and from 0, for a factor). None if nothing is certain."""
    pairs = [*_pairs(given, wanted)]
    if any(_numbers(right) is None and not isinstance(right, list | tuple) for _, right in pairs):
        return None
    return misfit(given, wanted) or common(given, wanted, constants) or next(filter(None, starmap(_sums, pairs)), None)


def misfit(given: Any, wanted: Any) -> str | None:
    """What keeps a value from being compared with numbers, one by one: its kind, its shape, NaN or infinity."""
    told = (tell(*pair) for pair in _pairs(given, wanted) for tell in (_kind, _shape, _not_finite))
    return next(filter(None, told), None)


def common(given: Any, wanted: Any, constants: Mapping[str, float] = {}) -> str | None:
    """A relation of numbers that holds over all parts at once; a `misfit` must have been looked for before."""
    pairs = [(_numbers(one), _numbers(other)) for one, other in _pairs(given, wanted)]
    coarse = next((one.dtype for one, _ in pairs if one.dtype in (torch.float16, torch.bfloat16)), None)
    pairs = [(one.double(), right.double()) for one, right in pairs if right.numel()]
    if not pairs or not all(right.isfinite().all() for _, right in pairs):
        return None
    given, wanted = (torch.cat([pair[side].flatten() for pair in pairs]) for side in (0, 1))
    largest = wanted.abs().max()
    spread = _differ(wanted, largest)  # else a shift would always fit
    if spread and not given.any():
        return "all its values are 0"
    at = wanted.abs().argmax()
    factor, shift = (given[at] / wanted[at]).item(), (given[at] - wanted[at]).item()
    if factor and _differ(wanted[wanted.abs() > 1e-3 * largest], largest) and _close(given, factor * wanted):
        return f"this is the right value {_factor(factor, {right.shape for _, right in pairs}, constants)}"
    if spread and _close(given - shift, wanted):
        return f"this is the right value {'plus' if shift > 0 else 'minus'} {abs(shift):.4g} in every place"
    off = max(((one - right).abs().max() / right.abs().max().clamp_min(1e-300)).item() for one, right in pairs)
    if off < 0.01:
        why = f"{coarse} holds few digits" if coarse else "a rounded number, an added epsilon, or a search cut short?"
        return f"this is near the right value, but up to {100 * off:.2g} % off: {why}"
    if spread and _close(given.sort().values, wanted.sort().values):
        return "these are the right values in another order"
    return None


def _parts(value: Any) -> list | None:
    """The parts of a list or tuple, the rows of a tensor or an array; None of anything else."""
    rows = hasattr(value, "dtype") and getattr(value, "ndim", 0) > 0
    return [*value] if rows or isinstance(value, list | tuple) else None


def _pairs(given: Any, wanted: Any) -> Iterator[tuple[Any, Any]]:
    """Parts of `given` beside those of `wanted`, down to the tensors; both whole where they don't match."""
    parts = _parts(given)
    if not isinstance(wanted, list | tuple) or parts is None or len(parts) != len(wanted):
        yield given, wanted
        return
    for one, other in zip(parts, wanted, strict=True):
        yield from _pairs(one, other)


def _numbers(value: Any) -> Tensor | None:
    """A value as a tensor on the CPU, without its history; None if it isn't numbers."""
    if not (isinstance(value, Number | list | tuple) or hasattr(value, "dtype")):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # arrays that can't be written to, lists of tensors with a history
            numbers = torch.as_tensor(value).detach().cpu()
            return numbers if numbers.layout == torch.strided else numbers.to_dense()
    except (TypeError, ValueError, RuntimeError):
        return None


def _close(given: Tensor, wanted: Tensor, relative: float = 1e-5, absolute: float = 1e-7) -> bool:
    """Equal in shape and, up to rounding, in value."""
    if given.shape != wanted.shape or given.is_complex() != wanted.is_complex():
        return False
    wide = torch.complex128 if given.is_complex() else torch.float64
    return torch.allclose(given.to(wide), wanted.to(wide), rtol=relative, atol=absolute, equal_nan=True)


def _dtype(given: Any, wanted: Any) -> str | None:
    """Where the values are right, and the dtype will hurt: truth values, and tensors of indices."""
    numbers, right = _numbers(given), _numbers(wanted)
    if right is None:
        return None
    but = f"the values are right, but in {numbers.dtype}"
    if (numbers.dtype == torch.bool) != (right.dtype == torch.bool):
        return f"{but}: {'True and False' if right.dtype == torch.bool else 'numbers'} are wanted"
    if not right.dim() or not hasattr(given, "dtype") or numbers.is_floating_point() == right.is_floating_point():
        return None
    kind = "floating point is wanted, as losses take it" if right.is_floating_point() else "indices are whole numbers"
    return f"{but}: {kind}"


def _kind(given: Any, wanted: Any) -> str | None:
    """What came isn't numbers, or not as many things as are wanted."""
    if given is ...:
        return "a part of this is not filled in yet"
    if given is None:
        return "this is None: is a `return` missing?"
    if isinstance(wanted, list | tuple):
        parts = _parts(given)
        return f"{len(wanted)} values are wanted, in a tuple; {'one' if parts is None else len(parts)} came"
    numbers = _numbers(given)
    if numbers is not None:
        complex_came = numbers.is_complex() and not torch.as_tensor(wanted).is_complex()
        return "this is complex: real numbers are wanted" if complex_came else None
    if isinstance(given, list | tuple) and given and all(isinstance(one, Tensor) for one in given):
        return f"this is a {type(given).__name__} of {len(given)} tensors: torch.stack or torch.cat makes one of them"
    return f"this is {show(given)} ({came(given)}): numbers are wanted"


def _shape(given: Any, wanted: Any) -> str | None:
    given, wanted = _numbers(given), _numbers(wanted)
    if given.dim() == 2 and _close(given.T, wanted) and not _close(given, wanted):
        return "this is the right value transposed"
    if given.shape == wanted.shape:
        return None
    shapes = f"the shape is {shape(given)}, {shape(wanted)} is wanted"
    if given.numel() == wanted.numel() and given.squeeze().shape == wanted.squeeze().shape:
        right = _close(given.reshape(wanted.shape), wanted)
        return f"{'the values are right, but ' if right else ''}{shapes}: an axis of length 1 too many or too few"
    for larger, smaller, tell in (
        (given, wanted, "the {} over {} is missing, it would be right then"),
        (wanted, given, "this is the {} of the right values over {}: one value for each is wanted"),
    ):
        for axis in (*range(larger.dim()), None):
            over = "all" if axis is None else f"axis {axis}"
            for name, value in (("mean", larger.double().mean(axis)), ("sum", larger.double().sum(axis))):
                if larger.numel() > smaller.numel() and _close(value, smaller):
                    return f"{tell.format(name, over)}; {shapes}"
    return shapes


def _not_finite(given: Any, wanted: Any) -> str | None:
    given, wanted = _numbers(given), _numbers(wanted)
    if not (bad := ~given.isfinite() & wanted.isfinite()).any():
        return None
    kind = "nan" if given[bad].isnan().any() else "infinite"
    count = f"{int(bad.sum())} of {given.numel()} values" if given.dim() else "this"
    return f"{count} came out {kind}, not finite: look for log(0), 0 · inf, 0 / 0, or exp of a large number"


def _differ(numbers: Tensor, size: Tensor) -> bool:
    """Whether there are two that differ, by more than a thousandth of `size`."""
    return bool(numbers.numel() and numbers.max() - numbers.min() > 1e-3 * size)


def _factor(factor: float, shapes: set[tuple[int, ...]], constants: Mapping[str, float]) -> str:
    """A factor in words: those that are given, units, the sign, the lengths of the first and the last axis."""
    if math.isclose(factor, -1, rel_tol=1e-5):
        return "with the other sign"
    times = f"times {factor:.4g}" if abs(factor) >= 1 else f"divided by {1 / factor:.4g}"
    for value, words in ((1 / math.log(2), "bits in place of nats"), (math.log(2), "nats in place of bits")):
        if math.isclose(factor, value, rel_tol=1e-5):
            return f"{times}: {words}"
    lengths = shapes.pop() if len(shapes) == 1 else ()
    axes = {"the number of rows": lengths[0], "the number of columns": lengths[-1]} if lengths else {}
    for words, value in {**constants, **axes}.items():
        if value not in (0, 1) and any(math.isclose(factor, one, rel_tol=1e-5) for one in (value, 1 / value)):
            return f"{times}, {words}"
    return times


def _sums(given: Any, wanted: Any) -> str | None:
    """Probabilities are wanted, and these don't sum to 1."""
    given, wanted = _numbers(given).double(), _numbers(wanted).double()
    if not wanted.dim() or not wanted.numel() or wanted.min() < 0:
        return None
    to_one = [bool(((sums - 1).abs() < 1e-4).all()) for sums in (wanted.sum(-1), given.sum(-1), given.sum(0))]
    if to_one[:2] != [True, False]:
        return None
    if to_one[2]:
        return "this sums to 1 over the first axis: probabilities must sum to 1 over the classes, the last one"
    return f"these probabilities must sum to 1 over the last axis; the first sum is {given.sum(-1).flatten()[0]:.4g}"
