"""What a learner calls: check a function, get a hint, see the model answer, see what is open."""

import contextlib
import inspect
import io
from collections.abc import Callable
from pathlib import Path

from kdtutor._check import describe_type
from kdtutor.course.answers import UNFILLED
from kdtutor.course.exercises.calls import CALLS
from kdtutor.course.exercises.comparison import problem_with
from kdtutor.course.exercises.words import EXERCISES, as_sentence, exercise

_solved: set[str] = set()


def check(name: str, solution: Callable) -> None:
    """Print whether `solution` is right and what to try next, or which mistake it makes and a hint.

    What a function returns is compared, a loss's gradient in the student's logits, and what a function does to its
    arguments, models among them (weights, train or eval mode). What it prints is held back. Raises ValueError for a
    name that isn't an exercise, TypeError for a solution that isn't a function.
    """
    words = exercise(name)
    if not callable(solution):
        raise TypeError(f"solution must be a function, got {describe_type(solution)}")

    _solved.discard(name)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        problem = problem_with(name, solution)

    if problem is None:
        _solved.add(name)
        count = len(CALLS[name])
        print(f"{name}: correct, in {count} of {count} calls.\nNext: {words.next}")
    elif problem == UNFILLED:
        print(f'{name}: {UNFILLED}. Put your code where `...` stands; exercises.hint("{name}") helps.')
    else:
        print(f'{name}: not yet. {as_sentence(problem)}\nHint: {words.hint} More: exercises.hint("{name}")')

    lines = printed.getvalue().splitlines()
    if lines:
        count = "1 line" if len(lines) == 1 else f"{len(lines)} lines"
        print(f"(Your function printed {count}, beginning {lines[0][:60]!r}.)")


def hint(name: str) -> None:
    """Print the full hint of an exercise, which isn't the solution. Raises ValueError for another name."""
    words = exercise(name)
    print(f"{name}: {words.hint}\n{words.more}")


def solution(name: str) -> None:
    """Print the model answer's source. A copy of the course may come without `solutions.py`: then it says so.

    Raises ValueError for a name that isn't an exercise.
    """
    exercise(name)
    if not Path(__file__).with_name("solutions.py").is_file():
        print("This copy of the course comes without solutions.")
        return
    from kdtutor.course.exercises import solutions

    print(inspect.getsource(getattr(solutions, name)).rstrip())


def progress() -> None:
    """Print what has been solved, notebook by notebook, since this kernel was started, and what is open."""
    by_notebook: dict[int, list[str]] = {}
    for name, words in EXERCISES.items():
        by_notebook.setdefault(words.notebook, []).append(name)

    print("notebook  solved  open")
    for notebook, names in sorted(by_notebook.items()):
        still_open = [name for name in names if name not in _solved]
        solved = len(names) - len(still_open)
        print(f"{notebook:02}        {solved} of {len(names)}  {', '.join(still_open) or '-'}")
    print(f"In this session {len(_solved)} of {len(EXERCISES)} are solved; a notebook has a session of its own.")
