"""A finding: a known mistake in words, what it does to training, and the corrected line; and a report of several."""

from collections.abc import Iterable
from dataclasses import dataclass

from kdtutor._text import wrap


@dataclass(frozen=True, repr=False)
class Finding:
    """One thing that was found.

    Attributes:
        name: its short name, which `meant` accepts, such as "reduction_mean".
        what: a sentence on what is done.
        effect: a sentence on what that does to training.
        fix: the corrected line of code, or a sentence where no line says it; a note has none.
    """

    name: str
    what: str
    effect: str
    fix: str

    def __repr__(self) -> str:
        instead = f"\n    Instead: {self.fix}" if self.fix else ""
        return f"{wrap(f'{self.name}: {self.what}', 4)}\n{wrap(f'    Effect: {self.effect}', 8)}{instead}"


def listed(mistakes: Iterable[Finding], notes: Iterable[Finding] = ()) -> str:
    """Findings as text: mistakes first, numbered and whole; notes a line each."""
    lines = [f"Mistake {number}, {mistake!r}" for number, mistake in enumerate(mistakes, start=1)]
    return "\n".join([*lines, *(wrap(f"Note, {note.name}: {note.what} {note.effect}", 4) for note in notes)])
