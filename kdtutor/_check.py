"""Checks of arguments, shared by all modules: each raises one sentence that names the argument, what came and
what is allowed."""

import math
from collections.abc import Sequence
from numbers import Integral, Real

from torch import Tensor


def check_positive(name: str, value: float) -> None:
    if not isinstance(value, Real) or not 0 < value < math.inf:
        raise ValueError(f"{name} must be a finite number > 0, got {value!r}")


def check_fraction(name: str, value: float) -> None:
    if not isinstance(value, Real) or not 0 <= value <= 1:
        raise ValueError(f"{name} must be a number from 0 to 1, got {value!r}")


def check_count(name: str, value: int) -> None:
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} must be a whole number >= 1, got {value!r}")


def check_distinct(name: str, values: Sequence[object]) -> None:
    if not values or len({*values}) < len(values):
        raise ValueError(f"{name} must hold at least one value, and none twice, got {values}")


def check_seed(seed: int) -> None:
    if not isinstance(seed, Integral) or isinstance(seed, bool):
        raise ValueError(f"seed must be a whole number, got {seed!r}")


def check_logits(name: str, logits: Tensor) -> None:
    """Logits are floating point, (..., C), with at least one row and one class."""
    if not isinstance(logits, Tensor) or not logits.is_floating_point():
        raise TypeError(f"{name} must be a floating-point tensor (..., classes), got {describe_type(logits)}")
    if logits.dim() < 1 or logits.numel() == 0:
        raise ValueError(f"{name} must hold at least one row of logits (..., classes), got shape {shape(logits)}")


def check_pair(student_logits: Tensor, teacher_logits: Tensor) -> None:
    """Student and teacher must score the same examples and the same classes."""
    check_logits("student_logits", student_logits)
    check_logits("teacher_logits", teacher_logits)
    if student_logits.shape != teacher_logits.shape:
        raise ValueError(
            "student_logits and teacher_logits must have one shape (..., classes), "
            f"got {shape(student_logits)} and {shape(teacher_logits)}"
        )


def check_labels(labels: Tensor, logits: Tensor) -> None:
    """Labels are int64 class indices, one per row of logits. The range is read on the CPU only: on a GPU it would
    make the host wait in each step."""
    if not isinstance(labels, Tensor) or labels.dtype.is_floating_point or labels.dtype.is_complex:
        raise TypeError(f"labels must be a tensor of class indices (int64), got {describe_type(labels)}")
    if labels.shape != logits.shape[:-1]:
        raise ValueError(f"labels must have shape {shape(logits[..., 0])}, one per row of logits, got {shape(labels)}")
    if labels.device.type == "cpu":
        classes = logits.shape[-1]
        low, high = labels.aminmax()
        for extreme in (int(low), int(high)):
            if not 0 <= extreme < classes:
                raise ValueError(f"labels must lie in 0..{classes - 1} for {classes} classes, got {extreme}")


def shape(tensor: Tensor) -> tuple[int, ...]:
    return tuple(tensor.shape)


def describe_type(value: object) -> str:
    """What a message says of a value that isn't the tensor it should be: a tensor's dtype, else the type's name."""
    if isinstance(value, Tensor):
        return f"dtype {value.dtype}"
    return type(value).__name__
