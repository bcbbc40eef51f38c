"""The exercises of the notebooks: a learner's function is run on fixed calls, and what differs is named::

    exercises.check("soften", my_soften)    # right? else: which mistake is it, and a hint
    exercises.hint("soften")                # more of a hint
    exercises.solution("soften")            # the model answer
    exercises.progress()                    # what is solved, in all notebooks, and what is open

A stub that still returns ``...`` is 'not filled in yet', so an untouched notebook runs from top to bottom.
"""

from kdtutor.course.exercises.checking import check, hint, progress, solution
from kdtutor.course.exercises.words import EXERCISES

__all__ = ["EXERCISES", "check", "hint", "progress", "solution"]
