"""The terms of which losses are made, right ones and wrong ones, each as its sum over rows and classes.

`diagnosis` compares what a loss returns with them. A soft term compares one side that stands for log-probabilities,
a, with one that stands for the target, q; what really is passed on either side is `log` log_softmax, `p` softmax,
`raw` the logits themselves, `twice` a softmax of a softmax, `batch` a softmax over the batch in place of the classes.
"""

from dataclasses import dataclass
from itertools import product

import torch.nn.functional as F
from torch import Tensor

SIDE_A = ("log", "p", "raw", "twice", "batch")
SIDE_Q = ("p", "log", "raw", "twice", "batch", "hard")
PLAIN = ("mse", "symmetric", "mse_p", "l1", "smooth_l1", "cosine", "l1_p", "mse_log")
BETAS = (0.5, 0.1, 0.9, 0.2, 0.8, 0.3, 0.7, 0.25, 0.75, 0.4, 0.6, 0.05, 0.95, 0.01, 0.99)


@dataclass(frozen=True)
class Soft:
    """A term of both logits.

    kernel: kl is sum q (log q - a), as F.kl_div; kl_log is sum e^q (q - a), as F.kl_div with log_target; ce is
        -sum q a; jsd and skew compare with a mixture, of which beta is the teacher's share; others compare directly.
    reverse: the teacher stands for a and the student for q.
    """

    kernel: str
    a: str = "log"
    q: str = "p"
    reverse: bool = False
    beta: float = 0.0

    def __call__(self, s: Tensor, t: Tensor, ts: Tensor | float, tt: Tensor | float) -> Tensor:
        """Logits (..., B, C), each side at a temperature of its own -> the sum over B and C, (...)."""
        s, t = s / ts, t / tt
        if self.kernel in PLAIN:
            return _plain(self.kernel, s, t).sum((-2, -1))
        if self.kernel in ("jsd", "skew"):
            return self._mixed(s.log_softmax(-1), t.log_softmax(-1)).sum((-2, -1))
        a, q = self.sides(s, t)
        if self.kernel == "ce":
            return -(q * a).sum((-2, -1))
        return F.kl_div(a, q, reduction="none", log_target=self.kernel == "kl_log").sum((-2, -1))

    def sides(self, s: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """a and q, from logits that the temperatures have divided."""
        first, second = (t, s) if self.reverse else (s, t)
        return _as(self.a, first, logs=True), _as(self.q, second, logs=False)

    def _mixed(self, s: Tensor, t: Tensor) -> Tensor:
        mixture = (self.beta * t.exp() + (1 - self.beta) * s.exp()).log()
        to_teacher = t.exp() * (t - mixture)
        return (
            to_teacher if self.kernel == "skew" else self.beta * to_teacher + (1 - self.beta) * s.exp() * (s - mixture)
        )


def _as(side: str, x: Tensor, logs: bool) -> Tensor:
    """What stands on a side, from logits that the temperature has divided."""
    if side == "raw":
        return x
    if side == "hard":
        return F.one_hot(x.argmax(-1), x.shape[-1]).to(x.dtype)
    if side == "twice":
        x, side = x.softmax(-1), "log" if logs else "p"
    if side == "batch":
        return x.log_softmax(-2) if logs else x.softmax(-2)
    return x.log_softmax(-1) if side == "log" else x.softmax(-1)


def _plain(kernel: str, s: Tensor, t: Tensor) -> Tensor:
    if kernel == "cosine":
        return (1 - F.cosine_similarity(s, t, dim=-1)).unsqueeze(-1)
    if kernel == "symmetric":
        s, t = s.log_softmax(-1), t.log_softmax(-1)
        return (t.exp() - s.exp()) * (t - s)
    if kernel.endswith("_p"):
        s, t = s.softmax(-1), t.softmax(-1)
    if kernel == "mse_log":
        s, t = s.log_softmax(-1), t.log_softmax(-1)
    if kernel.startswith("mse"):
        return (s - t).square()
    return F.smooth_l1_loss(s, t, reduction="none") if kernel == "smooth_l1" else (s - t).abs()


RIGHT = (Soft("kl"), Soft("ce"), *map(Soft, PLAIN), Soft("ce", q="hard"))
SOFT = (
    *RIGHT,
    Soft("kl", reverse=True),
    *(Soft(kernel, beta=beta) for beta in BETAS for kernel in ("jsd", "skew")),
    *(
        Soft(kernel, a, q, reverse)
        for kernel, targets in (
            ("kl", SIDE_Q),
            ("ce", SIDE_Q),
            ("kl_log", ("p", "raw")),
        )  # e^log p is p: no form of its own
        for reverse, a, q in product((False, True), SIDE_A, targets)
        if Soft(kernel, a, q, reverse) not in (*RIGHT, Soft("kl", reverse=True))
    ),
)


@dataclass(frozen=True)
class Hard:
    """A term of the labels: ce (cross-entropy), twice (of a softmax), nll_p (-p, without the logarithm), teacher (of
    the teacher's logits), brier, bce (a yes or no by class) or mse (of logits against one-hot)."""

    kernel: str

    def __call__(self, s: Tensor, t: Tensor, y: Tensor, temperature: Tensor | float) -> Tensor:
        """Logits (..., B, C) and labels (..., B) -> the sum over B (and C), (...)."""
        x = (t if self.kernel == "teacher" else s) / temperature
        one_hot = F.one_hot(y, x.shape[-1]).to(x.dtype)
        if self.kernel in ("brier", "mse"):
            return ((x.softmax(-1) if self.kernel == "brier" else x) - one_hot).square().sum((-2, -1))
        if self.kernel == "bce":
            return (F.softplus(x) - one_hot * x).sum((-2, -1))
        if self.kernel == "nll_p":
            return -(one_hot * x.softmax(-1)).sum((-2, -1))
        return -(one_hot * (x.softmax(-1) if self.kernel == "twice" else x).log_softmax(-1)).sum((-2, -1))


HARD = tuple(map(Hard, ("ce", "twice", "nll_p", "teacher", "brier", "bce", "mse")))
