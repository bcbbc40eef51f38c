"""What training returns: the `History` of one model, and the `Table` of a sweep with one row per student."""

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import torch
from torch import Tensor, nn

from kdtutor import metrics
from kdtutor._io import write
from kdtutor._text import text_table
from kdtutor.data import Dataset
from kdtutor.statistics import PairedDifference, paired_difference

__all__ = ["History", "Table", "held_out_metrics", "text_table"]

SETTINGS = ("temperature", "alpha", "lr", "epochs")

Row = dict[str, Any]


@dataclass
class History:
    """What was measured while a model was trained, one entry per epoch. Losses in nats per example, errors per 10,000
    examples.

    `train_loss` (the loss that was minimised) and `train_errors` are means over the epoch, while the weights move.
    `validation_loss` is cross-entropy on the labels at T = 1, so that models with different losses can be compared.
    `seconds` is the time of the whole call. `interrupted`: Ctrl-C ended it early.
    """

    train_loss: list[float] = field(default_factory=list)
    train_errors: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_errors: list[float] = field(default_factory=list)
    seconds: float = 0.0
    interrupted: bool = False

    def measured(self) -> dict[str, list[float]]:
        """The lists that hold something, by name."""
        lists = {
            "train_loss": self.train_loss,
            "train_errors": self.train_errors,
            "validation_loss": self.validation_loss,
            "validation_errors": self.validation_errors,
        }
        return {name: values for name, values in lists.items() if values}

    def __repr__(self) -> str:
        columns = self.measured()
        rows = []
        for epoch in range(len(self.train_loss)):
            cells = [str(epoch + 1)]
            for name, values in columns.items():
                digits = 0 if name.endswith("errors") else 4
                # after Ctrl-C the last epoch may lack its validation
                cells.append(f"{values[epoch]:.{digits}f}" if epoch < len(values) else "")
            rows.append(cells)
        heads = ["epoch", *(name.replace("_", " ") for name in columns)]
        return _with_note(text_table(heads, rows, left=0), self.interrupted)


@dataclass(repr=False)
class Table:
    """The students of a `sweep`: `networks[i]` is the trained student of `rows[i]`.

    A row: seed, temperature (None at alpha = 0, where it plays no part), alpha, lr, epochs, diverged; and for
    "validation" and "test" validation_errors (per 10,000), validation_nll (nats), validation_calibration_error and, if
    the teacher's logits are known, validation_agreement. The metrics of a student that diverged are NaN.

    The methods take a `metric`, the name of a column, and settings (temperature, alpha, lr, epochs), as many as it
    takes to leave one student per seed, and give what they give in the order of the seeds.

    Printed, it shows the validation metrics: choose by them, then ask for the test metrics of what was chosen.

    Attributes:
        rows: settings and metrics, one row per student that was finished.
        networks: the trained students, in the order of the rows.
        held_out_logits: of each row's student, (N, C) for "validation" and for "test".
        labels: of these splits, (N,).
        seconds: the time of the whole sweep.
        interrupted: Ctrl-C ended the sweep early, so that students are missing.
    """

    rows: list[Row] = field(default_factory=list)
    networks: list[nn.Module] = field(default_factory=list)
    held_out_logits: list[dict[str, Tensor]] = field(default_factory=list)
    labels: dict[str, Tensor] = field(default_factory=dict)
    seconds: float = 0.0
    interrupted: bool = False

    def values(self, metric: str, **settings: float) -> list[float]:
        """One number per seed: values("test_errors", alpha=0).

        Raises ValueError where there is no such metric or student, or the settings leave several students per seed.
        """
        return [self.rows[place][metric] for place in self._places(metric, settings)]

    def students(self, **settings: float) -> list[nn.Module]:
        """The trained networks, one per seed: students(alpha=0). Raises ValueError as `values`."""
        return [self.networks[place] for place in self._places("seed", settings)]

    def logits(self, split: str = "test", **settings: float) -> Tensor:
        """The students' logits on "validation" or "test": (seeds, N, C). Raises ValueError as `values`."""
        if split not in self.labels:
            raise ValueError(f"split must be one of {', '.join(self.labels) or 'none'}, got {split!r}")
        return torch.stack([self.held_out_logits[place][split] for place in self._places("seed", settings)])

    def wrong(self, split: str = "test", **settings: float) -> Tensor:
        """Which examples of "validation" or "test" each student gets wrong: (seeds, N) bool, as
        `statistics.paired_errors` takes it. Raises ValueError as `values`, and where a student diverged."""
        logits = self.logits(split, **settings)
        diverged = [
            self.rows[place]["seed"] for place in self._places("seed", settings) if self.rows[place]["diverged"]
        ]
        if diverged:
            raise ValueError(
                f"settings must be those of students that didn't diverge, got {settings}: seeds {diverged}"
            )
        return torch.stack([metrics.wrong(of_one_student, self.labels[split]) for of_one_student in logits])

    def compare(self, metric: str, a: Mapping[str, float], b: Mapping[str, float]) -> PairedDifference:
        """`statistics.paired_difference` of b - a over seeds: compare("test_errors", {"alpha": 0}, {"alpha": 0.9})."""
        return paired_difference(self.values(metric, **a), self.values(metric, **b))

    def axis(self, setting: str) -> list[float]:
        """The values of temperature, alpha, lr or epochs, in increasing order."""
        if setting not in SETTINGS:
            raise ValueError(f"setting must be one of {', '.join(SETTINGS)}, got {setting!r}")
        return sorted({row[setting] for row in self.rows} - {None})

    def means(self, metric: str, rows: str = "alpha", columns: str = "temperature", **settings: float) -> Tensor:
        """Means over seeds, (R, C) by the values of two settings; NaN where a student diverged."""
        cells = []
        for row in self.axis(rows):
            for column in self.axis(columns):
                cells.append(fmean(self.values(metric, **{rows: row, columns: column}, **settings)))
        shape = len(self.axis(rows)), len(self.axis(columns))
        return torch.tensor(cells, dtype=torch.float64).view(shape)

    def best(self, metric: str = "validation_errors") -> dict[str, float]:
        """The settings with the lowest mean over seeds (of agreement, the highest), among those at which no student
        diverged. Raises ValueError if there are none, and for a sweep that was interrupted."""
        if self.interrupted:
            raise ValueError("best must have all students of the sweep, and it was interrupted")
        if not self.rows or metric not in self.rows[0]:
            raise ValueError(f"metric must be a column of the table, such as validation_errors, got {metric!r}")

        means = {}
        for settings, rows in self._by_settings().items():
            mean = fmean(row[metric] for row in rows)
            if math.isfinite(mean):
                means[settings] = mean
        if not means:
            raise ValueError("best must have settings at which no student diverged, and at all of them some did")

        choose = max if metric.endswith("agreement") else min
        best = choose(means, key=lambda settings: means[settings])
        return {name: value for name, value in zip(SETTINGS, best, strict=True) if value is not None}

    def to_csv(self, path: str | Path) -> None:
        """Write one line per student below a head; an empty temperature at alpha = 0."""
        text = io.StringIO()
        heads = list(self.rows[0]) if self.rows else ["seed", *SETTINGS]
        table = csv.DictWriter(text, heads, lineterminator="\n")
        table.writeheader()
        table.writerows(self.rows)
        write(Path(path), text.getvalue().encode())

    def _places(self, metric: str, settings: Mapping[str, float]) -> list[int]:
        """Where in `rows` the students with these settings are, one per seed."""
        if not self.rows or {metric, *settings} - {*self.rows[0]}:
            columns = ", ".join(self.rows[0]) if self.rows else "none, for no student is finished"
            raise ValueError(
                f"metric and settings must be columns of the table ({columns}), got {metric!r}, {dict(settings)}"
            )
        places = [place for place, row in enumerate(self.rows) if _has_settings(row, settings)]
        if not places:
            raise ValueError(f"settings must be those of some student in the table, got {dict(settings)}")
        for name in SETTINGS:
            values = {self.rows[place][name] for place in places}
            if len(values) > 1:
                raise ValueError(f"settings must say which {name} is meant, one of {sorted(values, key=str)}")
        return places

    def _by_settings(self) -> dict[tuple[float | None, ...], list[Row]]:
        """The rows of each combination of settings: one per seed."""
        groups: dict[tuple[float | None, ...], list[Row]] = {}
        for row in self.rows:
            groups.setdefault(tuple(row[name] for name in SETTINGS), []).append(row)
        return groups

    def __repr__(self) -> str:
        first = self.rows[0] if self.rows else {}
        columns = [name for name in first if name.startswith("validation_")]
        heads = [*SETTINGS, "seeds", "diverged"]
        heads += [name.removeprefix("validation_").replace("_", " ") for name in columns]

        lines = []
        for settings, rows in self._by_settings().items():
            sound = [row for row in rows if not row["diverged"]]
            cells = ["-" if value is None else f"{value:g}" for value in settings]
            cells += [str(len(rows)), str(len(rows) - len(sound) or "-")]
            cells += [_mean_and_deviation([row[name] for row in sound]) for name in columns]
            lines.append(cells)

        note = f"Validation metrics of {len(self.rows)} students, mean ± standard deviation over seeds."
        return _with_note(f"{text_table(heads, lines, left=0)}\n{note}", self.interrupted)


def held_out_metrics(
    logits: Mapping[str, Tensor], data: Dataset, teacher_logits: Mapping[str, Tensor], diverged: bool = False
) -> Row:
    """The metrics in a row of a `Table`, from a student's and its teacher's logits (N, C) by split; NaN if it
    diverged, or if some logit isn't finite."""
    finite = all(bool(z.isfinite().all()) for z in logits.values())
    row: Row = {"diverged": diverged or not finite}
    for name, z in logits.items():
        labels = data.splits()[name].labels.cpu()
        row[f"{name}_errors"] = metrics.errors(z, labels)
        row[f"{name}_nll"] = metrics.nll(z, labels)
        row[f"{name}_calibration_error"] = metrics.calibration_error(z, labels)
        if name in teacher_logits:
            row[f"{name}_agreement"] = metrics.agreement(z, teacher_logits[name])

    if row["diverged"]:
        for name in row:
            if name != "diverged":
                row[name] = math.nan
    return row


def _has_settings(row: Row, settings: Mapping[str, float]) -> bool:
    """Whether the row's student has these settings; one alone has every temperature, for it plays no part there."""
    for name, value in settings.items():
        alone = name == "temperature" and row[name] is None
        if row[name] != value and not alone:
            return False
    return True


def _mean_and_deviation(values: list[float]) -> str:
    if not values:
        return "-"
    if len(values) == 1:
        return f"{values[0]:.4g}"
    return f"{fmean(values):.4g} ± {stdev(values):.2g}"


def _with_note(text: str, interrupted: bool) -> str:
    return f"{text}\ninterrupted" if interrupted else text
