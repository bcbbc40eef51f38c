"""Which teacher: larger, smaller, of smoothed or wrong labels, stopped early, or several; students 784-50-10."""

from collections.abc import Callable
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdtutor.course.evidence.digits import Digits
from kdtutor.course.evidence.protocol import Arm, Experiment
from kdtutor.course.evidence.students import Lesson, held_out_logits, labels_grid, soft_grid, swept
from kdtutor.data import Split, label_noise
from kdtutor.evaluation import predict
from kdtutor.metrics import errors
from kdtutor.models import Ensemble, mlp
from kdtutor.training import distill, train

LABELS = "learning from labels"
EPOCHS = (10, 20, 40)
BATCH = 100

UNITS_100 = "learning from a teacher of 100 units"
UNITS_10 = "learning from a teacher of 10 units"
UNITS_300 = "learning from a teacher of 300 units"
STOPPED = "learning from a teacher stopped early"
SMOOTHED = "learning from a teacher of smoothed labels"
TO_THE_END = "learning from a teacher trained to the end"
FOR_ERRORS = "choosing the student with the fewest errors"
FOR_AGREEMENT = "choosing the student that agrees most with its teacher"
ONE = "learning from one teacher of 800 labels"
TEN = "learning from ten teachers of 800 labels each"
ONE_OF_ALL = "learning from one teacher of all 8,000 labels"
TEN_OF_SAME = "learning from ten teachers of the same 800 labels"

TEACHER_SEEDS = 1000  # added to a student's seed: its teacher's
# Chosen on validation images: at 2e-3, 1e-2 and 3e-2 a network of 100 units and 3,000 labels makes 778, 637 and 654
# errors after 30 epochs; one of 50 units and 2,000 labels does best at 3e-2 (the arm of the labels in `generations`).
TEACHER_RATE = 1e-2


def taught(
    split: Split, units: int, seed: int, epochs: int, teacher: Tensor | None = None, lr: float = TEACHER_RATE
) -> nn.Module:
    """A network 784-units-10 of the labels of a split, or of the targets of `teacher` at T = 1."""
    network = mlp(784, units, 10, seed=seed)
    options = {"epochs": epochs, "batch_size": BATCH, "lr": lr, "seed": seed, "progress": False}
    if teacher is None:
        train(network, split, **options)
    else:
        distill(network, teacher, split, temperature=1.0, alpha=1.0, **options)
    return network


def kinds_of_teachers(digits: Digits) -> list[Experiment]:
    """Teachers of 3,000 labels, each with a new draw of labels, teach on 4,000 other images without labels. Teachers
    learn for 30 epochs; those that are stopped early for 3."""

    def smooth(split: Split) -> Tensor:
        return torch.log(0.9 * F.one_hot(split.labels, 10) + 0.01)

    def lesson_of(units: int, epochs: int = 30, smoothed: bool = False) -> Callable[[int], Lesson]:
        @lru_cache(maxsize=4)
        def lesson(seed: int) -> Lesson:
            pool, _ = digits.drawn(7000, seed)
            known, unknown = pool[: digits.size(3000)], pool[digits.size(3000) :]
            teacher = taught(known, units, seed + TEACHER_SEEDS, epochs, smooth(known) if smoothed else None)
            return unknown, {"train": predict(teacher, unknown), **held_out_logits(teacher, digits.data)}

        return lesson

    lessons = {
        UNITS_100: lesson_of(100),
        UNITS_10: lesson_of(10),
        UNITS_300: lesson_of(300),
        STOPPED: lesson_of(100, epochs=3),
        SMOOTHED: lesson_of(100, smoothed=True),
    }
    grid = soft_grid(EPOCHS, alphas=(1.0,))
    arms = [Arm(name, swept([50], lesson, digits.data), grid) for name, lesson in lessons.items()]
    return [Experiment("teachers of 3,000 labels", digits.data, arms, longest=160)]


def fidelity(digits: Digits) -> list[Experiment]:
    """A teacher of 100 units and a student of 100 units have the same 3,000 labels; the student is chosen for few
    errors, or for agreement with its teacher."""

    @lru_cache(maxsize=4)
    def lesson(seed: int) -> Lesson:
        known, _ = digits.drawn(3000, seed)
        teacher = taught(known, 100, seed + TEACHER_SEEDS, 30)
        return known, {"train": predict(teacher, known), **held_out_logits(teacher, digits.data)}

    train_all = swept([100], lesson, digits.data)
    grid = soft_grid(EPOCHS)
    arms = [
        Arm(FOR_ERRORS, train_all, grid),
        Arm(FOR_AGREEMENT, train_all, grid, criterion="validation_disagreement"),
    ]
    return [Experiment("fidelity, 3,000 labels", digits.data, arms, longest=160)]


def wrong_labels(digits: Digits) -> list[Experiment]:
    """40 % of 3,000 labels are wrong, another draw with each seed, and the teacher learns from the same wrong labels:
    to the end, or for as long as its validation errors fall. Students of either side choose when to stop."""

    def noisy(seed: int) -> Split:
        return label_noise(digits.drawn(3000, seed)[0], 0.4, seed)

    def labels(seed: int) -> Lesson:
        return noisy(seed), None

    @lru_cache(maxsize=4)
    def to_the_end(seed: int) -> Lesson:
        split = noisy(seed)
        return split, predict(taught(split, 100, seed + TEACHER_SEEDS, 30), split)

    @lru_cache(maxsize=4)
    def stopped(seed: int) -> Lesson:
        split = noisy(seed)
        teachers = [taught(split, 100, seed + TEACHER_SEEDS, epochs) for epochs in (2, 4, 8)]
        held_out = digits.data.validation
        best = min(teachers, key=lambda teacher: errors(predict(teacher, held_out), held_out.labels))
        return split, predict(best, split)

    epochs = (5, 10, 30)
    arms = [
        Arm(LABELS, swept([50], labels, digits.data), labels_grid(epochs)),
        Arm(TO_THE_END, swept([50], to_the_end, digits.data), soft_grid(epochs)),
        Arm(STOPPED, swept([50], stopped, digits.data), soft_grid(epochs)),
    ]
    return [Experiment("3,000 labels, 40 % wrong", digits.data, arms)]


def ensembles(digits: Digits) -> list[Experiment]:
    """Networks of 100 units with 800 labels of their own teach a student on 4,000 other images; the controls are one
    teacher with all their labels, and ten that share the same 800."""

    def lesson_of(parts: int, labels_each: int, same: bool = False) -> Callable[[int], Lesson]:
        @lru_cache(maxsize=4)
        def lesson(seed: int) -> Lesson:
            pool, _ = digits.drawn(12000, seed)
            unlabelled = pool[digits.size(8000) :]
            members = []
            for part in range(parts):
                start = 0 if same else part * digits.size(labels_each)
                own = pool[start : start + digits.size(labels_each)]
                members.append(taught(own, 100, TEACHER_SEEDS + 10 * seed + part, 25))
            return unlabelled, predict(Ensemble(*members), unlabelled)

        return lesson

    lessons = {
        ONE: lesson_of(1, 800),
        TEN: lesson_of(10, 800),
        ONE_OF_ALL: lesson_of(1, 8000),
        TEN_OF_SAME: lesson_of(10, 800, same=True),
    }
    grid = soft_grid(EPOCHS, alphas=(1.0,))
    arms = [Arm(name, swept([50], lesson, digits.data), grid) for name, lesson in lessons.items()]
    return [Experiment("ten teachers", digits.data, arms, longest=160)]
