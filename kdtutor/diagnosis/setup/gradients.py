"""Gradients: they should reach the student, and not the teacher. Part of `check_run`."""

from collections.abc import Callable

import torch
from torch import Tensor

from kdtutor.diagnosis.setup.given import Setup
from kdtutor.diagnosis.setup.report import Findings

BATCH = 64  # examples in the step's batch
EFFECT = "Time and memory are wasted; in the optimizer, the teacher learns too."
FIX = "with torch.no_grad(): teacher_logits = teacher(inputs); and teacher.requires_grad_(False)"


def check_gradients(setup: Setup, findings: Findings, step: Callable[..., Tensor] | None, detached: bool) -> None:
    """Where the loss sends gradients, measured by the user's step if it is given. detached: whether the loss is known
    to pass none to the teacher's logits."""
    parameters = [*setup.teacher.parameters()]
    hold_gradients = any(parameter.grad is not None for parameter in parameters)
    if step is not None:
        _check_step(setup, findings, step)
    elif detached:
        findings.checked.append("gradients to the teacher: the loss lets none through")
    elif hold_gradients or any(parameter.requires_grad for parameter in parameters):
        unseen = "no step was given, and its call can't be seen from outside"
        findings.not_checked.append(f"gradients to the teacher: {unseen}")
        what = "The teacher's parameters require gradients, which is harmless under no_grad alone."
        if hold_gradients:
            what = "The teacher's parameters hold gradients: of its own training, or of the student's."
        fix = f"{FIX}. Pass step=... to have it measured."
        findings.add("teacher_may_receive_gradients", what=what, effect=EFFECT, fix=fix, mistake=False)
    else:
        findings.checked.append("gradients to the teacher: none of its parameters requires one")


def _check_step(setup: Setup, findings: Findings, step: Callable[..., Tensor]) -> None:
    trained = setup.trained_parameters()
    students = [*trained["student"], *trained["modules"]]
    others = {*setup.teacher.parameters()} - {*students}
    teachers = [parameter for parameter in others if parameter.requires_grad]

    batch = [setup.inputs[:BATCH], setup.labels[:BATCH]]
    if setup.cached_logits is not None:
        batch.append(setup.cached_logits[:BATCH])
    with setup.preserved():
        loss = step(*batch)
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            raise TypeError(f"step must return the loss, a tensor of one number, got {type(loss).__name__}")
        reached = [False] * len(students + teachers)
        if loss.requires_grad and reached:
            gradients = torch.autograd.grad(loss, students + teachers, allow_unused=True)
            reached = [gradient is not None for gradient in gradients]

    findings.checked.append("gradients of a step")
    if students and not any(reached[: len(students)]):
        findings.add(
            "student_receives_no_gradients",
            what="The step's loss leads to no parameter of the student.",
            effect="The student learns nothing.",
            fix="Compute the loss from student(inputs), outside of no_grad, without detach, argmax or .item().",
        )
    teachers_reached = sum(reached[len(students) :])
    if teachers_reached:
        what = f"The step's loss sends gradients to {teachers_reached} of the teacher's parameters."
        findings.add("teacher_receives_gradients", what=what, effect=EFFECT, fix=FIX)
