"""How much the reproduction trains: in full over hours, or a quick look with the same steps."""

from typing import Any

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
