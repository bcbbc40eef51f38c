"""`kdtutor teacher`: train a teacher like those that ship."""

from argparse import ArgumentParser
from pathlib import Path

from kdtutor import data
from kdtutor.commands.arguments import add_training_arguments
from kdtutor.course import teachers

HELP = "train a teacher like those that ship with the course"


def add_arguments(parser: ArgumentParser) -> None:
    """--seed, --out and those of training."""
    parser.add_argument("--seed", type=int, default=0, help="(default %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("runs"), help="folder for results (default %(default)s)")
    add_training_arguments(parser, epochs=30)
    parser.set_defaults(work=train_and_save)


def train_and_save(seed: int, out: Path, data_name: str, epochs: int, device: str | None, quiet: bool) -> int:
    """Train a teacher and write it to `out`, with the record of its training beside it."""
    digits = data.load(data_name)
    teacher, record = teachers.train_teacher(digits, epochs=epochs, seed=seed, device=device, progress=not quiet)

    path = out / teachers.teacher_path(digits.name).name
    teachers.save_teacher(teacher, record, path)
    print(f"{path}: {record['test']['errors of 10,000']:.0f} test errors of 10,000, {record['seconds']} s of training")
    return 0
