"""What each check of `check_run` is given: the set-up at which it looks, and the findings to which it adds."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from kdtutor.diagnosis.findings import Finding


@dataclass(frozen=True)
class Setup:
    """A distillation before its first step, with n examples of its data and the models' logits for these.

    Attributes:
        modules: what else is trained, or holds the models.
        optimizers: None if none was given.
        inputs: (n, ...), as data gives them, a Split's uint8 as 0..1; student_inputs and teacher_inputs are those
            after the transforms.
        cached_logits: (n, C), or None.
        varies: what shows the student another view of an example each time: "transform", "data", or "".
        student_logits, teacher_logits: (n, C), in eval mode.
    """

    teacher: nn.Module
    student: nn.Module
    modules: tuple[nn.Module, ...]
    optimizers: tuple[torch.optim.Optimizer, ...] | None
    data: Iterable
    inputs: Tensor
    labels: Tensor
    cached_logits: Tensor | None
    student_inputs: Tensor
    teacher_inputs: Tensor
    varies: str
    student_logits: Tensor
    teacher_logits: Tensor

    def student_parameters(self) -> list[nn.Parameter]:
        """The student's parameters, without those of a teacher that it holds."""
        teachers: set[nn.Parameter] = set()
        if self.student is not self.teacher and self.teacher in {*self.student.modules()}:
            teachers = {*self.teacher.parameters()}
        return [parameter for parameter in self.student.parameters() if parameter not in teachers]

    def trained_parameters(self) -> dict[str, list[nn.Parameter]]:
        """The parameters that training is to move: the "student"'s, and those that only "modules" have. A teacher
        among the modules isn't meant."""
        student = [parameter for parameter in self.student_parameters() if parameter.requires_grad]
        others = {*student, *self.teacher.parameters()}
        modules = nn.ModuleList(self.modules).parameters()
        return {"student": student, "modules": [p for p in modules if p.requires_grad and p not in others]}

    def shared_parameters(self) -> set[nn.Parameter]:
        """The teacher's parameters that training the student moves, because both have them."""
        trained = self.trained_parameters()
        places = {_place(parameter) for parameter in [*trained["student"], *trained["modules"]]}
        return {parameter for parameter in self.teacher.parameters() if _place(parameter) in places}


def _place(parameter: nn.Parameter) -> tuple[object, ...]:
    """Where a parameter's numbers lie: the same for two parameters that share them."""
    if parameter.numel() == 0:
        return (id(parameter),)
    return (parameter.device, parameter.data_ptr())


@dataclass
class Findings:
    """What the checks have found so far; each list becomes the attribute of that name in `RunCheck`."""

    mistakes: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)
    checked: list[str] = field(default_factory=list)
    not_checked: list[str] = field(default_factory=list)

    def add(self, name: str, what: str, effect: str, fix: str, mistake: bool = True) -> None:
        """Add a mistake, or a note: what may be meant, or may come from elsewhere."""
        findings = self.mistakes if mistake else self.notes
        findings.append(Finding(name, what, effect, fix))

    def skip(self, check: str, why: str) -> None:
        """Say that something isn't checked, and why."""
        self.not_checked.append(f"{check}: {why}")
