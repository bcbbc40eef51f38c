"""Which settings the reproduction of Hinton et al. 2015 tries, in full or as a quick look; and which of them were
chosen, on which images: read from its records."""

from typing import Any

from kdtutor.course.records import Records, Row

SPLITS = ("validation", "test")  # settings are chosen on either
METRICS = ("validation_errors", "test_errors")  # by the fewest of these
METHODS = ("alone", "at 20", "distilled")  # of training a student
TUNING_SEED = 100  # of the students by which T, epochs and the like are chosen

# What is tried: in full over hours, or a quick look with the same steps.
FULL: dict[str, Any] = {
    "seeds": range(5),
    "teachers": range(3),
    "teacher_epochs": 300,
    "epochs": (20, 60),
    "temperatures": (2.0, 4.0, 8.0, 20.0),
    "alphas": (0.5, 0.9),  # besides 1
    "rates": ({}, {"lr": 3e-3}, {"lr": 1e-2}),  # {}: 1e-3, the default
    "widths": {5: 20, 10: 20, 30: 20, 100: 10, 300: 6},  # width: epochs
    "width_temperatures": (1.0, 2.5, 4.0, 8.0, 20.0, 40.0),
    "few_epochs": (60, 20, 200),  # where the transfer set has two classes only
    "best_epochs": (10, 60),
    "ensembles": ("2x1200", "2x1200 and cnn"),
}
QUICK: dict[str, Any] = {
    "seeds": range(2),
    "teachers": range(2),
    "teacher_epochs": 4,
    "epochs": (1, 2),
    "temperatures": (4.0, 20.0),
    "alphas": (0.9,),
    "rates": ({}, {"lr": 3e-3}),
    "widths": {30: 2},
    "width_temperatures": (1.0, 4.0, 20.0),
    "few_epochs": (5, 10),
    "best_epochs": (1, 3),
    "ensembles": ("2x1200",),
}


def uses_method(settings: dict[str, Any], method: str) -> bool:
    """Whether a student with these settings was trained "alone", "at 20" (distilled at T = 20, without labels) or
    "distilled" (at any T, with or without labels)."""
    if method == "alone":
        return "temperature" not in settings
    if method == "at 20":
        return settings.get("temperature") == 20 and "alpha" not in settings
    return "temperature" in settings


def best_settings(records: Records, method: str, metric: str, **settings) -> dict[str, Any]:
    """The settings of the student of this method with the lowest metric, among those that were tried for the choice."""
    tried = records.rows("student", seed=TUNING_SEED, **settings)
    return lowest([row for row in tried if uses_method(row["settings"], method)], metric)


def best_corrected_settings(rows: list[Row]) -> dict[str, Any]:
    """The settings of the row with the fewest errors on validation images, where its bias was chosen, too."""
    best = min(rows, key=lambda row: row["corrected"]["validation"]["validation_errors"])
    return best["settings"]


def chosen_rate(records: Records) -> dict[str, float]:
    """The learning rate that was chosen on validation images for T = 20, which the other distilled students share:
    {"lr": rate}, or {} for the default."""
    settings = best_settings(records, "at 20", "validation_errors")
    return {"lr": settings["lr"]} if "lr" in settings else {}


def final_rows(rows: list[Row]) -> list[Row]:
    """The rows that results are made of: those of all seeds except the one for tuning."""
    return [row for row in rows if row["settings"]["seed"] != TUNING_SEED]


def lowest(rows: list[Row], metric: str) -> dict[str, Any]:
    """The settings of the row with the lowest metric."""
    return min(rows, key=lambda row: row[metric])["settings"]
