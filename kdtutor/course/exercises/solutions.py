"""Model answers of the exercises, each under the exercise's name; `exercises.solution` prints them.

Nothing else needs this file: an instructor may delete it, and the checks go on, since they compare with values that
ship. After a change to an answer, write these values again:

    python -m kdtutor.course.exercises.solutions
"""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdtutor.course.exercises import outcomes
from kdtutor.course.exercises.calls import CALLS


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """(N,) -> (N, classes): row `label` of the unit matrix."""
    return torch.eye(classes)[labels]


def entropy(probabilities: Tensor) -> Tensor:
    """-sum p log2 p; torch.special.entr is -p ln p, and 0 at p = 0."""
    return torch.special.entr(probabilities).sum(-1) / math.log(2)


def look_alikes(probabilities: Tensor, labels: Tensor) -> Tensor:
    """The mean probabilities of each class's images, without its own class, the largest of the rest."""
    classes = probabilities.shape[1]
    means = torch.stack([probabilities[labels == c].mean(0) for c in range(classes)])  # (C, C)
    return means.fill_diagonal_(-1).argmax(1)


def soften(logits: Tensor, temperature: float) -> Tensor:
    """exp(z / T) / sum exp(z / T); the largest logit is taken off first, so that no exp is larger than 1."""
    scaled = logits / temperature
    powers = (scaled - scaled.amax(-1, keepdim=True)).exp()
    return powers / powers.sum(-1, keepdim=True)


def log_soften(logits: Tensor, temperature: float) -> Tensor:
    """z / T - log sum exp(z / T): the logarithm is taken before anything can underflow."""
    scaled = logits / temperature
    return scaled - scaled.logsumexp(-1, keepdim=True)


def temperature_for(logits: Tensor, bits: float) -> float:
    """Bisection: the entropy grows with T, so each look at the middle halves the interval."""
    low = 1e-3
    high = 1e3
    for _ in range(60):
        middle = math.sqrt(low * high)  # halves the interval of log T
        entropy_in_nats = torch.special.entr(F.softmax(logits / middle, -1)).sum()
        if entropy_in_nats / math.log(2) < bits:
            low = middle
        else:
            high = middle
    return middle


def kl(p: Tensor, q: Tensor) -> Tensor:
    """sum p log(p / q), where a class with p = 0 adds 0."""
    return torch.where(p > 0, p * (p / q).log(), 0).sum(-1)


def kl_from_logits(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """F.kl_div takes the student first, as log-probabilities, and the teacher second, as probabilities."""
    student = F.log_softmax(student_logits / temperature, -1)
    teacher = F.softmax(teacher_logits / temperature, -1)
    return F.kl_div(student, teacher, reduction="batchmean")


def jensen_shannon(p: Tensor, q: Tensor) -> Tensor:
    """With kl as in the exercise before it. m is 0 only where p and q are, so it never gets infinite."""
    m = (p + q) / 2
    return (kl(p, m) + kl(q, m)) / 2


def distillation_loss(
    student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, temperature: float, alpha: float
) -> Tensor:
    """alpha * T² * KL at T + (1 - alpha) * cross-entropy at T = 1."""
    soft = F.kl_div(
        F.log_softmax(student_logits / temperature, -1),
        F.softmax(teacher_logits / temperature, -1),
        reduction="batchmean",
    )
    return alpha * temperature**2 * soft + (1 - alpha) * F.cross_entropy(student_logits, labels)


def soft_gradient(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """T² * (p_s - p_t) / T / B: the derivative of z / T takes one T away, the mean over the batch brings 1 / B."""
    gap = F.softmax(student_logits / temperature, -1) - F.softmax(teacher_logits / temperature, -1)
    return temperature * gap / len(student_logits)


def distill_step(
    student: nn.Module, teacher: nn.Module, images: Tensor, labels: Tensor, temperature: float, alpha: float, lr: float
) -> Tensor:
    """With distillation_loss as in the exercise two before it."""
    mode = teacher.training
    teacher.eval()  # no dropout
    with torch.no_grad():  # no gradient
        teacher_logits = teacher(images)
    teacher.train(mode)
    loss = distillation_loss(student(images), teacher_logits, labels, temperature, alpha)
    student.zero_grad()  # backward adds to what an earlier step left
    loss.backward()
    with torch.no_grad():
        for parameter in student.parameters():
            parameter -= lr * parameter.grad
    return loss.detach()


def agreement(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """The share of rows with the same largest logit."""
    return (student_logits.argmax(-1) == teacher_logits.argmax(-1)).double().mean()


def paired_interval(a: Sequence[float], b: Sequence[float]) -> tuple[float, float, float]:
    """The mean of the differences, and a t quantile of their standard errors to either side."""
    from scipy.stats import t

    differences = torch.tensor(b, dtype=torch.float64) - torch.tensor(a, dtype=torch.float64)
    n = len(differences)
    mean = differences.mean().item()
    half = t.ppf(0.975, n - 1) * differences.std().item() / math.sqrt(n)  # std divides by n - 1
    return mean, mean - half, mean + half


def calibration_error(probabilities: Tensor, labels: Tensor, bins: int) -> Tensor:
    """The gap of accuracy and confidence in each bin (i / bins, (i + 1) / bins], weighted by its examples."""
    confidence = probabilities.amax(1)
    right = (probabilities.argmax(1) == labels).double()
    places = (confidence * bins).ceil() - 1
    total = torch.tensor(0.0)
    for place in range(bins):
        inside = places == place
        if inside.any():
            gap = right[inside].mean() - confidence[inside].mean()
            total = total + gap.abs() * inside.double().mean()
    return total


def without_classes(labels: Tensor, classes: Sequence[int]) -> Tensor:
    """(N,) -> (M,): the rows whose label is none of `classes`."""
    return torch.where(~torch.isin(labels, torch.tensor(classes)))[0]


def prior_correction(logits: Tensor, old: Tensor, new: Tensor) -> Tensor:
    """p(c | x) is proportional to p(x | c) * share(c): take the old share off, put the new one on, in logarithms."""
    return logits + new.log() - old.log()


def tuned_bias(
    validation_logits: Tensor,
    validation_labels: Tensor,
    test_logits: Tensor,
    test_labels: Tensor,
    missing: int,
    biases: Tensor,
) -> tuple[float, int]:
    """All that is chosen is chosen on validation images; the test images are used once."""

    def errors(logits: Tensor, labels: Tensor, bias: float) -> int:
        moved = logits.clone()  # += on the logits themselves would add up
        moved[:, missing] += bias
        return int((moved.argmax(1) != labels).sum())

    best = min(biases.tolist(), key=lambda bias: errors(validation_logits, validation_labels, bias))
    return best, errors(test_logits, test_labels, best)


def wilson_interval(errors: int, n: int) -> tuple[float, float]:
    """The shares within z standard errors of errors / n, each with the standard error that it would have itself."""
    z = 1.96
    p = errors / n
    centre = p + z**2 / (2 * n)
    half = z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return (centre - half) / (1 + z**2 / n), (centre + half) / (1 + z**2 / n)


def smooth_labels(labels: Tensor, classes: int, epsilon: float) -> Tensor:
    """(N,) -> (N, classes): (1 - epsilon) one-hot + epsilon uniform."""
    return (1 - epsilon) * F.one_hot(labels, classes) + epsilon / classes


def shared_mistakes(student_logits: Tensor, teacher_logits: Tensor, labels: Tensor) -> Tensor:
    """Among the examples that the teacher gets wrong, the share of those with the same answer."""
    student = student_logits.argmax(1)
    teacher = teacher_logits.argmax(1)
    return (student == teacher)[teacher != labels].double().mean()


def relative_noise(gradients: Tensor) -> Tensor:
    """Mean squared distance of the rows (N, P) from their mean, divided by the mean's squared norm."""
    mean = gradients.mean(0)
    return (gradients - mean).square().sum(1).mean() / mean.square().sum()


def fair_gain(validation_a: Tensor, test_a: Tensor, validation_b: Tensor, test_b: Tensor) -> Tensor:
    """Errors (rates, seeds) -> mean of b - a on test, each at the rate that is best on validation."""
    rate_a = validation_a.mean(1).argmin()
    rate_b = validation_b.mean(1).argmin()
    return test_b[rate_b].mean() - test_a[rate_a].mean()


def ensemble_logits(logits: Tensor) -> Tensor:
    """The logarithm of the mean probability. (M, N, C) -> (N, C)."""
    return logits.softmax(-1).mean(0).log()


def reverse_kl(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """F.kl_div(log q, p) is KL(p ‖ q), and p is the student here."""
    teacher = F.log_softmax(teacher_logits / temperature, -1)
    student = F.softmax(student_logits / temperature, -1)
    return F.kl_div(teacher, student, reduction="batchmean")


def decoupled_kl(student_logits: Tensor, teacher_logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The label against the rest, and the rest among themselves. Source: Zhao et al. 2022, decoupled distillation."""
    own = F.one_hot(labels, student_logits.shape[1]).bool()
    q = F.softmax(student_logits, 1)[own]
    p = F.softmax(teacher_logits, 1)[own]
    label_part = p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()

    # -1e9 stands for -inf, whose difference with itself would be NaN
    rest_q = F.log_softmax(student_logits.masked_fill(own, -1e9), 1)
    rest_p = F.softmax(teacher_logits.masked_fill(own, -1e9), 1)
    return label_part.mean(), F.kl_div(rest_q, rest_p, reduction="batchmean")


SOLUTIONS: dict[str, Callable] = {name: globals()[name] for name in CALLS}

if __name__ == "__main__":
    outcomes.write_outcomes(SOLUTIONS)
    print(f"{outcomes.OUTCOMES}: the right answers of {len(SOLUTIONS)} exercises")
