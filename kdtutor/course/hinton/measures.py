"""What is recorded of a student or a teacher: its errors and nats, also after the biases of classes that it never saw
were corrected."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from kdtutor.course.records import wrong_indices
from kdtutor.data import Dataset, Split
from kdtutor.evaluation import predict
from kdtutor.metrics import best_bias, errors, nll, with_bias, wrong

SPLITS = ("validation", "test")
BIASES = torch.arange(0, 20, 0.1)


def measure(network: nn.Module, data: Dataset, device: str | None, splits: Sequence[str] = SPLITS) -> dict[str, Any]:
    """Errors and nats on these splits; of the test images, too, which of them are wrong, and how many threes. A network
    that has learnt from the validation images is to be measured on the "test" images alone."""
    result: dict[str, Any] = {}
    for name in splits:
        split = getattr(data, name)
        logits = predict(network, split, device=device)
        result[f"{name}_errors"] = errors(logits, split.labels)
        result[f"{name}_nll"] = round(nll(logits, split.labels), 5)
        if name == "test":
            result["test_wrong"] = wrong_indices(wrong(logits, split.labels))
            result["test_wrong_threes"] = threes_wrong(logits, split.labels)
    return result


def threes_wrong(logits: Tensor, labels: Tensor) -> int:
    """How many threes get a wrong answer. logits (N, 10), labels (N,)."""
    return int(wrong(logits, labels)[labels == 3].sum())


def corrected(
    network: nn.Module, data: Dataset, classes: Sequence[int], sign: int, device: str | None, splits: Sequence[str]
) -> dict[str, Any]:
    """For each split on which a bias may be chosen: the bias of these classes that leaves the fewest errors there, up
    to 20 more (sign 1) or less (sign -1), and the test errors with it."""
    test_logits = predict(network, data.test, device=device)
    result = {}
    for name in splits:
        bias = chosen_bias(network, getattr(data, name), classes, sign, device)[0]
        moved = with_bias(test_logits, classes, bias)
        result[name] = {
            "bias": round(bias, 1),
            "test_errors": errors(moved, data.test.labels),
            "test_wrong_threes": threes_wrong(moved, data.test.labels),
        }
    return result


def chosen_bias(
    network: nn.Module, split: Split, classes: Sequence[int], sign: int, device: str | None
) -> tuple[float, float]:
    """The bias of these classes that leaves the fewest errors on a split, and how many it leaves."""
    logits = predict(network, split, device=device)
    bias = best_bias(logits, split.labels, classes, sign * BIASES)
    return bias, errors(with_bias(logits, classes, bias), split.labels)
