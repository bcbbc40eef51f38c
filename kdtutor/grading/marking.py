"""Mark what students hand in, with nbgrader.

Submissions are read and never changed. Of a submission only the source of its student's cells counts: the cells that
an instructor locked come from the assignment, and the kernel that runs them executes no student's code (see
`kdtutor.grading.sandbox`).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdtutor._io import write
from kdtutor._text import one_line
from kdtutor.grading import assignments
from kdtutor.grading.assembly import Assembled, assemble
from kdtutor.grading.bindings import visible_to_tests
from kdtutor.grading.marks import Mark, Marks, TestMark
from kdtutor.grading.notebooks import cell_name, is_editable, is_graded, metadata, read
from kdtutor.grading.submissions import Submission, cells_of, find

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from kdtutor.grading.nbgrader_course import Course

UNDEFINED = re.compile(r"NameError: name '(\w+)' is not defined")


@dataclass(frozen=True)
class _Task:
    """What is needed of an assignment to mark submissions."""

    released: "NotebookNode"  # the students' version
    visible: dict[str, Any]  # what the tests may see of the students' cells


def grade(submissions: Path, out: Path, sources: Path | None = None) -> Marks:
    """Grade all of submissions/STUDENT/NAME/NAME.ipynb (or submissions/STUDENT/NAME.ipynb) with nbgrader; where there
    is none, the only notebook there that holds the assignment's cells, such as "NAME (1).ipynb".

    Writes out/marks.csv and out/feedback/STUDENT/NAME.md, prints the table of marks and returns it. A submission that
    can't be graded gets a row of 0 points that says why. Raises ValueError where there is nothing to grade,
    RuntimeError if nbgrader isn't installed or an assignment itself is broken.
    """
    notebooks = assignments.find(sources)
    handed_in = find(Path(submissions), notebooks)
    wanted = {submission.assignment for submission in handed_in}
    notebooks = {name: path for name, path in notebooks.items() if name in wanted}

    marks = Marks([])
    with assignments.open_course(notebooks) as course:
        tasks = {}
        for name, path in notebooks.items():
            tasks[name] = _Task(course.release(name), visible_to_tests(read(path)))
        for number, submission in enumerate(handed_in, start=1):
            student, name = submission.student, submission.assignment
            print(f"{number} of {len(handed_in)}: {student}, {name}", flush=True)
            mark = _mark(course, f"student{number}", submission, tasks[name])
            write(Path(out) / "feedback" / student / f"{name}.md", mark.feedback().encode())
            marks.rows.append(mark)
    write(Path(out) / "marks.csv", marks.csv().encode())
    print(marks)
    return marks


def _mark(course: "Course", pseudonym: str, submission: Submission, task: _Task) -> Mark:
    """Grade one submission. Whatever is wrong with it, it gets a mark.

    `pseudonym` is the student's name in nbgrader's database, where not every folder's name will do.
    """
    student, name, file = submission
    try:
        assembled = assemble(task.released, cells_of(file))
        assembled.notebook.metadata["kdtutor"] = task.visible
        graded = course.grade(name, pseudonym, assembled.notebook)
    except (RuntimeError, ValueError, OSError) as problem:
        max_score = sum(metadata(cell).get("points", 0) for cell in task.released.cells)
        return Mark(student, name, 0.0, max_score, (one_line(problem),))

    score, max_score = course.points(name, pseudonym)
    tests = list(_test_marks(graded))
    errors = list(_students_errors(graded))
    absent = [f"the cell {cell} isn't there: it counts as it was handed out" for cell in assembled.missing]

    mistakes = []
    if score < max_score:
        reasons = [test.reason for test in tests if test.reason]
        mistakes = dict.fromkeys((*errors, *reasons, *absent))  # each once
    notes = [*errors, *absent, *_remarks(assembled, submission)]
    return Mark(student, name, score, max_score, tuple(mistakes), tests, tuple(notes))


def _remarks(assembled: Assembled, submission: Submission) -> Iterator[str]:
    """What a student should know, though it costs nothing."""
    if assembled.restored:
        changed = len(assembled.restored)
        yield f"locked cells that were changed or missing, so that the original ones were run: {changed}"
    if submission.file.name != f"{submission.assignment}.ipynb":
        yield f"handed in as {submission.file.name}"


def _students_errors(graded: "NotebookNode") -> Iterator[str]:
    """For each of the student's cells that failed, a sentence."""
    for cell in graded.cells:
        error = _error(cell)
        if error and is_editable(cell):
            message = one_line(error.evalue)
            yield f"in the cell {cell_name(cell) or 'that was added'}, {message}"


def _test_marks(graded: "NotebookNode") -> Iterator[TestMark]:
    from nbgrader.utils import determine_grade

    failed_sources = []  # of the student's cells so far that stopped with an error
    for cell in graded.cells:
        if is_editable(cell) and _error(cell):
            failed_sources.append(cell.source)
        if is_graded(cell):
            points, max_points = determine_grade(cell)
            if points is None:
                reason = "To be marked by hand."
            else:
                reason = _reason(cell, "\n".join(failed_sources))
                if points < max_points:
                    reason = reason or "Not all is right."
            yield TestMark(cell_name(cell), points or 0.0, max_points, reason)


def _reason(cell: "NotebookNode", failed_sources: str) -> str:
    """The sentence with which a test failed; empty if it passed."""
    error = _error(cell)
    if error is None:
        return ""
    message = one_line(error.evalue)
    if error.ename in ("AssertionError", "RuntimeError") and message:
        return message
    if not message:
        return f"the test fails ({error.ename})"

    sentence = f"{error.ename}: {message}"
    undefined = UNDEFINED.match(sentence)
    if not undefined:
        return sentence
    name = undefined[1]
    sentence = f"{name} isn't defined"
    if re.search(rf"(\bdef |\bclass |^){name}\b", failed_sources, re.MULTILINE):
        sentence += ": its cell stopped with an error (above)"
    return sentence


def _error(cell: "NotebookNode") -> "NotebookNode | None":
    """The error that a cell stopped with, if it did."""
    for output in cell.get("outputs", []):
        if output.output_type == "error":
            return output
    return None
