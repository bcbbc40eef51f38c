"""Which names the cells of a notebook bind, and which of them the tests may see."""

import ast
import builtins
from collections.abc import Iterator
from typing import Any

from nbformat import NotebookNode

from kdtutor.grading.notebooks import is_editable

IPYTHONS = {"get_ipython", "display", "In", "Out"}  # names that IPython binds in every notebook
IMPORTS = ast.Import | ast.ImportFrom
DEFINITIONS = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
OWN_SCOPES = ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


def visible_to_tests(source: NotebookNode) -> dict[str, Any]:
    """What the tests may see of the students' cells, from the instructor's notebook.

    "names": those that the instructor binds in the students' cells, and in no locked one. "imports": the import
    statements of the students' cells, for the tests' own kernel.
    """
    students: set[str] = set()
    instructors: set[str] = set()
    imports = []
    for cell in source.cells:
        if cell.cell_type != "code":
            continue
        tree = _parse(cell.source)
        if not is_editable(cell):
            instructors.update(bound_names(tree))
            continue
        students.update(bound_names(tree))
        for statement in tree.body:
            if isinstance(statement, IMPORTS):
                imports.append(ast.unparse(statement))
                instructors.update(bound_names(statement))  # the kernel makes the import itself

    hidden = instructors | {*vars(builtins)} | IPYTHONS
    names = [name for name in students - hidden if not name.startswith("_")]
    return {"names": sorted(names), "imports": "\n".join(imports)}


def _parse(source: str) -> ast.Module:
    from IPython.core.inputtransformer2 import TransformerManager

    return ast.parse(TransformerManager().transform_cell(source))


def bound_names(tree: ast.AST) -> Iterator[str]:
    """The names that code binds where it stands: not those that its functions bind inside."""
    if isinstance(tree, IMPORTS):
        for alias in tree.names:
            yield (alias.asname or alias.name).split(".")[0]
        return
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, DEFINITIONS):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif not isinstance(node, OWN_SCOPES):
            yield from bound_names(node)
