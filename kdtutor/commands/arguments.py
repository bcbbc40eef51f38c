"""Arguments that several commands share."""

import argparse


def count(text: str) -> int:
    """The type of arguments that are a whole number >= 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number >= 1, got {text!r}")
    return int(text)


def add_training_arguments(parser: argparse.ArgumentParser, epochs: int) -> None:
    """--data (as `data_name`), --epochs with this default, --device and --quiet."""
    parser.add_argument(
        "--data",
        dest="data_name",
        choices=("mnist", "strokes"),
        default="mnist",
        help="strokes are built in (default %(default)s)",
    )
    parser.add_argument("--epochs", type=count, default=epochs, help="(default %(default)s)")
    add_device_argument(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress bars")


def add_device_argument(parser: argparse.ArgumentParser) -> None:
    """--device."""
    parser.add_argument("--device", help="cpu, cuda, … (default: a GPU if there is one)")
