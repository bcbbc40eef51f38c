"""Wrong answers to the exercises on ensembles and on other losses."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from kdtutor.course.exercises.mistakes.divergences import kl_from


def reverse(s: Tensor, t: Tensor, tau: float, power: int = 0, reduction: str = "batchmean") -> Tensor:
    """T^power KL(student ‖ teacher); right with these defaults."""
    return tau**power * kl_from(t, s, tau, reduction)


def _entropy_left_out(s: Tensor, t: Tensor, tau: float) -> Tensor:
    return -(F.softmax(s / tau, -1) * F.log_softmax(t / tau, -1)).sum(-1).mean()


def _by_hand(s: Tensor, t: Tensor, tau: float) -> Tensor:
    p = F.softmax(s / tau, -1)
    return (p * (p / F.softmax(t / tau, -1)).log()).sum(-1).mean()


def _of_probabilities(s: Tensor, t: Tensor, tau: float) -> Tensor:
    return F.kl_div(F.softmax(t / tau, -1), F.softmax(s / tau, -1), reduction="batchmean")


def _of_logs(s: Tensor, t: Tensor, tau: float) -> Tensor:
    return F.kl_div(F.log_softmax(t / tau, -1), F.log_softmax(s / tau, -1), reduction="batchmean")


def _two_way(p: Tensor, q: Tensor) -> Tensor:
    """KL of the label against all the rest."""
    return p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()


def _kl(p: Tensor, q: Tensor) -> Tensor:
    least = torch.finfo(p.dtype).tiny  # of the label alone, whose probability is 0
    return (p * (p.clamp(min=least) / q.clamp(min=least)).log()).sum(1)


def _apart(z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The probability of the label, (N,), and those of the other classes among themselves, (N, C) with a 0."""
    own = F.one_hot(y, z.shape[1]).bool()
    return F.softmax(z, 1)[own], F.softmax(z.masked_fill(own, -1e9), 1)


def decoupled(
    s: Tensor,
    t: Tensor,
    y: Tensor,
    two_way: Callable[[Tensor, Tensor], Tensor] = _two_way,
    weight: Callable[[Tensor], Tensor] = torch.ones_like,
    mean: Callable[[Tensor], Tensor] = torch.mean,
) -> tuple[Tensor, Tensor]:
    """(of the label against the rest, of the rest among themselves times weight(p_t)); right with these defaults."""
    own_s, others_s = _apart(s, y)
    own_t, others_t = _apart(t, y)
    return mean(two_way(own_t, own_s)), mean(weight(own_t) * _kl(others_t, others_s))


def _not_normalised(s: Tensor, t: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The other classes' probabilities as they are: they don't sum to 1."""
    own_s, others_s = _apart(s, y)
    own_t, others_t = _apart(t, y)
    rest = _kl((1 - own_t)[:, None] * others_t, (1 - own_s)[:, None] * others_s)
    return _two_way(own_t, own_s).mean(), rest.mean()


def _masked_to_zero(s: Tensor, t: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The label's logit is 0 where it should be -inf."""
    own = F.one_hot(y, s.shape[1]).bool()
    return decoupled(s, t, y)[0], kl_from(s.masked_fill(own, 0), t.masked_fill(own, 0), 1)


def _label_among_the_others(s: Tensor, t: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    return decoupled(s, t, y)[0], kl_from(s, t, 1)


def _mean_over_classes(s: Tensor, t: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    first, second = decoupled(s, t, y)
    return first / 2, second / s.shape[1]


def _mean_over_other_classes(s: Tensor, t: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    first, second = decoupled(s, t, y)
    return first, second / s.shape[1]


def _mean_over_the_rest(s: Tensor, t: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    first, second = decoupled(s, t, y)
    return first, second / (s.shape[1] - 1)


def _votes(z: Tensor) -> Tensor:
    return F.one_hot(z.argmax(-1), z.shape[-1]).double()


MISTAKES: dict[str, dict[str, Callable]] = {
    "ensemble_logits": {
        "mean logits": lambda z: z.mean(0),
        "probabilities": lambda z: z.softmax(-1).mean(0),
        "probabilities: their sum": lambda z: z.softmax(-1).sum(0),
        "mean logits: sum": lambda z: z.sum(0),
        "mean logits + probabilities": lambda z: z.mean(0).softmax(-1),
        "log before the mean": lambda z: z.log_softmax(-1).mean(0),
        "log before the mean: sum": lambda z: z.log_softmax(-1).sum(0),
        "not normalised": lambda z: z.logsumexp(0),
        "not normalised: mean": lambda z: z.exp().mean(0).log(),
        "not normalised + probabilities": lambda z: z.exp().mean(0),
        "over examples": lambda z: z.softmax(-1).mean(1).log(),
        "over examples + probabilities": lambda z: z.softmax(-1).mean(1),
        "softmax over the members": lambda z: z.softmax(0).mean(0).log(),
        "softmax over the examples": lambda z: z.softmax(1).mean(0).log(),
        "largest": lambda z: z.amax(0),
        "largest: probability": lambda z: z.softmax(-1).amax(0).log(),
        "votes": lambda z: _votes(z).mean(0),
        "votes: counted": lambda z: _votes(z).sum(0),
        "product": lambda z: z.softmax(-1).prod(0),
        "one network": lambda z: z[0],
        "one network: the last": lambda z: z[-1],
        "one value per network": lambda z: z.log_softmax(-1),
        "sign": lambda z: -z.softmax(-1).mean(0).log(),
        "softmax twice": lambda z: z.softmax(-1).softmax(-1).mean(0).log(),
    },
    "reverse_kl": {
        "forward": lambda s, t, tau: kl_from(s, t, tau),
        "mean": partial(reverse, reduction="mean"),
        "sum": partial(reverse, reduction="sum"),
        "one value per class": partial(reverse, reduction="none"),
        "with T²": partial(reverse, power=2),
        "with T": partial(reverse, power=1),
        "forward + with T²": lambda s, t, tau: tau**2 * kl_from(s, t, tau),
        "forward + mean": lambda s, t, tau: kl_from(s, t, tau, "mean"),
        "with T² + mean": partial(reverse, power=2, reduction="mean"),
        "T forgotten": lambda s, t, tau: kl_from(t, s, 1),
        "times T": lambda s, t, tau: kl_from(t, s, 1 / tau),
        "T on the teacher alone": lambda s, t, tau: kl_from(t / tau, s, 1),
        "T on the student alone": lambda s, t, tau: kl_from(t, s / tau, 1),
        "entropy left out": _entropy_left_out,
        "infinite by hand": _by_hand,
        "both directions": lambda s, t, tau: (kl_from(t, s, tau) + kl_from(s, t, tau)) / 2,
        "both directions: sum": lambda s, t, tau: kl_from(t, s, tau) + kl_from(s, t, tau),
        "sign": lambda s, t, tau: -kl_from(t, s, tau),
        "sign: of the forward one": lambda s, t, tau: -kl_from(s, t, tau),
        "over the batch": lambda s, t, tau: kl_from(t, s, tau, axis=0),
        "probabilities": _of_probabilities,
        "both as logs": _of_logs,
        "student with itself": lambda s, t, tau: kl_from(s, s, tau),
    },
    "decoupled_kl": {
        "order": lambda s, t, y: decoupled(s, t, y)[::-1],
        "swapped models": lambda s, t, y: decoupled(t, s, y),
        "weighted": partial(decoupled, weight=lambda p: 1 - p),
        "weighted: by the label": partial(decoupled, weight=lambda p: p),
        "not normalised": _not_normalised,
        "label among the others": _label_among_the_others,
        "masked to 0": _masked_to_zero,
        "label's part alone": partial(decoupled, two_way=lambda p, q: p * (p / q).log()),
        "hard label": partial(decoupled, two_way=lambda p, q: -q.log()),
        "cross-entropy": partial(decoupled, two_way=lambda p, q: -p * q.log() - (1 - p) * (1 - q).log()),
        "sum": partial(decoupled, mean=torch.sum),
        "mean over classes": _mean_over_classes,
        "mean over classes: the others'": _mean_over_other_classes,
        "mean over classes: of the rest": _mean_over_the_rest,
        "one value per example": partial(decoupled, mean=lambda values: values),
        "teacher's answer": lambda s, t, y: decoupled(s, t, t.argmax(1)),
        "added": lambda s, t, y: sum(decoupled(s, t, y)),
        "whole": lambda s, t, y: kl_from(s, t, 1),
        "sign": lambda s, t, y: tuple(-part for part in decoupled(s, t, y)),
        "first alone": lambda s, t, y: decoupled(s, t, y)[0],
        "second alone": lambda s, t, y: decoupled(s, t, y)[1],
    },
}
