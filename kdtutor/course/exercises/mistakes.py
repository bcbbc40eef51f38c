"""The known mistakes of all exercises, as functions: their names are the keys, here and in `words.md`."""

from collections.abc import Callable

from kdtutor.course.exercises import (
    mistakes_in_divergences,
    mistakes_in_measuring,
    mistakes_in_targets,
    mistakes_in_training,
)

MISTAKES: dict[str, dict[str, Callable]] = {
    **mistakes_in_targets.MISTAKES,
    **mistakes_in_divergences.MISTAKES,
    **mistakes_in_training.MISTAKES,
    **mistakes_in_measuring.MISTAKES,
}
