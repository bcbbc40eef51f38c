"""Weights on disk: safetensors with a record of where they came from. Never a pickle, so loading runs no code."""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize
from torch import Tensor, nn

from kdtutor._io import write


def save(model: nn.Module, path: str | Path, record: dict[str, Any] | None = None, half: bool = False) -> None:
    """Write the model's weights to `path` with a JSON `record` beside them in the same file.

    `half` stores floating-point weights in 16 bits. The file is complete or absent. Raises OSError where it can't be
    written, and ValueError for weights too large for 16 bits.
    """
    tensors = {}
    for name, tensor in model.state_dict().items():
        tensor = tensor.detach().cpu().clone().contiguous()
        if half and tensor.is_floating_point():
            tensor = _halved(name, tensor)
        tensors[name] = tensor
    write(Path(path), serialize(tensors, metadata={"record": json.dumps(record or {})}))


def load(model: nn.Module, path: str | Path) -> dict[str, Any]:
    """Fill `model` with the weights at `path`, in the model's own precision; returns the record saved with them.

    Raises FileNotFoundError, or ValueError if the file is damaged or holds another architecture's weights; the model
    is then left as it was.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"path must name a checkpoint, got {path}, which isn't a file")
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            record = json.loads((file.metadata() or {}).get("record", "{}"))
    except (SafetensorError, ValueError) as error:
        raise ValueError(
            f"path must name a complete safetensors file, got {path}, which is damaged ({error})"
        ) from error

    shapes_in_model = _shapes(model.state_dict())
    shapes_in_file = _shapes(tensors)
    for name in [*shapes_in_model, *shapes_in_file]:
        in_model = shapes_in_model.get(name, "no such weight")
        in_file = shapes_in_file.get(name, "no such weight")
        if in_model != in_file:
            raise ValueError(
                f"model must have the architecture that was saved in {path.name}; they differ at {name!r}: "
                f"the model has {in_model}, the file {in_file}"
            )
    model.load_state_dict(tensors)
    return record


def _halved(name: str, tensor: Tensor) -> Tensor:
    half = tensor.half()
    if tensor.isfinite().all() and not half.isfinite().all():
        raise ValueError(f"half needs weights within ±65504, got larger ones in {name!r}")
    return half


def _shapes(tensors: dict[str, Tensor]) -> dict[str, object]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}
