"""Assignments for otter-grader (and so for Gradescope), from the same notebooks that nbgrader takes.

Otter runs a student's code and the tests in one process: what `kdtutor.grading` keeps apart isn't kept apart there. Of
a test cell without its hidden part a visible test of no points is made, and of the whole cell a hidden one.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook, new_raw_cell

from kdtutor._io import write
from kdtutor.grading.marking import STUB, assignments, text
from kdtutor.grading.submissions import about, bound, read

CONFIG = "# ASSIGNMENT CONFIG\nname: {name}\ninit_cell: true\nexport_cell:\n  pdf: false\n  run_tests: true"
TEST = '""" # BEGIN TEST CONFIG\npoints: {points}\nhidden: {hidden}\n""" # END TEST CONFIG\n{source}'
HIDDEN = re.compile(r"^[^\n]*### BEGIN HIDDEN TESTS.*?^[^\n]*### END HIDDEN TESTS[^\n]*\n?", re.DOTALL | re.MULTILINE)
SOLUTION = re.compile(r"^( *)### BEGIN SOLUTION\n(.*?)^ *### END SOLUTION", re.DOTALL | re.MULTILINE)
PROMPT = rf'\1# BEGIN SOLUTION NO PROMPT\n\2\1# END SOLUTION\n\1""" # BEGIN PROMPT\n\1{STUB}\n\1""" # END PROMPT'


def otter(out: Path, sources: Path | None = None) -> list[Path]:
    """Write a source notebook for `otter assign` of each assignment; returns the files, out/NAME.otter.ipynb.

    Raises ValueError if there are no assignments, or if a test cell comes before the first solution.
    """
    files = {
        Path(out) / f"{name}.otter.ipynb": converted(name, read(path)) for name, path in assignments(sources).items()
    }
    for file, notebook in files.items():
        write(file, text(notebook))
    return list(files)


def converted(name: str, source: NotebookNode) -> NotebookNode:
    """The notebook in otter's form: a question is a solution cell with the tests that follow it."""
    cells, question, earlier = [new_raw_cell(CONFIG.format(name=name))], [], []
    for cell in source.cells:
        kind = about(cell)
        if kind.get("solution"):
            cells += _closed(question)
            question = [new_raw_cell(f"# BEGIN QUESTION\nname: {kind['grade_id']}"), *_solution(cell)]
            earlier = []
        elif kind.get("grade"):
            if not question:
                raise ValueError(f"the test cell {kind['grade_id']} of {name} must come after a solution cell")
            question += _tests(cell, earlier)
            earlier.append(cell.source)
        else:
            cells += [*_closed(question), NotebookNode(cell, outputs=[]) if cell.cell_type == "code" else cell]
            question = []
    cells += _closed(question)
    for number, cell in enumerate(cells):
        cell.id = f"otter-{number}"
        cell.metadata = NotebookNode()
    return new_notebook(cells=cells, metadata=source.metadata)


def _closed(question: list[NotebookNode]) -> list[NotebookNode]:
    return [*question, new_raw_cell("# END TESTS"), new_raw_cell("# END QUESTION")] if question else []


def _solution(cell: NotebookNode) -> Iterator[NotebookNode]:
    yield new_raw_cell("# BEGIN SOLUTION")
    yield new_code_cell(SOLUTION.sub(PROMPT, cell.source))
    yield new_raw_cell("# END SOLUTION")
    yield new_raw_cell("# BEGIN TESTS")


def _tests(cell: NotebookNode, earlier: list[str]) -> Iterator[NotebookNode]:
    points, visible = about(cell)["points"], HIDDEN.sub("", cell.source)
    if visible != cell.source:
        yield _test(visible, [HIDDEN.sub("", source) for source in earlier], points=0, hidden="false")
    yield _test(cell.source, earlier, points=points, hidden="false" if visible == cell.source else "true")


def _test(source: str, earlier: list[str], **config: object) -> NotebookNode:
    """A test stands alone in otter: before it goes each earlier one of the question that binds a name that it needs."""
    for before in reversed(earlier):
        tree = ast.parse(source)
        loaded = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
        if loaded & {*bound(ast.parse(before))} - {*bound(tree)}:
            source = f"{before}\n{source}"
    return new_code_cell(TEST.format(source=_silent(source), **config))


class _Silence(ast.NodeTransformer):
    """Otter's tests are doctests: what they print or show would have to be the same each time."""

    def visit_Expr(self, node: ast.Expr) -> ast.stmt:
        if isinstance(node.value, ast.Call) and getattr(node.value.func, "id", "") == "print":
            return ast.Pass()
        return ast.Assign([ast.Name("_", ast.Store())], node.value)


def _silent(source: str) -> str:
    return ast.unparse(ast.fix_missing_locations(_Silence().visit(ast.parse(source))))
