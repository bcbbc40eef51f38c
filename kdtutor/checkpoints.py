"""Weights on disk: safetensors with a record of where they came from. Never a pickle, so loading runs no code."""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize
from torch import nn

from kdtutor._io import write


def save(model: nn.Module, path: str | Path, record: dict[str, Any] | None = None, half: bool = False) -> None:
    """Write the model's weights to `path` with a JSON `record` beside them in the same file.

    `half` stores floating-point weights in 16 bits. The file is whole or absent. Raises OSError where it can't be
    written.
    """
    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in model.state_dict().items()}
    if half:
        for name, tensor in tensors.items():
            if tensor.is_floating_point():
                tensors[name] = tensor.half()
                if tensor.isfinite().all() and not tensors[name].isfinite().all():
                    raise ValueError(f"half needs weights within ±65504, got larger ones in {name!r}")
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
        raise ValueError(f"path must name a whole safetensors file, got {path}, which is damaged ({error})") from error
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if wanted != found:
        name = next(name for name in [*wanted, *found] if wanted.get(name) != found.get(name))
        raise ValueError(
            f"model must have the architecture that was saved in {path.name}; they differ at {name!r}: "
            f"the model has {wanted.get(name, 'no such weight')}, the file {found.get(name, 'no such weight')}"
        )
    model.load_state_dict(tensors)
    return record
