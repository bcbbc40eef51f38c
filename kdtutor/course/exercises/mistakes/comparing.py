"""Wrong answers to the exercises on intervals and fair comparisons."""

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


def _unpaired(
    a: Sequence[float], b: Sequence[float], quantile: Callable[[int], float] = _unpaired_t_quantile
) -> tuple[Tensor, Tensor, Tensor]:
    a = torch.tensor(a, dtype=torch.float64)
    b = torch.tensor(b, dtype=torch.float64)
    mean = b.mean() - a.mean()
    half = quantile(len(a)) * ((a.var() + b.var()) / len(a)).sqrt()
    return mean, mean - half, mean + half


def _ends_first(a: Sequence[float], b: Sequence[float]) -> tuple[Tensor, Tensor, Tensor]:
    mean, low, high = interval(a, b)
    return low, high, mean


def _around_the_median(a: Sequence[float], b: Sequence[float]) -> tuple[Tensor, Tensor, Tensor]:
    mean, low, high = interval(a, b)
    median = (torch.tensor(b) - torch.tensor(a)).double().median()
    return median, median - mean + low, median - mean + high


def _with_half(a: Sequence[float], b: Sequence[float]) -> tuple[Tensor, Tensor]:
    mean, _, high = interval(a, b)
    return mean, high - mean


def _with_length(a: Sequence[float], b: Sequence[float]) -> tuple[Tensor, Tensor]:
    mean, low, high = interval(a, b)
    return mean, high - low


def _centre_and_half(errors: int, n: int) -> tuple[float, float]:
    low, high = _score(errors, n)
    return (low + high) / 2, (high - low) / 2


def _range(a: Sequence[float], b: Sequence[float]) -> tuple[Tensor, Tensor, Tensor]:
    differences = torch.tensor(b, dtype=torch.float64) - torch.tensor(a, dtype=torch.float64)
    return differences.mean(), differences.min(), differences.max()


def _score(errors: int, n: int, z: float = 1.959964, shift: bool = True, spread: bool = True, scale: bool = True):
    """Wilson's interval of a share; right with these defaults."""
    share = errors / n
    centre = share + (z * z / (2 * n) if shift else 0)
    half = z * math.sqrt(share * (1 - share) / n + (z * z / (4 * n * n) if spread else 0))
    divisor = 1 + z * z / n if scale else 1
    return (centre - half) / divisor, (centre + half) / divisor


def _with_other_quantiles() -> dict[str, Callable]:
    """Wilson's interval with the quantile of another level, in the digits in which it is written."""
    forms = {}
    for z in (1, 1.28, 1.64, 1.645, 1.65, 2, 2.326, 2.33, 2.576, 2.58, 3):
        forms[f"another z: {z:g}"] = partial(_score, z=z)
    return forms


def _by_t(errors: int, n: int) -> tuple[float, float]:
    """Of n numbers that are 0 or 1."""
    share = errors / n
    half = 1.959964 * math.sqrt(share * (1 - share) / (n - 1))
    return share - half, share + half


def _exact(errors: int, n: int) -> tuple[float, float]:
    from scipy.stats import binomtest

    found = binomtest(errors, n).proportion_ci(method="exact")
    return found.low, found.high


def _rates(validation: Tensor) -> int:
    """The rate with the fewest mean errors."""
    return int(validation.mean(1).argmin())


def _wald(errors: int, n: int) -> tuple[float, float]:
    return _score(errors, n, shift=False, spread=False, scale=False)


def _gain_at(rate: int, test_a: Tensor, test_b: Tensor) -> Tensor:
    return test_b[rate].mean() - test_a[rate].mean()


def _chosen_by_seed(validation: Tensor, test: Tensor) -> Tensor:
    return test.gather(0, validation.argmin(0)[None]).mean()


def _of_the_best_seed(validation: Tensor, test: Tensor) -> Tensor:
    return test[int(validation.amin(1).argmin())].mean()


MISTAKES: dict[str, dict[str, Callable]] = {
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
        "interval alone": lambda a, b: interval(a, b)[1:],
        "a - b + normal quantile": lambda a, b: interval(b, a, quantile=_normal_quantile),
        "a - b + biased deviation": lambda a, b: interval(b, a, error=_biased_standard_error),
        "a - b + freedom of n": lambda a, b: interval(b, a, quantile=lambda n: _t_quantile(n + 1)),
        "a - b + one-sided quantile": lambda a, b: interval(b, a, quantile=partial(_t_quantile, level=0.95)),
        "a - b + root of n forgotten": lambda a, b: interval(b, a, error=torch.std),
        "biased deviation + normal quantile: 1.96": partial(
            interval, quantile=lambda n: 1.96, error=_biased_standard_error
        ),
        "a - b + normal quantile: 1.96": lambda a, b: interval(b, a, quantile=lambda n: 1.96),
        "biased deviation + normal quantile": partial(
            interval, quantile=_normal_quantile, error=_biased_standard_error
        ),
        "one-sided quantile + biased deviation": partial(
            interval, quantile=partial(_t_quantile, level=0.95), error=_biased_standard_error
        ),
        "root of n forgotten + normal quantile": partial(interval, quantile=_normal_quantile, error=torch.std),
        "root of n forgotten + biased deviation": partial(interval, error=partial(torch.std, correction=0)),
        "n for its root": partial(interval, error=lambda d: d.std() / len(d)),
        "variance": partial(interval, error=lambda d: d.var() / math.sqrt(len(d))),
        "variance: and n": partial(interval, error=lambda d: d.var() / len(d)),
        "quantile forgotten": partial(interval, quantile=lambda n: 1.0),
        "half its length": _with_half,
        "half its length: whole": _with_length,
        "unpaired: normal quantile": partial(_unpaired, quantile=lambda n: 1.96),
        "median": _around_the_median,
        "range": _range,
    },
    "wilson_interval": {
        "Wald": partial(_score, shift=False, spread=False, scale=False),
        "Wald: n - 1": _by_t,
        "centre not moved": partial(_score, shift=False),
        "not divided": partial(_score, scale=False),
        "root incomplete": partial(_score, spread=False),
        "centre not moved + not divided": partial(_score, shift=False, scale=False),
        "root incomplete + not divided": partial(_score, spread=False, scale=False),
        **_with_other_quantiles(),
        "counts": lambda errors, n: tuple(n * end for end in _score(errors, n)),
        "percent": lambda errors, n: tuple(100 * end for end in _score(errors, n)),
        "right answers": lambda errors, n: _score(n - errors, n),
        "ends swapped": lambda errors, n: _score(errors, n)[::-1],
        "exact": _exact,
        "Wald: cut off at 0": lambda errors, n: (max(0, _wald(errors, n)[0]), _wald(errors, n)[1]),
        "centre and half": _centre_and_half,
        "share alone": lambda errors, n: errors / n,
    },
    "fair_gain": {
        "a - b": lambda va, ta, vb, tb: ta[_rates(va)].mean() - tb[_rates(vb)].mean(),
        "one rate for both": lambda va, ta, vb, tb: tb[_rates(va)].mean() - ta[_rates(va)].mean(),
        "one rate for both: b's": lambda va, ta, vb, tb: tb[_rates(vb)].mean() - ta[_rates(vb)].mean(),
        "one rate for both: of the mean": lambda va, ta, vb, tb: _gain_at(_rates(torch.cat([va, vb], 1)), ta, tb),
        "chosen on test": lambda va, ta, vb, tb: tb.mean(1).min() - ta.mean(1).min(),
        "chosen on test: each seed": lambda va, ta, vb, tb: tb.amin(0).mean() - ta.amin(0).mean(),
        "validation errors": lambda va, ta, vb, tb: vb.mean(1).min() - va.mean(1).min(),
        "a rate per seed": lambda va, ta, vb, tb: _chosen_by_seed(vb, tb) - _chosen_by_seed(va, ta),
        "best seed": lambda va, ta, vb, tb: tb[_rates(vb)].min() - ta[_rates(va)].min(),
        "rate of the best seed": lambda va, ta, vb, tb: _of_the_best_seed(vb, tb) - _of_the_best_seed(va, ta),
        "all rates": lambda va, ta, vb, tb: tb.mean() - ta.mean(),
        "worst rate": lambda va, ta, vb, tb: tb[int(vb.mean(1).argmax())].mean() - ta[int(va.mean(1).argmax())].mean(),
        "axes swapped": lambda va, ta, vb, tb: (
            tb[:, int(vb.mean(0).argmin())].mean() - ta[:, int(va.mean(0).argmin())].mean()
        ),
        "one side alone": lambda va, ta, vb, tb: tb[_rates(vb)].mean(),
        "sum over the seeds": lambda va, ta, vb, tb: tb[_rates(vb)].sum() - ta[_rates(va)].sum(),
        "share": lambda va, ta, vb, tb: tb[_rates(vb)].mean() / ta[_rates(va)].mean() - 1,
    },
}
