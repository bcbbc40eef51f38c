"""What crosses the border between the tests and the process apart that runs a student's code.

There go pickles, from the side that is trusted. Back come only plain data, a tree in JSON and the tensors' bytes: to
read them runs no code, whoever wrote them.
"""

import inspect
import io
import json
import pickle
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kdtutor.data import Dataset, Split
from kdtutor.models import Ensemble
from kdtutor.results import History

FRAME = struct.Struct("<IQ")  # before each message: the length of its JSON, and that of the bytes after it
RECORDS = {cls.__name__: cls for cls in (Dataset, History, Split)}
DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float16,
                  torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128)
}  # fmt: skip
Tree = Any  # of None, bool, int, float, str, and lists [kind, …]


def frame(head: dict, raw: bytes = b"") -> bytes:
    """A message: its lengths, its JSON, its bytes."""
    text = json.dumps(head).encode()
    return FRAME.pack(len(text), len(raw)) + text + raw


def raw(tensor: Tensor) -> bytes:
    """The tensor's numbers, row by row."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def cooked(data: bytes, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    """The tensor of these numbers; ValueError or RuntimeError unless they fill the shape."""
    if dtype is torch.bool:
        return cooked(data, torch.uint8, shape) != 0
    return (torch.frombuffer(bytearray(data), dtype=dtype) if data else torch.empty(0, dtype=dtype)).reshape(shape)


class Tensors(list):
    """The tensors of a message, beside its tree."""

    def add(self, tensor: Tensor) -> int:
        """Its place in the list."""
        if type(tensor) is not Tensor or tensor.layout != torch.strided or tensor.dtype not in DTYPES.values():
            raise TypeError(
                f"a {type(tensor).__name__} of {tensor.dtype} can't be handed to the tests, as it isn't plain"
            )
        self.append(tensor)
        return len(self) - 1

    def described(self) -> tuple[list, bytes]:
        """For each its dtype, shape and whether it is differentiable; and the bytes of all."""
        parts = [raw(tensor) for tensor in self]
        kinds = [[str(t.dtype).removeprefix("torch."), list(t.shape), t.requires_grad] for t in self]
        return [[*kind, len(part)] for kind, part in zip(kinds, parts, strict=True)], b"".join(parts)


def tensors(described: list, data: bytes) -> list[Tensor]:
    """The tensors of a message that came."""
    view, start, result = memoryview(data), 0, []
    for dtype, shape, _, length in described:
        result.append(cooked(bytes(view[start : start + length]), DTYPES[dtype], shape))
        start += length
    return result


def encode(value: object, found: Tensors, given: Callable[[object], int]) -> Tree:
    """A tree for the value; its tensors are added to `found`, its functions numbered by `given`. TypeError for what
    isn't plain: an instance of a class of one's own could pretend to be anything."""
    kind = type(value)

    def deep(part: object) -> Tree:
        return encode(part, found, given)

    if value is None or kind in (bool, int, float, str):
        return value
    if value is ...:
        return ["..."]
    if kind in (list, tuple, set, torch.Size):
        return ["list" if kind is list else "set" if kind is set else "tuple", [deep(part) for part in value]]
    if kind is dict:
        return ["dict", [[deep(key), deep(part)] for key, part in value.items()]]
    if kind is nn.Parameter:
        return ["parameter", found.add(value.detach()), value.requires_grad]
    if isinstance(value, Tensor):
        return ["tensor", found.add(value)]
    if kind is np.ndarray and value.dtype != object:
        return ["array", found.add(torch.from_numpy(np.ascontiguousarray(value)))]
    if isinstance(value, np.generic):
        return deep(value.item())
    if kind in (torch.dtype, torch.device):
        return [kind.__name__, str(value).removeprefix("torch.")]
    if RECORDS.get(kind.__name__) is kind:
        return ["record", kind.__name__, {name: deep(part) for name, part in vars(value).items()}]
    if isinstance(value, nn.Module):
        return _encode_module(value, found, given)
    if inspect.isroutine(value) or inspect.isclass(value):
        return ["function", given(value), str(value.__name__), str(value.__doc__ or "")[:2000], _signature(value)]
    raise TypeError(
        f"an object of class {kind.__name__} can't be handed to the tests: only plain values and torch.nn's networks"
    )


BASE = {*vars(nn.Module())} - {"training"}


def _encode_module(module: nn.Module, found: Tensors, given: Callable[[object], int]) -> Tree:
    name = type(module).__name__
    if _class(name) is not type(module):
        raise TypeError(f"a network of class {name} can't be handed over, only those that are made of torch.nn's own")
    before = len(found)
    plain = {key: encode(value, found, given) for key, value in vars(module).items() if key not in BASE}
    if len(found) > before:
        raise TypeError(f"a network with {name} can't be handed over")
    parts = (module._parameters, module._buffers, module._modules)
    return ["module", name, plain, *({key: encode(v, found, given) for key, v in part.items()} for part in parts)]


def _class(name: str) -> type[nn.Module] | None:
    found = Ensemble if name == "Ensemble" else getattr(nn, name, None)
    return found if inspect.isclass(found) and issubclass(found, nn.Module) else None


def _signature(function: Callable) -> Tree:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    simple = (None.__class__, bool, int, float, str)
    return [
        [
            p.name,
            int(p.kind),
            p.default is not p.empty,
            p.default if type(p.default) in simple else repr(p.default)[:99],
        ]
        for p in parameters
    ]


def decode(tree: Tree, found: list[Tensor], function: Callable[..., Callable]) -> object:
    """The value of a tree. Any exception means that the tree is none of ours."""
    if not isinstance(tree, list):
        return tree
    kind, *rest = tree

    def deep(part: Tree) -> object:
        return decode(part, found, function)

    match kind:
        case "...":
            return ...
        case "list" | "tuple" | "set":
            return {"list": list, "tuple": tuple, "set": set}[kind](map(deep, rest[0]))
        case "dict":
            return {deep(key): deep(value) for key, value in rest[0]}
        case "tensor":
            return found[rest[0]]
        case "parameter":
            return nn.Parameter(found[rest[0]], requires_grad=rest[1])
        case "array":
            return found[rest[0]].detach().numpy()
        case "dtype":
            return DTYPES[rest[0]]
        case "device":
            return torch.device(rest[0])
        case "record":
            return RECORDS[rest[0]](**{key: deep(value) for key, value in rest[1].items()})
        case "module":
            return _decode_module(*rest[:2], *({key: deep(v) for key, v in part.items()} for part in rest[2:]))
        case "function":
            return function(*rest)
    raise ValueError(f"no such kind: {kind!r}")


def _decode_module(name: str, plain: dict, parameters: dict, buffers: dict, modules: dict) -> nn.Module:
    cls = _class(name)
    module = cls.__new__(cls)
    nn.Module.__init__(module)
    for key, value in plain.items():
        if key in BASE or callable(getattr(cls, key, None)):
            raise ValueError(f"{key} isn't a network's setting")
        module.__dict__[key] = decode(value, [], lambda *_: None)
    for key, value in parameters.items():
        module.register_parameter(key, value)
    for key, value in buffers.items():
        module.register_buffer(key, value)
    for key, value in modules.items():
        module.add_module(key, value)
    return module


class Pickler(pickle.Pickler):
    """Pickles the arguments of a call; keeps the plain tensors that it met, in order."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, protocol=5)
        self.met: list[Tensor] = []

    def reducer_override(self, value: object) -> Any:
        if type(value) not in (Tensor, nn.Parameter) or value.layout != torch.strided:
            return NotImplemented
        self.met.append(value)
        kind = (type(value) is nn.Parameter, value.requires_grad, value.is_leaf)
        return arrived, (raw(value), value.dtype, tuple(value.shape), *kind)


ARRIVED: list[tuple[Tensor, bytes, bool]] = []  # on the other side: the tensors, their bytes and requires_grad


def arrived(
    data: bytes, dtype: torch.dtype, shape: tuple[int, ...], parameter: bool, requires_grad: bool, leaf: bool
) -> Tensor:
    """A tensor on its arrival, entered in `ARRIVED`. If it was no leaf, a copy: that can be changed in place."""
    tensor = cooked(data, dtype, shape)
    tensor = nn.Parameter(tensor, requires_grad) if parameter else tensor.requires_grad_(requires_grad)
    ARRIVED.append((tensor, data, requires_grad))
    return tensor if leaf else tensor.clone()


def kept(tensors: list[Tensor], modules: list[nn.Module]) -> list[int]:
    """Which of a call's tensors a change is kept of: parameters, and the buffers of these networks."""
    buffers = {id(buffer) for module in modules for buffer in module._buffers.values()}
    return [i for i, tensor in enumerate(tensors) if isinstance(tensor, nn.Parameter) or id(tensor) in buffers]


def networks(value: object) -> list[nn.Module]:
    """All modules of the networks among arguments, in one order on both sides."""
    if isinstance(value, nn.Module):
        return list(value.modules())
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [module for part in parts for module in networks(part)]
