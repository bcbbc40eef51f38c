"""`kdtutor assignments`: the students' versions of the graded assignments."""

from argparse import ArgumentParser
from pathlib import Path

HELP = "write the students' versions of the graded assignments"


def add_arguments(parser: ArgumentParser) -> None:
    """--otter and --out."""
    parser.add_argument("--otter", action="store_true", help="sources for otter-grader, too: they hold solutions")
    parser.add_argument("--out", type=Path, default=Path("runs/assignments"), help="folder (default %(default)s)")
    parser.set_defaults(work=write_assignments)


def write_assignments(otter: bool, out: Path) -> int:
    """Write the assignments without their solutions, and print the path of each file."""
    from kdtutor.grading import assignments, otter_export

    paths = assignments.release(out)
    if otter:
        paths += otter_export.export(out)
    print(*paths, sep="\n")
    return 0
