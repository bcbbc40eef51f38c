"""Wrong answers to the exercises on measuring students."""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor


def binned(
    p: Tensor,
    y: Tensor,
    bins: int,
    confidence: Callable[[Tensor, Tensor], Tensor] = lambda p, y: p.amax(1),
    correct: Callable[[Tensor, Tensor], Tensor] = lambda p, y: p.argmax(1) == y,
    summary: Callable[[Tensor, Tensor], Tensor] = lambda gaps, shares: (gaps.abs() * shares).sum(),
    keep: int = 0,
) -> Tensor:
    """The calibration error from each bin's gap and its share of the examples; right with these defaults. keep: how
    many bins at the upper end are left out."""
    confidences = confidence(p, y).double()
    rights = correct(p, y).double()
    places = (confidences * bins).ceil().clamp(min=1) - 1
    gaps = []
    shares = []
    for place in range(bins - keep):
        inside = places == place
        if inside.any():
            gaps.append(rights[inside].mean() - confidences[inside].mean())
            shares.append(inside.double().mean())
    return summary(torch.stack(gaps), torch.stack(shares))


def _by_middles(p: Tensor, y: Tensor, bins: int) -> float:
    """Accuracy against the middle of each bin."""
    rights = (p.argmax(1) == y).double()
    places = (p.amax(1) * bins).ceil().clamp(min=1) - 1
    total = 0.0
    for place in range(bins):
        inside = places == place
        if inside.any():
            middle = (place + 0.5) / bins
            total += (rights[inside].mean() - middle).abs().item() * inside.double().mean().item()
    return total


def _without_ones(p: Tensor, y: Tensor, bins: int) -> Tensor:
    """Examples of probability 1 are in no bin, as they are with [low, high)."""
    sure = p.amax(1) == 1
    share = (~sure).double().mean()
    return binned(p[~sure], y[~sure], bins) * share


def _nan_of_empty_bins(p: Tensor, y: Tensor, bins: int) -> float:
    """The mean of no examples is NaN."""
    places = (p.amax(1) * bins).ceil().clamp(min=1) - 1
    empty = len(places.unique()) < bins
    return math.nan if empty else binned(p, y, bins).item()


def _sum_of_gaps(p: Tensor, y: Tensor, bins: int) -> Tensor:
    return binned(p, y, bins, summary=lambda gaps, shares: gaps.abs().sum())


def _share(of: Tensor, among: Tensor) -> Tensor:
    """The share of the examples `among` these for which `of` is true."""
    return of[among].double().mean()


def _noise(g: Tensor) -> Tensor:
    """Mean squared distance of the rows from their mean."""
    return (g - g.mean(0)).square().sum(1).mean()


MISTAKES: dict[str, dict[str, Callable]] = {
    "agreement": {
        "count": lambda s, t: (s.argmax(-1) == t.argmax(-1)).sum(),
        "percent": lambda s, t: 100 * (s.argmax(-1) == t.argmax(-1)).double().mean(),
        "one value per example": lambda s, t: s.argmax(-1) == t.argmax(-1),
        "disagreement": lambda s, t: (s.argmax(-1) != t.argmax(-1)).double().mean(),
        "over the batch": lambda s, t: (s.argmax(0) == t.argmax(0)).double().mean(),
        "over everything": lambda s, t: float(s.argmax() == t.argmax()),
        "equal logits": lambda s, t: (s == t).double().mean(),
        "all of them": lambda s, t: torch.equal(s.argmax(-1), t.argmax(-1)),
        "least logits": lambda s, t: (s.argmin(-1) == t.argmin(-1)).double().mean(),
        "order of all classes": lambda s, t: (s.argsort(-1) == t.argsort(-1)).all(-1).double().mean(),
        "order of all classes: place by place": lambda s, t: (s.argsort(-1) == t.argsort(-1)).double().mean(),
        "in the other's top two": lambda s, t: (t.topk(2).indices == s.argmax(-1)[:, None]).any(-1).double().mean(),
        "shared probability": lambda s, t: torch.minimum(s.softmax(-1), t.softmax(-1)).sum(-1).mean(),
        "similarity": lambda s, t: torch.cosine_similarity(s, t).mean(),
        "disagreement: count": lambda s, t: (s.argmax(-1) != t.argmax(-1)).sum(),
        "divided by classes": lambda s, t: (s.argmax(-1) == t.argmax(-1)).sum() / s.shape[-1],
    },
    "calibration_error": {
        "bins unweighted": partial(binned, summary=lambda gaps, shares: gaps.abs().mean()),
        "bins unweighted: empty ones too": lambda p, y, bins: _sum_of_gaps(p, y, bins) / bins,
        "sum of the gaps": lambda p, y, bins: _sum_of_gaps(p, y, bins),
        "largest gap": partial(binned, summary=lambda gaps, shares: gaps.abs().max()),
        "gaps with their signs": partial(binned, summary=lambda gaps, shares: (gaps * shares).sum()),
        "one bin": lambda p, y, bins: binned(p, y, 1),
        "squares": partial(binned, summary=lambda gaps, shares: (gaps.square() * shares).sum()),
        "squares: root": partial(binned, summary=lambda gaps, shares: (gaps.square() * shares).sum().sqrt()),
        "probability of the label": partial(binned, confidence=lambda p, y: p.gather(1, y[:, None])[:, 0]),
        "errors for right answers": partial(binned, correct=lambda p, y: p.argmax(1) != y),
        "middles of the bins": _by_middles,
        "ones left out": _without_ones,
        "NaN of empty bins": _nan_of_empty_bins,
        "example by example": lambda p, y, bins: ((p.argmax(1) == y).double() - p.amax(1)).abs().mean(),
        "squared distance": lambda p, y, bins: (p - torch.eye(4)[y]).square().sum(1).mean(),
        "percent": lambda p, y, bins: 100 * binned(p, y, bins),
        "count": lambda p, y, bins: len(p) * binned(p, y, bins),
    },
    "shared_mistakes": {
        "agreement": lambda s, t, y: (s.argmax(1) == t.argmax(1)).double().mean(),
        "both wrong": lambda s, t, y: _share(s.argmax(1) != y, t.argmax(1) != y),
        "of all examples": lambda s, t, y: ((s.argmax(1) == t.argmax(1)) & (t.argmax(1) != y)).double().mean(),
        "of the student's mistakes": lambda s, t, y: _share(s.argmax(1) == t.argmax(1), s.argmax(1) != y),
        "of the shared answers": lambda s, t, y: _share(t.argmax(1) != y, s.argmax(1) == t.argmax(1)),
        "where the teacher is right": lambda s, t, y: _share(s.argmax(1) == t.argmax(1), t.argmax(1) == y),
        "count": lambda s, t, y: ((s.argmax(1) == t.argmax(1)) & (t.argmax(1) != y)).sum(),
        "percent": lambda s, t, y: 100 * _share(s.argmax(1) == t.argmax(1), t.argmax(1) != y),
        "other answers": lambda s, t, y: _share(s.argmax(1) != t.argmax(1), t.argmax(1) != y),
        "student right": lambda s, t, y: _share(s.argmax(1) == y, t.argmax(1) != y),
        "both wrong, of all": lambda s, t, y: ((s.argmax(1) != y) & (t.argmax(1) != y)).double().mean(),
        "teacher's errors": lambda s, t, y: (t.argmax(1) != y).double().mean(),
        "one value per example": lambda s, t, y: (s.argmax(1) == t.argmax(1))[t.argmax(1) != y],
        "over the batch": lambda s, t, y: (s.argmax(0) == t.argmax(0)).double().mean(),
        "either wrong": lambda s, t, y: _share(s.argmax(1) == t.argmax(1), (t.argmax(1) != y) | (s.argmax(1) != y)),
    },
    "relative_noise": {
        "of one coordinate": lambda g: g.var(0, correction=0).mean() / g.mean(0).square().sum(),
        "not squared": lambda g: (g - g.mean(0)).norm(dim=1).mean() / g.mean(0).norm(),
        "its root": lambda g: (_noise(g) / g.mean(0).square().sum()).sqrt(),
        "norm not squared": lambda g: _noise(g) / g.mean(0).norm(),
        "upside down": lambda g: g.mean(0).square().sum() / _noise(g),
        "N - 1": lambda g: g.var(0).sum() / g.mean(0).square().sum(),
        "mean not taken off": lambda g: g.square().sum(1).mean() / g.mean(0).square().sum(),
        "noise of the mean": lambda g: _noise(g) / len(g) / g.mean(0).square().sum(),
        "sum over the batch": lambda g: len(g) * _noise(g) / g.mean(0).square().sum(),
        "its root: of one coordinate": lambda g: (_noise(g) / g.shape[1] / g.mean(0).square().sum()).sqrt(),
        "N - 1 + of one coordinate": lambda g: g.var(0).mean() / g.mean(0).square().sum(),
        "N - 1 + its root": lambda g: (g.var(0).sum() / g.mean(0).square().sum()).sqrt(),
        "mean of the norms": lambda g: _noise(g) / g.square().sum(1).mean(),
        "noise alone": lambda g: _noise(g),
        "mean over all": lambda g: (g - g.mean()).square().sum(1).mean() / g.mean(0).square().sum(),
        "over the rows": lambda g: g.var(1, correction=0).sum() / g.mean(1).square().sum(),
        "one value per coordinate": lambda g: g.var(0, correction=0) / g.mean(0).square(),
        "one value per example": lambda g: (g - g.mean(0)).square().sum(1) / g.mean(0).square().sum(),
        "variance of the norms": lambda g: g.norm(dim=1).var(correction=0) / g.mean(0).square().sum(),
        "coordinate by coordinate": lambda g: (g.var(0, correction=0) / g.mean(0).square()).mean(),
    },
}
