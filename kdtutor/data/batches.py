"""Batches for a training loop, taken by index from whole tensors, so that there is no Python code per image."""

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from kdtutor._check import describe_type
from kdtutor.data.splits import JitteredSplit, Split

Data = Split | JitteredSplit | Iterable[tuple[Tensor, Tensor]]
Batch = tuple[Tensor, Tensor, Tensor | None]
Augment = Callable[[Tensor, torch.Generator], Tensor]


def batches(
    data: Data,
    batch_size: int,
    device: torch.device,
    generator: torch.Generator | None = None,
    augment: Augment | None = None,
) -> Iterator[Batch]:
    """(inputs, labels, index) of each batch, on `device`.

    A Split is cut into batches of batch_size, shuffled if there is a generator, and index (B,) says which rows they
    are; of a JitteredSplit, which rows in which view. An iterable gives its own batches, and index is None.

    augment is for the shuffled batches of training. Without a generator, as for measuring, a Split is shown in its
    order and unaugmented. Raises TypeError for an iterable of anything but pairs of tensors.
    """
    if isinstance(data, Split):
        for images, labels, index in _of_split(data, batch_size, device, generator):
            if augment is not None and generator is not None:
                images = augment(images, generator)
            yield images, labels, index
    elif isinstance(data, JitteredSplit):
        for images, labels, index in _of_split(data.split, batch_size, device, generator):
            images, view = data.show(images, generator)
            yield images, labels, len(data.split) * view.to(device) + index
    else:
        for batch in data:
            inputs, labels = _pair(batch)
            yield inputs.to(device), labels.to(device), None


def _of_split(
    split: Split, batch_size: int, device: torch.device, generator: torch.Generator | None
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    images = split.inputs.to(device)
    labels = split.labels.to(device)
    order = torch.arange(len(split))
    if generator is not None:
        order = torch.randperm(len(split), generator=generator)

    for index in order.to(device).split(batch_size):
        # index_select is ten times faster than images[index]
        yield images.index_select(0, index), labels.index_select(0, index), index


def _pair(batch: object) -> tuple[Tensor, Tensor]:
    """An iterable's batch, checked."""
    if not isinstance(batch, tuple | list):
        raise TypeError(f"data must give pairs (inputs, labels), got {type(batch).__name__}")
    if len(batch) != 2:
        raise TypeError(f"data must give pairs (inputs, labels), got {type(batch).__name__} of {len(batch)}")
    inputs, labels = batch
    if not isinstance(inputs, Tensor) or not isinstance(labels, Tensor):
        raise TypeError(f"inputs and labels must be tensors, got {describe_type(inputs)} and {describe_type(labels)}")
    return inputs, labels


def as_input(inputs: Tensor, dtype: torch.dtype) -> Tensor:
    """Images of uint8 become 0..1 in the model's precision; floating point takes that precision; others stay."""
    if inputs.dtype == torch.uint8:
        return inputs.to(dtype).div_(255)
    if inputs.is_floating_point():
        return inputs.to(dtype)
    return inputs
