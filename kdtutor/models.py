"""The course's networks, each a plain `nn.Sequential`, and a count of parameters. Knows nothing of data or training."""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from kdtutor._check import check_count, check_fraction
from kdtutor._device import seeded


def mlp(*sizes: int, dropout: float = 0.0, seed: int | None = None) -> nn.Sequential:
    """A ReLU network of fully connected layers, `mlp(784, 1200, 1200, 10)`: (B, 1, 28, 28) -> (B, 10) logits.

    Args:
        sizes: inputs, hidden units of each layer, classes.
        dropout: the probability that a hidden unit is dropped in training.
        seed: of the initial weights; the global random state stays as it was. None draws from the global state.

    Raises ValueError for sizes that aren't whole numbers >= 1, fewer than two of them, or a dropout outside 0..1.
    """
    if len(sizes) < 2:
        raise ValueError(f"sizes must hold at least inputs and classes, got {sizes}")
    for size in sizes:
        check_count("each of sizes", size)
    check_fraction("dropout", dropout)

    *widths, classes = sizes  # inputs and hidden units
    with seeded(seed):
        layers: list[nn.Module] = [nn.Flatten()]
        for inputs, outputs in pairwise(widths):
            layers += [nn.Linear(inputs, outputs), nn.ReLU()]
            if dropout:
                layers.append(nn.Dropout(dropout))
        layers.append(nn.Linear(widths[-1], classes))
        return nn.Sequential(*layers)


def cnn(
    channels: int = 16, hidden: int = 128, classes: int = 10, dropout: float = 0.0, seed: int | None = None
) -> nn.Sequential:
    """A small convolutional network for 28x28 images: (B, 1, 28, 28) -> (B, classes) logits.

    Two blocks of 3x3 convolution, ReLU and 2x2 max pooling (`channels`, then twice as many), and a hidden layer.
    dropout and seed as in `mlp`; dropout acts before each of the two linear layers. Raises ValueError as `mlp`.
    """
    for name, value in {"channels": channels, "hidden": hidden, "classes": classes}.items():
        check_count(name, value)
    check_fraction("dropout", dropout)

    with seeded(seed):
        return nn.Sequential(
            nn.Conv2d(1, channels, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),  # (B, channels, 14, 14)
            nn.Conv2d(channels, 2 * channels, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),  # (B, 2 * channels, 7, 7)
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(2 * channels * 7 * 7, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, classes),
        )


class Ensemble(nn.Module):
    """Several networks as one, (B, ...) -> (B, C) logits: their mean logits, or of average="probabilities" the
    logarithm of their mean probabilities, at T = 1.

    Mean logits are the geometric mean of the probabilities, normalised. Source of either: Hinton et al. 2015,
    section 2 ("arithmetic or geometric mean").
    """

    def __init__(self, *members: nn.Module, average: str = "logits") -> None:
        super().__init__()
        if not members:
            raise ValueError("members must be at least one network, got none")
        if average not in ("logits", "probabilities"):
            raise ValueError(f"average must be 'logits' or 'probabilities', got {average!r}")
        self.members = nn.ModuleList(members)
        self.average = average

    def forward(self, inputs: Tensor) -> Tensor:
        logits = torch.stack([member(inputs) for member in self.members])  # (members, B, C)
        if self.average == "logits":
            return logits.mean(0)
        return logits.log_softmax(-1).logsumexp(0) - math.log(len(self.members))


def count_parameters(model: nn.Module) -> int:
    """How many parameters the model has, frozen ones too (shared ones count once)."""
    return sum(parameter.numel() for parameter in model.parameters())
