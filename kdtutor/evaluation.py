"""Measuring and predicting with any `nn.Module` over any data, on CPU or GPU.

In eval mode and without gradients; the model comes back on the device and in the mode that it had before.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from kdtutor._check import check_count
from kdtutor._device import dtype_of, on_device, pick_device, threads, threads_for
from kdtutor.data import Data, Split, as_input, batches
from kdtutor.losses import cross_entropy


@torch.no_grad()
def predict(
    model: nn.Module, data: Data | Tensor, *, batch_size: int = 256, device: str | torch.device | None = None
) -> Tensor:
    """The model's logits (N, C) on the CPU, in the order of `data`: a Split, inputs (N, ...), or an iterable of
    (inputs, labels).

    A loader that shuffles has an order of its own: `evaluate` measures on it. Raises ValueError for a bad batch_size
    and for data without a batch.
    """
    check_count("batch_size", batch_size)
    device = pick_device(device)
    dtype = dtype_of(model)

    known_inputs = data if isinstance(data, Tensor) else _inputs_of(data)
    parts: Iterable[Tensor]
    if known_inputs is not None:
        parts = (part.to(device) for part in known_inputs.split(batch_size) if len(part))
    else:
        parts = (part for part, _, _ in batches(data, batch_size, device))

    with on_device(model, device, training=False), threads(threads_for(model, known_inputs, batch_size, device)):
        logits = [model(as_input(part, dtype)).cpu() for part in parts]
    if not logits:
        raise ValueError("data must give at least one batch of (inputs, labels), got none")
    return torch.cat(logits)


@torch.no_grad()
def evaluate(model: nn.Module, data: Data, *, device: str | torch.device | None = None) -> tuple[float, float]:
    """Mean cross-entropy at T = 1 (nats per example) and errors per 10,000 examples of `model` over `data`.

    Raises ValueError for data without a batch and for labels that the model has no class for.
    """
    device = pick_device(device)
    batch_size = 256
    dtype = dtype_of(model)
    means = RunningMeans()
    with on_device(model, device, training=False), threads(threads_for(model, _inputs_of(data), batch_size, device)):
        for inputs, labels, _ in batches(data, batch_size, device):
            logits = at_least_float32(model(as_input(inputs, dtype)))
            means.add(cross_entropy(logits, labels), logits, labels)
    return means.result()


class RunningMeans:
    """Mean loss and errors per 10,000 over examples, batch by batch.

    The sums stay on the batches' device: reading them in each step would make the host wait for a GPU.
    """

    def __init__(self) -> None:
        self.count = 0
        self.total_loss: Tensor | float = 0.0
        self.wrong: Tensor | int = 0

    def add(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """A batch with its mean loss, its logits (B, C) and its labels (B,)."""
        self.count += labels.numel()
        self.total_loss += loss.detach().float() * labels.numel()
        self.wrong += (logits.detach().argmax(-1) != labels).sum()

    def result(self) -> tuple[float, float]:
        """Mean loss and errors per 10,000 of all that was added. Raises ValueError if nothing was."""
        if not self.count:
            raise ValueError(
                "data must give at least one batch of (inputs, labels), got none (a generator lasts for one pass)"
            )
        return float(self.total_loss) / self.count, 10_000 * int(self.wrong) / self.count


def at_least_float32(logits: Tensor) -> Tensor:
    """Logits of half precision in float32: a loss of 16 bits would be too coarse."""
    if getattr(logits, "dtype", None) in (torch.float16, torch.bfloat16):
        return logits.float()
    return logits


def _inputs_of(data: Data) -> Tensor | None:
    return data.inputs if isinstance(data, Split) else None
