"""Wrong answers to the exercises on targets."""

import math
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.special import entr

from kdtutor.course.exercises.mistakes.reductions import reduced


def _class_means(p: Tensor, y: Tensor) -> Tensor:
    """The mean probabilities of the examples of each of 4 classes, (4, 4)."""
    return torch.stack([p[y == c].mean(0) for c in range(4)])


def _all_labels_in_each_row(y: Tensor, classes: int) -> Tensor:
    targets = torch.zeros(len(y), classes)
    targets[:, y] = 1
    return targets


def _labels_as_rows(y: Tensor, classes: int) -> Tensor:
    """targets[y] = 1, as far as there are rows."""
    targets = torch.zeros(len(y), classes)
    targets[y] = 1
    return targets


def _nats(p: Tensor) -> Tensor:
    """-p ln p, one value per class."""
    return entr(p)


def _unsafe_nats(p: Tensor) -> Tensor:
    """-p ln p, NaN where p is 0."""
    return -(p * p.log())


def _in_bits(term: Callable, p: Tensor) -> Tensor:
    return term(p) / math.log(2)


def _added(p: Tensor, least: float) -> Tensor:
    return -(p * (p + least).log2()).sum(-1)


def _added_to_both(p: Tensor, least: float) -> Tensor:
    return -((p + least) * (p + least).log2()).sum(-1)


def _raised(p: Tensor, least: float) -> Tensor:
    raised = p.clamp(min=least)
    return -(raised * raised.log2()).sum(-1)


def _with_small_numbers() -> dict[str, Callable]:
    """A small number put before the logarithm, in the ways and sizes that show."""
    forms = {}
    for way in (_added, _added_to_both, _raised):
        for least in (0.1, 0.01, 1e-3, 1e-4, 1e-5, 1e-6):
            forms[f"small number:{way.__name__} {least:g}"] = partial(way, least=least)
    return forms


def _entropies() -> dict[str, Callable]:
    """Sums and means of terms that are right or in nats, and safe at 0 or not: each wrong in one way or in several."""
    terms: dict[str, Callable] = {
        "": partial(_in_bits, _nats),
        "nats": _nats,
        "NaN at 0": partial(_in_bits, _unsafe_nats),
        "nats + NaN at 0": _unsafe_nats,
    }
    return reduced(terms)


def _overflowing(z: Tensor, tau: float) -> Tensor:
    powers = (z / tau).exp()
    return powers / powers.sum(-1, keepdim=True)


def _one_maximum_for_all(z: Tensor, tau: float) -> Tensor:
    return _overflowing(z - z.max(), tau)


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
        "all labels in each row": _all_labels_in_each_row,
        "labels as rows": _labels_as_rows,
        "label for 1": lambda y, classes: F.one_hot(y, classes) * y[:, None],
        "only zeros": lambda y, classes: torch.zeros(len(y), classes),
        "smoothed": lambda y, classes: 0.9 * F.one_hot(y, classes) + 0.1 / classes,
    },
    "entropy": {
        **_entropies(),
        **_with_small_numbers(),
        "sign": lambda p: -entr(p).sum(-1) / math.log(2),
        "sign + nats": lambda p: -entr(p).sum(-1),
        "share of the largest": lambda p: entr(p).sum(-1) / math.log(p.shape[-1]),
        "logarithm alone": lambda p: -p.log2().sum(-1),
        "of the largest": lambda p: entr(p.amax(-1)) / math.log(2),
        "softmax first": lambda p: entr(F.softmax(p, -1)).sum(-1) / math.log(2),
        "perplexity": lambda p: entr(p).sum(-1).exp(),
    },
    "look_alikes": {
        "itself allowed": lambda p, y: _class_means(p, y).argmax(1),
        "columns": lambda p, y: _class_means(p, y).fill_diagonal_(-1).argmax(0),
        "labels forgotten": lambda p, y: p.mean(0).expand(4, 4).clone().fill_diagonal_(-1).argmax(1),
        "second place": lambda p, y: _class_means(p, y).topk(2).indices[:, 1],
        "least alike": lambda p, y: _class_means(p, y).fill_diagonal_(2).argmin(1),
        "least alike: itself": lambda p, y: _class_means(p, y).argmin(1),
        "means": lambda p, y: _class_means(p, y),
        "means: without itself": lambda p, y: _class_means(p, y).fill_diagonal_(-1),
        "means: without itself, as 0": lambda p, y: _class_means(p, y).fill_diagonal_(0),
        "their size": lambda p, y: _class_means(p, y).fill_diagonal_(-1).amax(1),
        "one per example": lambda p, y: p.scatter(1, y[:, None], -1).argmax(1),
        "by predictions": lambda p, y: _class_means(p, p.argmax(1)).fill_diagonal_(-1).nan_to_num(-1).argmax(1),
    },
    "soften": {
        "times T": lambda z, tau: F.softmax(z * tau, -1),
        "T forgotten": lambda z, tau: F.softmax(z, -1),
        "over the batch": lambda z, tau: F.softmax(z / tau, 0),
        "over everything": lambda z, tau: F.softmax((z / tau).flatten(), 0).reshape(z.shape),
        "overflow": _overflowing,
        "overflow + T forgotten": lambda z, tau: _overflowing(z, 1),
        "overflow + times T": lambda z, tau: _overflowing(z, 1 / tau),
        "one maximum for all": _one_maximum_for_all,
        "softmax twice": lambda z, tau: F.softmax(F.softmax(z, -1) / tau, -1),
        "softmax twice: at T": lambda z, tau: F.softmax(F.softmax(z / tau, -1), -1),
        "T after the softmax": lambda z, tau: F.softmax(z, -1) / tau,
        "not normalised": lambda z, tau: ((z - z.amax(-1, keepdim=True)) / tau).exp(),
        "not normalised: overflowing": lambda z, tau: (z / tau).exp(),
        "logarithm": lambda z, tau: F.log_softmax(z / tau, -1),
        "sigmoid": lambda z, tau: (z / tau).sigmoid(),
        "without exp": lambda z, tau: (z / tau) / (z / tau).sum(-1, keepdim=True),
        "never below 1": lambda z, tau: F.softmax(z / max(tau, 1), -1),
        "T²": lambda z, tau: F.softmax(z / tau**2, -1),
        "sign": lambda z, tau: F.softmax(-z / tau, -1),
        "power of 2": lambda z, tau: F.softmax(z * math.log(2) / tau, -1),
    },
    "log_soften": {
        "underflow": lambda z, tau: F.softmax(z / tau, -1).log(),
        **_clamped_in_many_ways(),
        "overflow": lambda z, tau: z / tau - (z / tau).exp().sum(-1, keepdim=True).log(),
        "overflow: powers first": lambda z, tau: _overflowing(z, tau).log(),
        "T forgotten": lambda z, tau: F.log_softmax(z, -1),
        "T outside": lambda z, tau: F.log_softmax(z, -1) / tau,
        "times T": lambda z, tau: F.log_softmax(z * tau, -1),
        "over the batch": lambda z, tau: F.log_softmax(z / tau, 0),
        "no logarithm": lambda z, tau: F.softmax(z / tau, -1),
        "bits": lambda z, tau: F.log_softmax(z / tau, -1) / math.log(2),
        "only the logits": lambda z, tau: z / tau,
        "largest for the sum": lambda z, tau: (z - z.amax(-1, keepdim=True)) / tau,
        "T in the first part alone": lambda z, tau: z / tau - z.logsumexp(-1, keepdim=True),
        "T in the second part alone": lambda z, tau: z - (z / tau).logsumexp(-1, keepdim=True),
        "sign": lambda z, tau: -F.log_softmax(z / tau, -1),
        "sum alone": lambda z, tau: (z / tau).logsumexp(-1, keepdim=True),
        "sum over the batch": lambda z, tau: z / tau - (z / tau).logsumexp((0, -1)[: z.dim()], keepdim=True),
        "never below 1": lambda z, tau: F.log_softmax(z / max(tau, 1), -1),
    },
    "temperature_for": {
        "nats": _temperature,
        "converted the wrong way": lambda z, bits: _temperature(z, bits * math.log(2) ** 2),
        "inverse": lambda z, bits: 1 / _temperature(z, bits * math.log(2)),
        "coarse": lambda z, bits: round(_temperature(z, bits * math.log(2)), 1),
        "whole": lambda z, bits: round(_temperature(z, bits * math.log(2))),
        "whole: at least 1": lambda z, bits: max(1, round(_temperature(z, bits * math.log(2)))),
        "entropy": lambda z, bits: bits,
        "its logarithm": lambda z, bits: math.log(_temperature(z, bits * math.log(2))),
        "probabilities": lambda z, bits: F.softmax(z / _temperature(z, bits * math.log(2)), -1),
    },
}
