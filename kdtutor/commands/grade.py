"""`kdtutor grade`: marks and feedback for what students handed in."""

import sys
from argparse import ArgumentParser
from pathlib import Path

HELP = "grade what students handed in, with nbgrader"


def add_arguments(parser: ArgumentParser) -> None:
    """A folder of submissions, and --out."""
    parser.add_argument("submissions", type=Path, help="a folder with STUDENT/ASSIGNMENT/ASSIGNMENT.ipynb")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/grades"), help="folder for marks and feedback (default %(default)s)"
    )
    parser.set_defaults(work=grade)


def grade(submissions: Path, out: Path) -> int:
    """Grade the submissions; write marks and feedback to `out`.

    Feedback is written after each submission, marks.csv at the end: Ctrl-C keeps the feedback.
    """
    from kdtutor.grading import marking

    try:
        marking.grade(submissions, out)
    except KeyboardInterrupt:
        print("kdtutor: interrupted; the feedback written so far is kept", file=sys.stderr)
        return 130
    print(f"In {out}: marks.csv, and feedback/ for each student.")
    return 0
