"""Model answers: the stored values are theirs, they agree with the package, and a copy without them still checks."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import kdtutor
from kdtutor import losses, metrics, statistics
from kdtutor.course import answers, exercises
from kdtutor.course.exercises import outcomes
from kdtutor.course.exercises.calls import CALLS

solutions = pytest.importorskip("kdtutor.course.exercises.solutions", reason="this copy comes without solutions")
NAMES = list(CALLS)


@pytest.mark.parametrize("name", NAMES)
def test_the_stored_outcomes_are_the_solutions(name):
    for call, stored in zip(CALLS[name], outcomes.right_outcomes(name), strict=True):
        outcome = outcomes.outcome_of(solutions.SOLUTIONS[name], call)
        assert answers.difference(outcome.returned, stored.returned) is None
        assert answers.same(outcome.values, stored.values)
        assert outcome.changed_arguments == ()


@pytest.mark.parametrize("name", NAMES)
def test_a_solution_is_correct(name, capsys):
    exercises.check(name, solutions.SOLUTIONS[name])
    assert capsys.readouterr().out.startswith(f"{name}: correct, in ")


@pytest.mark.parametrize("name", NAMES)
def test_a_solution_is_printed_as_source_that_runs(name, capsys):
    exercises.solution(name)
    source = capsys.readouterr().out
    assert source.startswith(f"def {name}(")
    scope = dict(vars(solutions))
    exec(source, scope)
    assert scope[name] is not solutions.SOLUTIONS[name]
    exercises.check(name, scope[name])
    assert "correct" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "of_the_package"),
    [
        ("entropy", metrics.entropy),
        ("soften", losses.soften),
        ("kl_from_logits", losses.kl_divergence),
        ("distillation_loss", lambda s, t, y, temperature, alpha: losses.distillation_loss(
            s, t, y, temperature=temperature, alpha=alpha)),
        ("agreement", metrics.agreement),
        ("calibration_error", lambda p, labels, bins: metrics.calibration_error(p.log(), labels, bins)),
        ("wilson_interval", lambda errors, n: (
            (found := statistics.wilson(errors, n)).low, found.high)),
        ("tuned_bias", lambda vz, vy, tz, ty, missing, biases: (
            bias := metrics.best_bias(vz, vy, [missing], biases),
            metrics.errors(metrics.with_bias(tz, [missing], bias), ty) * len(ty) / 10_000)),
        ("paired_interval", lambda a, b: (
            (found := statistics.paired_difference(a, b)).mean, found.interval.low, found.interval.high)),
    ],
)  # fmt: skip
def test_the_package_gives_the_same(name, of_the_package):
    for call, stored in zip(CALLS[name], outcomes.right_outcomes(name), strict=True):
        assert answers.same(of_the_package(*call), stored.returned)


def test_the_gradient_is_autograds():
    student, teacher, temperature = CALLS["soft_gradient"][1]
    student = student.clone().requires_grad_()
    (temperature**2 * losses.kl_divergence(student, teacher, temperature)).backward()
    assert answers.same(student.grad, outcomes.right_outcomes("soft_gradient")[1].returned)


def test_writing_the_values_again_changes_nothing_but_digits(tmp_path, monkeypatch):
    shipped = outcomes.OUTCOMES
    monkeypatch.setattr(outcomes, "OUTCOMES", tmp_path / "outcomes.json")
    outcomes.write_outcomes(solutions.SOLUTIONS)
    again = {name: outcomes.right_outcomes(name) for name in NAMES}
    assert shipped != outcomes.OUTCOMES
    monkeypatch.setattr(outcomes, "OUTCOMES", shipped)
    for name in NAMES:
        assert answers.same([one.values for one in again[name]], [one.values for one in outcomes.right_outcomes(name)])


def test_missing_values_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr(outcomes, "OUTCOMES", tmp_path / "outcomes.json")
    with pytest.raises(
        FileNotFoundError, match=r"the exercises' right answers must be in .*outcomes\.json, which isn't"
    ):
        outcomes.right_outcomes("soften")


def test_a_copy_without_solutions_still_checks(tmp_path):
    package = Path(kdtutor.__file__).parent
    shutil.copytree(package, tmp_path / "kdtutor", ignore=shutil.ignore_patterns("solutions.py", "__pycache__"))
    code = """
import kdtutor, torch
from kdtutor.course import exercises
exercises.check("soften", lambda z, T: torch.softmax(z / T, -1))
exercises.check("soften", lambda z, T: torch.softmax(z * T, -1))
exercises.solution("soften")
"""
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    told = run.stdout.splitlines()
    assert told[0] == "soften: correct, in 5 of 5 calls."
    assert told[2].startswith("soften: not yet. z is multiplied by T")
    assert told[-1] == "This copy of the course comes without solutions."


def test_the_calls_tell_large_logits_and_zeros_apart():
    """What the hints promise to be in the calls: overflow, underflow and a probability of 0."""
    assert any(call[0].max() > 1000 for call in CALLS["soften"])
    assert torch.softmax(CALLS["log_soften"][1][0], -1).min() == 0
    assert CALLS["kl"][0][0].min() == 0
