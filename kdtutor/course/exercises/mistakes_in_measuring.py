"""Wrong answers to the exercises on measuring students and on ensembles, as in `mistakes_in_targets`."""

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor


def _t_quantile(n: int, level: float = 0.975) -> float:
    from scipy.stats import t

    return t.ppf(level, n - 1)


def _unpaired_t_quantile(n: int) -> float:
    """For two samples of n, which leave 2 n - 2 degrees of freedom."""
    return _t_quantile(2 * n - 1)


def _normal_quantile(n: int) -> float:
    from scipy.stats import norm

    return norm.ppf(0.975)


def _standard_error(differences: Tensor) -> Tensor:
    return differences.std() / math.sqrt(len(differences))


def _biased_standard_error(differences: Tensor) -> Tensor:
    return differences.std(correction=0) / math.sqrt(len(differences))


def interval(
    a: Sequence[float],
    b: Sequence[float],
    quantile: Callable[[int], float] = _t_quantile,
    error: Callable[[Tensor], Tensor] = _standard_error,
) -> tuple[Tensor, Tensor, Tensor]:
    """(mean, low, high) of b - a: quantile(n) times error(differences) to either side. Right with these defaults."""
    differences = torch.tensor(b, dtype=torch.float64) - torch.tensor(a, dtype=torch.float64)
    mean = differences.mean()
    half = quantile(len(differences)) * error(differences)
    return mean, mean - half, mean + half


def _unpaired(a: Sequence[float], b: Sequence[float]) -> tuple[Tensor, Tensor, Tensor]:
    a = torch.tensor(a, dtype=torch.float64)
    b = torch.tensor(b, dtype=torch.float64)
    mean = b.mean() - a.mean()
    half = _unpaired_t_quantile(len(a)) * ((a.var() + b.var()) / len(a)).sqrt()
    return mean, mean - half, mean + half


def _ends_first(a: Sequence[float], b: Sequence[float]) -> tuple[Tensor, Tensor, Tensor]:
    mean, low, high = interval(a, b)
    return low, high, mean


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
    },
    "paired_interval": {
        "a - b": lambda a, b: interval(b, a),
        "unpaired": _unpaired,
        "normal quantile": partial(interval, quantile=_normal_quantile),
        "normal quantile: 1.96": partial(interval, quantile=lambda n: 1.96),
        "normal quantile: 2": partial(interval, quantile=lambda n: 2),
        "freedom of n": partial(interval, quantile=lambda n: _t_quantile(n + 1)),
        "one-sided quantile": partial(interval, quantile=partial(_t_quantile, level=0.95)),
        "biased deviation": partial(interval, error=_biased_standard_error),
        "root of n forgotten": partial(interval, error=torch.std),
        "mean alone": lambda a, b: interval(a, b)[0],
        "ends first": _ends_first,
        "mean in the middle": lambda a, b: sorted(interval(a, b)),
    },
    "prior_correction": {
        "the wrong way round": lambda z, old, new: z + (old / new).log(),
        "only the new shares": lambda z, old, new: z + new.log(),
        "only the old shares": lambda z, old, new: z - old.log(),
        "difference of shares": lambda z, old, new: z + new - old,
        "ratio, not its logarithm": lambda z, old, new: z + new / old,
        "logits times the ratio": lambda z, old, new: z * new / old,
        "probabilities": lambda z, old, new: (z + (new / old).log()).softmax(1),
        "probabilities times the ratio": lambda z, old, new: z.softmax(1) * new / old,
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
        "coordinate by coordinate": lambda g: (g.var(0, correction=0) / g.mean(0).square()).mean(),
    },
    "ensemble_logits": {
        "mean logits": lambda z: z.mean(0),
        "probabilities": lambda z: z.softmax(-1).mean(0),
        "mean logits: sum": lambda z: z.sum(0),
        "log before the mean": lambda z: z.log_softmax(-1).mean(0),
        "log before the mean: sum": lambda z: z.log_softmax(-1).sum(0),
        "not normalised": lambda z: z.logsumexp(0),
        "not normalised: mean": lambda z: z.exp().mean(0).log(),
        "over examples": lambda z: z.softmax(-1).mean(1).log(),
        "softmax over the members": lambda z: z.softmax(0).mean(0).log(),
        "softmax over the examples": lambda z: z.softmax(1).mean(0).log(),
    },
}
