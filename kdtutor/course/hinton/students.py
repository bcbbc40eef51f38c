"""How one student of the section is trained: on which images, towards which answers."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from kdtutor.course.hinton.choices import Method
from kdtutor.data import Dataset, Split
from kdtutor.models import mlp
from kdtutor.results import History
from kdtutor.training import distill, train


def transfer_set(method: Method, data: Dataset, answers: Mapping[str, Tensor], images: str) -> tuple[Split, Tensor]:
    """The images and labels that students of a method learn from, and the teacher's logits on them.

    Args:
        answers: the teacher's logits on "train" and "validation".
        images: "train", or "all": the training images and then the validation images.
    """
    split, logits = data.train, answers["train"]
    if images == "all":
        inputs = torch.cat([data.train.inputs, data.validation.inputs])
        split = Split(inputs, torch.cat([data.train.labels, data.validation.labels]))
        logits = torch.cat([answers["train"], answers["validation"]])

    kept = torch.isin(split.labels, torch.tensor(method.classes))
    return split[kept], logits[kept]


def train_student(
    method: Method, settings: Mapping[str, float], seed: int, split: Split, logits: Tensor, device: str | None
) -> nn.Module:
    """A student of a method without jittered images, trained with these settings on images that aren't shifted.

    Interrupted, it raises KeyboardInterrupt; FloatingPointError where its loss didn't stay finite.
    """
    network = mlp(784, method.units, method.units, 10, seed=seed)
    options: dict[str, Any] = {
        "lr": settings["lr"],
        "epochs": int(settings["epochs"]),
        "batch_size": method.batch_size,
        "seed": seed,
        "device": device,
        "progress": False,
    }
    if "alpha" in settings:
        soft = {"temperature": settings["temperature"], "alpha": settings["alpha"]}
        history = distill(network, logits, split, **soft, **options)
    else:
        history = train(network, split, **options)
    check_finished(history)
    return network


def check_finished(history: History) -> None:
    """KeyboardInterrupt for a training that was interrupted: it isn't recorded."""
    if history.interrupted:
        raise KeyboardInterrupt
