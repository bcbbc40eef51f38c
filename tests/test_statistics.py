"""Intervals and tests against SciPy's own, closed forms, and a simulation of what they promise."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, ttest_rel

from kdtutor.statistics import Interval, PairedDifference, mcnemar, paired_difference, wilson

properties = settings(deadline=None, max_examples=50)
CONFIDENCES = st.floats(0.5, 0.999)
FIGURES = st.floats(0, 10_000)


@properties
@given(st.integers(1, 20_000), st.floats(0, 1), CONFIDENCES)
def test_wilson_as_scipy_has_it(total, rate, confidence):
    for count in (0, round(rate * total), total):
        interval = wilson(count, total, confidence)
        expected = binomtest(count, total).proportion_ci(confidence, method="wilson")
        assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


@properties
@given(st.integers(1, 20_000), st.floats(0, 1))
def test_wilson_holds_the_rate_that_was_seen(total, rate):
    for count in (0, round(rate * total), total):
        interval = wilson(count, total)
        assert 0 <= interval.low <= interval.high <= 1
        assert count / total in interval


def test_wilson_of_120_errors_among_10000():
    interval = wilson(120, 10_000)
    assert (round(100 * interval.low, 3), round(100 * interval.high, 3)) == (1.005, 1.433)


@properties
@given(*[st.integers(0, 40)] * 4)
def test_mcnemar_is_a_fair_coin_on_the_discordant_examples(both, neither, only_a, only_b):
    wrong_a = torch.tensor([True] * both + [False] * neither + [True] * only_a + [False] * only_b, dtype=torch.bool)
    wrong_b = torch.tensor([True] * both + [False] * neither + [False] * only_a + [True] * only_b, dtype=torch.bool)
    tosses = only_a + only_b
    tail = sum(math.comb(tosses, heads) for heads in range(min(only_a, only_b) + 1)) / 2**tosses
    assert mcnemar(wrong_a, wrong_b) == pytest.approx(min(1, 2 * tail))
    assert mcnemar(wrong_b, wrong_a) == mcnemar(wrong_a, wrong_b)
    assert mcnemar(wrong_a, wrong_a) == 1


@properties
@given(st.lists(st.tuples(FIGURES, FIGURES), min_size=2, max_size=12), CONFIDENCES)
def test_paired_difference_as_scipy_has_it(pairs, confidence):
    a, b = map(list, zip(*pairs, strict=True))
    assume(np.std(np.subtract(b, a)) > 1e-3)
    difference = paired_difference(a, b, confidence)
    expected = ttest_rel(b, a).confidence_interval(confidence)
    assert (difference.interval.low, difference.interval.high) == pytest.approx(expected, rel=1e-6, abs=1e-6)
    assert difference.mean == pytest.approx(np.mean(b) - np.mean(a), abs=1e-6)
    assert (difference.pairs, difference.interval.confidence) == (len(pairs), confidence)


@pytest.mark.parametrize(
    ("a", "b", "verdict"),
    [
        ([200, 210, 190], [180, 191, 169], "a difference"),
        ([180, 191, 169], [200, 210, 190], "a difference"),
        ([200, 210, 190], [190, 230, 185], "no difference seen"),
        ([200, 210, 190], [200, 210, 190], "no difference seen"),
        (torch.tensor([1.0, 2.0]), np.array([2.0, 3.0]), "a difference"),
    ],
)
def test_verdicts(a, b, verdict):
    assert paired_difference(a, b).verdict == verdict


def test_differences_and_intervals_print_their_figures():
    difference = PairedDifference(-12.345, Interval(-20, -4.5, 0.9), pairs=5)
    assert str(difference) == "-12.35 (90 % interval -20 to -4.5, 5 pairs): a difference"
    assert -20 in difference.interval
    assert -4.4 not in difference.interval


def test_intervals_are_plain_numbers():
    for interval in (wilson(120, 10_000), paired_difference([1, 2, 3], [3, 5, 4]).interval):
        assert type(interval.low) is type(interval.high) is float


def bootstrap(differences):
    """The ends of the percentile bootstrap's 95 % interval of the mean, without chance: over all 5⁵ resamples."""
    resamples = np.array([np.bincount(draw, minlength=5) for draw in itertools.product(range(5), repeat=5)])
    return np.quantile(resamples @ differences.T / 5, [0.025, 0.975], axis=0)


def test_with_5_pairs_t_holds_the_truth_as_often_as_promised_and_a_bootstrap_does_not():
    truth, trials = 2.0, 2_000
    differences = np.random.default_rng(0).normal(truth, 3, size=(trials, 5))
    by_t = np.mean([truth in paired_difference([0] * 5, row).interval for row in differences])
    low, high = bootstrap(differences)
    by_bootstrap = np.mean((low <= truth) & (truth <= high))
    assert 0.93 < by_t < 0.97
    assert 0.80 < by_bootstrap < 0.90


@pytest.mark.parametrize("count", [-1, 11, math.nan])
def test_bad_counts_are_refused(count):
    with pytest.raises(ValueError, match=rf"count must lie in 0\.\.total = 0\.\.10, got {count}$"):
        wilson(count, 10)


@pytest.mark.parametrize("total", [0, -3, 10.0])
def test_bad_totals_are_refused(total):
    with pytest.raises(ValueError, match=f"total must be a whole number >= 1, got {total}$"):
        wilson(0, total)


@pytest.mark.parametrize("confidence", [0, 1, 95, math.nan])
def test_bad_confidences_are_refused(confidence):
    message = f"confidence must lie between 0 and 1, got {confidence!r}$"
    with pytest.raises(ValueError, match=message):
        wilson(1, 10, confidence)
    with pytest.raises(ValueError, match=message):
        paired_difference([1, 2], [3, 5], confidence)


@pytest.mark.parametrize(("a", "b"), [((2,), (3,)), ((2, 2), (2, 2))])
def test_mcnemar_needs_the_same_examples(a, b):
    with pytest.raises(ValueError, match=r"wrong_a and wrong_b must both be \(N,\), got"):
        mcnemar(torch.zeros(a).bool(), torch.zeros(b).bool())


def test_mcnemar_refuses_answers_in_the_place_of_what_is_wrong():
    with pytest.raises(TypeError, match=r"wrong_a .*bool.* got dtype torch.int64"):
        mcnemar(torch.tensor([3, 7, 1]), torch.tensor([3, 7, 2]))


@pytest.mark.parametrize(("a", "b"), [([1, 2], [1, 2, 3]), ([1], [2]), ([], [])])
def test_paired_difference_needs_pairs(a, b):
    with pytest.raises(ValueError, match=f"the same 2 or more seeds, got {len(a)} and {len(b)}$"):
        paired_difference(a, b)


@pytest.mark.parametrize("figure", [math.nan, math.inf])
def test_paired_difference_refuses_what_is_no_figure(figure):
    with pytest.raises(ValueError, match=f"finite.* got {figure}"):
        paired_difference([1, 2, 3], [1, figure, 3])
