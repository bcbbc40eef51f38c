"""Many students: together in one `sweep`, one after the other by `distill`, and reduced to their matrix products."""

from collections.abc import Iterator
from functools import partial
from itertools import pairwise, product

import torch

from kdtutor._device import CPU, threads, threads_for
from kdtutor.commands.benchmarks import timing
from kdtutor.commands.benchmarks.timing import Row, Sizes, medians, network_name
from kdtutor.data import Dataset
from kdtutor.models import mlp
from kdtutor.sweeps import sweep
from kdtutor.training import distill

EXAMPLES = 11_000  # in an epoch
BATCH_SIZE = 64
CASES = (  # layer sizes, number of students
    *product(((784, 30, 10), (784, 128, 10)), (1, 8, 64)),
    *product(((784, 800, 800, 10),), (1, 2)),
)


def groups(count: int) -> tuple[int, int]:
    """This many students as seeds, and settings per seed."""
    settings = min(count, 16)
    return count // settings, settings


def stacked_products(sizes: Sizes, count: int, examples: int, number: int) -> None:
    """The matrix products of an epoch of this many MLPs, forward and backward, and nothing else, on `number` threads.
    Those of one seed share the inputs of the first layer, and so its product."""
    seeds, _ = groups(count)
    first, *others = [torch.randn(count, outputs, inputs) for inputs, outputs in pairwise(sizes)]
    images = torch.randn(seeds, sizes[0], BATCH_SIZE)
    values = [torch.randn(count, size, BATCH_SIZE) for size in sizes[1:]]
    with threads(number):
        for _ in range(examples // BATCH_SIZE):
            first.view(seeds, -1, sizes[0]) @ images  # the first layer's outputs
            values[0].view(seeds, -1, BATCH_SIZE) @ images.mT  # the gradient with respect to its weights
            for layer, weight in enumerate(others, start=1):
                weight @ values[layer - 1]
                values[layer] @ values[layer - 1].mT
                weight.mT @ values[layer]  # the gradient with respect to its inputs


def time_students(data: Dataset, quick: bool) -> Iterator[Row]:
    """Students per second, an epoch of 11,000 images each in batches of 64: `sweep`, `distill` one by one, products."""
    split = data.train[: 2_200 if quick else EXAMPLES]
    few = data.test[:64]  # to be measured on, which costs next to nothing
    small_data = Dataset("bench", split, few, few)
    teacher_logits = torch.randn(len(split), 10)

    def together(sizes: Sizes, count: int) -> None:
        seeds, settings = groups(count)
        sweep(
            lambda seed: mlp(*sizes, seed=seed),
            small_data,
            teacher_logits,
            seeds=range(seeds),
            temperature=[1.0 + i for i in range(settings)],
            epochs=1,
            batch_size=BATCH_SIZE,
            progress=False,
        )

    def one_by_one(sizes: Sizes, count: int) -> None:
        for seed in range(count):
            student = mlp(*sizes, seed=seed)
            distill(student, teacher_logits, split, seed=seed, epochs=1, batch_size=BATCH_SIZE, progress=False)

    for sizes, count in CASES:
        alone = min(count, 4)  # enough to know how long each takes
        number = threads_for(mlp(*sizes), split.inputs, BATCH_SIZE, CPU, copies=count)
        functions = {
            "sweep": partial(together, sizes, count),
            "alone": partial(one_by_one, sizes, alone),
            "products": partial(stacked_products, sizes, count, len(split), number),
        }
        seconds, _ = timing.in_turns(functions, repeats=3 if quick else 5)
        middle = medians(seconds)
        scale = len(split) / EXAMPLES
        yield {
            "student": network_name(sizes),
            "students": count,
            "sweep": scale * count / middle["sweep"],
            "one by one": scale * alone / middle["alone"],
            "products": scale * count / middle["products"],
            "ratio": count / middle["sweep"] * middle["alone"] / alone,
            "from": count / seconds["sweep"][-1] * seconds["alone"][0] / alone,
            "to": count / seconds["sweep"][0] * seconds["alone"][-1] / alone,
            "sweep / products": middle["sweep"] / middle["products"],
        }
