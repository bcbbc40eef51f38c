"""The exercises of the notebooks: a learner's function is run on fixed calls, and what differs is named::

    exercises.check("soften", my_soften)    # right? else: which mistake is it, and a hint
    exercises.hint("soften")                # more of a hint
    exercises.solution("soften")            # the model answer
    exercises.progress()                    # what is solved, what is open

A stub that still returns ``...`` is 'not filled in yet', so an untouched notebook runs from top to bottom. The words
are in `words.md`, the calls in `calls`, the mistakes as code in `wrong` and `wrong_training`.
"""

import contextlib
import inspect
import io
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from kdtutor._check import came
from kdtutor.course.answers import UNFILLED, common, difference, misfit, same
from kdtutor.course.exercises.calls import CALLS, Outcome, asked, gradient, names, right, run
from kdtutor.course.exercises.wrong_training import LOSSES, WRONG


@dataclass(frozen=True)
class Exercise:
    """An exercise in words: its notebook, a hint, more of it, what to try next, and a sentence for each mistake."""

    notebook: int
    hint: str
    more: str
    next: str
    mistakes: dict[str, str]


def _read(text: str) -> dict[str, Exercise]:
    exercises = {}
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        name, notebook = re.match(r"(\w+), notebook (\d)", section).groups()
        hint, more, following = re.findall(r"^- (?:Hint|More|Next): (.+)$", section, re.MULTILINE)
        mistakes = dict(re.findall(r"^\| (.+?) \| (.+) \|$", section, re.MULTILINE)[1:])  # below the table's head
        exercises[name] = Exercise(int(notebook), hint, more, following, mistakes)
    return exercises


EXERCISES = _read(Path(__file__).with_name("words.md").read_text(encoding="utf-8"))

_LOGITS = {"prior_correction", "ensemble_logits"}  # known up to a constant a row, as logits are
_ELSEWHERE = {"nan", "underflow", "no_gradient", "detached", "in_place"}  # findings that explain no value of our calls
_solved: set[str] = set()


def check(name: str, solution: Callable) -> None:
    """Print whether `solution` is right and what to try next, or which mistake it makes and a hint.

    What a function returns is compared, a loss's gradient in the student's logits, and what a function does to its
    arguments, models among them (weights, train or eval mode). What it prints is held back. Raises ValueError for a
    name that isn't an exercise, TypeError for a solution that isn't a function.
    """
    exercise = _exercise(name)
    if not callable(solution):
        raise TypeError(f"solution must be a function, got {came(solution)}")
    _solved.discard(name)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        problem = _problem(name, solution)
    if problem is None:
        _solved.add(name)
        print(f"{name}: correct, in {len(CALLS[name])} of {len(CALLS[name])} calls.\nNext: {exercise.next}")
    elif problem == UNFILLED:
        print(f'{name}: {UNFILLED}. Put your code in place of `...`; exercises.hint("{name}") helps.')
    else:
        print(f'{name}: not yet. {_sentence(problem)}\nHint: {exercise.hint} More: exercises.hint("{name}")')
    if lines := printed.getvalue().splitlines():
        print(f"(Your function printed {len(lines)} line{'s' * (len(lines) > 1)}, beginning {lines[0][:60]!r}.)")


def hint(name: str) -> None:
    """Print the full hint of an exercise, which isn't the solution. Raises ValueError for another name."""
    exercise = _exercise(name)
    print(f"{name}: {exercise.hint}\n{exercise.more}")


def solution(name: str) -> None:
    """Print the model answer's source. A copy of the course may come without `solutions.py`: then it says so.

    Raises ValueError for a name that isn't an exercise.
    """
    _exercise(name)
    if not Path(__file__).with_name("solutions.py").is_file():
        print("This copy of the course comes without solutions.")
        return
    from kdtutor.course.exercises import solutions

    print(inspect.getsource(getattr(solutions, name)).rstrip())


def progress() -> None:
    """Print what has been solved, notebook by notebook, since this kernel was started, and what is open."""
    print("notebook  solved  open")
    for notebook in sorted({exercise.notebook for exercise in EXERCISES.values()}):
        there = [name for name, exercise in EXERCISES.items() if exercise.notebook == notebook]
        left = [name for name in there if name not in _solved]
        print(f"{notebook:02}        {len(there) - len(left)} of {len(there)}  {', '.join(left) or '-'}")
    print(f"In this session {len(_solved)} of {len(EXERCISES)} are solved; a notebook has a session of its own.")


def _exercise(name: str) -> Exercise:
    if name not in EXERCISES:
        raise ValueError(f"name must be one of {', '.join(EXERCISES)}, got {name!r}")
    return EXERCISES[name]


def _problem(name: str, function: Callable) -> str | None:
    """What is wrong with the function, in a sentence without a full stop; None if nothing is."""
    given = []
    for call in CALLS[name]:
        try:
            outcome = run(function, call)
        except Exception as error:  # whatever a learner's code raises is told, not thrown
            return f"{asked(function, call)}: it raises {type(error).__name__}: {_short(str(error))}"
        if outcome.returned is ...:
            return UNFILLED
        given.append(outcome)
    wanted = right(name)
    wrong = [place for place, pair in enumerate(zip(given, wanted, strict=True)) if not _agree(name, *pair)]
    if not wrong:
        return _at_the_edge(name, function, given, wanted) or _untrained(name, function)
    return _mistake(name, given) or _diagnosed(name, function) or _first(name, function, given, wanted, wrong)


def _agree(name: str, given: Outcome, wanted: Outcome) -> bool:
    if name in _LOGITS and isinstance(given.returned, Tensor) and given.returned.is_floating_point():
        return same(given.returned.log_softmax(-1), wanted.returned.log_softmax(-1))
    return same(given.values, wanted.values)


def _at_the_edge(name: str, function: Callable, given: list[Outcome], wanted: list[Outcome]) -> str | None:
    """Right values in a dtype that hurts, or at the cost of the arguments."""
    for one, other in zip(given, wanted, strict=True):
        if one.changed:
            what = names(function, CALLS[name][0])[one.changed[0]]
            return f"the values are right, but it changes {what} in place: the caller still needs it as it was"
        if same(one.returned, other.returned) and (sentence := difference(one.returned, other.returned)):
            return sentence
    return None


def _untrained(name: str, loss: Callable) -> str | None:
    """Right values that don't train the student."""
    if name not in LOSSES:
        return None
    given, wanted = ([gradient(one, call) for call in CALLS[name]] for one in (loss, LOSSES[name]))
    if same(given, wanted):
        return None
    if any(one is not None and one.any() for one in given):
        return "the values are right, but not the student's gradient: is a part detached, or taken out by .item()?"
    why = ".item(), .detach(), numpy or no_grad"
    return f"the values are right, but the student gets no gradient ({why}): it would train nothing"


def _mistake(name: str, given: list[Outcome]) -> str | None:
    """The sentence of the known mistake that agrees in all calls."""
    values = [outcome.values for outcome in given]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # F.kl_div's own, on its reduction
        for mistake, function in WRONG[name].items():
            if same(values, [run(function, call).values for call in CALLS[name]]):
                return EXERCISES[name].mistakes[mistake.partition(":")[0]]
    return None


def _diagnosed(name: str, loss: Callable) -> str | None:
    """What `diagnose` says of a whole loss or of its soft term: it knows mistakes in pairs, too."""
    if name not in LOSSES:
        return None
    from kdtutor.diagnosis import diagnose

    def whole(student: Tensor, teacher: Tensor, labels: Tensor, temperature: float, alpha: float) -> Tensor:
        return loss(student, teacher, labels, temperature, alpha)

    def soft(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        return loss(student, teacher, temperature)

    try:
        found = diagnose(whole if name == "distillation_loss" else soft, alpha="soft")
    except Exception:  # it calls the loss on inputs of its own
        return None
    told = [one.what.rstrip(".") for one in found.mistakes if one.name not in _ELSEWHERE]
    return "; and ".join([*told[:1], *map(_inside, told[1:])])


def _first(name: str, function: Callable, given: list[Outcome], wanted: list[Outcome], wrong: list[int]) -> str:
    """The first call in which something can be told of how it differs, or what all that differ have in common."""
    calls = {place: asked(function, CALLS[name][place]) for place in wrong}
    pairs = {place: (given[place].returned, wanted[place].returned) for place in wrong}
    differing = [place for place in wrong if not same(*pairs[place])]
    if not differing:
        return f"{calls[wrong[0]]}: {_left(given[wrong[0]], wanted[wrong[0]])}"
    for place in differing:
        if sentence := misfit(*pairs[place]):
            return f"{calls[place]}: {sentence}"
    constants = {"the batch size": len(CALLS[name][0][0])} if name in LOSSES else {}
    sentence = common(*zip(*(pairs[place] for place in differing), strict=True), constants)
    if sentence and len(differing) > 1:
        return f"in all calls that differ: {sentence}"
    return f"{calls[differing[0]]}: {sentence or difference(*pairs[differing[0]])}"


def _left(given: Outcome, wanted: Outcome) -> str:
    """How the models were left, where the value returned is right: the student is the first of them."""
    for who, one, other in zip(("student", "teacher"), given.left, wanted.left, strict=True):
        if not same(one[2], other[2]):
            left = "aren't where one step of gradient descent leads" if who == "student" else "have moved"
            return f"the value is right, but the {who}'s weights {left}"
        if one[0] != other[0]:
            return f"the value is right, but the {who} is left in {'train' if one[0] else 'eval'} mode"
    return "the value is right, but the teacher got gradients"


def _short(text: str, length: int = 160) -> str:
    text = " ".join(text.split())
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _inside(text: str) -> str:
    """A sentence that goes on: with a small letter, unless it begins with a name or a formula."""
    first = re.match(r"\w*", text)[0]
    return f"{text[0].lower()}{text[1:]}" if first == "A" or first[1:].islower() else text


def _sentence(text: str) -> str:
    """With a stop, and a capital unless it begins with a name or a formula."""
    first = re.match(r"\w*", text)[0]
    plain = first == "a" or (first.isalpha() and len(first) > 1 and first not in {"alpha", "argmax", "exp", "lr"})
    return f"{text[0].upper() if plain else text[0]}{text[1:]}" + "." * (text[-1] not in ".?!…")
