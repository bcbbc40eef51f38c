"""MNIST's four files on disk: read completely and checked, or downloaded through torchvision.

Names and layout are torchvision's, and the checksum of each file is known. Splits are made in `loading`.
"""

import contextlib
import hashlib
import io
import os
import socket
import tempfile
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path

import torch
from torch import Tensor

from kdtutor._text import one_line

FILES = {  # name: size in bytes, SHA-256
    "train-images-idx3-ubyte": (47_040_016, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
    "train-labels-idx1-ubyte": (60_008, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
    "t10k-images-idx3-ubyte": (7_840_016, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
    "t10k-labels-idx1-ubyte": (10_008, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
}
RAW_FOLDER = Path("MNIST/raw")  # where torchvision puts them under its root
REPAIR_HINT = "Delete it, and the next load downloads it again."
BY_HAND_HINT = "Put MNIST's four files, unzipped, into its MNIST/raw/, or name a folder that has them in KDTUTOR_DATA."


class DataError(RuntimeError):
    """Data can't be read or downloaded; the message says why and what to do."""


def present(root: Path) -> bool:
    """Whether all four files lie under `root` (unread)."""
    return all((root / RAW_FOLDER / name).is_file() for name in FILES)


def read(root: Path) -> list[Tensor]:
    """Train images (60000, 1, 28, 28) uint8, train labels (60000,) int64, and the same of the 10,000 for testing.

    Raises DataError, naming the file, where one is truncated, damaged or swapped for another.
    """
    return [_read_file(root / RAW_FOLDER / name) for name in FILES]


def _read_file(path: Path) -> Tensor:
    try:
        content = bytearray(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path} can't be read ({error.strerror})") from error
    fault = _fault(path.name, content)
    if fault:
        raise DataError(f"{path} {fault}. {REPAIR_HINT}")

    # a header of 8 bytes before labels, of 16 before images, then one byte per value
    if "labels" in path.name:
        return torch.frombuffer(content, dtype=torch.uint8, offset=8).long()
    return torch.frombuffer(content, dtype=torch.uint8, offset=16).view(-1, 1, 28, 28)


def _fault(name: str, content: bytes | bytearray) -> str:
    """What is wrong with a file's content; empty if nothing is."""
    size, checksum = FILES[name]
    if len(content) != size:
        return f"has {len(content):,} bytes where MNIST's has {size:,}"
    if hashlib.sha256(content).hexdigest() != checksum:
        return "is damaged or another file: its SHA-256 isn't MNIST's"
    return ""


def fetch(root: Path) -> None:
    """Download MNIST through torchvision into a temporary folder under `root`, check it, then move each file in.

    A download that breaks leaves nothing behind, and two processes at once do each other no harm. Raises DataError
    where `root` can't be written or the network doesn't give the files.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root, prefix=".mnist-") as draft:
            _download(draft)
            for name in FILES:
                fault = _fault(name, (Path(draft) / RAW_FOLDER / name).read_bytes())
                if fault:
                    raise DataError(f"the downloaded {name} {fault}")
            (root / RAW_FOLDER).mkdir(parents=True, exist_ok=True)
            for name in FILES:
                os.replace(Path(draft) / RAW_FOLDER / name, root / RAW_FOLDER / name)
    except (OSError, RuntimeError, ImportError, HTTPException) as error:  # a full disk, no network, no torchvision, …
        why = one_line(error)  # torchvision's reasons run over several lines
        raise DataError(f"MNIST isn't in {root} and can't be downloaded there ({why}). {BY_HAND_HINT}") from error


def _download(root: str) -> None:
    from torchvision.datasets import MNIST

    with contextlib.redirect_stdout(io.StringIO()), _patience(30):  # without its remarks on each mirror
        MNIST(root, download=True)


@contextlib.contextmanager
def _patience(seconds: float) -> Iterator[None]:
    """Give up on a network that doesn't answer; torchvision would wait for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
