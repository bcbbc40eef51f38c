"""Few labels: the images as they are and in shifted views, short and long trainings, and other teachers."""

from functools import lru_cache

import torch

from kdtutor.course.evidence.digits import Digits
from kdtutor.course.evidence.protocol import Arm, Experiment, Measurement
from kdtutor.course.evidence.students import Lesson, labels_grid, soft_grid, swept
from kdtutor.data import Split, jitter
from kdtutor.evaluation import predict
from kdtutor.models import cnn, mlp
from kdtutor.sweeps import sweep
from kdtutor.training import train

LABELS = "learning from labels"
TEACHER = "learning from the teacher"
SAME_LABELS = "learning from a teacher of the same labels"
FIXED = "keeping the teacher's answers to the originals"
STEPS = (50, 200, 800, 2800)
BATCH = 100
ONE_RATE = (1e-3, 3e-3, 1e-2, 3e-2)


def few_labels(digits: Digits) -> list[Experiment]:
    """1,000 images as they are. The teacher knows all labels of the data set; a control knows only the student's."""

    def labels(seed: int) -> Lesson:
        return digits.drawn(1000, seed)[0], None

    def teacher(seed: int) -> Lesson:
        return digits.drawn(1000, seed)

    @lru_cache(maxsize=4)
    def teacher_of_same_labels(seed: int) -> Lesson:
        split, _ = digits.drawn(1000, seed)
        network = cnn(dropout=0.4, seed=seed + 1000)
        train(network, split, epochs=2 if digits.quick else 40, augment=jitter, seed=seed, progress=False)
        return split, predict(network, split)

    epochs = (25, 50, 100)
    one_layer = [
        Arm(LABELS, swept([50], labels, digits.data), labels_grid(epochs)),
        Arm(TEACHER, swept([50], teacher, digits.data), soft_grid(epochs)),
    ]
    two_layers = [
        Arm(LABELS, swept([100, 100], labels, digits.data), labels_grid(epochs)),
        Arm(TEACHER, swept([100, 100], teacher, digits.data), soft_grid(epochs)),
        Arm(SAME_LABELS, swept([100, 100], teacher_of_same_labels, digits.data), soft_grid(epochs)),
    ]
    return [
        Experiment("1,000 labels, 784-50-10", digits.data, one_layer),
        Experiment("1,000 labels, 784-100-100-10", digits.data, two_layers),
    ]


def views(digits: Digits) -> list[Experiment]:
    """The same images in 20 shifted views, for a given number of steps."""
    return [_views_for(digits, steps) for steps in STEPS]


def _views_for(digits: Digits, steps: int) -> Experiment:
    def part(seed: int) -> Split:
        """As many of the views as the steps can show, drawn at random."""
        split, _, _ = digits.drawn_views(1000, seed)
        return split[_rows(len(split), steps, seed)]

    def labels(seed: int) -> Lesson:
        return part(seed), None

    def teacher(seed: int) -> Lesson:
        split, answers, _ = digits.drawn_views(1000, seed)
        return part(seed), answers[_rows(len(split), steps, seed)]

    def fixed(seed: int) -> Lesson:
        split, _, answers_to_originals = digits.drawn_views(1000, seed)
        return part(seed), answers_to_originals[_rows(len(split), steps, seed)]

    epochs = (max(1, steps * BATCH // (digits.size(1000) * 20)),)
    arms = [
        Arm(LABELS, swept([50], labels, digits.data, BATCH), labels_grid(epochs)),
        Arm(TEACHER, swept([50], teacher, digits.data, BATCH), soft_grid(epochs)),
    ]
    if steps == STEPS[-1]:
        arms.append(Arm(FIXED, swept([50], fixed, digits.data, BATCH), soft_grid(epochs)))
    return Experiment(f"20 views of 1,000 labels, {steps:,} steps", digits.data, arms)


def _rows(total: int, steps: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(total, generator=generator)[: steps * BATCH]


def one_rate(digits: Digits) -> list[Measurement]:
    """Errors on labels minus errors with the teacher (T = 4, alpha = 1), both at the same learning rate."""

    def gains(seed: int) -> dict[str, float]:
        split, answers, _ = digits.drawn_views(1000, seed)
        table = sweep(
            lambda seed: mlp(784, 50, 10, seed=seed),
            type(digits.data)(digits.name, split, digits.data.validation, digits.data.test),
            answers,
            seeds=[seed],
            temperature=4.0,
            alpha=[0.0, 1.0],
            lr=ONE_RATE,
            epochs=10,
            batch_size=BATCH,
            progress=False,
        )
        result = {}
        for lr in ONE_RATE:
            (alone,), (distilled,) = (table.values("test_errors", lr=lr, alpha=alpha) for alpha in (0.0, 1.0))
            result[f"labels at {lr:g}"] = alone
            result[f"teacher at {lr:g}"] = distilled
            result[f"difference at {lr:g}"] = distilled - alone
        return result

    return [Measurement("20 views of 1,000 labels, one learning rate for both", gains)]
