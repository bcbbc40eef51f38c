"""Data sets as files: read completely and checked, or downloaded through torchvision.

Which data sets there are, and where their files lie, is said in `sources`; splits are made in `loading`.
"""

import contextlib
import hashlib
import io
import os
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from torch import Tensor

from kdtutor._text import one_line

REPAIR_HINT = "Delete it, and the next load downloads it again."


class DataError(RuntimeError):
    """Data can't be read or downloaded; the message says why and what to do."""


@dataclass(frozen=True)
class Layout:
    """Files in a folder under the root, and how their contents become four tensors: `read` says which."""

    folder: Path
    files: dict[str, tuple[int, str]]  # name: size in bytes, SHA-256
    decode: Callable[[Sequence[bytearray]], list[Tensor]]

    def present(self, root: Path) -> bool:
        """Whether all files lie under `root` (unread)."""
        return all((root / self.folder / name).is_file() for name in self.files)


@dataclass(frozen=True)
class Source:
    """A data set by the name of torchvision's class, which downloads it in the first of its layouts."""

    name: str
    layouts: tuple[Layout, ...]
    by_hand_hint: str  # what to do where it can't be downloaded
    validation: int = 5_000  # how many of the training images are for validation

    def layout(self, root: Path) -> Layout | None:
        """The layout in which all files lie under `root` (unread), if there is one."""
        for layout in self.layouts:
            if layout.present(root):
                return layout
        return None


def read(source: Source, root: Path) -> list[Tensor]:
    """Train images (N, 1, H, W) uint8, train labels (N,) int64, and the same of the images for testing.

    Raises DataError, naming the file, where one is missing, truncated, damaged or swapped for another.
    """
    layout = source.layout(root) or source.layouts[0]
    contents = [_read_file(source, layout, name, root) for name in layout.files]
    return layout.decode(contents)


def _read_file(source: Source, layout: Layout, name: str, root: Path) -> bytearray:
    path = root / layout.folder / name
    try:
        content = bytearray(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path} can't be read ({error.strerror})") from error
    fault = _fault(source, layout, name, content)
    if fault:
        raise DataError(f"{path} {fault}. {REPAIR_HINT}")
    return content


def _fault(source: Source, layout: Layout, name: str, content: bytes | bytearray) -> str:
    """What is wrong with a file's content; empty if nothing is."""
    size, checksum = layout.files[name]
    if len(content) != size:
        return f"has {len(content):,} bytes where {source.name}'s has {size:,}"
    if hashlib.sha256(content).hexdigest() != checksum:
        return f"is damaged or another file: its SHA-256 isn't {source.name}'s"
    return ""


def fetch(source: Source, root: Path) -> None:
    """Download through torchvision into a temporary folder under `root`, check the files, then move each in.

    A download that breaks leaves nothing behind, and two processes at once do each other no harm. Raises DataError
    where `root` can't be written or the network doesn't give the files.
    """
    layout = source.layouts[0]
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root, prefix=f".{source.name.lower()}-") as path:
            draft = Path(path)
            _download(source.name, draft)
            for name in layout.files:
                fault = _fault(source, layout, name, (draft / layout.folder / name).read_bytes())
                if fault:
                    raise DataError(f"the downloaded {name} {fault}")
            (root / layout.folder).mkdir(parents=True, exist_ok=True)
            for name in layout.files:
                os.replace(draft / layout.folder / name, root / layout.folder / name)
    except (OSError, RuntimeError, ImportError, HTTPException) as error:  # a full disk, no network, no torchvision, …
        why = one_line(error)  # torchvision's reasons run over several lines
        raise DataError(
            f"{source.name} isn't in {root} and can't be downloaded there ({why}). {source.by_hand_hint}"
        ) from error


def _download(name: str, root: Path) -> None:
    from torchvision import datasets

    with contextlib.redirect_stdout(io.StringIO()), _patience(30):  # without its remarks on each mirror
        for train in (True, False):
            getattr(datasets, name)(root, train=train, download=True)


@contextlib.contextmanager
def _patience(seconds: float) -> Iterator[None]:
    """Give up on a network that doesn't answer; torchvision would wait for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
