"""Does the teacher know its inputs and its labels? Part of `check_run`.

If another usual scaling of the inputs, or another order of the classes, takes away most of its errors, then that is
what it learned. Either is chosen among the examples with even numbers, and judged on those with odd numbers.
"""

import torch
from torch import Tensor

from kdtutor.diagnosis.setup.given import Setup
from kdtutor.diagnosis.setup.models import logits_in_eval_mode
from kdtutor.diagnosis.setup.normalisation import usual_scalings
from kdtutor.diagnosis.setup.outputs import unusable
from kdtutor.diagnosis.setup.report import Findings
from kdtutor.statistics import mcnemar

SURE = 1e-4  # the p-value below which one of a few ways of reading the teacher is better than another
CHOOSING = slice(0, None, 2)
CHOOSING_SCALING = slice(0, 600, 2)  # fewer, because the teacher is called for each scaling
JUDGING = slice(1, None, 2)


def check_teacher(setup: Setup, findings: Findings) -> str | None:
    """The name of the mistake that makes the teacher's outputs bad, if there is one."""
    from scipy.stats import binom

    labels, logits = setup.labels, setup.teacher_logits
    n, classes = logits.shape
    if labels.max() >= classes:
        why = f"it has {classes} classes, and labels go to {int(labels.max())}"
        findings.not_checked.append(f"the teacher's errors: {why}")
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
        findings.not_checked.append(f"whether the teacher is trained: {rates}, too few examples to tell")
        return None
    if by_chance:
        findings.add(
            "untrained_teacher",
            what=f"The teacher's answers are no better than chance: {rates}.",
            effect="The student copies noise.",
            fix="Load or train the teacher first, its last layer too; then see that its own test errors come out here.",
        )
        return "untrained_teacher"
    if poor:
        findings.add(
            "poor_teacher",
            what=f"The teacher is hardly better than chance: {rates}.",
            effect="The student copies noise.",
            fix="Was it trained to the end, on these classes and inputs?",
            mistake=False,
        )
    findings.checked.append(f"the teacher's answers: {100 * right / n:.1f} % of {n:,} are right")
    return None


def _wrong(logits: Tensor, labels: Tensor) -> Tensor:
    return (logits.argmax(1) != labels) | unusable(logits)


def _check_scaling(setup: Setup, findings: Findings, wrong: Tensor, by_chance: bool) -> str | None:
    inputs = setup.teacher_inputs
    if not inputs.is_floating_point() or not inputs.isfinite().all() or inputs.min() == inputs.max():
        why = "they aren't varied, finite floating-point numbers"
        findings.not_checked.append(f"other scalings of the inputs: {why}")
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
    return _add_if_better(
        findings,
        "other_normalisation",
        before,
        wrong_if_scaled(best_inputs, JUDGING),
        by_chance,
        how=f"with inputs scaled to {best}",
        effect="The targets are those of inputs that the teacher doesn't know: quietly bad.",
        fix=f"teacher(inputs scaled to {best}); the student may keep its own scaling.",
    )


def _check_order(setup: Setup, findings: Findings, wrong: Tensor, by_chance: bool) -> str | None:
    labels, predicted = setup.labels, setup.teacher_logits.argmax(1)
    classes = setup.teacher_logits.shape[1]
    if classes > 2000:
        findings.not_checked.append(f"the order of the classes: {classes} are too many")
        return None
    findings.checked.append("the order of the teacher's classes")

    label_of = _likeliest_labels(labels[CHOOSING], predicted[CHOOSING], classes)
    after = (label_of[predicted] != labels) | unusable(setup.teacher_logits)
    renamed = [f"{c} -> {int(label_of[c])}" for c in predicted.unique().tolist() if label_of[c] != c]
    return _add_if_better(
        findings,
        "class_order_differs",
        wrong[JUDGING],
        after[JUDGING],
        by_chance,
        how=f"with its classes renamed ({', '.join(renamed[:12])})",
        effect="The student is taught one class under the name of another, against the labels.",
        fix="teacher_logits = teacher(inputs)[:, order], where order[label] is the teacher's number of that class.",
    )


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
    findings.add(name, what=what, effect=effect, fix=fix, mistake=mistake)
    return name if mistake else None
