"""The calls on which an exercise compares a learner's function: one tuple of arguments per call. They must tell the
mistakes apart that are made, so some of them are extreme; what is special about these is said in `WHERE`."""

import torch
from torch import Tensor, nn

from kdtutor.models import mlp


def _logits(*shape: int, seed: int) -> Tensor:
    return 3 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _labels(count: int, classes: int, seed: int) -> Tensor:
    return torch.randint(classes, (count,), generator=torch.Generator().manual_seed(seed))


def _tuning(missing: int, seed: int) -> tuple:
    """Logits that hold the missing class too low, by another number on test than on validation images."""
    labels = _labels(60, 4, seed=40 + seed)
    logits = _logits(60, 4, seed=50 + seed) / 2 + 3 * torch.eye(4)[labels]
    logits[:30, missing] -= 3
    logits[30:, missing] -= 5
    biases = torch.arange(-3.0, 6.0)
    return logits[:30], labels[:30], logits[30:], labels[30:], missing, biases


def _student() -> nn.Module:
    """With gradients of an earlier step still on its parameters."""
    student = mlp(4, 5, 4, seed=0)
    for parameter in student.parameters():
        parameter.grad = torch.ones_like(parameter)
    return student


def _teacher(training: bool) -> nn.Module:
    return mlp(4, 8, 4, dropout=0.5, seed=1).train(training)


_LABELS = torch.tensor([3, 0, 1, 2, 2, 0])
_LINE = torch.tensor([2.0, 1.0, 0.0])

# Distributions: with a probability of 0, uniform, a pair of batches, and a pair that has a 0 in the same place.
_P = torch.tensor([0.7, 0.2, 0.1, 0.0])
_Q = torch.tensor([0.25, 0.25, 0.25, 0.25])
_PAIR = (_logits(5, 10, seed=3).softmax(-1), _logits(5, 10, seed=4).softmax(-1))
_ALIKE = (torch.tensor([0.5, 0.5, 0.0, 0.0]), torch.tensor([0.25, 0.5, 0.25, 0.0]))

# Logits of a student and a teacher: one row on which both are sure, and rows on which they often disagree.
_SURE = 4 * _logits(1, 4, seed=13)
_STUDENT = _logits(5, 4, seed=12)
_TEACHER = _logits(5, 4, seed=25)

# A student's and a teacher's so far apart that a softmax gives 0.
_FAR_STUDENT = 400 * _logits(6, 4, seed=26)
_FAR_TEACHER = 400 * _logits(6, 4, seed=27)
_NEAR = _logits(6, 4, seed=28)

# Twenty examples of 4 classes, for which the student agrees with the teacher in part.
_MANY_LABELS = _labels(20, 4, seed=30)
_MANY_TEACHER = _logits(20, 4, seed=31) + 3.5 * torch.eye(4)[_MANY_LABELS]
_MANY_STUDENT = _MANY_TEACHER + _logits(20, 4, seed=32) / 1.2

# Errors (rates, seeds) on validation and on test images: the best rate differs, from method to method, and on test.
_VALIDATION_A = torch.tensor([[52.0, 60.0, 56.0], [40.0, 47.0, 45.0], [41.0, 42.0, 55.0], [70.0, 75.0, 90.0]])
_TEST_A = torch.tensor([[55.0, 59.0, 60.0], [48.0, 45.0, 46.0], [44.0, 43.0, 45.0], [80.0, 71.0, 85.0]])
_VALIDATION_B = torch.tensor([[61.0, 66.0, 70.0], [44.0, 50.0, 52.0], [44.0, 38.0, 41.0], [30.0, 48.0, 24.0]])
_TEST_B = torch.tensor([[68.0, 64.0, 69.0], [49.0, 52.0, 47.0], [37.0, 36.0, 39.0], [33.0, 38.0, 31.0]])

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
        (torch.stack([_P, _Q]),),
        (_logits(2, 3, 4, seed=1).softmax(-1),),
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
        (torch.tensor([[2000.0, 1000.0], [1.0, 0.0]]), 2.0),
        (_LINE, 0.5),
    ],
    "log_soften": [
        (_LINE, 2.0),
        (torch.tensor([0.0, 2000.0]), 1.0),
        (_logits(4, 10, seed=2), 4.0),
        (_LINE, 0.5),
    ],
    "temperature_for": [
        (torch.tensor([6.0, 3.0, 0.0, -3.0]).double(), 0.5),
        (torch.tensor([6.0, 3.0, 0.0, -3.0]).double(), 1.2),
        (torch.tensor([1.0, 0.5, 0.0, -0.5]).double(), 0.6),
        (torch.tensor([90.0, 45.0, 0.0, -45.0]).double(), 1.3),
    ],
    "kl": [
        (_P, _Q),
        (_Q, _Q),
        _PAIR,
        (_Q, _P),
        _ALIKE,
    ],
    "kl_from_logits": [
        (_logits(6, 4, seed=5), _logits(6, 4, seed=6), 2.0),
        (_logits(6, 4, seed=5), _logits(6, 4, seed=6), 4.0),
        (_NEAR, _FAR_TEACHER, 1.0),
        (_FAR_STUDENT, _NEAR, 1.0),
    ],
    "jensen_shannon": [
        (_P, _Q),
        (torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])),
        _PAIR,
        _ALIKE,
    ],
    "distillation_loss": [
        (_logits(6, 4, seed=7), _logits(6, 4, seed=8), _LABELS, 3.0, 0.0),
        (_logits(6, 4, seed=7), _logits(6, 4, seed=8), _LABELS, 3.0, 1.0),
        (_logits(6, 4, seed=7), _logits(6, 4, seed=8), _LABELS, 4.0, 0.7),
        (_NEAR, _FAR_TEACHER, _LABELS, 2.0, 0.6),
        (_FAR_STUDENT, _NEAR, _LABELS, 2.0, 0.6),
    ],
    "soft_gradient": [
        (_logits(6, 4, seed=9), _logits(6, 4, seed=10), 2.0),
        (_logits(6, 4, seed=9), _logits(6, 4, seed=10), 8.0),
    ],
    "distill_step": [
        (_student(), _teacher(training=False), _logits(6, 4, seed=11).float(), _LABELS, 4.0, 0.4, 0.1),
        (_student(), _teacher(training=True), _logits(6, 4, seed=11).float(), _LABELS, 4.0, 0.9, 0.1),
    ],
    "agreement": [
        (torch.cat([_SURE, _STUDENT]), torch.cat([_SURE, _TEACHER])),
        (_STUDENT, _STUDENT),
        (_MANY_STUDENT, _MANY_TEACHER),
    ],
    "paired_interval": [
        ([200.0, 210.0, 190.0], [180.0, 200.0, 185.0]),
        ([150.0, 161.0, 148.0, 155.0, 140.0], [152.0, 150.0, 139.0, 147.0, 141.0]),
    ],
    "calibration_error": [
        (_MANY_TEACHER.softmax(-1), _MANY_LABELS, 5),
        (_MANY_STUDENT.softmax(-1), _MANY_LABELS, 8),
        (torch.cat([torch.eye(4), _MANY_STUDENT.softmax(-1)]), torch.cat([_LABELS[:4], _MANY_LABELS]), 5),
    ],
    "without_classes": [
        (_MANY_LABELS, [3]),
        (_MANY_LABELS, [0, 2]),
        (_LABELS, [2]),
    ],
    "prior_correction": [
        (_logits(4, 3, seed=14), torch.tensor([0.2, 0.2, 0.6]), torch.tensor([0.5, 0.3, 0.2])),
        (_logits(4, 3, seed=14), torch.tensor([0.8, 0.1, 0.1]), torch.tensor([0.5, 0.3, 0.2])),
    ],
    "tuned_bias": [
        _tuning(missing=3, seed=10),
        _tuning(missing=2, seed=0),
    ],
    "wilson_interval": [
        (21, 1010),
        (0, 50),
        (139, 10_000),
        (1, 60),
    ],
    "smooth_labels": [
        (torch.tensor([2, 0, 1]), 3, 0.3),
        (_LABELS, 10, 0.1),
    ],
    "shared_mistakes": [
        (_MANY_STUDENT, _MANY_TEACHER, _MANY_LABELS),
        (torch.cat([_SURE, _STUDENT]), torch.cat([_SURE, _TEACHER]), _LABELS),
    ],
    "relative_noise": [
        (1 + _logits(5, 7, seed=15),),
        (1 + _logits(20, 7, seed=15),),
    ],
    "fair_gain": [
        (_VALIDATION_A, _TEST_A, _VALIDATION_B, _TEST_B),
        (_VALIDATION_B, _TEST_B, _VALIDATION_A[:, :2], _TEST_A[:, :2]),
    ],
    "ensemble_logits": [
        (_logits(1, 4, 3, seed=16),),
        (_logits(3, 4, 3, seed=16),),
    ],
    "reverse_kl": [
        (_logits(6, 4, seed=17), _logits(6, 4, seed=18), 2.0),
        (_logits(6, 4, seed=17), _logits(6, 4, seed=18), 4.0),
        (_NEAR, _FAR_TEACHER, 1.0),
    ],
    "decoupled_kl": [
        (_logits(6, 4, seed=19), _logits(6, 4, seed=20), _LABELS),
        (_logits(20, 4, seed=21), _MANY_TEACHER, _MANY_LABELS),
    ],
}

# What is special about a call, by its place: a function may be right in all calls but this one.
WHERE: dict[str, dict[int, str]] = {
    "entropy": {2: "where one class has it all"},
    "soften": {2: "where exp overflows", 3: "where one row's logits are far larger than the other's", 4: "where T < 1"},
    "log_soften": {1: "where the smaller probability underflows", 3: "where T < 1"},
    "temperature_for": {2: "where T must be below 1", 3: "where T must be above 20"},
    "kl": {3: "where q rules out what p allows", 4: "where p and q are both 0"},
    "kl_from_logits": {
        2: "where the teacher's probabilities underflow to 0",
        3: "where the student's probabilities underflow to 0",
    },
    "jensen_shannon": {1: "where p and q share no class", 3: "where p and q are both 0"},
    "distillation_loss": {
        0: "the labels alone",
        1: "the teacher alone",
        3: "where the teacher's probabilities underflow to 0",
        4: "where the student's probabilities underflow to 0",
    },
    "calibration_error": {2: "where some probabilities are 1"},
    "wilson_interval": {1: "where there are no errors"},
    "reverse_kl": {2: "where the teacher's probabilities underflow to 0"},
}
