"""The terms of which losses are made, right ones and wrong ones: what each computes, and how it is said.

A form is given logits (..., B, C), already divided by the temperature, and sums over B and C. How it is averaged and
weighted is another matter.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

# What F.kl_div is given as `input`, where log-probabilities belong, and as `target`, where probabilities belong.
INPUTS = ("log_softmax", "softmax", "logits", "softmax_twice", "softmax_over_batch")
TARGETS = ("softmax", "log_softmax", "logits", "softmax_twice", "softmax_over_batch", "argmax")
DIVERGENCES = (
    "kl",
    "kl_log_target",
    "ce",
    "kl_smoothed",
    "kl_to_smoothed",
)  # kernels that are Hinton's soft term, or meant to be
MEAN_OVER_CLASSES = ("mse", "l1", "smooth_l1", "brier", "bce")  # kernels that are usually averaged over classes, too
EPSILONS = (1e-7, 1e-6, 1e-5, 1e-4, 1e-3)  # that are added to probabilities
BETAS = (0.5, 0.1, 0.9, 0.2, 0.8, 0.3, 0.7, 0.25, 0.75, 0.4, 0.6, 0.05, 0.95, 0.01, 0.99)


@dataclass(frozen=True)
class Soft:
    """A term of both models' logits: kernel(input, target), where the input is made of the student's logits and the
    target of the teacher's. reverse: the other way round. beta: the teacher's share of a mixture, the forward share of
    two directions, or what is added to probabilities. standardised: each row of logits has mean 0 and deviation 1
    before it is divided by the temperature.
    """

    kernel: str
    input: str = "log_softmax"
    target: str = "softmax"
    reverse: bool = False
    beta: float = 0.0
    standardised: bool = False

    def __call__(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Logits (..., B, C) -> (...)."""
        kernel = KERNELS[self.kernel]
        if self.beta:
            kernel = partial(kernel, beta=self.beta)
        return kernel(*self.sides(student, teacher)).sum((-2, -1))

    def sides(self, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
        """Input and target."""
        if self.reverse:
            student, teacher = teacher, student
        return as_side(self.input, student, last_softmax=F.log_softmax), as_side(self.target, teacher)


def as_side(side: str, logits: Tensor, last_softmax: Callable = F.softmax) -> Tensor:
    """One of INPUTS or TARGETS, made of logits."""
    match side:
        case "logits":
            return logits
        case "softmax":
            return logits.softmax(-1)
        case "log_softmax":
            return logits.log_softmax(-1)
        case "softmax_twice":
            return last_softmax(logits.softmax(-1), -1)
        case "softmax_over_batch":
            return last_softmax(logits, -2)
        case "argmax":
            return F.one_hot(logits.argmax(-1), logits.shape[-1]).to(logits.dtype)
    raise AssertionError(side)


def symmetric_kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(q ‖ p) + KL(p ‖ q), class by class: (..., B, C), as both arguments."""
    return (log_q.exp() - log_p.exp()) * (log_q - log_p)


def skewed_kl(log_p: Tensor, log_q: Tensor, beta: float) -> Tensor:
    """KL(q ‖ beta q + (1 - beta) p), class by class."""
    mixture = (beta * log_q.exp() + (1 - beta) * log_p.exp()).log()
    return log_q.exp() * (log_q - mixture)


def jensen_shannon(log_p: Tensor, log_q: Tensor, beta: float) -> Tensor:
    """beta KL(q ‖ m) + (1 - beta) KL(p ‖ m) with the mixture m = beta q + (1 - beta) p, class by class."""
    return beta * skewed_kl(log_p, log_q, beta) + (1 - beta) * skewed_kl(log_q, log_p, 1 - beta)


def exchanged_jensen_shannon(log_p: Tensor, log_q: Tensor, beta: float) -> Tensor:
    """beta KL(q ‖ m) + (1 - beta) KL(p ‖ m) with m = beta p + (1 - beta) q: not a Jensen-Shannon divergence."""
    return beta * skewed_kl(log_p, log_q, 1 - beta) + (1 - beta) * skewed_kl(log_q, log_p, beta)


def both_ways(log_p: Tensor, log_q: Tensor, beta: float) -> Tensor:
    """beta KL(q ‖ p) + (1 - beta) KL(p ‖ q), class by class."""
    return (beta * log_q.exp() - (1 - beta) * log_p.exp()) * (log_q - log_p)


def both_ways_by_cross_entropy(log_p: Tensor, log_q: Tensor, beta: float) -> Tensor:
    """beta H(q, p) + (1 - beta) KL(p ‖ q): the same up to the entropy of q."""
    return both_ways(log_p, log_q, beta) - beta * log_q.exp() * log_q


def kl_smoothed(p: Tensor, q: Tensor, beta: float) -> Tensor:
    """q log((q + beta) / (p + beta)), class by class."""
    return q * ((q + beta).log() - (p + beta).log())


def kl_to_smoothed(p: Tensor, q: Tensor, beta: float) -> Tensor:
    """q log(q / (p + beta)), class by class."""
    return torch.special.xlogy(q, q) - q * (p + beta).log()


def standardise(logits: Tensor) -> Tensor:
    """Each row with mean 0 and standard deviation 1: (..., C), as the argument."""
    return (logits - logits.mean(-1, keepdim=True)) / logits.std(-1, keepdim=True)


# Each gives a value for each class, or one for all of them: (..., B, C) or (..., B, 1).
KERNELS: dict[str, Callable[..., Tensor]] = {
    "kl": partial(F.kl_div, reduction="none"),  # target * (log target - input)
    "kl_log_target": partial(F.kl_div, reduction="none", log_target=True),  # exp(target) * (target - input)
    "ce": lambda input, target: -target * input,
    "mse": partial(F.mse_loss, reduction="none"),
    "l1": partial(F.l1_loss, reduction="none"),
    "smooth_l1": partial(F.smooth_l1_loss, reduction="none"),
    "cosine": lambda s, t: (1 - F.cosine_similarity(s, t, dim=-1)).unsqueeze(-1),
    "symmetric": symmetric_kl,
    "jsd": jensen_shannon,
    "skew": skewed_kl,
    "jsd_exchanged": exchanged_jensen_shannon,
    "both_ways": both_ways,
    "both_ways_ce": both_ways_by_cross_entropy,
    "kl_smoothed": kl_smoothed,
    "kl_to_smoothed": kl_to_smoothed,
}

MSE = Soft("mse", "logits", "logits")
SYMMETRIC = Soft("symmetric", "log_softmax", "log_softmax")
MSE_OF_PROBABILITIES = Soft("mse", "softmax", "softmax")
COSINE = Soft("cosine", "logits", "logits")
JENSEN_SHANNON = Soft("jsd", "log_softmax", "log_softmax")
SKEWED = Soft("skew", "log_softmax", "log_softmax")
EXCHANGED = Soft("jsd_exchanged", "log_softmax", "log_softmax")
BOTH_WAYS = Soft("both_ways", "log_softmax", "log_softmax")
BOTH_WAYS_CE = Soft("both_ways_ce", "log_softmax", "log_softmax")
SMOOTHED = Soft("kl_smoothed", "softmax", "softmax")
TO_SMOOTHED = Soft("kl_to_smoothed", "softmax", "softmax")
MIXTURES = (JENSEN_SHANNON, SKEWED, EXCHANGED, BOTH_WAYS, BOTH_WAYS_CE)

# Terms that aren't Hinton's, likely ones first: in words, and as a formula of {s} and {t}.
OTHER_METHODS = {
    MSE: ("the squared distance of the logits", "|{s} - {t}|²"),
    SYMMETRIC: ("KL in both directions, added up", "(KL({t} ‖ {s}) + KL({s} ‖ {t}))"),
    MSE_OF_PROBABILITIES: ("the squared distance of the probabilities", "|{s} - {t}|²"),
    Soft("l1", "logits", "logits"): ("the absolute distance of the logits", "|{s} - {t}|₁"),
    Soft("smooth_l1", "logits", "logits"): ("the smooth L1 distance of the logits", "smoothL1({s}, {t})"),
    COSINE: ("one minus the cosine of the logits", "(1 - cos({s}, {t}))"),
    Soft("l1", "softmax", "softmax"): ("the absolute distance of the probabilities", "|{s} - {t}|₁"),
    Soft("mse", "log_softmax", "log_softmax"): (
        "the squared distance of the log-probabilities", "|log {s} - log {t}|²",
    ),
    JENSEN_SHANNON: (
        "the generalised Jensen-Shannon divergence, beta = {beta:g}", "JSD({t}, {s}; beta = {beta:g})",
    ),
    EXCHANGED: (
        "like a generalised Jensen-Shannon divergence, but the weights of its mixture are exchanged",
        "{beta:g} KL({t} ‖ m) + {rest:g} KL({s} ‖ m), m = {rest:g} {t} + {beta:g} {s}",
    ),
    BOTH_WAYS: ("KL in both directions, {beta:g} of it forward", "({beta:g} KL({t} ‖ {s}) + {rest:g} KL({s} ‖ {t}))"),
    BOTH_WAYS_CE: ("{beta:g} cross-entropy, the rest reverse KL", "({beta:g} H({t}, {s}) + {rest:g} KL({s} ‖ {t}))"),
    SMOOTHED: ("KL with {beta:g} added to the probabilities", "KL({t} + {beta:g} ‖ {s} + {beta:g})"),
    TO_SMOOTHED: ("KL with {beta:g} added to the student's probabilities", "KL({t} ‖ {s} + {beta:g})"),
    SKEWED: ("KL to a mixture that holds {beta:g} of the teacher", "KL({t} ‖ {beta:g} {t} + {rest:g} {s})"),
}  # fmt: skip


def other_method(form: Soft) -> tuple[str, str] | None:
    """Words and formula of a term that isn't Hinton's; None if it is, or is meant to be."""
    return OTHER_METHODS.get(replace(form, beta=0.0))


def soft_forms() -> list[Soft]:
    """All soft forms, likely ones first."""
    methods = [form for form in OTHER_METHODS if form not in (*MIXTURES, SMOOTHED, TO_SMOOTHED)]
    forms = [Soft("kl"), Soft("ce"), *methods, Soft("ce", target="argmax"), Soft("kl", reverse=True)]
    forms += [Soft("kl", standardised=True), Soft("ce", standardised=True)]
    for beta, form in product(BETAS, MIXTURES):
        forms.append(replace(form, beta=beta))
    for epsilon, form in product(EPSILONS, (SMOOTHED, TO_SMOOTHED)):
        forms.append(replace(form, beta=epsilon))

    # With log_target, log-probabilities are right: then it is KL.
    targets = {"kl": TARGETS, "ce": TARGETS, "kl_log_target": ("softmax", "logits")}
    for kernel in targets:
        for reverse, input, target in product((False, True), INPUTS, targets[kernel]):
            form = Soft(kernel, input, target, reverse)
            if form not in forms:
                forms.append(form)
    return forms


def cross_entropy(logits: Tensor, one_hot: Tensor) -> Tensor:
    """-log p(label), class by class: 0 but for the label's. (..., B, C), as both arguments."""
    return -one_hot * logits.log_softmax(-1)


def focal(logits: Tensor, one_hot: Tensor, gamma: float) -> Tensor:
    """-(1 - p(label))^gamma log p(label) (Lin et al. 2017)."""
    return (1 - logits.softmax(-1)) ** gamma * cross_entropy(logits, one_hot)


# Of logits and one-hot labels: what each computes, and its formula of probabilities {p} or logits {z}.
HARD_KERNELS: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], str]] = {
    "ce": (cross_entropy, "CE(y, {p})"),
    "softmax_twice": (lambda z, y: cross_entropy(z.softmax(-1), y), "CE(y, softmax({p}))"),
    "nll_p": (lambda z, y: -y * z.softmax(-1), "(-{p}(y))"),  # without the logarithm
    "teacher": (cross_entropy, "CE(y, {p})"),  # of the teacher's logits
    "focal": (partial(focal, gamma=2.0), "focal(y, {p}; gamma = 2)"),
    "focal_1": (partial(focal, gamma=1.0), "focal(y, {p}; gamma = 1)"),
    "brier": (lambda z, y: (z.softmax(-1) - y).square(), "|{p} - onehot(y)|²"),
    "bce": (lambda z, y: F.softplus(z) - y * z, "BCE(y, {z})"),
    "mse": (lambda z, y: (z - y).square(), "|{z} - onehot(y)|²"),
}
OTHER_HARD_TERMS = {
    "focal": "the focal loss, gamma = 2",
    "focal_1": "the focal loss, gamma = 1",
    "brier": "the squared distance of probabilities and one-hot labels",
    "bce": "a yes or no for each class (binary cross-entropy)",
    "mse": "the squared distance of logits and one-hot labels",
}


@dataclass(frozen=True)
class Hard:
    """A term of the labels and the student's logits (or, for the kernel "teacher", the teacher's)."""

    kernel: str

    def __call__(self, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
        """Logits (..., B, C) and labels (..., B) -> (...)."""
        logits = teacher if self.kernel == "teacher" else student
        function, _ = HARD_KERNELS[self.kernel]
        return function(logits, F.one_hot(labels, logits.shape[-1]).to(logits.dtype)).sum((-2, -1))


# Further terms, of the student's logits alone: what each computes, and its formula.
STUDENT_TERMS: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "smoothing": (lambda z: -z.log_softmax(-1), "w H(uniform, p_s)"),
    "entropy": (lambda z: torch.special.entr(z.softmax(-1)), "w H(p_s)"),
    "square": (torch.square, "w z_s^2"),
}

SOFT_FORMS = soft_forms()
HARD_FORMS = [Hard(kernel) for kernel in HARD_KERNELS]
