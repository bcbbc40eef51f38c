"""The format of the messages between the grader and the worker: JSON, and beside it the bytes of tensors.

To read a message runs no code, whoever wrote it. What its JSON means is handled in `values`.
"""

import json
import struct

import torch
from torch import Tensor

HEADER = struct.Struct("<IQ")  # before each message: the length of its JSON, and that of the bytes after it
DTYPES = {
    "bool": torch.bool,
    "uint8": torch.uint8,
    "int8": torch.int8,
    "int16": torch.int16,
    "int32": torch.int32,
    "int64": torch.int64,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float32": torch.float32,
    "float64": torch.float64,
    "complex64": torch.complex64,
    "complex128": torch.complex128,
}


def pack(head: dict, data: bytes = b"") -> bytes:
    """A message: its lengths, its JSON, its bytes."""
    text = json.dumps(head).encode()
    return HEADER.pack(len(text), len(data)) + text + data


def tensor_to_bytes(tensor: Tensor) -> bytes:
    """The tensor's numbers, row by row."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def tensor_from_bytes(data: bytes, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    """The tensor of these numbers; ValueError or RuntimeError unless they fill the shape."""
    if dtype is torch.bool:  # any byte but 0 is True: no other bit pattern gets into a tensor of bool
        return tensor_from_bytes(data, torch.uint8, shape) != 0
    if not data:
        return torch.empty(0, dtype=dtype).reshape(shape)
    return torch.frombuffer(bytearray(data), dtype=dtype).reshape(shape)


class Tensors(list):
    """The tensors of a message that is being written."""

    def add(self, tensor: Tensor) -> int:
        """Append a tensor and return its place in the list. TypeError unless it is a plain one."""
        if type(tensor) is not Tensor or tensor.layout != torch.strided or tensor.dtype not in DTYPES.values():
            raise TypeError(
                f"a {type(tensor).__name__} of {tensor.dtype} can't be handed to the tests, as it isn't plain"
            )
        self.append(tensor)
        return len(self) - 1

    def pack(self) -> tuple[list, bytes]:
        """For each tensor [dtype, shape, requires_grad, number of bytes]; and the bytes of all."""
        descriptions, parts = [], []
        for tensor in self:
            part = tensor_to_bytes(tensor)
            dtype = str(tensor.dtype).removeprefix("torch.")
            descriptions.append([dtype, list(tensor.shape), tensor.requires_grad, len(part)])
            parts.append(part)
        return descriptions, b"".join(parts)


def unpack_tensors(descriptions: list, data: bytes) -> list[Tensor]:
    """The tensors of a message that was received. Any exception means that it isn't as `Tensors.pack` makes it."""
    view = memoryview(data)
    tensors, start = [], 0
    for dtype, shape, _, length in descriptions:
        part = bytes(view[start : start + length])
        tensors.append(tensor_from_bytes(part, DTYPES[dtype], shape))
        start += length
    return tensors
