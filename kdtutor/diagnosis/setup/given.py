"""What `check_run` looks at; what it finds is in `report`."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kdtutor.diagnosis.setup.examples import Transform, read_sample, transformed, what_varies
from kdtutor.diagnosis.setup.models import logits_in_eval_mode, preserve_state


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

    def preserved(self) -> AbstractContextManager[None]:
        """Whatever the user's own functions do inside is undone afterwards."""
        return preserve_state(self.teacher, self.student, *self.modules, data=self.data)

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


def read_setup(
    teacher: nn.Module,
    student: nn.Module,
    modules: tuple[nn.Module, ...],
    optimizers: tuple[torch.optim.Optimizer, ...] | None,
    data: Iterable,
    examples: int,
    teacher_logits: Tensor | None,
    transform: Transform | None,
    teacher_transform: Transform | None,
) -> Setup:
    """Take a sample of the data, and call the models on it."""
    inputs, labels, cached_logits = read_sample(data, examples, teacher_logits)
    student_inputs = teacher_inputs = transformed("transform", transform, inputs)
    if teacher_transform is not None:
        teacher_inputs = transformed("teacher_transform", teacher_transform, inputs)
    return Setup(
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


def _place(parameter: nn.Parameter) -> tuple[object, ...]:
    """Where a parameter's numbers lie: the same for two parameters that share them."""
    if parameter.numel() == 0:
        return (id(parameter),)
    return (parameter.device, parameter.data_ptr())
