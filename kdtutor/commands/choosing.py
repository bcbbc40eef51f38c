"""What `kdtutor distill` chooses on the validation images: for each side, alone and distilled, its own settings."""

from collections.abc import Callable
from statistics import fmean
from typing import Any

from kdtutor.results import Table

CHOOSERS = 3  # seeds that choose, at most
WORDS = {"lr": "learning rate", "temperature": "temperature", "alpha": "alpha"}

Settings = dict[str, float]


def choose(
    train: Callable[..., Table], temperatures: list[float], alphas: list[float], lrs: list[float], seeds: int
) -> tuple[Settings, Settings, dict[str, Any]]:
    """For the students alone and for those distilled the settings with the fewest errors on the validation images;
    and what there was to choose from.

    The students that decide have other seeds than the pairs, so that the pairs' test errors stay unbiased.
    """
    first_seed = max(100, seeds)
    choosers = range(first_seed, first_seed + min(seeds, CHOOSERS))
    table = finished(train(seeds=choosers, temperature=temperatures, alpha=sorted({0.0, *alphas}), lr=lrs))
    tables = {"alone": _with_alphas(table, [0.0]), "distilled": _with_alphas(table, alphas)}
    best = {side: _best(students) for side, students in tables.items()}

    print(f"{table}\nBest on the validation images:")
    for side, settings in best.items():
        print(f"  {side}: {_as_text(settings)}")
        for sentence in _at_an_end(settings, {"temperature": temperatures, "alpha": alphas, "lr": lrs}):
            print(f"    {sentence}")
    print()

    choice = {
        "seeds": list(choosers),
        "lr": sorted(lrs),
        "alpha": sorted(alphas),
        "temperature": sorted(temperatures),
        "validation errors": {
            "alone": [fmean(tables["alone"].values("validation_errors", lr=lr)) for lr in sorted(lrs)],
            "distilled": [tables["distilled"].means("validation_errors", lr=lr).tolist() for lr in sorted(lrs)],
        },
    }
    return best["alone"], best["distilled"], choice


def _with_alphas(table: Table, alphas: list[float]) -> Table:
    """The rows of the students with one of these alphas."""
    return Table(rows=[row for row in table.rows if row["alpha"] in alphas])


def _best(table: Table) -> Settings:
    """The temperature (unless alpha is 0), alpha and learning rate with the fewest validation errors."""
    try:
        best = table.best()
    except ValueError as error:
        raise FloatingPointError("the loss must stay finite, got NaN at each --lr: try smaller ones") from error
    del best["epochs"]  # given, not chosen
    return best


def _as_text(settings: Settings) -> str:
    symbols = {"temperature": "T"}
    return ", ".join(f"{symbols.get(name, name)} = {value:g}" for name, value in settings.items())


def _at_an_end(settings: Settings, tried: dict[str, list[float]]) -> list[str]:
    """A sentence for each setting that lies at an end of the values tried, where the best may lie beyond them."""
    sentences = []
    for name, value in settings.items():
        no_room = name == "alpha" and value in (0.0, 1.0)
        if len(tried[name]) == 1 or no_room:
            continue
        if value == min(tried[name]):
            sentences.append(f"{value:g} is the smallest {WORDS[name]} tried: try smaller ones, too")
        if value == max(tried[name]):
            sentences.append(f"{value:g} is the largest {WORDS[name]} tried: try larger ones, too")
    return sentences


def finished(table: Table) -> Table:
    """The table of a sweep, with all its students. Raises KeyboardInterrupt where Ctrl-C left some out."""
    if table.interrupted:
        raise KeyboardInterrupt
    return table
