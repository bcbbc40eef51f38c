"""What students hand in, read with mistrust: files that may be missing or broken, and the one thing that counts in
them, the source of the students' own cells. Knows nothing of nbgrader but the names in the cells' metadata."""

import ast
import builtins
import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

LARGEST = 20 << 20  # bytes of a notebook that is handed in


def read(path: Path) -> NotebookNode:
    """A notebook, in the format of today."""
    return nbformat.read(path, as_version=4)


def about(cell: NotebookNode) -> dict[str, Any]:
    """What nbgrader knows of a cell."""
    return cell.metadata.get("nbgrader", {})


def handed_in(submissions: Path, found: dict[str, Path]) -> list[tuple[str, str, Path]]:
    """Each student with each assignment that anyone has handed in: student, assignment, file (perhaps missing)."""
    students = sorted(p for p in submissions.glob("*") if p.is_dir() and not p.name.startswith("."))
    if not students:
        raise ValueError(f"submissions must be a folder with a folder for each student, got {submissions}")
    places = {name: [(student, _place(student, name)) for student in students] for name in found}
    wanted = [name for name, files in places.items() if any(file.exists() or (s / name).exists() for s, file in files)]
    if not wanted:
        raise ValueError(
            f"submissions must hold STUDENT/NAME/NAME.ipynb, NAME of {', '.join(found)}, got {submissions}"
        )
    return sorted((student.name, name, file) for name in wanted for student, file in places[name])


def _place(student: Path, name: str) -> Path:
    nested, flat = student / name / f"{name}.ipynb", student / f"{name}.ipynb"
    return flat if flat.exists() and not nested.exists() else nested


def cells_of(file: Path) -> list[dict[str, Any]]:
    """The cells of a notebook that was handed in. ValueError, one sentence, if it is none."""
    if not file.exists():
        others = sorted(path.name for path in file.parent.glob("*"))
        raise ValueError(f"no {file.name} was handed in" + f", but {', '.join(others)}" * bool(others))
    if file.is_symlink() or not file.is_file() or file.stat().st_size > LARGEST:
        raise ValueError(f"{file.name} must be a file of at most {LARGEST >> 20} MB")
    if not file.stat().st_size:
        raise ValueError(f"{file.name} is empty")
    try:
        cells = [dict(cell) for cell in read(file).cells]
        return [cell for cell in cells if isinstance(cell["source"], str) and isinstance(cell["metadata"], dict)]
    except Exception as error:  # a file can be wrong in any way
        raise ValueError(f"{file.name} isn't a notebook ({type(error).__name__})") from None


def assembled(released: NotebookNode, submission: list[dict[str, Any]]) -> tuple[NotebookNode, list[str], list[str]]:
    """The notebook that was handed out with the student's sources in it; the names of code cells that were missing,
    and of locked ones that were changed.

    A solution cell takes the source of the last cell of its name; other code cells of the student's come where they
    stood. Locked cells, and everything but sources (tags, names, kernel), are those that were handed out.
    """
    own = {about(cell).get("grade_id"): cell for cell in released.cells if about(cell).get("grade_id")}
    answers: dict[str, str] = {}
    more: dict[str | None, list[str]] = {}  # further cells, by the cell that they come after
    changed, after = [], None
    for cell in submission:
        kind = cell["metadata"].get("nbgrader")
        name = kind.get("grade_id") if isinstance(kind, dict) else None
        if isinstance(name, str) and name in own:
            after = name
            if not about(own[name]).get("solution"):
                changed += [name] * (cell["source"].strip() != own[name].source.strip())
            answers[name] = cell["source"]
        elif cell.get("cell_type") == "code":
            more.setdefault(after, []).append(cell["source"])
    notebook = nbformat.v4.new_notebook(metadata=copy.deepcopy(released.metadata))
    notebook.cells += [nbformat.v4.new_code_cell(source) for source in more.get(None, [])]
    for cell in copy.deepcopy(released.cells):
        name = about(cell).get("grade_id")
        if about(cell).get("solution"):
            cell.source = answers.get(name, cell.source)
        if name or cell.cell_type != "code":  # code cells without a name are the student's: they come from there
            notebook.cells.append(cell)
        notebook.cells += [nbformat.v4.new_code_cell(source) for source in more.get(name, []) if name]
    missing = [name for name in own if name not in answers and own[name].cell_type == "code"]
    return notebook, missing, changed


def handed_over(source: NotebookNode) -> dict[str, Any]:
    """What the tests may see of the students' cells: the names that the instructor binds in those cells, and in no
    locked one; and the imports of those cells, for the tests' own kernel."""
    locked, free, imports = set(), set(), []
    for cell in source.cells:
        if cell.cell_type == "code":
            kind = about(cell)
            students = kind.get("solution") or not (kind.get("locked") or kind.get("grade"))
            tree = _parsed(cell.source)
            (free if students else locked).update(bound(tree))
            for node in tree.body if students else ():
                if isinstance(node, ast.Import | ast.ImportFrom):
                    imports.append(ast.unparse(node))
                    locked.update(bound(node))
    never = locked | {*vars(builtins)} | {"get_ipython", "display", "In", "Out"}
    return {"names": sorted(name for name in free - never if not name.startswith("_")), "imports": "\n".join(imports)}


def _parsed(source: str) -> ast.Module:
    from IPython.core.inputtransformer2 import TransformerManager

    return ast.parse(TransformerManager().transform_cell(source))


def bound(tree: ast.AST) -> Iterator[str]:
    """The names that a cell binds, whatever its functions bind inside."""
    for node in ast.iter_child_nodes(tree) if not isinstance(tree, ast.Import | ast.ImportFrom) else [tree]:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((alias.asname or alias.name).split(".")[0] for alias in node.names)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif not isinstance(node, ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            yield from bound(node)
