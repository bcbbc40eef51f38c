"""Who owns which weights, which of them the optimizer has, and which get gradients. Part of `check_run`."""

from collections.abc import Callable

import torch
from torch import Tensor

from kdtutor.diagnosis.setup.given import Findings, Setup

Step = Callable[..., Tensor]
BATCH = 64  # examples in the step's batch
GRADIENT_EFFECT = "Time and memory are wasted; in the optimizer, the teacher learns too."
GRADIENT_FIX = "with torch.no_grad(): teacher_logits = teacher(inputs); and teacher.requires_grad_(False)"


def check_sharing(setup: Setup, findings: Findings) -> None:
    """Whether training the student moves the teacher's weights."""
    findings.checked.append("weights shared by teacher and student")
    shared = setup.shared_parameters()
    if shared:
        findings.add(
            "shared_weights",
            f"{len(shared)} of the teacher's parameters are the student's own, and are trained as such.",
            "The teacher changes with every step of the student: the target moves.",
            "teacher = copy.deepcopy(student) if one starts as the other; requires_grad_(False) for what both keep.",
        )


def check_frozen(setup: Setup, findings: Findings) -> None:
    """Whether the student's parameters require gradients."""
    own = setup.student_parameters()
    frozen = sum(not parameter.requires_grad for parameter in own)
    if frozen and frozen == len(own):
        findings.add(
            "student_frozen",
            "No parameter of the student requires a gradient.",
            "The student learns nothing.",
            "student.requires_grad_(True), after teacher.requires_grad_(False) if they were loaded together.",
        )
    elif frozen:
        what = f"{frozen} of the student's {len(own)} parameters don't require a gradient."
        fix = "Unless that is meant, student.requires_grad_(True)."
        findings.add("student_partly_frozen", what, "They stay as they are.", fix, mistake=False)


def check_optimizer(setup: Setup, findings: Findings) -> None:
    """Who is in the optimizer, and who isn't."""
    if setup.optimizers is None:
        findings.skip("the optimizer's parameters", "no optimizer was given")
        return
    findings.checked.append("the optimizer's parameters")
    optimized = set()
    for optimizer in setup.optimizers:
        for group in optimizer.param_groups:
            optimized.update(group["params"])

    # shared weights are a mistake of their own, and a frozen teacher stays as it is
    teachers_own = {*setup.teacher.parameters()} - setup.shared_parameters()
    moved = sum(parameter.requires_grad for parameter in teachers_own & optimized)
    if moved:
        findings.add(
            "teacher_in_optimizer",
            f"{moved} of the teacher's parameters are in the optimizer.",
            "The teacher learns too, as soon as a gradient reaches it: the target moves.",
            "optimizer = Adam(student.parameters()), and teacher.requires_grad_(False).",
        )

    names = {"student": "student_not_in_optimizer", "modules": "projection_not_in_optimizer"}
    for owner, parameters in setup.trained_parameters().items():
        missing = len({*parameters} - optimized)
        if missing:
            findings.add(
                names[owner],
                f"{missing} of the {len(parameters)} trainable parameters of {owner} aren't in the optimizer.",
                "They keep their first, random values.",
                "Adam([*student.parameters(), *projection.parameters()]); requires_grad_(False) for what is to stay.",
            )


def check_gradients(setup: Setup, findings: Findings, step: Step | None, detached: bool) -> None:
    """Where the loss sends gradients, measured by the user's step if it is given. detached: whether the loss is known
    to pass none to the teacher's logits."""
    parameters = [*setup.teacher.parameters()]
    hold_gradients = any(parameter.grad is not None for parameter in parameters)
    if step is not None:
        _check_step(setup, findings, step)
    elif detached:
        findings.checked.append("gradients to the teacher: the loss lets none through")
    elif hold_gradients or any(parameter.requires_grad for parameter in parameters):
        findings.skip("gradients to the teacher", "no step was given, and its call can't be seen from outside")
        what = "The teacher's parameters require gradients, which is harmless under no_grad alone."
        if hold_gradients:
            what = "The teacher's parameters hold gradients: of its own training, or of the student's."
        fix = f"{GRADIENT_FIX}. Pass step=... to have it measured."
        findings.add("teacher_may_receive_gradients", what, GRADIENT_EFFECT, fix, mistake=False)
    else:
        findings.checked.append("gradients to the teacher: none of its parameters requires one")


def _check_step(setup: Setup, findings: Findings, step: Step) -> None:
    trained = setup.trained_parameters()
    students = [*trained["student"], *trained["modules"]]
    others = {*setup.teacher.parameters()} - {*students}
    teachers = [parameter for parameter in others if parameter.requires_grad]

    batch = [setup.inputs[:BATCH], setup.labels[:BATCH]]
    if setup.cached_logits is not None:
        batch.append(setup.cached_logits[:BATCH])
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
            "The step's loss leads to no parameter of the student.",
            "The student learns nothing.",
            "Compute the loss from student(inputs), outside of no_grad, without detach, argmax or .item().",
        )
    teachers_reached = sum(reached[len(students) :])
    if teachers_reached:
        what = f"The step's loss sends gradients to {teachers_reached} of the teacher's parameters."
        findings.add("teacher_receives_gradients", what, GRADIENT_EFFECT, GRADIENT_FIX)
