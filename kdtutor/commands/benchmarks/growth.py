"""How the time of training grows with the number of images, of hidden units and of students."""

from collections.abc import Iterator
from functools import partial
from statistics import median

import torch

from kdtutor.commands.benchmarks import timing
from kdtutor.commands.benchmarks.timing import Row
from kdtutor.data import Dataset
from kdtutor.models import mlp
from kdtutor.sweeps import sweep
from kdtutor.training import distill

EXAMPLES = 1_024


def time_growth(data: Dataset, quick: bool) -> Iterator[Row]:
    """Milliseconds of training 784-30-10 on 1,024 images as one number doubles; linear from where `times` stays 2."""
    powers_of_2 = {"images": range(6, 16), "units": range(3, 12), "students": range(9)}
    functions = {"images": _train_on_images, "units": _train_units, "students": _train_students}
    for name, function in functions.items():
        powers = powers_of_2[name]
        if quick:
            powers = powers[:-1]
        calls = {2**power: partial(function, data, 2**power) for power in powers}
        seconds, _ = timing.in_turns(calls, repeats=3 if quick else 5)

        before: float | None = None
        for number, values in seconds.items():
            milliseconds = 1e3 * median(values)
            times = None if before is None else milliseconds / before
            yield {"of": name, "number": number, "ms": milliseconds, "times": times}
            before = milliseconds


def _train_on_images(data: Dataset, number: int) -> None:
    """784-30-10 on this many images."""
    split = data.train[:number]
    distill(mlp(784, 30, 10), torch.zeros(len(split), 10), split, epochs=1, batch_size=64, progress=False)


def _train_units(data: Dataset, number: int) -> None:
    """A student with this many hidden units."""
    split = data.train[:EXAMPLES]
    distill(mlp(784, number, 10), torch.zeros(len(split), 10), split, epochs=1, batch_size=64, progress=False)


def _train_students(data: Dataset, number: int) -> None:
    """This many students 784-30-10 in one sweep."""
    split = data.train[:EXAMPLES]
    few = data.test[:64]  # to be measured on, which costs next to nothing
    sweep(
        lambda seed: mlp(784, 30, 10, seed=seed),
        Dataset("bench", split, few, few),
        torch.zeros(len(split), 10),
        seeds=[0],
        temperature=[1.0 + i for i in range(number)],
        epochs=1,
        batch_size=64,
        progress=False,
    )
