"""Distilling the networks of a `_batched.Stack`: each with its own temperature, alpha, learning rate and number of
epochs, on batches in the order of its own seed."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdtutor._batched import Stack
from kdtutor.data import Split, as_input
from kdtutor.fitting import OptimizerFactory, linear_decay
from kdtutor.losses import kl_by_example

Rate = tuple[float, int]  # a learning rate, and the number of epochs over which it falls


def distill_stack(
    networks: Sequence[nn.Module],
    teacher_logits: Tensor,
    split: Split,
    device: torch.device,
    *,
    seeds: Sequence[int],
    temperature: Sequence[float],
    alpha: Sequence[float],
    lr: Sequence[float],
    epochs: Sequence[int],
    batch_size: int,
    optimizer: OptimizerFactory,
    after_epoch: Callable[[int], object],
) -> list[bool]:
    """`training.distill` of all K networks in one computation, in place; says of each whether its loss stayed finite.

    Args:
        teacher_logits: (N, C), one row per example of the split.
        seeds: (S), one per group of a `Stack`: of its order of examples.
        temperature, alpha, lr, epochs: (K), one per network: first all of the first seed, and so on, with the same
            settings for each seed.
        optimizer: called as optimizer(tensors, lr=lr) for each pair of lr and epochs.
        after_epoch: called after each epoch with the number of networks that were in it.
    """
    examples = _Examples(split, teacher_logits, seeds, batch_size, device)
    rates = list(zip(lr, epochs, strict=True))
    optimizers = _Optimizers(Stack(networks, device), rates, optimizer)
    finite = torch.ones(len(networks), dtype=torch.bool)

    begun = 0
    for end in sorted({*epochs}):
        places = [k for k, length in enumerate(epochs) if length >= end]  # those that are finished have left
        stack = Stack([networks[k] for k in places], device)
        optimizers.move_to(stack, begun)
        loss = _Loss([temperature[k] for k in places], [alpha[k] for k in places], stack)
        for _ in range(begun, end):
            total = torch.zeros(len(places), device=device, dtype=loss.dtype)
            for inputs, targets, labels in examples.shuffled(stack.dtype):
                losses = loss(stack(inputs), targets, labels)
                stack.zero_grad()
                losses.sum().backward()  # no network's loss holds another's weights
                optimizers.step()
                total += losses.detach()
            optimizers.end_epoch()
            finite[places] &= total.isfinite().cpu()
            after_epoch(len(places))
        stack.write_back()
        begun = end
    return finite.tolist()


class _Examples:
    """A split's examples with the teacher's logits, in an order of its own for each of S seeds."""

    def __init__(
        self, split: Split, teacher_logits: Tensor, seeds: Sequence[int], batch_size: int, device: torch.device
    ) -> None:
        self.images = split.inputs.to(device)
        self.labels = split.labels.to(device)
        self.teacher_logits = teacher_logits.to(device)
        self.generators = [torch.Generator().manual_seed(int(seed)) for seed in seeds]
        self.batch_size = batch_size

    def shuffled(self, dtype: torch.dtype) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """An epoch's batches: inputs (B, S, ...), the teacher's logits (S, C, B), labels (S, B)."""
        orders = [torch.randperm(len(self.labels), generator=generator) for generator in self.generators]
        for index in torch.stack(orders, dim=1).to(self.labels.device).split(self.batch_size):  # (B, S)
            images = self.images.index_select(0, index.flatten()).unflatten(0, index.shape)
            yield as_input(images, dtype), self.teacher_logits[index].permute(1, 2, 0), self.labels[index].T


class _Loss:
    """The formula of `losses.distillation_loss`, for the K networks of a stack at once; as there a term of weight 0,
    which may be infinite, is left out."""

    def __init__(self, temperature: Sequence[float], alpha: Sequence[float], stack: Stack) -> None:
        self.dtype = torch.promote_types(stack.dtype, torch.float32)
        self.t = torch.tensor(temperature, device=stack.device, dtype=self.dtype)  # (K,)
        self.a = torch.tensor(alpha, device=stack.device, dtype=self.dtype)  # (K,)
        self.without_soft = self.a == 0
        self.without_hard = self.a == 1

    def __call__(self, logits: Tensor, targets: Tensor, labels: Tensor) -> Tensor:
        """Logits (K, C, B), the teacher's (S, C, B), labels (S, B) -> (K,)."""
        networks_per_seed = len(logits) // len(labels)
        logits = logits.to(self.dtype)
        targets = targets.to(self.dtype).repeat_interleave(networks_per_seed, dim=0)  # (K, C, B)
        labels = labels.repeat_interleave(networks_per_seed, dim=0)  # (K, B)
        soft = kl_by_example(logits, targets, self.t[:, None, None]).mean(1)  # (K,)
        hard = F.cross_entropy(logits, labels, reduction="none").mean(1)  # (K,)
        soft_term = (self.a * self.t**2 * soft).masked_fill(self.without_soft, 0)
        hard_term = ((1 - self.a) * hard).masked_fill(self.without_hard, 0)
        return soft_term + hard_term


class _Optimizers:
    """An optimizer, with its schedule, for each rate among a stack's networks. Each keeps its state, such as Adam's
    moments, when networks that are finished leave the stack."""

    def __init__(self, stack: Stack, rates: Sequence[Rate], factory: OptimizerFactory) -> None:
        # neighbours in the stack that have one rate are a run; a run's weights are parts of the stack's
        self.runs: list[tuple[Rate, list[Tensor]]] = []
        first = 0
        for rate, run in groupby(rates):
            last = first + len(list(run))
            parts = [weight.detach()[first:last].requires_grad_() for weight in stack.weights.values()]
            self.runs.append((rate, parts))
            first = last

        weights: dict[Rate, list[Tensor]] = {}
        for rate, parts in self.runs:
            weights.setdefault(rate, []).extend(parts)
        self.optimizers = {rate: factory(weights[rate], lr=rate[0]) for rate in weights}
        self.schedules = {rate: linear_decay(self.optimizers[rate], rate[1]) for rate in weights}

    def move_to(self, stack: Stack, epoch: int) -> None:
        """Train this stack from `epoch` on: of those that were given first, all that have more epochs than that."""
        self.runs = [(rate, parts) for rate, parts in self.runs if rate[1] > epoch]
        self.optimizers = {rate: optimizer for rate, optimizer in self.optimizers.items() if rate[1] > epoch}
        self.schedules = {rate: schedule for rate, schedule in self.schedules.items() if rate[1] > epoch}

        first = 0
        for _, parts in self.runs:
            last = first + len(parts[0])
            for part, weight in zip(parts, stack.weights.values(), strict=True):
                part.data = weight.detach()[first:last]
                part.grad = weight.grad[first:last]
            first = last

    def step(self) -> None:
        """Follow the gradients that the stack's weights have."""
        for optimizer in self.optimizers.values():
            optimizer.step()

    def end_epoch(self) -> None:
        """On to the next epoch's learning rates."""
        for schedule in self.schedules.values():
            schedule.step()
