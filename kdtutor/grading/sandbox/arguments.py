"""The arguments of a call, on their way from the grader to the worker, and what is kept of the call's effect on them.

Arguments travel as pickles: they come from the side that is trusted. Nothing is unpickled that a worker has sent.
"""

import io
import pickle
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from kdtutor.grading.sandbox.messages import tensor_from_bytes, tensor_to_bytes


class Received(NamedTuple):
    """A tensor among the arguments, as it came to the worker."""

    tensor: Tensor
    data: bytes
    requires_grad: bool


RECEIVED: list[Received] = []  # in the worker: the tensors of the call, in the order of the grader's `tensors`
FUNCTIONS: list[object] = []  # in the worker: the student's functions that the tests may call, by number


class ArgumentPickler(pickle.Pickler):
    """Pickles the arguments of a call; keeps the plain tensors among them, in the order in which it meets them."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, protocol=5)
        self.tensors: list[Tensor] = []

    def reducer_override(self, value: Any) -> Any:
        if type(value) not in (Tensor, nn.Parameter) or value.layout != torch.strided:
            return NotImplemented
        self.tensors.append(value)
        is_parameter = type(value) is nn.Parameter
        shape = tuple(value.shape)
        return receive_tensor, (
            tensor_to_bytes(value), value.dtype, shape, is_parameter, value.requires_grad, value.is_leaf
        )  # fmt: skip


def receive_tensor(
    data: bytes, dtype: torch.dtype, shape: tuple[int, ...], is_parameter: bool, requires_grad: bool, is_leaf: bool
) -> Tensor:
    """In the worker: make the tensor and enter it in `RECEIVED`. If it was no leaf, return a copy: that can be changed
    in place, as it could be in the grader."""
    tensor = tensor_from_bytes(data, dtype, shape)
    if is_parameter:
        tensor = nn.Parameter(tensor, requires_grad)
    else:
        tensor.requires_grad_(requires_grad)
    RECEIVED.append(Received(tensor, data, requires_grad))
    return tensor if is_leaf else tensor.clone()


def number_of(function: object) -> int:
    """In the worker: the number by which the tests may call this function from now on."""
    for number, known in enumerate(FUNCTIONS):
        if known is function:
            return number
    FUNCTIONS.append(function)
    return len(FUNCTIONS) - 1


def function_by_number(number: int) -> object:
    """In the worker: the student's function of this number, for which a proxy stands among the arguments."""
    return FUNCTIONS[number]


def modules_in(value: object) -> list[nn.Module]:
    """All modules of the networks among arguments, in the same order on both sides."""
    if isinstance(value, nn.Module):
        return list(value.modules())
    if isinstance(value, dict):
        parts = value.values()
    elif isinstance(value, list | tuple):
        parts = value
    else:
        return []
    modules = []
    for part in parts:
        modules += modules_in(part)
    return modules


def indices_kept(tensors: list[Tensor], modules: list[nn.Module]) -> list[int]:
    """Of which of a call's tensors the grader takes over changes: parameters, and the buffers of these modules."""
    buffers = {id(buffer) for module in modules for buffer in module._buffers.values()}
    return [i for i, tensor in enumerate(tensors) if isinstance(tensor, nn.Parameter) or id(tensor) in buffers]
