"""The calls on which an exercise compares a learner's function: one tuple of arguments per call."""

import torch
from torch import Tensor, nn

from kdtutor.models import mlp


def _logits(*shape: int, seed: int) -> Tensor:
    return 3 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _student() -> nn.Module:
    """With gradients of an earlier step still on its parameters."""
    student = mlp(4, 4, seed=0)
    for parameter in student.parameters():
        parameter.grad = torch.ones_like(parameter)
    return student


def _teacher(training: bool) -> nn.Module:
    return mlp(4, 8, 4, dropout=0.5, seed=1).train(training)


_LABELS = torch.tensor([3, 0, 1, 2, 2, 0])
_LINE = torch.tensor([2.0, 1.0, 0.0])

# Distributions: with a probability of 0, uniform, and a pair of batches.
_P = torch.tensor([0.7, 0.2, 0.1, 0.0])
_Q = torch.tensor([0.25, 0.25, 0.25, 0.25])
_PAIR = (_logits(5, 10, seed=3).softmax(-1), _logits(5, 10, seed=4).softmax(-1))

# Logits of a student and a teacher: one row on which both are sure, and rows on which they often disagree.
_SURE = 4 * _logits(1, 4, seed=13)
_STUDENT = _logits(5, 4, seed=12)
_TEACHER = _logits(5, 4, seed=25)

CALLS: dict[str, list[tuple]] = {
    "one_hot": [
        (torch.tensor([2, 0, 1]), 3),
        (_LABELS, 10),
    ],
    "entropy": [
        (_P,),
        (_Q,),
        (torch.eye(4),),
        (_logits(5, 10, seed=0).softmax(-1),),
    ],
    "look_alikes": [
        (_logits(6, 4, seed=1).softmax(-1), _LABELS),
        (_logits(6, 4, seed=2).softmax(-1), _LABELS),
        (_logits(6, 4, seed=3).softmax(-1), _LABELS),
    ],
    "soften": [
        (_LINE, 1.0),
        (_logits(4, 10, seed=2), 4.0),
        (torch.tensor([2000.0, 1000.0]), 1.0),
    ],
    "log_soften": [
        (_LINE, 2.0),
        (torch.tensor([0.0, 2000.0]), 1.0),
        (_logits(4, 10, seed=2), 4.0),
    ],
    "temperature_for": [
        (torch.tensor([6.0, 3.0, 0.0, -3.0]).double(), 0.5),
        (torch.tensor([6.0, 3.0, 0.0, -3.0]).double(), 1.2),
    ],
    "kl": [
        (_P, _Q),
        (_Q, _Q),
        _PAIR,
    ],
    "kl_from_logits": [
        (_logits(6, 4, seed=5), _logits(6, 4, seed=6), 1.0),
        (_logits(6, 4, seed=5), _logits(6, 4, seed=6), 4.0),
    ],
    "jensen_shannon": [
        (_P, _Q),
        (torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])),
        _PAIR,
    ],
    "distillation_loss": [
        (_logits(6, 4, seed=7), _logits(6, 4, seed=8), _LABELS, 1.0, 0.0),
        (_logits(6, 4, seed=7), _logits(6, 4, seed=8), _LABELS, 1.0, 1.0),
        (_logits(6, 4, seed=7), _logits(6, 4, seed=8), _LABELS, 4.0, 0.7),
    ],
    "soft_gradient": [
        (_logits(6, 4, seed=9), _logits(6, 4, seed=10), 1.0),
        (_logits(6, 4, seed=9), _logits(6, 4, seed=10), 8.0),
    ],
    "distill_step": [
        (_student(), _teacher(training=False), _logits(6, 4, seed=11).float(), _LABELS, 4.0, 0.0, 0.1),
        (_student(), _teacher(training=True), _logits(6, 4, seed=11).float(), _LABELS, 4.0, 0.9, 0.1),
    ],
    "agreement": [
        (torch.cat([_SURE, _STUDENT]), torch.cat([_SURE, _TEACHER])),
        (_STUDENT, _STUDENT),
    ],
    "paired_interval": [
        ([200.0, 210.0, 190.0], [180.0, 200.0, 185.0]),
        ([150.0, 161.0, 148.0, 155.0, 140.0], [152.0, 150.0, 139.0, 147.0, 141.0]),
    ],
    "prior_correction": [
        (_logits(4, 3, seed=14), torch.tensor([0.2, 0.2, 0.6]), torch.tensor([0.5, 0.3, 0.2])),
        (_logits(4, 3, seed=14), torch.tensor([0.8, 0.1, 0.1]), torch.tensor([0.5, 0.3, 0.2])),
    ],
    "relative_noise": [
        (1 + _logits(5, 7, seed=15),),
        (1 + _logits(20, 7, seed=15),),
    ],
    "ensemble_logits": [
        (_logits(1, 4, 3, seed=16),),
        (_logits(3, 4, 3, seed=16),),
    ],
}
