"""Run other people's code in a worker: cells go in, functions that can be called and plain values come out.

What runs the tests never executes what it tests: it holds proxies, which ask the worker. That process has limits of
time and memory, writes in its own folder only, and starts no process and uses no network (`limits` says how far that
goes on which system). Its answers are plain data: nothing that it sends is run here.
"""

import contextlib
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from kdtutor.grading.sandbox.process import Process
from kdtutor.grading.sandbox.proxy import Connection, Proxy, Read
from kdtutor.grading.sandbox.values import decode

CELL_SECONDS = 60.0  # of a cell, by default
# Workers that a sandbox may have, one after another. Each new one runs all earlier cells again: without a limit, cells
# that have to be stopped would let one submission hold up a whole class.
MAX_PROCESSES = 4
MAX_TEXT_CHARACTERS = 25_000  # of what a cell prints, and of an error


@dataclass(frozen=True)
class _Cell:
    """A cell that was run: a new worker runs it again."""

    source: str
    names: tuple[str, ...]
    limit: float


class Sandbox:
    """A worker, and what the cells that it ran have defined.

    Args:
        namespace: where `run` puts what the cells define; a kernel gives its own `globals()`.
        seconds: how long a cell may compute, together with the calls that are made until the next cell begins.

    Where a cell had to be stopped or has ended its process, it says so, and so does each call until the next cell
    begins: then a new process runs the earlier cells again (four processes at most).
    """

    def __init__(self, namespace: dict | None = None, seconds: float = CELL_SECONDS) -> None:
        self.namespace = {} if namespace is None else namespace
        self.seconds = seconds
        self._limit = seconds  # of the cell that runs, or ran last
        self._left = seconds  # what is left of it
        self._earlier: list[_Cell] = []
        self._process = Process()
        self._starts = 1

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process; its folder goes with it."""
        self._process.end("it was closed")
        self._starts = MAX_PROCESSES

    def begin_cell(self, seconds: float | None = None) -> None:
        """A new cell begins: it has the whole of its time, and a process that runs."""
        if self._process.ended and self._starts < MAX_PROCESSES:
            self._restart()
        self._begin(self.seconds if seconds is None else seconds)

    def run(self, source: str, names: Iterable[str] = (), seconds: float | None = None) -> None:
        """Run a cell; prints what it prints, and puts those of `names` that it defines into the namespace: functions
        as proxies, plain values as copies. Raises RuntimeError, one sentence, if the cell raises or is stopped."""
        self.begin_cell(seconds)
        cell = _Cell(source, tuple(names), self._limit)
        answer = self._execute(cell, show=True)
        self._earlier.append(cell)
        if answer.get("error"):
            raise RuntimeError(str(answer["error"])[:MAX_TEXT_CHARACTERS])

    def setup(self, source: str, seconds: float | None = None) -> None:
        """Run a cell of the instructor's for what it defines there; where it is run here, it shows its own errors."""
        with contextlib.suppress(RuntimeError), contextlib.redirect_stdout(io.StringIO()):
            self.run(source, (), seconds)

    def _begin(self, limit: float) -> None:
        self._limit = limit
        self._left = limit

    def _restart(self) -> None:
        """Start a new worker and run the earlier cells in it again."""
        self._process = Process()
        self._starts += 1
        with contextlib.suppress(RuntimeError):
            for cell in self._earlier:
                self._begin(cell.limit)
                self._execute(cell)

    def _execute(self, cell: _Cell, show: bool = False) -> dict:
        """Have the worker run the cell, and bind here what it has defined; returns the answer."""
        answer, parts = self._ask({"request": "run", "source": cell.source, "names": cell.names})
        if show:
            print(str(answer.get("printed", ""))[:MAX_TEXT_CHARACTERS], end="")
        self._bind(cell.names, answer, parts)
        return answer

    def _ask(self, head: dict, payload: bytes = b"") -> tuple[dict, list[Tensor]]:
        try:
            answer, parts = self._process.ask(head, payload, self._left, self._limit)
        finally:
            self._left = max(0.0, self._left - self._process.spent)
        if answer.get("error") and "values" not in answer:
            raise RuntimeError(str(answer["error"])[:MAX_TEXT_CHARACTERS])
        return answer, parts

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        """An answer that isn't as `kdtutor.grading.sandbox.worker` makes it was made by someone else."""
        try:
            yield
        except Exception:
            self._process.end("the answer of your code can't be read")
            raise RuntimeError(self._process.ended) from None

    def _ask_and_read(self, head: dict, payload: bytes, read: Read) -> object:
        """What `read` makes of the answer to a request: proxies ask by this."""
        answer, parts = self._ask(head, payload)
        with self._reading():
            return read(answer, parts)

    def _bind(self, names: tuple[str, ...], answer: dict, parts: list[Tensor]) -> None:
        """Put what a cell has defined into the namespace; say of these names which can't be."""
        process = self._process  # a proxy's original is in this one, whatever comes after it
        connection = Connection(self._ask_and_read, lambda: process.ended)
        with self._reading():
            values = {}
            for name in names:  # whatever the answer says, no other names
                if name in answer["values"]:
                    values[name] = decode(answer["values"][name], parts, partial(Proxy, connection))
            self.namespace.update(values)
            for name in names:
                if name in answer["lost"]:
                    print(f"{name}: {answer['lost'][name]}"[:MAX_TEXT_CHARACTERS])
