"""Are outputs and loss finite? Part of `check_run`; the loss's formula is the business of `diagnose`."""

from collections.abc import Callable

import torch
from torch import Tensor

from kdtutor._text import one_line
from kdtutor.diagnosis.setup.given import Findings, Setup
from kdtutor.diagnosis.setup.models import unusable
from kdtutor.losses import distillation_loss

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
BATCH = 64
HALF = (torch.float16, torch.bfloat16)


def check_outputs(setup: Setup, findings: Findings, teacher_mistake: str | None) -> bool:
    """Whether the outputs can be compared: finite, and over the same classes. teacher_mistake: what is known to make
    the teacher's outputs bad."""
    findings.checked.append("number of classes, and finite outputs")
    outputs = {"student": setup.student_logits, "teacher": setup.teacher_logits}
    if setup.cached_logits is not None:
        outputs["cached logits"] = setup.cached_logits

    counts = {logits.shape[1] for logits in outputs.values()}
    if len(counts) > 1:
        each = ", ".join(f"{name} {logits.shape[1]}" for name, logits in outputs.items())
        findings.add(
            "class_counts_differ",
            f"Not the same number of classes: {each}.",
            "Their distributions can't be compared; broadcasting may hide it.",
            "Give the student the teacher's classes, or take teacher_logits[:, the_students_classes].",
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
                f"{bad} of {len(logits)} answers of the {whose} hold NaN or infinity.",
                "So does the loss, and after one step the student.",
                "Look at the inputs' scale, at the weights that were loaded, and at overflow in half precision.",
            )
    return finite and len(counts) == 1


def check_loss(setup: Setup, findings: Findings, loss: Loss | None) -> bool:
    """Whether loss and gradient are finite: on the models' own logits, on logits far apart, and in half precision.
    Returns whether the loss is known to send the teacher's logits no gradient."""
    if loss is None:
        findings.skip("the loss on extreme logits", "no loss was given")
        return False
    findings.checked.append("the loss on this data and on logits far apart")
    labels = setup.labels[:BATCH]
    student_logits, teacher_logits = setup.student_logits[:BATCH], setup.teacher_logits[:BATCH]
    _, detached = _call_loss(loss, _full_precision(student_logits), _full_precision(teacher_logits), labels)

    # a student that is sure of the label, and a teacher that is sure of another class
    one_hot = torch.eye(student_logits.shape[1])
    student_peaks, teacher_peaks = one_hot[labels], one_hot[(labels + 1) % len(one_hot)]
    cases = {
        "on this data": (student_logits.float(), teacher_logits.float()),
        "on logits that are 10,000 apart": (1e4 * student_peaks, 1e4 * teacher_peaks),
        "on logits that are 100 apart, in half precision": (100 * student_peaks.half(), 100 * teacher_peaks.half()),
    }
    half = student_logits.dtype in HALF or teacher_logits.dtype in HALF
    for where, logits in cases.items():
        try:
            finite, _ = _call_loss(loss, *logits, labels)
        except RuntimeError as error:
            findings.skip(f"the loss {where}", one_line(error))
            continue
        if not finite and _call_loss(distillation_loss, *logits, labels)[0]:
            findings.add(
                "nan_on_underflow",
                f"The loss or its gradient is NaN or infinite {where}, where kdtutor.distillation_loss is finite.",
                "A probability that underflows to 0 gives 0 * log 0 = NaN, and then every weight is NaN.",
                "F.kl_div(F.log_softmax(student_logits / T, -1), F.softmax(teacher_logits / T, -1), "
                "reduction='batchmean')",
                mistake=half or logits[0].dtype not in HALF,
            )
            break
    return detached


def _full_precision(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def _call_loss(loss: Loss, student_logits: Tensor, teacher_logits: Tensor, labels: Tensor) -> tuple[bool, bool]:
    """Whether the loss and the student's gradient are finite, and whether the teacher's logits get no gradient."""
    student_logits = student_logits.detach().clone().requires_grad_()
    teacher_logits = teacher_logits.detach().clone().requires_grad_()
    value = loss(student_logits, teacher_logits, labels)
    if not isinstance(value, Tensor) or value.numel() != 1:
        raise TypeError(f"loss must return a tensor of one number, got {type(value).__name__}")

    finite = bool(value.isfinite())
    if not value.requires_grad:
        return finite, True
    student, teacher = torch.autograd.grad(value.sum(), (student_logits, teacher_logits), allow_unused=True)
    if student is not None:
        finite = finite and bool(student.isfinite().all())
    return finite, teacher is None
