"""Models are lent to a device and a mode, and handed back as they came."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


def pick_device(device: str | torch.device | None = None) -> torch.device:
    """The device that was named, else the GPU if there is one, else the CPU."""
    try:
        device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    except RuntimeError as error:
        raise ValueError(f"device must be one that torch knows, such as cpu or cuda, got {device!r}") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device must be one that torch can use, got {device}, and torch finds no GPU")
    return device


def dtype_of(model: nn.Module) -> torch.dtype:
    """The precision of the model's parameters; float32 if it has none."""
    return next((parameter.dtype for parameter in model.parameters()), torch.float32)


@contextmanager
def lent(model: nn.Module, device: torch.device, training: bool) -> Iterator[None]:
    """The model on `device`, in train or eval mode; handed back where and as it was, module by module."""
    modes = {module: module.training for module in model.modules()}
    home = next((parameter.device for parameter in model.parameters()), device)
    try:
        model.to(device).train(training)
        yield
    finally:
        model.to(home)
        for module, mode in modes.items():
            module.training = mode
