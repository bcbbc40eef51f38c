"""The protocol on simulated arms, whose best settings and error rates are known."""

from math import log10

import pytest
import torch

from kdtutor.course.evidence.protocol import (
    LIMITS,
    Arm,
    Experiment,
    Measurement,
    Plan,
    check_fair,
    measure,
    run_experiment,
    run_measurement,
)
from kdtutor.course.evidence.search import choose
from kdtutor.course.records import Records, unpack_wrong
from kdtutor.data import Dataset, Split

RATES = (1e-3, 3e-3, 1e-2)


def digits(images=2000):
    """A data set whose images play no part; of its labels there are ten."""
    labels = torch.arange(images) % 10
    split = Split(torch.zeros(images, 1), labels)
    return Dataset("simulated", split, split, split)


def simulated(name, best_rate=3e-3, errors=300, calls=None, grid=None, data=None):
    """An arm whose students make `errors` of 10,000 at the best rate, and more away from it, plus noise of the seed."""
    data = data or digits()
    labels = data.test.labels

    def train(seed, candidates):
        if calls is not None:
            calls.extend((seed, settings) for settings in candidates)
        students = []
        for settings in candidates:
            generator = torch.Generator().manual_seed(seed)
            seed_effect = 1 + 0.1 * torch.randn((), generator=generator).item()
            rate = errors * seed_effect * (1 + log10(settings["lr"] / best_rate) ** 2) / 1e4
            mistaken = torch.rand(len(labels), generator=generator) < rate
            answers = (labels + mistaken) % 10
            logits = 5.0 * torch.nn.functional.one_hot(answers, 10).float()
            students.append({"validation": logits, "test": logits})
        return students

    return Arm(name, train, grid or {"lr": RATES, "epochs": (10,)})


def experiment(*arms, data=None):
    return Experiment("simulated", data or digits(), arms)


class TestChoose:
    def test_finds_the_best_of_several_axes_whatever_their_interplay(self):
        def loss(candidates):
            return [(s["a"] - 4) ** 2 + (s["b"] - 8) ** 2 + 0.3 * (s["a"] - 4) * (s["b"] - 8) for s in candidates]

        limits = {"a": (0.1, 100), "b": (0.1, 100)}
        choice = choose({"a": (1.0, 2.0, 4.0, 8.0), "b": (2.0, 4.0, 8.0, 16.0)}, loss, limits)
        assert choice.settings == {"a": 4.0, "b": 8.0}
        assert not choice.at_limit

    @pytest.mark.parametrize("best", [1e-5, 0.9])
    def test_an_axis_grows_until_the_choice_is_inside(self, best):
        choice = choose({"lr": RATES}, lambda cs: [abs(log10(c["lr"] / best)) for c in cs], LIMITS)
        assert abs(log10(choice.settings["lr"] / best)) < 0.3
        low, high = min(choice.axes["lr"]), max(choice.axes["lr"])
        assert low <= choice.settings["lr"] < high

    def test_says_where_the_choice_lies_at_its_limit(self):
        choice = choose({"epochs": (10, 20)}, lambda cs: [-c["epochs"] for c in cs], {"epochs": (1, 100)})
        assert choice.settings == {"epochs": 100}
        assert choice.at_limit == ["epochs"]

    def test_tries_what_was_chosen_for_others_and_walks_on_from_there(self):
        def loss(candidates):  # two valleys, with a ridge between them
            return [min(abs(c["epochs"] - 10) + 5, abs(c["epochs"] - 80)) + abs(c["lr"] - 2) for c in candidates]

        grid, limits = {"epochs": (5, 10, 20), "lr": (1.0, 2.0, 4.0)}, {"epochs": (1, 100), "lr": (0.1, 10)}
        assert choose(grid, loss, limits).settings == {"epochs": 10, "lr": 2.0}
        others = [{"epochs": 40, "lr": 1.0}, {"epochs": 76, "lr": 1.5, "alpha": 0.5}]
        found = choose(grid, loss, limits, others=others)
        assert found.settings["epochs"] in found.axes["epochs"]
        assert found.settings["lr"] == 2.0
        assert found.settings["epochs"] >= 76
        assert "alpha" not in found.settings

    def test_others_that_are_worse_change_nothing(self):
        alone = choose({"lr": RATES}, lambda cs: [abs(log10(c["lr"] / 3e-3)) for c in cs], LIMITS)
        beside = choose(
            {"lr": RATES}, lambda cs: [abs(log10(c["lr"] / 3e-3)) for c in cs], LIMITS, others=[{"lr": 1e-2}]
        )
        assert alone == beside

    def test_an_axis_of_one_value_is_given(self):
        choice = choose({"lr": RATES, "epochs": (5,)}, lambda cs: [c["lr"] for c in cs], LIMITS, widen=False)
        assert choice.axes["epochs"] == [5]
        assert choice.at_limit == ["lr"]

    def test_grows_no_axis_unless_asked(self):
        choice = choose({"lr": RATES}, lambda cs: [c["lr"] for c in cs], LIMITS, widen=False)
        assert choice.axes["lr"] == sorted(RATES)

    def test_whole_numbers_stay_whole(self):
        choice = choose({"epochs": (25, 50, 100)}, lambda cs: [abs(c["epochs"] - 13) for c in cs], LIMITS)
        assert choice.settings["epochs"] == 12
        assert all(isinstance(epochs, int) for epochs in choice.axes["epochs"])


class TestRun:
    def test_each_arm_gets_the_rate_that_suits_it(self, tmp_path):
        arms = [simulated("a", best_rate=3e-3), simulated("b", best_rate=0.1)]
        records = Records(tmp_path / "r.jsonl")
        run_experiment(experiment(*arms), records, Plan())
        chosen = {row["settings"]["arm"]: row["chosen"]["lr"] for row in records.rows("result")}
        assert chosen["a"] == 3e-3
        assert 0.03 <= chosen["b"] <= 0.3

    def test_what_was_given_to_an_arm_is_no_choice_for_the_others(self, tmp_path):
        soft = {"lr": RATES, "epochs": (10,), "alpha": (0.5, 0.9, 1.0)}
        labels = {"lr": RATES, "epochs": (10,), "alpha": (0.0,)}
        records = Records(tmp_path / "simulated.jsonl")
        run_experiment(experiment(simulated("a", grid=labels), simulated("b", grid=soft)), records, Plan())
        alphas = {row["settings"]["alpha"] for row in records.rows("choice", arm="b")}
        assert 0.0 not in alphas

    def test_results_of_another_choice_are_refused(self, tmp_path):
        records = Records(tmp_path / "simulated.jsonl")
        run_experiment(experiment(simulated("a")), records, Plan())
        records.path.write_text(records.path.read_text().replace('"chosen": {"lr": 0.003', '"chosen": {"lr": 0.004'))
        with pytest.raises(ValueError, match=r"must have results of what is chosen.*use another folder"):
            run_experiment(experiment(simulated("a")), records, Plan())

    def test_nothing_is_trained_twice(self, tmp_path):
        calls = []
        arms = [simulated("a", calls=calls), simulated("b", calls=calls)]
        records = Records(tmp_path / "r.jsonl")
        run_experiment(experiment(*arms), records, Plan())
        before = len(calls)
        run_experiment(experiment(*arms), records, Plan())
        assert len(calls) == before

    def test_goes_on_after_an_interruption(self, tmp_path):
        calls = []
        arm = simulated("a", calls=calls)

        def interrupted(seed, candidates):
            if seed == 4:
                raise KeyboardInterrupt
            return arm.train(seed, candidates)

        records = Records(tmp_path / "r.jsonl")
        with pytest.raises(KeyboardInterrupt):
            run_experiment(experiment(Arm("a", interrupted, arm.grid), simulated("b")), records, Plan())
        before = len(calls)
        run_experiment(experiment(arm, simulated("b")), records, Plan())
        assert [seed for seed, _ in calls[before:]] == [4, 5, 6, 7, 8, 9]

    def test_seeds_that_choose_are_never_compared(self, tmp_path):
        calls = []
        run_experiment(experiment(simulated("a", calls=calls), simulated("b")), Records(tmp_path / "r.jsonl"), Plan())
        seeds = {seed for seed, _ in calls}
        assert seeds == {100, 101, 102, *range(10)}
        results = Records(tmp_path / "r.jsonl").rows("result", arm="a")
        assert [row["settings"]["seed"] for row in results] == list(range(10))

    def test_a_rate_at_which_one_student_diverges_is_not_chosen(self, tmp_path):
        arm = simulated("a", best_rate=1e-2)

        def train(seed, candidates):
            students = arm.train(seed, candidates)
            for settings, student in zip(candidates, students, strict=True):
                if settings["lr"] >= 1e-2 and seed == 101:
                    student["validation"] = student["validation"] * float("nan")
            return students

        records = Records(tmp_path / "r.jsonl")
        run_experiment(experiment(Arm("a", train, arm.grid), simulated("b")), records, Plan())
        assert records.rows("result", arm="a")[0]["chosen"]["lr"] == 3e-3

    def test_measurements_are_recorded_by_seed(self, tmp_path):
        records = Records(tmp_path / "r.jsonl")
        for _ in range(2):
            run_measurement(Measurement("m", lambda seed: {"a": 2.0 * seed}), records, Plan())
        assert [row["a"] for row in records.rows("measurement")] == [2.0 * seed for seed in range(10)]


class TestFairness:
    def test_an_arm_without_rates_of_its_own_is_refused(self, tmp_path):
        untuned = simulated("b", grid={"lr": (3e-3,), "epochs": (10,)})
        with pytest.raises(ValueError, match=r"3 learning rates or more.*got \[0.003\] for 'b'"):
            run_experiment(experiment(simulated("a"), untuned), Records(tmp_path / "r.jsonl"), Plan())

    @pytest.mark.parametrize("grid", [{"lr": (1e-3, 2e-3, 4e-3), "epochs": (10,)}, {"lr": RATES, "epochs": (20,)}])
    def test_arms_begin_with_the_same_rates_and_lengths(self, grid):
        with pytest.raises(ValueError, match="all arms must begin with the same values of"):
            check_fair(experiment(simulated("a"), simulated("b", grid=grid)), Plan())

    def test_seeds_may_not_both_choose_and_be_compared(self):
        with pytest.raises(ValueError, match=r"got \[3\] in both"):
            check_fair(experiment(simulated("a"), simulated("b")), Plan(choosers=(3, 100, 101)))


def test_measure_has_what_the_ledger_needs():
    data = digits()
    student = simulated("a", errors=1000, data=data).train(0, [{"lr": 3e-3}])[0]
    student["teacher"] = 5.0 * torch.nn.functional.one_hot((data.test.labels + 1) % 10, 10).float()
    row = measure(student, data)
    wrong = unpack_wrong(row["wrong"], row["images"])
    assert row["errors"] == 1e4 * wrong.double().mean().item()
    assert row["agreement"] == pytest.approx(wrong.double().mean().item(), abs=1e-5)
    assert row["nll_scaled"] <= row["nll"]
    assert row["agreement_on_mistakes"] == row["agreement"], "this teacher is always wrong"
