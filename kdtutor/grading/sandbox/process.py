"""The worker's process as the grader sees it: started, asked, and ended. Where it fails, falls silent or dies, the
grader gets one sentence. `limits` says what the process may do, `worker` what it does."""

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

from kdtutor import _paths, data
from kdtutor.grading.sandbox import limits
from kdtutor.grading.sandbox.messages import HEADER, pack, unpack_tensors

START_SECONDS = 180.0  # to start and to import torch
MAX_ANSWER_BYTES = 1 << 28  # 256 MiB
CHUNK_BYTES = 1 << 20  # that are read at once: 1 MiB
INHERITED = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH")  # of the grader's environment
START_CODE = """
import runpy
runpy.run_path({limits!r})["restrict"]({folder!r}, {readable!r})
from kdtutor.grading.sandbox.worker import serve
serve({folder!r}, {readable!r})
"""


class Process:
    """A Python process that runs other people's code, with a folder of its own, which goes when it ends.

    `ended` says in one sentence why it is gone, and is empty until then; `spent` is how many seconds the last answer
    took (the start isn't counted).
    """

    def __init__(self) -> None:
        if os.name != "posix":
            raise RuntimeError("the sandbox needs Linux or macOS; on Windows, run this in WSL")
        self.ended = ""
        self.spent = 0.0
        self._ready = False
        self.folder = tempfile.mkdtemp(prefix="kdtutor-")
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 (as long as the process)
        start = START_CODE.format(limits=limits.__file__, folder=self.folder, readable=_readable())
        self._child = subprocess.Popen(
            [sys.executable, "-c", start],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            bufsize=0,
            cwd=self.folder,
            env=_environment(self.folder),
            start_new_session=True,
        )
        self._requests = self._child.stdin.fileno()
        self._answers = self._child.stdout.fileno()
        os.set_blocking(self._requests, False)
        weakref.finalize(self, _end, self._child, self.folder)

    def ask(self, head: dict, payload: bytes, seconds: float, limit: float) -> tuple[dict, list[Tensor]]:
        """Send a request, wait for the answer: its head and its tensors. Raises RuntimeError where none comes within
        `seconds`, which are what is left of a cell's limit."""
        if self.ended:
            raise RuntimeError(f"nothing more is run here: {self.ended}")
        self.spent = 0.0
        start = None
        try:
            self._wait_for_start()
            start = time.monotonic()
            deadline = start + seconds
            self._send(pack(head, payload), deadline)
            answer, parts = self._receive(deadline)
            tensors = unpack_tensors(answer.get("tensors", []), parts)
        except TimeoutError:
            self.end(f"your code was stopped: it computed for more than the {limit:g} s of a cell")
        except (EOFError, BrokenPipeError):
            self.end(self._why_gone())
        except Exception:
            self.end("the answer of your code can't be read")
        except (
            BaseException
        ):  # an interrupt: its answer is still to come, and would be taken for that to the next request
            self.end("your code was stopped: its run was interrupted")
            raise
        finally:
            if start is not None:
                self.spent = time.monotonic() - start
        if self.ended:
            raise RuntimeError(self.ended)
        return answer, tensors

    def end(self, why: str) -> None:
        """Kill the process and remove its folder."""
        self.ended = self.ended or why
        _end(self._child, self.folder)

    def _wait_for_start(self) -> None:
        if not self._ready:
            self._receive(time.monotonic() + START_SECONDS)
            self._ready = True

    def _why_gone(self) -> str:
        if self._ready:
            return "your code ended the process in which it ran"
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        reason = lines[-1] if lines else "it gives no reason"
        return f"the process for your code can't be started: {reason}"

    def _send(self, message: bytes, deadline: float) -> None:
        rest = memoryview(message)
        while rest:
            _wait(self._requests, select.POLLOUT, deadline)
            written = os.write(self._requests, rest)
            rest = rest[written:]

    def _receive(self, deadline: float) -> tuple[dict, bytes]:
        text_length, data_length = HEADER.unpack(self._read(HEADER.size, deadline))
        if text_length + data_length > MAX_ANSWER_BYTES:
            raise ValueError(f"an answer may hold {MAX_ANSWER_BYTES} bytes")
        text = self._read(text_length, deadline)
        parts = self._read(data_length, deadline)
        return dict(json.loads(text)), parts

    def _read(self, size: int, deadline: float) -> bytes:
        received = bytearray()
        while len(received) < size:
            _wait(self._answers, select.POLLIN, deadline)
            part = os.read(self._answers, min(size - len(received), CHUNK_BYTES))
            if not part:
                raise EOFError
            received += part
        return bytes(received)


def _wait(number: int, event: int, deadline: float) -> None:
    """Wait until the pipe of this number can be written to or read from; TimeoutError after the deadline."""
    poll = select.poll()
    poll.register(number, event)
    if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
        raise TimeoutError


def _end(child: subprocess.Popen, folder: str) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # it is gone
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    child.stdin.close()
    child.stdout.close()
    shutil.rmtree(folder, ignore_errors=True)


def _readable() -> list[str]:
    """What the worker may read: Python, its packages, this one, the course's data, and the system's libraries."""
    packages = [path for path in sys.path if "packages" in Path(path).name]
    datasets = [str(place) for place in data.places()]
    return [sys.prefix, sys.base_prefix, str(_paths.PACKAGE), *packages, *datasets, *limits.READABLE]


def _environment(folder: str) -> dict[str, str]:
    """Nothing of the grader's own environment, which may hold secrets, but the ways to Python and to the data."""
    environment = {name: os.environ[name] for name in INHERITED if name in os.environ}
    environment.update(
        HOME=folder,
        TMPDIR=folder,
        MPLCONFIGDIR=folder,
        MPLBACKEND="Agg",
        PYTHONPATH=str(_paths.PACKAGE.parent),
        PYTHONDONTWRITEBYTECODE="1",
        KDTUTOR_DATA=str(data.folder().resolve()),
        OMP_NUM_THREADS="1",
        CUDA_VISIBLE_DEVICES="",
    )
    return environment
