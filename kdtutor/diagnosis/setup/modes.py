"""Train and eval mode: the teacher's, the student's, and what train() will make of them. Part of `check_run`."""

import torch
from torch import Tensor, nn

from kdtutor.diagnosis.setup.given import Findings, Setup
from kdtutor.diagnosis.setup.models import call_model, logits_in_eval_mode, preserve_state

FEW = 128  # examples that show whether a model's mode matters


def check_modes(setup: Setup, findings: Findings) -> None:
    """Teacher and student in the modes in which they came, and after train() of whatever holds the teacher."""
    if setup.shared_parameters():
        findings.skip("the teacher's mode", "it shares weights with the student")
    else:
        findings.checked.append("the teacher's mode")
        holder = _holder_that_flips(setup)
        if holder is not None:
            findings.add(
                "teacher_flipped_by_train",
                f"train() of a {type(holder).__name__} that holds the teacher puts the teacher in train mode.",
                "From the next train() on, dropout makes targets noisy, and batch norm's statistics drift.",
                "Keep the teacher outside of it, or call teacher.eval() after each train().",
            )
        elif any(module.training for module in setup.teacher.modules()):
            _add_teacher_in_train_mode(setup, findings)

    if setup.student is not setup.teacher:
        findings.checked.append("the student's mode")
        _check_student(setup, findings)


def _holder_that_flips(setup: Setup) -> nn.Module | None:
    """The student or module whose train() reaches a teacher in eval mode, if that makes a difference."""
    teacher = setup.teacher
    for holder in (setup.student, *setup.modules):
        if {*holder.modules()}.isdisjoint(teacher.modules()):
            continue
        with preserve_state(teacher, holder):
            teacher.eval()
            holder.train()
            if _mode_matters("teacher", teacher, setup.teacher_inputs[:FEW]):
                return holder
    return None


def _add_teacher_in_train_mode(setup: Setup, findings: Findings) -> None:
    inputs = setup.teacher_inputs[:FEW]
    matters = _mode_matters("teacher", setup.teacher, inputs)
    if not matters:
        what = f"The teacher is in train mode; on {len(inputs)} inputs that changes nothing."
    elif setup.cached_logits is not None:
        what = "The teacher is in train mode, and that changes its answers; the run uses cached ones."
    else:
        what = "The teacher is in train mode, and that changes its answers or its statistics."
    findings.add(
        "teacher_in_train_mode",
        what,
        "Dropout makes targets noisy, and batch norm's statistics drift towards the student's data.",
        "teacher.eval() before training, and after any train() that reaches it.",
        mistake=matters and setup.cached_logits is None,
    )


def _check_student(setup: Setup, findings: Findings) -> None:
    student = setup.student
    if not student.training:
        with preserve_state(student):
            student.train()
            matters = _mode_matters("student", student, setup.student_inputs[:FEW])
        consequence = "and that matters" if matters else "which changes nothing here"
        findings.add(
            "student_in_eval_mode",
            f"The student is in eval mode, {consequence}.",
            "Dropout is off and batch norm keeps old statistics while it learns.",
            "student.train() before each epoch: an evaluation may have left it in eval mode.",
            mistake=matters,
        )
        return

    own_modules = {*student.modules()} - {*setup.teacher.modules()}
    if not all(module.training for module in own_modules):
        findings.add(
            "student_partly_in_eval_mode",
            "Parts of the student are in eval mode.",
            "There dropout is off, and batch norm keeps its statistics: usual in fine-tuning.",
            "Unless that is meant, student.train() before each epoch.",
            mistake=False,
        )


@torch.no_grad()
def _mode_matters(name: str, model: nn.Module, inputs: Tensor) -> bool:
    """Whether the model, as it stands, gives other logits than in eval mode, or changes its buffers."""
    with preserve_state(model):
        eval_logits = logits_in_eval_mode(name, model, inputs)
        buffers_before = [buffer.clone() for buffer in model.buffers()]
        logits = call_model(name, model, inputs)
        for before, after in zip(buffers_before, model.buffers(), strict=True):
            if not torch.equal(before, after):
                return True
    rounding = 100 * torch.finfo(logits.dtype).eps * eval_logits.abs().max()
    same = (logits - eval_logits).abs() <= rounding
    return not bool(same.all())
