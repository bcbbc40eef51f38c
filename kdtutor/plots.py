"""Every figure of the course. A function draws into the Matplotlib axes that it is given, or into new ones, and returns
them. `plt.style.use("kdtutor.course")` is their style, in `course.mplstyle`."""

import math
from collections.abc import Sequence
from statistics import fmean

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator
from torch import Tensor

from kdtutor._check import shape
from kdtutor.results import History, Table
from kdtutor.statistics import PairedDifference

CLASSES = tuple("0123456789")


def digits(images: Tensor, titles: Sequence[str] | None = None, columns: int = 10, title: str = "") -> list[Axes]:
    """Images (N, 1, H, W) in rows of `columns`, ink black on white, with a short title over each."""
    rows = math.ceil(len(images) / columns)
    height = (0.96 if titles else 0.72) * rows + (0.3 if title else 0)
    figure, grid = plt.subplots(rows, columns, figsize=(0.72 * columns, height), squeeze=False)
    axes = list(grid.flat)
    for ax in axes:
        ax.axis("off")
    for i, image in enumerate(images):
        axes[i].imshow(image.squeeze(0).numpy(), cmap="gray_r")
        if titles:
            axes[i].set_title(titles[i], fontsize=8, loc="center")
    if title:
        figure.suptitle(title, x=0.01, ha="left")
    return axes


def targets(
    images: Tensor, rows: Sequence[dict[str, Tensor]], title: str = "", log: bool = True, titles: Sequence[str] = ()
) -> list[Axes]:
    """In each column an image (1, H, W) with its title; below it, for each named set of targets (10,), bars of its
    probabilities, or with `log` dots over a logarithmic axis, where a bar's length would mean nothing."""
    names = list(rows[0])
    size = 1.7 * len(images) + 0.4, 1.1 + 1.15 * len(names)
    figure, grid = plt.subplots(1 + len(names), len(images), figsize=size, squeeze=False, sharey="row")
    for column, (image, row) in enumerate(zip(images, rows, strict=True)):
        grid[0, column].imshow(image.squeeze(0).numpy(), cmap="gray_r")
        grid[0, column].axis("off")
        if titles:
            grid[0, column].set_title(titles[column], fontsize=8, loc="center")
        for ax, name in zip(grid[1:, column], names, strict=True):
            classes, color = range(len(row[name])), f"C{names.index(name)}"
            ax.set_xticks(classes, classes, fontsize=8)
            if log:
                ax.plot(classes, row[name].numpy(), "o", color=color, markersize=4)
                ax.set(yscale="log", ylim=(1e-6, 2), yticks=[1e-6, 1e-3, 1])
            else:
                ax.bar(classes, row[name].numpy(), color=color, width=0.8)
                ax.set_ylim(0, 1.05)
            if column == 0:
                ax.set_ylabel(f"{name}\nprobability", fontsize=8)
        grid[-1, column].set_xlabel("class")
    if title:
        figure.suptitle(title, x=0.01, ha="left")
    return list(grid.flat)


def lines(
    x: Sequence[float] | Tensor,
    curves: dict[str, Sequence[float] | Tensor],
    xlabel: str,
    ylabel: str,
    title: str,
    *,
    log: str = "",
    marker: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Named curves over one x; `log` names the logarithmic axes ("x", "y", "xy"). With markers, x has ticks there."""
    ax = ax or plt.subplots()[1]
    for name, y in curves.items():
        ax.plot(x, y, label=name, marker=marker)
    if "x" in log:
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter("{x:g}")
        if marker:
            ax.set_xticks(x)
            ax.set_xticks([], minor=True)
    if "y" in log:
        ax.set_yscale("log")
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    if len(curves) > 1:
        ax.legend()
    return ax


def bars(
    groups: dict[str, Sequence[float] | Tensor],
    names: Sequence[str],
    ylabel: str,
    title: str,
    *,
    xlabel: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Bars side by side: one group of bars per name on the x axis, one bar per key of `groups`, hatched to differ."""
    ax = ax or plt.subplots()[1]
    width = 0.8 / len(groups)
    for i, (label, values) in enumerate(groups.items()):
        places = [place - 0.4 + width * (i + 0.5) for place in range(len(names))]
        hatch = ["", "//", "..", "xx", "--"][i % 5]
        ax.bar(places, [float(value) for value in values], width, label=label, hatch=hatch, edgecolor="white")
    ax.set_xticks(range(len(names)), names)
    ax.grid(axis="x", visible=False)
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    if len(groups) > 1:
        ax.legend()
    return ax


def heatmap(
    values: Tensor,
    xlabel: str,
    ylabel: str,
    title: str,
    *,
    rows: Sequence[str] = CLASSES,
    columns: Sequence[str] = CLASSES,
    form: str = "{:.0f}",
    vmin: float | None = None,
    vmax: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """A table (R, C) as colours, palest at `vmin`, darkest at `vmax`, and as numbers (`form`); NaN stays blank."""
    if shape(values) != (len(rows), len(columns)):
        raise ValueError(f"values must be ({len(rows)} rows, {len(columns)} columns), got {shape(values)}")
    ax = ax or plt.subplots(figsize=(5.6, 0.9 + 0.36 * len(rows)))[1]
    image = ax.imshow(values.double().numpy(), aspect="auto", vmin=vmin, vmax=vmax)
    for i, row in enumerate(values.tolist()):
        for j, value in enumerate(row):
            if not math.isnan(value):
                color = "white" if image.norm(value) > 0.6 else "black"
                ax.text(j, i, form.format(value), ha="center", va="center", fontsize=8, color=color)
    ax.set_xticks(range(len(columns)), columns)
    ax.set_yticks(range(len(rows)), rows)
    ax.grid(visible=False)
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    return ax


def sweep(
    table: Table,
    title: str,
    metric: str = "validation_errors",
    *,
    rows: str = "alpha",
    columns: str = "temperature",
    form: str = "{:.0f}",
    vmin: float | None = None,
    vmax: float | None = None,
    ax: Axes | None = None,
    **settings: float,
) -> Axes:
    """Means over seeds of a metric as colours and numbers, by the values of two settings of a sweep; `settings` fix
    the others. A cell stays blank where a student diverged."""
    return heatmap(
        table.means(metric, rows, columns, **settings), columns, rows, title,
        rows=[f"{value:g}" for value in table.axis(rows)], columns=[f"{value:g}" for value in table.axis(columns)],
        form=form, vmin=vmin, vmax=vmax, ax=ax,
    )  # fmt: skip


def curves(histories: dict[str, History], title: str, *, ax: Axes | None = None) -> Axes:
    """Validation errors per 10,000 after each epoch, one curve per history."""
    ax = ax or plt.subplots()[1]
    for i, (name, history) in enumerate(histories.items()):
        epochs = range(1, 1 + len(history.validation_errors))
        ax.plot(epochs, history.validation_errors, label=name, marker="os^Dv"[i % 5])
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set(xlabel="epoch", ylabel="validation errors per 10,000", title=title)
    ax.legend()
    return ax


def paired(
    a: Sequence[float],
    b: Sequence[float],
    names: tuple[str, str],
    difference: PairedDifference,
    title: str,
    *,
    ylabel: str = "test errors of 10,000",
    axes: Sequence[Axes] | None = None,
) -> Sequence[Axes]:
    """Left: each seed's two results, joined. Right: their mean difference with its interval, and 0."""
    if axes is None:
        axes = plt.subplots(1, 2, figsize=(7.2, 3.2), width_ratios=(2, 1))[1]
    for before, after in zip(a, b, strict=True):
        axes[0].plot((0, 1), (before, after), marker="o", color="C0", linestyle="-", alpha=0.6)
    axes[0].set_xticks((0, 1), names)
    axes[0].set(xlim=(-0.3, 1.3), ylabel=ylabel, title=title)  # the title may run on over the right axes
    axes[1].axhline(0, color="black", linewidth=1, linestyle="-")
    axes[1].errorbar(0, difference.mean, _arms(difference), fmt="s", color="C1", capsize=6)
    axes[1].set_xticks([0], [f"{names[1]} − {names[0]}:\nmean, {100 * difference.interval.confidence:g} % interval"])
    axes[1].set_ylabel(f"difference in\n{ylabel}")
    return axes


def _arms(difference: PairedDifference) -> list[list[float]]:
    """How far its interval reaches below and above its mean, as Matplotlib's `errorbar` takes it."""
    return [[difference.mean - difference.interval.low], [difference.interval.high - difference.mean]]


def intervals(differences: dict[str, PairedDifference], xlabel: str, title: str, *, ax: Axes | None = None) -> Axes:
    """Named paired differences, one below the other, each with its interval; filled where the interval leaves 0 out."""
    ax = ax or plt.subplots(figsize=(7.2, 1.2 + 0.36 * len(differences)))[1]
    for i, difference in enumerate(differences.values()):
        face = "white" if 0 in difference.interval else "C0"
        ax.errorbar(difference.mean, i, xerr=_arms(difference), fmt="o", color="C0", markerfacecolor=face, capsize=4)
    ax.axvline(0, color="black", linewidth=1, linestyle="-")
    ax.set_yticks(range(len(differences)), differences)
    ax.set_ylim(len(differences) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)
    ax.set(xlabel=f"{xlabel}\n({100 * difference.interval.confidence:g} % intervals; hollow: holds 0)", title=title)
    return ax


def dots(groups: dict[str, Sequence[float]], xlabel: str, title: str, *, ax: Axes | None = None) -> Axes:
    """Named groups of numbers, one below the other: a dot for each number, and a bar across at their mean."""
    ax = ax or plt.subplots(figsize=(7.2, 1.2 + 0.36 * len(groups)))[1]
    for i, values in enumerate(groups.values()):
        ax.plot(values, [i] * len(values), "o", color="C0", alpha=0.5, linestyle="")
        ax.plot(fmean(values), i, "|", color="black", markersize=16, markeredgewidth=2)
    ax.set_yticks(range(len(groups)), groups)
    ax.set_ylim(len(groups) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)
    ax.set(xlabel=xlabel, title=title)
    return ax


def spread(
    x: Sequence[float],
    groups: dict[str, Sequence[Sequence[float]]],
    xlabel: str,
    ylabel: str,
    title: str,
    *,
    log: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Named curves of means over seeds; the band spans all seeds. groups: for each x the values of all seeds."""
    means = {name: [fmean(seeds) for seeds in values] for name, values in groups.items()}
    ax = lines(x, means, xlabel, ylabel, title, log=log, marker="o" if len(x) < 20 else None, ax=ax)
    for line, values in zip(ax.lines[-len(groups) :], groups.values(), strict=True):
        low, high = list(map(min, values)), list(map(max, values))
        ax.fill_between(x, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
    if "y" in log:
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.set_yticks([], minor=True)
    return ax
