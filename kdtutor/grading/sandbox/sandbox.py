"""Run other people's code in a process apart: cells go in, functions that can be called and plain values come out.

What runs the tests never executes what it tests: it holds proxies, which ask the other process. That one has limits of
time and memory, writes in its own folder only, and starts no process and uses no network (`lock` says how far that goes
on which system). Its answers are plain data: nothing that it sends is run here.
"""

import contextlib
import inspect
import io
import pickle
from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from kdtutor.grading.sandbox.messages import Pickler, decode, kept, networks
from kdtutor.grading.sandbox.process import Process
from kdtutor.grading.sandbox.worker import given

SECONDS = 60.0  # for a cell, unless told
STARTS = 4  # how often a process that was stopped is replaced by a new one
LONGEST = 25_000  # characters of what a cell prints or says


class Proxy:
    """A function of the student's: to call it calls the original in the process apart.

    Differentiable once in the floating-point tensors among its arguments, networks' parameters included. What the
    original changes in networks that it is given (weights, buffers, modes, what is frozen) is changed here, too; all
    else it gets as copies. Raises RuntimeError with one sentence where the original raises, is stopped, or returns what
    can't be handed over.
    """

    def __init__(self, apart: "Sandbox", number: int, name: str, doc: str, signature: list | None) -> None:
        self._apart, self._process, self._number = apart, apart._process, int(number)
        self.__name__ = self.__qualname__ = str(name)
        self.__doc__ = str(doc)
        if signature is not None:
            self.__signature__ = inspect.Signature(
                inspect.Parameter(
                    part, inspect._ParameterKind(kind), default=default if has else inspect.Parameter.empty
                )
                for part, kind, has, default in signature
            )

    def __call__(self, *args: object, **kwargs: object) -> object:
        return self._apart._call(self, args, kwargs)

    def __reduce__(self) -> tuple[Callable, tuple[int]]:
        return given, (self._number,)  # among arguments it stands for the original

    def __repr__(self) -> str:
        return f"<{self.__name__}, in a process apart>"


class Sandbox:
    """A process apart, and what the cells that it ran have defined.

    Args:
        namespace: where `run` puts what the cells define; a kernel gives its own `globals()`.
        seconds: how long a cell may compute, together with the calls that are made until the next cell begins.

    Where a cell had to be stopped or has ended its process, it says so, and so does each call until the next cell
    begins: then a new process runs the earlier cells again (four times at most).
    """

    def __init__(self, namespace: dict | None = None, seconds: float = SECONDS) -> None:
        self.namespace = {} if namespace is None else namespace
        self.seconds = self._left = self._limit = seconds
        self._earlier: list[tuple[str, tuple[str, ...], float]] = []
        self._process, self._starts = Process(), 1

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process; its folder goes with it."""
        self._process.end("it was closed")
        self._starts = STARTS

    def cell(self, seconds: float | None = None) -> None:
        """A new cell begins: it has the whole of its time, and a process that runs."""
        if self._process.ended and self._starts < STARTS:
            self._process, self._starts = Process(), self._starts + 1
            with contextlib.suppress(RuntimeError):
                for source, names, limit in self._earlier:
                    self._left = self._limit = limit
                    self._publish(names, *self._ask({"cell": source, "names": names}))
        self._left = self._limit = self.seconds if seconds is None else seconds

    def run(self, source: str, names: Iterable[str] = (), seconds: float | None = None) -> None:
        """Run a cell; prints what it prints, and puts those of `names` that it defines into the namespace: functions
        as proxies, plain values as copies. Raises RuntimeError, one sentence, if the cell raises or is stopped."""
        self.cell(seconds)
        names = tuple(names)
        head, parts = self._ask({"cell": source, "names": names})
        print(str(head.get("printed", ""))[:LONGEST], end="")
        self._publish(names, head, parts)
        self._earlier.append((source, names, self._limit))
        if head.get("error"):
            raise RuntimeError(str(head["error"])[:LONGEST])

    def setup(self, source: str, seconds: float | None = None) -> None:
        """Run a cell of the instructor's for what it defines there; where it is run here, it shows its own errors."""
        with contextlib.suppress(RuntimeError), contextlib.redirect_stdout(io.StringIO()):
            self.run(source, (), seconds)

    def _ask(self, head: dict, data: bytes = b"") -> tuple[dict, list[Tensor]]:
        try:
            head, parts = self._process.ask(head, data, self._left, self._limit)
        finally:
            self._left = max(0.0, self._left - self._process.spent)
        if head.get("error") and "values" not in head:
            raise RuntimeError(str(head["error"])[:LONGEST])
        return head, parts

    @contextlib.contextmanager
    def _reading(self) -> Iterable[None]:
        """An answer that isn't as `kdtutor.grading.sandbox.worker` makes it was made by someone else."""
        try:
            yield
        except Exception:
            self._process.end("the answer of your code can't be read")
            raise RuntimeError(self._process.ended) from None

    def _publish(self, names: tuple[str, ...], head: dict, parts: list[Tensor]) -> None:
        with self._reading():  # whatever the answer says, no other names
            self.namespace |= {n: self._value(head["values"][n], parts) for n in names if n in head["values"]}
            for name in names:
                if name in head["lost"]:
                    print(f"{name}: {head['lost'][name]}"[:LONGEST])

    def _value(self, tree: object, parts: list[Tensor]) -> object:
        return decode(tree, parts, lambda *described: Proxy(self, *described))

    def _call(self, proxy: Proxy, args: tuple, kwargs: dict) -> object:
        if proxy._process is not self._process or self._process.ended:
            raise RuntimeError(f"{proxy.__name__} can't be called any more: {proxy._process.ended}")
        file = io.BytesIO()
        pickler = Pickler(file)
        try:
            pickler.dump((proxy, args, kwargs, torch.get_rng_state(), torch.is_grad_enabled()))
        except Exception as error:
            raise RuntimeError(f"the arguments of {proxy.__name__} can't be handed over: {error}") from None
        head, parts = self._ask({"gradient": False}, file.getvalue())
        with self._reading():
            differentiable = [bool(kind[2]) for kind in head["tensors"]]
            count, leaves = head["count"], [tensor for tensor in pickler.met if tensor.requires_grad]
            _leave(head, parts[count:], pickler.met, networks([args, kwargs]))
            parts = parts[:count]
            if leaves and any(differentiable[:count]):
                parts = _Through.apply(self, file.getvalue(), parts, differentiable, *leaves)
            return self._value(head["value"], parts)


def _leave(head: dict, changed: list[Tensor], met: list[Tensor], modules: list[torch.nn.Module]) -> None:
    """Do to the networks here what the call has done to those there. ValueError if it names other tensors."""
    if {*head["changed"], *(index for index, _ in head["frozen"])} - {*kept(met, modules)}:
        raise ValueError("only networks are changed by a call")
    with torch.no_grad():
        for index, tensor in zip(head["changed"], changed, strict=True):
            met[index].copy_(tensor)
    for index, requires_grad in head["frozen"]:
        met[index].requires_grad_(bool(requires_grad))
    for module, training in zip(modules, head["modes"], strict=True):
        module.training = bool(training)
    if head["random"]:
        torch.rand(())  # so that the next call draws others; the state itself isn't taken from there


class _Through(torch.autograd.Function):
    """The tensors that a call returned, as functions of those that it was given."""

    @staticmethod
    def forward(ctx, apart: Sandbox, request: bytes, parts: list[Tensor], differentiable: list[bool], *leaves: Tensor):
        ctx.apart, ctx.request, ctx.differentiable = apart, request, differentiable
        ctx.set_materialize_grads(False)  # an output that isn't used has no gradient, rather than one of zeros
        ctx.mark_non_differentiable(*(part for part, yes in zip(parts, differentiable, strict=False) if not yes))
        return tuple(parts)

    @staticmethod
    @once_differentiable
    def backward(ctx, *outer: Tensor):
        outer = [gradient for gradient, yes in zip(outer, ctx.differentiable, strict=False) if yes]
        request = pickle.dumps((ctx.request, outer))
        head, parts = ctx.apart._ask({"gradient": True}, request)
        with ctx.apart._reading():
            return None, None, None, None, *ctx.apart._value(head["value"], parts)
