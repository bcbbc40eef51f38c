"""Student's functions as the tests see them: to call one is a request to the sandbox, differentiable like the original.

Nothing of the answer is run here. It is plain data, and what it may change is limited to the networks of the call.
"""

import inspect
import io
import pickle
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from kdtutor.grading.sandbox.arguments import ArgumentPickler, function_by_number, indices_kept, modules_in
from kdtutor.grading.sandbox.values import decode

Read = Callable[[dict, list[Tensor]], object]  # of an answer: its head and its tensors


class Connection(NamedTuple):
    """What a proxy needs of the worker that has its original.

    ask: ask(head, payload, read) sends a request, and returns read(answer, tensors). RuntimeError, one sentence, if
        there is no answer, if it is an error, or if `read` fails: then the answer isn't what a worker sends.
    why_ended: why the worker is gone; empty while it runs.
    """

    ask: Callable[[dict, bytes, Read], object]
    why_ended: Callable[[], str]


class Proxy:
    """A function of the student's: to call it calls the original in the sandbox.

    Differentiable once in the floating-point tensors among its arguments, networks' parameters included. What the
    original changes in networks that it is given (weights, buffers, modes, what is frozen) is changed here, too; all
    else it gets as copies. Raises RuntimeError with one sentence where the original raises, is stopped, or returns what
    can't be handed to the tests.
    """

    def __init__(self, connection: Connection, number: int, name: str, doc: str, signature: list | None) -> None:
        self._connection = connection
        self._number = int(number)
        self.__name__ = str(name)
        self.__qualname__ = self.__name__
        self.__doc__ = str(doc)
        if signature is not None:
            self.__signature__ = _signature(signature)

    # A call goes to the worker as one pickle: the function's number, the arguments and the random state. The answer has
    # the value as a tree, its tensors, and what happened to the networks. For a gradient the same pickle is sent again.

    def __call__(self, *args: object, **kwargs: object) -> object:
        why_ended = self._connection.why_ended()
        if why_ended:
            raise RuntimeError(f"{self.__name__} can't be called any more: {why_ended}")

        request, tensors = self._pickled(args, kwargs)
        read = partial(self._read, request, tensors, [args, kwargs])
        return self._connection.ask({"request": "call"}, request, read)

    def _read(self, request: bytes, tensors: list[Tensor], given: list, answer: dict, parts: list[Tensor]) -> object:
        """The value of the answer to a call. Of what was given (all of it, and the tensors in it), the networks change
        as they did there."""
        count = answer["count"]  # of the value's tensors; after them come those that the call has changed
        outputs = parts[:count]
        differentiable = [bool(requires_grad) for _, _, requires_grad, _ in answer["tensors"][:count]]
        leaves = [tensor for tensor in tensors if tensor.requires_grad]  # as they came, before the call froze any
        _apply_effects(answer, parts[count:], tensors, modules_in(given))
        if leaves and any(differentiable):
            outputs = _RemoteCall.apply(self._connection.ask, request, outputs, differentiable, *leaves)
        return decode(answer["value"], outputs, partial(Proxy, self._connection))

    def _pickled(self, args: tuple, kwargs: dict) -> tuple[bytes, list[Tensor]]:
        """The call for the worker, and the tensors that it takes along."""
        file = io.BytesIO()
        pickler = ArgumentPickler(file)
        try:
            pickler.dump((self, args, kwargs, torch.get_rng_state(), torch.is_grad_enabled()))
        except Exception as error:
            raise RuntimeError(f"the arguments of {self.__name__} can't be sent to the sandbox: {error}") from None
        return file.getvalue(), pickler.tensors

    def __reduce__(self) -> tuple[Callable, tuple[int]]:
        return function_by_number, (self._number,)  # in the worker it is the original

    def __repr__(self) -> str:
        return f"<{self.__name__}, in the sandbox>"


def _signature(described: list) -> inspect.Signature:
    parameters = []
    for name, kind, has_default, default in described:
        if not has_default:
            default = inspect.Parameter.empty
        parameters.append(inspect.Parameter(name, inspect._ParameterKind(kind), default=default))
    return inspect.Signature(parameters)


def _apply_effects(answer: dict, changed: list[Tensor], tensors: list[Tensor], modules: list[nn.Module]) -> None:
    """Do to the networks here what the call has done to those there. ValueError if it names other tensors."""
    named = {*answer["changed"], *(index for index, _ in answer["frozen"])}
    if named - {*indices_kept(tensors, modules)}:
        raise ValueError("only networks are changed by a call")
    with torch.no_grad():
        for index, tensor in zip(answer["changed"], changed, strict=True):
            tensors[index].copy_(tensor)
    for index, requires_grad in answer["frozen"]:
        tensors[index].requires_grad_(bool(requires_grad))
    for module, training in zip(modules, answer["modes"], strict=True):
        module.training = bool(training)
    if answer["random"]:
        torch.rand(())  # so that the next call draws others; the state itself isn't taken from there


class _RemoteCall(torch.autograd.Function):
    """The tensors that a call returned, as functions of those that it was given."""

    @staticmethod
    def forward(ctx, ask: Callable, request: bytes, outputs: list[Tensor], differentiable: list[bool], *leaves: Tensor):
        ctx.ask = ask
        ctx.request = request
        ctx.differentiable = differentiable
        ctx.set_materialize_grads(False)  # an output that isn't used has no gradient, rather than one of zeros
        constant = [output for output, yes in zip(outputs, differentiable, strict=True) if not yes]
        ctx.mark_non_differentiable(*constant)
        return tuple(outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx, *gradients: Tensor):
        used = [gradient for gradient, yes in zip(gradients, ctx.differentiable, strict=True) if yes]
        request = pickle.dumps((ctx.request, used))
        leaf_gradients = ctx.ask({"request": "gradient"}, request, _read_gradients)
        return None, None, None, None, *leaf_gradients


def _read_gradients(answer: dict, parts: list[Tensor]) -> list[Tensor | None]:
    """One per leaf of the call."""
    return [*decode(answer["value"], parts, _no_function)]


def _no_function(*_: object) -> None:
    raise ValueError("a gradient holds no function")
