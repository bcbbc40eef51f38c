"""Diagrams of the course, drawn with Matplotlib: what is computed from what, and where the gradient flows."""

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


def who_teaches_whom() -> list["Axes"]:
    """Four ways to place a teacher, a panel each: an ensemble, a network like itself, two students, an assistant."""
    import matplotlib.pyplot as plt

    panels = list(plt.subplots(1, 4, figsize=(10, 2.6))[1])
    titles = ("an ensemble", "a network like itself", "each other", "an assistant")
    for ax, title in zip(panels, titles, strict=True):
        ax.set(xlim=(0, 3.4), ylim=(0.2, 3.2))
        ax.set_title(title, loc="center")
        ax.axis("off")
    ensemble, itself, each_other, assistant = panels

    student = _box(ensemble, 2.6, 1.7, 1.2, "student", STUDENT)
    for height in (2.7, 1.7, 0.7):
        _arrow(ensemble, _box(ensemble, 0.7, height, 1.1, "teacher", TEACHER), student)

    first = _box(itself, 0.7, 1.7, 1.2, "784-50-10", TEACHER)
    _arrow(itself, first, _box(itself, 2.6, 1.7, 1.2, "784-50-10", STUDENT))

    left = _box(each_other, 0.7, 1.7, 1.2, "student", STUDENT)
    right = _box(each_other, 2.6, 1.7, 1.2, "student", STUDENT)
    _bent(each_other, (left[0] + 0.3, 2.1), (right[0] - 0.3, 2.1), bend=-0.4)
    _bent(each_other, (right[0] - 0.3, 1.3), (left[0] + 0.3, 1.3), bend=-0.4)

    teacher = _box(assistant, 0.7, 2.7, 1.1, "teacher", TEACHER)
    middle = _box(assistant, 1.7, 1.7, 1.2, "assistant", LOSS)
    student = _box(assistant, 2.7, 0.7, 1.1, "student", STUDENT)
    _bent(assistant, (teacher[0], 2.34), (middle[0] - 0.6, 1.7), bend=0.3)
    _bent(assistant, (middle[0], 1.34), (student[0] - 0.55, 0.7), bend=0.3)
    return panels


def _bent(ax: "Axes", tail: tuple[float, float], head: tuple[float, float], bend: float) -> None:
    style = {"arrowstyle": "-|>", "color": "black", "linewidth": 1.3, "connectionstyle": f"arc3,rad={bend}"}
    ax.annotate("", head, tail, arrowprops=style)
