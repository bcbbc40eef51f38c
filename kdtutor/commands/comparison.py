"""The results of `kdtutor distill`: teacher, students alone and students distilled as a table, a record, a figure."""

from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from kdtutor import checkpoints, metrics
from kdtutor._io import versions, write_json
from kdtutor._text import text_table
from kdtutor.data import Split, as_input
from kdtutor.models import count_parameters
from kdtutor.results import Table
from kdtutor.statistics import PairedDifference, paired_difference

TABLE_COLUMNS = {  # of a record's measurements, and their names in a sweep's table
    "errors": "test_errors",
    "NLL": "test_nll",
    "agreement": "test_agreement",
    "calibration error": "test_calibration_error",
}


@dataclass(frozen=True)
class Group:
    """Networks that differ in their seed only: what was measured, one row per seed, and the network of the first."""

    rows: list[dict[str, float]]
    network: nn.Module

    def mean(self, column: str) -> float:
        """The mean over seeds."""
        return fmean(row[column] for row in self.rows)


def of_teacher(teacher: nn.Module, logits: Tensor, labels: Tensor) -> Group:
    """The teacher alone, measured by its logits (N, C) on the test images."""
    row = {
        "errors": metrics.errors(logits, labels),
        "NLL": metrics.nll(logits, labels),
        "agreement": metrics.agreement(logits, logits),
        "calibration error": metrics.calibration_error(logits, labels),
    }
    return Group([row], teacher)


def of_students(table: Table) -> Group:
    """The students of a sweep that differ in their seed only."""
    rows = []
    for row in table.rows:
        measured = {name: row[column] for name, column in TABLE_COLUMNS.items()}
        rows.append({"seed": row["seed"], **measured})
    return Group(rows, table.networks[0])


def error_difference(groups: dict[str, Group]) -> PairedDifference | None:
    """Test errors of the distilled students minus those of the students alone; None for a single pair."""
    errors = _paired_errors(groups)
    if len(errors[0]) == 1:
        return None
    return paired_difference(*errors)


def _paired_errors(groups: dict[str, Group]) -> tuple[list[float], list[float]]:
    alone = [row["errors"] for row in groups["alone"].rows]
    distilled = [row["errors"] for row in groups["distilled"].rows]
    return alone, distilled


def means_as_text(groups: dict[str, Group], test: Split) -> str:
    """One line per group: means over its seeds, and what its network costs (float32, one image on the CPU)."""
    image = as_input(test.inputs[:1], torch.float32)
    heads = ["", "errors of", "agreement", "NLL", "calibration", "parameters", "size", "one image"]
    units = ["", "10,000", "%", "nats", "error", "", "MB", "ms"]
    lines = [units]
    for name, group in groups.items():
        parameters = count_parameters(group.network)
        seconds = metrics.latency(group.network, image)
        lines.append(
            [
                name,
                f"{group.mean('errors'):.1f}",
                f"{100 * group.mean('agreement'):.2f}",
                f"{group.mean('NLL'):.4f}",
                f"{group.mean('calibration error'):.4f}",
                f"{parameters:,}",
                f"{4e-6 * parameters:.2f}",  # four bytes each
                f"{1e3 * seconds:.3f}",
            ]
        )
    return text_table(heads, lines)


def save(
    groups: dict[str, Group],
    difference: PairedDifference | None,
    settings: dict[str, Any],
    choice: dict[str, Any] | None,
    seconds: int,
    out: Path,
) -> None:
    """Write the first students' weights, record.json and, where there is a difference to draw, errors.png to `out`."""
    record = {
        "data": settings["data"],
        "settings": settings,
        "choice": choice,
        "versions": versions(),
        "seconds": seconds,
        "runs": {name: group.rows for name, group in groups.items()},
        "distilled minus alone": difference and _in_json(difference),
    }
    for name in ("alone", "distilled"):
        checkpoints.save(groups[name].network, out / f"{name}.safetensors", settings, half=True)
    write_json(record, out / "record.json")
    if difference:
        _draw(_paired_errors(groups), difference, out / "errors.png")


def _in_json(difference: PairedDifference) -> dict[str, float]:
    interval = difference.interval
    return {
        "mean": difference.mean,
        "low": interval.low,
        "high": interval.high,
        "confidence": interval.confidence,
    }


def _draw(errors: tuple[list[float], list[float]], difference: PairedDifference, path: Path) -> None:
    """The figure: each pair's test errors, and the difference with its interval."""
    from matplotlib import style
    from matplotlib.figure import Figure

    from kdtutor import plots

    with style.context("kdtutor.course"):
        axes = Figure(figsize=(7.2, 3.2)).subplots(1, 2, width_ratios=(2, 1))
        plots.paired(*errors, ("student alone", "student distilled"), difference, "Each line is a seed", axes=axes)
        axes[0].figure.savefig(path)
