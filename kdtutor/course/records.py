"""Finished trainings on disk, one line of JSON each. What is there isn't trained again; Ctrl-C loses only the current
one."""

import base64
import json
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from kdtutor._io import versions

Row = dict[str, Any]


class Records:
    """The rows in the file at `path`, each under a kind and the settings that it was made with.

    `records("student", make, width=800, seed=0)` is the row of a "student" with these settings: from the file, or made
    by make(width=800, seed=0) and written there. The kind is the key, not the function's name, so that functions may be
    renamed. `records.rows("student", width=800)` are the finished rows of a kind with these settings among theirs.

    A row: kind, settings, what `make` returned (a dict), seconds, versions. Where two processes made the same run, the
    row that was written first counts.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._state: tuple[int, int] | None = None  # of the file when it was read
        self._rows: list[Row] = []

    def __call__(self, kind: str, make: Callable[..., Row], /, **settings) -> Row:
        return self.find(kind, **settings) or self.add(kind, make, **settings)

    def add(self, kind: str, make: Callable[..., Row], /, **settings) -> Row:
        """The row of a kind with these settings, which isn't there yet: made by make(**settings) and written."""
        start = time.perf_counter()
        result = make(**settings)
        seconds = round(time.perf_counter() - start, 1)
        row = {"kind": kind, "settings": settings, **result, "seconds": seconds, "versions": versions()}
        line = json.dumps(row)
        self._append(line)
        return json.loads(line)

    def check_writable(self) -> None:
        """Raise OSError that names the file where no row could be written: better now than after the training."""
        self._open().close()

    def find(self, kind: str, /, **settings) -> Row | None:
        """The row of a kind with exactly these settings; None before it is made."""
        settings_in_json = json.loads(json.dumps(settings))
        for row in self._all():
            if row["kind"] == kind and row["settings"] == settings_in_json:
                return row
        return None

    def rows(self, kind: str, /, **settings) -> list[Row]:
        """The rows of a kind with these settings among theirs, in the order of their seeds."""
        matching = []
        for row in self._all():
            if row["kind"] == kind and settings.items() <= row["settings"].items():
                matching.append(row)
        return sorted(matching, key=lambda row: row["settings"].get("seed", 0))

    def __len__(self) -> int:
        return len(self._all())

    def _all(self) -> list[Row]:
        """The rows of the file, if there is one, except for a last line that was cut off and for repetitions."""
        if not self.path.is_file():
            return []
        status = self.path.stat()
        state = (status.st_mtime_ns, status.st_size)
        if state != self._state:
            self._rows, self._state = self._read(), state
        return self._rows

    def _read(self) -> list[Row]:
        rows = {}
        whole_lines = self.path.read_bytes().split(b"\n")[:-1]
        for number, line in enumerate(whole_lines, 1):
            row = _parse(line)
            if row is None:
                raise ValueError(f"{self.path} must hold a row, in JSON, on each line, and line {number} doesn't")
            key = json.dumps([row["kind"], row["settings"]], sort_keys=True)
            rows.setdefault(key, row)
        return [*rows.values()]

    def _append(self, line: str) -> None:
        with self._open() as file:
            file.seek(0)
            content = file.read()
            end_of_whole_lines = content.rfind(b"\n") + 1
            if end_of_whole_lines < len(content):  # only then: another process may have added a line since
                file.truncate(end_of_whole_lines)
            file.write(f"{line}\n".encode())

    def _open(self) -> BinaryIO:
        """The file, to read and to append; it and its folder are made where there is none."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            return self.path.open("ab+")
        except FileExistsError as error:
            raise OSError(f"{self.path} can't be written ({self.path.parent} isn't a folder)") from error
        except OSError as error:
            raise OSError(f"{self.path} can't be written ({error.strerror})") from error


def _parse(line: bytes) -> Row | None:
    """A line as a row; None if it isn't one."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    if not isinstance(row, dict) or "kind" not in row or not isinstance(row.get("settings"), dict):
        return None
    return row


def wrong_indices(wrong: Tensor) -> list[int]:
    """Which examples are classified wrongly, (N,) bool, as a list of their indices, which JSON can hold."""
    return wrong.nonzero().squeeze(1).tolist()


def wrong_from_indices(indices: list[int], total: int = 10_000) -> Tensor:
    """(total,) bool, true at these indices: `wrong_indices` undone."""
    wrong = torch.zeros(total, dtype=torch.bool)
    wrong[indices] = True
    return wrong


def pack_wrong(wrong: Tensor) -> str:
    """Which examples are classified wrongly, (N,) bool, as a short string: a bit each, compressed, in base64."""
    return base64.b64encode(zlib.compress(np.packbits(wrong.numpy()).tobytes(), 9)).decode()


def unpack_wrong(packed: str, total: int) -> Tensor:
    """(total,) bool: `pack_wrong` undone. Raises ValueError for a string that isn't of as many examples."""
    try:
        content = zlib.decompress(base64.b64decode(packed))
    except (ValueError, TypeError, zlib.error):
        raise ValueError(f"packed must be a string of pack_wrong, got {packed!r:.40}") from None
    bits = np.frombuffer(content, dtype=np.uint8)
    if len(bits) != (total + 7) // 8:
        raise ValueError(f"packed must be of {total} examples, in {(total + 7) // 8} bytes, got {len(bits)} bytes")
    return torch.from_numpy(np.unpackbits(bits, count=total).astype(bool))
