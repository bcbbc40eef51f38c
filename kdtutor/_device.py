"""Device, mode, threads and random state for the time of a call; afterwards all of it is as it was before."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from kdtutor._check import check_seed

CPU = torch.device("cpu")

# Up to this many multiplications in a batch's forward pass, one thread. Measured on two cores: for 784-128-10 at batch
# size 256 (26 million) a second thread makes training 1.5 times faster while the machine is quiet, and 3 times slower
# while something else keeps one core busy, because small products then wait for each other all the time.
MAX_ONE_THREAD_MULTIPLICATIONS = 30_000_000


def pick_device(device: str | torch.device | None = None) -> torch.device:
    """The device that was named, else the GPU if there is one, else the CPU.

    Raises ValueError for a name that torch doesn't know, and for a GPU where torch finds none.
    """
    if device is None or device == "":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"device must be one that torch knows, such as cpu or cuda, got {device!r}") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device must be one that torch can use, got {device}, and torch finds no GPU")
    return device


def dtype_of(model: nn.Module) -> torch.dtype:
    """The precision of the model's parameters; float32 if it has none."""
    first = next(model.parameters(), None)
    return torch.float32 if first is None else first.dtype


@contextmanager
def on_device(model: nn.Module, device: torch.device, training: bool) -> Iterator[None]:
    """The model on `device`, in train or eval mode; afterwards where and as it was, module by module."""
    modes = {module: module.training for module in model.modules()}
    first = next(model.parameters(), None)
    home = device if first is None else first.device
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


def fits_one_thread(model: nn.Module, inputs: Tensor, batch_size: int, copies: int = 1) -> bool:
    """Whether a batch of `inputs` (N, ...) is so little work for the model, or for this many copies of it, that one
    thread is enough. False where the work isn't known.

    The work is known of networks that use each weight once per example: their matrices belong to linear layers, of
    which the first takes all of the example. It is counted, not timed, so that a training can be repeated to the last
    bit.
    """
    layers = [module for module in model.modules() if isinstance(module, nn.Linear)]
    if not layers or layers[0].in_features != math.prod(inputs.shape[1:]):
        return False

    matrices = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    if len(matrices) != len(layers):
        return False

    weights = sum(layer.in_features * layer.out_features for layer in layers)
    return copies * weights * min(batch_size, len(inputs)) <= MAX_ONE_THREAD_MULTIPLICATIONS


def threads_for(model: nn.Module, inputs: Tensor | None, batch_size: int, device: torch.device, copies: int = 1) -> int:
    """How many threads to use for the model over `inputs`: one for small work on a CPU, else all that the process has.
    `inputs` is None where they can't be told in advance; the work counts as large then."""
    if inputs is not None and device.type == "cpu" and fits_one_thread(model, inputs, batch_size, copies):
        return 1
    return torch.get_num_threads()


@contextmanager
def seeded(seed: int | None, device: torch.device = CPU) -> Iterator[None]:
    """Whatever is drawn inside from torch's global generators (initial weights, dropout, a DataLoader's shuffle)
    follows from `seed`; afterwards the generators are as before. With seed None nothing is changed."""
    if seed is None:
        yield
        return
    check_seed(seed)
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(int(seed))
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(int(seed))
        yield
