"""What the models answer: are they finite, over the same classes, and does the teacher know its inputs and labels?
Part of `check_run`."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from kdtutor.diagnosis.setup.sample import Run, answers
from kdtutor.statistics import mcnemar

SURE = 1e-4  # the p-value below which one of a few ways of reading the teacher is better than another
CHOOSING = 600  # examples, half of which choose among the scalings


def check_outputs(run: Run, student_logits: Tensor, teacher_logits: Tensor, cause: str | None) -> bool:
    """Whether both models' answers are finite and over the same classes. cause: of the teacher's bad answers."""
    run.checked.append("number of classes, and finite outputs")
    classes = {"student": student_logits.shape[1], "teacher": teacher_logits.shape[1]}
    if run.cached is not None:
        classes["cached logits"] = run.cached.shape[1]
    if len({*classes.values()}) > 1:
        run.mistake(
            "class_counts_differ",
            f"Not the same number of classes: {', '.join(f'{name} {count}' for name, count in classes.items())}.",
            "Their distributions can't be compared; broadcasting may hide it.",
            "Give the student the teacher's classes, or take teacher_logits[:, the_students_classes].",
        )
    finite = True
    for name, logits in (("student", student_logits), ("teacher", teacher_logits), ("cache", run.cached)):
        bad = 0 if logits is None else int(_broken(logits).sum())
        finite &= not bad
        if bad and not (name == "teacher" and cause):
            run.mistake(
                "non_finite_outputs",
                f"{bad} of {len(logits)} answers of the {name} hold NaN or infinity.",
                "So does the loss, and after one step the student.",
                "Look at the inputs' scale, at the weights that were loaded, and at overflow in half precision.",
            )
    return len({*classes.values()}) == 1 and finite


def _broken(logits: Tensor) -> Tensor:
    """Rows that can't be used: NaN, or infinite in more than masked classes (-inf). (n,) bool."""
    return logits.isnan().any(1) | (logits == math.inf).any(1) | (logits == -math.inf).all(1)


def check_teacher(run: Run, logits: Tensor) -> str | None:
    """The name of what makes the teacher's answers bad, if anything does. A usual scaling or another order of classes
    is chosen on one half of the examples and has to mend the errors on the other. logits (n, C)."""
    from scipy.stats import binom

    labels, classes, n = run.labels, logits.shape[1], len(run.labels)
    if labels.max() >= classes:
        run.not_checked.append(f"the teacher's errors: it has {classes} classes, and labels go to {int(labels.max())}")
        return None
    wrong = _wrong(logits, labels)
    right = int((~wrong).sum())
    shares = [torch.bincount(answer, minlength=classes) / n for answer in (logits.argmax(1), labels)]
    chance = min(1.0, float(shares[0] @ shares[1]))  # of answers that know nothing of the labels
    by_chance = float(binom.sf(right - 1, n, chance)) > 0.01
    for find in (_other_scaling, _other_order):
        if (found := find(run, logits, wrong, by_chance)) is not None:
            return found
    if _broken(logits).any():
        return None
    poor = float(binom.cdf(right, n, chance + 0.1 * (1 - chance))) < 0.01  # not a tenth of the way to all right
    rates = f"{100 * right / n:.1f} % of {n:,} are right, by chance it would be {100 * chance:.1f} %"
    effect = "The student copies noise."
    if by_chance and poor:
        fix = "Load or train the teacher first, its last layer too; then see that its own test errors come out here."
        run.mistake("untrained_teacher", f"The teacher's answers are no better than chance: {rates}.", effect, fix)
        return "untrained_teacher"
    if by_chance:
        run.not_checked.append(f"whether the teacher is trained: {rates}, too few examples to tell")
        return None
    if poor:
        what = f"The teacher is hardly better than chance: {rates}."
        run.note("poor_teacher", what, effect, "Was it trained to the end, on these classes and inputs?")
    run.checked.append(f"the teacher's answers: {100 * right / n:.1f} % of {n:,} are right")
    return None


def _wrong(logits: Tensor, labels: Tensor) -> Tensor:
    return (logits.argmax(1) != labels) | _broken(logits)


def _other_scaling(run: Run, logits: Tensor, wrong: Tensor, by_chance: bool) -> str | None:
    inputs, labels = run.teacher_inputs, run.labels
    if not inputs.is_floating_point() or not inputs.isfinite().all() or inputs.min() == inputs.max():
        run.not_checked.append("other scalings of the inputs: they aren't varied, finite floating-point numbers")
        return None
    run.checked.append("usual scalings of the teacher's inputs")
    ways = {name: way for name, way in scalings(inputs).items() if not torch.allclose(way(inputs), inputs, atol=1e-3)}

    def errors(name: str, half: slice) -> Tensor:
        return _wrong(answers("teacher", run.teacher, ways[name](inputs)[half]), labels[half])

    if not ways or mcnemar(wrong[1::2], torch.zeros_like(wrong[1::2])) > SURE:
        return None  # so few errors that no other way could be shown to be better
    best = min(ways, key=lambda name: int(errors(name, slice(0, CHOOSING, 2)).sum()))
    return _mended(
        run, by_chance, "other_normalisation", wrong[1::2], errors(best, slice(1, None, 2)),
        f"with inputs scaled to {best}",
        "The targets are those of inputs that the teacher doesn't know: quietly bad.",
        f"teacher(inputs scaled to {best}); the student may keep its own scaling.",
    )  # fmt: skip


def scalings(inputs: Tensor) -> dict[str, Callable[[Tensor], Tensor]]:
    """The usual scalings of inputs (n, ...), by their names. They start from 0..1, to which the inputs' own range is
    stretched, over each channel of (n, channels, H, W)."""
    dims = (0, 2, 3) if inputs.dim() == 4 else tuple(range(inputs.dim()))
    low, high = inputs.amin(dims, keepdim=True), inputs.amax(dims, keepdim=True)
    each = dims if inputs.dim() == 4 else (0,)
    mean, deviation = inputs.mean(each, keepdim=True), inputs.std(each, keepdim=True).clamp_min(1e-6)

    def unit(x: Tensor) -> Tensor:
        return (x - low) / (high - low).clamp_min(1e-12)

    def moved(mean: list[float], deviation: list[float]) -> Callable[[Tensor], Tensor]:
        first, second = (inputs.new_tensor(values)[:, None, None] for values in (mean, deviation))
        return lambda u: (u - first) / second

    ways = {
        "0..1": lambda u: u,
        "0..255": lambda u: 255 * u,
        "0..1/255 (divided by 255 twice)": lambda u: u / 255,
        "-1..1": lambda u: 2 * u - 1,
        "MNIST's (x - 0.1307) / 0.3081": lambda u: (u - 0.1307) / 0.3081,
    }
    if inputs.dim() == 4 and inputs.shape[1] == 3:
        ways["ImageNet's mean and deviation"] = moved([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        ways["CIFAR-10's mean and deviation"] = moved([0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616])
    return (
        {name: lambda x, way=way: way(unit(x)) for name, way in ways.items()}
        | {f"{name}, inverted (1 - x) first": lambda x, way=way: way(1 - unit(x)) for name, way in ways.items()}
        | {"mean 0 and deviation 1": lambda x: (x - mean) / deviation}
    )


def _other_order(run: Run, logits: Tensor, wrong: Tensor, by_chance: bool) -> str | None:
    from scipy.optimize import linear_sum_assignment

    labels, answer, classes = run.labels, logits.argmax(1), logits.shape[1]
    if classes > 2000:
        run.not_checked.append(f"the order of the classes: {classes} are too many")
        return None
    run.checked.append("the order of the teacher's classes")
    counts = torch.bincount(classes * labels[::2] + answer[::2], minlength=classes**2).view(classes, classes).double()
    counts += torch.eye(classes, dtype=torch.float64) / (2 * classes)  # of equally good orders, the one that it has
    rows, columns = linear_sum_assignment(counts.numpy(), maximize=True)
    label_of = torch.empty(classes, dtype=torch.int64)
    label_of[torch.from_numpy(columns)] = torch.from_numpy(rows)
    moved = {int(c): int(label_of[c]) for c in range(classes) if label_of[c] != c and (answer == c).any()}
    pairs = ", ".join(f"{theirs} -> {ours}" for theirs, ours in [*moved.items()][:12])
    return _mended(
        run, by_chance, "class_order_differs", wrong[1::2], (label_of[answer] != labels)[1::2] | _broken(logits)[1::2],
        f"with its classes renamed ({pairs})",
        "The student is taught one class under the name of another, against the labels.",
        "teacher_logits = teacher(inputs)[:, order], where order[label] is the teacher's number of that class.",
    )  # fmt: skip


def _mended(
    run: Run, by_chance: bool, name: str, before: Tensor, after: Tensor, how: str, effect: str, fix: str
) -> str | None:
    """The name, as a mistake, if the errors (n,) bool are at most half as many, or two thirds where they may be
    chance's; if a fifth of other errors is gone, a note."""
    old, new = int(before.sum()), int(after.sum())
    if new > (2 / 3 if by_chance else 0.8) * old or mcnemar(before, after) > SURE:
        return None
    found = by_chance or new <= old / 2
    sentence = f"The teacher makes {old} errors in {len(before):,} examples, {how} only {new}."
    (run.mistake if found else run.note)(name, sentence, effect, fix)
    return name if found else None
