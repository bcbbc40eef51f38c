"""The graded assignments: where they are, and the versions that students get.

An assignment is a notebook in nbgrader's instructor format, with model answers and hidden tests that say which mistake
was made.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from kdtutor import _paths
from kdtutor._io import write
from kdtutor.grading.notebooks import HIDDEN_TESTS, SOLUTION, is_solution, read, to_bytes

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from kdtutor.grading.nbgrader_course import Course

STUB = "return ...  # your code here"  # instead of a solution
MARKERS = ("### BEGIN ", "### END ")


def find(sources: Path | None = None) -> dict[str, Path]:
    """The assignments by name, each with its instructor's notebook: all of sources/NAME.ipynb (by default the
    course's). Raises ValueError if there are none."""
    folder = Path(sources) if sources else _paths.in_checkout("notebooks") / "assignments"
    notebooks = {path.stem: path for path in sorted(folder.glob("*.ipynb"))}
    if not notebooks:
        raise ValueError(f"sources must be a folder with assignments (NAME.ipynb), got {folder}")
    return notebooks


def release(out: Path, sources: Path | None = None) -> list[Path]:
    """Write the students' version of each assignment to `out`: solutions and hidden tests are taken out, by nbgrader.

    Returns the files, out/NAME.ipynb. Raises ValueError if there are no assignments, RuntimeError if nbgrader isn't
    installed or fails, or if a line of a solution or hidden test were left; nothing is written then.
    """
    notebooks = find(sources)
    with open_course(notebooks) as course:
        released = {name: course.release(name) for name in notebooks}
    for name, notebook in released.items():
        _check_nothing_left(name, read(notebooks[name]), notebook)

    files = []
    for name, notebook in released.items():
        file = Path(out) / f"{name}.ipynb"
        write(file, to_bytes(notebook))
        files.append(file)
    return files


def open_course(notebooks: dict[str, Path]) -> "Course":
    """A course of nbgrader's with these assignments. Raises RuntimeError if nbgrader isn't installed."""
    try:
        from kdtutor.grading.nbgrader_course import Course
    except ImportError as error:
        raise RuntimeError(f"grading needs nbgrader (pip install nbgrader), but {error}") from error
    return Course(notebooks, STUB)


def _check_nothing_left(name: str, source: "NotebookNode", released: "NotebookNode") -> None:
    """RuntimeError if the students' version holds a marker, what stood between two of them, a solution without markers,
    or an output."""
    secrets = []
    for cell in source.cells:
        marked = []
        for region in (SOLUTION, HIDDEN_TESTS):
            marked += [match[2].strip() for match in region.finditer(cell.source)]
        if marked:
            secrets += marked
        elif is_solution(cell):
            secrets.append(cell.source.strip())

    whole = "\n".join(cell.source for cell in released.cells)
    for secret in (*secrets, *MARKERS):
        if secret and secret in whole:
            _refuse(name, secret.splitlines()[0])
    for cell in released.cells:
        if cell.get("outputs"):
            _refuse(name, "an output")


def _refuse(name: str, secret: str) -> None:
    raise RuntimeError(f"the students' version of {name} would still hold a secret: {secret}")
