"""Is the difference real? Intervals and exact tests for error counts. SciPy does the distributions."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, nan, sqrt
from statistics import fmean, stdev

import numpy as np
import torch
from torch import Tensor

from kdtutor._check import check_count, describe_type, shape


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
    """The mean of b - a over pairs, with its interval. That of errors has the `names` of a and b, and prints a
    sentence: 'distilled makes 31 fewer errors of 10,000 than alone, 95 % interval 22 to 41, 5 paired seeds'."""

    mean: float
    interval: Interval
    pairs: int  # of seeds; two single models are one pair
    names: tuple[str, str] | None = None
    p_value: float = nan  # two-sided, of the hypothesis that there is no difference

    @property
    def verdict(self) -> str:
        """'a difference' if the interval leaves 0 out, 'no difference seen' if it holds it."""
        return "no difference seen" if 0 in self.interval else "a difference"

    def __repr__(self) -> str:
        percent = f"{100 * self.interval.confidence:g}"
        if self.names is not None:
            return self._sentence(*self.names, percent)
        return f"{self.mean:+.4g} ({percent} % interval {self.interval}, {self.pairs} pairs): {self.verdict}"

    def _sentence(self, a: str, b: str, percent: str) -> str:
        sign = -1 if self.mean < 0 else 1  # so that "fewer" comes with positive numbers
        side = "fewer" if self.mean < 0 else "more"
        count = f"{abs(self.mean):.0f}"
        errors = "error" if count == "1" else "errors"
        low, high = sorted((sign * self.interval.low, sign * self.interval.high))

        seeds = "1 paired seed" if self.pairs == 1 else f"{self.pairs} paired seeds"
        sentence = (
            f"{b} makes {count} {side} {errors} of 10,000 than {a}, "
            f"{percent} % interval {round(low)} to {round(high)}, {seeds}"
        )
        if 0 in self.interval:
            sentence += f": {self.verdict}"
        return sentence


def wilson(count: int, total: int, confidence: float = 0.95) -> Interval:
    """Wilson's score interval of a rate, as fractions 0..1: `count` errors among `total` examples.

    Covers one trained model on new examples, not new seeds. Raises ValueError for counts outside 0..total. Source:
    Wilson 1927.
    """
    from scipy.stats import binomtest

    check_count("total", total)
    if not 0 <= count <= total:
        raise ValueError(f"count must lie in 0..total = 0..{total}, got {count}")
    if count != int(count):
        raise ValueError(f"count must be a whole number, got {count}")
    _check_confidence(confidence)

    interval = binomtest(int(count), total).proportion_ci(confidence, method="wilson")
    rate = count / total  # rounding must not leave it outside
    return Interval(float(min(rate, interval.low)), float(max(rate, interval.high)), confidence)


def mcnemar(wrong_a: Tensor, wrong_b: Tensor) -> float:
    """The exact two-sided p-value that two trained models are equally often wrong on the same examples.

    wrong_a, wrong_b: (N,) bool, see `metrics.wrong`. Only examples on which one alone is wrong count: under the
    hypothesis they fall to either side like a fair coin. Source: McNemar 1947, in its exact binomial form.
    """
    from scipy.stats import binomtest

    _check_wrong("wrong_a", wrong_a)
    _check_wrong("wrong_b", wrong_b)
    if wrong_a.shape != wrong_b.shape or wrong_a.dim() != 1:
        raise ValueError(f"wrong_a and wrong_b must both be (N,), got {shape(wrong_a)} and {shape(wrong_b)}")

    only_a = int((wrong_a & ~wrong_b).sum())
    only_b = int((wrong_b & ~wrong_a).sum())
    if only_a + only_b == 0:
        return 1.0
    return float(binomtest(only_a, only_a + only_b).pvalue)


def paired_difference(a: Sequence[float], b: Sequence[float], confidence: float = 0.95) -> PairedDifference:
    """The mean of b - a over paired seeds with Student's t interval: does method b differ from method a?

    a[i] and b[i] are one metric (errors, say) of two students that share seed i: the same initial weights and the same
    order of examples.

    The interval speaks of new seeds, on the same test set. With few seeds t is the honest choice: resampling 5 pairs
    (a percentile bootstrap) gives intervals that hold the truth in about 84 % of cases, not 95 %
    (tests/test_statistics.py measures both). Source: Student 1908.
    """
    from scipy.stats import ttest_rel

    a = [float(value) for value in a]
    b = [float(value) for value in b]
    if len(a) != len(b) or len(a) < 2:
        raise ValueError(
            f"a and b must hold one number per seed, for the same 2 or more seeds, got {len(a)} and {len(b)}"
        )
    for value in a + b:
        if not isfinite(value):
            raise ValueError(f"a and b must hold finite numbers, got {value}")
    _check_confidence(confidence)

    differences = [after - before for before, after in zip(a, b, strict=True)]
    mean = fmean(differences)
    if len(set(differences)) == 1:  # nothing varies: SciPy would divide 0 by 0
        return PairedDifference(mean, Interval(mean, mean, confidence), len(a), p_value=float(mean == 0))
    test = ttest_rel(b, a)
    low, high = test.confidence_interval(confidence)
    return PairedDifference(mean, Interval(float(low), float(high), confidence), len(a), p_value=float(test.pvalue))


def prediction_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Where one more run would come out, given those of other seeds: ``mean ± t(n - 1) s sqrt(1 + 1 / n)``.

    values: one metric of 2 or more runs, taken to be normally distributed. Compare a single figure of somebody else's
    with this interval, not with that of the mean, which is narrower: a figure outside isn't explained by seeds alone.
    Source: Whitmore 1986.
    """
    from scipy.stats import t

    values = [float(value) for value in values]
    if len(values) < 2:
        raise ValueError(f"values must be 2 or more, one per run, got {len(values)}")
    for value in values:
        if not isfinite(value):
            raise ValueError(f"values must be finite, got {value}")
    _check_confidence(confidence)

    n = len(values)
    half_width = float(t.ppf((1 + confidence) / 2, n - 1)) * stdev(values) * sqrt(1 + 1 / n)
    return Interval(fmean(values) - half_width, fmean(values) + half_width, confidence)


def paired_errors(
    wrong_a: Tensor,
    wrong_b: Tensor,
    names: tuple[str, str] = ("a", "b"),
    confidence: float = 0.95,
    resamples: int = 10_000,
) -> PairedDifference:
    """How many errors of 10,000 method b makes more than method a, for new seeds *and* new images.

    wrong_a, wrong_b: (seeds, N) bool, one row per trained model (`metrics.wrong`), rows of the two methods paired by
    seed; or (N,), two single models, for which the interval speaks of new images alone.
    names: of a and b, for the sentence.

    Each resample draws N images with replacement, which moves the mean difference, and adds what other seeds could
    do: Student's t over the seeds' differences, because resampling as few as 5 of them promises too much (see
    `paired_difference`). Always the same resamples. tests/test_statistics.py measures how often such intervals hold
    the truth. Source: Efron 1979; two-way designs: Owen 2007 (arXiv 0712.1111).
    """
    _check_wrong("wrong_a", wrong_a)
    _check_wrong("wrong_b", wrong_b)
    if wrong_a.shape != wrong_b.shape or wrong_a.dim() not in (1, 2) or not wrong_a.numel():
        raise ValueError(
            f"wrong_a and wrong_b must both be (seeds, N) or (N,), got {shape(wrong_a)} and {shape(wrong_b)}"
        )
    _check_confidence(confidence)
    check_count("resamples", resamples)
    more_errors = 1e4 * (wrong_b.double() - wrong_a.double())
    differences = more_errors.reshape(-1, wrong_a.shape[-1]).numpy()  # (seeds, N)
    seeds = len(differences)
    by_seed = differences.mean(1)
    mean = by_seed.mean()

    # The two-way model: the difference d(s, i) of seed s on image i is a mean, plus an effect of the seed, plus an
    # effect of the image, plus what this seed does on this image only (the interaction). With S seeds and N images the
    # mean difference has the variance
    #     var_seed / S + var_image / N + var_interaction / (S N)
    # The resampled images move it by (var_image + var_interaction / S) / N, the seeds' t interval by
    # (var_seed + var_interaction / N) / S. Their sum holds the interaction twice: it is taken out of the images' moves,
    # which `_share_of_images_alone` shrinks to var_image / N. (Owen 2007 on the bootstrap of such two-way tables.)
    generator = np.random.RandomState(0)  # NumPy keeps its stream
    moves = _means_of_resamples(differences.mean(0), resamples, generator) - mean
    if seeds > 1:
        moves *= _share_of_images_alone(differences)
        moves += generator.standard_t(seeds - 1, resamples) * by_seed.std(ddof=1) / sqrt(seeds)

    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    means = mean + moves
    low, high = np.quantile(means, tails)
    beyond = min((means <= 0).sum(), (means >= 0).sum())  # resamples on the other side of no difference
    p_value = min(1.0, 2 * (int(beyond) + 1) / (resamples + 1))
    return PairedDifference(float(mean), Interval(float(low), float(high), confidence), seeds, names, p_value)


def _means_of_resamples(by_image: np.ndarray, resamples: int, generator: np.random.RandomState) -> np.ndarray:
    """Means of N of the values (N,), drawn with replacement, (resamples,). The values are few, and it is enough to
    draw how often each of them comes."""
    images = len(by_image)
    values, counts = np.unique(by_image, return_counts=True)
    return generator.multinomial(images, counts / images, resamples) @ values / images


def _share_of_images_alone(differences: np.ndarray) -> float:
    """Which part, 0..1, of the standard deviation of the images' means over seeds is due to the images alone:
    ``sqrt(var_image / (var_image + var_interaction / S))``. differences: (S seeds, N images).

    On one image only the seed effect, which is small beside it, and the interaction differ from seed to seed: their
    variance, averaged over images, stands for var_interaction.
    """
    interaction = differences.var(0, ddof=1).mean() / len(differences)  # var_interaction / S
    if interaction == 0:
        return 1.0
    images_and_interaction = max(differences.mean(0).var(), interaction)  # var_image + var_interaction / S
    return sqrt(max(0.0, 1 - interaction / images_and_interaction))


def _check_wrong(name: str, wrong: Tensor) -> None:
    if not isinstance(wrong, Tensor) or wrong.dtype != torch.bool:
        raise TypeError(f"{name} must be bool, see metrics.wrong, got {describe_type(wrong)}")


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence!r}")
