"""Batches for a training loop, taken by index from whole tensors, so that there is no Python code per image."""

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from kdtutor._check import came
from kdtutor.data.splits import Split

Data = Split | Iterable[tuple[Tensor, Tensor]]
Augment = Callable[[Tensor, torch.Generator], Tensor]


def batches(
    data: Data,
    batch_size: int,
    device: torch.device,
    generator: torch.Generator | None = None,
    augment: Augment | None = None,
) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
    """(inputs, labels, index) of each batch: rows of a Split, shuffled if there is a generator; an iterable's own."""
    if isinstance(data, Split):
        images, labels = data.inputs.to(device), data.labels.to(device)
        order = torch.arange(len(data)) if generator is None else torch.randperm(len(data), generator=generator)
        for index in order.to(device).split(batch_size):
            inputs = images.index_select(0, index)  # ten times faster than images[index]
            yield inputs if augment is None else augment(inputs, generator), labels.index_select(0, index), index
        return
    for batch in data:
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            size = f" of {len(batch)}" if isinstance(batch, tuple | list) else ""
            raise TypeError(f"data must give pairs (inputs, labels), got {type(batch).__name__}{size}")
        if not all(isinstance(part, Tensor) for part in batch):
            raise TypeError(f"inputs and labels must be tensors, got {came(batch[0])} and {came(batch[1])}")
        yield batch[0].to(device), batch[1].to(device), None


def as_input(inputs: Tensor, dtype: torch.dtype) -> Tensor:
    """Images of uint8 become 0..1 in the model's precision; floating point takes that precision; others stay."""
    if inputs.dtype == torch.uint8:
        return inputs.to(dtype).div_(255)
    return inputs.to(dtype) if inputs.is_floating_point() else inputs
