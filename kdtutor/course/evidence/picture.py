"""Pictures of the pages, from the records: a small student's errors, by what it learns from; and what pairs are."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from kdtutor import plots
from kdtutor.course import teachers
from kdtutor.course.evidence import ledger
from kdtutor.course.evidence.studies import few_labels
from kdtutor.course.evidence.studies import small_student as study

if TYPE_CHECKING:
    from matplotlib.axes import Axes

EXPERIMENT = ("small-student", "a small convolutional student")
OPENING = {
    "1,000 labels": study.FEW,
    "1,000 labels, shifted images": study.FEW_SHIFTED,
    "10,000 images, probabilities of a\nteacher of the same 1,000 labels": study.SOFT_OF_SAME,
    "10,000 images, the teacher's classes": study.HARD,
    "10,000 images, the teacher's probabilities": study.SOFT,
    "10,000 labels": study.ALL,
}


def mean_errors(arm: str) -> int:
    """Mean test errors of 10,000 of an arm's students."""
    return round(fmean(row["errors"] for row in ledger.results(*EXPERIMENT, arm)))


def small_student(arms: Mapping[str, str] = OPENING, title: str = "", *, ax: "Axes") -> "Axes":
    """Draw the test errors of each arm's ten students as dots, their mean as a bar and as a number on the right, from
    the shipped records; a dotted line is the teacher. arms: names for the axis, and the arms of the experiment; those
    without records are left out."""
    recorded = ledger.arms(*EXPERIMENT)
    arms = {name: arm for name, arm in arms.items() if arm in recorded}
    for place, arm in enumerate(arms.values()):
        errors = [row["errors"] for row in ledger.results(*EXPERIMENT, arm)]
        ax.plot(errors, [place] * len(errors), "o", color="C0", alpha=0.5)
        ax.plot([fmean(errors)], [place], "|", color="black", markersize=20, markeredgewidth=2)
        ax.annotate(f"{fmean(errors):.0f}", (1.01, place), xycoords=("axes fraction", "data"), va="center")
    _, record = teachers.load_teacher("mnist")
    ax.axvline(record["test"]["errors of 10,000"], color="C1", linestyle=":")
    ax.set_yticks(range(len(arms)), arms)
    ax.set_ylim(len(arms) - 0.5, -0.5)
    ax.set_xlim(left=0)
    ax.grid(axis="y", visible=False)
    ax.set(xlabel="test errors of 10,000 (dotted: the teacher)", title=title)
    return ax


def pairs(*, axes: "Sequence[Axes]") -> "Sequence[Axes]":
    """Left, students with 1,000 labels alone and distilled, those of a seed joined; right, the differences of the seeds
    and their mean with its 95 % interval. From the shipped records."""
    situation = ("few-labels", "1,000 labels, 784-100-100-10")
    arms = few_labels.LABELS, few_labels.TEACHER
    alone, distilled = [[row["errors"] for row in ledger.results(*situation, arm)] for arm in arms]
    difference = ledger.compare(*situation, *arms)
    plots.paired(alone, distilled, ("labels", "teacher"), difference, "Ten pairs", axes=axes)
    differences = [b - a for a, b in zip(alone, distilled, strict=True)]
    axes[1].plot([-0.3] * len(differences), differences, "o", color="C0", alpha=0.5)
    axes[1].set_xlim(-0.6, 0.5)
    return axes
