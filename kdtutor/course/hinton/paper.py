"""Section 3 of Hinton, Vinyals & Dean 2015 beside what `kdtutor reproduce hinton` measured: errors from its records.

Public reproductions: the lowest errors of those that we know (none has seeds, a transfer set of 7s and 8s, or the whole
section; the one of 67 used a jittered transfer set and 1,000 epochs).
"""

from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from kdtutor import checkpoints
from kdtutor.course import teachers
from kdtutor.course.hinton.choices import (
    SPLITS,
    TUNING_SEED,
    best_corrected_settings,
    best_settings,
    chosen_rate,
    final_rows,
)
from kdtutor.course.records import Records, Row, wrong_from_indices
from kdtutor.data import shipped
from kdtutor.models import mlp
from kdtutor.statistics import PairedDifference, paired_difference, paired_errors

THREES = 1010  # in MNIST's test set


def records(folder: Path | None = None) -> Records:
    """The records that ship with the course, or those in `folder`. Raises FileNotFoundError without the course."""
    return Records((folder or shipped() / "hinton") / "runs.jsonl")


def load(kind: str) -> nn.Module:
    """The shipped "teacher" (784-1200-1200-10) or the shipped best "student" (784-800-800-10), in eval mode."""
    if kind == "teacher":
        network = teachers.wide_teacher()
    elif kind == "student":
        network = mlp(784, 800, 800, 10)
    else:
        raise ValueError(f"kind must be 'teacher' or 'student', got {kind!r}")
    checkpoints.load(network, shipped() / "hinton" / f"{kind}.safetensors")
    return network.eval()


def students(trainings: Records, method: str, chosen_on: str = "validation") -> list[Row]:
    """The rows of the students "alone", "at 20" (distilled at T = 20) or "distilled" (at any T and alpha), one row per
    seed, at the settings that were chosen on the validation or the test images."""
    settings = best_settings(trainings, method, f"{chosen_on}_errors")
    return _with_settings(trainings.rows("student"), settings)


def missing(trainings: Records, transfer: str) -> list[Row]:
    """The rows of the students whose transfer set was "without 3" or "7 and 8", one row per seed, at the T that was
    chosen on validation images; row["corrected"]: with the biases that are best on "validation" or "test" images."""
    rows = trainings.rows("missing", transfer=transfer, **chosen_rate(trainings))
    tuning_rows = [row for row in rows if row["settings"]["seed"] == TUNING_SEED]
    return _with_settings(rows, best_corrected_settings(tuning_rows))


def best(trainings: Records) -> list[Row]:
    """The rows of the best students of 784-800-800-10, one row per seed."""
    return final_rows(trainings.rows("best"))


def widths(trainings: Records) -> dict[int, dict[str, Any]]:
    """By width of the two hidden layers: errors "alone" and "distilled" (one number per seed) at the "temperature"
    that is best on the validation images, and their paired "difference"."""
    by_width = {}
    for width in sorted({row["settings"]["width"] for row in trainings.rows("width")}):
        distilled = _distilled_at_width(trainings, width)
        best_row = min(distilled, key=lambda row: fmean(row["validation_errors"]))
        alone = trainings.rows("width", width=width, temperature=None)[0]
        by_width[width] = {
            "temperature": best_row["settings"]["temperature"],
            "difference": paired_difference(alone["test_errors"], best_row["test_errors"]),
            "alone": alone["test_errors"],
            "distilled": best_row["test_errors"],
        }
    return by_width


def wrong(rows: list[Row]) -> Tensor:
    """Which test images each row's network gets wrong: (seeds, 10000) bool."""
    return torch.stack([wrong_from_indices(row["test_wrong"]) for row in rows])


def compare(a: list[Row], b: list[Row], names: tuple[str, str]) -> PairedDifference:
    """Test errors of b against a, rows paired by seed, for new seeds and new images."""
    return paired_errors(wrong(a), wrong(b), names)


def markdown(trainings: Records) -> str:
    """The table of the site's page on Hinton et al.: the paper's errors, ours and those of public reproductions."""
    teacher_cell = _errors(trainings.rows("teacher"))
    lines = [
        "| errors of 10,000 | paper | here, chosen on validation | here, chosen on test | public reproductions |",
        "|---|---|---|---|---|",
        _line("teacher 784-1200-1200-10, dropout, jitter", "67", teacher_cell, teacher_cell, "64 to 108"),
        *_lines_on_students(trainings),
        *_lines_on_missing_classes(trainings, "without 3"),
        *_lines_on_missing_classes(trainings, "7 and 8"),
        *_lines_on_widths(trainings),
        _line("best student 784-800-800-10 that we could distil", "", _errors(best(trainings))),
    ]
    return "\n".join(lines)


def _lines_on_students(trainings: Records) -> list[str]:
    alone = [_errors(students(trainings, "alone", split)) for split in SPLITS]
    at_20 = [_errors(students(trainings, "at 20", split)) for split in SPLITS]
    distilled = []
    for split in SPLITS:
        rows = students(trainings, "distilled", split)
        distilled.append(_errors(rows) + _temperature(rows))
    return [
        _line("student 784-800-800-10 alone", "146", *alone, "171, 181"),
        _line("the same, distilled at T = 20, images not shifted", "74", *at_20, "67 to 134"),
        _line("the same, T chosen", "", *distilled),
    ]


def _lines_on_missing_classes(trainings: Records, transfer: str) -> list[str]:
    rows = missing(trainings, transfer)
    corrected_on_validation = [row["corrected"]["validation"] for row in rows]
    corrected_on_test = [row["corrected"]["test"] for row in rows]
    temperature = _temperature(rows)
    if transfer == "7 and 8":
        name = f"only 7s and 8s in the transfer set{temperature}"
        return [
            _line(name, "4730", _errors(rows), _errors(rows)),
            _line("… bias corrected", "1320", _errors(corrected_on_validation), _errors(corrected_on_test)),
        ]

    name = f"no 3 in the transfer set{temperature}"
    uncorrected = _errors(rows) + _threes(rows)
    on_validation = _errors(corrected_on_validation) + _threes(corrected_on_validation)
    on_test = _errors(corrected_on_test) + _threes(corrected_on_test)
    return [
        _line(name, "206, of these 133 threes", uncorrected, uncorrected),
        _line("… bias corrected", "109, of these 14 threes", on_validation, on_test),
    ]


def _lines_on_widths(trainings: Records) -> list[str]:
    published = {30: "T = 2.5 to 4 clearly the best", 300: "all T above 8 about the same"}
    lines = []
    for width, statement in published.items():
        rows = _distilled_at_width(trainings, width)
        if rows:
            cells = [f"T = {row['settings']['temperature']:g}: {fmean(row['test_errors']):.0f}" for row in rows]
            lines.append(_line(f"distilled students with two layers of {width}", statement, ", ".join(cells)))
    return lines


def _line(name: str, published: str, on_validation: str, on_test: str = "", others: str = "") -> str:
    """A line of the table; `others` are public reproductions."""
    return f"| {name} | {published} | {on_validation} | {on_test} | {others} |"


def _errors(rows: list[dict[str, Any]]) -> str:
    errors = [row["test_errors"] for row in rows]
    return f"**{fmean(errors):.1f}** ({min(errors):.0f} to {max(errors):.0f}, {len(errors)} seeds)"


def _threes(rows: list[dict[str, Any]]) -> str:
    mean = fmean(row["test_wrong_threes"] for row in rows)
    return f", of these {mean:.1f} threes"


def _temperature(rows: list[Row]) -> str:
    return f", T = {rows[0]['settings']['temperature']:g}"


def _with_settings(rows: list[Row], settings: dict[str, Any]) -> list[Row]:
    """The rows with exactly these settings, the seed aside."""
    matching = []
    for row in final_rows(rows):
        if {**row["settings"], "seed": None} == {**settings, "seed": None}:
            matching.append(row)
    return matching


def _distilled_at_width(trainings: Records, width: int) -> list[Row]:
    """One row per temperature."""
    return [row for row in trainings.rows("width", width=width) if row["settings"]["temperature"] is not None]
