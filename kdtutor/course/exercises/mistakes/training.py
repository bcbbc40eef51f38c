"""Wrong answers to the exercise on the training step. The right step is here, too: each
mistake is that with one part replaced."""

from collections.abc import Callable
from functools import partial
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdtutor.course.exercises.mistakes.divergences import kl_from
from kdtutor.course.exercises.mistakes.losses import distillation_loss, loss_of

# Steps: how the teacher is called, the loss, and how weights are updated can each go wrong.


def _ask(teacher: nn.Module, images: Tensor) -> Tensor:
    """As it should be: in eval mode, without gradients, and the mode is put back."""
    mode = teacher.training
    teacher.eval()
    teacher_logits = teacher(images).detach()
    teacher.train(mode)
    return teacher_logits


def _ask_in_train_mode(teacher: nn.Module, images: Tensor) -> Tensor:
    mode = teacher.training
    teacher.train()
    teacher_logits = teacher(images).detach()
    teacher.train(mode)
    return teacher_logits


def _ask_and_leave_in_train_mode(teacher: nn.Module, images: Tensor) -> Tensor:
    teacher.train()
    return teacher(images).detach()


def _ask_and_leave_in_eval_mode(teacher: nn.Module, images: Tensor) -> Tensor:
    teacher.eval()
    return teacher(images).detach()


def _ask_as_it_comes(teacher: nn.Module, images: Tensor) -> Tensor:
    return teacher(images).detach()


def _ask_as_it_comes_with_gradients(teacher: nn.Module, images: Tensor) -> Tensor:
    return teacher(images)


def _ask_in_train_mode_with_gradients(teacher: nn.Module, images: Tensor) -> Tensor:
    teacher.train()
    return teacher(images)


def _ask_and_leave_in_eval_mode_with_gradients(teacher: nn.Module, images: Tensor) -> Tensor:
    teacher.eval()
    return teacher(images)


def _ask_with_gradients(teacher: nn.Module, images: Tensor) -> Tensor:
    mode = teacher.training
    teacher.eval()
    teacher_logits = teacher(images)
    teacher.train(mode)
    return teacher_logits


@torch.no_grad()
def _descend(model: nn.Module, lr: float) -> None:
    for parameter in model.parameters():
        parameter -= lr * parameter.grad


def _update(student: nn.Module, teacher: nn.Module, loss: Tensor, lr: float) -> None:
    """As it should be."""
    student.zero_grad()
    loss.backward()
    _descend(student, lr)


def _update_nothing(student: nn.Module, teacher: nn.Module, loss: Tensor, lr: float) -> None:
    student.zero_grad()
    loss.backward()


def _update_with_old_gradients(student: nn.Module, teacher: nn.Module, loss: Tensor, lr: float) -> None:
    loss.backward()
    _descend(student, lr)


def _update_uphill(student: nn.Module, teacher: nn.Module, loss: Tensor, lr: float) -> None:
    student.zero_grad()
    loss.backward()
    _descend(student, -lr)


def _update_without_lr(student: nn.Module, teacher: nn.Module, loss: Tensor, lr: float) -> None:
    student.zero_grad()
    loss.backward()
    _descend(student, 1.0)


def _update_by_adam(student: nn.Module, teacher: nn.Module, loss: Tensor, lr: float) -> None:
    """Adam's first step, in which both running means are the gradient's own; torch.optim takes seconds to load."""
    student.zero_grad()
    loss.backward()
    for parameter in student.parameters():
        parameter.grad /= parameter.grad.abs() + 1e-8
    _descend(student, lr)


def _update_both(student: nn.Module, teacher: nn.Module, loss: Tensor, lr: float) -> None:
    student.zero_grad()
    loss.backward()
    _descend(student, lr)
    _descend(teacher, lr)


def _update_the_teacher(student: nn.Module, teacher: nn.Module, loss: Tensor, lr: float) -> None:
    student.zero_grad()
    loss.backward()
    _descend(teacher, lr)


def _update_twice(student: nn.Module, teacher: nn.Module, loss: Tensor, lr: float) -> None:
    _update(student, teacher, loss, lr)
    _descend(student, lr)


def _update_last_layer(student: nn.Module, teacher: nn.Module, loss: Tensor, lr: float) -> None:
    student.zero_grad()
    loss.backward()
    _descend(student[-1], lr)


def step_of(ask: Callable = _ask, loss: Callable = distillation_loss, update: Callable = _update) -> Callable:
    """A training step that asks the teacher, computes the loss and updates weights in these ways, and returns the
    loss; a function of (student, teacher, images, labels, T, alpha, lr). Right with these defaults."""

    def step(
        student: nn.Module, teacher: nn.Module, images: Tensor, labels: Tensor, tau: float, alpha: float, lr: float
    ) -> float:
        """One step of training the student on a batch; the loss."""
        teacher_logits = ask(teacher, images)
        value = loss(student(images), teacher_logits, labels, tau, alpha)
        update(student, teacher, value, lr)
        return value.item()

    return step


distill_step = step_of()


def _student_left_in_eval_mode(student: nn.Module, *others) -> float:
    value = distill_step(student, *others)
    student.eval()
    return value


def _loss_after_the_step(
    student: nn.Module, teacher: nn.Module, images: Tensor, labels: Tensor, tau: float, alpha: float, lr: float
) -> float:
    distill_step(student, teacher, images, labels, tau, alpha, lr)
    return distillation_loss(student(images), _ask(teacher, images), labels, tau, alpha).item()


# How the teacher is asked and how weights are updated can each go wrong, and both at once.
ASKING: dict[str, Callable] = {
    "": _ask,
    "teacher asked in train mode": _ask_in_train_mode,
    "teacher put into train mode": _ask_and_leave_in_train_mode,
    "teacher put into train mode + gradients left on the teacher": _ask_in_train_mode_with_gradients,
    "teacher left in eval mode": _ask_and_leave_in_eval_mode,
    "teacher left in eval mode + gradients left on the teacher": _ask_and_leave_in_eval_mode_with_gradients,
    "eval forgotten": _ask_as_it_comes,
    "eval forgotten + gradients left on the teacher": _ask_as_it_comes_with_gradients,
    "gradients left on the teacher": _ask_with_gradients,
}
UPDATING: dict[str, Callable] = {
    "": _update,
    "student not updated": _update_nothing,
    "old gradients kept": _update_with_old_gradients,
    "uphill": _update_uphill,
    "lr forgotten": _update_without_lr,
    "Adam": _update_by_adam,
    "two steps": _update_twice,
    "last layer alone": _update_last_layer,
}


def _steps() -> dict[str, Callable]:
    """Each way of asking with each way of updating, but the right ones."""
    made = {}
    for (asking, ask), (updating, update) in product(ASKING.items(), UPDATING.items()):
        name = " + ".join(part for part in (asking, updating) if part)
        if name:
            made[name] = step_of(ask=ask, update=update)
    return made


def _wrong_losses() -> dict[str, Callable]:
    """Each wrong loss, asked and updated as it should be, or with the teacher left in eval mode, or not put into it."""
    losses = {
        "swapped weights": loss_of(weights=lambda alpha: (1 - alpha, alpha)),
        "without T²": loss_of(power=0),
        "labels alone": loss_of(weights=lambda alpha: (0, 1)),
        "labels alone: weighted": loss_of(weights=lambda alpha: (0, 1 - alpha)),
        "teacher alone": loss_of(weights=lambda alpha: (1, 0)),
        "teacher alone: weighted": loss_of(weights=lambda alpha: (alpha, 0)),
        "T forgotten": loss_of(lambda s, t, tau: kl_from(s, t, 1)),
        "T forgotten: and T²": loss_of(lambda s, t, tau: kl_from(s, t, 1), power=0),
        "mean": loss_of(partial(kl_from, reduction="mean")),
        "swapped models": loss_of(lambda s, t, tau: kl_from(t, s, tau)),
        "T on the hard term": loss_of(hard=lambda s, y, tau: F.cross_entropy(s / tau, y)),
    }
    made = {}
    for name, loss in losses.items():
        made[name] = step_of(loss=loss)
        mistake, _, form = name.partition(":")
        form = f":{form}" if form else ""
        made[f"{mistake} + teacher left in eval mode{form}"] = step_of(ask=_ask_and_leave_in_eval_mode, loss=loss)
        if mistake != "labels alone":  # then the teacher's answers play no part
            made[f"{mistake} + eval forgotten{form}"] = step_of(ask=_ask_as_it_comes, loss=loss)
    return made


MISTAKES: dict[str, dict[str, Callable]] = {
    "distill_step": {
        **_steps(),
        **_wrong_losses(),
        "student left in eval mode": _student_left_in_eval_mode,
        "teacher updated too": step_of(ask=_ask_with_gradients, update=_update_both),
        "teacher updated alone": step_of(ask=_ask_with_gradients, update=_update_the_teacher),
        "loss after the step": _loss_after_the_step,
    },
}
