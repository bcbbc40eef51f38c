"""Values as learners bring them (numbers, tensors, arrays, lists, tuples): taken apart, compared, and shown."""

import warnings
from collections.abc import Iterator
from numbers import Number
from typing import Any

import torch
from torch import Tensor, nn

from kdtutor._check import shape
from kdtutor._text import one_line

MAX_SHOWN_CHARACTERS = 80  # of a value in a sentence; also how many parts of a list are looked at


def same(given: Any, wanted: Any) -> bool:
    """Equal numbers up to rounding (1e-4 of their size, or 1e-6), in equal shapes; NaN equals NaN, dtypes may differ.
    A number may stand for a tensor without axes, a tensor's rows for the parts of a list or tuple."""
    if isinstance(wanted, list | tuple):
        parts = parts_of(given)
        return parts is not None and len(parts) == len(wanted) and all(map(same, parts, wanted))

    given_numbers = numbers_of(given)
    wanted_numbers = numbers_of(wanted)
    if wanted_numbers is None:
        return type(given) is type(wanted) and given == wanted
    if given_numbers is None:
        return False
    return close(given_numbers, wanted_numbers, relative=1e-4, absolute=1e-6)


def close(given: Tensor, wanted: Tensor, relative: float = 1e-5, absolute: float = 1e-7) -> bool:
    """Equal in shape and, up to rounding, in value."""
    if given.shape != wanted.shape or given.is_complex() != wanted.is_complex():
        return False
    wide = torch.complex128 if given.is_complex() else torch.float64
    return torch.allclose(given.to(wide), wanted.to(wide), rtol=relative, atol=absolute, equal_nan=True)


def parts_of(value: Any) -> list | None:
    """The parts of a list or tuple, the rows of a tensor or an array; None for anything else."""
    has_rows = hasattr(value, "dtype") and getattr(value, "ndim", 0) > 0
    if has_rows or isinstance(value, list | tuple):
        return list(value)
    return None


def pairs_of(given: Any, wanted: Any) -> Iterator[tuple[Any, Any]]:
    """Parts of `given` beside those of `wanted`, down to the tensors; both whole where they don't match."""
    parts = parts_of(given)
    if not isinstance(wanted, list | tuple) or parts is None or len(parts) != len(wanted):
        yield given, wanted
        return
    for given_part, wanted_part in zip(parts, wanted, strict=True):
        yield from pairs_of(given_part, wanted_part)


def numbers_of(value: Any) -> Tensor | None:
    """A value as a tensor on the CPU, without its history; None if it isn't numbers."""
    if not isinstance(value, Number | list | tuple) and not hasattr(value, "dtype"):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # arrays that can't be written to, lists of tensors with a history
            numbers = torch.as_tensor(value).detach().cpu()
            if numbers.layout != torch.strided:
                numbers = numbers.to_dense()
            return numbers
    except (TypeError, ValueError, RuntimeError):
        return None


def show(value: Any) -> str:
    """A value in a few words: up to four numbers, or the shape and the first of them."""
    if isinstance(value, nn.Module):
        return "a model"
    if hasattr(value, "dtype"):
        return _show_numbers(value)

    if isinstance(value, list):
        text = f"[{_show_parts(value)}]"
    elif isinstance(value, tuple):
        text = f"({_show_parts(value)})"
    elif isinstance(value, float):
        text = f"{value:.4g}"
    else:
        text = one_line(repr(value))

    if len(text) > MAX_SHOWN_CHARACTERS:
        return f"{text[: MAX_SHOWN_CHARACTERS - 3]}..."
    return text


def _show_parts(value: list | tuple) -> str:
    return ", ".join(map(show, value[:MAX_SHOWN_CHARACTERS]))


def _show_numbers(value: Any) -> str:
    numbers = numbers_of(value)
    if numbers is None:
        return f"a {type(value).__name__}"
    if numbers.dim() == 0:
        return f"{numbers.item():.4g}"

    first = [_rounded(number) for number in numbers.flatten()[:4].tolist()]
    if numbers.dim() == 1 and len(numbers) <= 4:
        return str(first)
    return f"a tensor {shape(numbers)} that begins {', '.join(map(str, first))}"


def _rounded(number: Any) -> Any:
    """To four places after the point; of what would be 0 then, the first digits."""
    if not isinstance(number, float):
        return number
    return round(number, 4) or float(f"{number:.3g}")
