"""What training returns: the `History` of one run, and the `Table` of a sweep with one row per student."""

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
from kdtutor.data import Dataset
from kdtutor.statistics import PairedDifference, paired_difference

SETTINGS = ("temperature", "alpha", "lr")


@dataclass
class History:
    """What a run measured, one entry an epoch. Losses in nats an example, errors per 10,000 examples.

    `train_loss` (the loss that was minimised) and `train_errors` are means over the epoch, while the weights move.
    `validation_loss` is cross-entropy on the labels at T = 1, so that runs with different losses can be compared.
    """

    train_loss: list[float] = field(default_factory=list)
    train_errors: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_errors: list[float] = field(default_factory=list)
    seconds: float = 0.0
    interrupted: bool = False

    def __repr__(self) -> str:
        columns = {name: values for name, values in vars(self).items() if isinstance(values, list) and values}
        lines = ["epoch" + "".join(f"{name.replace('_', ' '):>20}" for name in columns)]
        for epoch in range(len(self.train_loss)):
            row = {name: values[epoch] for name, values in columns.items() if epoch < len(values)}
            cells = (f"{value:20.0f}" if "errors" in name else f"{value:20.4f}" for name, value in row.items())
            lines.append(f"{epoch + 1:5}" + "".join(cells))
        return "\n".join(lines + ["interrupted"] * self.interrupted)


@dataclass(repr=False)
class Table:
    """The students of a `sweep`; `students[i]` is the trained network of `rows[i]`.

    A row: seed, temperature (None at alpha = 0, where it plays no part), alpha, lr, diverged; and for "validation" and
    "test" validation_errors (per 10,000), validation_nll (nats), validation_calibration_error and, if the teacher's
    answers are known, validation_agreement. The figures of a student that diverged are NaN.

    Printed, it shows the validation figures: choose by them, then ask for the test figures of what was chosen.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    students: list[nn.Module] = field(default_factory=list)
    seconds: float = 0.0
    interrupted: bool = False

    def values(self, figure: str, **settings: float) -> list[float]:
        """One figure a seed, seeds in order, of the students with these settings: values("test_errors", alpha=0).

        Raises ValueError where there is no such figure or student, or the settings leave several students a seed.
        """
        if not self.rows or {figure, *settings} - {*self.rows[0]}:
            columns = ", ".join(self.rows[0]) if self.rows else "none, for no student is finished"
            raise ValueError(
                f"figure and settings must be columns of the table ({columns}), got {figure!r}, {settings}"
            )
        rows = [row for row in self.rows if all(_has(row, *setting) for setting in settings.items())]
        if not rows:
            raise ValueError(f"settings must be those of some student in the table, got {settings}")
        for name in SETTINGS:
            if len(found := {row[name] for row in rows}) > 1:
                raise ValueError(f"settings must say which {name} is meant, one of {sorted(found, key=str)}")
        return [row[figure] for row in rows]

    def compare(self, figure: str, a: Mapping[str, float], b: Mapping[str, float]) -> PairedDifference:
        """`statistics.paired_difference` of b - a over seeds: compare("test_errors", {"alpha": 0}, {"alpha": 0.9})."""
        return paired_difference(self.values(figure, **a), self.values(figure, **b))

    def axis(self, setting: str) -> list[float]:
        """The values of temperature, alpha or lr, in increasing order."""
        if setting not in SETTINGS:
            raise ValueError(f"setting must be one of {', '.join(SETTINGS)}, got {setting!r}")
        return sorted({row[setting] for row in self.rows} - {None})

    def means(self, figure: str, rows: str = "alpha", columns: str = "temperature", **settings: float) -> Tensor:
        """Means over seeds, (R, C) by the values of two settings; NaN where a student diverged."""
        cells = [
            [fmean(self.values(figure, **{rows: row, columns: column}, **settings)) for column in self.axis(columns)]
            for row in self.axis(rows)
        ]
        return torch.tensor(cells, dtype=torch.float64)

    def best(self, figure: str = "validation_errors") -> dict[str, float]:
        """The settings with the lowest mean over seeds (of agreement, the highest), among those at which no student
        diverged. Raises ValueError if there are none, and for a sweep that was interrupted."""
        if self.interrupted:
            raise ValueError("best must have all students of the sweep, and it was interrupted")
        if not self.rows or figure not in self.rows[0]:
            raise ValueError(f"figure must be a column of the table, such as validation_errors, got {figure!r}")
        means = {key: fmean(row[figure] for row in rows) for key, rows in self._groups().items()}
        means = {key: mean for key, mean in means.items() if math.isfinite(mean)}
        if not means:
            raise ValueError("best must have settings at which no student diverged, and at all of them some did")
        choose = max if figure.endswith("agreement") else min
        best = zip(SETTINGS, choose(means, key=means.__getitem__), strict=True)
        return {name: value for name, value in best if value is not None}

    def to_csv(self, path: str | Path) -> None:
        """Write a line a student, with a head; an empty temperature at alpha = 0."""
        text = io.StringIO()
        table = csv.DictWriter(text, list(self.rows[0]) if self.rows else ["seed", *SETTINGS], lineterminator="\n")
        table.writeheader()
        table.writerows(self.rows)
        write(Path(path), text.getvalue().encode())

    def _groups(self) -> dict[tuple[float | None, ...], list[dict[str, Any]]]:
        """The rows of each combination of settings: one a seed."""
        groups: dict[tuple[float | None, ...], list[dict[str, Any]]] = {}
        for row in self.rows:
            groups.setdefault(tuple(row[name] for name in SETTINGS), []).append(row)
        return groups

    def __repr__(self) -> str:
        figures = [name for name in (self.rows or [{}])[0] if name.startswith("validation_")]
        line = ("{:>11}{:>7}{:>8}{:>7}{:>10}" + "{:>18}" * len(figures)).format
        heads = [name.removeprefix("validation_").replace("_", " ") for name in figures]
        lines = [line("temperature", "alpha", "lr", "seeds", "diverged", *heads)]
        for (temperature, alpha, lr), rows in self._groups().items():
            sound = [row for row in rows if not row["diverged"]]
            cells = [_spread([row[name] for row in sound]) for name in figures]
            soft = "-" if temperature is None else f"{temperature:g}"
            lines += [line(soft, f"{alpha:g}", f"{lr:g}", len(rows), len(rows) - len(sound) or "-", *cells)]
        lines += [f"Validation figures of {len(self.rows)} students, mean ± standard deviation over seeds."]
        return "\n".join(lines + ["interrupted"] * self.interrupted)


def figures(
    held_out: Mapping[str, Tensor], data: Dataset, answers: Mapping[str, Tensor], diverged: bool
) -> dict[str, Any]:
    """What a row of a `Table` says besides its settings, from a student's and its teacher's logits by split."""
    row: dict[str, Any] = {"diverged": diverged or not all(logits.isfinite().all() for logits in held_out.values())}
    for name, logits in held_out.items():
        labels = getattr(data, name).labels.cpu()
        found = {
            "errors": metrics.errors(logits, labels),
            "nll": metrics.nll(logits, labels),
            "calibration_error": metrics.calibration_error(logits, labels),
        }
        if name in answers:
            found["agreement"] = metrics.agreement(logits, answers[name])
        row |= {f"{name}_{figure}": math.nan if row["diverged"] else value for figure, value in found.items()}
    return row


def _has(row: Mapping[str, Any], name: str, value: float) -> bool:
    return row[name] == value or (name == "temperature" and row[name] is None)


def _spread(values: list[float]) -> str:
    if not values:
        return "-"
    return f"{fmean(values):.4g}" + (f" ± {stdev(values):.2g}" if len(values) > 1 else "")
