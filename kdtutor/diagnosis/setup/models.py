"""The user's models: called for experiments, and handed back as they came. Part of `check_run`."""

import math
import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain

import numpy as np
import torch
from torch import Tensor, nn

from kdtutor._check import describe_type, shape
from kdtutor._device import dtype_of, on_device, seeded, threads, threads_for
from kdtutor._text import one_line
from kdtutor.data import as_input

BATCH_SIZE = 256


def device_of(model: nn.Module) -> torch.device:
    """Where the model's first parameter or buffer lies; the CPU if it has none."""
    first = next(chain(model.parameters(), model.buffers()), None)
    return torch.device("cpu") if first is None else first.device


def call_model(name: str, model: nn.Module, inputs: Tensor) -> Tensor:
    """The model's logits (n, C) on the CPU, in the mode in which it stands. Raises one sentence if it gives none."""
    try:
        logits = model(as_input(inputs, dtype_of(model)).to(device_of(model)))
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        reason = one_line(error)
        raise ValueError(f"{name} must accept a batch of its inputs, got {reason} for {shape(inputs)}") from error

    if not isinstance(logits, Tensor) or not logits.is_floating_point():
        raise TypeError(f"{name} must map inputs to a tensor of logits (B, C), got {describe_type(logits)}")
    if logits.dim() != 2 or len(logits) != len(inputs):
        raise ValueError(f"{name} must map inputs to logits ({len(inputs)}, C), got shape {shape(logits)}")
    return logits.cpu()


@torch.no_grad()
def logits_in_eval_mode(name: str, model: nn.Module, inputs: Tensor) -> Tensor:
    """The model's logits (n, C) in eval mode, on the CPU, in the precision in which it gives them."""
    device = device_of(model)
    with on_device(model, device, training=False), threads(threads_for(model, inputs, BATCH_SIZE, device)):
        return torch.cat([call_model(name, model, part) for part in inputs.split(BATCH_SIZE)])


def unusable(logits: Tensor) -> Tensor:
    """Rows of (n, C) that hold NaN, or are infinite in more than masked classes (-inf): (n,) bool."""
    return logits.isnan().any(1) | (logits == math.inf).any(1) | (logits == -math.inf).all(1)


@contextmanager
def preserve_state(*models: nn.Module, data: object = None) -> Iterator[None]:
    """Whatever is done inside is undone afterwards: the models' attributes, modes, weights, buffers and gradients are
    restored, and the states of the random generators, the global ones and `data`'s own. Inside, what is random follows
    from a seed."""
    every_model = nn.ModuleList(models)
    with ExitStack() as afterwards:  # makes the calls registered below when the block ends, the last one first
        afterwards.callback(random.setstate, random.getstate())
        afterwards.callback(np.random.set_state, np.random.get_state())
        for owner in (data, getattr(data, "sampler", None)):  # a DataLoader may have a generator, and its sampler
            generator = getattr(owner, "generator", None)
            if isinstance(generator, torch.Generator):
                afterwards.callback(generator.set_state, generator.get_state())

        for module in every_model.modules():
            afterwards.callback(setattr, module, "training", module.training)
            for table in (vars(module), module._parameters, module._buffers, module._modules):
                if isinstance(table, dict):  # TorchScript's tables aren't
                    afterwards.callback(table.update, dict(table))
                    afterwards.callback(table.clear)

        tensors = [*every_model.parameters(), *every_model.buffers()]
        for parameter in every_model.parameters():
            afterwards.callback(parameter.requires_grad_, parameter.requires_grad)
            afterwards.callback(setattr, parameter, "grad", parameter.grad)
            if parameter.grad is not None:
                tensors.append(parameter.grad)
        for tensor in tensors:
            afterwards.callback(_rewrite, tensor, tensor.detach().clone())

        with seeded(0, device_of(every_model)):
            random.seed(0)
            np.random.seed(0)
            yield


def _rewrite(tensor: Tensor, content: Tensor) -> None:
    with torch.no_grad():
        if not torch.equal(tensor, content):
            tensor.copy_(content)
