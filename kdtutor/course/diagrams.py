"""Diagrams of the course, drawn with Matplotlib: what is computed from what, and where the gradient flows."""

from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TEACHER, STUDENT, LOSS, DATA = "#0072B2", "#D55E00", "#009E73", "#666666"


def distillation(hard_term: bool = True, *, ax: "Axes | None" = None) -> "Axes":
    """Teacher and student side by side, from the image to the loss; dashed arrows are the gradient's way back.

    Args:
        hard_term: whether the label's cross-entropy is part of the loss.
    """
    import matplotlib.pyplot as plt

    ax = ax or plt.subplots(figsize=(9, 3.9 if hard_term else 3.2))[1]
    ax.set(xlim=(0, 10), ylim=(0.3 if hard_term else 1.0, 4.3))
    ax.axis("off")
    ax.grid(visible=False)

    image = _box(ax, 0.6, 2.7, 1.0, "image", DATA)
    teacher = _box(ax, 2.6, 3.7, 1.7, "teacher\n(large, frozen)", TEACHER)
    student = _box(ax, 2.6, 1.9, 1.7, "student\n(small, learns)", STUDENT)
    soft = _box(ax, 5.5, 3.7, 2.0, "softmax(z / T)\nsoft targets", TEACHER)
    answer = _box(ax, 5.5, 1.9, 2.0, "softmax(z / T)", STUDENT)
    soft_loss = _box(ax, 8.6, 2.8, 2.0, "T² · KL divergence", LOSS)

    _arrow(ax, image, teacher)
    _arrow(ax, image, student)
    _arrow(ax, teacher, soft, "logits z")
    _arrow(ax, student, answer, "logits z")
    _arrow(ax, soft, soft_loss)
    _arrow(ax, answer, soft_loss)
    _gradient(ax, (8.6, 2.45), (6.55, 1.75), bend=-0.25)
    _gradient(ax, (4.5, 1.65), (3.45, 1.65), bend=0)

    if hard_term:
        plain = _box(ax, 5.5, 0.8, 2.0, "softmax(z)", STUDENT)
        hard_loss = _box(ax, 8.6, 0.8, 2.0, "cross-entropy\nwith the label", LOSS)
        _arrow(ax, student, plain)
        _arrow(ax, plain, hard_loss)
        _gradient(ax, (7.6, 0.6), (6.5, 0.6), bend=0)
    ax.text(1.75, 0.95 if hard_term else 1.25, "dashed: the gradient, to the student alone", fontsize=9, ha="left", color=STUDENT)
    return ax


def fair_comparison(*, ax: "Axes | None" = None) -> "Axes":
    """The four steps of a comparison from left to right, below each the images that it uses."""
    import matplotlib.pyplot as plt

    ax = ax or plt.subplots(figsize=(9, 1.6))[1]
    ax.set(xlim=(0, 10), ylim=(1.3, 3.1))
    ax.axis("off")
    ax.grid(visible=False)

    steps = [
        _box(ax, 1.2, 2.6, 1.9, "1. check\nthe teacher", TEACHER),
        _box(ax, 3.7, 2.6, 1.9, "2. tune\neach side", STUDENT),
        _box(ax, 6.2, 2.6, 1.9, "3. train pairs\nof new seeds", STUDENT),
        _box(ax, 8.7, 2.6, 1.9, "4. measure,\nonce", LOSS),
    ]
    for before, after in pairwise(steps):
        _arrow(ax, before, after)

    images = (
        "validation images",
        "learn from training images,\nchoose on validation images",
        "training images",
        "test images",
    )
    for (x, _, _), text in zip(steps, images, strict=True):
        ax.text(x, 2.05, text, ha="center", va="top", fontsize=9, color=DATA)
    return ax


def _box(ax: "Axes", x: float, y: float, width: float, text: str, color: str) -> tuple[float, float, float]:
    """A box with its centre at (x, y); returns centre and width, as the arrows need them."""
    from matplotlib.patches import FancyBboxPatch

    ax.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - 0.36), width, 0.72,
            boxstyle="round,pad=0,rounding_size=0.12", facecolor="white", edgecolor=color, linewidth=1.8,
        )
    )  # fmt: skip
    ax.text(x, y, text, ha="center", va="center", fontsize=9.5)
    return x, y, width


def _arrow(
    ax: "Axes", start: tuple[float, float, float], end: tuple[float, float, float], text: str = ""
) -> None:
    """From the right edge of one box to the left edge of another."""
    tail = (start[0] + start[2] / 2, start[1])
    head = (end[0] - end[2] / 2, end[1])
    ax.annotate("", head, tail, arrowprops={"arrowstyle": "-|>", "color": "black", "linewidth": 1.3})
    if text:
        ax.text((tail[0] + head[0]) / 2, tail[1] + 0.12, text, ha="center", fontsize=9)


def _gradient(ax: "Axes", tail: tuple[float, float], head: tuple[float, float], bend: float) -> None:
    style = {"arrowstyle": "-|>", "linestyle": "--", "color": STUDENT, "linewidth": 1.3}
    ax.annotate("", head, tail, arrowprops={**style, "connectionstyle": f"arc3,rad={bend}"})
