"""Teachers like the student itself, and teachers in between: a network of its size, a smaller one, another student; an
assistant; a teacher of two tasks."""

from collections.abc import Callable
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdtutor.course.evidence.digits import Digits
from kdtutor.course.evidence.protocol import Arm, Experiment, Trained
from kdtutor.course.evidence.search import Settings
from kdtutor.course.evidence.students import Lesson, held_out_logits, labels_grid, soft_grid, swept
from kdtutor.course.evidence.studies.teachers import BATCH, EPOCHS, LABELS, TEACHER_RATE, TEACHER_SEEDS, taught
from kdtutor.data import Split
from kdtutor.evaluation import predict
from kdtutor.fitting import fit
from kdtutor.losses import cross_entropy, kl_divergence
from kdtutor.models import mlp
from kdtutor.training import distill

GENERATION_1 = "learning from a network like itself"
SMALL = "learning from a smaller network"
MUTUAL = "learning together with another student"
DIRECT = "learning from the teacher"
ASSISTED = "learning from the assistant"
ONE_TASK = "learning from a teacher of one task"
TWO_TASKS = "learning from a teacher of two tasks"


def generations(digits: Digits) -> list[Experiment]:
    """2,000 labels: a student of its teacher's size, one of a smaller teacher, and two that learn together."""

    def labels(seed: int) -> Lesson:
        return digits.drawn(2000, seed)[0], None

    def lesson_of(units: int, lr: float) -> Callable[[int], Lesson]:
        @lru_cache(maxsize=4)
        def lesson(seed: int) -> Lesson:
            split, _ = digits.drawn(2000, seed)
            return split, predict(taught(split, units, seed + TEACHER_SEEDS, 20, lr=lr), split)

        return lesson

    def together(seed: int, candidates: list[Settings]) -> list[Trained]:
        split, _ = digits.drawn(2000, seed)
        return [held_out_logits(train_together(split, seed, **settings), digits.data) for settings in candidates]

    same_size = [
        Arm(LABELS, swept([50], labels, digits.data), labels_grid(EPOCHS)),
        Arm(GENERATION_1, swept([50], lesson_of(50, lr=3e-2), digits.data), soft_grid(EPOCHS)),
        Arm(MUTUAL, together, {"lr": labels_grid(EPOCHS)["lr"], "epochs": EPOCHS}),
    ]
    reverse = [
        Arm(LABELS, swept([100], labels, digits.data), labels_grid(EPOCHS)),
        Arm(SMALL, swept([100], lesson_of(10, lr=1e-2), digits.data), soft_grid(EPOCHS)),
    ]
    return [
        Experiment("2,000 labels, 784-50-10", digits.data, same_size, longest=160),
        Experiment("2,000 labels, 784-10-10 teaches 784-100-10", digits.data, reverse, longest=160),
    ]


def train_together(split: Split, seed: int, lr: float, epochs: int) -> nn.Module:
    """One of two networks that learn from the labels and from each other at T = 1 (Zhang et al. 2017)."""
    pair = [mlp(784, 50, 10, seed=seed), mlp(784, 50, 10, seed=seed + TEACHER_SEEDS)]
    optimizers = [torch.optim.Adam(network.parameters(), lr=lr, fused=True) for network in pair]
    generator = torch.Generator().manual_seed(seed)
    for epoch in range(epochs):
        for optimizer in optimizers:
            optimizer.param_groups[0]["lr"] = lr * (1 - epoch / epochs)
        for rows in torch.randperm(len(split), generator=generator).split(BATCH):
            images = split.inputs[rows] / 255
            logits = [network(images) for network in pair]
            for own, other, optimizer in zip(logits, logits[::-1], optimizers, strict=True):
                loss = cross_entropy(own, split.labels[rows]) + kl_divergence(own, other.detach())
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    return pair[0]


def assistant(digits: Digits) -> list[Experiment]:
    """The convolutional teacher answers 6,000 images; a student of 15 units learns from it, or from an assistant of 100
    units that learnt from it."""

    def direct(seed: int) -> Lesson:
        return digits.drawn(6000, seed)

    @lru_cache(maxsize=4)
    def assisted(seed: int) -> Lesson:
        split, answers = digits.drawn(6000, seed)
        network = mlp(784, 100, 10, seed=seed + TEACHER_SEEDS)
        distill(
            network, answers, split, alpha=1.0, epochs=20, lr=TEACHER_RATE, batch_size=BATCH, seed=seed, progress=False
        )
        return split, predict(network, split)

    grid = soft_grid(EPOCHS, alphas=(1.0,))
    arms = [
        Arm(DIRECT, swept([15], direct, digits.data), grid),
        Arm(ASSISTED, swept([15], assisted, digits.data), grid),
    ]
    return [Experiment("an assistant for 784-15-10", digits.data, arms, longest=160)]


def tasks(digits: Digits) -> list[Experiment]:
    """Teachers of 2,000 labels: of the digit alone, or of the digit and its ink in quarters. Their students learn the
    digit on 4,000 other images."""

    def lesson_of(weight_of_ink: float) -> Callable[[int], Lesson]:
        @lru_cache(maxsize=4)
        def lesson(seed: int) -> Lesson:
            pool, _ = digits.drawn(6000, seed)
            known, unknown = pool[: digits.size(2000)], pool[digits.size(2000) :]
            return unknown, predict(_teacher_of_tasks(known, weight_of_ink, seed), unknown)[:, :10]

        return lesson

    grid = soft_grid(EPOCHS, alphas=(1.0,))
    arms = [
        Arm(ONE_TASK, swept([50], lesson_of(0.0), digits.data), grid),
        Arm(TWO_TASKS, swept([50], lesson_of(1.0), digits.data), grid),
    ]
    return [Experiment("a second task", digits.data, arms, longest=160)]


def _teacher_of_tasks(split: Split, weight_of_ink: float, seed: int) -> nn.Module:
    """784-100-14: ten outputs for the digit, four for how much ink it has."""
    ink = split.inputs.double().mean((1, 2, 3))
    quarter = torch.bucketize(ink, ink.quantile(torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64)))

    def loss(logits: Tensor, inputs: Tensor, digit: Tensor, index: Tensor) -> Tensor:
        ink_loss = F.cross_entropy(logits[:, 10:], quarter[index])
        return F.cross_entropy(logits[:, :10], digit) + weight_of_ink * ink_loss

    network = mlp(784, 100, 14, seed=seed + TEACHER_SEEDS)
    fit(network, split, loss, epochs=30, lr=TEACHER_RATE, batch_size=BATCH, seed=seed, progress=False)
    return network
