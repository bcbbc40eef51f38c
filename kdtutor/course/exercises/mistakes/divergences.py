"""Wrong answers to the exercises on divergences."""

import math
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from kdtutor.course.exercises.mistakes.reductions import reduced


def _term(p: Tensor, q: Tensor) -> Tensor:
    """p log(p / q), one value per class, and 0 where p is 0."""
    return torch.where(p > 0, p * (p / q).log(), 0)


def _unsafe_term(p: Tensor, q: Tensor) -> Tensor:
    """p log(p / q), NaN where p is 0."""
    return p * (p / q).log()


def _kl(p: Tensor, q: Tensor) -> Tensor:
    return _term(p, q).sum(-1)


def _unsafe(p: Tensor, q: Tensor) -> Tensor:
    """KL(p ‖ q), NaN where p has a 0."""
    return _unsafe_term(p, q).sum(-1)


def _safe_at_p_alone(p: Tensor, q: Tensor) -> Tensor:
    """KL(p ‖ q), NaN where both have a 0."""
    return (torch.xlogy(p, p) - p * q.log()).sum(-1)


def _bits_of(term: Callable) -> Callable:
    return lambda p, q: term(p, q) / math.log(2)


def _swapped(term: Callable) -> Callable:
    return lambda p, q: term(q, p)


def _divergences() -> dict[str, Callable]:
    """Sums and means of terms that are right, the other way round or in bits, and safe at 0 or not: each wrong in one
    way or in several."""
    terms: dict[str, Callable] = {
        "": _term,
        "bits": _bits_of(_term),
        "other direction": _swapped(_term),
        "other direction + bits": _bits_of(_swapped(_term)),
        "NaN at 0": _unsafe_term,
        "bits + NaN at 0": _bits_of(_unsafe_term),
        "other direction + NaN at 0": _swapped(_unsafe_term),
    }
    return reduced(terms)


def _jensen_shannon(p: Tensor, q: Tensor, kl: Callable = _kl) -> Tensor:
    middle = (p + q) / 2
    return (kl(p, middle) + kl(q, middle)) / 2


def _from_middle(p: Tensor, q: Tensor, middle: Callable) -> Tensor:
    return (_kl(p, middle(p, q)) + _kl(q, middle(p, q))) / 2


def kl_from(s: Tensor, t: Tensor, tau: float, reduction: str = "batchmean", axis: int = -1) -> Tensor:
    """KL by F.kl_div, of logits; right with these defaults."""
    student = F.log_softmax(s / tau, axis)
    teacher = F.softmax(t / tau, axis)
    return F.kl_div(student, teacher, reduction=reduction)


def of_probabilities(s: Tensor, t: Tensor, tau: float) -> Tensor:
    """F.kl_div without the student's logarithm."""
    return F.kl_div(F.softmax(s / tau, -1), F.softmax(t / tau, -1), reduction="batchmean")


def of_logs(s: Tensor, t: Tensor, tau: float) -> Tensor:
    """F.kl_div with the teacher's logarithm, too."""
    return F.kl_div(F.log_softmax(s / tau, -1), F.log_softmax(t / tau, -1), reduction="batchmean")


def by_hand(s: Tensor, t: Tensor, tau: float) -> Tensor:
    """p · (log p - log q), NaN where p underflows."""
    p = F.softmax(t / tau, -1)
    return (p * (p.log() - F.log_softmax(s / tau, -1))).sum(-1).mean()


def of_underflowing_log(s: Tensor, t: Tensor, tau: float) -> Tensor:
    """F.kl_div with log(softmax), infinite where the student's probability underflows."""
    return F.kl_div(F.softmax(s / tau, -1).log(), F.softmax(t / tau, -1), reduction="batchmean")


def of_probabilities_by_hand(s: Tensor, t: Tensor, tau: float) -> Tensor:
    """The ratio of the probabilities, NaN or infinite where they underflow."""
    return _unsafe(F.softmax(t / tau, -1), F.softmax(s / tau, -1)).mean()


def tau_outside(s: Tensor, t: Tensor, tau: float) -> Tensor:
    """The student's log-probabilities divided by T, not its logits."""
    return F.kl_div(F.log_softmax(s, -1) / tau, F.softmax(t / tau, -1), reduction="batchmean")


def tau_outside_both(s: Tensor, t: Tensor, tau: float) -> Tensor:
    """Both sides divided by T after the softmax."""
    return F.kl_div(F.log_softmax(s, -1) / tau, F.softmax(t, -1) / tau, reduction="batchmean")


def of_logits(s: Tensor, t: Tensor, tau: float) -> Tensor:
    """The student's logits, not their log-softmax."""
    return F.kl_div(s / tau, F.softmax(t / tau, -1), reduction="batchmean")


def softmax_twice(s: Tensor, t: Tensor, tau: float) -> Tensor:
    """log_softmax of probabilities."""
    return F.kl_div(F.log_softmax(F.softmax(s / tau, -1), -1), F.softmax(t / tau, -1), reduction="batchmean")


def squares(s: Tensor, t: Tensor, tau: float) -> Tensor:
    """The mean squared difference of the logits."""
    return F.mse_loss(s, t)


def squares_at_tau(s: Tensor, t: Tensor, tau: float) -> Tensor:
    """The same of the logits divided by T."""
    return F.mse_loss(s / tau, t / tau)


def squares_of_probabilities(s: Tensor, t: Tensor, tau: float) -> Tensor:
    """The same of the probabilities."""
    return F.mse_loss(F.softmax(s / tau, -1), F.softmax(t / tau, -1))


def teachers_answer(s: Tensor, t: Tensor, tau: float) -> Tensor:
    """Cross-entropy with the class that the teacher finds most probable."""
    return F.cross_entropy(s / tau, t.argmax(-1))


def cross_entropy(s: Tensor, t: Tensor, tau: float) -> Tensor:
    """Instead of the KL."""
    return -(F.softmax(t / tau, -1) * F.log_softmax(s / tau, -1)).sum(-1).mean()


MISTAKES: dict[str, dict[str, Callable]] = {
    "kl": {
        **_divergences(),
        "NaN where both are 0": _safe_at_p_alone,
        "sign": lambda p, q: -_kl(p, q),
        "sign: at 0": lambda p, q: (p * (q / p).log()).sum(-1),
        "cross-entropy": lambda p, q: -(p * q.log()).sum(-1),
        "cross-entropy: safe at 0": lambda p, q: -torch.xlogy(p, q).sum(-1),
        "ratio alone": lambda p, q: torch.where(p > 0, (p / q).log(), 0).sum(-1),
        "ratio alone: at 0": lambda p, q: (p / q).log().sum(-1),
        "p for q outside": lambda p, q: (q * (p / q).log()).sum(-1),
        "ratio without its logarithm": lambda p, q: (p * p / q).sum(-1),
        "squares": lambda p, q: (p - q).square().sum(-1),
        "squares: mean": lambda p, q: (p - q).square().mean(-1),
        "distance": lambda p, q: (p - q).abs().sum(-1),
        "F.kl_div in the order of the formula": lambda p, q: F.kl_div(p, q, reduction="sum"),
        "F.kl_div in the order of the formula: per row": lambda p, q: F.kl_div(p, q, reduction="none").sum(-1),
        "F.kl_div of log p": lambda p, q: F.kl_div(p.log(), q, reduction="sum"),
        "F.kl_div of log p: per row": lambda p, q: F.kl_div(p.log(), q, reduction="none").sum(-1),
    },
    "kl_from_logits": {
        "mean": partial(kl_from, reduction="mean"),
        "sum": partial(kl_from, reduction="sum"),
        "one value per class": partial(kl_from, reduction="none"),
        "swapped": lambda s, t, tau: kl_from(t, s, tau),
        "with T²": lambda s, t, tau: tau**2 * kl_from(s, t, tau),
        "with T": lambda s, t, tau: tau * kl_from(s, t, tau),
        "with T² + mean": lambda s, t, tau: tau**2 * kl_from(s, t, tau, "mean"),
        "probabilities": of_probabilities,
        "probabilities + mean": lambda s, t, tau: of_probabilities(s, t, tau) / s.shape[-1],
        "both as logs": of_logs,
        "T on the teacher alone": lambda s, t, tau: kl_from(s, t / tau, 1),
        "T on the student alone": lambda s, t, tau: kl_from(s / tau, t, 1),
        "T forgotten": lambda s, t, tau: kl_from(s, t, 1),
        "times T": lambda s, t, tau: kl_from(s, t, 1 / tau),
        "over the batch": partial(kl_from, axis=0),
        "cross-entropy": cross_entropy,
        "teacher with itself": lambda s, t, tau: kl_from(t, t, tau),
        "NaN by hand": by_hand,
        "NaN by hand: ratio": of_probabilities_by_hand,
        "underflow": of_underflowing_log,
        "T outside": tau_outside,
        "T outside: both": tau_outside_both,
        "logits for logarithms": of_logits,
        "softmax twice": softmax_twice,
        "squares": squares,
        "squares: at T": squares_at_tau,
        "squares: sum over classes": lambda s, t, tau: (s - t).square().sum(-1).mean(),
        "squares of probabilities": squares_of_probabilities,
        "teacher's answer": teachers_answer,
        "teacher's answer: at T = 1": lambda s, t, tau: teachers_answer(s, t, 1),
        "by hand in the order of the formula": lambda s, t, tau: by_hand(t, s, tau),
    },
    "jensen_shannon": {
        "not halved": lambda p, q: 2 * _jensen_shannon(p, q),
        "mean of both KLs": lambda p, q: (_kl(p, q) + _kl(q, p)) / 2,
        "one side": lambda p, q: _kl(p, (p + q) / 2),
        "its root": lambda p, q: _jensen_shannon(p, q).sqrt(),
        "bits": lambda p, q: _jensen_shannon(p, q) / math.log(2),
        "bits + NaN at 0": lambda p, q: _jensen_shannon(p, q, _unsafe) / math.log(2),
        "NaN at 0": partial(_jensen_shannon, kl=_unsafe),
        "NaN where both are 0": partial(_jensen_shannon, kl=_safe_at_p_alone),
        "not halved + NaN at 0": lambda p, q: 2 * _jensen_shannon(p, q, _unsafe),
        "one side + NaN at 0": lambda p, q: _unsafe(p, (p + q) / 2),
        "NaN replaced late": lambda p, q: _jensen_shannon(p, q, lambda p, m: _unsafe(p, m).nan_to_num()),
        "one side: q": lambda p, q: _kl(q, (p + q) / 2),
        "mean of both KLs: at 0": lambda p, q: (_unsafe(p, q) + _unsafe(q, p)) / 2,
        "sum of both KLs": lambda p, q: _kl(p, q) + _kl(q, p),
        "geometric mean for the midpoint": partial(_from_middle, middle=lambda p, q: (p * q).sqrt()),
        "difference for the midpoint": partial(_from_middle, middle=lambda p, q: (p - q) / 2),
        "mean over the batch": lambda p, q: _jensen_shannon(p, q).mean(),
        "mean over classes": lambda p, q: _jensen_shannon(p, q, lambda p, m: _term(p, m).mean(-1)),
        "one value per class": lambda p, q: _jensen_shannon(p, q, _term),
        "sign": lambda p, q: -_jensen_shannon(p, q),
        "sum for the midpoint": lambda p, q: (_kl(p, p + q) + _kl(q, p + q)) / 2,
        "from the midpoint": partial(_jensen_shannon, kl=lambda p, m: _kl(m, p)),
        "sum over the batch": lambda p, q: _jensen_shannon(p, q).sum(),
    },
}
