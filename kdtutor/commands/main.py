"""Knowledge distillation from the command line: compare a student alone with a distilled one, check a loss of your own,
and do what the course needs around its notebooks."""

import argparse
import sys
from collections.abc import Sequence

from kdtutor._text import one_line
from kdtutor.commands import assignments, bench, data, diagnose, distill, evidence, grade, publish, reproduce, teacher

# In the order of --help. A command's module has HELP (one line) and add_arguments(parser), which also names the
# function that does the work: its parameters are the command's arguments, and it returns the exit status.
COMMANDS = {
    "distill": distill,
    "teacher": teacher,
    "reproduce": reproduce,
    "evidence": evidence,
    "diagnose": diagnose,
    "assignments": assignments,
    "grade": grade,
    "publish": publish,
    "bench": bench,
    "data": data,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out a command, by default that of the command line; returns the exit status.

    Mistakes of the user end in one line on stderr, and so does Ctrl-C. Nothing is saved then, except by commands that
    say what they keep themselves (`grade`, `reproduce`).
    """
    parameters = vars(_parser().parse_args(arguments))
    work = parameters.pop("work")
    try:
        return work(**parameters)
    except (ValueError, OSError, RuntimeError, ArithmeticError) as error:
        print(f"kdtutor: {one_line(error)}", file=sys.stderr)
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
