"""What a loss does on random logits: values and gradients, and how they change with another teacher or other labels.

A change of teacher leaves only the soft term's part of a loss, a change of labels only the hard term's.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from kdtutor.diagnosis.loss.forms import Hard, Soft
from kdtutor.diagnosis.loss.signature import ADAPTER, Loss

TEMPERATURE, ALPHA = 2.0, 0.3  # unless a pass asks for others
DRAWS = 3
NO_EFFECT = 3e-7  # relative; a smaller change is rounding

# Shapes of logits: (B, C), (B, C) for losses of ten classes alone, and (B, L, C). Of each the first is observed first;
# the others differ from it in the batch, in the classes, and in the length.
FLAT = ((6, 5), (4, 5), (6, 7))
TEN_CLASSES = ((6, 10), (4, 10))
OTHER_CLASSES = tuple(((6, classes), (4, classes)) for classes in (3, 4, 6, 7, 8, 9, 20, 21, 100))
SEQUENCES = ((2, 3, 5), (4, 3, 5), (2, 3, 7), (2, 2, 5))
Shape = tuple[int, ...]


class Output(NamedTuple):
    """Values (D,) for D draws of inputs, and gradients (D, *shape) in the student's logits."""

    value: Tensor
    gradient: Tensor

    def minus(self, other: "Output") -> "Output":
        return Output(self.value - other.value, self.gradient - other.gradient)

    def flatten(self) -> Tensor:
        return torch.cat([self.value.flatten(), self.gradient.flatten()])


@dataclass(frozen=True)
class Observation:
    """A loss on D draws of logits (D, *shape) and labels (D, *shape[:-1]), all in float64.

    by_teacher, by_labels: by how much the output exceeds that for `other_teacher`, and that for `other_labels`.
    """

    student: Tensor
    teacher: Tensor
    other_teacher: Tensor
    labels: Tensor
    other_labels: Tensor
    temperature: float
    alpha: float
    output: Output
    teacher_gradient: Tensor
    by_teacher: Output
    by_labels: Output

    @property
    def shape(self) -> torch.Size:
        return self.student.shape[1:]

    def change_for(self, form: Soft | Hard) -> Output:
        """The change that a form of this kind is to explain."""
        return self.by_teacher if isinstance(form, Soft) else self.by_labels


def observe(
    loss: Loss, shape: Shape, *, temperature: float = TEMPERATURE, alpha: float = ALPHA,
    other_student: float | None = None, seed: int = 0,
) -> Observation:  # fmt: skip
    """The loss on random logits of this shape (..., C). other_student: how far the student's are from those that it has
    by default, 1.0 for logits that have nothing to do with them; the teacher's and the labels are the same."""
    generator = torch.Generator().manual_seed(seed)
    student, teacher, other_teacher = (
        2 * torch.randn(DRAWS, *shape, generator=generator, dtype=torch.float64) for _ in range(3)
    )
    labels = torch.randint(0, shape[-1], (DRAWS, *shape[:-1]), generator=generator)
    step = torch.randint(1, shape[-1], labels.shape, generator=generator)
    other_labels = (labels + step) % shape[-1]
    if other_student:
        another = 2 * torch.randn(student.shape, generator=generator, dtype=torch.float64)
        student = torch.lerp(student, another, other_student)

    output, teacher_gradient = outputs(loss, student, teacher, labels, temperature, alpha)
    with_other_teacher, _ = outputs(loss, student, other_teacher, labels, temperature, alpha)
    with_other_labels, _ = outputs(loss, student, teacher, other_labels, temperature, alpha)
    return Observation(
        student, teacher, other_teacher, labels, other_labels, temperature, alpha,
        output, teacher_gradient, output.minus(with_other_teacher), output.minus(with_other_labels),
    )  # fmt: skip


def outputs(
    loss: Loss, students: Tensor, teachers: Tensor, labels: Iterable[Tensor | None], temperature: float, alpha: float
) -> tuple[Output, Tensor]:
    """The loss's output for each draw of inputs, and its gradients in the teacher's logits; 0 where none flows."""
    draws = []
    for student, teacher, draw_labels in zip(students, teachers, labels, strict=True):
        student, teacher = student.clone().requires_grad_(), teacher.clone().requires_grad_()
        value = loss(student * 1, teacher * 1, draw_labels, temperature, alpha)  # a leaf can't be changed in place
        gradients = torch.zeros_like(student), torch.zeros_like(teacher)
        if value.requires_grad:
            gradients = torch.autograd.grad(value, (student, teacher), allow_unused=True, materialize_grads=True)
        draws.append((value.detach().double(), *gradients))

    values, student_gradients, teacher_gradients = (torch.stack(parts) for parts in zip(*draws, strict=True))
    return Output(values, student_gradients), teacher_gradients


def observe_first(loss: Loss) -> tuple[Loss, tuple[Shape, ...], Observation]:
    """The loss in the first precision that it takes, the first shapes that it takes, and what it does there.

    Raises ValueError, in the loss's own words, if it takes none.
    """
    first_error = None
    masks = (torch.bool, torch.int64) if "mask" in loss.extra.values() else (torch.int64,)
    layouts = [(shapes, False) for shapes in (FLAT, TEN_CLASSES, SEQUENCES)]
    layouts += [(SEQUENCES, True), *((shapes, False) for shapes in OTHER_CLASSES)]
    for (shapes, dense), dtype, mask in product(layouts, (torch.float64, torch.float32), masks):
        loss = replace(loss, dtype=dtype, mask_dtype=mask, dense=dense)
        try:
            return loss, shapes, observe(loss, shapes[0])
        except Exception as error:  # whatever somebody's loss raises
            first_error = first_error or error

    taken = f" ({loss.described})" if loss.described else ""
    raise ValueError(
        f"loss_fn must work on logits (6, 5) or (6, 10) and int64 labels (6,){taken}, got "
        f"{type(first_error).__name__}: {first_error}; for another interface {ADAPTER}"
    ) from first_error


def negligible(part: Output, observation: Observation, tolerance: float = 3e-6) -> bool:
    """Whether a part of the observed output is 0 up to rounding. Where values are NaN, gradients alone tell."""
    for values, whole in zip(part, observation.output, strict=True):
        largest = 1e-12 + whole.nan_to_num().abs().max()
        if (values.nan_to_num().abs() > tolerance * largest).any():
            return False
    return True


class CallRecorder(TorchFunctionMode):
    """Keeps the arguments of each call of some functions of torch, while it is entered."""

    def __init__(self, *functions: Callable) -> None:
        super().__init__()
        self.functions = functions
        self.calls: list[tuple[tuple, dict]] = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function in self.functions:
            self.calls.append((args, kwargs or {}))
        return function(*args, **(kwargs or {}))


def recorded_calls(loss: Loss, observation: Observation, *functions: Callable) -> list[tuple[tuple, dict]]:
    """The arguments with which the loss calls these functions of torch, on the first draw of inputs."""
    student, teacher, labels = observation.student[0], observation.teacher[0], observation.labels[0]
    with CallRecorder(*functions) as recorder:
        loss(student, teacher, labels, observation.temperature, observation.alpha)
    return recorder.calls
