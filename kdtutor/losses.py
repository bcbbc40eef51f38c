"""The losses of knowledge distillation, as functions of logits.

Notation: z_s, z_t are the student's and the teacher's logits, T the temperature, p^T = softmax(z / T). Every function
takes logits of shape (..., C), classes last, and averages over all the other axes, so a batch (B, C) gives the usual
'batchmean' and a batch of sequences (B, L, C) a mean over its B * L positions. Losses are in nats.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdtutor._check import check_fraction, check_labels, check_logits, check_pair, check_positive


def soften(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Probabilities p^T = softmax(logits / T), shape (..., C) as the logits.

    T > 1 flattens, T < 1 sharpens, T = 1 is softmax; the order of the classes never changes.
    Raises ValueError unless T is finite and > 0. Source: Hinton et al. 2015 (arXiv 1503.02531), equation 1.
    """
    check_logits("logits", logits)
    check_positive("temperature", temperature)
    return F.softmax(logits / temperature, dim=-1)


def kl_divergence(student_logits: Tensor, teacher_logits: Tensor, temperature: float = 1.0) -> Tensor:
    """``KL(p_t^T || p_s^T) = sum_c p_t^T(c) * (log p_t^T(c) - log p_s^T(c))``, averaged over rows; in nats, >= 0.

    Both logits (..., C); returns a scalar, without the factor T². A class that the teacher gives probability 0 adds 0.
    Raises ValueError if the shapes differ or T isn't finite and > 0. Source: Kullback & Leibler 1951.
    """
    check_pair(student_logits, teacher_logits)
    check_positive("temperature", temperature)
    return kl_by_example(_rows(student_logits), _rows(teacher_logits), temperature).mean()


def kl_by_example(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """`kl_divergence` of each example, unchecked, for loops: (B, C) -> (B,)."""
    target = F.softmax(teacher_logits / temperature, dim=1)
    return F.kl_div(_log_soften(student_logits, target, temperature, dim=1), target, reduction="none").sum(1)


def soft_cross_entropy(student_logits: Tensor, teacher_logits: Tensor, temperature: float = 1.0) -> Tensor:
    """``H(p_t^T, p_s^T) = - sum_c p_t^T(c) * log p_s^T(c)``, averaged over rows; in nats.

    Equal to `kl_divergence` plus the teacher's entropy, so the student's gradients are the same.
    Both logits (..., C); returns a scalar. Raises ValueError as `kl_divergence`. Source: Hinton et al. 2015, section 2.
    """
    check_pair(student_logits, teacher_logits)
    target = soften(teacher_logits, temperature)
    return -(target * _log_soften(student_logits, target, temperature, dim=-1)).sum(-1).mean()


def _log_soften(student_logits: Tensor, target: Tensor, temperature: float, dim: int) -> Tensor:
    """log p_s^T, but 0 where the target is 0, so that 0 * log 0 = 0 for a class that both mask with -inf."""
    return F.log_softmax(student_logits / temperature, dim=dim).masked_fill(target == 0, 0)


def _rows(logits: Tensor) -> Tensor:
    """(..., C) -> (N, C)."""
    if logits.dim() == 2:
        return logits
    return logits.reshape(-1, logits.shape[-1])


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """The hard loss: -log p(label) at T = 1, averaged over rows; in nats. Logits (..., C), labels (...) int64.

    As `torch.nn.functional.cross_entropy`, after a check that names what is wrong with the labels.
    """
    check_logits("logits", logits)
    check_labels(labels, logits)
    return _cross_entropy(logits, labels)


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    none = torch.iinfo(torch.int64).min  # F.cross_entropy would pass over labels of -100, where check_labels can't see
    return F.cross_entropy(_rows(logits), labels.reshape(-1).long(), ignore_index=none)


def distillation_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor | None,
    *,
    temperature: float = 4.0,
    alpha: float = 0.9,
) -> Tensor:
    """``alpha * T² * KL(p_t^T || p_s^T) + (1 - alpha) * CE(labels, p_s at T = 1)``; a scalar in nats.

    Args:
        student_logits, teacher_logits: (..., C), the same shape. Only the student receives a gradient.
        labels: (...) int64 in 0..C-1; may be None when alpha is 1 (a transfer set without labels).
        temperature: T > 0, for the soft term alone. T² keeps the soft gradient's size about the same as T grows.
        alpha: weight of the *soft* term, 0..1. At 0 the teacher is ignored, at 1 the labels are.

    Raises ValueError on shapes that differ, a temperature or alpha out of range, and labels out of range or missing.
    Source: Hinton et al. 2015, section 2; the weights sum to one as in most code since.
    """
    check_fraction("alpha", alpha)
    check_positive("temperature", temperature)
    check_pair(student_logits, teacher_logits)
    if labels is not None:
        check_labels(labels, student_logits)
    elif alpha < 1:
        raise ValueError(f"labels must be given unless alpha is 1, got None with alpha {alpha!r}")

    def soft_loss() -> Tensor:
        return kl_by_example(_rows(student_logits), _rows(teacher_logits.detach()), temperature).mean()

    # a term of weight 0 isn't computed: it may be infinite. `_closed_form.Objective` has the same formula and its
    # gradient, for many students at once: what changes here must change there.
    if labels is None or alpha == 1:
        return temperature**2 * soft_loss()
    if alpha == 0:
        return _cross_entropy(student_logits, labels)
    return alpha * temperature**2 * soft_loss() + (1 - alpha) * _cross_entropy(student_logits, labels)


class DistillationLoss(nn.Module):
    """`distillation_loss` with its temperature and alpha fixed, for code that expects a module."""

    def __init__(self, temperature: float = 4.0, alpha: float = 0.9) -> None:
        super().__init__()
        check_positive("temperature", temperature)
        check_fraction("alpha", alpha)
        self.temperature = temperature
        self.alpha = alpha

    def forward(self, student_logits: Tensor, teacher_logits: Tensor, labels: Tensor | None = None) -> Tensor:
        return distillation_loss(student_logits, teacher_logits, labels, temperature=self.temperature, alpha=self.alpha)

    def extra_repr(self) -> str:
        return f"{self.alpha:g} * {self.temperature:g}² * KL + {1 - self.alpha:g} * CE"
