"""Verdicts: what intervals say, how often they err on simulated ledgers, and which records are refused."""

import numpy as np
import pytest
import torch
from scipy.stats import t, ttest_1samp

from kdtutor.course.evidence.verdicts import (
    FAILS,
    HOLDS,
    MARGIN,
    NO_DIFFERENCE,
    UNDECIDED,
    Comparison,
    difference,
    holm,
    together,
    verdict,
)
from kdtutor.course.records import Records, pack_wrong
from kdtutor.statistics import Interval, PairedDifference, paired_difference, paired_errors

COMPARISON = Comparison("study", "experiment", "a", "b")


def between(low, high):
    return PairedDifference((low + high) / 2, Interval(low, high), 10)


class TestVerdict:
    @pytest.mark.parametrize(
        ("low", "high", "promised", "expected"),
        [
            (-50, -20, "lower", HOLDS),
            (-50, -1, "lower", HOLDS),
            (20, 50, "lower", FAILS),
            (20, 50, "higher", HOLDS),
            (-50, -20, "higher", FAILS),
            (-9, -2, "lower", NO_DIFFERENCE),
            (-9, 9, "higher", NO_DIFFERENCE),
            (-9, 9, "same", HOLDS),
            (-9, 9, "different", FAILS),
            (20, 50, "same", FAILS),
            (-50, -20, "different", HOLDS),
            (-50, 1, "lower", UNDECIDED),
            (-50, 50, "same", UNDECIDED),
            (-50, 50, "different", UNDECIDED),
        ],
    )
    def test_follows_from_the_interval_alone(self, low, high, promised, expected):
        assert verdict(between(low, high), promised, 10) == expected

    @pytest.mark.parametrize(("pairs", "expected"), [(2, UNDECIDED), (5, UNDECIDED), (6, HOLDS)])
    def test_few_seeds_that_are_all_alike_decide_nothing(self, pairs, expected):
        seen = paired_difference([300.0] * pairs, [280.0] * pairs)
        assert verdict(seen, "lower", MARGIN) == expected

    def test_an_unknown_promise_is_refused(self):
        with pytest.raises(ValueError, match="promised must be one of lower, higher, same, different, got 'fewer'"):
            verdict(between(-50, -20), "fewer", 10)

    def test_no_promise_holds_nothing(self):
        with pytest.raises(ValueError, match="verdicts must hold at least one, got none"):
            together([])

    def test_of_several_promises_all_must_hold(self):
        assert together([HOLDS, HOLDS]) == HOLDS
        assert together([HOLDS, UNDECIDED]) == UNDECIDED
        assert together([HOLDS, UNDECIDED, NO_DIFFERENCE]) == NO_DIFFERENCE
        assert together([NO_DIFFERENCE, FAILS, HOLDS]) == FAILS


class TestHolm:
    def test_levels_by_hand(self):
        # 0.01 <= 0.05 / 3 passes; 0.03 > 0.05 / 2 doesn't, and the rest share its level
        assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.975, 1 - 0.05 / 3, 0.975])

    def test_one_test_needs_no_correction(self):
        assert holm([0.2]) == pytest.approx([0.95])

    def test_decides_as_the_adjusted_p_values_do(self):
        generator = torch.Generator().manual_seed(0)
        for _ in range(50):
            p_values = (torch.rand(8, generator=generator) ** 4).tolist()
            passed, largest = {}, 0.0
            for rank, p in enumerate(sorted(p_values)):
                largest = max(largest, min(1.0, p * (8 - rank)))
                passed[p] = largest <= 0.05
            levels = holm(p_values)
            assert [p <= 1 - level for p, level in zip(p_values, levels, strict=True)] == [passed[p] for p in p_values]


def ledgers(truth, number, deviation=8.0, claims=30, seeds=10):
    """Verdicts on the claims of several ledgers, each claim that b makes fewer errors where it makes `truth` more."""
    generator = np.random.RandomState(1)
    return [_verdicts(truth + deviation * generator.randn(claims, seeds)) for _ in range(number)]


def _verdicts(differences):
    """Of each claim, from its differences by seed, at Holm's levels. As `paired_difference` has it, for all at once."""
    test = ttest_1samp(differences, 0, axis=1)
    means, error = differences.mean(1), differences.std(1, ddof=1) / differences.shape[1] ** 0.5
    verdicts = []
    for mean, deviation, level in zip(means, error, holm(test.pvalue.tolist()), strict=True):
        half = deviation * t.ppf((1 + level) / 2, differences.shape[1] - 1)
        verdicts.append(verdict(between(mean - half, mean + half), "lower", MARGIN))
    return verdicts


class TestRatesOfWrongVerdicts:
    """Whole ledgers of 30 claims: at most one in twenty has a wrong verdict at all."""

    LEDGERS = 300
    MOST = 0.05 + 2.6 * (0.05 * 0.95 / LEDGERS) ** 0.5  # of simulations: 99.5 % of them stay below

    @pytest.mark.parametrize(
        ("truth", "wrong_verdicts"),
        [(0.0, {HOLDS, FAILS}), (MARGIN, {NO_DIFFERENCE, HOLDS}), (-MARGIN, {NO_DIFFERENCE, FAILS})],
    )
    def test_in_a_ledger_of_30(self, truth, wrong_verdicts):
        wrong = [not wrong_verdicts.isdisjoint(verdicts) for verdicts in ledgers(truth, self.LEDGERS)]
        assert sum(wrong) / self.LEDGERS <= self.MOST

    def test_without_correction_most_ledgers_would_err(self, monkeypatch):
        monkeypatch.setitem(globals(), "holm", lambda p_values: [0.95] * len(p_values))
        wrong = [not {HOLDS, FAILS}.isdisjoint(verdicts) for verdicts in ledgers(0.0, 50)]
        assert sum(wrong) > 10

    def test_a_large_difference_is_seen(self):
        assert ledgers(-60.0, 1)[0].count(HOLDS) == 30

    def test_no_difference_is_seen_where_seeds_agree(self):
        assert ledgers(0.0, 1, deviation=2.0)[0].count(NO_DIFFERENCE) == 30


class TestPValues:
    @pytest.mark.parametrize("shift", [0.0, 0.004, 0.02])
    def test_of_errors_agree_with_the_interval(self, shift):
        generator = torch.Generator().manual_seed(3)
        a = torch.rand(10, 3000, generator=generator) < 0.1
        b = a ^ (torch.rand(10, 3000, generator=generator) < 0.02)
        b |= torch.rand(10, 3000, generator=generator) < shift
        p = paired_errors(a, b).p_value
        assert (p > 0.05) == (0 in paired_errors(a, b).interval)
        assert (p > 0.5) == (0 in paired_errors(a, b, confidence=0.5).interval)


def recorded(path, rates=(1e-3, 3e-3, 1e-2), choosers=3, seeds=range(10), arms=("a", "b"), errors=None, others=None):
    """Records of an experiment; `errors` of each arm of 1,000 images."""
    records = Records(path)
    for arm in arms:
        values = [300.0] * (choosers if arm == "b" else 3)
        for lr in rates if arm == "b" else (1e-3, 3e-3, 1e-2):
            key = {"experiment": "experiment", "arm": arm, "lr": lr}
            records.add("choice", lambda values=values, **_: {"validation": values}, **key)
        for seed in seeds if arm == "b" else range(10):
            wrong = torch.zeros(1000, dtype=torch.bool)
            wrong[seed : seed + (errors or {}).get(arm, 30)] = True
            row = {"wrong": pack_wrong(wrong), "images": 1000, "nll": 0.1 * seed, "chosen": {"lr": 3e-3}}
            if seed == 1:
                row.update(others or {})  # of one seed, which came from elsewhere
            records.add("result", lambda row=row, **_: row, experiment="experiment", arm=arm, seed=seed)
    return records


class TestDifference:
    def test_of_errors_is_per_10_000(self, tmp_path):
        records = recorded(tmp_path / "r", errors={"b": 50})
        assert difference(records, COMPARISON).mean == pytest.approx(200)

    def test_of_other_metrics_is_of_seeds(self, tmp_path):
        records = recorded(tmp_path / "r")
        assert difference(records, Comparison("study", "experiment", "a", "b", metric="nll")).mean == 0

    @pytest.mark.parametrize(
        ("unfair", "message"),
        [
            ({"rates": (3e-3,)}, "chosen from 3 learning rates or more, got 1 for 'b'"),
            ({"choosers": 1}, "chosen by as many students"),
            ({"seeds": range(5)}, "results of the same seeds"),
            ({"arms": ("a",)}, "must have results of 'b'"),
            ({"others": {"chosen": {"lr": 1e-2}}}, "an arm must have the same settings, got .*0.003.* and .*0.01"),
            ({"others": {"images": 500}}, r"which of 1000 images are wrong, got one of 500 for .*'seed': 1"),
            ({"others": {"wrong": "eJwDAAAAAAE="}}, "packed must be of 1000 examples, in 125 bytes, got 0 bytes"),
        ],
    )
    def test_refuses_records_that_favour_a_side(self, tmp_path, unfair, message):
        with pytest.raises(ValueError, match=message):
            difference(recorded(tmp_path / "r", **unfair), COMPARISON)

    def test_refuses_a_metric_that_a_row_lacks(self, tmp_path):
        records = recorded(tmp_path / "r", others={"nll": None})
        with pytest.raises(ValueError, match=r"each row must have a number 'nll', got None for .*'seed': 1"):
            difference(records, Comparison("study", "experiment", "a", "b", metric="nll"))

    def test_what_two_processes_made_counts_once(self, tmp_path):
        path = tmp_path / "r"
        once = difference(recorded(path, errors={"b": 50}), COMPARISON)
        path.write_text(path.read_text() * 2)
        assert difference(Records(path), COMPARISON) == once
