"""Who owns which weights, and which of them the optimizer has. Part of `check_run`."""

from kdtutor.diagnosis.setup.given import Setup
from kdtutor.diagnosis.setup.report import Findings


def check_sharing(setup: Setup, findings: Findings) -> None:
    """Whether training the student moves the teacher's weights."""
    findings.checked.append("weights shared by teacher and student")
    shared = setup.shared_parameters()
    if shared:
        findings.add(
            "shared_weights",
            what=f"{len(shared)} of the teacher's parameters are the student's own, and are trained as such.",
            effect="The teacher changes with every step of the student: the target moves.",
            fix="teacher = copy.deepcopy(student) if one starts as the other; requires_grad_(False) for what both "
            "keep.",
        )


def check_frozen(setup: Setup, findings: Findings) -> None:
    """Whether the student's parameters require gradients."""
    own = setup.student_parameters()
    frozen = sum(not parameter.requires_grad for parameter in own)
    if frozen and frozen == len(own):
        findings.add(
            "student_frozen",
            what="No parameter of the student requires a gradient.",
            effect="The student learns nothing.",
            fix="student.requires_grad_(True), after teacher.requires_grad_(False) if they were loaded together.",
        )
    elif frozen:
        findings.add(
            "student_partly_frozen",
            what=f"{frozen} of the student's {len(own)} parameters don't require a gradient.",
            effect="They stay as they are.",
            fix="Unless that is meant, student.requires_grad_(True).",
            mistake=False,
        )


def check_optimizer(setup: Setup, findings: Findings) -> None:
    """Who is in the optimizer, and who isn't."""
    if setup.optimizers is None:
        findings.not_checked.append("the optimizer's parameters: no optimizer was given")
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
            what=f"{moved} of the teacher's parameters are in the optimizer.",
            effect="The teacher learns too, as soon as a gradient reaches it: the target moves.",
            fix="optimizer = Adam(student.parameters()), and teacher.requires_grad_(False).",
        )

    names = {"student": "student_not_in_optimizer", "modules": "projection_not_in_optimizer"}
    for owner, parameters in setup.trained_parameters().items():
        missing = len({*parameters} - optimized)
        if missing:
            findings.add(
                names[owner],
                what=f"{missing} of the {len(parameters)} trainable parameters of {owner} aren't in the optimizer.",
                effect="They keep their first, random values.",
                fix="Adam([*student.parameters(), *projection.parameters()]); requires_grad_(False) for what is to "
                "stay.",
            )
