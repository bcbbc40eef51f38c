"""How the time of training grows with the number of images, of hidden units and of students."""

from collections.abc import Iterator
from functools import partial
from statistics import median

import torch

from kdtutor.commands.benchmarks import timing
from kdtutor.commands.benchmarks.timing import EPOCH, Row
from kdtutor.data import Dataset
from kdtutor.models import mlp
from kdtutor.sweeps import sweep
from kdtutor.training import distill

EXAMPLES = 1_024


def time_growth(data: Dataset, quick: bool) -> Iterator[Row]:
    """Milliseconds of training 784-30-10 on 1,024 images as one number doubles; linear from where `times` stays 2."""
    few = data.test[:64]  # to be measured on, which costs next to nothing
    teacher_logits = torch.randn(EPOCH, 10)
    settings = {"epochs": 1, "batch_size": 64, "progress": False}

    def train_on_images(number: int) -> None:
        distill(mlp(784, 30, 10), teacher_logits[:number], data.train[:number], **settings)

    def train_units(number: int) -> None:
        distill(mlp(784, number, 10), teacher_logits[:EXAMPLES], data.train[:EXAMPLES], **settings)

    def train_students(number: int) -> None:
        sweep(
            lambda seed: mlp(784, 30, 10, seed=seed),
            Dataset("bench", data.train[:EXAMPLES], few, few),
            teacher_logits[:EXAMPLES],
            seeds=[0],
            temperature=[1.0 + i for i in range(number)],
            **settings,
        )

    cases = {  # what is counted: the function, and the first and last power of 2
        "images": (train_on_images, 6, 15),
        "units": (train_units, 3, 11),
        "students": (train_students, 0, 8),
    }
    for name, (function, first, last) in cases.items():
        if quick:
            last -= 1
        functions = {2**power: partial(function, 2**power) for power in range(first, last + 1)}
        seconds, _ = timing.in_turns(functions, repeats=3 if quick else 5)

        before = None
        for number, values in seconds.items():
            milliseconds = 1e3 * median(values)
            times = None if before is None else milliseconds / before
            yield {"of": name, "number": number, "ms": milliseconds, "times": times}
            before = milliseconds
