"""`check_run`: mistakes in how a distillation is set up, outside of its loss's formula. Each is looked for by an
experiment; what can't be seen from the arguments is said to be unseen."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from kdtutor._check import check_count, check_labels, check_logits, shape
from kdtutor._text import wrap
from kdtutor.data import Split
from kdtutor.diagnosis.findings import Finding, listed
from kdtutor.diagnosis.setup.cached_logits import check_cache
from kdtutor.diagnosis.setup.measures import check_evaluation, check_loss
from kdtutor.diagnosis.setup.sample import Run, answers, ask, read, untouched, view, what_varies
from kdtutor.diagnosis.setup.teacher import check_outputs, check_teacher
from kdtutor.diagnosis.setup.wiring import check_gradients, check_modes, check_optimizer, check_sharing

Transform = Callable[[Tensor], Tensor]


@dataclass(frozen=True, repr=False)
class RunCheck:
    """What `check_run` found.

    Attributes:
        mistakes: what is wrong.
        notes: what may be meant, or can't be settled from outside.
        checked: what was looked at.
        not_checked: what wasn't, and why.
    """

    mistakes: tuple[Finding, ...]
    notes: tuple[Finding, ...]
    checked: tuple[str, ...]
    not_checked: tuple[str, ...]

    def __repr__(self) -> str:
        lines = [listed(self.mistakes, self.notes)] if self.mistakes or self.notes else []
        if not self.mistakes:
            lines.insert(0, "No known mistake found in what could be checked.")
        lines.append(wrap(f"Checked: {'; '.join(self.checked)}.", 4))
        return "\n".join([*lines, *(wrap(f"Not checked: {why}.", 4) for why in self.not_checked)])


def check_run(
    teacher: nn.Module,
    student: nn.Module,
    data: Split | Iterable[tuple[Tensor, ...]],
    *,
    optimizer: torch.optim.Optimizer | Iterable[torch.optim.Optimizer] | None = None,
    modules: Iterable[nn.Module] = (),
    transform: Transform | None = None,
    teacher_transform: Transform | None = None,
    teacher_logits: Tensor | None = None,
    loss: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None,
    step: Callable[..., Tensor] | None = None,
    evaluate: Callable[..., Any] | None = None,
    examples: int = 2000,
) -> RunCheck:
    """Find known mistakes in the set-up of a distillation, and say what each does and how to mend it.

    Call it where your training loop would take its first step: modes are judged as they stand. (`kdtutor.distill` sets
    them itself.) Whatever comes in is handed back as it came: weights, modes, gradients, buffers, random states.

    Args:
        teacher, student: map a batch of inputs to logits (B, C).
        data: a Split, whose uint8 inputs are scaled to 0..1 first; or an iterable, to be run through more than once,
            of batches (inputs, labels), or (inputs, labels, teacher_logits) where logits are cached. Labels (B,) int.
        optimizer: the one in use, or several.
        modules: whatever else is trained or holds the models, such as a projection, or a wrapper.
        transform: what the student's inputs (n, ...) go through after that, such as normalisation and augmentation.
        teacher_transform: the same for the teacher; unless given, it sees what the student sees.
        teacher_logits: cached logits (N, C), a row an example, in the order in which `data` gives them.
        loss: loss(student_logits, teacher_logits, labels) -> scalar.
        step: step(inputs, labels) -> the loss of one batch as data gives it, computed just as your loop does, with the
            models called as there, and no backward(). A batch's third part, if there is one, is passed on.
        evaluate: evaluate(model, data) -> NLL in nats, or (NLL, errors); it is given up to 512 of the examples, as a
            Split if data is one, else as a DataLoader.
        examples: the largest number of examples to look at; fewer if they are large.

    Raises TypeError or ValueError for what can't be looked at. Source of the mistakes: public code and issues.
    """
    modules, optimizers = _arguments(teacher, student, data, modules, optimizer, teacher_logits)
    check_count("examples", examples)
    functions = {"transform": transform, "teacher_transform": teacher_transform, "loss": loss, "step": step}
    for name, function in (functions | {"evaluate": evaluate}).items():
        if function is not None and not callable(function):
            raise TypeError(f"{name} must be a function or None, got {type(function).__name__}")
    with untouched(teacher, student, *modules, data=data):
        inputs, labels, cached = read(data, examples, teacher_logits)
        seen = view("transform", transform, inputs)
        shown = seen if teacher_transform is None else view("teacher_transform", teacher_transform, inputs)
        fresh = what_varies(data, transform, inputs)
        run = Run(teacher, student, modules, optimizers, inputs, labels, seen, shown, cached, fresh)
        student_logits, teacher_logits = answers("student", student, seen), answers("teacher", teacher, shown)
        check_labels(labels, student_logits)
        shared = check_sharing(run)
        check_modes(run, shared)
        check_optimizer(run, shared)
        cause = check_teacher(run, teacher_logits)
        usable = check_outputs(run, student_logits, teacher_logits, cause)
        detached = False
        if usable:
            check_cache(run, teacher_logits, cause)
            with torch.no_grad(), untouched(student, teacher):
                outputs = ask("student", student, seen[:64]), ask("teacher", teacher, shown[:64])
            half = any(logits.dtype in (torch.float16, torch.bfloat16) for logits in outputs)
            detached = check_loss(run, loss, student_logits, teacher_logits, half)
        else:
            run.not_checked.append("cached logits and the loss: the models' outputs can't be used")
        batch = (inputs[:64], labels[:64]) if cached is None else (inputs[:64], labels[:64], cached[:64])
        with untouched(teacher, student, *modules, data=data):
            check_gradients(run, step, batch, detached)
        check_evaluation(run, evaluate, data, student_logits.shape[1])
    return RunCheck(*map(tuple, (run.mistakes, run.notes, run.checked, run.not_checked)))


def _arguments(
    teacher: object, student: object, data: object, modules: object, optimizer: object, teacher_logits: object
) -> tuple[tuple[nn.Module, ...], tuple[torch.optim.Optimizer, ...] | None]:
    """The modules and the optimizers, each as a tuple; raises one sentence for what can't be looked at."""
    for name, model in (("teacher", teacher), ("student", student)):
        if not isinstance(model, nn.Module):
            raise TypeError(f"{name} must be an nn.Module, got {type(model).__name__}")
    if not isinstance(data, Split) and (isinstance(data, Tensor | str) or not hasattr(data, "__iter__")):
        raise TypeError(f"data must be a Split or an iterable of batches (inputs, labels), got {type(data).__name__}")
    if hasattr(data, "__next__"):
        raise TypeError(f"data must be run through more than once (a list, a DataLoader), got {type(data).__name__}")
    modules = (modules,) if isinstance(modules, nn.Module) else tuple(modules)
    for module in modules:
        if not isinstance(module, nn.Module):
            raise TypeError(f"each of modules must be an nn.Module, got {type(module).__name__}")
    if teacher_logits is not None:
        check_logits("teacher_logits", teacher_logits)
        if teacher_logits.dim() != 2:
            raise ValueError(f"teacher_logits must be (N, C), got {shape(teacher_logits)}")
    if optimizer is None:
        return modules, None
    several = isinstance(optimizer, tuple | list)
    optimizers = tuple(optimizer) if several else (optimizer,)
    for each in optimizers:
        if not isinstance(each, torch.optim.Optimizer):
            raise TypeError(f"optimizer must be a torch.optim.Optimizer or a list of them, got {type(each).__name__}")
    return modules, optimizers
