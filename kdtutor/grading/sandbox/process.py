"""A Python process that runs other people's code, and the line to it. Whatever comes from there, or doesn't, is
answered by one sentence; the code itself is `inside`'s business, its limits are `lock`'s."""

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import weakref
from pathlib import Path

from torch import Tensor

from kdtutor import _paths
from kdtutor.data import folder, places
from kdtutor.grading.sandbox import limits
from kdtutor.grading.sandbox.messages import FRAME, frame, tensors

PATIENCE = 180.0  # seconds to start and to import torch
LARGEST = 1 << 28  # bytes of an answer
START = """
import runpy
runpy.run_path({lock!r})["lock"]({own!r}, {roots!r})
from kdtutor.grading.sandbox.worker import serve
serve({own!r}, {roots!r})
"""


class Process:
    """A process with a folder of its own, which goes when it ends. `ended` says why it is gone, in one sentence,
    `spent` how many seconds the last answer took (its start not counted)."""

    def __init__(self) -> None:
        if os.name != "posix":
            raise RuntimeError("a process apart needs Linux or macOS; on Windows, run this in WSL")
        self.ended, self.spent, self._ready = "", 0.0, False
        self.own = tempfile.mkdtemp(prefix="kdtutor-")
        packages = [path for path in sys.path if "packages" in Path(path).name]
        roots = [sys.prefix, sys.base_prefix, str(_paths.PACKAGE), *packages]
        roots += [*map(str, places()), *limits.LIBRARIES]
        start = START.format(lock=limits.__file__, own=self.own, roots=roots)
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 (as long as the process)
        self._child = subprocess.Popen(
            [sys.executable, "-c", start],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._stderr, bufsize=0,
            cwd=self.own, env=_environment(self.own, _paths.PACKAGE.parent), start_new_session=True,
        )  # fmt: skip
        self._requests, self._answers = self._child.stdin.fileno(), self._child.stdout.fileno()
        os.set_blocking(self._requests, False)
        weakref.finalize(self, _end, self._child, self.own)

    def ask(self, head: dict, data: bytes, seconds: float, limit: float) -> tuple[dict, list[Tensor]]:
        """Send a request, wait for the answer: its head and its tensors. Raises RuntimeError where none comes within
        `seconds`, which are what is left of a cell's limit."""
        if self.ended:
            raise RuntimeError(f"nothing more is run here: {self.ended}")
        start = None
        try:
            if not self._ready:
                self._receive(time.monotonic() + PATIENCE)
                self._ready = True
            start = time.monotonic()
            deadline = start + seconds
            self._send(frame(head, data), deadline)
            head, parts = self._receive(deadline)
            found = tensors(head.get("tensors", []), parts)
        except TimeoutError:
            self.end(f"your code was stopped: it computed for more than the {limit:g} s of a cell")
        except (EOFError, BrokenPipeError):
            self.end("your code ended the process in which it ran" if self._ready else self._why())
        except Exception:
            self.end("the answer of your code can't be read")
        except BaseException:  # an interrupt: the answer would come when another is waited for
            self.end("your code was stopped: its run was interrupted")
            raise
        finally:
            self.spent = time.monotonic() - start if start else 0.0
        if self.ended:
            raise RuntimeError(self.ended)
        return head, found

    def end(self, why: str) -> None:
        """Kill the process and remove its folder."""
        self.ended = self.ended or why
        _end(self._child, self.own)

    def _why(self) -> str:
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        return f"the process for your code can't be started: {lines[-1] if lines else 'it gives no reason'}"

    def _send(self, message: bytes, deadline: float) -> None:
        view = memoryview(message)
        while view:
            _wait(self._requests, select.POLLOUT, deadline)
            view = view[os.write(self._requests, view) :]

    def _receive(self, deadline: float) -> tuple[dict, bytes]:
        lengths = FRAME.unpack(self._read(FRAME.size, deadline))
        if sum(lengths) > LARGEST:
            raise ValueError(f"an answer may hold {LARGEST} bytes")
        text, parts = (self._read(length, deadline) for length in lengths)
        return dict(json.loads(text)), parts

    def _read(self, size: int, deadline: float) -> bytes:
        data = bytearray()
        while len(data) < size:
            _wait(self._answers, select.POLLIN, deadline)
            part = os.read(self._answers, min(size - len(data), 1 << 20))
            if not part:
                raise EOFError
            data += part
        return bytes(data)


def _wait(number: int, event: int, deadline: float) -> None:
    poll = select.poll()
    poll.register(number, event)
    if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
        raise TimeoutError


def _end(child: subprocess.Popen, own: str) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # it is gone
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    child.stdin.close()
    child.stdout.close()
    shutil.rmtree(own, ignore_errors=True)


def _environment(own: str, path: Path) -> dict[str, str]:
    """Nothing of the grader's own environment, which may hold secrets, but the ways to Python and to the data."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH") if name in os.environ}
    return kept | {
        "HOME": own,
        "TMPDIR": own,
        "MPLCONFIGDIR": own,
        "MPLBACKEND": "Agg",
        "PYTHONPATH": str(path),
        "PYTHONDONTWRITEBYTECODE": "1",
        "KDTUTOR_DATA": str(folder().resolve()),
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }
