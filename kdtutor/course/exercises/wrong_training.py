"""Wrong answers to the exercises on losses, training and measuring, as in `wrong`; all of them in `WRONG`."""

import math
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdtutor.course.exercises import wrong
from kdtutor.course.exercises.wrong import cross_entropy, kl_from, of_logs, of_probabilities


def _hard(s: Tensor, y: Tensor, temperature: float) -> Tensor:
    return F.cross_entropy(s, y)


def _loss(
    soft: Callable = kl_from, hard: Callable = _hard, power: int = 2, weights: Callable | None = None
) -> Callable:
    """A distillation loss of a soft term f(s, t, T) times T to a power, and a hard one f(s, y, T)."""

    def loss(s: Tensor, t: Tensor, y: Tensor, temperature: float, alpha: float) -> Tensor:
        of_soft, of_hard = weights(alpha) if weights else (alpha, 1 - alpha)
        return of_soft * temperature**power * soft(s, t, temperature) + of_hard * hard(s, y, temperature)

    return loss


def _gap(s: Tensor, t: Tensor, temperature: float) -> Tensor:
    return F.softmax(s / temperature, -1) - F.softmax(t / temperature, -1)


def _step(
    student: nn.Module,
    teacher: nn.Module,
    images: Tensor,
    labels: Tensor,
    temperature: float,
    alpha: float,
    lr: float,
    *,
    asked: bool = False,
    left: bool | None = None,
    student_left: bool = True,
    moved: str = "student",
    stopped: bool = True,
    cleared: bool = True,
    loss: Callable = _loss(),  # noqa: B008 (a function, made once)
    direction: Callable = torch.neg,
    after: bool = False,
) -> float:
    """A step with the teacher asked and left in some mode (True: training), its gradient stopped or not, the student's
    old gradients cleared or not, somebody's parameters moved, and the loss of before or after it returned."""
    came = teacher.training
    teacher.train(asked)
    answers = teacher(images)
    teacher.train(came if left is None else left)
    answers = answers.detach() if stopped else answers
    value = loss(student(images), answers, labels, temperature, alpha)
    if cleared:
        student.zero_grad()
    value.backward()
    of = {"student": [student], "teacher": [teacher], "both": [student, teacher], "none": []}[moved]
    with torch.no_grad():
        for parameter in nn.ModuleList(of).parameters():
            parameter += lr * direction(torch.zeros(()) if parameter.grad is None else parameter.grad)
    student.train(student_left)
    return loss(student(images), answers, labels, temperature, alpha).item() if after else value.item()


def _interval(
    a: list,
    b: list,
    level: float = 0.975,
    freedom: float = -1,
    ddof: int = 1,
    root: bool = True,
    literal: float | None = None,
) -> tuple:
    from scipy.stats import norm, t

    d = torch.tensor(b, dtype=torch.float64) - torch.tensor(a, dtype=torch.float64)
    quantile = t.ppf(level, len(d) + freedom) if math.isfinite(freedom) else norm.ppf(level)
    half = (literal or quantile) * d.std(correction=ddof) / (len(d) ** 0.5 if root else 1)
    return d.mean(), d.mean() - half, d.mean() + half


def _unpaired(a: list, b: list) -> tuple:
    from scipy.stats import t

    a, b = torch.tensor(a, dtype=torch.float64), torch.tensor(b, dtype=torch.float64)
    mean = b.mean() - a.mean()
    half = t.ppf(0.975, 2 * len(a) - 2) * ((a.var() + b.var()) / len(a)).sqrt()
    return mean, mean - half, mean + half


def _noise(g: Tensor) -> Tensor:
    return (g - g.mean(0)).square().sum(1).mean()


LOSSES: dict[str, Callable] = {"kl_from_logits": kl_from, "distillation_loss": _loss()}  # right, gradients and all

WRONG: dict[str, dict[str, Callable]] = wrong.WRONG | {
    "distillation_loss": {
        "without T²": _loss(power=0),
        "T for T²": _loss(power=1),
        "mean": _loss(partial(kl_from, reduction="mean")),
        "sum": _loss(partial(kl_from, reduction="sum")),
        "swapped models": _loss(lambda s, t, tau: kl_from(t, s, tau)),
        "swapped weights": _loss(weights=lambda alpha: (1 - alpha, alpha)),
        "no weights": _loss(weights=lambda alpha: (1, 1)),
        "alpha on the soft term alone": _loss(weights=lambda alpha: (alpha, 1)),
        "halves": _loss(weights=lambda alpha: (0.5, 0.5)),
        "T on the hard term": _loss(hard=lambda s, y, tau: F.cross_entropy(s / tau, y)),
        "T² on both terms": _loss(hard=lambda s, y, tau: tau**2 * F.cross_entropy(s, y)),
        "softmax twice": _loss(hard=lambda s, y, tau: F.cross_entropy(F.softmax(s, -1), y)),
        "teacher at T = 1": _loss(lambda s, t, tau: kl_from(s / tau, t, 1)),
        "student at T = 1": _loss(lambda s, t, tau: kl_from(s, t / tau, 1)),
        "T nowhere but in T²": _loss(lambda s, t, tau: kl_from(s, t, 1)),
        "teacher with itself": _loss(lambda s, t, tau: kl_from(t, t, tau)),
        "probabilities": _loss(of_probabilities),
        "both as logs": _loss(of_logs),
        "cross-entropy": _loss(cross_entropy),
    },
    "soft_gradient": {
        "sign": lambda s, t, tau: -tau * _gap(s, t, tau) / len(s),
        "batch forgotten": lambda s, t, tau: tau * _gap(s, t, tau),
        "mean over classes": lambda s, t, tau: tau * _gap(s, t, tau) / s.numel(),
        "without T²": lambda s, t, tau: _gap(s, t, tau) / tau / len(s),
        "one T short": lambda s, t, tau: _gap(s, t, tau) / len(s),
        "T² for T": lambda s, t, tau: tau**2 * _gap(s, t, tau) / len(s),
        "softmax at T = 1": lambda s, t, tau: tau * _gap(s, t, 1) / len(s),
        "large-T limit": lambda s, t, tau: (s - t) / s.numel(),
    },
    "distill_step": {
        "teacher asked in train mode": partial(_step, asked=True),
        "teacher put into train mode": partial(_step, asked=True, left=True),
        "teacher left in eval mode": partial(_step, left=False),
        "student left in eval mode": partial(_step, student_left=False),
        "gradients left on the teacher": partial(_step, stopped=False),
        "student not updated": partial(_step, moved="none"),
        "teacher updated too": partial(_step, stopped=False, moved="both"),
        "teacher updated alone": partial(_step, stopped=False, moved="teacher"),
        "old gradients kept": partial(_step, cleared=False),
        "uphill": partial(_step, direction=torch.clone),
        "lr forgotten": lambda *call: _step(*call[:-1], 1.0),
        "Adam": partial(_step, direction=lambda g: -g / (g.abs() + 1e-8)),
        "loss after the step": partial(_step, after=True),
        "swapped weights": lambda *call: _step(*call[:-2], 1 - call[-2], call[-1]),
        "without T²": partial(_step, loss=_loss(power=0)),
    },
    "agreement": {
        "count": lambda s, t: (s.argmax(-1) == t.argmax(-1)).sum(),
        "percent": lambda s, t: 100 * (s.argmax(-1) == t.argmax(-1)).double().mean(),
        "a value an example": lambda s, t: s.argmax(-1) == t.argmax(-1),
        "disagreement": lambda s, t: (s.argmax(-1) != t.argmax(-1)).double().mean(),
        "over the batch": lambda s, t: (s.argmax(0) == t.argmax(0)).double().mean(),
        "over everything": lambda s, t: float(s.argmax() == t.argmax()),
        "equal logits": lambda s, t: (s == t).double().mean(),
        "all of them": lambda s, t: torch.equal(s.argmax(-1), t.argmax(-1)),
    },
    "paired_interval": {
        "a - b": lambda a, b: _interval(b, a),
        "unpaired": _unpaired,
        "normal quantile": partial(_interval, freedom=math.inf),
        "normal quantile: 1.96": partial(_interval, literal=1.96),
        "normal quantile: 2": partial(_interval, literal=2),
        "freedom of n": partial(_interval, freedom=0),
        "one-sided quantile": partial(_interval, level=0.95),
        "biased deviation": partial(_interval, ddof=0),
        "root of n forgotten": partial(_interval, root=False),
        "mean alone": lambda a, b: _interval(a, b)[0],
        "ends first": lambda a, b: (*_interval(a, b)[1:], _interval(a, b)[0]),
        "mean in the middle": lambda a, b: sorted(_interval(a, b)),
    },
    "prior_correction": {
        "the wrong way round": lambda z, old, new: z + (old / new).log(),
        "only the new shares": lambda z, old, new: z + new.log(),
        "only the old shares": lambda z, old, new: z - old.log(),
        "difference of shares": lambda z, old, new: z + new - old,
        "ratio, not its logarithm": lambda z, old, new: z + new / old,
        "logits times the ratio": lambda z, old, new: z * new / old,
        "probabilities": lambda z, old, new: (z + (new / old).log()).softmax(1),
        "probabilities times the ratio": lambda z, old, new: z.softmax(1) * new / old,
    },
    "relative_noise": {
        "of one coordinate": lambda g: g.var(0, correction=0).mean() / g.mean(0).square().sum(),
        "not squared": lambda g: (g - g.mean(0)).norm(dim=1).mean() / g.mean(0).norm(),
        "its root": lambda g: (_noise(g) / g.mean(0).square().sum()).sqrt(),
        "norm not squared": lambda g: _noise(g) / g.mean(0).norm(),
        "upside down": lambda g: g.mean(0).square().sum() / _noise(g),
        "N - 1": lambda g: g.var(0).sum() / g.mean(0).square().sum(),
        "mean not taken off": lambda g: g.square().sum(1).mean() / g.mean(0).square().sum(),
        "noise of the mean": lambda g: _noise(g) / len(g) / g.mean(0).square().sum(),
        "sum over the batch": lambda g: len(g) * _noise(g) / g.mean(0).square().sum(),
        "coordinate by coordinate": lambda g: (g.var(0, correction=0) / g.mean(0).square()).mean(),
    },
    "ensemble_logits": {
        "mean logits": lambda z: z.mean(0),
        "probabilities": lambda z: z.softmax(-1).mean(0),
        "mean logits: sum": lambda z: z.sum(0),
        "log before the mean": lambda z: z.log_softmax(-1).mean(0),
        "log before the mean: sum": lambda z: z.log_softmax(-1).sum(0),
        "not normalised": lambda z: z.logsumexp(0),
        "not normalised: mean": lambda z: z.exp().mean(0).log(),
        "over examples": lambda z: z.softmax(-1).mean(1).log(),
        "softmax over the members": lambda z: z.softmax(0).mean(0).log(),
        "softmax over the examples": lambda z: z.softmax(1).mean(0).log(),
    },
}
