"""Which settings were chosen in the reproduction of Hinton et al. 2015, and on which images: read from its records."""

from typing import Any

from kdtutor.course.records import Runs

CHOICES = ("validation", "test")
FIGURES = tuple(f"{split}_errors" for split in CHOICES)
KINDS = {  # of students, by their settings
    "alone": lambda settings: "temperature" not in settings,
    "at 20": lambda settings: settings.get("temperature") == 20 and "alpha" not in settings,
    "distilled": lambda settings: "temperature" in settings,
}
CHOOSER = 100  # the seed of the students by which T, epochs and the like are chosen


def chosen(records: Runs, kind: str, figure: str, **settings) -> dict[str, Any]:
    """The settings of the student of this kind with the lowest figure, among those that were tried for the choice."""
    tried = records.rows("student", seed=CHOOSER, **settings)
    return lowest([row for row in tried if KINDS[kind](row["settings"])], figure)


def corrected(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The settings of the row with the fewest errors on validation images, where its bias was chosen, too."""
    return lowest([row | row["corrected"]["validation"] for row in rows], "validation_errors")


def rate(records: Runs) -> dict[str, float]:
    """The learning rate that was chosen on validation images for T = 20, which the other distilled students share."""
    settings = chosen(records, "at 20", FIGURES[0])
    return {"lr": settings["lr"]} if "lr" in settings else {}


def finals(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows that results are made of: those of all seeds but the chooser's."""
    return [row for row in rows if row["settings"]["seed"] != CHOOSER]


def lowest(rows: list[dict[str, Any]], figure: str) -> dict[str, Any]:
    """The settings of the row with the lowest figure."""
    return min(rows, key=lambda row: row[figure])["settings"]
