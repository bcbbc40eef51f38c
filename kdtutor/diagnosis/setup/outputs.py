"""The models' outputs: finite, and over the same classes. Part of `check_run`."""

import math

from torch import Tensor

from kdtutor.diagnosis.setup.given import Setup
from kdtutor.diagnosis.setup.report import Findings


def unusable(logits: Tensor) -> Tensor:
    """Rows of (n, C) that hold NaN, or are infinite in more than masked classes (-inf): (n,) bool."""
    return logits.isnan().any(1) | (logits == math.inf).any(1) | (logits == -math.inf).all(1)


def check_outputs(setup: Setup, findings: Findings, teacher_mistake: str | None) -> bool:
    """Whether the outputs can be compared. teacher_mistake: what is known to make the teacher's outputs bad."""
    findings.checked.append("number of classes, and finite outputs")
    outputs = {"student": setup.student_logits, "teacher": setup.teacher_logits}
    if setup.cached_logits is not None:
        outputs["cached logits"] = setup.cached_logits

    counts = {logits.shape[1] for logits in outputs.values()}
    if len(counts) > 1:
        each = ", ".join(f"{name} {logits.shape[1]}" for name, logits in outputs.items())
        findings.add(
            "class_counts_differ",
            what=f"Not the same number of classes: {each}.",
            effect="Their distributions can't be compared; broadcasting may hide it.",
            fix="Give the student the teacher's classes, or take teacher_logits[:, the_students_classes].",
        )

    finite = True
    for name, logits in outputs.items():
        bad = int(unusable(logits).sum())
        if not bad:
            continue
        finite = False
        if name != "teacher" or teacher_mistake is None:
            whose = "cache" if name == "cached logits" else name
            findings.add(
                "non_finite_outputs",
                what=f"{bad} of {len(logits)} answers of the {whose} hold NaN or infinity.",
                effect="So does the loss, and after one step the student.",
                fix="Look at the inputs' scale, at the weights that were loaded, and at overflow in half precision.",
            )
    return finite and len(counts) == 1
