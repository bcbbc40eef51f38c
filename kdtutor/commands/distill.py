"""`kdtutor distill`: students alone and distilled over paired seeds, compared and recorded.

To be fair to both sides each gets settings of its own: the best of the values given, on the validation images.
"""

import re
import time
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path

from torch import nn

from kdtutor import data
from kdtutor._check import check_distinct, check_fraction, check_positive
from kdtutor.commands import choosing, comparison
from kdtutor.commands.arguments import add_training_arguments, count
from kdtutor.commands.choosing import Settings, finished
from kdtutor.course import teachers
from kdtutor.evaluation import predict
from kdtutor.models import mlp
from kdtutor.results import Table
from kdtutor.sweeps import sweep

HELP = "train a student alone and distilled over paired seeds, and compare"


def add_arguments(parser: ArgumentParser) -> None:
    """The student, the soft targets, the seeds, --out, --teacher and those of training."""
    parser.add_argument(
        "--student", type=layer_sizes, default="784-200-200-10", help="layer sizes (default %(default)s)"
    )
    parser.add_argument(
        "--temperature",
        dest="temperatures",
        metavar="TEMPERATURE",
        type=float,
        nargs="+",
        default=[4.0],
        help="T of the soft targets (default 4); several values: the best on the validation images is used",
    )
    parser.add_argument(
        "--alpha",
        dest="alphas",
        metavar="ALPHA",
        type=float,
        nargs="+",
        default=[0.9],
        help="weight of the soft term (default 0.9); several values: the best on the validation images is used",
    )
    parser.add_argument("--seeds", type=count, default=5, help="how many paired seeds (default %(default)s)")
    parser.add_argument(
        "--lr",
        dest="lrs",
        metavar="LR",
        type=float,
        nargs="+",
        default=[2e-3],
        help="first learning rate (default 0.002); several values: for each side, alone and distilled, the best on the "
        "validation images is used",
    )
    parser.add_argument("--batch-size", type=count, default=128, help="(default %(default)s)")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/distill"), help="folder for results (default %(default)s)"
    )
    parser.add_argument(
        "--teacher",
        dest="teacher_path",
        metavar="TEACHER",
        type=Path,
        help="weights of the course's cnn (.safetensors); trained and kept there if absent",
    )
    add_training_arguments(parser, epochs=6)
    parser.set_defaults(work=distill)


def layer_sizes(text: str) -> tuple[int, ...]:
    """The type of --student: "784-300-10" gives (784, 300, 10)."""
    if not re.fullmatch(r"784(-[1-9]\d*)*-10", text):
        raise ArgumentTypeError(f"must be layer sizes from 784 pixels to 10 classes, 784-300-10, got {text!r}")
    return tuple(int(size) for size in text.split("-"))


def distill(
    student: tuple[int, ...],
    temperatures: list[float],
    alphas: list[float],
    seeds: int,
    lrs: list[float],
    batch_size: int,
    out: Path,
    teacher_path: Path | None,
    data_name: str,
    epochs: int,
    device: str | None,
    quiet: bool,
) -> int:
    """Train students alone and distilled from the same `seeds` seeds, and compare their test errors.

    Of several temperatures, alphas or learning rates the best on the validation images are used, for each side its
    own. Prints a table and the difference; writes the students of the first seed, the record and a figure to `out`.
    """
    _check(temperatures, alphas, lrs)
    out.mkdir(parents=True, exist_ok=True)

    digits = data.load(data_name, fallback="strokes")
    teacher_path = teacher_path or _default_teacher_path(digits.name, out)
    teacher = _teacher_at(teacher_path, digits, device, quiet)

    start = time.perf_counter()
    teacher_logits = {
        "train": predict(teacher, digits.train, device=device),
        "test": predict(teacher, digits.test, device=device),
    }
    # what all students have in common; seeds, temperature, alpha and learning rate are still open
    train = partial(
        sweep,
        lambda seed: mlp(*student, seed=seed),
        digits,
        teacher_logits,
        epochs=epochs,
        batch_size=batch_size,
        device=device,
        progress=not quiet,
    )

    alone: Settings = {"alpha": 0.0, "lr": lrs[0]}
    distilled: Settings = {"temperature": temperatures[0], "alpha": alphas[0], "lr": lrs[0]}
    choice = None
    if len(temperatures) > 1 or len(alphas) > 1 or len(lrs) > 1:
        alone, distilled, choice = choosing.choose(train, temperatures, alphas, lrs, seeds)

    # with the same seed both sides start from the same weights and see the same batches
    groups = {
        "teacher": comparison.of_teacher(teacher, teacher_logits["test"], digits.test.labels),
        "alone": _students(train, seeds, alone),
        "distilled": _students(train, seeds, distilled),
    }
    difference = comparison.error_difference(groups)
    print(comparison.means_as_text(groups, digits.test))
    print(f"\ntest errors, distilled minus alone: {difference or 'one pair gives no interval, use --seeds 5'}")

    settings = {
        "student": student,
        "alone": alone,
        "distilled": distilled,
        "seeds": seeds,
        "batch_size": batch_size,
        "teacher": teacher_path.name,
        "data": digits.name,
        "epochs": epochs,
        "device": device,
    }
    seconds = round(time.perf_counter() - start)
    comparison.save(groups, difference, settings, choice, seconds, out)
    saved = "the students of seed 0, the record"
    if difference:
        saved += " and a figure"
    print(f"In {out}: {saved}; {seconds} s without the teacher.")
    return 0


def _check(temperatures: list[float], alphas: list[float], lrs: list[float]) -> None:
    for temperature, alpha, lr in product(temperatures, alphas, lrs):
        check_positive("temperature", temperature)
        check_fraction("alpha", alpha)
        check_positive("lr", lr)
    for name, values in (("temperature", temperatures), ("alpha", alphas), ("lr", lrs)):
        check_distinct(name, values)


def _default_teacher_path(data_name: str, out: Path) -> Path:
    """The file of a teacher that wasn't named: the one that ships if there is one, else one among the results."""
    shipped = teachers.teacher_path(data_name)
    return shipped if shipped.exists() else out / shipped.name


def _teacher_at(path: Path, digits: data.Dataset, device: str | None, quiet: bool) -> nn.Module:
    """The teacher in this file; trained and kept there where it doesn't exist."""
    if not path.exists():
        print(f"No teacher at {path}: training one, which takes some minutes.")
        teacher, record = teachers.train_teacher(digits, epochs=30, seed=0, device=device, progress=not quiet)
        teachers.save_teacher(teacher, record, path)
    teacher, _ = teachers.load_teacher(digits.name, path)
    return teacher


def _students(train: Callable[..., Table], seeds: int, settings: Settings) -> comparison.Group:
    """The students of one side, one per seed."""
    table = finished(train(seeds=range(seeds), **settings))
    if any(row["diverged"] for row in table.rows):
        raise FloatingPointError(f"the loss must stay finite, got NaN: try a smaller --lr than {settings['lr']:g}")
    return comparison.of_students(table)
