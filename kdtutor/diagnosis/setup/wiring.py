"""How a run is put together: modes, shared weights, the optimizer, gradients. Part of `check_run`."""

from collections.abc import Callable
from itertools import chain

import torch
from torch import Tensor, nn

from kdtutor.diagnosis.setup.sample import Run, answers, ask, untouched

FEW = 128  # examples that show whether a model's mode matters


def check_sharing(run: Run) -> set[nn.Parameter]:
    """The teacher's parameters that training the student moves, because both have them."""
    places = {_place(parameter) for parameter in trained(run)}
    shared = {parameter for parameter in run.teacher.parameters() if _place(parameter) in places}
    run.checked.append("weights shared by teacher and student")
    if shared:
        run.mistake(
            "shared_weights",
            f"{len(shared)} of the teacher's parameters are the student's own, and are trained as such.",
            "The teacher changes with every step of the student: the target moves.",
            "teacher = copy.deepcopy(student) if one starts as the other; requires_grad_(False) for what both keep.",
        )
    return shared


def trained(run: Run) -> dict[nn.Parameter, str]:
    """The parameters that training is to move, and whose they are: "student" or "modules". Those of a teacher that
    one of them holds aren't among them."""
    teachers = {*run.teacher.parameters()}
    found = {parameter: "student" for parameter in students_own(run) if parameter.requires_grad}
    for parameter in chain.from_iterable(module.parameters() for module in run.modules):
        if parameter.requires_grad and parameter not in teachers:
            found.setdefault(parameter, "modules")
    return found


def students_own(run: Run) -> list[nn.Parameter]:
    """The student's parameters, without those of a teacher that it holds."""
    holds = run.student is not run.teacher and any(module is run.teacher for module in run.student.modules())
    teachers = {*run.teacher.parameters()} if holds else set()
    return [parameter for parameter in run.student.parameters() if parameter not in teachers]


def check_modes(run: Run, shared: set[nn.Parameter]) -> None:
    """Teacher and student in the modes in which they came, and after train() of whatever holds the teacher."""
    if shared:
        run.not_checked.append("the teacher's mode: it shares weights with the student")
    else:
        run.checked.append("the teacher's mode")
        _check_teacher_mode(run, run.teacher_inputs[:FEW])
    if run.student is run.teacher:
        return
    run.checked.append("the student's mode")
    if not run.student.training:
        _check_student_mode(run)
    elif not all(module.training for module in {*run.student.modules()} - {*run.teacher.modules()}):
        run.note(
            "student_partly_in_eval_mode",
            "Parts of the student are in eval mode.",
            "There dropout is off, and batch norm keeps its statistics: usual in fine-tuning.",
            "Unless that is meant, student.train() before each epoch.",
        )


def _check_teacher_mode(run: Run, inputs: Tensor) -> None:
    teacher = run.teacher
    for holder in (run.student, *run.modules):
        if {*holder.modules()} & {*teacher.modules()}:
            with untouched(teacher, holder):
                teacher.eval()
                holder.train()
                flipped = _mode_matters("teacher", teacher, inputs)
            if flipped:
                return run.mistake(
                    "teacher_flipped_by_train",
                    f"train() of a {type(holder).__name__} that holds the teacher puts the teacher in train mode.",
                    "From the next train() on, dropout makes targets noisy, and batch norm's statistics drift.",
                    "Keep the teacher outside of it, or call teacher.eval() after each train().",
                )
    if not any(module.training for module in teacher.modules()):
        return None
    if not _mode_matters("teacher", teacher, inputs):
        what, add = f"The teacher is in train mode; on {len(inputs)} inputs that changes nothing.", run.note
    elif run.cached is not None:
        what, add = "The teacher is in train mode, and that changes its answers; the run uses cached ones.", run.note
    else:
        what, add = "The teacher is in train mode, and that changes its answers or its statistics.", run.mistake
    effect = "Dropout makes targets noisy, and batch norm's statistics drift towards the student's data."
    add("teacher_in_train_mode", what, effect, "teacher.eval() before training, and after any train() that reaches it.")


def _check_student_mode(run: Run) -> None:
    with untouched(run.student):
        run.student.train()
        matters = _mode_matters("student", run.student, run.student_inputs[:FEW])
    add, what = (run.mistake, "and that matters") if matters else (run.note, "which changes nothing here")
    add(
        "student_in_eval_mode",
        f"The student is in eval mode, {what}.",
        "Dropout is off and batch norm keeps old statistics while it learns.",
        "student.train() before each epoch: an evaluation may have left it in eval mode.",
    )


@torch.no_grad()
def _mode_matters(name: str, model: nn.Module, inputs: Tensor) -> bool:
    """Whether the model, as it stands, answers otherwise than in eval mode, or changes its buffers."""
    with untouched(model):
        calm = answers(name, model, inputs)
        before = [buffer.clone() for buffer in model.buffers()]
        lively = ask(name, model, inputs)
        changed = any(not torch.equal(*pair) for pair in zip(before, model.buffers(), strict=True))
    off = 100 * torch.finfo(lively.dtype).eps * calm.abs().max()
    return changed or not bool(((lively - calm).abs() <= off).all())


def check_optimizer(run: Run, shared: set[nn.Parameter]) -> None:
    """Who is in the optimizer, and who isn't."""
    wanted = trained(run)
    own = students_own(run)
    if own and not any(parameter.requires_grad for parameter in own):
        run.mistake(
            "student_frozen",
            "No parameter of the student requires a gradient.",
            "The student learns nothing.",
            "student.requires_grad_(True), after teacher.requires_grad_(False) if they were loaded together.",
        )
    elif frozen := sum(not parameter.requires_grad for parameter in own):
        run.note(
            "student_partly_frozen",
            f"{frozen} of the student's {len(own)} parameters don't require a gradient.",
            "They stay as they are.",
            "Unless that is meant, student.requires_grad_(True).",
        )
    if run.optimizers is None:
        run.not_checked.append("the optimizer's parameters: no optimizer was given")
        return
    run.checked.append("the optimizer's parameters")
    inside = {p for optimizer in run.optimizers for group in optimizer.param_groups for p in group["params"]}
    if targets := [p for p in run.teacher.parameters() if p in inside and p.requires_grad and p not in shared]:
        run.mistake(
            "teacher_in_optimizer",
            f"{len(targets)} of the teacher's parameters are in the optimizer.",
            "The teacher learns too, as soon as a gradient reaches it: the target moves.",
            "optimizer = Adam(student.parameters()), and teacher.requires_grad_(False).",
        )
    for owner, name in (("student", "student_not_in_optimizer"), ("modules", "projection_not_in_optimizer")):
        mine = [parameter for parameter, whose in wanted.items() if whose == owner]
        if missing := sum(parameter not in inside for parameter in mine):
            run.mistake(
                name,
                f"{missing} of the {len(mine)} trainable parameters of {owner} aren't in the optimizer.",
                "They keep their first, random values.",
                "Adam([*student.parameters(), *projection.parameters()]); requires_grad_(False) for what is to stay.",
            )


def check_gradients(run: Run, step: Callable[..., Tensor] | None, batch: tuple[Tensor, ...], detached: bool) -> None:
    """Whether the loss reaches the student, and not the teacher: measured by the run's own step, if it is given.
    detached: whether the loss is known to pass no gradient to the teacher's logits."""
    held = any(parameter.grad is not None for parameter in run.teacher.parameters())
    effect = "Time and memory are wasted; in the optimizer, the teacher learns too."
    fix = "with torch.no_grad(): teacher_logits = teacher(inputs); and teacher.requires_grad_(False)"
    if step is not None:
        _check_step(run, step, batch, effect, fix)
    elif detached:
        run.checked.append("gradients to the teacher: the loss lets none through")
    elif held or any(parameter.requires_grad for parameter in run.teacher.parameters()):
        run.not_checked.append("gradients to the teacher: no step was given, and its call can't be seen from outside")
        what = (
            "The teacher's parameters hold gradients: of its own training, or of the student's." if held else
            "The teacher's parameters require gradients, which is harmless under no_grad alone."
        )  # fmt: skip
        run.note("teacher_may_receive_gradients", what, effect, f"{fix}. Pass step=... to have it measured.")
    else:
        run.checked.append("gradients to the teacher: none of its parameters requires one")


def _check_step(run: Run, step: Callable[..., Tensor], batch: tuple[Tensor, ...], effect: str, fix: str) -> None:
    loss = step(*batch)
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        raise TypeError(f"step must return the loss, a tensor of one number, got {type(loss).__name__}")
    students = [*trained(run)]
    teachers = [p for p in run.teacher.parameters() if p.requires_grad and p not in {*students}]
    wanted = [*students, *teachers]
    none = (None,) * len(wanted)
    grads = torch.autograd.grad(loss, wanted, allow_unused=True) if loss.requires_grad and wanted else none
    run.checked.append("gradients of a step")
    if students and all(grad is None for grad in grads[: len(students)]):
        run.mistake(
            "student_receives_no_gradients",
            "The step's loss leads to no parameter of the student.",
            "The student learns nothing.",
            "Compute the loss from student(inputs), outside of no_grad, without detach, argmax or .item().",
        )
    if reached := sum(grad is not None for grad in grads[len(students) :]):
        what = f"The step's loss sends gradients to {reached} of the teacher's parameters."
        run.mistake("teacher_receives_gradients", what, effect, fix)


def _place(parameter: nn.Parameter) -> tuple[object, ...]:
    """Where a parameter's numbers lie: the same for two parameters that share them."""
    return (parameter.device, parameter.data_ptr()) if parameter.numel() else (id(parameter),)
