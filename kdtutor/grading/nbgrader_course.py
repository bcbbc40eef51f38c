"""nbgrader, in a course folder that lasts as long as it is needed: student versions, and notebooks that are graded.

Imported by `kdtutor.grading` when it is needed, as it asks for nbgrader. The two preprocessors see to it that the
kernel runs the instructor's cells only: `Divide` puts before each of them what the sandbox must know, and has
the students' cells run there; `Join` puts the notebook together again.
"""

import logging
import os
import sys
import tempfile
import warnings
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

from kdtutor.grading.sandbox.sandbox import SECONDS

NAME = "_kdtutor_sandbox"  # of the process apart, in the kernel; students' cells can't bind it
FIRST = "import kdtutor.grading.sandbox\n{name} = kdtutor.grading.sandbox.Sandbox(globals())\n{imports}"


class Divide(NbGraderPreprocessor):
    """The instructor's cells stay; a student's becomes a call that runs it in a process apart."""

    def preprocess(self, notebook: NotebookNode, resources: ResourcesDict) -> tuple[NotebookNode, ResourcesDict]:
        """nbgrader calls this before `Execute`."""
        course, seconds = notebook.metadata["kdtutor"], SECONDS
        cells = [_helper(FIRST.format(name=NAME, imports=course["imports"]))]
        for cell in notebook.cells:
            if cell.cell_type != "code":
                cells.append(cell)
                continue
            own = cell.metadata.get("kdtutor", {}).get("seconds")
            if not utils.is_locked(cell):
                limit = own or SECONDS
                seconds = limit if cell.metadata.get("nbgrader") else seconds  # a cell that was added changes no test's
                cell.metadata["kdtutor"] = {"source": cell.source}
                cell.source = f"{NAME}.run({cell.source!r}, {course['names']!r}, {limit})"
            elif utils.is_grade(cell):  # it calls what was defined before: its time is that of the student's cell
                cells.append(_helper(f"{NAME}.cell({own or seconds})"))
            else:
                cells.append(_helper(f"{NAME}.setup({cell.source!r}, {own or SECONDS})"))
            cells.append(cell)
        notebook.cells = [*cells, _helper(f"{NAME}.close()")]
        return notebook, resources


class Join(NbGraderPreprocessor):
    """The notebook as it was handed in, with what its cells put out."""

    def preprocess(self, notebook: NotebookNode, resources: ResourcesDict) -> tuple[NotebookNode, ResourcesDict]:
        """nbgrader calls this after `Execute`."""
        notebook.cells = [cell for cell in notebook.cells if cell.metadata.get("kdtutor") != {"helper": True}]
        for cell in notebook.cells:
            cell.source = cell.metadata.get("kdtutor", {}).get("source", cell.source)
        return notebook, resources


def _helper(source: str) -> NotebookNode:
    return nbformat.v4.new_code_cell(source, metadata={"kdtutor": {"helper": True}})


class Course:
    """A course folder of nbgrader's, with these assignments (each a notebook of its instructor's); gone when it is
    left."""

    def __init__(self, sources: dict[str, Path], stub: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="kdtutor-course-")
        self.root = Path(self._folder.name)
        config = Config()
        config.CourseDirectory.root = str(self.root)
        config.ClearSolutions.code_stub = {"python": stub}
        config.Autograde.autograde_preprocessors = [
            Divide, Execute, Join, IgnorePattern, SaveAutoGrades, CheckCellMetadata,
        ]  # fmt: skip
        config.Execute.timeout = 3600  # the students' cells have limits of their own
        config.Execute.startup_timeout = config.Execute.iopub_timeout = 120
        config.Execute.extra_arguments = ["--HistoryManager.hist_file=:memory:", "--log-level=ERROR"]
        self._api = NbGraderAPI(CourseDirectory(config=config), config=config, log_level="CRITICAL")
        for name, path in sources.items():
            place = self.root / "source" / name / f"{name}.ipynb"
            place.parent.mkdir(parents=True)
            place.write_bytes(path.read_bytes())

    def __enter__(self) -> "Course":
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def release(self, name: str) -> NotebookNode:
        """The students' version; RuntimeError with nbgrader's words if there is none."""
        self._run(self._api.generate_assignment, name)
        return nbformat.read(self.root / "release" / name / f"{name}.ipynb", as_version=4)

    def grade(self, name: str, student: str, notebook: NotebookNode) -> NotebookNode:
        """Autograde a notebook that was handed in, and return it with its outputs; RuntimeError with nbgrader's words
        where that fails."""
        place = self.root / "submitted" / student / name / f"{name}.ipynb"
        place.parent.mkdir(parents=True)
        nbformat.write(notebook, place)
        self._run(self._api.autograde, name, student)
        return nbformat.read(self.root / "autograded" / student / name / f"{name}.ipynb", as_version=4)

    def points(self, name: str, student: str) -> tuple[float, float]:
        """What the gradebook says: the score, and the most that can be had."""
        with Gradebook(f"sqlite:///{self.root / 'gradebook.db'}") as book:
            submission = book.find_submission(name, student)
            return submission.score, submission.max_score

    def _run(self, command: object, *arguments: str) -> None:
        """nbgrader calls alembic, which lies beside this Python."""
        before = os.environ["PATH"]
        logging.getLogger("traitlets").setLevel(logging.CRITICAL)
        os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), before))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # sqlalchemy's, about nbgrader's own doings
                result = command(*arguments)
        finally:
            os.environ["PATH"] = before
        if "KeyboardInterrupt" in result.get("error", ""):
            raise KeyboardInterrupt
        if not result["success"]:
            lines = [line for line in result.get("log", result["error"]).splitlines() if line.strip()]
            raise RuntimeError(f"nbgrader can't do it: {lines[-1]}")
