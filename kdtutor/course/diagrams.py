"""Diagrams of the course, drawn with Matplotlib: what is computed from what, and where the gradient flows."""

from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from torch import Tensor

    Number = float | Tensor

TEACHER, STUDENT, LOSS, DATA = "#0072B2", "#D55E00", "#009E73", "#666666"


def distillation(hard_term: bool = True, *, ax: "Axes | None" = None) -> "Axes":
    """Teacher and student side by side, from the image to the loss; dashed arrows are the gradient's way back.

    Args:
        hard_term: whether the label's cross-entropy is part of the loss, and the sum of the two terms is shown.
    """
    if hard_term:
        ax = _canvas(ax, (10.6, 4.3), xlim=(0, 13), ylim=(-0.6, 4.3))
    else:
        ax = _canvas(ax, (9, 3.2), xlim=(0, 10), ylim=(1.0, 4.3))

    image = _box(ax, 0.6, 2.7, 1.0, "image", DATA)
    teacher = _box(ax, 2.6, 3.7, 1.7, "teacher\n(large, frozen)", TEACHER)
    student = _box(ax, 2.6, 1.9, 1.7, "student\n(small, learns)", STUDENT)
    soft = _box(ax, 5.5, 3.7, 2.0, "softmax($z_t$ / T)\nsoft targets", TEACHER)
    answer = _box(ax, 5.5, 1.9, 2.0, "softmax($z_s$ / T)", STUDENT)
    divergence = "T² · KL divergence"
    soft_loss = _box(ax, 8.6, 2.8, 2.0, f"soft term\n{divergence}" if hard_term else divergence, LOSS)

    _arrow(ax, image, teacher)
    _arrow(ax, image, student)
    _arrow(ax, teacher, soft, "logits $z_t$")
    _arrow(ax, student, answer, "logits $z_s$")
    _arrow(ax, soft, soft_loss)
    _arrow(ax, answer, soft_loss)
    _gradient(ax, (8.6, 2.45), (6.55, 1.75), bend=-0.25)
    _gradient(ax, (4.5, 1.65), (3.45, 1.65), bend=0)

    if hard_term:
        _hard_term(ax, student, soft_loss)
    note = "dashed: the gradient,\nto the student alone"
    ax.text(0.1, 0.4 if hard_term else 1.4, note, fontsize=9, va="center", color=STUDENT)
    return ax


def _hard_term(ax: "Axes", student: tuple[float, float, float], soft_loss: tuple[float, float, float]) -> None:
    """The lower half of the diagram: the student's plain answer meets the label, and both terms go into one loss."""
    plain = _box(ax, 5.5, 0.7, 2.0, "softmax($z_s$)", STUDENT)
    label = _box(ax, 5.5, -0.2, 2.0, "label $y$", DATA)
    hard_loss = _box(ax, 8.6, 0.7, 2.0, "hard term\ncross-entropy", LOSS)
    loss = _box(ax, 11.6, 1.75, 2.6, "loss L\nα · soft + (1 − α) · hard", LOSS)

    _arrow(ax, student, plain)
    _arrow(ax, plain, hard_loss)
    _arrow(ax, label, hard_loss)
    _arrow(ax, soft_loss, loss)
    _arrow(ax, hard_loss, loss)
    _gradient(ax, (11.6, 2.15), (9.65, 2.95), bend=0.25)
    _gradient(ax, (11.6, 1.35), (9.65, 0.55), bend=-0.25)
    _gradient(ax, (7.6, 0.9), (6.5, 0.9), bend=0)
    _gradient(ax, (4.5, 0.55), (2.9, 1.54), bend=-0.25)


def two_targets(*, ax: "Axes | None" = None) -> "Axes":
    """Two ways from an image to a target: a person's label makes a hard one, a teacher's probabilities a soft one."""
    ax = _canvas(ax, (9, 2.6), xlim=(0, 10), ylim=(1.0, 4.3))

    image = _box(ax, 0.6, 2.65, 1.0, "image", DATA)
    person = _box(ax, 2.7, 3.6, 1.5, "a person", DATA)
    hard = _box(ax, 8.2, 3.6, 3.2, "hard target: 1 for one class,\n0 for all others", DATA)
    teacher = _box(ax, 2.7, 1.7, 1.5, "teacher", TEACHER)
    softmax = _box(ax, 5.25, 1.7, 1.4, "softmax(z)", TEACHER)
    soft = _box(ax, 8.2, 1.7, 3.2, "soft target: a probability\nfor every class", TEACHER)

    _arrow(ax, image, person)
    _arrow(ax, image, teacher)
    _arrow(ax, person, hard, "label")
    _arrow(ax, teacher, softmax, "logits z")
    _arrow(ax, softmax, soft)
    return ax


def kl_div_poster(
    *,
    right: "Number",
    swapped: "Number",
    probabilities: "Number",
    logs: "Number",
    mean: "Number",
    log_of_softmax: "Number",
    by_hand: "Number",
    ax: "Axes | None" = None,
) -> "Axes":
    """A page to print: the right call of `F.kl_div` and six wrong ones, each with the value that it gave.

    Args:
        right: of the right call, and so on for the wrong ones: arguments swapped, student as probabilities, teacher as
            log-probabilities, reduction="mean", a student's softmax followed by log, the sum by hand.
    """
    batchmean = 'reduction="batchmean")'
    rows = [
        (f"F.kl_div(log_q, p, {batchmean}", right, "Right: KL(teacher || student), averaged over the batch."),
        (f"F.kl_div(log_p, q, {batchmean}", swapped, "The other direction. The student comes first."),
        (f"F.kl_div(q, p, {batchmean}", probabilities, "Not a KL. The student needs log_softmax."),
        (f"F.kl_div(log_q, log_p, {batchmean}", logs, "Log of a negative number. Say log_target=True, or give p."),
        ("F.kl_div(log_q, p)", mean, "Divided by the classes, too. Say batchmean."),
        (f"F.kl_div(q.log(), p, {batchmean}", log_of_softmax, "Fails after a softmax. Use log_softmax."),
        ("(p * (p / q).log()).sum()", by_hand, "Fails where p is 0. Use F.kl_div, or torch.special.xlogy."),
    ]

    ax = _canvas(ax, (10.6, 6.1), xlim=(0, 10), ylim=(-2.2, len(rows) + 1.15))
    ax.text(0, len(rows) + 0.65, "F.kl_div on one page", fontsize=17, weight="bold", va="center")
    for x, head in zip((0.15, 5.05, 5.35), ("You write", "You get", "What it is, and what to do"), strict=True):
        ax.text(x, len(rows) - 0.02, head, fontsize=10, color=DATA, va="center", ha="right" if x == 5.05 else "left")
    for i, (call, value, meaning) in enumerate(rows):
        _poster_row(ax, len(rows) - 1 - i + 0.1, call, float(value), meaning, LOSS if i == 0 else STUDENT)
    note = (
        "p = softmax(teacher's logits / T),  log_q = log_softmax(student's logits / T) (last two rows: others)\n"
        "batchmean divides by the size of the first axis: reshape sequences (B, L, C) to (B · L, C) before the call.\n"
        "Forward, KL(p || q), punishes the student for ruling out what the teacher thinks possible: it covers.\n"
        "Reverse, KL(q || p), punishes it for making up what the teacher rules out: it settles."
    )
    ax.text(0.15, -1.3, note, fontsize=10, va="center", linespacing=1.6)
    return ax


def _poster_row(ax: "Axes", y: float, call: str, value: float, meaning: str, color: str) -> None:
    """A call, its value and what it means, beside a bar of this colour."""
    ax.plot((0, 0), (y - 0.1, y + 0.7), color=color, linewidth=5, linestyle="-", solid_capstyle="butt")
    ax.text(0.15, y + 0.3, call, fontsize=9.5, family="monospace", va="center")
    ax.text(5.05, y + 0.3, f"{value:.3f}", fontsize=12, weight="bold", color=color, va="center", ha="right")
    ax.text(5.35, y + 0.3, meaning, fontsize=10, va="center")


def fair_comparison(*, ax: "Axes | None" = None) -> "Axes":
    """The four steps of a comparison from left to right, below each the images that it uses."""
    ax = _canvas(ax, (9, 1.6), xlim=(0, 10), ylim=(1.3, 3.1))

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


def _canvas(
    ax: "Axes | None", figsize: tuple[float, float], xlim: tuple[float, float], ylim: tuple[float, float]
) -> "Axes":
    """The axes that were given, or new ones of this size, with nothing but room to draw."""
    import matplotlib.pyplot as plt

    ax = ax or plt.subplots(figsize=figsize)[1]
    ax.set(xlim=xlim, ylim=ylim)
    ax.axis("off")
    ax.grid(visible=False)
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


def _arrow(ax: "Axes", start: tuple[float, float, float], end: tuple[float, float, float], text: str = "") -> None:
    """From the right edge of one box to the left edge of another."""
    tail = (start[0] + start[2] / 2, start[1])
    head = (end[0] - end[2] / 2, end[1])
    ax.annotate("", head, tail, arrowprops={"arrowstyle": "-|>", "color": "black", "linewidth": 1.3})
    if text:
        ax.text((tail[0] + head[0]) / 2, tail[1] + 0.12, text, ha="center", fontsize=9)


def _gradient(ax: "Axes", tail: tuple[float, float], head: tuple[float, float], bend: float) -> None:
    _bent(ax, tail, head, bend, linestyle="--", color=STUDENT)


def _bent(
    ax: "Axes",
    tail: tuple[float, float],
    head: tuple[float, float],
    bend: float,
    linestyle: str = "-",
    color: str = "black",
) -> None:
    style = {"arrowstyle": "-|>", "linestyle": linestyle, "color": color, "linewidth": 1.3}
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
