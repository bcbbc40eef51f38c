"""Wrong answers to the exercises on divergences, as in `mistakes_in_targets`."""

import math
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor


def _term(p: Tensor, q: Tensor) -> Tensor:
    """p log(p / q), one value per class, and 0 where p is 0."""
    return torch.where(p > 0, p * (p / q).log(), 0)


def _kl(p: Tensor, q: Tensor) -> Tensor:
    return _term(p, q).sum(-1)


def _unsafe(p: Tensor, q: Tensor) -> Tensor:
    """KL(p ‖ q), NaN where p has a 0."""
    return (p * (p / q).log()).sum(-1)


def _jensen_shannon(p: Tensor, q: Tensor, kl: Callable = _kl) -> Tensor:
    middle = (p + q) / 2
    return (kl(p, middle) + kl(q, middle)) / 2


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


def cross_entropy(s: Tensor, t: Tensor, tau: float) -> Tensor:
    """Instead of the KL."""
    return -(F.softmax(t / tau, -1) * F.log_softmax(s / tau, -1)).sum(-1).mean()


MISTAKES: dict[str, dict[str, Callable]] = {
    "kl": {
        "other direction": lambda p, q: _unsafe(q, p),
        "NaN at 0": _unsafe,
        "NaN replaced late": lambda p, q: _unsafe(p, q).nan_to_num(),
        "bits": lambda p, q: _kl(p, q) / math.log(2),
        "NaN at 0, bits": lambda p, q: (p * (p / q).log2()).sum(-1),
        "mean over classes": lambda p, q: _term(p, q).mean(-1),
        "sum over the batch": lambda p, q: _term(p, q).sum(),
        "mean over the batch": lambda p, q: _kl(p, q).mean(),
        "one value per class": _term,
        "sign": lambda p, q: -_kl(p, q),
        "cross-entropy": lambda p, q: -(p * q.log()).sum(-1),
        "F.kl_div in the order of the formula": lambda p, q: F.kl_div(p, q, reduction="sum"),
        "F.kl_div of log p": lambda p, q: F.kl_div(p.log(), q, reduction="sum"),
    },
    "kl_from_logits": {
        "mean": partial(kl_from, reduction="mean"),
        "sum": partial(kl_from, reduction="sum"),
        "one value per class": partial(kl_from, reduction="none"),
        "swapped": lambda s, t, tau: kl_from(t, s, tau),
        "with T²": lambda s, t, tau: tau**2 * kl_from(s, t, tau),
        "with T": lambda s, t, tau: tau * kl_from(s, t, tau),
        "with T² and mean": lambda s, t, tau: tau**2 * kl_from(s, t, tau, "mean"),
        "probabilities": of_probabilities,
        "probabilities and mean": lambda s, t, tau: of_probabilities(s, t, tau) / s.shape[-1],
        "both as logs": of_logs,
        "T on the teacher alone": lambda s, t, tau: kl_from(s, t / tau, 1),
        "T on the student alone": lambda s, t, tau: kl_from(s / tau, t, 1),
        "T forgotten": lambda s, t, tau: kl_from(s, t, 1),
        "times T": lambda s, t, tau: kl_from(s, t, 1 / tau),
        "over the batch": partial(kl_from, axis=0),
        "cross-entropy": cross_entropy,
        "teacher with itself": lambda s, t, tau: kl_from(t, t, tau),
    },
    "jensen_shannon": {
        "not halved": lambda p, q: 2 * _jensen_shannon(p, q),
        "mean of both KLs": lambda p, q: (_kl(p, q) + _kl(q, p)) / 2,
        "one side": lambda p, q: _kl(p, (p + q) / 2),
        "its root": lambda p, q: _jensen_shannon(p, q).sqrt(),
        "bits": lambda p, q: _jensen_shannon(p, q) / math.log(2),
        "NaN at 0": partial(_jensen_shannon, kl=_unsafe),
        "sum for the midpoint": lambda p, q: (_kl(p, p + q) + _kl(q, p + q)) / 2,
        "from the midpoint": partial(_jensen_shannon, kl=lambda p, m: _kl(m, p)),
        "sum over the batch": lambda p, q: _jensen_shannon(p, q).sum(),
    },
}
