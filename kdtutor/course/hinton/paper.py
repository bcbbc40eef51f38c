"""Section 3 of Hinton, Vinyals & Dean 2015 beside what `kdtutor reproduce hinton` measured, from its records.

The records that ship are of two rounds. In the first a single student chose, and in bfloat16; what the second, which
goes by `reproduction`, hasn't trained anew yet has rows of the kinds "first round result" and "first round choice".
"""

from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from kdtutor import checkpoints
from kdtutor.course import teachers
from kdtutor.course.hinton.choices import alone_with, distilled_with
from kdtutor.course.records import Records, Row, wrong_from_indices
from kdtutor.data import shipped
from kdtutor.models import mlp
from kdtutor.statistics import PairedDifference, paired_difference, paired_errors

THREES = 1010  # in MNIST's test set
AXES = ("alpha", "temperature", "lr", "epochs")  # along which settings are chosen
FIRST_ROUND = "first round"


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


def students(trainings: Records, method: str, images: str = "all") -> list[Row]:
    """The results of a method of `choices`, one row per seed; row["chosen"] are the settings that were chosen for it,
    and where classes were missing row["corrected"] the errors with the bias that is best on "test" images, or for those
    who learnt from "train" on "validation" images.

    Args:
        images: what they learnt from: "train", the training images, or "all", those and the validation images. Where a
            method has rows of the first round only, which are all of "train", it is those.

    Raises ValueError for rows that don't belong together: of different choices, or of a seed that chose.
    """
    rows = trainings.rows("result", method=method)
    if not rows:
        return trainings.rows(f"{FIRST_ROUND} result", method=method)
    choosers = {row["settings"]["seed"] for row in tried(trainings, method)}
    for row in rows:
        if row["chosen"] != rows[0]["chosen"]:
            raise ValueError(
                f"the results of {method!r} must all have the same settings, got {rows[0]['chosen']} and "
                f"{row['chosen']} in {trainings.path}"
            )
        if row["settings"]["seed"] in choosers:
            raise ValueError(
                f"the results of {method!r} must be of other seeds than those that chose, got seed "
                f"{row['settings']['seed']} among both in {trainings.path}"
            )
    return [row for row in rows if row["settings"]["images"] == images]


def tried(trainings: Records, method: str) -> list[Row]:
    """The rows of the students that chose for a method: validation errors with each of the settings, for each seed. In
    the first round the seeds of the results chose T for widths other than 800."""
    return trainings.rows("choice", method=method) or trainings.rows(f"{FIRST_ROUND} choice", method=method)


def is_of_first_round(row: Row) -> bool:
    """Whether a row is of the first round, in which one student chose. Its teachers have "precision" among their
    settings."""
    return row["kind"].startswith(FIRST_ROUND) or "precision" in row["settings"]


def by_settings(rows: list[Row]) -> list[tuple[dict[str, float], float]]:
    """Of what was `tried`: settings and their validation errors, on average over the seeds; the fewest first."""
    errors: dict[tuple, list[float]] = {}
    for row in rows:
        settings = {axis: row["settings"][axis] for axis in AXES if axis in row["settings"]}
        errors.setdefault(tuple(settings.items()), []).append(row["validation_errors"])
    means = [(dict(settings), fmean(values)) for settings, values in errors.items()]
    return sorted(means, key=lambda pair: pair[1])


def widths(trainings: Records) -> dict[int, dict[str, Any]]:
    """By width of the two hidden layers: errors "alone" and "distilled" (one number per seed) at the "temperature"
    that was chosen, and their paired "difference"."""
    by_width = {}
    for units in (5, 10, 30, 100, 300):
        alone = students(trainings, alone_with(units))
        distilled = students(trainings, distilled_with(units))
        if alone and distilled:
            errors = {"alone": _test_errors(alone), "distilled": _test_errors(distilled)}
            by_width[units] = {
                "temperature": distilled[0]["chosen"]["temperature"],
                "difference": paired_difference(errors["alone"], errors["distilled"]),
                **errors,
            }
    return by_width


def wrong(rows: list[Row]) -> Tensor:
    """Which test images each row's network gets wrong: (seeds, 10000) bool."""
    return torch.stack([wrong_from_indices(row["test_wrong"]) for row in rows])


def compare(a: list[Row], b: list[Row], names: tuple[str, str]) -> PairedDifference:
    """Test errors of b against a, rows paired by seed, for new seeds and new images."""
    return paired_errors(wrong(a), wrong(b), names)


def _test_errors(rows: list[Row]) -> list[float]:
    return [row["test_errors"] for row in rows]
