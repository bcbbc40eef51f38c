"""The exercises of the notebooks: check a solution, get a hint, see the model answer, see what is open."""

from kdtutor.course.exercises.checking import EXERCISES, check, hint, progress, solution

__all__ = ["EXERCISES", "check", "hint", "progress", "solution"]
