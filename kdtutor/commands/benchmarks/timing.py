"""What the benchmarks share: functions that are timed in turns, and names for networks."""

import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any, TypeVar

Name = TypeVar("Name")
Sizes = tuple[int, ...]  # of the layers of an MLP
Row = dict[str, Any]

EPOCH_IMAGES = 55_000  # images that MNIST has for training


def in_turns(
    functions: Mapping[Name, Callable[[], Any]], repeats: int
) -> tuple[dict[Name, list[float]], dict[Name, Any]]:
    """Seconds of `repeats` calls of each function, in increasing order; and what each returned in a warm-up before.

    The functions take turns, so that a slow minute of the machine falls on all of them.
    """
    returned = {name: function() for name, function in functions.items()}

    seconds: dict[Name, list[float]] = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            seconds[name].append(time.perf_counter() - start)

    for values in seconds.values():
        values.sort()
    return seconds, returned


def medians(seconds: Mapping[Name, list[float]]) -> dict[Name, float]:
    """The median of each function's seconds."""
    return {name: median(values) for name, values in seconds.items()}


def network_name(sizes: Sizes) -> str:
    """(784, 30, 10) as "784-30-10"."""
    return "-".join(map(str, sizes))
