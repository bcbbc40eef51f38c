"""From the records of an experiment to a difference, and from its interval to a verdict."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kdtutor.course.evidence.protocol import FEWEST_RATES
from kdtutor.course.records import Records, Row, unpack_wrong
from kdtutor.statistics import PairedDifference, paired_difference, paired_errors

CONFIDENCE = 0.95
MARGIN = 10.0  # errors of 10,000: a smaller difference is none that anybody would care about
HOLDS, FAILS, NO_DIFFERENCE, UNDECIDED = "holds", "fails", "no difference", "undecided"
PROMISES = ("lower", "higher", "same", "different")


@dataclass(frozen=True)
class Comparison:
    """What a claim promises of two arms of an experiment: that the `metric` of b is "lower" or "higher" than that of a,
    the "same" or "different"; or of two numbers of a measurement. Differences within the margin count as none. The
    `study` names the file of the records. Of numbers that are logarithms, `logarithm` is the base."""

    study: str
    experiment: str
    a: str
    b: str
    promised: str = "lower"
    metric: str = "errors"
    margin: float = MARGIN
    logarithm: float = 0.0


def verdict(difference: PairedDifference, promised: str, margin: float) -> str:
    """What the interval of a difference says about a claim.

    An interval within -margin..margin says that there is no difference worth the name; else one that leaves out 0 says
    that there is one, in the promised direction or against it; any other decides nothing. A claim that promises the
    "same" holds in the first case and fails in the second, and one that promises something "different" the other way
    round.

    Where all seeds have the same difference, the interval has no width. That isn't certainty: such a difference decides
    only if as many coins that all fall to the same side would (the sign test), at the interval's confidence.
    """
    if promised not in PROMISES:
        raise ValueError(f"promised must be one of {', '.join(PROMISES)}, got {promised!r}")
    low, high = difference.interval.low, difference.interval.high
    if -margin <= low and high <= margin:
        return {"same": HOLDS, "different": FAILS}.get(promised, NO_DIFFERENCE)
    if low <= 0 <= high:
        return UNDECIDED
    if low == high and 2 * 0.5**difference.pairs > 1 - difference.interval.confidence:
        return UNDECIDED
    seen = "lower" if high < 0 else "higher"
    return HOLDS if promised in (seen, "different") else FAILS


def together(verdicts: Sequence[str]) -> str:
    """The verdict on a claim that makes several promises: it holds if all of them do, and fails if one does.

    Raises ValueError where there is none.
    """
    if not verdicts:
        raise ValueError("verdicts must hold at least one, got none")
    for worst in (FAILS, NO_DIFFERENCE, UNDECIDED):
        if worst in verdicts:
            return worst
    return HOLDS


def holm(p_values: Sequence[float], confidence: float = CONFIDENCE) -> list[float]:
    """For each of several tests the confidence that its interval must have, so that with the probability `confidence`
    not one of their differences is declared in error.

    The smallest of m p-values is tested at (1 - confidence) / m, the next at (1 - confidence) / (m - 1), and so on up
    to the first that doesn't pass, whose level the rest share. Source: Holm 1979.
    """
    error = 1 - confidence
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    levels = [0.0] * len(p_values)
    stopped_at = None
    for rank, i in enumerate(order):
        level = stopped_at or error / (len(p_values) - rank)
        levels[i] = 1 - level
        if stopped_at is None and p_values[i] > level:
            stopped_at = level
    return levels


def difference(records: Records, comparison: Comparison, confidence: float = CONFIDENCE) -> PairedDifference:
    """The metric of arm b minus that of arm a over their paired seeds. For errors the interval covers new seeds and new
    images (`paired_errors`), for other metrics new seeds (`paired_difference`).

    Raises ValueError where the records lack an arm, or one of the two sides was favoured.
    """
    measured = records.rows("measurement", experiment=comparison.experiment)
    if measured:
        return paired_difference(metric(measured, comparison.a), metric(measured, comparison.b), confidence)

    a = results(records, comparison.experiment, comparison.a)
    b = results(records, comparison.experiment, comparison.b)
    check_fairly_chosen(records, comparison)
    if comparison.metric == "errors":
        return paired_errors(wrong(a), wrong(b), (comparison.a, comparison.b), confidence)
    return paired_difference(metric(a, comparison.metric), metric(b, comparison.metric), confidence)


def results(records: Records, experiment: str, arm: str) -> list[Row]:
    """The rows of an arm's results, one per seed. Raises ValueError where there is none."""
    rows = records.rows("result", experiment=experiment, arm=arm)
    if not rows:
        raise ValueError(f"the records must have results of {arm!r} in {experiment!r}, and {records.path} has none")
    return rows


def chosen(records: Records, experiment: str, arm: str) -> str:
    """What was chosen for an arm, in words: "lr 0.003, 50 epochs, T = 2, alpha = 0.9"; empty for a measurement."""
    rows = records.rows("result", experiment=experiment, arm=arm)
    if not rows:
        return ""
    settings = rows[0]["chosen"]
    length = "1 epoch" if settings["epochs"] == 1 else f"{settings['epochs']} epochs"
    words = [f"lr {settings['lr']:g}", length]
    if settings.get("alpha"):
        words += [f"T = {settings['temperature']:g}", f"alpha = {settings['alpha']:g}"]
    at_limit = [name for name in rows[0]["at_limit"] if settings[name] != 1.0]  # beyond alpha = 1 there is nothing
    if at_limit:
        words.append(f"at the end of what was tried: {', '.join(at_limit)}")
    return ", ".join(words)


def metric(rows: Sequence[Row], name: str) -> list[float]:
    """One number per row. Raises ValueError where a row hasn't one of this name."""
    for row in rows:
        if not isinstance(row.get(name), int | float):
            raise ValueError(f"each row must have a number {name!r}, got {row.get(name)!r} for {row['settings']}")
    return [row[name] for row in rows]


def wrong(rows: Sequence[Row]) -> Tensor:
    """Which test images each row's student gets wrong: (seeds, N) bool. Raises ValueError where the rows don't say so
    of as many images."""
    for row in rows:
        if not {"wrong", "images"} <= row.keys() or row["images"] != rows[0]["images"]:
            raise ValueError(
                f"each row must say which of {rows[0].get('images')} images are wrong, "
                f"got one of {row.get('images')} for {row['settings']}"
            )
    return torch.stack([unpack_wrong(row["wrong"], row["images"]) for row in rows])


def check_fairly_chosen(records: Records, comparison: Comparison) -> None:
    """Raise ValueError unless both sides of a comparison had several learning rates to choose from, were chosen by as
    many students, and have results of the same seeds, each side with the same settings for all of them."""
    sides = {}
    for arm in (comparison.a, comparison.b):
        choices = records.rows("choice", experiment=comparison.experiment, arm=arm)
        rates = {row["settings"]["lr"] for row in choices}
        if len(rates) < FEWEST_RATES:
            raise ValueError(
                f"each arm must be chosen from {FEWEST_RATES} learning rates or more, "
                f"got {len(rates)} for {arm!r} in {comparison.experiment!r}"
            )
        choosers = {len(row["validation"]) for row in choices}
        rows = results(records, comparison.experiment, arm)
        seeds = [row["settings"]["seed"] for row in rows]
        other = [row["chosen"] for row in rows if row["chosen"] != rows[0]["chosen"]]
        if other:
            raise ValueError(
                f"all results of an arm must have the same settings, got {rows[0]['chosen']} and {other[0]} "
                f"for {arm!r} in {comparison.experiment!r}"
            )
        sides[arm] = choosers, seeds

    if sides[comparison.a] != sides[comparison.b]:
        raise ValueError(
            f"{comparison.a!r} and {comparison.b!r} must be chosen by as many students and have results of the same "
            f"seeds, got {sides[comparison.a]} and {sides[comparison.b]} in {comparison.experiment!r}"
        )
