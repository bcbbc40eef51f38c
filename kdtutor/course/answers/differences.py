"""The one sentence that a learner reads about an answer: asks for known mistakes first, for arithmetic second."""

from collections.abc import Mapping
from typing import Any

from kdtutor.course.answers.comparability import dtype_problem
from kdtutor.course.answers.relations import relation
from kdtutor.course.answers.values import same, show

UNFILLED = "not filled in yet"


def expect(given: Any, wanted: Any, mistakes: Mapping[str, Any] = {}) -> None:
    """Raise AssertionError, with `difference` as its sentence, unless `given` is right."""
    sentence = difference(given, wanted, mistakes)
    if sentence:
        raise AssertionError(sentence)


def difference(
    given: Any, wanted: Any, mistakes: Mapping[str, Any] = {}, constants: Mapping[str, float] = {}
) -> str | None:
    """None if `given` is right, else one sentence (without a full stop) that names the difference.

    Args:
        given: a number, a tensor, an array, or a list or tuple of these; ``...`` is 'not filled in yet'.
        wanted: the right value.
        mistakes: what to say -> the value that this mistake leads to, or a function of no arguments that returns it,
            called only when it is needed.
        constants: words for factors that mean something here, {"the number of classes": 10}.
    """
    if given is ...:
        return UNFILLED
    if same(given, wanted):
        return dtype_problem(given, wanted)
    for sentence, value in mistakes.items():
        if _leads_to(given, value):
            return sentence

    arithmetic = relation(given, wanted, constants)
    if arithmetic:
        return arithmetic
    return f"this is {show(given)}, the right value is {show(wanted)}"


def _leads_to(given: Any, mistake: Any) -> bool:
    """Whether a mistake, a value or a function that returns it, gives just the value that came."""
    try:
        if callable(mistake):
            return same(given, mistake())
        return same(given, mistake)
    except Exception:  # a learner who made a mistake that raises wouldn't have brought a value
        return False
