"""Which students of a sweep are trained together, in one computation of `_together`. All of it is decided here.

The rule:

1. Together are only networks that can be stacked (`_batched.stackable`), with the same settings for each seed:
   `distill_stack` wants it so.
2. A student that keeps all threads of a CPU busy by itself is trained alone: together nothing is gained.
3. Of the others as many as fit: into a CPU's cache, or a quarter of a GPU's free memory. The caller of `sweep` may name
   another number.
4. The first seeds come first, so that an interrupted sweep leaves as many complete pairs as it can.
"""

from collections.abc import Sequence

import torch
from torch import nn

from kdtutor._batched import stackable
from kdtutor._device import fits_one_thread
from kdtutor._grid import Row
from kdtutor.data import Dataset
from kdtutor.models import count_parameters
from kdtutor.results import SETTINGS

# Of a stack on a CPU: with gradients and Adam's moments 32 MB, about what a cache holds.
MAX_STACKED_WEIGHTS = 2_000_000
MAX_STACK_BYTES = 2**29  # where the free memory isn't known; activations included


def trained_together(students: Sequence[nn.Module]) -> bool:
    """Whether the students of a chunk are trained in one computation; else one by one (rule 1).

    Asked of each chunk, because a factory may give networks of several architectures.
    """
    return len(students) > 1 and stackable(students)


@torch.no_grad()
def how_many_at_once(student: nn.Module, data: Dataset, batch_size: int, device: torch.device) -> int:
    """How many such students to train together at most (rules 2 and 3)."""
    if not stackable([student]):
        return 1
    if device.type == "cpu" and not fits_one_thread(student, data.train.inputs, batch_size):
        return 1  # with convolutions much would be lost: cnn() at 0.6 to 1.0 times the speed of one by one

    # numbers that one example takes, all layers together
    weight = next(student.parameters())
    x = torch.zeros(1, *data.train.inputs.shape[1:], dtype=weight.dtype, device=weight.device)
    activations = x.numel()
    for layer in student.children():
        x = layer(x)
        activations += x.numel()

    weights = count_parameters(student)
    batch = min(batch_size, len(data.train))
    held_out = 2 * x.numel() * (len(data.validation) + len(data.test))  # logits, and a copy
    bytes_each = x.element_size() * (4 * weights + 3 * batch * activations + held_out)
    if device.type == "cuda":
        return max(1, torch.cuda.mem_get_info(device)[0] // 4 // bytes_each)
    if device.type == "cpu":
        return max(1, min(MAX_STACK_BYTES // bytes_each, MAX_STACKED_WEIGHTS // weights))
    return max(1, MAX_STACK_BYTES // bytes_each)


def chunks(rows: list[Row], at_once: int) -> list[list[int]]:
    """Places of the grid's rows to train together, at most `at_once` (rules 1 and 4).

    Within a chunk the rows go seed by seed, and each seed has the same combinations of settings in the same order.
    """
    seeds = list(dict.fromkeys(row["seed"] for row in rows))

    combinations = _combinations(rows)
    all_chunks = []
    for first in range(0, len(combinations), at_once):
        all_chunks += _seed_by_seed(combinations[first : first + at_once], at_once)
    return sorted(all_chunks, key=lambda chunk: seeds.index(rows[chunk[0]]["seed"]))


def _combinations(rows: list[Row]) -> list[list[int]]:
    """The combinations of settings, each as the places of its rows.

    All have one row per seed, in the grid's order of seeds, so that place number i is seed number i in each.
    """
    by_settings: dict[tuple[float | None, ...], list[int]] = {}
    for place, row in enumerate(rows):
        settings = tuple(row[name] for name in SETTINGS)
        by_settings.setdefault(settings, []).append(place)
    return list(by_settings.values())


def _seed_by_seed(combinations: list[list[int]], at_once: int) -> list[list[int]]:
    """Chunks of these combinations, whole seeds at a time, as many seeds as `at_once` allows."""
    by_seed = list(zip(*combinations, strict=True))  # for each seed the place of its row in each combination
    seeds_at_once = max(1, at_once // len(combinations))

    chunks_of_seeds = []
    for first in range(0, len(by_seed), seeds_at_once):
        chunk: list[int] = []
        for places in by_seed[first : first + seeds_at_once]:
            chunk += places
        chunks_of_seeds.append(chunk)
    return chunks_of_seeds
