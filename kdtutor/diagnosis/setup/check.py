"""`check_run`: mistakes in how a distillation is set up, outside of its loss's formula. Each is looked for by an
experiment; what can't be seen from the arguments is said to be unseen."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from kdtutor._check import check_count, check_labels, check_logits, shape
from kdtutor.data import Split
from kdtutor.diagnosis.setup.cached_logits import check_cache
from kdtutor.diagnosis.setup.evaluation import check_evaluation
from kdtutor.diagnosis.setup.examples import Transform
from kdtutor.diagnosis.setup.finite_loss import check_loss
from kdtutor.diagnosis.setup.given import read_setup
from kdtutor.diagnosis.setup.gradients import check_gradients
from kdtutor.diagnosis.setup.models import preserve_state
from kdtutor.diagnosis.setup.modes import check_modes
from kdtutor.diagnosis.setup.outputs import check_outputs
from kdtutor.diagnosis.setup.parameters import check_frozen, check_optimizer, check_sharing
from kdtutor.diagnosis.setup.report import Findings, RunCheck
from kdtutor.diagnosis.setup.teacher import check_teacher


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
    """Find known mistakes in the set-up of a distillation, and say what each does and how to fix it.

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
        teacher_logits: cached logits (N, C), one row per example, in the order in which `data` gives them.
        loss: loss(student_logits, teacher_logits, labels) -> scalar.
        step: step(inputs, labels) -> the loss of one batch as data gives it, computed just as your loop does, with the
            models called as there, and no backward(). A batch's third part, if there is one, is passed on.
        evaluate: evaluate(model, data) -> NLL in nats, or (NLL, errors); it is given up to 512 of the examples, as a
            Split if data is one, else as a DataLoader.
        examples: the largest number of examples to look at; fewer if they are large.

    Raises TypeError or ValueError for what can't be looked at. Source of the mistakes: public code and issues.
    """
    _check_arguments(teacher, student, data, teacher_logits)
    modules, optimizers = _as_modules(modules), _as_optimizers(optimizer)
    check_count("examples", examples)
    _check_functions(transform=transform, teacher_transform=teacher_transform, loss=loss, step=step, evaluate=evaluate)

    findings = Findings()
    with preserve_state(teacher, student, *modules, data=data):
        setup = read_setup(
            teacher, student, modules, optimizers, data, examples, teacher_logits, transform, teacher_transform
        )
        check_labels(setup.labels, setup.student_logits)

        check_sharing(setup, findings)
        check_modes(setup, findings)
        check_frozen(setup, findings)
        check_optimizer(setup, findings)
        teacher_mistake = check_teacher(setup, findings)
        detached = False
        if check_outputs(setup, findings, teacher_mistake):
            check_cache(setup, findings, teacher_mistake)
            detached = check_loss(setup, findings, loss)
        else:
            findings.not_checked.append("cached logits and the loss: the models' outputs can't be used")
        check_gradients(setup, findings, step, detached)
        check_evaluation(setup, findings, evaluate)
    return findings.report()


def _check_arguments(teacher: object, student: object, data: object, teacher_logits: object) -> None:
    for name, model in (("teacher", teacher), ("student", student)):
        if not isinstance(model, nn.Module):
            raise TypeError(f"{name} must be an nn.Module, got {type(model).__name__}")

    got = type(data).__name__
    if isinstance(data, Tensor | str) or not (isinstance(data, Split) or hasattr(data, "__iter__")):
        raise TypeError(f"data must be a Split or an iterable of batches (inputs, labels), got {got}")
    if hasattr(data, "__next__"):
        raise TypeError(f"data must be run through more than once (a list, a DataLoader), got {got}")

    if teacher_logits is not None:
        check_logits("teacher_logits", teacher_logits)
        if teacher_logits.dim() != 2:
            raise ValueError(f"teacher_logits must be (N, C), got {shape(teacher_logits)}")


def _check_functions(**functions: object) -> None:
    for name, function in functions.items():
        if function is not None and not callable(function):
            raise TypeError(f"{name} must be a function or None, got {type(function).__name__}")


def _as_modules(modules: nn.Module | Iterable[nn.Module]) -> tuple[nn.Module, ...]:
    if isinstance(modules, nn.Module):
        return (modules,)
    modules = tuple(modules)
    for module in modules:
        if not isinstance(module, nn.Module):
            raise TypeError(f"each of modules must be an nn.Module, got {type(module).__name__}")
    return modules


def _as_optimizers(optimizer: object) -> tuple[torch.optim.Optimizer, ...] | None:
    if optimizer is None:
        return None
    optimizers = tuple(optimizer) if isinstance(optimizer, tuple | list) else (optimizer,)
    for each in optimizers:
        if not isinstance(each, torch.optim.Optimizer):
            raise TypeError(f"optimizer must be a torch.optim.Optimizer or a list of them, got {type(each).__name__}")
    return optimizers
