"""`python -m kdtutor`: the course's full run without a notebook, its teachers, its speed, and a look at the data."""

import argparse
import sys
from collections.abc import Sequence

from kdtutor.commands import assignments, bench, data, diagnose, distill, grade, publish, reproduce, teacher

# In the order of --help. A command's module has HELP (one line) and add_arguments(parser), which also names the
# function that does the work: its parameters are the command's arguments, and it returns the exit status.
COMMANDS = {
    "distill": distill,
    "teacher": teacher,
    "reproduce": reproduce,
    "diagnose": diagnose,
    "assignments": assignments,
    "grade": grade,
    "publish": publish,
    "bench": bench,
    "data": data,
}


def main(words: Sequence[str] | None = None) -> int:
    """Carry out a command, by default that of the command line; returns the exit status.

    Mistakes of the user end in one line on stderr.
    """
    arguments = vars(_parser().parse_args(words))
    work = arguments.pop("work")
    try:
        return work(**arguments)
    except (ValueError, OSError, RuntimeError, ArithmeticError) as error:
        print(f"kdtutor: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("kdtutor: interrupted, no results were saved", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kdtutor", description=__doc__)
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        command.add_arguments(subparsers.add_parser(name, help=command.HELP))
    return parser
