"""The search for settings: a walk along one axis at a time. Knows nothing of students, only of their loss."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

Settings = dict[str, float]

LEAST_GAIN = 0.01  # of the loss, for a step: less is luck


@dataclass(frozen=True)
class Choice:
    """What was chosen for an arm; the axes as they were in the end; and those whose choice lies at their limit."""

    settings: Settings
    axes: dict[str, list[float]]
    at_limit: list[str] = field(default_factory=list)


def choose(
    grid: Mapping[str, Sequence[float]],
    loss: Callable[[Sequence[Settings]], Sequence[float]],
    limits: Mapping[str, tuple[float, float]],
    widen: bool = True,
    others: Sequence[Settings] = (),
) -> Choice:
    """The settings from which no step along an axis gains, beginning in the middle of the grid.

    One walk may end where a better place lies further off. So what was chosen for others is tried, too, and where it is
    better, the walk goes on from there.

    Args:
        grid: values of each axis.
        loss: loss(several settings) -> one number for each; asked again about settings that it has seen.
        limits: how far each axis may grow.
        widen: whether an axis grows when its end is reached.
        others: settings, of which the axes that `grid` has, too, with several values, are tried.
    """
    axes = {name: sorted(values) for name, values in grid.items()}
    middle = {name: values[len(values) // 2] for name, values in axes.items()}
    best = _walk(middle, axes, loss, limits, widen)
    for other in others:
        shared = {name: value for name, value in other.items() if len(axes.get(name, ())) > 1}
        start = {**best, **shared}
        loss_there, least = loss([start, best])
        if loss_there < least:
            for name, value in shared.items():
                axes[name] = sorted({*axes[name], value})
            best = _walk(start, axes, loss, limits, widen)

    at_limit = []
    for name, values in axes.items():
        if len(values) > 1 and best[name] in (values[0], values[-1]):
            at_limit.append(name)
    return Choice(best, axes, at_limit)


def _walk(
    best: Settings,
    axes: dict[str, list[float]],
    loss: Callable[[Sequence[Settings]], Sequence[float]],
    limits: Mapping[str, tuple[float, float]],
    widen: bool,
) -> Settings:
    """From `best` along one axis after the other, until none moves it; `axes` grow in place."""
    moved = True
    while moved:
        start = best
        for name, values in axes.items():
            if len(values) > 1:
                best = _best_on_axis(best, name, values, loss, limits[name] if widen else None)
        moved = best != start
    return best


def _best_on_axis(
    best: Settings,
    name: str,
    values: list[float],
    loss: Callable[[Sequence[Settings]], Sequence[float]],
    limits: tuple[float, float] | None,
) -> Settings:
    """Step by step along one axis, as long as a step gains; `values` grows in place where its end is reached."""
    while True:
        if limits is not None:
            _grow(values, best[name], limits)
        place = values.index(best[name])
        neighbours = values[max(0, place - 1) : place + 2]
        candidates = [{**best, name: value} for value in neighbours]
        losses = dict(zip(neighbours, loss(candidates), strict=True))
        lowest = min(losses, key=lambda value: losses[value])
        if losses[lowest] >= (1 - LEAST_GAIN) * losses[best[name]] and losses[best[name]] < inf:
            return best
        if lowest == best[name]:  # all of them diverged
            return best
        best = {**best, name: lowest}


def _grow(values: list[float], best: float, limits: tuple[float, float]) -> None:
    """Add the value beyond each end of an axis that is the best, by the ratio of the two last, where there is room."""
    beyond = []
    if best == values[-1]:
        beyond.append(values[-1] ** 2 / values[-2])
    if best == values[0]:
        beyond.append(values[0] ** 2 / values[1])
    low, high = limits
    for value in beyond:
        value = min(max(float(f"{value:.2g}"), low), high)
        if all(isinstance(v, int) for v in values):
            value = round(value)
        if value not in values:
            values.append(value)
    values.sort()
