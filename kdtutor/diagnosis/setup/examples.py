"""A sample of the data: the examples at which `check_run` looks, as student and teacher see them."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from kdtutor._check import describe_type, shape
from kdtutor.data import Split, as_input

SEED = 1503_02531  # of the sample: not 0, by which others draw their subsets and label noise
LARGEST = 64_000_000  # numbers in the sample's inputs: 256 MB in float32

Transform = Callable[[Tensor], Tensor]
Sample = tuple[Tensor, Tensor, Tensor | None]  # inputs (n, ...), labels (n,) and cached logits (n, C)


def read_sample(data: Any, examples: int, teacher_logits: Tensor | None) -> Sample:
    """Up to `examples` examples: drawn at random from a Split, and the first ones of batches."""
    if isinstance(data, Split):
        return _from_split(data, examples, teacher_logits)
    return _from_batches(data, examples, teacher_logits)


def _from_split(split: Split, examples: int, teacher_logits: Tensor | None) -> Sample:
    if teacher_logits is not None and len(teacher_logits) != len(split):
        expected = f"({len(split)}, C), one row per example"
        raise ValueError(f"teacher_logits must be {expected}, got {shape(teacher_logits)}")

    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(SEED))
    rows = order[: _affordable(split.inputs[0], examples)].sort().values
    inputs, labels = split.inputs[rows].cpu(), split.labels[rows].cpu()
    if inputs.dtype == torch.uint8:
        inputs = as_input(inputs, torch.float32)
    if teacher_logits is None:
        return inputs, labels, None
    return inputs, labels, teacher_logits[rows].cpu()


def _from_batches(data: Iterable, examples: int, teacher_logits: Tensor | None) -> Sample:
    batches: list[tuple[Tensor, ...]] = []
    count, size = 0, examples
    for batch in data:
        batches.append(_checked(batch))
        count += len(batches[-1][1])
        size = _affordable(batches[0][0][0], examples)
        if count >= size:
            break
    if not batches:
        raise ValueError("data must give at least one batch of (inputs, labels), got none")

    parts = {len(batch) for batch in batches}
    if len(parts) > 1 or (parts == {3} and teacher_logits is not None):
        raise ValueError("cached logits must come with every batch, or as teacher_logits, and not as both")
    inputs, labels, *cached_logits = (torch.cat(column)[:size] for column in zip(*batches, strict=True))
    if cached_logits:
        return inputs, labels, cached_logits[0]
    if teacher_logits is None:
        return inputs, labels, None
    if len(teacher_logits) < len(labels):
        expected = f"one row per example, {len(labels)} or more"
        raise ValueError(f"teacher_logits must have {expected}, got {len(teacher_logits)}")
    return inputs, labels, teacher_logits[: len(labels)].cpu()


def _affordable(example: Tensor, examples: int) -> int:
    """How many examples of this size to look at."""
    return min(examples, max(64, LARGEST // max(1, example.numel())))


def _checked(batch: object) -> tuple[Tensor, ...]:
    """A batch of tensors that belong together, on the CPU."""
    parts = batch if isinstance(batch, tuple | list) else [batch]
    if len(parts) not in (2, 3) or not all(isinstance(part, Tensor) for part in parts):
        kinds = ", ".join(map(describe_type, parts))
        raise TypeError(f"data must give tensors (inputs, labels) or (inputs, labels, teacher_logits), got {kinds}")

    inputs, labels = parts[:2]
    if labels.dtype.is_floating_point or labels.dim() != 1 or not len(labels) == len(inputs) > 0:
        raise ValueError(
            "data must give labels (B,), an integer for each of the inputs, "
            f"got {describe_type(labels)} {shape(labels)} for inputs {shape(inputs)}"
        )
    for logits in parts[2:]:
        if not logits.is_floating_point() or logits.dim() != 2 or len(logits) != len(labels):
            got = f"{describe_type(logits)} {shape(logits)}"
            raise ValueError(f"data's third part must be the teacher's logits ({len(labels)}, C), got {got}")
    return tuple(part.detach().cpu() for part in parts)


def transformed(name: str, transform: Transform | None, inputs: Tensor) -> Tensor:
    """The inputs after the transform; the inputs themselves stay as they are."""
    if transform is None:
        return inputs
    outputs = transform(inputs.clone())
    if not isinstance(outputs, Tensor):
        got = describe_type(outputs)
    elif outputs.dim() < 2 or len(outputs) != len(inputs):
        got = str(shape(outputs))
    else:
        return outputs.detach().cpu()
    raise ValueError(f"{name} must give a tensor with a row for each of {len(inputs)} inputs, got {got}")


def what_varies(data: Iterable, transform: Transform | None, inputs: Tensor) -> str:
    """What shows the student another view of the same example each time: "transform", "data", or "" if nothing."""
    few = inputs[:64]
    if not torch.equal(transformed("transform", transform, few), transformed("transform", transform, few)):
        return "transform"
    if isinstance(data, Split):
        return ""
    for first, second in _read_twice(data):
        if isinstance(first, Tensor) and not torch.equal(first, second):
            return "data"
    return ""


def _read_twice(data: Iterable) -> list[tuple[object, object]]:
    """Inputs that data gives for the same example, or examples, at two times."""
    dataset = getattr(data, "dataset", None)
    has_rows = hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")
    if not has_rows or isinstance(dataset, IterableDataset):
        first, second = next(iter(data)), next(iter(data))
        in_order = torch.equal(first[1], second[1])  # data that shuffles would give other examples
        return [(first[0], second[0])] if in_order else []

    pairs = []
    for row in range(min(4, len(dataset))):
        first, second = dataset[row], dataset[row]
        if isinstance(first, tuple | list):
            pairs.append((first[0], second[0]))
    return pairs
