"""Wrong answers to the exercises on targets: the mistakes that people make, as functions to be run on the same calls.

`words.md` says in words, under the same names, what is wrong with each. What follows a colon in a name distinguishes
forms of one mistake. tau is the temperature T.
"""

import math
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.special import entr


def _class_means(p: Tensor, y: Tensor) -> Tensor:
    """The mean probabilities of the examples of each of 4 classes, (4, 4)."""
    return torch.stack([p[y == c].mean(0) for c in range(4)])


def _overflowing(z: Tensor, tau: float) -> Tensor:
    powers = (z / tau).exp()
    return powers / powers.sum(-1, keepdim=True)


def _clamped(z: Tensor, tau: float, least: float) -> Tensor:
    return F.softmax(z / tau, -1).clamp(min=least).log()


def _clamped_in_many_ways() -> dict[str, Callable]:
    """Clamped at 1e-4, 1e-5, ... 1e-37, and at float32's epsilon."""
    clamped = {}
    for least in (*(10.0**-digits for digits in range(4, 38)), torch.finfo(torch.float32).eps):
        clamped[f"clamped: {least:.4g}"] = partial(_clamped, least=least)
    return clamped


def _temperature(z: Tensor, nats: float) -> float:
    """The T at which the softened target has this entropy, by bisection of log T."""
    low = 1e-3
    high = 1e3
    for _ in range(60):
        middle = math.sqrt(low * high)
        if entr(F.softmax(z / middle, -1)).sum() < nats:
            low = middle
        else:
            high = middle
    return middle


MISTAKES: dict[str, dict[str, Callable]] = {
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
        "one value per class": lambda p: entr(p) / math.log(2),
    },
    "look_alikes": {
        "itself allowed": lambda p, y: _class_means(p, y).argmax(1),
        "columns": lambda p, y: _class_means(p, y).fill_diagonal_(-1).argmax(0),
        "labels forgotten": lambda p, y: p.mean(0).expand(4, 4).clone().fill_diagonal_(-1).argmax(1),
        "second place": lambda p, y: _class_means(p, y).topk(2).indices[:, 1],
        "least alike": lambda p, y: _class_means(p, y).fill_diagonal_(2).argmin(1),
        "means": lambda p, y: _class_means(p, y),
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
        **_clamped_in_many_ways(),
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
}
