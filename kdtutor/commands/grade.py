"""`kdtutor grade`: marks and feedback for what students handed in."""

from argparse import ArgumentParser
from pathlib import Path

HELP = "grade what students handed in, with nbgrader"


def add_arguments(parser: ArgumentParser) -> None:
    """The command's arguments; `grade` takes them."""
    parser.add_argument("submissions", type=Path, help="a folder with STUDENT/ASSIGNMENT/ASSIGNMENT.ipynb")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/grades"), help="folder for marks and feedback (default %(default)s)"
    )
    parser.set_defaults(work=grade)


def grade(submissions: Path, out: Path) -> int:
    """Grade the submissions; write marks and feedback to `out`."""
    from kdtutor.grading import marking

    marking.grade(submissions, out)
    print(f"In {out}: marks.csv, and feedback/ for each student.")
    return 0
