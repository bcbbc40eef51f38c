"""`kdtutor diagnose`: the formula of a loss in a Python file, and the known mistakes in it."""

import runpy
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

HELP = "name the formula of a loss in a Python file, and its known mistakes"


def add_arguments(parser: ArgumentParser) -> None:
    """The loss, what its alpha weighs, and the findings that are meant."""
    parser.add_argument("loss", metavar="FILE.py:NAME", help="a function, or a class or instance of a module")
    parser.add_argument("--alpha", choices=("soft", "hard"), help="the term that alpha is to weigh (default: either)")
    parser.add_argument("--meant", nargs="+", default=[], metavar="FINDING", help="findings that are as you mean them")
    parser.add_argument("--strict", action="store_true", help="count other methods, such as reverse KL, as mistakes")
    parser.epilog = "Exit status: 0 without a known mistake, 1 with one, 2 where it can't be told."
    parser.set_defaults(work=diagnose_file)


def diagnose_file(loss: str, alpha: str | None, meant: list[str], strict: bool = False) -> int:
    """Print the diagnosis of a loss, FILE.py:NAME; 0 without a known mistake, 1 with one, 2 where it can't be told."""
    from kdtutor.diagnosis import diagnose

    try:
        diagnosis = diagnose(load_loss(loss), alpha=alpha, meant=meant, strict=strict)
    except (TypeError, ValueError) as error:
        print(f"kdtutor: {error}", file=sys.stderr)
        return 2

    print(diagnosis)
    if diagnosis.mistakes:
        return 1
    if diagnosis.doubt or not diagnosis.known:
        return 2
    return 0


def load_loss(place: str) -> Any:
    """What a Python file defines under a name, "losses.py:KDLoss". The file is run, with its folder on sys.path.

    Raises ValueError where there is no such file or name, or where the file ends in an error.
    """
    file, _, name = place.rpartition(":")
    path = Path(file)
    if not path.is_file() or not name:
        raise ValueError(f"loss must be the name of a loss in a Python file that exists, FILE.py:NAME, got {place!r}")

    sys.path.insert(0, str(path.resolve().parent))
    try:
        namespace = runpy.run_path(file, run_name=path.stem)
    except (Exception, SystemExit) as error:  # somebody's file may raise anything
        raise ValueError(f"{file} must run without an error, got {type(error).__name__}: {error}") from error
    finally:
        sys.path.pop(0)

    if name not in namespace:
        raise ValueError(f"loss must be a name in {file}, got {name!r}")
    return namespace[name]
