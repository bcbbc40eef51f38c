"""The worker: the process that runs cells, calls functions of a student's code, and answers.

The grader's side, `process`, starts it and trusts nothing that it says. What is printed is cut; exceptions become text.
"""

import contextlib
import json
import os
import pickle
import sys
import types
from collections.abc import Iterable
from typing import NamedTuple

import torch

from kdtutor.grading.sandbox import audit
from kdtutor.grading.sandbox.arguments import RECEIVED, Received, indices_kept, modules_in, number_of
from kdtutor.grading.sandbox.messages import HEADER, Tensors, pack, tensor_to_bytes
from kdtutor.grading.sandbox.shell import CappedOutput, Shell, compiled, describe, message_of
from kdtutor.grading.sandbox.values import Tree, encode

CELLS = types.ModuleType("__main__")  # where the cells run


def serve(folder: str, readable: Iterable[str]) -> None:
    """Answer requests until the grader is gone. Standard input and output lead to it: student code finds them empty."""
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)

    torch.set_num_threads(1)
    sys.modules["__main__"] = CELLS
    namespace = vars(CELLS)
    namespace["get_ipython"] = lambda: Shell(namespace)
    namespace["display"] = print
    audit.watch(folder, readable)

    answer = pack({"ready": True})
    while True:
        answers.write(answer)
        answers.flush()
        header = requests.read(HEADER.size)
        if len(header) < HEADER.size:
            os._exit(0)
        text_length, data_length = HEADER.unpack(header)
        head = json.loads(requests.read(text_length))
        data = requests.read(data_length)
        answer = _answer(head, data)


def _answer(head: dict, data: bytes) -> bytes:
    """Run a cell, call a function, or take its gradient; whatever happens, there is an answer."""
    printed = CappedOutput()
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            match head["request"]:
                case "run":
                    answer, parts = _run(head["source"], head["names"])
                case "call":
                    answer, parts = _call(data)
                case "gradient":
                    answer, parts = _gradient(data)
        answer["printed"] = str(printed)
        return pack(answer, parts)
    except BaseException as error:
        return pack({"error": describe(error), "printed": str(printed)})


def _run(source: str, names: list[str]) -> tuple[dict, bytes]:
    """Run a cell; its error, and what it has bound to these names by then."""
    error = None
    try:
        exec(compiled(source), vars(CELLS))
    except BaseException as problem:
        error = describe(problem)

    tensors = Tensors()
    values, lost = {}, {}
    for name in names:
        if name not in vars(CELLS):
            continue
        before = len(tensors)
        try:
            values[name] = encode(vars(CELLS)[name], tensors, number_of)
        except Exception as problem:
            del tensors[before:]
            lost[name] = message_of(problem)
    descriptions, data = tensors.pack()
    return {"error": error, "values": values, "lost": lost, "tensors": descriptions}, data


class Called(NamedTuple):
    """What a call has returned, and what it has left behind in the networks among its arguments."""

    value: Tree
    tensors: Tensors  # of the value
    received: list[Received]  # the tensors among the arguments
    effects: dict  # "changed", "frozen", "modes", "random": as `_effects` says


def _perform(data: bytes) -> Called:
    """Unpickle a call and make it."""
    RECEIVED.clear()
    function, args, kwargs, random_state, grad_enabled = pickle.loads(data)
    received = list(RECEIVED)
    modules = modules_in([args, kwargs])
    kept = indices_kept([argument.tensor for argument in received], modules)

    torch.set_rng_state(random_state)
    with torch.set_grad_enabled(grad_enabled):
        value = function(*args, **kwargs)

    tensors = Tensors()
    tree = encode(value, tensors, number_of)
    changed, frozen = [], []
    for index in kept:
        tensor, bytes_before, required_grad = received[index]
        if tensor_to_bytes(tensor) != bytes_before:
            changed.append(index)
        if tensor.requires_grad != required_grad:
            frozen.append([index, tensor.requires_grad])
    effects = {
        "changed": changed,  # the tensors with other numbers, as places among the arguments' tensors
        "frozen": frozen,  # [place, requires_grad] where that is another
        "modes": [module.training for module in modules],
        "random": not torch.equal(torch.get_rng_state(), random_state),  # whether random numbers were drawn
    }
    return Called(tree, tensors, received, effects)


def _call(data: bytes) -> tuple[dict, bytes]:
    """The value, and what the call has left behind; the tensors that it changed come after those of the value."""
    called = _perform(data)
    count = len(called.tensors)
    for index in called.effects["changed"]:
        called.tensors.add(called.received[index].tensor.detach())
    descriptions, parts = called.tensors.pack()
    answer = {"value": called.value, "count": count, "tensors": descriptions}
    answer.update(called.effects)
    return answer, parts


def _gradient(data: bytes) -> tuple[dict, bytes]:
    """The vector-Jacobian product: make the call once more, and go back from its outputs to the tensors that require
    grad.

    The worker keeps no graph of a call, as it can't know whether a gradient will be wanted; so the call is repeated. It
    does the same again, since its request holds all that it depends on: the arguments with their numbers of then, and
    the state of torch's random generator. (A function that counts its own calls would differ.)

    `data` is the pickle of the call's own pickle and the gradients at its outputs, None where an output isn't used.
    """
    request, output_gradients = pickle.loads(data)
    called = _perform(request)
    differentiable = [tensor for tensor in called.tensors if tensor.requires_grad]
    outputs, gradients_given = [], []
    for output, gradient in zip(differentiable, output_gradients, strict=True):
        if gradient is not None:
            outputs.append(output)
            gradients_given.append(gradient)

    wanted = [argument.tensor for argument in called.received if argument.requires_grad]
    leaves = [tensor for tensor in wanted if tensor.requires_grad]  # the call may have frozen some
    gradients = torch.autograd.grad(outputs, leaves, gradients_given, allow_unused=True)
    by_leaf = {id(leaf): gradient for leaf, gradient in zip(leaves, gradients, strict=True)}

    tensors = Tensors()
    tree = encode([by_leaf.get(id(tensor)) for tensor in wanted], tensors, number_of)
    descriptions, parts = tensors.pack()
    return {"value": tree, "tensors": descriptions}, parts
