"""The exercises of the notebooks: each compares a learner's function with a reference and says what differs.

    exercises.check("soften", my_soften)

A stub that still returns `...` is 'not filled in yet', so an untouched notebook runs from top to bottom.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdtutor import losses, metrics
from kdtutor.models import mlp
from kdtutor.statistics import paired_difference


@dataclass(frozen=True)
class Exercise:
    """A reference solution, and the argument lists on which a learner's solution must agree with it."""

    reference: Callable
    calls: Sequence[tuple]


def check(name: str, solution: Callable) -> None:
    """Print whether `solution` agrees with the reference of the exercise, or the first call in which it doesn't.

    What a function returns is compared, and what it does to a model that it is given (weights, train or eval mode).
    Raises ValueError for a name that isn't an exercise.
    """
    if name not in EXERCISES:
        raise ValueError(f"name must be one of {', '.join(EXERCISES)}, got {name!r}")
    print(f"{name}: {_verdict(EXERCISES[name], solution)}")


def _verdict(exercise: Exercise, solution: Callable) -> str:
    for call in exercise.calls:
        asked = ", ".join(_show(argument) for argument in call)
        wanted, wanted_models = _run(exercise.reference, call)
        try:
            given, given_models = _run(solution, call)
        except Exception as error:  # whatever a learner's code raises is told, not thrown
            return f"not yet. For ({asked}) it raises {type(error).__name__}: {error}"
        if given is ...:
            return "not filled in yet."
        if not _same(given, wanted):
            return f"not yet. For ({asked}) it returns {_show(given)}, the reference {_show(wanted)}."
        if not _same(given_models, wanted_models):
            return f"not yet. For ({asked}) it leaves a model's weights, or its train or eval mode, another way."
    return f"correct, as the reference in {len(exercise.calls)} of {len(exercise.calls)} calls."


def _run(function: Callable, call: tuple) -> tuple[Any, list]:
    """What `function` returns on a copy of the arguments, and how it leaves the models among them."""
    call = copy.deepcopy(call)
    returned = function(*call)
    models = [argument for argument in call if isinstance(argument, nn.Module)]
    left = [[torch.tensor(model.training), *(p.detach() for p in model.parameters())] for model in models]
    return returned, left


def _same(given: Any, wanted: Any) -> bool:
    """Equal numbers up to rounding, in equal shapes; a number may stand for a tensor with one element."""
    if isinstance(wanted, list | tuple):
        return (
            isinstance(given, list | tuple)
            and len(given) == len(wanted)
            and all(_same(one, other) for one, other in zip(given, wanted, strict=True))
        )
    try:
        given, wanted = torch.as_tensor(given).detach(), torch.as_tensor(wanted).detach()
    except (TypeError, ValueError, RuntimeError):
        return False
    return given.shape == wanted.shape and torch.allclose(given.double(), wanted.double(), rtol=1e-4, atol=1e-6)


def _show(value: Any) -> str:
    if isinstance(value, nn.Module):
        return "a model"
    if not isinstance(value, Tensor):
        return f"{value:.4g}" if isinstance(value, float) else repr(value)
    if value.dim() == 0:
        return f"{value.item():.4g}"
    numbers = [round(number, 4) for number in value.detach().flatten().tolist()]
    if value.dim() == 1 and len(numbers) <= 4:
        return str(numbers)
    return f"a tensor {tuple(value.shape)} that begins {', '.join(map(str, numbers[:4]))}"


# References. Plain enough to be shown after the fact; the notebooks teach each of them.


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """(N,) -> (N, classes) float."""
    return F.one_hot(labels, classes).float()


def look_alikes(probabilities: Tensor, labels: Tensor) -> Tensor:
    """For each class, the other class with the largest mean probability over its examples: (C,) int64."""
    classes = probabilities.shape[1]
    means = torch.stack([probabilities[labels == c].mean(0) for c in range(classes)])  # (C, C)
    return means.fill_diagonal_(-1).argmax(1)


def temperature_for(logits: Tensor, bits: float) -> float:
    """The temperature at which softmax(logits / T) has this entropy, by bisection (entropy grows with T)."""
    low, high = 1e-3, 1e3
    for _ in range(60):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if metrics.entropy(losses.soften(logits, middle)) < bits else (low, middle)
    return (low * high) ** 0.5


def log_soften(logits: Tensor, temperature: float) -> Tensor:
    """log softmax(logits / T), safe where the probability underflows."""
    return F.log_softmax(logits / temperature, dim=-1)


def kl(p: Tensor, q: Tensor) -> Tensor:
    """KL(p || q) in nats over the last axis, with 0 log 0 = 0."""
    return torch.where(p > 0, p * (p / q).log(), 0).sum(-1)


def jensen_shannon(p: Tensor, q: Tensor) -> Tensor:
    """The mean KL of p and q to their midpoint, in nats."""
    middle = (p + q) / 2
    return (kl(p, middle) + kl(q, middle)) / 2


def loss(student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, temperature: float, alpha: float) -> Tensor:
    """alpha * T² * KL + (1 - alpha) * CE."""
    return losses.distillation_loss(student_logits, teacher_logits, labels, temperature=temperature, alpha=alpha)


def soft_gradient(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """The gradient of T² * KL (mean over the batch) in the student's logits, in closed form: (B, C)."""
    gap = losses.soften(student_logits, temperature) - losses.soften(teacher_logits, temperature)
    return temperature * gap / len(student_logits)


def distill_step(
    student: nn.Module, teacher: nn.Module, images: Tensor, labels: Tensor, temperature: float, alpha: float, lr: float
) -> Tensor:
    """One step of plain gradient descent on the student; returns the loss before it. The teacher stays as it is,
    and answers in eval mode."""
    mode = teacher.training
    teacher.eval()
    with torch.no_grad():
        teacher_logits = teacher(images)
    teacher.train(mode)
    value = loss(student(images), teacher_logits, labels, temperature, alpha)
    student.zero_grad()
    value.backward()
    with torch.no_grad():
        for parameter in student.parameters():
            parameter -= lr * parameter.grad
    return value.detach()


def paired_interval(a: Sequence[float], b: Sequence[float]) -> tuple[float, float, float]:
    """Mean of b - a over seeds, and the ends of its 95 % t interval."""
    difference = paired_difference(a, b)
    return difference.mean, difference.interval.low, difference.interval.high


def prior_correction(logits: Tensor, old: Tensor, new: Tensor) -> Tensor:
    """Logits (N, C) as they should be where the classes' shares are `new` (C,) in place of `old` (C,)."""
    return logits + (new / old).log()


def relative_noise(gradients: Tensor) -> Tensor:
    """Mean squared distance of the rows (N, P) from their mean, divided by the mean's squared norm."""
    mean = gradients.mean(0)
    return (gradients - mean).square().sum(1).mean() / mean.square().sum()


def ensemble_logits(logits: Tensor) -> Tensor:
    """The logarithm of the mean probability of several networks, (M, N, C) logits -> (N, C)."""
    return logits.softmax(-1).mean(0).log()


def _logits(*shape: int, seed: int) -> Tensor:
    return 3 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


_P, _Q = torch.tensor([0.7, 0.2, 0.1, 0.0]), torch.tensor([0.25, 0.25, 0.25, 0.25])
_LABELS = torch.tensor([3, 0, 1, 2, 2, 0])

EXERCISES = {
    "one_hot": Exercise(one_hot, [(torch.tensor([2, 0, 1]), 3), (_LABELS, 10)]),
    "entropy": Exercise(metrics.entropy, [(_P,), (_Q,), (torch.eye(4),), (_logits(5, 10, seed=0).softmax(-1),)]),
    "look_alikes": Exercise(look_alikes, [(_logits(6, 4, seed=s).softmax(-1), _LABELS) for s in (1, 2, 3)]),
    "soften": Exercise(
        losses.soften,
        [(torch.tensor([2.0, 1.0, 0.0]), 1.0), (_logits(4, 10, seed=2), 4.0), (torch.tensor([2000.0, 1000.0]), 1.0)],
    ),
    "log_soften": Exercise(log_soften, [(torch.tensor([2.0, 1.0, 0.0]), 2.0), (torch.tensor([0.0, 2000.0]), 1.0)]),
    "temperature_for": Exercise(
        temperature_for, [(torch.tensor([6.0, 3.0, 0.0, -3.0]).double(), b) for b in (0.5, 1.5)]
    ),
    "kl": Exercise(kl, [(_P, _Q), (_Q, _Q), (_logits(5, 10, seed=3).softmax(-1), _logits(5, 10, seed=4).softmax(-1))]),
    "kl_from_logits": Exercise(
        losses.kl_divergence, [(_logits(6, 4, seed=5), _logits(6, 4, seed=6), t) for t in (1.0, 4.0)]
    ),
    "jensen_shannon": Exercise(
        jensen_shannon, [(_P, _Q), (_Q, _P), (torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]))]
    ),
    "distillation_loss": Exercise(
        loss,
        [
            (_logits(6, 4, seed=7), _logits(6, 4, seed=8), _LABELS, temperature, alpha)
            for temperature, alpha in [(1.0, 0.0), (1.0, 1.0), (4.0, 0.7)]
        ],
    ),
    "soft_gradient": Exercise(soft_gradient, [(_logits(6, 4, seed=9), _logits(6, 4, seed=10), t) for t in (1.0, 8.0)]),
    "distill_step": Exercise(
        distill_step,
        [
            (
                mlp(4, 4, seed=0),
                mlp(4, 8, 4, dropout=0.5, seed=1),
                _logits(6, 4, seed=11).float(),
                _LABELS,
                4.0,
                alpha,
                0.1,
            )
            for alpha in (0.0, 0.9)
        ],
    ),
    "agreement": Exercise(metrics.agreement, [(_logits(6, 4, seed=s), _logits(6, 4, seed=13)) for s in (12, 13)]),
    "prior_correction": Exercise(
        prior_correction,
        [
            (_logits(4, 3, seed=14), torch.tensor(old), torch.tensor([0.5, 0.3, 0.2]))
            for old in ([0.2, 0.2, 0.6], [0.8, 0.1, 0.1])
        ],
    ),
    "relative_noise": Exercise(relative_noise, [(1 + _logits(size, 7, seed=15),) for size in (5, 20)]),
    "ensemble_logits": Exercise(ensemble_logits, [(_logits(members, 4, 3, seed=16),) for members in (1, 3)]),
    "paired_interval": Exercise(paired_interval, [([200.0, 210.0, 190.0], [180.0, 200.0, 185.0])]),
}
