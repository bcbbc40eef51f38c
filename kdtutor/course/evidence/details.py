"""All experiments as tables: of each arm what was chosen, its errors and its probabilities."""

from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

from kdtutor import data
from kdtutor.course.evidence.verdicts import chosen, metric
from kdtutor.course.records import Records

HEADS = ("arm", "chosen", "errors of 10,000", "NLL", "NLL, scaled", "calibration error", "calibration error, scaled")
PROBABILITIES = ("nll", "nll_scaled", "calibration_error", "calibration_error_scaled")
NAMES = {"mnist": "MNIST", "usps": "USPS"}


def markdown() -> str:
    """The experiments whose records ship with the course, one table for each and for each data set."""
    parts = []
    for path in sorted((data.shipped() / "evidence").glob("*/*.jsonl")):
        parts += _tables(path)
    return "\n\n".join(parts)


def _tables(path: Path) -> Iterator[str]:
    records = Records(path)
    where = NAMES.get(path.parent.name, path.parent.name)
    experiments = dict.fromkeys(row["settings"]["experiment"] for row in records.rows("result"))
    for experiment in experiments:
        rows = [f"**{experiment}** ({where}, `{path.stem}`)", "", _line(HEADS), _line(["---"] * len(HEADS))]
        arms = dict.fromkeys(row["settings"]["arm"] for row in records.rows("result", experiment=experiment))
        rows += [_line(_cells(records, experiment, arm)) for arm in arms]
        yield "\n".join(rows)

    measured = dict.fromkeys(row["settings"]["experiment"] for row in records.rows("measurement"))
    for experiment in measured:
        rows = [f"**{experiment}** ({where}, `{path.stem}`)", "", "| | mean | lowest to highest |", "|---|---|---|"]
        seeds = records.rows("measurement", experiment=experiment)
        for name in [key for key in seeds[0] if isinstance(seeds[0][key], float) and key != "seconds"]:
            values = metric(seeds, name)
            rows.append(_line([name, f"{fmean(values):.4g}", f"{min(values):.4g} to {max(values):.4g}"]))
        yield "\n".join(rows)


def _cells(records: Records, experiment: str, arm: str) -> list[str]:
    """An arm's line: means over its seeds, of errors also their range."""
    rows = records.rows("result", experiment=experiment, arm=arm)
    errors = metric(rows, "errors")
    cells = [
        arm,
        chosen(records, experiment, arm),
        f"**{fmean(errors):.0f}** ({min(errors):.0f} to {max(errors):.0f}, {len(rows)} seeds)",
    ]
    return cells + [f"{fmean(metric(rows, name)):.4f}" for name in PROBABILITIES]


def _line(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"
