"""Datasets that give one example at a time, such as torchvision's, read into two tensors."""

import operator
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from kdtutor._check import describe_type, shape


def stack(dataset: Any) -> tuple[Tensor, Tensor]:
    """All examples of a map-style dataset: inputs (N, ...) of their own dtype, labels (N,) int64.

    Raises TypeError where it has no length or no indices, or an example is no pair of a tensor, an array or a PIL
    image with a whole number; ValueError where it is empty, or where an input has another shape or dtype than the
    first.
    """
    if isinstance(dataset, Mapping):
        raise TypeError(f"dataset must give examples by index, 0 to N - 1, got a {type(dataset).__name__} of names")
    by_index = hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")
    if not by_index or isinstance(dataset, IterableDataset):
        raise TypeError(f"dataset must have a length and give examples by index, got {type(dataset).__name__}")
    if len(dataset) == 0:
        raise ValueError("dataset must hold at least one example, got none")

    inputs, labels = [], []
    for i in range(len(dataset)):
        example = dataset[i]
        if not isinstance(example, tuple | list) or len(example) != 2:
            raise TypeError(f"dataset must give pairs (input, label), got {_describe(example)} for example {i}")
        inputs.append(_input(example[0], i))
        labels.append(_label(example[1], i))
        _check_like(inputs[0], inputs[i], i)
    return torch.stack(inputs).detach(), torch.tensor(labels)


def _describe(example: object) -> str:
    if isinstance(example, tuple | list):
        return f"{type(example).__name__} of {len(example)}"
    return type(example).__name__


def _input(value: Any, i: int) -> Tensor:
    """An input as a tensor; a PIL image becomes (C, H, W), uint8 as a rule."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, np.ndarray):
        return torch.tensor(value)

    from torchvision.transforms.functional import pil_to_tensor

    try:
        return pil_to_tensor(value)
    except TypeError:
        got = type(value).__name__
        raise TypeError(f"inputs must be tensors, arrays or PIL images, got {got} for example {i}") from None


def _label(value: Any, i: int) -> int:
    try:
        return operator.index(value)
    except TypeError:
        got = describe_type(value)
        if getattr(value, "shape", ()):  # a tensor or an array, such as a one-hot label
            got = f"shape {shape(value)}"
        raise TypeError(f"labels must be whole numbers, got {got} for example {i}") from None


def _check_like(first: Tensor, value: Tensor, i: int) -> None:
    if value.shape != first.shape:
        raise ValueError(f"inputs must have one shape, got {shape(first)} for example 0 and {shape(value)} for {i}")
    if value.dtype != first.dtype:
        raise ValueError(f"inputs must have one dtype, got {first.dtype} for example 0 and {value.dtype} for {i}")
