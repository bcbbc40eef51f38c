"""A convolutional student with a tenth of its teacher's parameters and less, where labels are few and images many."""

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor, nn

from kdtutor.course.evidence.digits import Digits
from kdtutor.course.evidence.protocol import Arm, Experiment
from kdtutor.course.evidence.students import labels_grid, singly, soft_grid
from kdtutor.course.evidence.studies.teachers import TEACHER_SEEDS
from kdtutor.data import Split, jitter
from kdtutor.evaluation import predict
from kdtutor.models import cnn
from kdtutor.training import train
from kdtutor.views import Views

FEW = "learning from 1,000 labels"
FEW_SHIFTED = "learning from 1,000 labels in shifted views"
SOFT = "learning from the teacher's probabilities"
HARD = "learning from the teacher's hard answers"
SOFT_OF_SAME = "learning from the probabilities of a teacher of the same 1,000 labels"
ALL = "learning from the labels of all 10,000 images"
ALL_SHIFTED = "learning from all 10,000 labels in shifted views"
SOFT_SHIFTED = "learning from the teacher's probabilities on shifted views"

CHANNELS, HIDDEN = 4, 32
# Chosen on validation images: after 100 epochs of 1,000 shifted images at 1e-3, 2e-3, 4e-3 and 8e-3 there are 371, 303,
# 243 and 225 errors.
TEACHER_EPOCHS, TEACHER_RATE = 100, 8e-3


def student(seed: int | None = None) -> nn.Sequential:
    """13,242 parameters, where the teacher has 206,922."""
    return cnn(CHANNELS, HIDDEN, seed=seed)


def small_student(digits: Digits) -> list[Experiment]:
    """1,000 images have labels, 9,000 more have none; the teacher can be asked about all of them. Each student sees as
    many images in all: 10 epochs of 10,000. The course's teacher knows the labels of all training images; that of the
    control knows the same 1,000 as the student."""

    def images(seed: int) -> tuple[Split, Tensor]:
        return digits.drawn(10000, seed)

    def few(seed: int) -> tuple[Split, None]:
        """The labelled ones, ten times over, so that an epoch is as long as the others'."""
        split = images(seed)[0][: digits.size(1000)]
        return Split(split.inputs.repeat(10, 1, 1, 1), split.labels.repeat(10)), None

    def labelled(seed: int) -> tuple[Split, None]:
        return images(seed)[0], None

    def hard(seed: int) -> tuple[Split, None]:
        split, answers = images(seed)
        return Split(split.inputs, answers.argmax(1)), None

    @lru_cache(maxsize=4)
    def of_same_labels(seed: int) -> tuple[Split, Tensor]:
        split = images(seed)[0]
        teacher = cnn(dropout=0.4, seed=seed + TEACHER_SEEDS)
        labelled = split[: digits.size(1000)]
        options = {"epochs": TEACHER_EPOCHS, "lr": TEACHER_RATE, "batch_size": 100, "seed": seed, "progress": False}
        train(teacher, labelled, augment=jitter, **options)
        return split, predict(teacher, split)

    @lru_cache(maxsize=4)
    def shifted(seed: int) -> tuple[Split, Views]:
        split, _ = images(seed)
        return split, Views(split, digits.teacher)

    def arm(name: str, lesson: Callable, grid: dict, augment=None) -> Arm:
        return Arm(name, singly(student, lesson, digits.data, augment), grid)

    epochs = (10,)
    rates = (3e-3, 1e-2, 3e-2)
    from_labels = labels_grid(epochs, rates)
    soft = soft_grid(epochs, rates, temperatures=(1.0, 4.0, 8.0), alphas=(1.0,))
    arms = [
        arm(FEW, few, from_labels),
        arm(FEW_SHIFTED, few, from_labels, jitter),
        arm(SOFT, images, soft),
        arm(HARD, hard, from_labels),
        arm(SOFT_OF_SAME, of_same_labels, soft),
        arm(ALL, labelled, from_labels),
        arm(ALL_SHIFTED, labelled, from_labels, jitter),
        arm(SOFT_SHIFTED, shifted, soft),
    ]
    return [Experiment("a small convolutional student", digits.data, arms)]


def multiply_adds(network: nn.Sequential) -> int:
    """Multiplications with a weight that one image of 28 x 28 takes."""
    x = torch.zeros(1, 1, 28, 28)
    count = 0
    for layer in network:
        y = layer(x)
        if isinstance(layer, nn.Linear):
            count += layer.weight.numel()
        elif isinstance(layer, nn.Conv2d):
            count += layer.weight.numel() * y[0, 0].numel()
        x = y
    return count
