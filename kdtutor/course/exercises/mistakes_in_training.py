"""Wrong answers to the exercises on the loss and its training step, as in `mistakes_in_targets`.

The right loss and the right step are here, too, though `solutions` has them: that file may be deleted, and each mistake
is the right function with one part replaced.
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdtutor.course.exercises.mistakes_in_divergences import cross_entropy, kl_from, of_logs, of_probabilities

# Losses: a soft term and a hard one, each wrong in its own way.


def _hard(s: Tensor, y: Tensor, tau: float) -> Tensor:
    return F.cross_entropy(s, y)


def _weights(alpha: float) -> tuple[float, float]:
    return alpha, 1 - alpha


def loss_of(soft: Callable = kl_from, hard: Callable = _hard, power: int = 2, weights: Callable = _weights) -> Callable:
    """The loss w_soft T^power soft(s, t, T) + w_hard hard(s, y, T) as a function of (s, t, y, T, alpha), where
    weights(alpha) gives both w. Right with these defaults."""

    def loss(s: Tensor, t: Tensor, y: Tensor, tau: float, alpha: float) -> Tensor:
        """A weighted sum of a soft and a hard term."""
        soft_weight, hard_weight = weights(alpha)
        return soft_weight * tau**power * soft(s, t, tau) + hard_weight * hard(s, y, tau)

    return loss


distillation_loss = loss_of()


def _gap(s: Tensor, t: Tensor, tau: float) -> Tensor:
    """Student's less teacher's probabilities."""
    return F.softmax(s / tau, -1) - F.softmax(t / tau, -1)


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


LOSSES: dict[str, Callable] = {"kl_from_logits": kl_from, "distillation_loss": distillation_loss}  # right

MISTAKES: dict[str, dict[str, Callable]] = {
    "distillation_loss": {
        "without T²": loss_of(power=0),
        "T for T²": loss_of(power=1),
        "mean": loss_of(partial(kl_from, reduction="mean")),
        "sum": loss_of(partial(kl_from, reduction="sum")),
        "swapped models": loss_of(lambda s, t, tau: kl_from(t, s, tau)),
        "swapped weights": loss_of(weights=lambda alpha: (1 - alpha, alpha)),
        "no weights": loss_of(weights=lambda alpha: (1, 1)),
        "alpha on the soft term alone": loss_of(weights=lambda alpha: (alpha, 1)),
        "halves": loss_of(weights=lambda alpha: (0.5, 0.5)),
        "T on the hard term": loss_of(hard=lambda s, y, tau: F.cross_entropy(s / tau, y)),
        "T² on both terms": loss_of(hard=lambda s, y, tau: tau**2 * F.cross_entropy(s, y)),
        "softmax twice": loss_of(hard=lambda s, y, tau: F.cross_entropy(F.softmax(s, -1), y)),
        "teacher at T = 1": loss_of(lambda s, t, tau: kl_from(s / tau, t, 1)),
        "student at T = 1": loss_of(lambda s, t, tau: kl_from(s, t / tau, 1)),
        "T nowhere but in T²": loss_of(lambda s, t, tau: kl_from(s, t, 1)),
        "teacher with itself": loss_of(lambda s, t, tau: kl_from(t, t, tau)),
        "probabilities": loss_of(of_probabilities),
        "both as logs": loss_of(of_logs),
        "cross-entropy": loss_of(cross_entropy),
    },
    "soft_gradient": {
        "sign": lambda s, t, tau: -tau * _gap(s, t, tau) / len(s),
        "batch forgotten": lambda s, t, tau: tau * _gap(s, t, tau),
        "mean over classes": lambda s, t, tau: tau * _gap(s, t, tau) / s.numel(),
        "without T²": lambda s, t, tau: _gap(s, t, tau) / tau / len(s),
        "one T short": lambda s, t, tau: _gap(s, t, tau) / len(s),
        "T² for T": lambda s, t, tau: tau**2 * _gap(s, t, tau) / len(s),
        "softmax at T = 1": lambda s, t, tau: tau * _gap(s, t, 1) / len(s),
        "large-T limit": lambda s, t, tau: (s - t) / s.numel(),
    },
    "distill_step": {
        "teacher asked in train mode": step_of(ask=_ask_in_train_mode),
        "teacher put into train mode": step_of(ask=_ask_and_leave_in_train_mode),
        "teacher left in eval mode": step_of(ask=_ask_and_leave_in_eval_mode),
        "student left in eval mode": _student_left_in_eval_mode,
        "gradients left on the teacher": step_of(ask=_ask_with_gradients),
        "student not updated": step_of(update=_update_nothing),
        "teacher updated too": step_of(ask=_ask_with_gradients, update=_update_both),
        "teacher updated alone": step_of(ask=_ask_with_gradients, update=_update_the_teacher),
        "old gradients kept": step_of(update=_update_with_old_gradients),
        "uphill": step_of(update=_update_uphill),
        "lr forgotten": step_of(update=_update_without_lr),
        "Adam": step_of(update=_update_by_adam),
        "loss after the step": _loss_after_the_step,
        "swapped weights": step_of(loss=loss_of(weights=lambda alpha: (1 - alpha, alpha))),
        "without T²": step_of(loss=loss_of(power=0)),
    },
}
