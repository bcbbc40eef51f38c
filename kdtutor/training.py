"""Training and distilling any `nn.Module` on any data: `fitting.fit` with the losses of `kdtutor.losses`.

Where the gradients are known in closed form, as those of `models.mlp` are, `_closed_form` takes the place of autograd.
Teachers, too, come back on the device and in the mode that they had before.
"""

import time
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from kdtutor._check import check_fraction, check_logits, check_positive, shape
from kdtutor._closed_form import fit_in_closed_form, has_closed_form
from kdtutor._device import dtype_of, on_device, pick_device, seeded
from kdtutor.data import Augment, Data, Split, as_input
from kdtutor.evaluation import predict
from kdtutor.fitting import ADAM, BatchLoss, OptimizerFactory, check_fitting, fit
from kdtutor.losses import cross_entropy, distillation_loss
from kdtutor.results import History
from kdtutor.views import Views

Teacher = nn.Module | Tensor | Views


def train(
    model: nn.Module,
    data: Data,
    *,
    epochs: int = 5,
    batch_size: int = 128,
    lr: float = 2e-3,
    optimizer: OptimizerFactory = ADAM,
    validation: Data | None = None,
    augment: Augment | None = None,
    seed: int = 0,
    precision: torch.dtype | None = None,
    device: str | torch.device | None = None,
    progress: bool = True,
) -> History:
    """Train `model` in place on the labels of `data`, with cross-entropy. All arguments are those of `fit`."""
    check_fitting(data, epochs, batch_size, lr, seed, augment, precision)
    device = pick_device(device)
    if has_closed_form(model, data, None, augment, precision, device):
        return fit_in_closed_form(
            model, data, _label_loss, None, temperature=1.0, alpha=0.0, epochs=epochs, batch_size=batch_size, lr=lr,
            optimizer=optimizer, validation=validation, seed=seed, device=device, progress=progress,
        )  # fmt: skip
    return fit(
        model, data, _label_loss, epochs=epochs, batch_size=batch_size, lr=lr, optimizer=optimizer,
        validation=validation, augment=augment, seed=seed, precision=precision, device=device, progress=progress,
    )  # fmt: skip


def _label_loss(logits: Tensor, inputs: Tensor, labels: Tensor, index: Tensor | None) -> Tensor:
    return cross_entropy(logits, labels)


def distill(
    student: nn.Module,
    teacher: Teacher,
    data: Data,
    *,
    temperature: float = 4.0,
    alpha: float = 0.9,
    epochs: int = 5,
    batch_size: int = 128,
    lr: float = 2e-3,
    optimizer: OptimizerFactory = ADAM,
    validation: Data | None = None,
    augment: Augment | None = None,
    seed: int = 0,
    precision: torch.dtype | None = None,
    device: str | torch.device | None = None,
    progress: bool = True,
) -> History:
    """Train `student` in place on the teacher's soft targets and the labels, with `losses.distillation_loss`.

    Args:
        teacher: a model, asked in eval mode and without gradients; or its logits (N, C), one row per example of a
            Split; or the `views.Views` of the Split's images, which are then shown jittered, each view with the
            teacher's logits on it.
        temperature, alpha: T > 0 of the soft term, and its weight from 0 to 1.
        data and all other arguments: as in `fit`.

    Over a Split without `augment` the teacher predicts once, before training. Where inputs change from epoch to epoch
    (`augment`, or an iterable) it answers the very batch that the student sees. Raises TypeError and ValueError for
    bad arguments, such as logits or views that can't be matched with the examples; else as `fit`.
    """
    start = time.perf_counter()
    check_positive("temperature", temperature)
    check_fraction("alpha", alpha)
    _check_teacher(teacher, student, data, augment)
    shown = teacher.jittered(data) if isinstance(teacher, Views) else data
    check_fitting(data, epochs, batch_size, lr, seed, augment, precision)
    device = pick_device(device)

    teacher_in_place: AbstractContextManager[None] = nullcontext()
    teacher_logits = None
    if isinstance(teacher, nn.Module) and not _rows_are_fixed(data, augment):
        loss = _loss_with_model(teacher, temperature, alpha)
        teacher_in_place = on_device(teacher, device, training=False)
    else:
        try:
            # A teacher may draw random numbers even in eval mode: they follow from the seed, too, and leave the global
            # random state alone.
            with seeded(seed, device):
                teacher_logits = _logits_by_row(teacher, data, device)
        except KeyboardInterrupt:
            return History(seconds=time.perf_counter() - start, interrupted=True)
        loss = _loss_with_logits(teacher_logits.to(device), temperature, alpha)

    if has_closed_form(student, shown, teacher_logits, augment, precision, device):
        history = fit_in_closed_form(
            student, shown, loss, teacher_logits, temperature=temperature, alpha=alpha, epochs=epochs,
            batch_size=batch_size, lr=lr, optimizer=optimizer, validation=validation, seed=seed, device=device,
            progress=progress,
        )  # fmt: skip
    else:
        with teacher_in_place:
            history = fit(
                student, shown, loss, epochs=epochs, batch_size=batch_size, lr=lr, optimizer=optimizer,
                validation=validation, augment=augment, seed=seed, precision=precision, device=device,
                progress=progress,
            )  # fmt: skip
    history.seconds = time.perf_counter() - start
    return history


def _check_teacher(teacher: Teacher, student: nn.Module, data: Data, augment: Augment | None) -> None:
    """Raise unless the teacher can give logits for each example of `data`, as the student sees it. (`Views` check the
    data themselves, in `jittered`.)"""
    if isinstance(teacher, nn.Module):
        if {*student.modules()} & {*teacher.modules()}:
            raise ValueError(
                "teacher must share no module with the student, which training changes: take a deepcopy of it"
            )
    elif isinstance(teacher, Views):
        if augment is not None:
            raise ValueError("augment must be None where the teacher is Views, which jitter the images themselves")
    elif isinstance(teacher, Tensor):
        check_logits("teacher", teacher)
        if not isinstance(data, Split) or augment is not None:
            raise ValueError(
                "teacher must be a model where inputs change from epoch to epoch (augment, or an iterable), got "
                "logits, which can only be matched with the rows of a Split"
            )
        if teacher.dim() != 2 or len(teacher) != len(data):
            raise ValueError(
                f"teacher's logits must be ({len(data)}, classes), one row per example, got {shape(teacher)}"
            )
    else:
        raise TypeError(f"teacher must be an nn.Module, a tensor of logits or Views, got {type(teacher).__name__}")


def _rows_are_fixed(data: Data, augment: Augment | None) -> bool:
    """Whether each example is shown as it is, epoch after epoch."""
    return isinstance(data, Split) and augment is None


def _logits_by_row(teacher: Teacher, data: Data, device: torch.device) -> Tensor:
    """The teacher's logits (rows, C), to be looked up by the index of each batch."""
    if isinstance(teacher, Views):
        return teacher.logits.flatten(0, 1)
    if isinstance(teacher, nn.Module):
        return predict(teacher, data, device=device)
    return teacher


def _loss_with_logits(teacher_logits: Tensor, temperature: float, alpha: float) -> BatchLoss:
    """The distillation loss of a batch whose teacher's logits are rows of `teacher_logits`."""

    def loss(student_logits: Tensor, inputs: Tensor, labels: Tensor, index: Tensor | None) -> Tensor:
        assert index is not None  # batches of a Split have one
        rows = teacher_logits.index_select(0, index).to(student_logits.dtype)
        return distillation_loss(student_logits, rows, labels, temperature=temperature, alpha=alpha)

    return loss


def _loss_with_model(teacher: nn.Module, temperature: float, alpha: float) -> BatchLoss:
    """The distillation loss of a batch to which the teacher itself answers."""

    def loss(student_logits: Tensor, inputs: Tensor, labels: Tensor, index: Tensor | None) -> Tensor:
        with torch.no_grad():
            teacher_logits = teacher(as_input(inputs, dtype_of(teacher))).to(student_logits.dtype)
        return distillation_loss(student_logits, teacher_logits, labels, temperature=temperature, alpha=alpha)

    return loss
