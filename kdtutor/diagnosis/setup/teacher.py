"""Does the teacher know its inputs and its labels? Part of `check_run`.

If another usual scaling of the inputs, or another order of the classes, takes away most of its errors, then that is
what it learned. Either is chosen among the examples with even numbers, and judged on those with odd numbers.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from kdtutor.diagnosis.setup.given import Findings, Setup
from kdtutor.diagnosis.setup.models import logits_in_eval_mode, unusable
from kdtutor.statistics import mcnemar

SURE = 1e-4  # the p-value below which one of a few ways of reading the teacher is better than another
CHOOSING = slice(0, None, 2)
CHOOSING_SCALING = slice(0, 600, 2)  # fewer, because the teacher is called for each scaling
JUDGING = slice(1, None, 2)
IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])  # mean and deviation of each channel of inputs in 0..1
CIFAR10 = ([0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616])


def check_teacher(setup: Setup, findings: Findings) -> str | None:
    """The name of the mistake that makes the teacher's outputs bad, if there is one."""
    from scipy.stats import binom

    labels, logits = setup.labels, setup.teacher_logits
    n, classes = logits.shape
    if labels.max() >= classes:
        findings.skip("the teacher's errors", f"it has {classes} classes, and labels go to {int(labels.max())}")
        return None

    wrong = _wrong(logits, labels)
    right = n - int(wrong.sum())
    share_of_labels = torch.bincount(labels, minlength=classes) / n
    share_of_outputs = torch.bincount(logits.argmax(1), minlength=classes) / n
    chance = min(1.0, float(share_of_outputs @ share_of_labels))  # right, if outputs know nothing of the labels
    by_chance = float(binom.sf(right - 1, n, chance)) > 0.01  # whether so many may be right by chance
    for check in (_check_scaling, _check_order):
        mistake = check(setup, findings, wrong, by_chance)
        if mistake is not None:
            return mistake
    if unusable(logits).any():
        return None
    return _check_accuracy(findings, right, n, chance, by_chance)


def _check_accuracy(findings: Findings, right: int, n: int, chance: float, by_chance: bool) -> str | None:
    from scipy.stats import binom

    a_tenth = chance + 0.1 * (1 - chance)  # of the way from chance to all right
    poor = float(binom.cdf(right, n, a_tenth)) < 0.01
    rates = f"{100 * right / n:.1f} % of {n:,} are right, by chance it would be {100 * chance:.1f} %"
    if by_chance and not poor:
        findings.skip("whether the teacher is trained", f"{rates}, too few examples to tell")
        return None
    if by_chance:
        findings.add(
            "untrained_teacher",
            f"The teacher's answers are no better than chance: {rates}.",
            "The student copies noise.",
            "Load or train the teacher first, its last layer too; then see that its own test errors come out here.",
        )
        return "untrained_teacher"
    if poor:
        what = f"The teacher is hardly better than chance: {rates}."
        fix = "Was it trained to the end, on these classes and inputs?"
        findings.add("poor_teacher", what, "The student copies noise.", fix, mistake=False)
    findings.checked.append(f"the teacher's answers: {100 * right / n:.1f} % of {n:,} are right")
    return None


def _wrong(logits: Tensor, labels: Tensor) -> Tensor:
    return (logits.argmax(1) != labels) | unusable(logits)


def _check_scaling(setup: Setup, findings: Findings, wrong: Tensor, by_chance: bool) -> str | None:
    inputs = setup.teacher_inputs
    if not inputs.is_floating_point() or not inputs.isfinite().all() or inputs.min() == inputs.max():
        findings.skip("other scalings of the inputs", "they aren't varied, finite floating-point numbers")
        return None
    findings.checked.append("usual scalings of the teacher's inputs")
    before = wrong[JUDGING]
    if mcnemar(before, torch.zeros_like(before)) > SURE:
        return None  # so few errors that no other scaling could be shown to be better

    def wrong_if_scaled(scaled: Tensor, rows: slice) -> Tensor:
        return _wrong(logits_in_eval_mode("teacher", setup.teacher, scaled[rows]), setup.labels[rows])

    fewest_errors, best, best_inputs = len(inputs) + 1, "", inputs
    for name, scaled in usual_scalings(inputs):
        if torch.allclose(scaled[CHOOSING_SCALING], inputs[CHOOSING_SCALING], atol=1e-3):
            continue  # the scaling that they have
        errors = int(wrong_if_scaled(scaled, CHOOSING_SCALING).sum())
        if errors < fewest_errors:
            fewest_errors, best, best_inputs = errors, name, scaled

    after = wrong_if_scaled(best_inputs, JUDGING)
    how = f"with inputs scaled to {best}"
    effect = "The targets are those of inputs that the teacher doesn't know: quietly bad."
    fix = f"teacher(inputs scaled to {best}); the student may keep its own scaling."
    return _add_if_better(findings, "other_normalisation", before, after, by_chance, how, effect, fix)


def usual_scalings(inputs: Tensor) -> Iterator[tuple[str, Tensor]]:
    """The inputs (n, ...) in each usual scaling, with its name.

    All start from 0..1, to which the inputs' own range is stretched, over each channel of (n, channels, H, W).
    """
    over_examples = (0,)
    over_all = tuple(range(inputs.dim()))
    if inputs.dim() == 4:
        over_examples = over_all = (0, 2, 3)

    low, high = inputs.amin(over_all, keepdim=True), inputs.amax(over_all, keepdim=True)
    unit = (inputs - low) / (high - low).clamp_min(1e-12)
    yield from _from_unit(unit, "")
    yield from _from_unit(1 - unit, ", inverted (1 - x) first")

    deviation = inputs.std(over_examples, keepdim=True).clamp_min(1e-6)
    yield "mean 0 and deviation 1", (inputs - inputs.mean(over_examples, keepdim=True)) / deviation


def _from_unit(unit: Tensor, suffix: str) -> Iterator[tuple[str, Tensor]]:
    yield f"0..1{suffix}", unit
    yield f"0..255{suffix}", 255 * unit
    yield f"0..1/255 (divided by 255 twice){suffix}", unit / 255
    yield f"-1..1{suffix}", 2 * unit - 1
    yield f"MNIST's (x - 0.1307) / 0.3081{suffix}", (unit - 0.1307) / 0.3081
    if unit.dim() == 4 and unit.shape[1] == 3:
        yield f"ImageNet's mean and deviation{suffix}", _standardised(unit, *IMAGENET)
        yield f"CIFAR-10's mean and deviation{suffix}", _standardised(unit, *CIFAR10)


def _standardised(unit: Tensor, mean: list[float], deviation: list[float]) -> Tensor:
    return (unit - unit.new_tensor(mean)[:, None, None]) / unit.new_tensor(deviation)[:, None, None]


def _check_order(setup: Setup, findings: Findings, wrong: Tensor, by_chance: bool) -> str | None:
    labels, predicted = setup.labels, setup.teacher_logits.argmax(1)
    classes = setup.teacher_logits.shape[1]
    if classes > 2000:
        findings.skip("the order of the classes", f"{classes} are too many")
        return None
    findings.checked.append("the order of the teacher's classes")

    label_of = _likeliest_labels(labels[CHOOSING], predicted[CHOOSING], classes)
    after = (label_of[predicted] != labels) | unusable(setup.teacher_logits)
    renamed = [f"{c} -> {int(label_of[c])}" for c in predicted.unique().tolist() if label_of[c] != c]
    how = f"with its classes renamed ({', '.join(renamed[:12])})"
    effect = "The student is taught one class under the name of another, against the labels."
    fix = "teacher_logits = teacher(inputs)[:, order], where order[label] is the teacher's number of that class."
    return _add_if_better(findings, "class_order_differs", wrong[JUDGING], after[JUDGING], by_chance, how, effect, fix)


def _likeliest_labels(labels: Tensor, predicted: Tensor, classes: int) -> Tensor:
    """The label (C,) of each of the teacher's classes, no two the same, by which most predictions (n,) are right."""
    from scipy.optimize import linear_sum_assignment

    counts = torch.bincount(classes * labels + predicted, minlength=classes**2).view(classes, classes).double()
    counts += torch.eye(classes, dtype=torch.float64) / (2 * classes)  # of equally good orders, the one that it has
    _, label_of = linear_sum_assignment(counts.T.numpy(), maximize=True)
    return torch.from_numpy(label_of)


def _add_if_better(
    findings: Findings, name: str, before: Tensor, after: Tensor, by_chance: bool, how: str, effect: str, fix: str
) -> str | None:
    """Add a mistake, and return its name, if errors (n,) bool are at most half as many afterwards, or two thirds where
    the teacher is no better than chance; if a fifth of other errors is gone, add a note."""
    old, new = int(before.sum()), int(after.sum())
    enough = 2 / 3 if by_chance else 0.8
    if new > enough * old or mcnemar(before, after) > SURE:
        return None
    mistake = by_chance or new <= old / 2
    what = f"The teacher makes {old} errors in {len(before):,} examples, {how} only {new}."
    findings.add(name, what, effect, fix, mistake)
    return name if mistake else None
