"""Wrong answers to the exercises on the loss.

The right loss is here, too, though `solutions` has it: that file may be deleted, and each mistake is the right function
with one part replaced.
"""

from collections.abc import Callable
from functools import partial
from itertools import product

import torch.nn.functional as F
from torch import Tensor

from kdtutor.course.exercises.mistakes.divergences import (
    by_hand,
    cross_entropy,
    kl_from,
    of_logits,
    of_logs,
    of_probabilities,
    of_probabilities_by_hand,
    of_underflowing_log,
    softmax_twice,
    squares,
    squares_at_tau,
    squares_of_probabilities,
    tau_outside,
    teachers_answer,
)


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


def _gradients() -> dict[str, Callable]:
    """The soft term's gradient with its sign, its power of T, its divisor or its softmax wrong: one of them or more."""
    signs = {"": 1, "sign": -1}
    powers = {"": 1, "without T²": -1, "one T short": 0, "T² for T": 2}
    divisors: dict[str, Callable] = {"": len, "batch forgotten": lambda s: 1, "mean over classes": Tensor.numel}
    softmaxes = {"": False, "softmax at T = 1": True}

    made = {}
    for (sign_name, sign), (power_name, power), (divisor_name, divisor), (softmax_name, at_1) in product(
        signs.items(), powers.items(), divisors.items(), softmaxes.items()
    ):
        names = [name for name in (sign_name, power_name, divisor_name, softmax_name) if name]
        if names:
            made[" + ".join(names)] = partial(_gradient, sign=sign, power=power, divisor=divisor, at_1=at_1)
    return made


def _gradient(
    s: Tensor, t: Tensor, tau: float, sign: int = 1, power: int = 1, divisor: Callable = len, at_1: bool = False
) -> Tensor:
    """sign T^power (p_s - p_t) / divisor(s); right with these defaults."""
    gap = _gap(s, t, 1.0 if at_1 else tau)
    return sign * tau**power * gap / divisor(s)


def _hard_of_the_teachers_answer(s: Tensor, t: Tensor, y: Tensor, tau: float, alpha: float) -> Tensor:
    return distillation_loss(s, t, t.argmax(-1), tau, alpha)


def _hard_of_the_teachers_logits(s: Tensor, t: Tensor, y: Tensor, tau: float, alpha: float) -> Tensor:
    return distillation_loss(s, t, y, tau, alpha) + (1 - alpha) * (F.cross_entropy(t, y) - F.cross_entropy(s, y))


def _factor_in_one_branch(s: Tensor, t: Tensor, y: Tensor, tau: float, alpha: float) -> Tensor:
    """Without T² where alpha is 1."""
    if alpha == 1:
        return kl_from(s, t, tau)
    return distillation_loss(s, t, y, tau, alpha)


LOSSES: dict[str, Callable] = {  # right
    "kl_from_logits": kl_from,
    "distillation_loss": distillation_loss,
}

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
        "T² in one branch": _factor_in_one_branch,
        "T⁴": loss_of(power=4),
        "divided by T²": loss_of(power=-2),
        "teacher's answer in the hard term": _hard_of_the_teachers_answer,
        "teacher's logits in the hard term": _hard_of_the_teachers_logits,
        "hard sum": loss_of(hard=lambda s, y, tau: F.cross_entropy(s, y, reduction="sum")),
        "no logarithm": loss_of(hard=lambda s, y, tau: F.nll_loss(F.softmax(s, -1), y)),
        "no logarithm: logits": loss_of(hard=lambda s, y, tau: F.nll_loss(s, y)),
        "share of wrong answers": loss_of(hard=lambda s, y, tau: (s.argmax(-1) != y).double().mean()),
        "soft term alone": loss_of(weights=lambda alpha: (alpha, 0)),
        "hard term alone": loss_of(weights=lambda alpha: (0, 1)),
        "soft term alone: unweighted": loss_of(weights=lambda alpha: (1, 0)),
        "alpha on the hard term alone": loss_of(weights=lambda alpha: (1, 1 - alpha)),
        "squares": loss_of(squares, power=0),
        "squares: with T²": loss_of(squares),
        "squares: at T": loss_of(squares_at_tau, power=0),
        "squares of probabilities": loss_of(squares_of_probabilities),
        "squares of probabilities: without T²": loss_of(squares_of_probabilities, power=0),
        "teacher's answer in the soft term": loss_of(teachers_answer),
        "teacher's answer in the soft term: at T = 1": loss_of(lambda s, t, tau: teachers_answer(s, t, 1), power=0),
        "T outside": loss_of(tau_outside),
        "NaN by hand": loss_of(by_hand),
        "NaN by hand: ratio": loss_of(of_probabilities_by_hand),
        "underflow": loss_of(of_underflowing_log),
        "logits for logarithms": loss_of(of_logits),
        "softmax twice in the soft term": loss_of(softmax_twice),
    },
    "soft_gradient": {
        **_gradients(),
        "large-T limit": lambda s, t, tau: (s - t) / s.numel(),
        "large-T limit: at T": lambda s, t, tau: (s - t) / tau / s.numel(),
        "large-T limit: with T": lambda s, t, tau: tau * (s - t) / s.numel(),
        "logits for probabilities": lambda s, t, tau: tau * (s - t) / len(s),
        "logits for probabilities: at T": lambda s, t, tau: (s - t) / len(s),
        "student alone": lambda s, t, tau: tau * F.softmax(s / tau, -1) / len(s),
        "logarithms": lambda s, t, tau: tau * (F.log_softmax(s / tau, -1) - F.log_softmax(t / tau, -1)) / len(s),
        "over the batch": lambda s, t, tau: tau * (F.softmax(s / tau, 0) - F.softmax(t / tau, 0)) / len(s),
        "times T": lambda s, t, tau: _gradient(s * tau**2, t * tau**2, tau),
        "loss": lambda s, t, tau: tau**2 * kl_from(s, t, tau),
    },
}
