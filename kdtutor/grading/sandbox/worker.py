"""The process apart, from the inside: it runs cells and calls functions of a student's code, and answers.

It is started by `sandbox`, which trusts nothing that it says. What is printed is cut; exceptions become text.
"""

import contextlib
import io
import json
import os
import pickle
import sys
import types
from collections.abc import Iterable

import torch
from torch import Tensor

from kdtutor.grading.sandbox import limits
from kdtutor.grading.sandbox.messages import ARRIVED, FRAME, Tensors, Tree, encode, frame, kept, networks, raw

PRINTED = 20_000  # characters that a cell may print
GIVEN: list[object] = []  # the functions that the tests may call, by number
CELLS = types.ModuleType("__main__")  # where the cells run


class Shell:
    """Stands in for IPython: magics aren't run, but for the code below %%time and %%capture."""

    def run_line_magic(self, name: str, line: str, *_, **__) -> None:
        """Say that it isn't run."""
        print(f"%{name} is left out in grading.")

    def run_cell_magic(self, name: str, line: str, body: str) -> None:
        """Run the body of those which only watch."""
        if name not in ("time", "capture"):
            raise RuntimeError(f"%%{name} can't be graded: leave it out")
        exec(compile(body, "<your code>", "exec"), vars(CELLS))

    def system(self, command: str) -> None:
        """Say that it isn't run."""
        print(f"!{command} is left out in grading.")

    getoutput = system


class Cut(io.TextIOBase):
    """A stream that keeps the first characters, and drops the rest."""

    def __init__(self) -> None:
        self.text, self.dropped = "", 0

    def write(self, text: str) -> int:
        kept = text[: PRINTED - len(self.text)]
        self.text += kept
        self.dropped += len(text) - len(kept)
        return len(text)

    def __str__(self) -> str:
        return self.text + f"\n[{self.dropped:,} more characters were printed]\n" * bool(self.dropped)


def serve(own: str, roots: Iterable[str]) -> None:
    """Answer requests until the other side is gone. Standard input and output are the line to it: student code finds
    them empty."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    torch.set_num_threads(1)
    sys.modules["__main__"] = CELLS
    vars(CELLS).update(get_ipython=Shell, display=print)
    limits.watch(own, roots)
    answer = frame({"ready": True})
    while True:
        answers.write(answer)
        answers.flush()
        if len(lengths := requests.read(FRAME.size)) < FRAME.size:
            os._exit(0)
        text, data = (requests.read(length) for length in FRAME.unpack(lengths))
        answer = _answer(json.loads(text), data)


def _answer(head: dict, data: bytes) -> bytes:
    """Run a cell, call a function, or take its gradient; whatever happens, there is an answer."""
    printed = Cut()
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            if "cell" in head:
                reply, parts = _run(head["cell"], head["names"])
            else:
                reply, parts = (_gradient if head["gradient"] else _call)(data)
        return frame({**reply, "printed": str(printed)}, parts)
    except BaseException as error:
        return frame({"error": describe(error), "printed": str(printed)})


def describe(error: BaseException) -> str:
    """What went wrong, in one sentence that names the line of the cell."""
    name = type(error).__name__
    if isinstance(error, SystemExit):
        return "your code calls exit()"
    try:
        message = " ".join(str(error).split())[:500]
    except BaseException:
        message = "an exception without words"
    if name == "EOFError" and message == "EOF when reading a line":
        return "your code waits for input(), which nobody answers in grading"
    line, trace = None, error.__traceback__
    while trace:
        line = trace.tb_lineno if trace.tb_frame.f_code.co_filename == "<your code>" else line
        trace = trace.tb_next
    where = f" (line {line} of its cell)" if line and not isinstance(error, SyntaxError) else ""
    return f"your code raises {name}{f': {message}' if message else ''}{where}"


def _run(source: str, names: list[str]) -> tuple[dict, bytes]:
    """Run a cell; its error, and what it has bound to these names by then."""
    error = None
    try:
        exec(_compiled(source), vars(CELLS))
    except BaseException as problem:
        error = describe(problem)
    values, lost, found = {}, {}, Tensors()
    for name in names:
        if name in vars(CELLS):
            before = len(found)
            try:
                values[name] = encode(vars(CELLS)[name], found, _number)
            except Exception as problem:
                del found[before:]
                lost[name] = " ".join(str(problem).split())[:500]
    described, data = found.described()
    return {"error": error, "values": values, "lost": lost, "tensors": described}, data


def _compiled(source: str) -> types.CodeType:
    try:
        return compile(source, "<your code>", "exec", dont_inherit=True)
    except SyntaxError:
        from IPython.core.inputtransformer2 import TransformerManager

        return compile(TransformerManager().transform_cell(source), "<your code>", "exec", dont_inherit=True)


def _number(function: object) -> int:
    for number, known in enumerate(GIVEN):
        if known is function:
            return number
    GIVEN.append(function)
    return len(GIVEN) - 1


def given(number: int) -> object:
    """The student's function of this number: what a proxy among the arguments stands for."""
    return GIVEN[number]


def _called(data: bytes) -> tuple[Tree, Tensors, dict, list[Tensor]]:
    """The value of a call, as a tree and tensors; what the call has left behind in the networks among its arguments
    (which numbers it changed or froze, their modes), and whether it drew random numbers; the arguments' tensors."""
    ARRIVED.clear()
    function, args, kwargs, random_state, differentiable = pickle.loads(data)
    arrived = list(ARRIVED)
    modules, met = networks([args, kwargs]), [tensor for tensor, *_ in arrived]
    own = kept(met, modules)
    torch.set_rng_state(random_state)
    with torch.set_grad_enabled(differentiable):
        value = function(*args, **kwargs)
    found = Tensors()
    tree = encode(value, found, _number)
    left = {
        "changed": [index for index in own if raw(met[index]) != arrived[index][1]],
        "frozen": [[i, met[i].requires_grad] for i in own if met[i].requires_grad != arrived[i][2]],
        "modes": [module.training for module in modules],
        "random": not torch.equal(torch.get_rng_state(), random_state),
    }
    return tree, found, left, met


def _call(data: bytes) -> tuple[dict, bytes]:
    """The value, and what the call has left behind; the tensors that it changed come after those of the value."""
    tree, found, left, arguments = _called(data)
    count = len(found)
    for index in left["changed"]:
        found.add(arguments[index].detach())
    described, parts = found.described()
    return {"value": tree, "count": count, "tensors": described, **left}, parts


def _gradient(data: bytes) -> tuple[dict, bytes]:
    """The vector-Jacobian product: the call once more, and back from its outputs to the tensors that require grad."""
    request, outer = pickle.loads(data)
    _, found, *_ = _called(request)
    outputs = [tensor for tensor in found if tensor.requires_grad]
    used = [(tensor, gradient) for tensor, gradient in zip(outputs, outer, strict=True) if gradient is not None]
    asked = [index for index, (_, _, requires_grad) in enumerate(ARRIVED) if requires_grad]
    leaves = {index: ARRIVED[index][0] for index in asked if ARRIVED[index][0].requires_grad}  # not those frozen since
    outputs, outer = zip(*used, strict=True)
    gradients = torch.autograd.grad(outputs, list(leaves.values()), outer, allow_unused=True)
    gradients = dict(zip(leaves, gradients, strict=True))
    found = Tensors()
    tree = encode([gradients.get(index) for index in asked], found, _number)
    described, parts = found.described()
    return {"value": tree, "tensors": described}, parts
