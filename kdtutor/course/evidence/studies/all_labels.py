"""All labels: a student alone and distilled, in several widths and lengths, on images as they are and shifted."""

from functools import cache

from torch import Tensor

from kdtutor.course.evidence.digits import Digits
from kdtutor.course.evidence.protocol import Arm, Experiment
from kdtutor.course.evidence.students import Lesson, labels_grid, singly, soft_grid, swept
from kdtutor.data import jitter
from kdtutor.evaluation import predict
from kdtutor.models import mlp
from kdtutor.training import train

LABELS = "training on the labels"
TEACHER = "distilling from the convolutional teacher"
AT_1 = "distilling at T = 1"
WIDE = "distilling from 784-1200-1200-10"
LABELS_SHIFTED = "training on the labels of shifted images"
SCRIPT = "the article's T = 5 and alpha = 0.7"

BATCH = 256
RATES = (1e-3, 3e-3, 1e-2)
# Units in each of two layers, and epochs, beside 100 units and 10 epochs (`standard`); what takes longest last.
WIDTHS = ((30, 10), (5, 10), (30, 3), (5, 3), (100, 3), (5, 30), (30, 30), (100, 30), (300, 10))
LARGEST_WITH_TEN_SEEDS = 100  # units; wider students take a minute each, and have five
STANDARD = "all labels, 784-100-100-10, 10 epochs"


def standard(digits: Digits) -> list[Experiment]:
    """784-100-100-10 for 10 epochs, with the controls: T = 1, another teacher, shifted images with and without it."""
    epochs = (10,)
    data = digits.data

    def labels(seed: int) -> Lesson:
        return data.train, {"train": digits.answers, **digits.held_out_answers}

    def wide(seed: int) -> Lesson:
        return data.train, digits.wide_answers

    def network(seed: int):
        return mlp(784, 100, 100, 10, seed=seed)

    units = [100, 100]
    arms = [
        Arm(LABELS, swept(units, labels, data, BATCH), labels_grid(epochs, RATES)),
        Arm(TEACHER, swept(units, labels, data, BATCH), soft_grid(epochs, RATES)),
        Arm(AT_1, swept(units, labels, data, BATCH), soft_grid(epochs, RATES, temperatures=(1.0,))),
        Arm(
            LABELS_SHIFTED,
            singly(network, lambda seed: (data.train, None), data, augment=jitter, batch_size=BATCH),
            labels_grid(epochs, RATES),
        ),
    ]
    if digits.wide_answers is not None:
        arms.append(Arm(WIDE, swept(units, wide, data, BATCH), soft_grid(epochs, RATES)))
    return [Experiment(STANDARD, data, arms)]


def widths(digits: Digits) -> list[Experiment]:
    """Two hidden layers of 5 to 300 units, short, middle and long trainings; those of `standard` apart."""

    def lesson(seed: int) -> Lesson:
        return digits.data.train, digits.answers

    experiments = []
    for units, epochs in WIDTHS:
        train_all = swept([units, units], lesson, digits.data, BATCH)
        arms = [
            Arm(LABELS, train_all, labels_grid((epochs,), RATES)),
            Arm(TEACHER, train_all, soft_grid((epochs,), RATES, temperatures=(1.0, 4.0, 16.0))),
        ]
        seeds = 10 if units <= LARGEST_WITH_TEN_SEEDS else 5
        experiments.append(Experiment(capacity_name(units, epochs), digits.data, arms, seeds=seeds))
    return experiments


def capacity_name(units: int, epochs: int) -> str:
    """The name of an experiment with this width and length."""
    return f"all labels, 784-{units}-{units}-10, {epochs} epochs"


def script(digits: Digits) -> list[Experiment]:
    """The article's networks, T, alpha and number of epochs, with a teacher that is trained for 3 epochs."""
    data = digits.data

    @cache
    def answers(seed: int) -> Tensor:
        teacher = mlp(784, 512, 256, 10, seed=seed + 1000)
        train(teacher, data.train, epochs=3, batch_size=BATCH, lr=3e-3, seed=seed, progress=False)
        return predict(teacher, data.train)

    def lesson(seed: int) -> Lesson:
        return data.train, answers(seed)

    train_all = swept([128], lesson, data, BATCH)
    arms = [
        Arm(LABELS, train_all, labels_grid((5,), RATES)),
        Arm(SCRIPT, train_all, soft_grid((5,), RATES, temperatures=(5.0,), alphas=(0.7,))),
    ]
    return [Experiment("the article's script, 784-128-10, 5 epochs", data, arms)]
