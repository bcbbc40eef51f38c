"""Is the difference real? Intervals and exact tests for error counts. SciPy does the distributions."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, sqrt
from statistics import fmean, stdev

import numpy as np
import torch
from torch import Tensor

from kdtutor._check import came, check_count, shape


@dataclass(frozen=True, repr=False)
class Interval:
    """A confidence interval; prints as `low to high`."""

    low: float
    high: float
    confidence: float = 0.95

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def __repr__(self) -> str:
        return f"{self.low:.4g} to {self.high:.4g}"


@dataclass(frozen=True, repr=False)
class PairedDifference:
    """The mean of b - a over pairs, with its interval. Of errors it has the `names` of a and b, and prints a sentence:
    'distilled makes 31 fewer errors of 10,000 than alone, 95 % interval 22 to 41, 5 paired seeds'."""

    mean: float
    interval: Interval
    pairs: int
    names: tuple[str, str] | None = None

    @property
    def verdict(self) -> str:
        """'a difference' or 'no difference seen', as the interval leaves 0 out or holds it."""
        return "no difference seen" if 0 in self.interval else "a difference"

    def __repr__(self) -> str:
        percent = f"{100 * self.interval.confidence:g}"
        if self.names:
            return self._sentence(percent)
        return f"{self.mean:+.4g} ({percent} % interval {self.interval}, {self.pairs} pairs): {self.verdict}"

    def _sentence(self, percent: str) -> str:
        count, side = f"{abs(self.mean):.0f}", "fewer" if self.mean < 0 else "more"
        errors = "error" if count == "1" else "errors"
        low, high = sorted((-end if self.mean < 0 else end) for end in (self.interval.low, self.interval.high))
        seeds = f"{self.pairs} paired seed" + "s" * (self.pairs > 1)
        unsure = ": no difference seen" if 0 in self.interval else ""
        return (
            f"{self.names[1]} makes {count} {side} {errors} of 10,000 than {self.names[0]}, "
            f"{percent} % interval {round(low)} to {round(high)}, {seeds}{unsure}"
        )


def wilson(count: int, total: int, confidence: float = 0.95) -> Interval:
    """Wilson's score interval of a rate, as fractions 0..1: `count` errors among `total` examples.

    Covers one trained model on new examples, not new seeds. Source: Wilson 1927.
    """
    from scipy.stats import norm

    check_count("total", total)
    if not 0 <= count <= total:
        raise ValueError(f"count must lie in 0..total = 0..{total}, got {count}")
    _check_confidence(confidence)
    z, p = float(norm.isf((1 - confidence) / 2)), count / total
    centre = p + z * z / (2 * total)
    half = z * sqrt(p * (1 - p) / total + z * z / (4 * total * total))
    low, high = ((centre + side * half) / (1 + z * z / total) for side in (-1, 1))
    return Interval(max(0.0, min(p, low)), min(1.0, max(p, high)), confidence)  # rounding can't leave p outside


def mcnemar(wrong_a: Tensor, wrong_b: Tensor) -> float:
    """The exact two-sided p-value that two trained models are equally often wrong on the same examples.

    wrong_a, wrong_b: (N,) bool, see `metrics.wrong`. Only examples on which one alone is wrong count: under the
    hypothesis they fall to either side like a fair coin. Source: McNemar 1947, in its exact binomial form.
    """
    from scipy.stats import binomtest

    for name, wrong in (("wrong_a", wrong_a), ("wrong_b", wrong_b)):
        _check_wrong(name, wrong)
    if wrong_a.shape != wrong_b.shape or wrong_a.dim() != 1:
        raise ValueError(f"wrong_a and wrong_b must both be (N,), got {shape(wrong_a)} and {shape(wrong_b)}")
    only_a, only_b = int((wrong_a & ~wrong_b).sum()), int((wrong_b & ~wrong_a).sum())
    return float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0


def paired_difference(a: Sequence[float], b: Sequence[float], confidence: float = 0.95) -> PairedDifference:
    """The mean of b - a over paired seeds with Student's t interval: does method b differ from method a?

    a[i] and b[i] are one figure (errors, say) of two runs that share seed i: the same initial weights and data order.
    The interval speaks of new seeds, on the same test set. With few seeds t is the honest choice: resampling 5 pairs
    (a percentile bootstrap) gives intervals that hold the truth in about 84 % of cases, not 95 %
    (tests/test_statistics.py measures both). Source: Student 1908.
    """
    from scipy.stats import t

    a, b = [float(value) for value in a], [float(value) for value in b]
    if len(a) != len(b) or len(a) < 2:
        raise ValueError(
            f"a and b must hold one figure a seed, for the same 2 or more seeds, got {len(a)} and {len(b)}"
        )
    if not all(map(isfinite, a + b)):
        raise ValueError(f"a and b must hold finite figures, got {next(x for x in a + b if not isfinite(x))}")
    _check_confidence(confidence)
    differences = [after - before for before, after in zip(a, b, strict=True)]
    mean = fmean(differences)
    half = float(t.isf((1 - confidence) / 2, len(a) - 1)) * stdev(differences) / sqrt(len(a))
    return PairedDifference(mean, Interval(mean - half, mean + half, confidence), len(a))


def paired_errors(
    wrong_a: Tensor,
    wrong_b: Tensor,
    names: tuple[str, str] = ("a", "b"),
    confidence: float = 0.95,
    resamples: int = 10_000,
) -> PairedDifference:
    """How many errors of 10,000 method b makes more than method a, for new seeds *and* new images.

    wrong_a, wrong_b: (seeds, N) bool, a row a trained model (`metrics.wrong`), rows of the two methods paired by seed;
    or (N,), two single models, for which the interval speaks of new images alone. names: of a and b, for the sentence.

    Each resample draws N images with replacement, which moves the mean difference, and adds what other seeds could
    do: Student's t over the seeds' differences, because resampling as few as 5 of them promises too much (see
    `paired_difference`). Always the same resamples. tests/test_statistics.py measures how often such intervals hold
    the truth. Source: Efron 1979; two-way designs: Owen 2007 (arXiv 0712.1111).
    """
    for name, wrong in (("wrong_a", wrong_a), ("wrong_b", wrong_b)):
        _check_wrong(name, wrong)
    if wrong_a.shape != wrong_b.shape or wrong_a.dim() not in (1, 2) or not wrong_a.numel():
        raise ValueError(
            f"wrong_a and wrong_b must both be (seeds, N) or (N,), got {shape(wrong_a)} and {shape(wrong_b)}"
        )
    _check_confidence(confidence)
    check_count("resamples", resamples)
    differences = 1e4 * (wrong_b.double() - wrong_a.double()).reshape(-1, wrong_a.shape[-1]).numpy()  # (seeds, N)
    (seeds, images), by_seed, by_image = differences.shape, differences.mean(1), differences.mean(0)
    mean, draw = by_seed.mean(), np.random.RandomState(0)  # NumPy keeps its stream
    value, count = np.unique(by_image, return_counts=True)
    moves = draw.multinomial(images, count / images, resamples) @ value / images - mean
    if seeds > 1:
        # what seeds and images do only together is in both parts: it is taken out of the images'
        both = differences.var(0, ddof=1).mean() / seeds
        moves *= sqrt(max(0.0, 1 - both / max(by_image.var(), both))) if both else 1.0
        moves += draw.standard_t(seeds - 1, resamples) * by_seed.std(ddof=1) / sqrt(seeds)
    low, high = (float(end) for end in np.quantile(mean + moves, [(1 - confidence) / 2, (1 + confidence) / 2]))
    return PairedDifference(float(mean), Interval(low, high, confidence), seeds, names)


def _check_wrong(name: str, wrong: Tensor) -> None:
    if not isinstance(wrong, Tensor) or wrong.dtype != torch.bool:
        raise TypeError(f"{name} must be bool, see metrics.wrong, got {came(wrong)}")


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence!r}")
