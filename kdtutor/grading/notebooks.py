"""Notebooks in nbgrader's format: read, written, and what nbgrader's metadata says of a cell.

A cell is the student's (a solution, or a code cell that isn't locked) or the instructor's (a test, or locked).
"""

from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode


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


def is_students(cell: NotebookNode) -> bool:
    """Whether the student may write in this cell."""
    return is_solution(cell) or not (metadata(cell).get("locked") or is_graded(cell))


def solution_and_test_names(notebook: NotebookNode) -> set[str]:
    """The names of the cells that an assignment consists of."""
    return {cell_name(cell) for cell in notebook.cells if is_solution(cell) or is_graded(cell)}
