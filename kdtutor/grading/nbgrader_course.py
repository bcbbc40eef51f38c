"""nbgrader, in a course folder that lasts as long as it is needed: student versions, and notebooks that are graded.

Imported by `assignments.open_course` when it is needed, as it asks for nbgrader. The two preprocessors see to it that
the kernel runs the instructor's cells only: `SendToSandbox` has the students' cells run there, and puts before each of
the instructor's what the sandbox must know; `RestoreSources` puts the notebook together again.
"""

import contextlib
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
from nbconvert.exporters.exporter import ResourcesDict
from nbformat import NotebookNode
from nbgrader import utils
from nbgrader.api import Gradebook
from nbgrader.apps import NbGraderAPI
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import CheckCellMetadata, Execute, IgnorePattern, NbGraderPreprocessor, SaveAutoGrades
from traitlets.config import Config

from kdtutor.grading.notebooks import read
from kdtutor.grading.sandbox.sandbox import CELL_SECONDS

NAME = "_kdtutor_sandbox"  # the sandbox's, in the kernel; students' cells can't bind it
FIRST = "import kdtutor.grading.sandbox.sandbox\n{name} = kdtutor.grading.sandbox.sandbox.Sandbox(globals())\n{imports}"
HELPER = {"helper": True}  # metadata of the cells that are put in for the run
KERNEL_SECONDS = 3600  # for a cell in the kernel; the students' cells have limits of their own
START_SECONDS = 120  # for a kernel to start, and for its outputs to arrive


class SendToSandbox(NbGraderPreprocessor):
    """The instructor's cells stay; a student's becomes a call that runs it in the sandbox."""

    def preprocess(self, notebook: NotebookNode, resources: ResourcesDict) -> tuple[NotebookNode, ResourcesDict]:
        """nbgrader calls this before `Execute`."""
        visible = notebook.metadata["kdtutor"]
        cells = [_helper(FIRST.format(name=NAME, imports=visible["imports"]))]
        test_seconds = CELL_SECONDS  # a test calls what was defined before: its time is that of the student's cell
        for cell in notebook.cells:
            if cell.cell_type != "code":
                cells.append(cell)
                continue

            own_seconds = cell.metadata.get("kdtutor", {}).get("seconds")
            seconds = own_seconds or CELL_SECONDS
            if utils.is_grade(cell) and utils.is_locked(cell):
                cells.append(_helper(f"{NAME}.begin_cell({own_seconds or test_seconds})"))
            elif utils.is_locked(cell):
                cells.append(_helper(f"{NAME}.setup({cell.source!r}, {seconds})"))
            else:
                if cell.metadata.get("nbgrader"):  # a cell that was added doesn't change a test's time
                    test_seconds = seconds
                cell.metadata["kdtutor"] = {"source": cell.source}
                cell.source = f"{NAME}.run({cell.source!r}, {visible['names']!r}, {seconds})"
            cells.append(cell)
        cells.append(_helper(f"{NAME}.close()"))
        notebook.cells = cells
        return notebook, resources


class RestoreSources(NbGraderPreprocessor):
    """The notebook as it was handed in, with what its cells put out."""

    def preprocess(self, notebook: NotebookNode, resources: ResourcesDict) -> tuple[NotebookNode, ResourcesDict]:
        """nbgrader calls this after `Execute`."""
        notebook.cells = [cell for cell in notebook.cells if cell.metadata.get("kdtutor") != HELPER]
        for cell in notebook.cells:
            cell.source = cell.metadata.get("kdtutor", {}).get("source", cell.source)
        return notebook, resources


def _helper(source: str) -> NotebookNode:
    return nbformat.v4.new_code_cell(source, metadata={"kdtutor": HELPER})


class Course:
    """A course folder of nbgrader's, with these assignments (each an instructor's notebook); gone when it is
    left. `stub` stands in the students' versions instead of a solution."""

    def __init__(self, notebooks: dict[str, Path], stub: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="kdtutor-course-")
        self.root = Path(self._folder.name)
        config = _config(self.root, stub)
        self._api = NbGraderAPI(CourseDirectory(config=config), config=config, log_level="CRITICAL")
        for name, path in notebooks.items():
            place = self.root / "source" / name / f"{name}.ipynb"
            place.parent.mkdir(parents=True)
            place.write_bytes(path.read_bytes())

    def __enter__(self) -> "Course":
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def release(self, name: str) -> NotebookNode:
        """The students' version; RuntimeError with nbgrader's words if there is none."""
        _run(self._api.generate_assignment, name)
        return read(self.root / "release" / name / f"{name}.ipynb")

    def grade(self, name: str, student: str, notebook: NotebookNode) -> NotebookNode:
        """Autograde a notebook that was handed in, and return it with its outputs; RuntimeError with nbgrader's words
        where that fails."""
        place = self.root / "submitted" / student / name / f"{name}.ipynb"
        place.parent.mkdir(parents=True)
        nbformat.write(notebook, place)
        _run(self._api.autograde, name, student)
        return read(self.root / "autograded" / student / name / f"{name}.ipynb")

    def points(self, name: str, student: str) -> tuple[float, float]:
        """What the gradebook says: the score, and the most that can be had."""
        with Gradebook(f"sqlite:///{self.root / 'gradebook.db'}") as book:
            submission = book.find_submission(name, student)
            return submission.score, submission.max_score


def _config(root: Path, stub: str) -> Config:
    config = Config()
    config.CourseDirectory.root = str(root)
    config.ClearSolutions.code_stub = {"python": stub}
    config.Autograde.autograde_preprocessors = [
        SendToSandbox,
        Execute,
        RestoreSources,
        IgnorePattern,
        SaveAutoGrades,
        CheckCellMetadata,
    ]
    config.Execute.timeout = KERNEL_SECONDS
    config.Execute.startup_timeout = START_SECONDS
    config.Execute.iopub_timeout = START_SECONDS
    config.Execute.extra_arguments = ["--HistoryManager.hist_file=:memory:", "--log-level=ERROR"]
    return config


def _run(command: Callable[..., dict], *arguments: str) -> None:
    """Call nbgrader; RuntimeError with the last of its words where it fails."""
    logging.getLogger("traitlets").setLevel(logging.CRITICAL)
    with _python_on_path(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sqlalchemy's, about nbgrader's own code
        result = command(*arguments)
    if "KeyboardInterrupt" in result.get("error", ""):
        raise KeyboardInterrupt
    if not result["success"]:
        lines = [line for line in result.get("log", result["error"]).splitlines() if line.strip()]
        raise RuntimeError(f"nbgrader failed: {lines[-1]}")


@contextlib.contextmanager
def _python_on_path() -> Iterator[None]:
    """nbgrader calls the command alembic, which is in the same folder as this Python."""
    before = os.environ["PATH"]
    os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), before))
    try:
        yield
    finally:
        os.environ["PATH"] = before
