"""What is measured of a model: functions of its logits, and its latency."""

import math
import time
from collections.abc import Sequence
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdtutor._check import check_count, check_labels, check_logits, check_pair, shape
from kdtutor._device import on_device


def errors(logits: Tensor, labels: Tensor) -> float:
    """Wrong answers per 10,000 examples; on a test set of 10,000 the plain count. logits (N, C), labels (N,)."""
    return 10_000 * int(wrong(logits, labels).sum()) / len(labels)


def wrong(logits: Tensor, labels: Tensor) -> Tensor:
    """Which examples are answered wrongly: (N,) bool. logits (N, C), labels (N,)."""
    _check(logits, labels)
    return logits.argmax(-1) != labels


def nll(logits: Tensor, labels: Tensor) -> float:
    """Negative log-likelihood of the labels at T = 1, in nats per example. logits (N, C), labels (N,)."""
    _check(logits, labels)
    return F.cross_entropy(logits.double(), labels.long()).item()


def calibration_error(logits: Tensor, labels: Tensor, bins: int = 15) -> float:
    """Expected calibration error, 0..1: by how much confidence differs from accuracy, at T = 1.

    Examples fall into `bins` equal intervals of the largest probability; the result is the mean of
    `|accuracy - confidence|` over the intervals, weighted by the examples in each. logits (N, C), labels (N,).
    Source: Naeini et al. 2015; Guo et al. 2017 (arXiv 1706.04599), equation 3.
    """
    check_count("bins", bins)
    right = (~wrong(logits, labels)).double()
    confidence = logits.double().softmax(-1).amax(-1)
    interval = (confidence * bins).ceil().long().clamp(1, bins) - 1  # number i is (i / bins, (i + 1) / bins]
    gap = torch.zeros(bins, dtype=torch.float64).index_add_(0, interval.cpu(), (right - confidence).cpu())
    return gap.abs().sum().item() / len(labels)


def agreement(student_logits: Tensor, teacher_logits: Tensor) -> float:
    """Fraction of examples, 0..1, to which both give the same answer. Both logits (N, C)."""
    check_pair(student_logits, teacher_logits)
    return (student_logits.argmax(-1) == teacher_logits.argmax(-1)).double().mean().item()


def entropy(probabilities: Tensor) -> Tensor:
    """``H(p) = - sum_c p(c) log2 p(c)``, in bits, with 0 log 0 = 0. (..., C) -> (...). Source: Shannon 1948.

    Raises ValueError unless the last axis holds probabilities (>= 0, sum 1).
    """
    check_logits("probabilities", probabilities)
    total = probabilities.sum(-1)
    if probabilities.min() < 0 or not torch.allclose(total, torch.ones_like(total), atol=1e-3):
        raise ValueError(
            "probabilities must be >= 0 and sum to 1 along the last axis, "
            f"got a smallest value {probabilities.min():.3g} and sums from {total.min():.3g} to {total.max():.3g}"
        )
    return torch.special.entr(probabilities).sum(-1) / math.log(2)


def with_bias(logits: Tensor, classes: Sequence[int], bias: float) -> Tensor:
    """Logits (N, C) of the same network with `bias` added to these classes' output biases."""
    moved = logits.new_zeros(logits.shape[1]).index_fill(0, torch.tensor(classes, device=logits.device), bias)
    return logits + moved


def best_bias(logits: Tensor, labels: Tensor, classes: Sequence[int], biases: Tensor) -> float:
    """The one of `biases` (S,) that, added to these classes' output biases, leaves the fewest errors; of several such
    the middle one. logits (N, C), labels (N,). Source: Hinton et al. 2015, section 3, for a class missing in training.
    """
    curve = torch.tensor([errors(with_bias(logits, classes, bias), labels) for bias in biases.tolist()])
    fewest = biases[curve == curve.min()]
    return fewest.median().item()


def best_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature T in 0.05..20 at which ``softmax(logits / T)`` has the lowest NLL. logits (N, C), labels (N,).

    That is temperature scaling: choose T on validation images, then divide the test logits by it. It changes the
    probabilities, not the answers. Raises ValueError where the NLL isn't finite, as with NaN among the logits.
    Source: Guo et al. 2017 (arXiv 1706.04599), section 4.2.
    """
    _check(logits, labels)
    logits = logits.double()
    if not math.isfinite(nll(logits, labels)):
        raise ValueError("logits must hold neither NaN nor +inf, and no -inf for a label: their NLL isn't finite")

    def nll_at(log_temperature: float) -> float:
        return nll(logits / math.exp(log_temperature), labels)

    from scipy.optimize import minimize_scalar

    found = minimize_scalar(nll_at, bounds=(math.log(0.05), math.log(20)), method="bounded")
    return math.exp(found.x)


def latency(model: nn.Module, inputs: Tensor, repeats: int = 50) -> float:
    """Median seconds of one forward pass over `inputs` (any batch), in eval mode, after a warm-up.

    The model is handed back in the mode that it had before. Times vary between machines: compare only within one run.
    """
    check_count("repeats", repeats)
    warm_up = 3
    seconds = []
    with on_device(model, inputs.device, training=False), torch.inference_mode():
        for _ in range(warm_up + repeats):
            start = time.perf_counter()
            model(inputs)
            if inputs.is_cuda:
                torch.cuda.synchronize(inputs.device)
            seconds.append(time.perf_counter() - start)
    return median(seconds[warm_up:])


def _check(logits: Tensor, labels: Tensor) -> None:
    check_logits("logits", logits)
    if logits.dim() != 2:
        raise ValueError(f"logits must be (N, C), got shape {shape(logits)}")
    check_labels(labels, logits)
