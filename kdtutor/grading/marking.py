"""Graded assignments, through nbgrader: hand out what students get, and mark what they hand in.

An assignment is a notebook in nbgrader's instructor format; its tests say which mistake was made. Submissions are read
and never changed. Of a submission only the source of its students' cells counts: the cells that an instructor locked
come from the assignment, and the kernel that runs them executes no student's code (see `kdtutor.grading.sandbox`).
"""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdtutor import _paths
from kdtutor._io import write
from kdtutor.grading.submissions import about, assembled, cells_of, handed_in, handed_over, read

if TYPE_CHECKING:
    from nbformat import NotebookNode

STUB = "return ...  # your code here"  # in place of a solution


@dataclass
class Mark:
    """One student's assignment: points of points, and the sentences that say what they were lost for."""

    student: str
    assignment: str
    score: float
    max_score: float
    mistakes: tuple[str, ...] = ()
    tests: list[tuple[str, float, float, str]] = field(default_factory=list, repr=False)  # name, points of points, why
    notes: tuple[str, ...] = ()

    def feedback(self) -> str:
        """For the student, in Markdown."""
        lines = [f"# {self.assignment}: {self.score:g} of {self.max_score:g} points", ""]
        lines += [f"- {sentence}" for sentence in (self.notes if self.tests else self.mistakes)]
        for name, points, most, why in self.tests:
            lines += ["", f"## {name}: {points:g} of {most:g}", "", why or "All tests pass."]
        return "\n".join(lines) + "\n"


@dataclass
class Marks:
    """All marks; prints as a table."""

    rows: list[Mark]

    def __repr__(self) -> str:
        wide = max((len(row.student) for row in self.rows), default=7)
        lines = [f"{'student':{wide}}  {'assignment':14} {'points':>9}  mistakes"]
        for row in self.rows:
            points, more = f"{row.score:g}/{row.max_score:g}", f" (and {len(row.mistakes) - 1} more)"
            first = row.mistakes[0][:90] + more * (len(row.mistakes) > 1) if row.mistakes else ""
            lines.append(f"{row.student:{wide}}  {row.assignment:14} {points:>9}  {first}".rstrip())
        return "\n".join(lines)

    def csv(self) -> str:
        """A row a mark: student, assignment, score, max_score, mistakes. No cell is a formula to a spreadsheet."""
        text = io.StringIO(newline="")
        table = csv.writer(text)
        table.writerow(["student", "assignment", "score", "max_score", "mistakes"])
        for row in self.rows:
            cells = row.student, row.assignment, f"{row.score:g}", f"{row.max_score:g}", " | ".join(row.mistakes)
            table.writerow([f"'{cell}" if cell.startswith(tuple("=+-@\t\r")) else cell for cell in cells])
        return text.getvalue()


def release(out: Path, sources: Path | None = None) -> list[Path]:
    """Write the students' version of each assignment to `out`: solutions and hidden tests are taken out, by nbgrader.

    Returns the files, out/NAME.ipynb. Raises ValueError if there are no assignments, RuntimeError if nbgrader isn't
    installed or can't do it, or if a line of a solution or hidden test were left; nothing is written then.
    """
    found = assignments(sources)
    with _course(found) as course:
        ready = {name: course.release(name) for name in found}
    for name, notebook in ready.items():
        _check_nothing_left(name, read(found[name]), notebook)
    files = [Path(out) / f"{name}.ipynb" for name in ready]
    for file, notebook in zip(files, ready.values(), strict=True):
        write(file, text(notebook))
    return files


def grade(submissions: Path, out: Path, sources: Path | None = None) -> Marks:
    """Grade all of submissions/STUDENT/NAME/NAME.ipynb (or submissions/STUDENT/NAME.ipynb) with nbgrader; where there
    is none, the only notebook there that holds the assignment's cells, such as "NAME (1).ipynb".

    Writes out/marks.csv and out/feedback/STUDENT/NAME.md, prints the table of marks and returns it. A submission that
    can't be graded gets a row of 0 points that says why. Raises ValueError where there is nothing to grade,
    RuntimeError if nbgrader isn't installed or an assignment itself is broken.
    """
    found = assignments(sources)
    given = handed_in(Path(submissions), found)
    found = {name: path for name, path in found.items() if name in {name for _, name, _ in given}}
    marks = Marks([])
    with _course(found) as course:
        released = {name: course.release(name) for name in found}
        shown = {name: handed_over(read(path)) for name, path in found.items()}
        for number, (student, name, file) in enumerate(given, start=1):
            print(f"{number} of {len(given)}: {student}, {name}", flush=True)
            mark = _mark(course, number, student, name, file, released[name], shown[name])
            write(Path(out) / "feedback" / student / f"{name}.md", mark.feedback().encode())
            marks.rows.append(mark)
    write(Path(out) / "marks.csv", marks.csv().encode())
    print(marks)
    return marks


def assignments(sources: Path | None = None) -> dict[str, Path]:
    """The assignments by name, each with its instructor's notebook."""
    sources = Path(sources) if sources else _paths.in_checkout("notebooks") / "assignments"
    found = {path.stem: path for path in sorted(sources.glob("*.ipynb"))}
    if not found:
        raise ValueError(f"sources must be a folder with assignments (NAME.ipynb), got {sources}")
    return found


def _course(sources: dict[str, Path]) -> Any:
    try:
        from kdtutor.grading.nbgrader_course import Course
    except ImportError as error:
        raise RuntimeError(f"grading needs nbgrader (pip install nbgrader), but {error}") from error
    return Course(sources, STUB)


def text(notebook: "NotebookNode") -> bytes:
    """The notebook's file."""
    import nbformat

    return f"{nbformat.writes(notebook)}\n".encode()


SECRET = re.compile(r"^[^\n]*### BEGIN (SOLUTION|HIDDEN TESTS)[^\n]*\n(.*?)^[^\n]*### END \1", re.DOTALL | re.MULTILINE)


def _check_nothing_left(name: str, source: "NotebookNode", released: "NotebookNode") -> None:
    """Neither a marker, nor what stood between two, nor a solution without markers, nor an output."""
    whole = "\n".join(cell.source for cell in released.cells)
    secrets = [match[2].strip() for cell in source.cells for match in SECRET.finditer(cell.source)]
    secrets += [c.source.strip() for c in source.cells if about(c).get("solution") and not SECRET.search(c.source)]
    left = [secret for secret in (*secrets, "### BEGIN ", "### END ") if secret and secret in whole]
    if left or any(cell.get("outputs") for cell in released.cells):
        where = left[0].splitlines()[0] if left else "an output"
        raise RuntimeError(f"the students' version of {name} would still hold a secret: {where}")


def _mark(
    course: Any, number: int, student: str, name: str, file: Path, released: "NotebookNode", shown: dict[str, Any]
) -> Mark:
    """Grade one submission. Whatever is wrong with it, it gets a mark."""
    try:
        notebook, missing, restored = assembled(released, cells_of(file))
        notebook.metadata["kdtutor"] = shown
        graded = course.grade(name, f"student{number}", notebook)
    except (RuntimeError, ValueError, OSError) as problem:
        most = sum(about(cell).get("points", 0) for cell in released.cells)
        return Mark(student, name, 0.0, most, (" ".join(str(problem).split()),))
    score, most = course.points(name, f"student{number}")
    tests = list(_tests(graded))
    errors = [sentence for cell in graded.cells if (sentence := _error(cell, student=True))]
    gone = [f"the cell {cell} isn't there: it counts as it was handed out" for cell in missing]
    mistakes = dict.fromkeys((*errors, *(why for *_, why in tests if why), *gone)) if score < most else ()
    notes = [*errors, *gone]
    if restored:
        notes.append(f"locked cells that were changed or missing, so that the original ones were run: {len(restored)}")
    if file.name != f"{name}.ipynb":
        notes.append(f"handed in as {file.name}")
    return Mark(student, name, score, most, tuple(mistakes), tests, tuple(notes))


def _tests(notebook: "NotebookNode") -> Iterator[tuple[str, float, float, str]]:
    """For each graded cell: its name, points, the most that it gives, and why not all of them."""
    from nbgrader.utils import determine_grade, is_grade

    stopped = ""  # the student's cells so far that stopped with an error
    for cell in notebook.cells:
        if _error(cell, student=True):
            stopped += f"{cell.source}\n"
        if is_grade(cell):
            points, most = determine_grade(cell)
            why = _error(cell) if points is not None else "To be marked by hand."
            if lost := re.match(r"NameError: name '(\w+)' is not defined", why):
                because = re.search(rf"(\bdef |\bclass |^){lost[1]}\b", stopped, re.MULTILINE)
                why = f"{lost[1]} isn't defined" + ": its cell stopped with an error (above)" * bool(because)
            yield (
                cell.metadata.nbgrader.grade_id,
                points or 0.0,
                most,
                why or ("Not all is right." if points < most else ""),
            )


def _error(cell: "NotebookNode", student: bool = False) -> str:
    """The sentence with which a cell failed."""
    kind = about(cell)
    if student and (kind.get("locked") or (kind.get("grade") and not kind.get("solution"))):
        return ""
    for output in cell.get("outputs", []):
        if output.output_type == "error":
            message = " ".join(output.evalue.split())
            if student:
                return f"in the cell {kind.get('grade_id', 'that was added')}, {message}"
            if output.ename in ("AssertionError", "RuntimeError") and message:
                return message
            return f"{output.ename}: {message}" if message else f"the test fails ({output.ename})"
    return ""
