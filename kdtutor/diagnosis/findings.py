"""A finding: a known mistake in words, what it does to training, and the corrected line; and a report of several."""

from collections.abc import Iterable
from dataclasses import dataclass

from kdtutor._text import wrap


@dataclass(frozen=True, repr=False)
class Finding:
    """One mistake, or one thing worth a note.

    Attributes:
        name: its short name, which `meant` accepts, such as "reduction_mean".
        what: a sentence on what is done.
        effect: a sentence on what that does to training.
        fix: the corrected line of code, or a sentence where no line says it; a note has none.
    """

    name: str
    what: str
    effect: str
    fix: str = ""

    def __repr__(self) -> str:
        lines = [wrap(f"{self.name}: {self.what}", 4), wrap(f"    Effect: {self.effect}", 8)]
        if self.fix:
            lines.append(f"    Instead: {self.fix}")
        return "\n".join(lines)


@dataclass(frozen=True, repr=False)
class Report:
    """Mistakes and notes, with lines above and below them: text in print(), Markdown in a notebook.

    A subclass says what stands in those lines.

    Attributes:
        mistakes: what is wrong.
        notes: what may be meant, or can't be settled from outside.
    """

    mistakes: tuple[Finding, ...]
    notes: tuple[Finding, ...]

    def lines_above(self, code: str) -> list[str]:
        """The verdict first: Markdown sets it in bold. `code` is the mark around code: a backtick, or none in text."""
        return []

    def lines_below(self) -> list[str]:
        return []

    def __repr__(self) -> str:
        lines = self.lines_above(code="")
        if self.mistakes or self.notes:
            lines.append(listed(self.mistakes, self.notes))
        for line in self.lines_below():
            lines.append(wrap(line, 4))
        return "\n".join(lines)

    def _repr_markdown_(self) -> str:
        paragraphs = self.lines_above(code="`")
        if paragraphs:
            paragraphs[0] = f"**{paragraphs[0]}**"

        for kind, findings in (("Mistake", self.mistakes), ("Note", self.notes)):
            for finding in findings:
                paragraphs.append(f"{kind} `{finding.name}`: {finding.what} {finding.effect}")
                if finding.fix:
                    paragraphs.append(f"```python\n{finding.fix}\n```")

        return "\n\n".join([*paragraphs, *self.lines_below()])


def listed(mistakes: Iterable[Finding], notes: Iterable[Finding] = ()) -> str:
    """Findings as text: mistakes first, numbered and whole; then one line per note."""
    lines = [f"Mistake {number}, {mistake!r}" for number, mistake in enumerate(mistakes, start=1)]
    for note in notes:
        lines.append(wrap(f"Note, {note.name}: {note.what} {note.effect}", 4))
    return "\n".join(lines)
