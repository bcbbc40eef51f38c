"""The grid of a sweep: one row of settings for each student to come."""

from collections.abc import Callable, Iterable
from itertools import product
from numbers import Real
from typing import Any

import numpy as np
from torch import Tensor

from kdtutor._check import check_count, check_distinct, check_fraction, check_positive, check_seed

Row = dict[str, Any]


def grid(seeds: object, temperature: object, alpha: object, lr: object, epochs: object) -> list[Row]:
    """One row for each combination, the seeds of a combination side by side.

    At alpha = 0 (the student alone) the temperature plays no part and is None: one student for each seed, lr and
    number of epochs.
    Raises TypeError and ValueError for settings that aren't as `sweeps.sweep` wants them.
    """
    seed_values = _seeds(seeds)
    temperatures = _numbers("temperature", temperature, check_positive)
    alphas = _numbers("alpha", alpha, check_fraction)
    rates = _numbers("lr", lr, check_positive)
    lengths = [int(length) for length in _several("epochs", epochs, check_count)]

    soft_terms: list[tuple[float | None, float]] = []
    if 0 in alphas:
        soft_terms.append((None, 0.0))
    for weight in alphas:
        if weight > 0:
            soft_terms += [(t, weight) for t in temperatures]

    rows = []
    for length, rate, (t, weight), seed in product(lengths, rates, soft_terms, seed_values):
        rows.append({"seed": seed, "temperature": t, "alpha": weight, "lr": rate, "epochs": length})
    return rows


def _seeds(seeds: object) -> list[int]:
    if isinstance(seeds, Real) or not isinstance(seeds, Iterable):
        raise TypeError(f"seeds must be several seeds, such as range(5), got {seeds!r}")
    values = list(seeds)
    for seed in values:
        check_seed(seed)
    check_distinct("seeds", values)
    return [int(seed) for seed in values]


def _numbers(name: str, values: object, check: Callable[[str, float], None]) -> list[float]:
    return [float(number) for number in _several(name, values, check)]


def _several(name: str, values: object, check: Callable[[str, Any], None]) -> list[Any]:
    """A setting's values, given as a number or several, in a tensor, too."""
    if isinstance(values, Tensor | np.ndarray):
        values = values.tolist()  # of a single number without an axis: a number
    if isinstance(values, Real):
        values = [values]
    if not isinstance(values, Iterable):
        raise TypeError(f"{name} must be a number or several, got {values!r}")
    numbers = list(values)
    for number in numbers:
        check(name, number)
    check_distinct(name, numbers)
    return numbers
