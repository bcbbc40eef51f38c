"""What notebooks 7 and 8 show of the records: the comparisons of each lesson, as intervals and as tables. A comparison
that the records don't have (yet) is left out."""

from collections.abc import Mapping
from statistics import fmean

from kdtutor.course.evidence import ledger
from kdtutor.course.evidence.rows import (
    DOMAINS,
    ENSEMBLES,
    GENERATIONS,
    ONE_RATE,
    REVERSE,
    SMALL,
    TEACHERS,
    TWO_LAYERS,
    WRONG,
    views,
    width,
)
from kdtutor.course.evidence.studies import few_labels as f
from kdtutor.course.evidence.studies import generations as g
from kdtutor.course.evidence.studies import small_student as s
from kdtutor.course.evidence.studies import teachers as t
from kdtutor.course.evidence.studies import transfer as x
from kdtutor.course.evidence.verdicts import Comparison
from kdtutor.results import text_table
from kdtutor.statistics import PairedDifference

# Of each metric by what its numbers are multiplied for a table, their unit, and their decimals.
UNITS = {
    "errors": (1, "errors", 0),
    "calibration_error": (100, "%", 2),
    "calibration_error_scaled": (100, "%", 2),
    "scaled_by": (1, "T", 2),
}

INGREDIENTS = {
    "shifted views of 1,000 images": Comparison(*SMALL, s.FEW, s.FEW_SHIFTED),
    "10,000 answers, teacher of 1,000 labels": Comparison(*SMALL, s.FEW_SHIFTED, s.SOFT_OF_SAME),
    "10,000 answers, teacher of 55,000 labels": Comparison(*SMALL, s.FEW_SHIFTED, s.SOFT),
    "probabilities, not hard answers": Comparison(*SMALL, s.HARD, s.SOFT),
    "probabilities, not true labels": Comparison(*SMALL, s.ALL, s.SOFT),
}
SAME_IMAGES = {
    "convolutional teacher of 55,000 labels": Comparison(*TWO_LAYERS, f.LABELS, f.TEACHER),
    "convolutional teacher of the same 1,000": Comparison(*TWO_LAYERS, f.LABELS, f.SAME_LABELS),
}
AT_ONE_RATE = {
    f"both at {rate:g}": Comparison(*ONE_RATE, f"labels at {rate:g}", f"teacher at {rate:g}") for rate in f.ONE_RATE
}
EACH_ITS_OWN_RATE = {f"{steps:,} steps": Comparison(*views(steps), f.LABELS, f.TEACHER) for steps in f.STEPS}
WRONG_LABELS = {
    "teacher trained to the end": Comparison(*WRONG, t.LABELS, t.TO_THE_END),
    "teacher stopped early": Comparison(*WRONG, t.LABELS, t.STOPPED),
}
WIDTHS = {f"784-{units}-{units}-10, 10 epochs": width(units, 10) for units in (5, 30, 100, 300)}
SHORT = {f"784-{units}-{units}-10, 3 epochs": width(units, 3) for units in (5, 30, 100)}


def calibration(metric: str = "calibration_error") -> dict[str, Comparison]:
    """The three comparisons of the lesson on calibration: of calibration errors; of those after temperature scaling
    ("calibration_error_scaled"); or of the temperatures themselves ("scaled_by")."""
    return {
        "784-100-100-10, all labels": width(100, 10, metric),
        "784-30-30-10, all labels": width(30, 10, metric),
        "784-100-100-10, 1,000 labels": Comparison(*TWO_LAYERS, f.LABELS, f.TEACHER, metric=metric),
    }


TEN_TEACHERS = {
    "ten teachers of the same 800 labels": Comparison(*ENSEMBLES, t.ONE, t.TEN_OF_SAME),
    "ten teachers of 800 labels each": Comparison(*ENSEMBLES, t.ONE, t.TEN),
    "one teacher of all 8,000 labels": Comparison(*ENSEMBLES, t.ONE, t.ONE_OF_ALL),
}
KINDS_OF_TEACHERS = {
    "10 units": Comparison(*TEACHERS, t.UNITS_100, t.UNITS_10),
    "300 units": Comparison(*TEACHERS, t.UNITS_100, t.UNITS_300),
    "100 units, stopped early": Comparison(*TEACHERS, t.UNITS_100, t.STOPPED),
    "100 units, smoothed labels": Comparison(*TEACHERS, t.UNITS_100, t.SMOOTHED),
}
NOTHING_NEW = {
    "a teacher like the student": Comparison(*GENERATIONS, t.LABELS, g.GENERATION_1),
    "a second student": Comparison(*GENERATIONS, t.LABELS, g.MUTUAL),
    "an assistant": Comparison("assistant", "an assistant for 784-15-10", g.DIRECT, g.ASSISTED),
    "a teacher of 10 units": Comparison(*REVERSE, t.LABELS, g.SMALL),
}
ANOTHER_DOMAIN = {
    "1,000 labels": Comparison(*DOMAINS, x.FEW, x.MANY),
    "teacher, no label": Comparison(*DOMAINS, x.FEW, x.UNLABELLED),
    "teacher and 100 labels": Comparison(*DOMAINS, x.FEW, x.WITH_FEW),
    "teacher, on its own images": Comparison(*DOMAINS, x.FEW, x.FROM_HOME),
}
OTHER_IMAGES = {
    name: Comparison("transfer-sets", "transfer sets of 4,000 images", x.OWN, arm)
    for name, arm in {"other digits": x.OTHER, "shuffled pixels": x.SHUFFLED, "noise": x.NOISE}.items()
}


def differences(comparisons: Mapping[str, Comparison]) -> dict[str, PairedDifference]:
    """The differences b - a of named comparisons, as `plots.intervals` takes them."""
    return {name: seen.difference for name, seen in seen_in_records(comparisons).items()}


def table(comparisons: Mapping[str, Comparison], first: str, a: str = "labels", b: str = "teacher") -> str:
    """A table to print, all of one metric: one line per comparison with the means of both arms, and their difference
    with its 95 % interval. Where all comparisons share their arm a, it has a line of its own instead of a column.

    first: the head of the first column. a, b: what the arms are called.
    """
    seen_by_name = seen_in_records(comparisons)
    starts = {(seen.comparison.experiment, seen.comparison.a) for seen in seen_by_name.values()}
    unit = UNITS[next(iter(comparisons.values())).metric][1]
    if len(starts) == 1 and len(seen_by_name) > 1:
        lines = []
        for name, seen in seen_by_name.items():
            lines = lines or [[a, _mean(seen, seen.comparison.a), ""]]
            lines.append([name, _mean(seen, seen.comparison.b), in_words(seen)])
        return text_table([first, unit, f"difference from {a} (95 % interval)"], lines, left=1)

    lines = []
    for name, seen in seen_by_name.items():
        means = [_mean(seen, arm) for arm in (seen.comparison.a, seen.comparison.b)]
        lines.append([name, *means, in_words(seen)])
    return text_table([first, f"{a}, {unit}", f"{b}, {unit}", "difference (95 % interval)"], lines, left=1)


def _mean(seen: ledger.Seen, arm: str) -> str:
    """An arm's mean over its seeds, in the metric's unit."""
    metric = seen.comparison.metric
    factor, _, decimals = UNITS[metric]
    rows = ledger.results(seen.comparison.study, seen.comparison.experiment, arm)
    return f"{factor * fmean(row[metric] for row in rows):.{decimals}f}"


def seen_in_records(comparisons: Mapping[str, Comparison]) -> dict[str, ledger.Seen]:
    """Those of named comparisons that the records have, as they came out."""
    names = {comparison: name for name, comparison in comparisons.items()}
    return {names[seen.comparison]: seen for seen in ledger.compared([*comparisons.values()])}


def in_words(seen: ledger.Seen) -> str:
    """A difference with its 95 % interval, "-192 (-236 to -148)", in the metric's unit."""
    factor, _, decimals = UNITS[seen.comparison.metric]
    interval = seen.difference.interval
    mean, low, high = (
        f"{factor * value:+.{decimals}f}" for value in (seen.difference.mean, interval.low, interval.high)
    )
    return f"{mean} ({low} to {high})"
