"""`python -m kdtutor`: the course's full run without a notebook, its teachers, its speed, and a look at the data."""

import argparse
import re
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

from torch import nn

from kdtutor import data
from kdtutor._check import check_fraction, check_positive
from kdtutor._io import machine, write_json
from kdtutor.commands import paired_runs
from kdtutor.course import teachers
from kdtutor.data import mnist


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status. Mistakes of the user end in one line on stderr."""
    options = _parser().parse_args(arguments)
    try:
        return options.command(options)
    except (ValueError, OSError, RuntimeError, ArithmeticError) as error:
        print(f"kdtutor: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("kdtutor: interrupted, no results were saved", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kdtutor", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("distill", help="train a student alone and distilled over paired seeds, and compare")
    run.set_defaults(command=_distill)
    run.add_argument("--student", type=_sizes, default="784-200-200-10", help="layer sizes (default %(default)s)")
    several = {"type": float, "nargs": "+"}
    run.add_argument(
        "--temperature",
        **several,
        default=[4.0],
        help="T of the soft targets (default 4); of several, the best on the validation images is taken",
    )
    run.add_argument("--alpha", **several, default=[0.9], help="weight of the soft term (default 0.9); the same")
    run.add_argument("--seeds", type=_count, default=5, help="how many paired seeds (default %(default)s)")
    run.add_argument("--lr", type=float, default=2e-3, help="first learning rate (default %(default)s)")
    run.add_argument("--batch-size", type=_count, default=128, help="(default %(default)s)")
    run.add_argument("--out", type=Path, default=Path("runs/distill"), help="folder for results (default %(default)s)")
    run.add_argument(
        "--teacher", type=Path, help="weights of the course's cnn (.safetensors); trained and kept there if absent"
    )
    _common(run, epochs=6)

    teacher = commands.add_parser("teacher", help="train a teacher like those that ship with the course")
    teacher.set_defaults(command=_teacher)
    teacher.add_argument("--seed", type=int, default=0, help="(default %(default)s)")
    teacher.add_argument("--out", type=Path, default=Path("runs"), help="folder for results (default %(default)s)")
    _common(teacher, epochs=30)

    again = commands.add_parser("reproduce", help="reproduce a paper's section with seeds, over hours; can be resumed")
    again.set_defaults(command=_reproduce)
    again.add_argument("paper", choices=("hinton",), help="Hinton, Vinyals & Dean 2015, section 3")
    again.add_argument("--quick", action="store_true", help="a small version, in two minutes")
    again.add_argument(
        "--out", type=Path, help="folder for records and weights (default runs/hinton or runs/hinton-quick)"
    )
    again.add_argument(
        "--precision",
        choices=("bfloat16", "float32"),
        default="bfloat16",
        help="of the large networks' products (default %(default)s: faster on a processor with instructions for it, "
        "slower elsewhere)",
    )
    again.add_argument("--device", help="cpu, cuda, … (default: a GPU if there is one)")

    name = commands.add_parser("diagnose", help="name the formula of a loss in a Python file, and its known mistakes")
    name.set_defaults(command=_diagnose)
    name.add_argument("loss", metavar="FILE.py:NAME", help="a function, or a class or instance of a module")
    name.add_argument("--alpha", choices=("soft", "hard"), help="the term that alpha is to weigh (default: either)")
    name.add_argument("--meant", nargs="+", default=[], metavar="FINDING", help="findings that are as you mean them")
    name.epilog = "Exit status: 0 without a known mistake, 1 with one, 2 where the formula can't be told."

    hand_out = commands.add_parser("assignments", help="write the students' versions of the graded assignments")
    hand_out.set_defaults(command=_assignments)
    hand_out.add_argument("--otter", action="store_true", help="sources for otter-grader, too: they hold solutions")
    hand_out.add_argument("--out", type=Path, default=Path("runs/assignments"), help="folder (default %(default)s)")

    marks = commands.add_parser("grade", help="grade what students handed in, with nbgrader")
    marks.set_defaults(command=_grade)
    marks.add_argument("submissions", type=Path, help="a folder with STUDENT/ASSIGNMENT/ASSIGNMENT.ipynb")
    marks.add_argument(
        "--out", type=Path, default=Path("runs/grades"), help="folder for marks and feedback (default %(default)s)"
    )

    address = commands.add_parser("publish", help="write the course's address on GitHub into everything that names it")
    address.set_defaults(command=_publish)
    address.add_argument("repository", metavar="OWNER/REPO", help="a public repository, yours or a fork")

    speed = commands.add_parser("bench", help="measure how fast it all is on this machine, about 7 minutes")
    speed.set_defaults(command=_bench)
    speed.add_argument("--quick", action="store_true", help="less of it, within a minute, and no notebooks")
    speed.add_argument("--json", type=Path, metavar="FILE", help="write a record, too")

    look = commands.add_parser("data", help="say where MNIST is and whether it is whole; with --fetch, download it")
    look.set_defaults(command=_data)
    look.add_argument("--fetch", action="store_true", help="download MNIST if it isn't there")
    return parser


def _common(parser: argparse.ArgumentParser, epochs: int) -> None:
    parser.add_argument(
        "--data", choices=("mnist", "strokes"), default="mnist", help="strokes are built in (default %(default)s)"
    )
    parser.add_argument("--epochs", type=_count, default=epochs, help="(default %(default)s)")
    parser.add_argument("--device", help="cpu, cuda, … (default: a GPU if there is one)")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")


def _sizes(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"784(-[1-9]\d*)*-10", text):
        raise argparse.ArgumentTypeError(f"must be layer sizes from 784 pixels to 10 classes, 784-300-10, got {text!r}")
    return tuple(int(size) for size in text.split("-"))


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number >= 1, got {text!r}")
    return int(text)


def _distill(options: argparse.Namespace) -> int:
    for temperature, alpha in product(options.temperature, options.alpha):
        check_positive("temperature", temperature)
        check_fraction("alpha", alpha)
    check_positive("lr", options.lr)
    options.out.mkdir(parents=True, exist_ok=True)
    digits = data.load(options.data, fallback="strokes")
    teacher, path = _teacher_for(digits, options)
    paired_runs.run(digits, teacher, path.name, options)
    return 0


def _teacher_for(digits: data.Dataset, options: argparse.Namespace) -> tuple[nn.Module, Path]:
    """The teacher at --teacher, or the one that ships, and its file; trained and kept where that doesn't exist."""
    path = options.teacher or teachers.teacher_path(digits.name)
    if not options.teacher and not path.exists():
        path = options.out / path.name
    if not path.exists():
        print(f"No teacher at {path}: training one, which takes some minutes.")
        _save_teacher(digits, path, epochs=30, seed=0, options=options)
    return teachers.load_teacher(digits.name, path)[0], path


def _teacher(options: argparse.Namespace) -> int:
    digits = data.load(options.data)
    path = options.out / teachers.teacher_path(digits.name).name
    record = _save_teacher(digits, path, options.epochs, options.seed, options)
    print(f"{path}: {record['test']['errors of 10,000']:.0f} test errors of 10,000, {record['seconds']} s of training")
    return 0


def _save_teacher(
    digits: data.Dataset, path: Path, epochs: int, seed: int, options: argparse.Namespace
) -> dict[str, Any]:
    teacher, record = teachers.train_teacher(
        digits, epochs=epochs, seed=seed, device=options.device, progress=not options.quiet
    )
    teachers.save_teacher(teacher, record, path)
    return record


def _reproduce(options: argparse.Namespace) -> int:
    from kdtutor.course.hinton import paper, reproduction

    out = options.out or Path("runs", options.paper + "-quick" * options.quick)
    section = reproduction.Section(data.load("mnist"), out, options.quick, options.precision, options.device)
    try:
        section.run()
    except KeyboardInterrupt:
        print(f"kdtutor: interrupted; {section.runs.path} keeps the finished runs, the same command goes on")
        return 130
    print(f"\n{paper.markdown(section.runs)}\n\nIn {out}: the records and the weights.")
    return 0


def _diagnose(options: argparse.Namespace) -> int:
    from kdtutor.commands.loss_file import loss_at
    from kdtutor.diagnosis import diagnose

    try:
        found = diagnose(loss_at(options.loss), alpha=options.alpha, meant=options.meant)
    except (TypeError, ValueError) as error:
        print(f"kdtutor: {error}", file=sys.stderr)
        return 2
    print(found)
    return 1 if found.mistakes else 0 if found.known else 2


def _assignments(options: argparse.Namespace) -> int:
    from kdtutor.grading import assignments

    paths = assignments.release(options.out)
    if options.otter:
        from kdtutor.grading import otter_export

        paths += otter_export.export(options.out)
    print(*paths, sep="\n")
    return 0


def _grade(options: argparse.Namespace) -> int:
    from kdtutor.grading import marking

    marking.grade(options.submissions, options.out)
    print(f"In {options.out}: marks.csv, and feedback/ for each student.")
    return 0


def _publish(options: argparse.Namespace) -> int:
    from kdtutor.course import publishing

    print(*publishing.stamp(options.repository) or ["Nothing to change."], sep="\n")
    return 0


def _bench(options: argparse.Namespace) -> int:
    from kdtutor.commands import benchmarks

    digits = data.load("mnist", fallback="strokes")
    record: dict[str, Any] = {"machine": machine(), "data": digits.name, "quick": options.quick}
    for name, value in record["machine"].items():
        print(f"{name}: {value}")
    for section in benchmarks.SECTIONS:
        print(f"\n{section.__doc__}\n", flush=True)
        record[section.__name__] = benchmarks.show(section(digits, options.quick))
    if options.json:
        write_json(record, options.json)
    return 0


def _data(options: argparse.Namespace) -> int:
    if options.fetch and not any(map(mnist.present, data.places())):
        mnist.fetch(data.folder())
    for root in filter(mnist.present, data.places()):
        mnist.read(root)
        print(f"MNIST: whole, in {root / mnist.RAW} (each file's SHA-256 was checked)")
        return 0
    print(f"MNIST: not in {data.folder() / mnist.RAW}. Add --fetch to download it; the notebooks fall back on strokes.")
    return 1
