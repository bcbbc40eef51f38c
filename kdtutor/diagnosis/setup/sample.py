"""What `check_run` looks at: a run's models and a sample of its data, lent for experiments and handed back as they
came. What is a mistake isn't decided here."""

import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import IterableDataset

from kdtutor._check import came, shape
from kdtutor._device import dtype_of, on_device, seeded, threads, threads_for
from kdtutor.data import Split, as_input
from kdtutor.diagnosis.findings import Finding

SEED = 1503_02531  # of the sample: not 0, by which others draw their subsets and label noise
LARGEST = 64_000_000  # numbers in the sample's inputs: 256 MB in float32


@dataclass
class Run:
    """A distillation as it is set up, n examples of its data, and what was found so far.

    inputs (n, ...): the examples as data gives them, a Split's uint8 as 0..1; student_inputs and teacher_inputs: after
    the transforms. labels (n,); cached: logits (n, C) or None. fresh: what shows the student another view of an
    example each time, "transform" or "data", or "".
    """

    teacher: nn.Module
    student: nn.Module
    modules: tuple[nn.Module, ...]
    optimizers: tuple[torch.optim.Optimizer, ...] | None
    inputs: Tensor
    labels: Tensor
    student_inputs: Tensor
    teacher_inputs: Tensor
    cached: Tensor | None
    fresh: str
    mistakes: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)
    checked: list[str] = field(default_factory=list)
    not_checked: list[str] = field(default_factory=list)

    def mistake(self, name: str, what: str, effect: str, fix: str) -> None:
        """Add a mistake."""
        self.mistakes.append(Finding(name, what, effect, fix))

    def note(self, name: str, what: str, effect: str, fix: str) -> None:
        """Add a note: what may be meant, or may come from elsewhere."""
        self.notes.append(Finding(name, what, effect, fix))


def device_of(model: nn.Module) -> torch.device:
    """Where the model's first parameter or buffer lies; the CPU if it has none."""
    return next((tensor.device for tensor in chain(model.parameters(), model.buffers())), torch.device("cpu"))


def ask(name: str, model: nn.Module, inputs: Tensor) -> Tensor:
    """The model's logits (n, C) on the CPU, in the mode in which it stands. Raises one sentence if it has none."""
    try:
        logits = model(as_input(inputs, dtype_of(model)).to(device_of(model)))
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise ValueError(
            f"{name} must accept a batch of its inputs, got {' '.join(str(error).split())} for {shape(inputs)}"
        ) from error
    if not isinstance(logits, Tensor) or not logits.is_floating_point():
        raise TypeError(f"{name} must map inputs to a tensor of logits (B, C), got {came(logits)}")
    if logits.dim() != 2 or len(logits) != len(inputs):
        raise ValueError(f"{name} must map inputs to logits ({len(inputs)}, C), got shape {shape(logits)}")
    return logits.cpu()


@torch.no_grad()
def answers(name: str, model: nn.Module, inputs: Tensor) -> Tensor:
    """The model's logits (n, C) in eval mode, at least float32."""
    device = device_of(model)
    with on_device(model, device, training=False), threads(threads_for(model, inputs, 256, device)):
        logits = torch.cat([ask(name, model, part) for part in inputs.split(256)])
    return logits if logits.dtype == torch.float64 else logits.float()


@contextmanager
def untouched(*models: nn.Module, data: object = None) -> Iterator[None]:
    """Whatever is done inside, the models' attributes, modes, weights, buffers and gradients, and the states of
    `data`'s and all global generators, are afterwards what they were. Inside, what is random follows from a seed."""
    modules = list(dict.fromkeys(chain.from_iterable(model.modules() for model in models)))
    modes = [(module, module.training) for module in modules]
    tables = chain.from_iterable((vars(m), m._parameters, m._buffers, m._modules) for m in modules)
    attributes = [(table, dict(table)) for table in tables if isinstance(table, dict)]  # TorchScript's are none
    parameters = dict.fromkeys(chain.from_iterable(model.parameters() for model in models))
    wanted = [(parameter, parameter.requires_grad, parameter.grad) for parameter in parameters]
    tensors = chain(
        parameters, *(model.buffers() for model in models), (grad for *_, grad in wanted if grad is not None)
    )
    contents = [(tensor, tensor.detach().clone()) for tensor in tensors]
    owners = (data, getattr(data, "sampler", None))
    own = {g: g.get_state() for g in (getattr(o, "generator", None) for o in owners) if isinstance(g, torch.Generator)}
    python, numpy = random.getstate(), np.random.get_state()
    device = next((device_of(model) for model in models), torch.device("cpu"))
    try:
        with seeded(0, device):
            random.seed(0)
            np.random.seed(0)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        for generator, state in own.items():
            generator.set_state(state)
        for table, content in attributes:
            table.clear()
            table.update(content)
        for module, mode in modes:
            module.training = mode
        for parameter, requires_grad, grad in wanted:
            parameter.requires_grad_(requires_grad)
            parameter.grad = grad
        with torch.no_grad():
            for tensor, content in contents:
                if not torch.equal(tensor, content):
                    tensor.copy_(content)


def read(data: Any, examples: int, teacher_logits: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """Inputs, labels and cached logits, if any, of up to `examples` examples: at random of a Split, else the first."""
    if isinstance(data, Split):
        if teacher_logits is not None and len(teacher_logits) != len(data):
            raise ValueError(f"teacher_logits must be ({len(data)}, C), a row an example, got {shape(teacher_logits)}")
        size = _size(data.inputs[0], examples)
        rows = torch.randperm(len(data), generator=torch.Generator().manual_seed(SEED))[:size].sort().values
        images = data.inputs[rows].cpu()
        cached = None if teacher_logits is None else teacher_logits[rows.to(teacher_logits.device)].cpu()
        return (
            as_input(images, torch.float32) if images.dtype == torch.uint8 else images,
            data.labels[rows].cpu(),
            cached,
        )
    parts, count, size = [], 0, examples
    for batch in data:
        parts.append(_batch(batch))
        count, size = count + len(parts[-1][1]), _size(parts[0][0][0], examples)
        if count >= size:
            break
    if not count:
        raise ValueError("data must give at least one batch of (inputs, labels), got none")
    widths = {len(part) for part in parts}
    if len(widths) > 1 or (3 in widths and teacher_logits is not None):
        raise ValueError("cached logits must come with every batch, or as teacher_logits, and not as both")
    inputs, labels, *cached = (torch.cat(columns)[:size] for columns in zip(*parts, strict=True))
    if teacher_logits is not None and len(teacher_logits) < len(labels):
        raise ValueError(f"teacher_logits must have a row an example, {len(labels)} or more, got {len(teacher_logits)}")
    return (
        inputs,
        labels,
        cached[0] if cached else None if teacher_logits is None else teacher_logits[: len(labels)].cpu(),
    )


def _size(example: Tensor, examples: int) -> int:
    return min(examples, max(64, LARGEST // max(1, example.numel())))


def _batch(batch: object) -> tuple[Tensor, ...]:
    """A batch, checked, on the CPU."""
    if not isinstance(batch, tuple | list) or len(batch) not in (2, 3) or not all(isinstance(x, Tensor) for x in batch):
        kinds = ", ".join(map(came, batch)) if isinstance(batch, tuple | list) else came(batch)
        raise TypeError(f"data must give tensors (inputs, labels) or (inputs, labels, teacher_logits), got {kinds}")
    inputs, labels, *logits = batch
    if labels.dtype.is_floating_point or labels.dim() != 1 or not len(labels) == len(inputs) > 0:
        raise ValueError(
            "data must give labels (B,), an integer for each of the inputs, "
            f"got {came(labels)} {shape(labels)} for inputs {shape(inputs)}"
        )
    if logits and not (logits[0].is_floating_point() and logits[0].dim() == 2 and len(logits[0]) == len(labels)):
        got = f"{came(logits[0])} {shape(logits[0])}"
        raise ValueError(f"data's third part must be the teacher's logits ({len(labels)}, C), got {got}")
    return tuple(part.detach().cpu() for part in batch)


def view(name: str, transform: Callable[[Tensor], Tensor] | None, inputs: Tensor) -> Tensor:
    """The inputs after the transform; checked."""
    if transform is None:
        return inputs
    seen = transform(inputs.clone())
    if not isinstance(seen, Tensor) or seen.dim() < 2 or len(seen) != len(inputs):
        came_out = shape(seen) if isinstance(seen, Tensor) else came(seen)
        raise ValueError(f"{name} must give a tensor with a row for each of {len(inputs)} inputs, got {came_out}")
    return seen.detach().cpu()


def what_varies(data: Iterable, transform: Callable[[Tensor], Tensor] | None, inputs: Tensor) -> str:
    """What gives the same examples otherwise another time: "transform", "data", or "" if nothing does."""
    few = inputs[:64]
    if not torch.equal(view("transform", transform, few), view("transform", transform, few)):
        return "transform"
    if isinstance(data, Split):
        return ""
    items = getattr(data, "dataset", None)
    if hasattr(items, "__getitem__") and hasattr(items, "__len__") and not isinstance(items, IterableDataset):
        twice = [(items[row], items[row]) for row in range(min(4, len(items)))]
        pairs = [(before[0], after[0]) for before, after in twice if isinstance(before, tuple | list)]
    else:
        first, again = next(iter(data)), next(iter(data))
        pairs = [(first[0], again[0])] if torch.equal(first[1], again[1]) else []
    varied = any(isinstance(before, Tensor) and not torch.equal(before, after) for before, after in pairs)
    return "data" if varied else ""
