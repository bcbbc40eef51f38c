"""The course's own teachers: how they are trained, and the trained ones that ship with the package.

A teacher is `cnn(dropout=0.4)` trained on images jittered by up to 2 pixels; `python -m kdtutor teacher` makes one. The
wide one of `kdtutor.course.hinton.reproduction` is built here, too.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kdtutor import checkpoints
from kdtutor._io import versions, write_json
from kdtutor.data import Dataset, Split, jitter
from kdtutor.evaluation import predict
from kdtutor.metrics import calibration_error, errors, nll
from kdtutor.models import cnn, count_parameters, mlp
from kdtutor.training import train

SHIPPED = Path(__file__).parent / "shipped"


class Dropout(nn.Dropout):
    """nn.Dropout, but faster on a CPU, where drawing uniform numbers costs less than drawing Bernoulli's."""

    def forward(self, inputs: Tensor) -> Tensor:
        if not self.training:
            return inputs
        kept = torch.rand(inputs.shape, device=inputs.device) >= self.p
        return inputs * kept.to(inputs.dtype).div_(max(1 - self.p, 1e-9))


def wide_teacher(seed: int | None = None) -> nn.Sequential:
    """A teacher like that of Hinton et al. 2015, section 3: 784-1200-1200-10, with dropout of 0.1 on the pixels and 0.4
    on the hidden units."""
    layers = []
    for layer in mlp(784, 1200, 1200, 10, seed=seed):
        layers.append(layer)
        if isinstance(layer, nn.Flatten):  # what follows are the pixels
            layers.append(Dropout(0.1))
        elif isinstance(layer, nn.ReLU):  # what follows are a layer's hidden units
            layers.append(Dropout(0.4))
    return nn.Sequential(*layers)


def load_teacher(name: str = "mnist", path: Path | None = None) -> tuple[nn.Module, dict[str, Any]]:
    """The trained teacher of a data set ("mnist" or "strokes") in eval mode, and the record of its training.

    Reads `path`, or the one that ships. Raises FileNotFoundError where there is none: train one with `train_teacher`.
    """
    teacher = cnn(dropout=0.4)
    record = checkpoints.load(teacher, path or teacher_path(name))
    return teacher.eval(), record


def teacher_path(name: str) -> Path:
    """Where the teacher of a data set ships."""
    return SHIPPED / f"teacher-{name}.safetensors"


def train_teacher(
    data: Dataset, epochs: int = 30, seed: int = 0, device: str | None = None, progress: bool = True
) -> tuple[nn.Module, dict[str, Any]]:
    """Train a teacher on `data.train` and measure it; the arguments are those of `fitting.fit`.

    Returns the teacher and its record: settings, versions, seconds, and how it does on validation and test images.
    Interrupted, it raises KeyboardInterrupt.
    """
    settings = {"epochs": epochs, "batch_size": 128, "lr": 2e-3, "seed": seed}
    teacher = cnn(dropout=0.4, seed=seed)
    history = train(teacher, data.train, augment=jitter, device=device, progress=progress, **settings)
    if history.interrupted:
        raise KeyboardInterrupt("interrupted: a half-trained teacher is not kept")

    teacher.half().float()  # measured as it will be stored, in half precision
    record = {
        "data": data.name,
        "model": "cnn(dropout=0.4)",
        "parameters": count_parameters(teacher),
        "settings": {**settings, "augment": "jitter, up to 2 pixels"},
        "seconds": round(history.seconds),
        "versions": versions(),
        "validation": _measure(teacher, data.validation, device),
        "test": _measure(teacher, data.test, device),
    }
    return teacher.eval(), record


def _measure(teacher: nn.Module, split: Split, device: str | None) -> dict[str, float]:
    logits = predict(teacher, split, device=device)
    return {
        "errors of 10,000": errors(logits, split.labels),
        "nll": round(nll(logits, split.labels), 5),
        "calibration error": round(calibration_error(logits, split.labels), 5),
    }


def save_teacher(teacher: nn.Module, record: dict[str, Any], path: Path) -> None:
    """Write the weights in half precision, and the record beside them as JSON."""
    checkpoints.save(teacher, path, record, half=True)
    write_json(record, path.with_suffix(".json"))
