"""Measurements of gradients, which need no choice: their noise, and the largest learning rate that still learns."""

from collections.abc import Callable
from functools import partial
from math import log, log2

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdtutor.course.evidence.digits import Digits
from kdtutor.course.evidence.protocol import Measurement
from kdtutor.data import Dataset
from kdtutor.models import mlp
from kdtutor.sweeps import sweep
from kdtutor.training import train

SGD = partial(torch.optim.SGD, fused=True)
TEMPERATURES = (1.0, 4.0, 20.0)
RATES = [2.0**power for power in range(-6, 4)]
STILL_LEARNS = 5000  # validation errors per 10,000

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]  # of logits, the teacher's logits and labels


def noise(digits: Digits) -> list[Measurement]:
    """The variance of single examples' gradients over the squared norm of their mean, as a logarithm: for a fresh
    student 784-50-10 and after two epochs on labels; with the labels and at several T."""

    def measure(seed: int) -> dict[str, float]:
        split, answers = digits.drawn(3000, seed)
        network = mlp(784, 50, 10, seed=seed)
        numbers = {}
        for state in ("fresh", "after two epochs"):
            images = split.inputs[:300].double() / 255
            fixed = nn.Sequential(*network).double()
            relative = partial(_relative_noise, fixed, images, answers[:300].double(), split.labels[:300])
            numbers[f"{state}, labels"] = relative(_label_loss)
            for temperature in TEMPERATURES:
                numbers[f"{state}, T = {temperature:g}"] = relative(partial(_soft_loss, temperature=temperature))
            network.float()
            train(network, split, epochs=2, batch_size=100, seed=seed, progress=False)
        return numbers

    return [Measurement("noise of gradients", measure)]


def _label_loss(logits: Tensor, answers: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(logits, labels)


def _soft_loss(logits: Tensor, answers: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Without the factor T², which the ratio of variance and squared mean doesn't see."""
    targets = (answers / temperature).softmax(1)
    return F.kl_div((logits / temperature).log_softmax(1), targets, reduction="batchmean")


def _relative_noise(network: nn.Module, images: Tensor, answers: Tensor, labels: Tensor, loss: Loss) -> float:
    """log(variance of the gradients / squared norm of their mean) over the examples."""
    weights = dict(network.named_parameters())

    def of_one(weights: dict[str, Tensor], image: Tensor, answer: Tensor, label: Tensor) -> Tensor:
        logits = torch.func.functional_call(network, weights, (image[None],))
        return loss(logits, answer[None], label[None])

    each = torch.func.vmap(torch.func.grad(of_one), (None, 0, 0, 0))(weights, images, answers, labels)
    gradients = torch.cat([gradient.flatten(1) for gradient in each.values()], dim=1)  # (examples, parameters)
    mean = gradients.mean(0)
    variance = (gradients - mean).square().sum(1).mean()
    return log(variance.item() / mean.square().sum().item())


def stable_rates(digits: Digits) -> list[Measurement]:
    """log2 of the largest learning rate of plain SGD at which a student 784-50-10 still learns from 3,000 images in
    four epochs (from fewer images in more): with fewer than half of the validation images wrong. Without the factor T²
    the gradients are T² times smaller, and the largest rate T² times larger."""

    def measure(seed: int) -> dict[str, float]:
        split, answers = digits.drawn(3000, seed)
        table = sweep(
            lambda seed: mlp(784, 50, 10, seed=seed),
            Dataset(digits.name, split, digits.data.validation, digits.data.test),
            answers,
            seeds=[seed],
            temperature=TEMPERATURES,
            alpha=[0.0, 1.0],
            lr=RATES,
            epochs=4 * digits.smaller,
            batch_size=100,
            optimizer=SGD,
            progress=False,
        )
        numbers = {"labels": _largest(table, alpha=0.0)}
        for temperature in TEMPERATURES:
            largest = _largest(table, alpha=1.0, temperature=temperature)
            numbers[f"T = {temperature:g}"] = largest
            numbers[f"T = {temperature:g}, without T²"] = largest + 2 * log2(temperature)
        return numbers

    return [Measurement("largest stable learning rate", measure)]


def _largest(table, **settings: float) -> float:
    rates = []
    for rate in RATES:
        (errors,) = table.values("validation_errors", lr=rate, **settings)
        if errors < STILL_LEARNS:  # NaN, of one that diverged, isn't
            rates.append(rate)
    if not rates:
        raise ArithmeticError(f"a student must learn at one of the rates {RATES}, got none with {settings}")
    return log2(max(rates))
