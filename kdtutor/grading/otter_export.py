"""Assignments for otter-grader (and so for Gradescope), from the same notebooks that nbgrader takes.

Otter runs a student's code and the tests in one process: what `kdtutor.grading` separates isn't separate there. A test
cell without its hidden part becomes a visible test of no points, and the whole cell a hidden one.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook, new_raw_cell

from kdtutor._io import write
from kdtutor.grading import assignments
from kdtutor.grading.bindings import bound_names
from kdtutor.grading.notebooks import (
    HIDDEN_TESTS,
    SOLUTION,
    cell_name,
    is_graded,
    is_solution,
    metadata,
    read,
    to_bytes,
)

CONFIG = "# ASSIGNMENT CONFIG\nname: {name}\ninit_cell: true\nexport_cell:\n  pdf: false\n  run_tests: true"
TEST = '""" # BEGIN TEST CONFIG\npoints: {points}\nhidden: {hidden}\n""" # END TEST CONFIG\n{source}'
SOLUTION_FOR_OTTER = (
    r"\1# BEGIN SOLUTION NO PROMPT"
    r"\n\2\1# END SOLUTION"
    r'\n\1""" # BEGIN PROMPT'
    rf"\n\1{assignments.STUB}"
    r'\n\1""" # END PROMPT\n'
)


def export(out: Path, sources: Path | None = None) -> list[Path]:
    """Write a source notebook for `otter assign` of each assignment; returns the files, out/NAME.otter.ipynb.

    Raises ValueError if there are no assignments, or if a test cell comes before the first solution; nothing is written
    then.
    """
    notebooks = {}
    for name, path in assignments.find(sources).items():
        notebooks[name] = converted(name, read(path))
    files = []
    for name, notebook in notebooks.items():
        file = Path(out) / f"{name}.otter.ipynb"
        write(file, to_bytes(notebook))
        files.append(file)
    return files


def converted(name: str, source: NotebookNode) -> NotebookNode:
    """The notebook in otter's form: a question is a solution cell with the tests that follow it."""
    cells = [new_raw_cell(CONFIG.format(name=name))]
    question = []  # the cells of the question that is open, if any
    tests = []  # the sources of its tests so far
    for cell in source.cells:
        if is_solution(cell):
            cells += _closed(question)
            question = [new_raw_cell(f"# BEGIN QUESTION\nname: {cell_name(cell)}"), *_solution(cell)]
            tests = []
        elif is_graded(cell):
            if not question:
                raise ValueError(f"the test cell {cell_name(cell)} of {name} must come after a solution cell")
            question += _tests(cell, tests)
            tests.append(cell.source)
        else:
            cells += _closed(question)
            question = []
            cells.append(_without_outputs(cell))
    cells += _closed(question)

    for number, cell in enumerate(cells):
        cell.id = f"otter-{number}"
        cell.metadata = NotebookNode()
    return new_notebook(cells=cells, metadata=source.metadata)


def _closed(question: list[NotebookNode]) -> list[NotebookNode]:
    if not question:
        return []
    return [*question, new_raw_cell("# END TESTS"), new_raw_cell("# END QUESTION")]


def _without_outputs(cell: NotebookNode) -> NotebookNode:
    if cell.cell_type == "code":
        return NotebookNode(cell, outputs=[])
    return cell


def _solution(cell: NotebookNode) -> Iterator[NotebookNode]:
    yield new_raw_cell("# BEGIN SOLUTION")
    yield new_code_cell(SOLUTION.sub(SOLUTION_FOR_OTTER, cell.source).rstrip("\n"))
    yield new_raw_cell("# END SOLUTION")
    yield new_raw_cell("# BEGIN TESTS")


def _tests(cell: NotebookNode, earlier: list[str]) -> Iterator[NotebookNode]:
    """A test that students see and a hidden one; where nothing is hidden, one that they see."""
    points = metadata(cell)["points"]
    visible = HIDDEN_TESTS.sub("", cell.source)
    if visible == cell.source:
        yield _test(cell.source, earlier, points=points, hidden="false")
        return
    earlier_visible = [HIDDEN_TESTS.sub("", source) for source in earlier]
    yield _test(visible, earlier_visible, points=0, hidden="false")
    yield _test(cell.source, earlier, points=points, hidden="true")


def _test(source: str, earlier: list[str], *, points: float, hidden: str) -> NotebookNode:
    """A test stands alone in otter: before it goes each earlier one of the question that binds a name that it needs."""
    for before in reversed(earlier):
        tree = ast.parse(source)
        needed = _loaded_names(tree) - {*bound_names(tree)}
        if needed & {*bound_names(ast.parse(before))}:
            source = f"{before}\n{source}"
    return new_code_cell(TEST.format(source=_silent(source), points=points, hidden=hidden))


def _loaded_names(tree: ast.Module) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            names.add(node.id)
    return names


def _silent(source: str) -> str:
    return ast.unparse(ast.fix_missing_locations(_Silence().visit(ast.parse(source))))


class _Silence(ast.NodeTransformer):
    """Otter's tests are doctests: what they print or show would have to be the same each time."""

    def visit_Expr(self, node: ast.Expr) -> ast.stmt:
        if isinstance(node.value, ast.Call) and getattr(node.value.func, "id", "") == "print":
            return ast.Pass()
        return ast.Assign([ast.Name("_", ast.Store())], node.value)
