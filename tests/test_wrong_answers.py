"""Wrong answers as learners write them are refused, in words that name the mistake; right ones in many ways pass."""

import re

import pytest
import right_answers
import wrong_answers

from kdtutor.course import exercises
from kdtutor.course.exercises import EXERCISES

MUTANTS = [
    pytest.param(name, phrase, function, id=f"{name}-{number}")
    for name, answers in wrong_answers.WRONG.items()
    for number, (phrase, function) in enumerate(answers)
]
RIGHT = [
    pytest.param(name, function, id=f"{name}-{number}")
    for name, answers in right_answers.RIGHT.items()
    for number, function in enumerate(answers)
]
pytestmark = pytest.mark.filterwarnings("ignore")  # F.kl_div's own, numpy's, and more of what learners see


@pytest.fixture
def verdict(capsys):
    def check(name, function):
        exercises.check(name, function)
        return capsys.readouterr().out

    return check


@pytest.mark.parametrize(("name", "phrase", "function"), MUTANTS)
def test_a_wrong_answer_is_refused_by_the_name_of_its_mistake(name, phrase, function, verdict):
    said = verdict(name, function).splitlines()[0]
    assert said.startswith(f"{name}: not yet. ")
    assert phrase.lower() in said.lower(), said


@pytest.mark.parametrize(("name", "function"), RIGHT)
def test_a_right_answer_passes_in_whatever_way_it_is_written(name, function, verdict):
    assert verdict(name, function).startswith(f"{name}: correct, in ")


@pytest.mark.parametrize("name", EXERCISES)
def test_every_exercise_has_a_dozen_wrong_answers_and_several_right_ones(name):
    wrong = wrong_answers.WRONG[name]
    assert len(wrong) >= 12
    assert len({re.sub(r"\W", "", phrase) for phrase, _ in wrong}) >= 9
    assert len(right_answers.RIGHT[name]) >= 3
