"""Marks: for one assignment of one student, and for a class as a table."""

import csv
import io
from dataclasses import dataclass, field
from typing import NamedTuple

from kdtutor._text import text_table

COLUMNS = ("student", "assignment", "score", "max_score", "mistakes")
FORMULA_STARTS = tuple("=+-@\t\r")  # a spreadsheet takes a cell that begins with one of them for a formula
MISTAKE_CHARACTERS = 90  # of a mistake that the table shows


class TestMark(NamedTuple):
    """A test cell's points, and why they aren't all that it gives; an empty reason if they are."""

    name: str
    points: float
    max_points: float
    reason: str


@dataclass
class Mark:
    """One student's assignment: score of max_score points, and the sentences that say what they were lost for."""

    student: str
    assignment: str
    score: float
    max_score: float
    mistakes: tuple[str, ...] = ()
    tests: list[TestMark] = field(default_factory=list, repr=False)
    notes: tuple[str, ...] = ()

    def feedback(self) -> str:
        """For the student, in Markdown."""
        lines = [f"# {self.assignment}: {self.score:g} of {self.max_score:g} points", ""]
        general = self.notes if self.tests else self.mistakes  # each test below names its own mistake
        lines += [f"- {sentence}" for sentence in general]
        for test in self.tests:
            lines += ["", f"## {test.name}: {test.points:g} of {test.max_points:g}", ""]
            lines.append(test.reason or "All tests pass.")
        return "\n".join(lines) + "\n"

    def first_mistake(self) -> str:
        """The first mistake, cut, and how many more there are; empty if there is none."""
        if not self.mistakes:
            return ""
        sentence = self.mistakes[0][:MISTAKE_CHARACTERS]
        more = len(self.mistakes) - 1
        return f"{sentence} (and {more} more)" if more else sentence


@dataclass
class Marks:
    """All marks; prints as a table."""

    rows: list[Mark]

    def __repr__(self) -> str:
        rows = []
        for mark in self.rows:
            points = f"{mark.score:g}/{mark.max_score:g}"
            rows.append((mark.student, mark.assignment, points, mark.first_mistake()))
        return text_table(("student", "assignment", "points", "mistakes"), rows, left=4)

    def csv(self) -> str:
        """One row per mark: student, assignment, score, max_score, mistakes. No cell is a formula to a spreadsheet."""
        text = io.StringIO(newline="")
        table = csv.writer(text)
        table.writerow(COLUMNS)
        for mark in self.rows:
            cells = (
                mark.student,
                mark.assignment,
                f"{mark.score:g}",
                f"{mark.max_score:g}",
                " | ".join(mark.mistakes),
            )
            table.writerow([_no_formula(cell) for cell in cells])
        return text.getvalue()


def _no_formula(cell: str) -> str:
    return f"'{cell}" if cell.startswith(FORMULA_STARTS) else cell
