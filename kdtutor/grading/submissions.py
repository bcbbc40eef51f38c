"""What students hand in, read with mistrust: folders and files that may be missing, misnamed or broken."""

import contextlib
from pathlib import Path
from typing import Any, NamedTuple

from kdtutor.grading.notebooks import read, solution_and_test_names

MAX_NOTEBOOK_BYTES = 20 << 20  # 20 MiB


class Submission(NamedTuple):
    """One student's file for one assignment. The file may be missing."""

    student: str
    assignment: str
    file: Path


def find(folder: Path, assignments: dict[str, Path]) -> list[Submission]:
    """One submission per student and assignment, of the assignments that anyone has handed in.

    Raises ValueError if there is no student's folder, or no submission in any.
    """
    students = []
    for path in sorted(folder.glob("*")):
        if path.is_dir() and not path.name.startswith("."):
            students.append(path)
    if not students:
        raise ValueError(f"submissions must be a folder with a folder for each student, got {folder}")

    submissions = []
    for name, path in assignments.items():
        wanted_cells = solution_and_test_names(read(path))
        of_this_assignment = []
        anyone_tried = False
        for student in students:
            file = _file(student, name, wanted_cells, {*assignments})
            of_this_assignment.append(Submission(student.name, name, file))
            if file.exists() or (student / name).exists():
                anyone_tried = True
        if anyone_tried:
            submissions += of_this_assignment
    if not submissions:
        raise ValueError(
            f"submissions must hold STUDENT/NAME/NAME.ipynb, NAME of {', '.join(assignments)}, got {folder}"
        )
    return sorted(submissions)


def _file(student: Path, name: str, wanted_cells: set[str], assignments: set[str]) -> Path:
    """Where the notebook should be, or the only other file that holds the assignment's cells: "NAME (1).ipynb"."""
    folders = (student / name, student)
    expected = [folder / f"{name}.ipynb" for folder in folders]
    for file in expected:
        if file.exists():
            return file

    others = []
    for folder in folders:
        for file in folder.glob("*.ipynb"):
            if file.stem not in assignments and _holds_any(file, wanted_cells):
                others.append(file)
    return others[0] if len(others) == 1 else expected[0]


def _holds_any(file: Path, names: set[str]) -> bool:
    """Whether a file is a notebook with a cell of one of these names."""
    with contextlib.suppress(ValueError, OSError):
        for cell in cells_of(file):
            if claimed_name(cell) in names:
                return True
    return False


def claimed_name(cell: dict[str, Any]) -> str | None:
    """The name of a cell that was handed in, whatever stands in its metadata."""
    kind = cell["metadata"].get("nbgrader")
    name = kind.get("grade_id") if isinstance(kind, dict) else None
    return name if isinstance(name, str) else None


def cells_of(file: Path) -> list[dict[str, Any]]:
    """The cells of a notebook that was handed in. ValueError, one sentence, if it is none."""
    if not file.exists():
        raise ValueError(_missing(file))
    if file.is_symlink() or not file.is_file() or file.stat().st_size > MAX_NOTEBOOK_BYTES:
        raise ValueError(f"{file.name} must be a file of at most {MAX_NOTEBOOK_BYTES >> 20} MB")
    if not file.stat().st_size:
        raise ValueError(f"{file.name} is empty")
    try:
        cells = []
        for cell in read(file).cells:
            if isinstance(cell["source"], str) and isinstance(cell["metadata"], dict):
                cells.append(dict(cell))
        return cells
    except Exception as error:  # a file can be wrong in any way
        raise ValueError(f"{file.name} isn't a notebook ({type(error).__name__})") from None


def _missing(file: Path) -> str:
    """That a file isn't there, and which files are."""
    files_above = [path for path in file.parent.parent.glob("*") if path.is_file()]
    others = set()
    for path in (*file.parent.glob("*"), *files_above):
        if not path.name.startswith("."):
            others.add(path.name)
    sentence = f"no {file.name} was handed in"
    if others:
        sentence += f", but {', '.join(sorted(others))}"
    return sentence
