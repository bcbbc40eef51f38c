"""`check_run`: mistakes in how a distillation is set up, outside of its loss's formula. Each is looked for by an
experiment; what can't be seen from the arguments is said to be unseen."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from kdtutor._check import check_count, check_labels, check_logits, shape
from kdtutor.data import Split
from kdtutor.diagnosis.findings import Report
from kdtutor.diagnosis.setup.cached_logits import check_cache
from kdtutor.diagnosis.setup.evaluation import Evaluate, check_evaluation
from kdtutor.diagnosis.setup.examples import Transform, read_sample, transformed, what_varies
from kdtutor.diagnosis.setup.finite import Loss, check_loss, check_outputs
from kdtutor.diagnosis.setup.given import Findings, Setup
from kdtutor.diagnosis.setup.models import logits_in_eval_mode, preserve_state
from kdtutor.diagnosis.setup.modes import check_modes
from kdtutor.diagnosis.setup.parameters import Step, check_frozen, check_gradients, check_optimizer, check_sharing
from kdtutor.diagnosis.setup.teacher import check_teacher


@dataclass(frozen=True, repr=False)
class RunCheck(Report):
    """What `check_run` found.

    Attributes:
        mistakes: what is wrong.
        notes: what may be meant, or can't be settled from outside.
        checked: what was looked at.
        not_checked: what wasn't, and why.
    """

    checked: tuple[str, ...]
    not_checked: tuple[str, ...]

    def lines_above(self, code: str) -> list[str]:
        return [] if self.mistakes else ["No known mistake found in what could be checked."]

    def lines_below(self) -> list[str]:
        return [f"Checked: {'; '.join(self.checked)}.", *(f"Not checked: {why}." for why in self.not_checked)]


def check_run(
    teacher: nn.Module,
    student: nn.Module,
    data: Split | Iterable[tuple[Tensor, ...]],
    *,
    optimizer: torch.optim.Optimizer | Iterable[torch.optim.Optimizer] | None = None,
    modules: nn.Module | Iterable[nn.Module] = (),
    transform: Transform | None = None,
    teacher_transform: Transform | None = None,
    teacher_logits: Tensor | None = None,
    loss: Loss | None = None,
    step: Step | None = None,
    evaluate: Evaluate | None = None,
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
    _check_functions(transform=transform, teacher_transform=teacher_transform, loss=loss, step=step, evaluate=evaluate)
    check_count("examples", examples)
    modules = _all_of(nn.Module, modules, "each of modules must be an nn.Module")
    optimizers = None
    if optimizer is not None:
        rule = "optimizer must be a torch.optim.Optimizer or a list of them"
        optimizers = _all_of(torch.optim.Optimizer, optimizer, rule)

    with preserve_state(teacher, student, *modules, data=data):
        inputs, labels, cached_logits = read_sample(data, examples, teacher_logits)
        student_inputs = teacher_inputs = transformed("transform", transform, inputs)
        if teacher_transform is not None:
            teacher_inputs = transformed("teacher_transform", teacher_transform, inputs)
        setup = Setup(
            teacher=teacher,
            student=student,
            modules=modules,
            optimizers=optimizers,
            data=data,
            inputs=inputs,
            labels=labels,
            cached_logits=cached_logits,
            student_inputs=student_inputs,
            teacher_inputs=teacher_inputs,
            varies=what_varies(data, transform, inputs),
            student_logits=logits_in_eval_mode("student", student, student_inputs),
            teacher_logits=logits_in_eval_mode("teacher", teacher, teacher_inputs),
        )
        check_labels(labels, setup.student_logits)
        findings = _checked(setup, loss, step, evaluate)

    return RunCheck(
        tuple(findings.mistakes), tuple(findings.notes), tuple(findings.checked), tuple(findings.not_checked)
    )


def _checked(setup: Setup, loss: Loss | None, step: Step | None, evaluate: Evaluate | None) -> Findings:
    """Make all checks, in the order in which they are reported."""
    findings = Findings()
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
        findings.skip("cached logits and the loss", "the models' outputs can't be used")
    # last, because step and evaluate are the user's own: what they leave behind is undone by the caller
    check_gradients(setup, findings, step, detached)
    check_evaluation(setup, findings, evaluate)
    return findings


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


def _all_of(kind: type, given: Any, rule: str) -> tuple:
    """One or several of a kind, as a tuple."""
    several = given if isinstance(given, Iterable) and not isinstance(given, kind) else (given,)
    several = tuple(several)
    for each in several:
        if not isinstance(each, kind):
            raise TypeError(f"{rule}, got {type(each).__name__}")
    return several
