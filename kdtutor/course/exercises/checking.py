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
from kdtutor.course.exercises.record import remember, solved
from kdtutor.course.exercises.words import EXERCISES, as_sentence, exercise

FINALE = "notebooks/assignments/distillation.ipynb"


def check(name: str, solution: Callable) -> None:
    """Print whether `solution` is right and what to try next, or which mistake it makes and a hint.

    What a function returns is compared, a loss's gradient in the student's logits, and what a function does to its
    arguments, models among them (weights, train or eval mode). What it prints is held back. Raises ValueError for a
    name that isn't an exercise, TypeError for a solution that isn't a function.
    """
    words = exercise(name)
    if not callable(solution):
        raise TypeError(f"solution must be a function, got {describe_type(solution)}")

    with contextlib.redirect_stdout(io.StringIO()) as printed:
        problem = problem_with(name, solution)

    if problem is None:
        remember(name)
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
    """Print what has been solved, notebook by notebook, and what is open. What was solved once stays so, in later
    sessions too: `record.py` says where that is kept."""
    by_notebook: dict[int, list[str]] = {}
    for name, words in EXERCISES.items():
        by_notebook.setdefault(words.notebook, []).append(name)

    done = solved()
    print("notebook  solved  open")
    for notebook, names in sorted(by_notebook.items()):
        still_open = [name for name in names if name not in done]
        count = len(names) - len(still_open)
        print(f"{notebook:02}        {count} of {len(names)}  {', '.join(still_open) or '-'}")

    still_open = [name for name in EXERCISES if name not in done]
    if still_open:
        following = f"Next: {still_open[0]}, in notebook {EXERCISES[still_open[0]].notebook}. The finale is"
    else:
        following = "What comes now is the finale,"
    count = len(EXERCISES) - len(still_open)
    print(f"{count} of {len(EXERCISES)} are solved. {following} a distillation of your own: {FINALE}")
