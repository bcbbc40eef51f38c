"""The notebook that is graded: the one that was handed out, with the sources of the student's own cells in it."""

import copy
import re
from typing import Any, NamedTuple

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook

from kdtutor.grading.notebooks import cell_name, is_graded, is_solution, solution_and_test_names
from kdtutor.grading.submissions import claimed_name

IMPORT = re.compile(r"^(?:import |from .+? import (?:\([^)]{,2000}\))?).*", re.MULTILINE)  # at the margin


class Assembled(NamedTuple):
    """A notebook to grade, and the names of cells that weren't handed in as they should be."""

    notebook: NotebookNode
    missing: list[str]  # solution cells that weren't there: they stay as they were handed out
    restored: list[str]  # locked code cells that were missing or changed


class _Sources(NamedTuple):
    """What is taken from a submission."""

    by_name: dict[str, str]  # the assignment's cells that are there
    added: dict[str | None, list[str]]  # further code cells, by the assignment's cell that they come after
    changed: set[str]  # the instructor's cells that have another source


def assemble(released: NotebookNode, submitted: list[dict[str, Any]]) -> Assembled:
    """Put a submission's sources into the notebook that was handed out. ValueError if no name of a solution cell or a
    test is found in it.

    A solution cell takes the source of the last cell of its name; other code cells of the student's come where they
    stood, and so do imports that were written into a locked cell. Locked cells, and everything but sources (tags,
    names, kernel), are those that were handed out.
    """
    handed_out = {cell_name(cell): cell for cell in released.cells if cell_name(cell)}
    sources = _sources(handed_out, submitted)
    if not solution_and_test_names(released) & {*sources.by_name}:
        raise ValueError(
            "none of the assignment's cells can be found: their names (metadata) are gone, as when cells are copied "
            "into a new notebook, so nothing was graded"
        )

    missing, restored = [], []
    for name, cell in handed_out.items():
        if cell.cell_type != "code":
            continue
        is_there = name in sources.by_name
        if is_solution(cell) and not is_there:
            missing.append(name)
        elif name in sources.changed or not is_there:
            restored.append(name)
    return Assembled(_notebook(released, sources), missing, restored)


def _sources(handed_out: dict[str, NotebookNode], submitted: list[dict[str, Any]]) -> _Sources:
    sources = _Sources({}, {}, set())
    after = None  # the assignment's cell that came last
    for cell in submitted:
        name, source = claimed_name(cell), cell["source"]
        if name in handed_out:
            after = name
            original = handed_out[name]
            sources.by_name[name] = source
            if not is_solution(original) and source.strip() != original.source.strip():
                sources.changed.add(name)
                imports = _new_imports(original, source)
                if imports:
                    sources.added.setdefault(name, []).append("\n".join(imports))
        elif cell.get("cell_type") == "code":
            sources.added.setdefault(after, []).append(source)
    return sources


def _new_imports(original: NotebookNode, source: str) -> list[str]:
    """The imports that a student wrote into a locked code cell which isn't a test."""
    if is_graded(original) or original.cell_type != "code":
        return []
    known = IMPORT.findall(original.source)
    return [line for line in IMPORT.findall(source) if line not in known]


def _notebook(released: NotebookNode, sources: _Sources) -> NotebookNode:
    notebook = new_notebook(metadata=copy.deepcopy(released.metadata))
    notebook.cells += _code_cells(sources.added.get(None, []))
    for cell in copy.deepcopy(released.cells):
        name = cell_name(cell)
        if is_solution(cell):
            cell.source = sources.by_name.get(name, cell.source)
        if name or cell.cell_type != "code":  # code cells without a name are the student's: they come from there
            notebook.cells.append(cell)
        if name:
            notebook.cells += _code_cells(sources.added.get(name, []))
    return notebook


def _code_cells(sources: list[str]) -> list[NotebookNode]:
    return [new_code_cell(source) for source in sources]
