"""Intervals and tests against SciPy's own, closed forms, and a simulation of what they promise."""

import itertools
import math
import re

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, norm, t, ttest_rel

from kdtutor.statistics import (
    Interval,
    PairedDifference,
    mcnemar,
    paired_difference,
    paired_errors,
    prediction_interval,
    wilson,
)

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


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("confidence", [0.5, 0.95])
def test_equal_differences_have_an_interval_without_width(confidence):
    difference = paired_difference([1, 5, 2], [3, 7, 4], confidence)
    assert (difference.mean, difference.interval) == (2, Interval(2, 2, confidence))


def test_differences_and_intervals_print_their_numbers():
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


# Errors of paired seeds on the same images


def random_errors(seeds, images, rate=0.1, seed=0):
    """Two methods' errors, (seeds, images) each, in which nothing depends on anything."""
    draw = torch.Generator().manual_seed(seed)
    return [torch.rand(seeds, images, generator=draw) < rate for _ in range(2)]


def of_10_000(wrong):
    return (10_000 * wrong.double().mean(1)).tolist()


@properties
@given(st.lists(FIGURES, min_size=2, max_size=8), CONFIDENCES)
def test_prediction_interval_as_scipy_has_students_t(values, confidence):
    interval = prediction_interval(values, confidence)
    spread = np.std(values, ddof=1) * math.sqrt(1 + 1 / len(values))
    expected = t.interval(confidence, len(values) - 1, loc=np.mean(values), scale=max(spread, 1e-300))
    assert (interval.low, interval.high) == pytest.approx(expected, rel=1e-9, abs=1e-6)
    assert interval.confidence == confidence


def test_one_more_run_falls_into_the_prediction_interval_as_often_as_promised():
    generator = np.random.default_rng(0)
    runs = generator.normal(90, 5, size=(2_000, 6))
    inside = [float(row[5]) in prediction_interval(row[:5]) for row in runs]
    assert abs(np.mean(inside) - 0.95) < 4 * math.sqrt(0.95 * 0.05 / len(inside))


def test_bad_runs_predict_nothing():
    with pytest.raises(ValueError, match="values must be 2 or more, one per run, got 1"):
        prediction_interval([3.0])
    with pytest.raises(ValueError, match="values must be finite, got nan"):
        prediction_interval([3.0, math.nan])
    with pytest.raises(ValueError, match="confidence must lie between 0 and 1, got 1"):
        prediction_interval([3.0, 4.0], 1)


def test_paired_errors_has_the_mean_difference_of_errors_of_10_000():
    a, b = random_errors(seeds=3, images=400)
    difference = paired_errors(a, b, ("alone", "distilled"), confidence=0.9)
    assert difference.mean == pytest.approx(np.mean(of_10_000(b)) - np.mean(of_10_000(a)))
    assert (difference.pairs, difference.names, difference.interval.confidence) == (3, ("alone", "distilled"), 0.9)
    assert {type(value) for value in (difference.mean, difference.interval.low, difference.interval.high)} == {float}


@pytest.mark.parametrize("confidence", [0.8, 0.95])
@pytest.mark.parametrize("counts", [(3, 9, 4, 7, 5), (40, 41, 46), (0, 20, 30, 10)], ids=str)
def test_where_images_make_no_difference_paired_errors_has_students_interval(counts, confidence):
    """No image is wrong for two seeds: which ones are is up to chance, and as much of it as independence allows."""
    wrong = torch.zeros(len(counts), 1_000, dtype=torch.bool)
    for row, start, count in zip(wrong, itertools.accumulate((0, *counts)), counts, strict=False):
        row[start : start + count] = True
    difference = paired_errors(torch.zeros_like(wrong), wrong, confidence=confidence, resamples=100_000)
    expected = paired_difference([0] * len(counts), of_10_000(wrong), confidence)
    half = expected.interval.high - expected.mean
    assert difference.mean == pytest.approx(expected.mean)
    assert difference.interval.low == pytest.approx(expected.interval.low, abs=0.04 * half)
    assert difference.interval.high == pytest.approx(expected.interval.high, abs=0.04 * half)


def pair(only_a, only_b, both, total):
    """Two single models' errors, (total,) each."""
    place = torch.arange(total)
    a = place < only_a
    b = (place >= only_a) & (place < only_a + only_b)
    shared = place >= total - both
    return a | shared, b | shared


@pytest.mark.parametrize("confidence", [0.8, 0.95])
@pytest.mark.parametrize(
    ("only_a", "only_b", "both", "total"), [(300, 250, 100, 10_000), (40, 80, 0, 500), (150, 0, 50, 400)]
)
def test_of_single_models_paired_errors_has_walds_interval_of_paired_proportions(
    only_a, only_b, both, total, confidence
):
    difference = paired_errors(*pair(only_a, only_b, both, total), confidence=confidence)
    mean = (only_b - only_a) / total
    half = norm.isf((1 - confidence) / 2) * math.sqrt(((only_a + only_b) / total - mean**2) / total)
    assert difference.mean == pytest.approx(10_000 * mean)
    assert difference.interval.low == pytest.approx(10_000 * (mean - half), abs=0.05 * 10_000 * half)
    assert difference.interval.high == pytest.approx(10_000 * (mean + half), abs=0.05 * 10_000 * half)
    assert difference.pairs == 1


def test_seeds_that_all_do_the_same_are_as_one():
    a, b = pair(30, 20, 5, 1_000)
    single, several = paired_errors(a, b), paired_errors(a.repeat(4, 1), b.repeat(4, 1))
    assert several.mean == pytest.approx(single.mean)
    assert (several.interval.low, several.interval.high) == pytest.approx((single.interval.low, single.interval.high))


@pytest.mark.parametrize(("a", "b"), [*itertools.product([False, True], repeat=2)])
@pytest.mark.parametrize("shape", [(50,), (1, 50), (3, 50)], ids=str)
def test_where_nothing_varies_the_interval_is_a_point(a, b, shape):
    difference = paired_errors(torch.full(shape, a), torch.full(shape, b))
    assert {difference.mean, difference.interval.low, difference.interval.high} == {10_000 * (b - a)}


def test_paired_errors_is_the_same_each_time_and_in_any_order_and_leaves_the_global_state():
    a, b = random_errors(seeds=4, images=300)
    before = np.random.get_state()[1].copy(), torch.get_rng_state()
    difference = paired_errors(a, b)
    assert paired_errors(a, b) == difference
    images = torch.randperm(300, generator=torch.Generator().manual_seed(0))
    other = paired_errors(a[:, images], b[:, images])
    assert other.mean == pytest.approx(difference.mean)
    assert other.interval.low == pytest.approx(difference.interval.low)
    assert other.interval.high == pytest.approx(difference.interval.high)
    assert np.array_equal(np.random.get_state()[1], before[0])
    assert torch.equal(torch.get_rng_state(), before[1])


def test_methods_that_change_places_mirror_the_interval():
    a, b = random_errors(seeds=5, images=400)
    one, other = paired_errors(a, b), paired_errors(b, a)
    width = one.interval.high - one.interval.low
    assert other.mean == pytest.approx(-one.mean)
    assert (-other.interval.high, -other.interval.low) == pytest.approx(
        (one.interval.low, one.interval.high), abs=0.05 * width
    )


CUTS = (1.6, 1.3)  # above which score a method is wrong
TRUTH = 10_000 * (norm.sf(CUTS[1]) - norm.sf(CUTS[0]))


def two_way(draw, by_image, by_seed, by_both, seeds=5, images=300):
    """Errors of two methods where a score, normal with variance 1 over all, passes the method's cut. It is the sum of
    what the image does for both methods and for one, what the seed does, and what they do only together."""
    sds = np.array([by_image, by_image, by_seed, by_both])
    common, own, seed, together = sds / np.linalg.norm(sds)
    shared = draw.normal(0, common, images)
    for cut in CUTS:
        own_part = draw.normal(0, own, images) + draw.normal(0, seed, (seeds, 1))
        yield torch.from_numpy(shared + own_part + draw.normal(0, together, (seeds, images)) > cut)


def coverage(trials=300, **effects):
    """How often the truth is held by paired_errors, and by paired_difference."""
    draw, held = np.random.default_rng(0), []
    for _ in range(trials):
        a, b = two_way(draw, **effects)
        of_seeds_alone = paired_difference(of_10_000(a), of_10_000(b))
        held.append([TRUTH in paired_errors(a, b, resamples=500).interval, TRUTH in of_seeds_alone.interval])
    return np.mean(held, axis=0)


def test_where_images_decide_paired_errors_holds_the_truth_as_promised_and_seeds_alone_do_not():
    of_both, of_seeds_alone = coverage(by_image=2, by_seed=0.1, by_both=0.5)
    assert 0.92 < of_both < 0.995
    assert of_seeds_alone < 0.7


@pytest.mark.parametrize(
    "effects",
    [
        {"by_image": 1, "by_seed": 0.5, "by_both": 0.5},
        {"by_image": 0.3, "by_seed": 0.6, "by_both": 1},
        {"by_image": 0, "by_seed": 0, "by_both": 1},
    ],
    ids=["images and seeds", "seeds decide", "chance decides"],
)
def test_paired_errors_holds_the_truth_as_promised(effects):
    of_both, _ = coverage(**effects)
    assert 0.92 < of_both < 0.995


@pytest.mark.parametrize(
    ("mean", "low", "high", "pairs", "errors", "interval", "seeds"),
    [
        (-31, -41, -22, 5, "31 fewer errors", "22 to 41", "5 paired seeds"),
        (31.4, 21.6, 41.2, 5, "31 more errors", "22 to 41", "5 paired seeds"),
        (-31, -41, -22, 1, "31 fewer errors", "22 to 41", "1 paired seed"),
        (-6, -20, 8, 2, "6 fewer errors", "-8 to 20", "2 paired seeds: no difference seen"),
        (6, -8, 20, 1, "6 more errors", "-8 to 20", "1 paired seed: no difference seen"),
        (6, 0, 20, 2, "6 more errors", "0 to 20", "2 paired seeds: no difference seen"),
        (0, 0, 0, 2, "0 more errors", "0 to 0", "2 paired seeds: no difference seen"),
        (0.8, -15, 19, 5, "1 more error", "-15 to 19", "5 paired seeds: no difference seen"),
    ],
)
def test_a_difference_of_errors_prints_a_sentence(mean, low, high, pairs, errors, interval, seeds):
    difference = PairedDifference(mean, Interval(low, high), pairs, ("alone", "distilled"))
    assert str(difference) == (f"distilled makes {errors} of 10,000 than alone, 95 % interval {interval}, {seeds}")


@pytest.mark.parametrize(("mean", "low", "high"), [(-6, -20, 0.0), (-6, -20, 0.3), (6, -0.3, 20)])
def test_an_end_at_0_prints_without_a_sign(mean, low, high):
    difference = PairedDifference(mean, Interval(low, high), 2, ("alone", "distilled"))
    assert "95 % interval 0 to 20, " in str(difference)


def test_the_sentence_names_the_methods_and_the_confidence():
    a, b = random_errors(seeds=2, images=200)
    sentence = str(paired_errors(a, a | b, confidence=0.9))
    assert sentence.startswith("b makes ")
    assert " more errors of 10,000 than a, 90 % interval " in sentence
    assert ", 2 paired seeds" in sentence


@pytest.mark.parametrize("count", [-1, 11, math.nan])
def test_bad_counts_are_refused(count):
    with pytest.raises(ValueError, match=rf"count must lie in 0\.\.total = 0\.\.10, got {count}$"):
        wilson(count, 10)


def test_a_part_of_an_error_is_refused():
    with pytest.raises(ValueError, match=r"count must be a whole number, got 2\.5$"):
        wilson(2.5, 10)
    assert wilson(2.0, 10) == wilson(2, 10)


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
    with pytest.raises(ValueError, match=message):
        paired_errors(*random_errors(2, 10), confidence=confidence)


@pytest.mark.parametrize("resamples", [0, -1, 10.0])
def test_bad_numbers_of_resamples_are_refused(resamples):
    with pytest.raises(ValueError, match=f"resamples must be a whole number >= 1, got {resamples}$"):
        paired_errors(*random_errors(2, 10), resamples=resamples)


@pytest.mark.parametrize(
    ("a", "b"), [((2, 10), (3, 10)), ((10,), (1, 10)), ((2, 3, 4), (2, 3, 4)), ((), ()), ((0,), (0,)), ((2, 0), (2, 0))]
)
def test_paired_errors_needs_the_same_seeds_and_images(a, b):
    message = rf"wrong_a and wrong_b must both be (seeds, N) or (N,), got {a} and {b}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        paired_errors(torch.zeros(a).bool(), torch.zeros(b).bool())


def test_paired_errors_refuses_counts_in_the_place_of_what_is_wrong():
    wrong = torch.zeros(2, 10, dtype=torch.bool)
    with pytest.raises(TypeError, match=r"wrong_a must be bool, see metrics.wrong, got dtype torch.int64$"):
        paired_errors(wrong.long(), wrong)
    with pytest.raises(TypeError, match=r"wrong_b must be bool, see metrics.wrong, got list$"):
        paired_errors(wrong, [60, 70])


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
