"""Finished runs on disk, a line of JSON each. What is there is not run again; Ctrl-C loses the current run only."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kdtutor._io import versions


class Runs:
    """The runs in the file at `path`. `runs(make, width=800, seed=0)` is the row of make(width=800, seed=0): from the
    file, or computed and written there. `runs.rows("alone", width=800)` are the finished rows of a name and settings.

    A row: run (the function's name), settings (its arguments), what it returned (a dict), seconds, versions.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def __call__(self, make: Callable[..., dict[str, Any]], **settings) -> dict[str, Any]:
        settings_in_json = json.loads(json.dumps(settings))
        for row in self._all():
            if row["run"] == make.__name__ and row["settings"] == settings_in_json:
                return row
        start = time.perf_counter()
        result = make(**settings)
        seconds = round(time.perf_counter() - start, 1)
        row = {"run": make.__name__, "settings": settings} | result | {"seconds": seconds, "versions": versions()}
        line = json.dumps(row)
        self._append(line)
        return json.loads(line)

    def rows(self, run: str, **settings) -> list[dict[str, Any]]:
        """The rows of this run with these settings among theirs, in the order of their seeds."""
        found = [row for row in self._all() if row["run"] == run and settings.items() <= row["settings"].items()]
        return sorted(found, key=lambda row: row["settings"].get("seed", 0))

    def __len__(self) -> int:
        return len(self._all())

    def _all(self) -> list[dict[str, Any]]:
        """The rows of the file, if there is one, but for a last line that was cut off."""
        content = self.path.read_bytes() if self.path.is_file() else b""
        rows = []
        for number, line in enumerate(content.split(b"\n")[:-1], 1):
            try:
                row = json.loads(line)
                row["run"], row["settings"]
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(
                    f"{self.path} must hold a run, in JSON, on each line, and line {number} doesn't"
                ) from error
            rows.append(row)
        return rows

    def _append(self, line: str) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab+") as file:
            file.seek(0)
            whole = file.read().rfind(b"\n") + 1
            file.truncate(whole)
            file.write(f"{line}\n".encode())


def pack(wrong: Tensor) -> list[int]:
    """Which examples are answered wrongly, (N,) bool, as a list of their places."""
    return wrong.nonzero().squeeze(1).tolist()


def unpack(places: list[int], total: int = 10_000) -> Tensor:
    """(total,) bool, true at these places: `pack` undone."""
    wrong = torch.zeros(total, dtype=torch.bool)
    wrong[places] = True
    return wrong
