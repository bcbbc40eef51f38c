"""What students hand in, read with mistrust: files that may be missing or broken, and the one thing that counts in
them, the source of the students' own cells. Knows nothing of nbgrader but the names in the cells' metadata."""

import ast
import builtins
import contextlib
import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

LARGEST = 20 << 20  # bytes of a notebook that is handed in
IMPORT = re.compile(r"^(?:import |from .+? import (?:\([^)]{,2000}\))?).*", re.MULTILINE)  # at the margin


def read(path: Path) -> NotebookNode:
    """A notebook, in the format of today."""
    return nbformat.read(path, as_version=4)


def about(cell: NotebookNode) -> dict[str, Any]:
    """What nbgrader knows of a cell."""
    return cell.metadata.get("nbgrader", {})


def _name(cell: dict[str, Any]) -> str | None:
    """The name of a cell that was handed in, whatever stands in its metadata."""
    kind = cell["metadata"].get("nbgrader")
    name = kind.get("grade_id") if isinstance(kind, dict) else None
    return name if isinstance(name, str) else None


def _graded(notebook: NotebookNode) -> set[str]:
    """The names of the answers and the tests."""
    kinds = map(about, notebook.cells)
    return {kind["grade_id"] for kind in kinds if kind.get("solution") or kind.get("grade")}


def handed_in(submissions: Path, found: dict[str, Path]) -> list[tuple[str, str, Path]]:
    """Each student with each assignment that anyone has handed in: student, assignment, file (perhaps missing)."""
    students = sorted(p for p in submissions.glob("*") if p.is_dir() and not p.name.startswith("."))
    if not students:
        raise ValueError(f"submissions must be a folder with a folder for each student, got {submissions}")
    places = {}
    for name, path in found.items():
        graded = _graded(read(path))
        places[name] = [(student, _place(student, name, graded, {*found})) for student in students]
    wanted = [name for name, files in places.items() if any(file.exists() or (s / name).exists() for s, file in files)]
    if not wanted:
        raise ValueError(
            f"submissions must hold STUDENT/NAME/NAME.ipynb, NAME of {', '.join(found)}, got {submissions}"
        )
    return sorted((student.name, name, file) for name in wanted for student, file in places[name])


def _place(student: Path, name: str, graded: set[str], assignments: set[str]) -> Path:
    """Where it should be, or the only other file that holds the assignment's cells: "NAME (1).ipynb"."""
    folders = (student / name, student)
    right = [folder / f"{name}.ipynb" for folder in folders]
    there = [file for file in right if file.exists()]
    if there:
        return there[0]
    others = [file for folder in folders for file in folder.glob("*.ipynb") if file.stem not in assignments]
    there = [file for file in others if _holds(file, graded)]
    return there[0] if len(there) == 1 else right[0]


def _holds(file: Path, names: set[str]) -> bool:
    with contextlib.suppress(ValueError, OSError):
        return any(_name(cell) in names for cell in cells_of(file))
    return False


def cells_of(file: Path) -> list[dict[str, Any]]:
    """The cells of a notebook that was handed in. ValueError, one sentence, if it is none."""
    if not file.exists():
        others = [*file.parent.glob("*"), *filter(Path.is_file, file.parent.parent.glob("*"))]
        others = sorted({path.name for path in others if not path.name.startswith(".")})
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
    """The notebook that was handed out with the student's sources in it; the names of answers that were missing, and of
    locked code cells that were missing or changed. ValueError if no name of an answer or a test is found.

    A solution cell takes the source of the last cell of its name; other code cells of the student's come where they
    stood, and so do imports that were written into a locked cell. Locked cells, and everything but sources (tags,
    names, kernel), are those that were handed out.
    """
    own = {about(cell).get("grade_id"): cell for cell in released.cells if about(cell).get("grade_id")}
    answers: dict[str, str] = {}
    more: dict[str | None, list[str]] = {}  # further cells, by the cell that they come after
    changed, after = set(), None
    for cell in submission:
        name, source = _name(cell), cell["source"]
        if name in own:
            after, kind = name, about(own[name])
            if not kind.get("solution") and source.strip() != own[name].source.strip():
                changed.add(name)
                known = IMPORT.findall(own[name].source)
                imports = [line for line in IMPORT.findall(source) if line not in known]
                if imports and not kind.get("grade") and own[name].cell_type == "code":
                    more.setdefault(name, []).append("\n".join(imports))
            answers[name] = source
        elif cell.get("cell_type") == "code":
            more.setdefault(after, []).append(cell["source"])
    if not _graded(released) & {*answers}:
        raise ValueError(
            "none of the assignment's cells can be found: their names (metadata) are gone, as when cells are copied "
            "into a new notebook, so nothing was graded"
        )
    notebook = nbformat.v4.new_notebook(metadata=copy.deepcopy(released.metadata))
    notebook.cells += [nbformat.v4.new_code_cell(source) for source in more.get(None, [])]
    for cell in copy.deepcopy(released.cells):
        name = about(cell).get("grade_id")
        if about(cell).get("solution"):
            cell.source = answers.get(name, cell.source)
        if name or cell.cell_type != "code":  # code cells without a name are the student's: they come from there
            notebook.cells.append(cell)
        notebook.cells += [nbformat.v4.new_code_cell(source) for source in more.get(name, []) if name]
    codes = [name for name, cell in own.items() if cell.cell_type == "code"]
    missing = [name for name in codes if name not in answers and about(own[name]).get("solution")]
    restored = [name for name in codes if name in changed or (name not in answers and name not in missing)]
    return notebook, missing, restored


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
