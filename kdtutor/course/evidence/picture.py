"""The course's opening picture: a small student's errors, by what it learns from."""

from collections.abc import Mapping
from statistics import fmean
from typing import TYPE_CHECKING

from kdtutor.course.evidence import ledger
from kdtutor.course.evidence.studies import small_student as study

if TYPE_CHECKING:
    from matplotlib.axes import Axes

EXPERIMENT = ("small-student", "a small convolutional student")
OPENING = {
    "1,000 labels": study.FEW,
    "1,000 labels, shifted views": study.FEW_SHIFTED,
    "labels of all 10,000": study.ALL,
    "teacher's hard answers": study.HARD,
    "teacher's probabilities": study.SOFT,
}
# What notebook 7 takes apart.
CONTROLS = {
    "1,000 labels": study.FEW,
    "1,000 labels, shifted views": study.FEW_SHIFTED,
    "teacher of the same 1,000 labels": study.SOFT_OF_SAME,
    "labels of all 10,000": study.ALL,
    "teacher's hard answers": study.HARD,
    "teacher's probabilities": study.SOFT,
}


def mean_errors(name: str) -> int:
    """Mean test errors of 10,000 of the students with this name in the picture."""
    return round(fmean(row["errors"] for row in ledger.results(*EXPERIMENT, OPENING[name])))


def small_student(arms: Mapping[str, str] = OPENING, title: str = "", *, ax: "Axes") -> "Axes":
    """Draw the test errors of each arm's ten students as dots, and their mean as a bar, from the shipped records. arms:
    names for the axis, and the arms of the experiment; those that the records don't have (yet) are left out."""
    recorded = ledger.arms(*EXPERIMENT)
    arms = {name: arm for name, arm in arms.items() if arm in recorded}
    for place, arm in enumerate(arms.values()):
        errors = [row["errors"] for row in ledger.results(*EXPERIMENT, arm)]
        ax.plot(errors, [place] * len(errors), "o", color="C0", alpha=0.5)
        ax.plot([fmean(errors)], [place], "|", color="black", markersize=20, markeredgewidth=2)
        ax.annotate(f"{fmean(errors):.0f}", (max(errors), place), (8, -4), textcoords="offset points")
    ax.set_yticks(range(len(arms)), arms)
    ax.set_ylim(len(arms) - 0.5, -0.5)
    ax.set_xlim(left=0)
    ax.grid(axis="y", visible=False)
    ax.set(xlabel="test errors of 10,000 (ten seeds, and their mean)", title=title)
    return ax
