"""Notebooks in nbgrader's format: read, written, and what nbgrader's metadata says of a cell.

A cell is the student's (a solution, or a code cell that isn't locked) or the instructor's (a test, or locked).
"""

import re
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode


def _marked(what: str) -> re.Pattern[str]:
    """What an instructor's cell marks as "SOLUTION" or "HIDDEN TESTS", with both marks; the groups are what stands
    before the first mark (the indent) and the lines between them."""
    return re.compile(
        rf"^([^\n]*)### BEGIN {what}[^\n]*\n(.*?)^[^\n]*### END {what}[^\n]*\n?", re.DOTALL | re.MULTILINE
    )


SOLUTION = _marked("SOLUTION")
HIDDEN_TESTS = _marked("HIDDEN TESTS")


def read(path: Path) -> NotebookNode:
    """A notebook, in today's format."""
    return nbformat.read(path, as_version=4)


def to_bytes(notebook: NotebookNode) -> bytes:
    """The content of the notebook's file."""
    return f"{nbformat.writes(notebook)}\n".encode()


def metadata(cell: NotebookNode) -> dict[str, Any]:
    """What nbgrader knows of a cell; empty if it knows nothing."""
    return cell.metadata.get("nbgrader", {})


def cell_name(cell: NotebookNode) -> str | None:
    """The name (nbgrader's grade_id) of a cell that has one."""
    return metadata(cell).get("grade_id")


def is_solution(cell: NotebookNode) -> bool:
    """Whether the student is to answer in this cell."""
    return bool(metadata(cell).get("solution"))


def is_graded(cell: NotebookNode) -> bool:
    """Whether there are points for this cell: it is a test."""
    return bool(metadata(cell).get("grade"))


def is_editable(cell: NotebookNode) -> bool:
    """Whether this cell is the student's: to write in, and to be run in the sandbox."""
    return is_solution(cell) or not (metadata(cell).get("locked") or is_graded(cell))


def solution_and_test_names(notebook: NotebookNode) -> set[str]:
    """The names of the cells that an assignment consists of."""
    return {cell_name(cell) for cell in notebook.cells if is_solution(cell) or is_graded(cell)}
