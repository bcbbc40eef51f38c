"""Distilling the networks of a `_batched.Stack`: each with its own temperature, alpha, learning rate and number of
epochs, on batches in the order of its own seed."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

import torch
from torch import Tensor, nn

from kdtutor._batched import Stack
from kdtutor._closed_form import Objective, Part, ReluChain, is_relu_chain, step
from kdtutor.data import Split, as_input
from kdtutor.evaluation import at_least_float32
from kdtutor.fitting import OptimizerFactory, linear_decay

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
    stack = Stack(networks, device)
    loss_dtype = torch.promote_types(stack.dtype, torch.float32)
    examples = _Examples(split, teacher_logits.to(loss_dtype), seeds, batch_size, device)
    optimizers = _Optimizers(stack, list(zip(lr, epochs, strict=True)), optimizer)
    finite = torch.ones(len(networks), dtype=torch.bool)

    begun = 0
    for end in sorted({*epochs}):
        places = [k for k, length in enumerate(epochs) if length >= end]  # those that are finished have left
        stack = Stack([networks[k] for k in places], device)
        optimizers.move_to(stack, begun)
        objective = Objective([temperature[k] for k in places], [alpha[k] for k in places], loss_dtype, device)
        students = _with_gradients(stack)
        for _ in range(begun, end):
            total = torch.zeros(len(places), dtype=loss_dtype, device=device)
            for inputs, teacher_rows, labels in examples.shuffled(len(places)):
                logits = students.logits(as_input(inputs, stack.dtype))
                p = objective.soften(teacher_rows)
                students.backward(objective.gradient(logits, objective.targets(p, labels)))
                optimizers.step()
                total += objective.losses(logits, p, labels)
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
        self.inputs = split.inputs.to(device)
        self.labels = split.labels.to(device)
        self.teacher_logits = teacher_logits.to(device)
        self.generators = [torch.Generator().manual_seed(int(seed)) for seed in seeds]
        self.batch_size = batch_size

    def shuffled(self, networks: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """An epoch's batches for K networks: inputs (B, S, ...), the teacher's logits (K, C, B), labels (K, B)."""
        orders = [torch.randperm(len(self.labels), generator=generator) for generator in self.generators]
        networks_per_seed = networks // len(orders)
        for index in torch.stack(orders, dim=1).to(self.labels.device).split(self.batch_size):  # (B, S)
            inputs = self.inputs.index_select(0, index.flatten()).unflatten(0, index.shape)
            index_by_network = index.T.repeat_interleave(networks_per_seed, dim=0)  # (K, B)
            yield inputs, self.teacher_logits[index_by_network].transpose(1, 2), self.labels[index_by_network]


class _ByAutograd:
    """The gradients of any stack, with the methods of a `ReluChain`."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack

    def logits(self, inputs: Tensor) -> Tensor:
        self.outputs = self.stack(inputs)
        return at_least_float32(self.outputs.detach())

    def backward(self, gradient: Tensor) -> None:
        self.stack.zero_grad()
        self.outputs.backward(gradient.to(self.outputs.dtype))


def _with_gradients(stack: Stack) -> ReluChain | _ByAutograd:
    if not is_relu_chain(stack.networks[0]):
        return _ByAutograd(stack)
    weights = stack.weights.values()
    return ReluChain([weight.detach() for weight in weights], [weight.grad for weight in weights])


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

        self.parts: list[Part] = []
        first = 0
        for _, parts in self.runs:
            last = first + len(parts[0])
            for part, weight in zip(parts, stack.weights.values(), strict=True):
                part.data = weight.detach()[first:last]
                self.parts.append((part, part.data, weight.grad[first:last]))
            first = last

    def step(self) -> None:
        """Follow the gradients that the stack's weights have."""
        step(self.optimizers.values(), self.parts)

    def end_epoch(self) -> None:
        """On to the next epoch's learning rates."""
        for schedule in self.schedules.values():
            schedule.step()
