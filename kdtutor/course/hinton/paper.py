"""Section 3 of Hinton, Vinyals & Dean 2015 beside what `kdtutor reproduce hinton` measured: figures from its records.

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
from kdtutor.course.hinton.choices import CHOICES, CHOOSER, chosen, corrected, finals, rate
from kdtutor.course.records import Runs, unpack
from kdtutor.data import shipped
from kdtutor.models import mlp
from kdtutor.statistics import PairedDifference, paired_difference, paired_errors

THREES = 1010  # in MNIST's test set


def runs(folder: Path | None = None) -> Runs:
    """The records that ship with the course, or those in `folder`."""
    return Runs((folder or shipped() / "hinton") / "runs.jsonl")


def load(kind: str) -> nn.Module:
    """The shipped "teacher" (784-1200-1200-10) or the shipped best "student" (784-800-800-10), in eval mode."""
    networks = {"teacher": teachers.wide_teacher, "student": lambda: mlp(784, 800, 800, 10)}
    if kind not in networks:
        raise ValueError(f"kind must be 'teacher' or 'student', got {kind!r}")
    network = networks[kind]()
    checkpoints.load(network, shipped() / "hinton" / f"{kind}.safetensors")
    return network.eval()


def students(records: Runs, kind: str, chosen_on: str = "validation") -> list[dict[str, Any]]:
    """The rows of the students "alone", "at 20" (distilled at T = 20) or "distilled" (at any T and alpha), a row a
    seed, at the settings that were chosen on the validation or the test images."""
    return _seeds(records.rows("student"), chosen(records, kind, f"{chosen_on}_errors"))


def missing(records: Runs, transfer: str) -> list[dict[str, Any]]:
    """The rows of the students whose transfer set was "without 3" or "7 and 8", a row a seed, at the T that was
    chosen on validation images; row["corrected"]: with the biases that are best on "validation" or "test" images."""
    rows = records.rows("missing", transfer=transfer, **rate(records))
    return _seeds(rows, corrected([row for row in rows if row["settings"]["seed"] == CHOOSER]))


def best(records: Runs) -> list[dict[str, Any]]:
    """The rows of the best students of 784-800-800-10, a row a seed."""
    return finals(records.rows("best"))


def _seeds(rows: list[dict[str, Any]], settings: dict[str, Any]) -> list[dict[str, Any]]:
    return [row for row in finals(rows) if row["settings"] | {"seed": None} == settings | {"seed": None}]


def wrong(rows: list[dict[str, Any]]) -> Tensor:
    """Which test images each row's network gets wrong: (seeds, 10000) bool."""
    return torch.stack([unpack(row["test_wrong"]) for row in rows])


def compare(a: list[dict[str, Any]], b: list[dict[str, Any]], names: tuple[str, str]) -> PairedDifference:
    """Test errors of b against a, rows paired by seed, for new seeds and new images."""
    return paired_errors(wrong(a), wrong(b), names)


def markdown(records: Runs) -> str:
    """The table of the README: the paper's figures, ours and those of public reproductions."""
    wide = records.rows("teacher")
    lines = [
        "| errors of 10,000 | paper | here, chosen on validation | here, chosen on test | public reproductions |",
        "|---|---|---|---|---|",
        _line("teacher 784-1200-1200-10, dropout, jitter", "67", [_errors(wide)] * 2, "64 to 108"),
    ]
    kinds = {
        "alone": ("student 784-800-800-10 alone", "146", "171, 181"),
        "at 20": ("the same, distilled at T = 20, images not shifted", "74", "67 to 134"),
    }
    kinds["distilled"] = ("the same, T chosen", "", "")
    for kind, (name, published, others) in kinds.items():
        ours = [students(records, kind, chosen_on) for chosen_on in CHOICES]
        cells = [_errors(rows) + (_temperature(rows) if kind == "distilled" else "") for rows in ours]
        lines.append(_line(name, published, cells, others))
    for transfer, (name, published) in {
        "without 3": ("no 3 in the transfer set", "206, of these 133 threes"),
        "7 and 8": ("only 7s and 8s in the transfer set", "4730"),
    }.items():
        rows, threes = missing(records, transfer), transfer == "without 3"
        lines.append(_line(name + _temperature(rows), published, [_missing(rows, threes)] * 2, ""))
        cells = [_missing([row["corrected"][chosen_on] for row in rows], threes) for chosen_on in CHOICES]
        published = "109, of these 14 threes" if threes else "1320"
        lines.append(_line("… bias corrected", published, cells, ""))
    for width, published in {30: "T = 2.5 to 4 clearly the best", 300: "all T above 8 about the same"}.items():
        if records.rows("width", width=width):
            cells = [_by_temperature(records, width), ""]
            lines.append(_line(f"distilled students with two layers of {width}", published, cells, ""))
    lines.append(_line("best student 784-800-800-10 that we could distil", "", [_errors(best(records)), ""], ""))
    return "\n".join(lines)


def _line(name: str, published: str, ours: list[str], others: str) -> str:
    return f"| {' | '.join((name, published, *ours, others))} |"


def _errors(rows: list[dict[str, Any]]) -> str:
    found = [row["test_errors"] for row in rows]
    return f"**{fmean(found):.1f}** ({min(found):.0f} to {max(found):.0f}, {len(found)} seeds)"


def _temperature(rows: list[dict[str, Any]]) -> str:
    return f", T = {rows[0]['settings']['temperature']:g}"


def _missing(rows: list[dict[str, Any]], threes: bool) -> str:
    of_these = f", of these {fmean(row['test_wrong_threes'] for row in rows):.1f} threes" if threes else ""
    return _errors(rows).replace(" seeds)", f" seeds){of_these}")


def widths(records: Runs) -> dict[int, dict[str, Any]]:
    """By width of the two hidden layers: errors "alone" and "distilled" (a figure a seed) at the "temperature" that is
    best on the validation images, and their paired "difference"."""
    found = {}
    for width in sorted({row["settings"]["width"] for row in records.rows("width")}):
        rows = records.rows("width", width=width)
        alone = next(row for row in rows if row["settings"]["temperature"] is None)
        soft = min((row for row in rows if row is not alone), key=lambda row: fmean(row["validation_errors"]))
        pair = alone["test_errors"], soft["test_errors"]
        found[width] = {"temperature": soft["settings"]["temperature"], "difference": paired_difference(*pair)}
        found[width] |= dict(zip(("alone", "distilled"), pair, strict=True))
    return found


def _by_temperature(records: Runs, width: int) -> str:
    rows = [row for row in records.rows("width", width=width) if row["settings"]["temperature"]]
    cells = (f"T = {row['settings']['temperature']:g}: {fmean(row['test_errors']):.0f}" for row in rows)
    return ", ".join(cells)
