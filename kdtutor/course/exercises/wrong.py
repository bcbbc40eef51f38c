"""Wrong answers to the exercises on targets and divergences: the mistakes that people make, as functions to be run on
the same calls. `data/exercises.md` says in words, under the same names, what is wrong with each (tau is T here). What
follows a colon in a name tells forms of one mistake apart.
"""

import math
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.special import entr


def _means(p: Tensor, y: Tensor) -> Tensor:
    """The mean answer to each of 4 classes."""
    return torch.stack([p[y == c].mean(0) for c in range(4)])


def _overflowing(z: Tensor, temperature: float) -> Tensor:
    powers = (z / temperature).exp()
    return powers / powers.sum(-1, keepdim=True)


_LEAST = (*(10.0**-digits for digits in range(4, 38)), torch.finfo(torch.float32).eps)


def _clamped(z: Tensor, temperature: float, least: float) -> Tensor:
    return F.softmax(z / temperature, -1).clamp(min=least).log()


def _temperature(z: Tensor, nats: float) -> float:
    low, high = 1e-3, 1e3
    for _ in range(60):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if entr(F.softmax(z / middle, -1)).sum() < nats else (low, middle)
    return middle


def _term(p: Tensor, q: Tensor) -> Tensor:
    """p log(p / q), a value a class."""
    return torch.where(p > 0, p * (p / q).log(), 0)


def _kl(p: Tensor, q: Tensor) -> Tensor:
    return _term(p, q).sum(-1)


def _js(p: Tensor, q: Tensor, kl: Callable = _kl) -> Tensor:
    return (kl(p, (p + q) / 2) + kl(q, (p + q) / 2)) / 2


def _unsafe(p: Tensor, q: Tensor) -> Tensor:
    return (p * (p / q).log()).sum(-1)


def kl_from(s: Tensor, t: Tensor, temperature: float, reduction: str = "batchmean", axis: int = -1) -> Tensor:
    """KL by F.kl_div, of logits."""
    logs, target = F.log_softmax(s / temperature, axis), F.softmax(t / temperature, axis)
    return F.kl_div(logs, target, reduction=reduction)


def of_probabilities(s: Tensor, t: Tensor, temperature: float) -> Tensor:
    """F.kl_div without the student's logarithm."""
    return F.kl_div(F.softmax(s / temperature, -1), F.softmax(t / temperature, -1), reduction="batchmean")


def of_logs(s: Tensor, t: Tensor, temperature: float) -> Tensor:
    """F.kl_div with the teacher's logarithm, too."""
    return F.kl_div(F.log_softmax(s / temperature, -1), F.log_softmax(t / temperature, -1), reduction="batchmean")


def cross_entropy(s: Tensor, t: Tensor, temperature: float) -> Tensor:
    """In place of the KL."""
    return -(F.softmax(t / temperature, -1) * F.log_softmax(s / temperature, -1)).sum(-1).mean()


WRONG: dict[str, dict[str, Callable]] = {
    "one_hot": {
        "classes guessed": lambda y, classes: F.one_hot(y),
        "classes first": lambda y, classes: F.one_hot(y, classes).T,
        "one class on": lambda y, classes: F.one_hot((y + 1) % classes, classes),
        "counted from 1": lambda y, classes: F.one_hot((y - 1) % classes, classes),
        "one cold": lambda y, classes: 1 - F.one_hot(y, classes),
        "counts": lambda y, classes: F.one_hot(y, classes).sum(0),
        "labels": lambda y, classes: y,
        "labels forgotten": lambda y, classes: torch.eye(len(y), classes),
    },
    "entropy": {
        "nats": lambda p: entr(p).sum(-1),
        "NaN at 0": lambda p: -(p * p.log2()).sum(-1),
        "NaN at 0, nats": lambda p: -(p * p.log()).sum(-1),
        "NaN replaced late": lambda p: -(p * p.log2()).sum(-1).nan_to_num(),
        "sign": lambda p: -entr(p).sum(-1) / math.log(2),
        "sum over the batch": lambda p: entr(p).sum() / math.log(2),
        "mean over the batch": lambda p: entr(p).sum(-1).mean() / math.log(2),
        "mean over classes": lambda p: entr(p).mean(-1) / math.log(2),
        "a value a class": lambda p: entr(p) / math.log(2),
    },
    "look_alikes": {
        "itself allowed": lambda p, y: _means(p, y).argmax(1),
        "columns": lambda p, y: _means(p, y).fill_diagonal_(-1).argmax(0),
        "labels forgotten": lambda p, y: p.mean(0).expand(4, 4).clone().fill_diagonal_(-1).argmax(1),
        "second place": lambda p, y: _means(p, y).topk(2).indices[:, 1],
        "least alike": lambda p, y: _means(p, y).fill_diagonal_(2).argmin(1),
        "means": lambda p, y: _means(p, y),
    },
    "soften": {
        "times T": lambda z, tau: F.softmax(z * tau, -1),
        "T forgotten": lambda z, tau: F.softmax(z, -1),
        "over the batch": lambda z, tau: F.softmax(z / tau, 0),
        "over everything": lambda z, tau: F.softmax((z / tau).flatten(), 0).reshape(z.shape),
        "overflow": _overflowing,
        "softmax twice": lambda z, tau: F.softmax(F.softmax(z, -1) / tau, -1),
        "T after the softmax": lambda z, tau: F.softmax(z, -1) / tau,
        "not normalised": lambda z, tau: ((z - z.amax(-1, keepdim=True)) / tau).exp(),
        "logarithm": lambda z, tau: F.log_softmax(z / tau, -1),
    },
    "log_soften": {
        "underflow": lambda z, tau: F.softmax(z / tau, -1).log(),
        **{f"clamped: {least:.4g}": partial(_clamped, least=least) for least in _LEAST},
        "overflow": lambda z, tau: z / tau - (z / tau).exp().sum(-1, keepdim=True).log(),
        "T forgotten": lambda z, tau: F.log_softmax(z, -1),
        "T outside": lambda z, tau: F.log_softmax(z, -1) / tau,
        "times T": lambda z, tau: F.log_softmax(z * tau, -1),
        "over the batch": lambda z, tau: F.log_softmax(z / tau, 0),
        "no logarithm": lambda z, tau: F.softmax(z / tau, -1),
        "bits": lambda z, tau: F.log_softmax(z / tau, -1) / math.log(2),
    },
    "temperature_for": {
        "nats": _temperature,
        "converted the wrong way": lambda z, bits: _temperature(z, bits * math.log(2) ** 2),
        "inverse": lambda z, bits: 1 / _temperature(z, bits * math.log(2)),
        "coarse": lambda z, bits: round(_temperature(z, bits * math.log(2)), 1),
        "whole": lambda z, bits: round(_temperature(z, bits * math.log(2))),
        "entropy": lambda z, bits: bits,
    },
    "kl": {
        "other direction": lambda p, q: _unsafe(q, p),
        "NaN at 0": _unsafe,
        "NaN replaced late": lambda p, q: _unsafe(p, q).nan_to_num(),
        "bits": lambda p, q: _kl(p, q) / math.log(2),
        "NaN at 0, bits": lambda p, q: (p * (p / q).log2()).sum(-1),
        "mean over classes": lambda p, q: _term(p, q).mean(-1),
        "sum over the batch": lambda p, q: _term(p, q).sum(),
        "mean over the batch": lambda p, q: _kl(p, q).mean(),
        "a value a class": _term,
        "sign": lambda p, q: -_kl(p, q),
        "cross-entropy": lambda p, q: -(p * q.log()).sum(-1),
        "F.kl_div in the order of the formula": lambda p, q: F.kl_div(p, q, reduction="sum"),
        "F.kl_div of log p": lambda p, q: F.kl_div(p.log(), q, reduction="sum"),
    },
    "kl_from_logits": {
        "mean": partial(kl_from, reduction="mean"),
        "sum": partial(kl_from, reduction="sum"),
        "a value a class": partial(kl_from, reduction="none"),
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
        "not halved": lambda p, q: 2 * _js(p, q),
        "mean of both KLs": lambda p, q: (_kl(p, q) + _kl(q, p)) / 2,
        "one side": lambda p, q: _kl(p, (p + q) / 2),
        "its root": lambda p, q: _js(p, q).sqrt(),
        "bits": lambda p, q: _js(p, q) / math.log(2),
        "NaN at 0": partial(_js, kl=_unsafe),
        "sum for the midpoint": lambda p, q: (_kl(p, p + q) + _kl(q, p + q)) / 2,
        "from the midpoint": partial(_js, kl=lambda p, m: _kl(m, p)),
        "sum over the batch": lambda p, q: _js(p, q).sum(),
    },
}
