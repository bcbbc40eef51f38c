"""Many students: together in one `sweep`, or one after the other by `distill`."""

from collections.abc import Iterator
from functools import partial
from itertools import product

import torch

from kdtutor.commands.benchmarks import timing
from kdtutor.commands.benchmarks.timing import Row, Sizes, medians, network_name
from kdtutor.data import Dataset
from kdtutor.models import mlp
from kdtutor.sweeps import sweep
from kdtutor.training import distill

EXAMPLES = 11_000  # in an epoch
CASES = (  # layer sizes, number of students
    *product(((784, 30, 10), (784, 128, 10)), (1, 8, 64)),
    *product(((784, 800, 800, 10),), (1, 2)),
)


def time_students(data: Dataset, quick: bool) -> Iterator[Row]:
    """Students per second, an epoch of 11,000 images each in batches of 64: `sweep` against `distill` one by one."""
    split = data.train[: 2_200 if quick else EXAMPLES]
    few = data.test[:64]  # to be measured on, which costs next to nothing
    small_data = Dataset("bench", split, few, few)
    teacher_logits = torch.randn(len(split), 10)

    def together(sizes: Sizes, count: int) -> None:
        settings = min(count, 16)  # per seed
        sweep(
            lambda seed: mlp(*sizes, seed=seed),
            small_data,
            teacher_logits,
            seeds=range(count // settings),
            temperature=[1.0 + i for i in range(settings)],
            epochs=1,
            batch_size=64,
            progress=False,
        )

    def one_by_one(sizes: Sizes, count: int) -> None:
        for seed in range(count):
            student = mlp(*sizes, seed=seed)
            distill(student, teacher_logits, split, seed=seed, epochs=1, batch_size=64, progress=False)

    for sizes, count in CASES:
        alone = min(count, 4)  # enough to know how long each takes
        functions = {"sweep": partial(together, sizes, count), "alone": partial(one_by_one, sizes, alone)}
        seconds, _ = timing.in_turns(functions, repeats=3 if quick else 5)
        middle = medians(seconds)
        scale = len(split) / EXAMPLES
        yield {
            "student": network_name(sizes),
            "students": count,
            "sweep": scale * count / middle["sweep"],
            "one by one": scale * alone / middle["alone"],
            "ratio": count / middle["sweep"] * middle["alone"] / alone,
            "from": count / seconds["sweep"][-1] * seconds["alone"][0] / alone,
            "to": count / seconds["sweep"][0] * seconds["alone"][-1] / alone,
        }
