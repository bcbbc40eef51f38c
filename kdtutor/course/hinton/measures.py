"""What is recorded of a student or a teacher: its errors and nats on validation and test images, also after the biases
of classes that it never saw were corrected."""

from typing import Any

import torch
from torch import Tensor, nn

from kdtutor.course.hinton.choices import SPLITS
from kdtutor.course.records import wrong_indices
from kdtutor.data import Dataset
from kdtutor.evaluation import predict
from kdtutor.metrics import best_bias, errors, nll, with_bias, wrong
from kdtutor.results import History, Table

BIASES = torch.arange(0, 20, 0.1)


def check_finished(result: History | Table) -> None:
    """KeyboardInterrupt for a training that was interrupted: it isn't recorded."""
    if result.interrupted:
        raise KeyboardInterrupt


def measure(network: nn.Module, data: Dataset, device: str | None) -> dict[str, Any]:
    """Errors and nats on both splits, and the indices of the test images that are wrong."""
    logits = _logits(network, data, device)
    labels = _labels(data)
    result: dict[str, Any] = {}
    for split in SPLITS:
        result[f"{split}_errors"] = errors(logits[split], labels[split])
        result[f"{split}_nll"] = round(nll(logits[split], labels[split]), 5)
    result["test_wrong"] = wrong_indices(wrong(logits["test"], labels["test"]))
    return result


def measure_with_biases(
    network: nn.Module, data: Dataset, classes: list[int], sign: int, device: str | None
) -> dict[str, Any]:
    """Errors as they are, and under "corrected" with the bias of these classes that is best on either split: up to 20
    more (sign 1) or less (sign -1)."""
    logits = _logits(network, data, device)
    labels = _labels(data)
    corrected = {}
    for split in SPLITS:
        bias = best_bias(logits[split], labels[split], classes, sign * BIASES)
        moved_logits = {name: with_bias(z, classes, bias) for name, z in logits.items()}
        corrected[split] = {"bias": round(bias, 1), **_errors(moved_logits, labels)}
    return {**_errors(logits, labels), "corrected": corrected}


def _errors(logits: dict[str, Tensor], labels: dict[str, Tensor]) -> dict[str, float]:
    """Errors on both splits, and how many threes of the test images are wrong."""
    wrong_in_test = wrong(logits["test"], labels["test"])
    return {
        "validation_errors": errors(logits["validation"], labels["validation"]),
        "test_errors": errors(logits["test"], labels["test"]),
        "test_wrong_threes": int(wrong_in_test[labels["test"] == 3].sum()),
    }


def _logits(network: nn.Module, data: Dataset, device: str | None) -> dict[str, Tensor]:
    return {
        "validation": predict(network, data.validation, device=device),
        "test": predict(network, data.test, device=device),
    }


def _labels(data: Dataset) -> dict[str, Tensor]:
    return {"validation": data.validation.labels, "test": data.test.labels}
