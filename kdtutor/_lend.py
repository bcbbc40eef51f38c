"""Models are lent to a device, a mode and a number of threads, and all of it is handed back as it came."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

# Up to so many multiplications in a batch's forward pass, one thread. Measured on two cores: for 784-128-10 at batch
# size 256 (26 million) a second thread makes training 1.5 times faster while the machine is quiet, and 3 times slower
# while something else keeps one core busy, because small products then wait for each other all the time.
SMALL = 30_000_000
LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


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


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Compute on `number` threads of the CPU; afterwards on as many as before."""
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(number)
        yield
    finally:
        torch.set_num_threads(before)


def threads_for(model: nn.Module, data: object, batch_size: int, device: torch.device, copies: int = 1) -> int:
    """How many threads serve the model, or so many copies of it, over `data`: one for small work, else all that the
    process has.

    The work is known for a Split and for inputs (N, ...), not for an iterable. It is counted, not timed, so that a run
    can be repeated to the last bit.
    """
    everything, inputs = torch.get_num_threads(), getattr(data, "images", data)
    if everything == 1 or device.type != "cpu" or not isinstance(inputs, Tensor) or hasattr(model, "_orig_mod"):
        return everything  # ("_orig_mod": it is compiled, and would be compiled anew for one example)
    example = torch.zeros(1, *inputs.shape[1:], dtype=dtype_of(model))
    work = copies * min(batch_size, len(inputs)) * multiplications(model, example)
    return 1 if work <= SMALL else everything


@torch.no_grad()
def multiplications(model: nn.Module, inputs: Tensor) -> float:
    """Those of one forward pass in eval mode, in linear and convolutional layers; infinite if other layers have
    matrices of weights, whose work isn't known."""
    counted = [module for module in model.modules() if isinstance(module, LAYERS)]
    known = {id(parameter) for layer in counted for parameter in layer.parameters()}
    if any(parameter.dim() > 1 and id(parameter) not in known for parameter in model.parameters()):
        return math.inf
    count = 0

    def add(layer: nn.Module, _: tuple, outputs: Tensor) -> None:
        nonlocal count
        count += outputs.numel() * layer.weight[0].numel()

    hooks = [layer.register_forward_hook(add) for layer in counted]
    try:
        with lent(model, inputs.device, training=False):
            model(inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return count
