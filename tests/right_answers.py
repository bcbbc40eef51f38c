"""Right answers to the exercises in other ways than the model answer's: other idioms, dtypes, libraries."""

import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.distributions import Categorical
from wrong_answers import (
    CALIBRATION,
    DECOUPLED,
    GAIN,
    INTERVAL,
    LOOK_ALIKES,
    LOSS,
    STEP,
    TEMPERATURE_FOR,
    TUNED,
    WILSON,
    edited,
    filled,
    right_kl,
    written,
)


def by_rows(loss: Callable) -> Callable:
    """A loss of a row, averaged."""
    return lambda s, t, *rest: torch.stack([loss(a, b, *rest) for a, b in zip(s, t, strict=True)]).mean()


def sgd_step(student, teacher, images, labels, T, alpha, lr):
    optimizer = torch.optim.SGD(student.parameters(), lr=lr)
    was_training = teacher.training
    with torch.inference_mode():
        logits = teacher.eval()(images)
    teacher.train(was_training)
    loss = written(LOSS)(student(images), logits.clone(), labels, T, alpha)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


RIGHT: dict[str, list[Callable]] = {
    "one_hot": [
        lambda y, c: F.one_hot(y, c).float(),
        lambda y, c: (y[:, None] == torch.arange(c)).double(),
        lambda y, c: torch.eye(c, dtype=torch.float64).index_select(0, y),
        lambda y, c: np.eye(c)[y.numpy()],
        lambda y, c: [[1.0 if k == label else 0.0 for k in range(c)] for label in y.tolist()],
        filled(lambda h, y: h.scatter_(1, y.unsqueeze(1), 1)),
        written("def f(y, c):\n h = torch.zeros(len(y), c)\n h[torch.arange(len(y)), y] = 1\n return h"),
    ],
    "entropy": [
        lambda p: -torch.xlogy(p, p).sum(-1) / math.log(2),
        lambda p: -(p * torch.log2(p)).nan_to_num().sum(-1),
        lambda p: -(p * torch.log2(p.clamp(min=1e-12))).sum(-1),
        lambda p: -(p * torch.log2(p + 1e-12)).sum(-1),
        lambda p: -(p * torch.where(p > 0, p, 1).log2()).sum(-1),
        lambda p: -torch.einsum("...c,...c->...", p, p.clamp(min=1e-30).log2()),
        lambda p: Categorical(probs=p).entropy() / math.log(2),
        lambda p: -np.sum(p.numpy() * np.log2(np.where(p.numpy() > 0, p.numpy(), 1)), axis=-1),
        lambda p: torch.special.entr(p.double()).sum(dim=-1) * math.log2(math.e),
    ],
    "look_alikes": [
        written(LOOK_ALIKES),
        lambda p, y: ((F.one_hot(y, 4).T.double() @ p) / F.one_hot(y, 4).sum(0)[:, None]).fill_diagonal_(0).argmax(1),
        lambda p, y: [max((k for k in range(4) if k != c), key=lambda k: p[y == c, k].mean().item()) for c in range(4)],
        lambda p, y: (torch.stack([p[y == c].mean(0) for c in range(4)]) - 9 * torch.eye(4)).max(1).indices.int(),
    ],
    "soften": [
        lambda z, T: F.log_softmax(z / T, -1).exp(),
        lambda z, T: torch.exp(z / T - torch.logsumexp(z / T, -1, keepdim=True)),
        lambda z, T: nn.Softmax(dim=-1)(z / T),
        lambda z, T: (z.double() / T).softmax(-1).float(),
        written(
            "def f(z, T):\n w = z / T\n w -= w.max(-1, keepdim=True).values\n w.exp_()\n w /= w.sum(-1, keepdim=True)\n return w"
        ),
    ],
    "log_soften": [
        lambda z, T: F.log_softmax(z / T, -1),
        lambda z, T: (
            z / T
            - (z / T).amax(-1, keepdim=True)
            - (z / T - (z / T).amax(-1, keepdim=True)).exp().sum(-1, keepdim=True).log()
        ),
        lambda z, T: nn.LogSoftmax(dim=-1)(z / T).double(),
        lambda z, T: Categorical(logits=z / T).logits,
    ],
    "temperature_for": [
        written(TEMPERATURE_FOR),
        edited(TEMPERATURE_FOR, "(low * high) ** 0.5", "(low + high) / 2"),
        edited(TEMPERATURE_FOR, "return middle", "return torch.tensor((low + high) / 2)"),
        written(
            "def f(z, bits):\n from scipy.optimize import brentq\n return brentq(lambda T: float(torch.special.entr((z / T).softmax(-1)).sum()) / math.log(2) - bits, 0.01, 500)"
        ),
        written(
            "def f(z, bits):\n T = torch.logspace(-2, 3, 200001, dtype=torch.float64)\n e = torch.special.entr((z / T[:, None]).softmax(-1)).sum(-1) / math.log(2)\n return T[(e - bits).abs().argmin()]"
        ),
    ],
    "kl": [
        right_kl,
        lambda p, q: (torch.xlogy(p, p) - torch.xlogy(p, q)).sum(-1),
        lambda p, q: torch.where(p == 0, 0, p * (p.log() - q.log())).sum(-1),
        lambda p, q: (p * torch.where(p > 0, p / q, 1).log()).sum(-1),
        lambda p, q: (p * torch.where(p > 0, p / q, 1.0).log()).double().sum(dim=-1),
        written("def f(p, q):\n r = p * (p / q).log()\n r[p == 0] = 0\n return r.sum(-1)"),
        written("def f(p, q):\n from scipy.special import rel_entr\n return rel_entr(p.numpy(), q.numpy()).sum(-1)"),
        lambda p, q: torch.einsum("...c,...c->...", p, torch.where(p > 0, p / q, 1).log()),
        lambda p, q: (p * (p / q).log()).nan_to_num(nan=0.0, posinf=math.inf).sum(-1),
    ],
    "kl_from_logits": [
        lambda s, t, T: nn.KLDivLoss(reduction="batchmean")(F.log_softmax(s / T, 1), F.softmax(t / T, 1)),
        lambda s, t, T: F.kl_div(
            F.log_softmax(s / T, 1), F.log_softmax(t / T, 1), reduction="batchmean", log_target=True
        ),
        lambda s, t, T: F.kl_div(F.log_softmax(s / T, 1), F.softmax(t / T, 1), reduction="none").sum(1).mean(),
        lambda s, t, T: F.kl_div(F.log_softmax(s / T, 1), F.softmax(t / T, 1), reduction="sum") / s.size(0),
        lambda s, t, T: (F.softmax(t / T, 1) * (F.log_softmax(t / T, 1) - F.log_softmax(s / T, 1))).sum(1).mean(),
        lambda s, t, T: F.kl_div(F.log_softmax(s.float() / T, 1), F.softmax(t.float() / T, 1), reduction="batchmean"),
        lambda s, t, T: (
            F.cross_entropy(s / T, (t / T).softmax(1)) - torch.special.entr((t / T).softmax(1)).sum(1).mean()
        ),
        lambda s, t, T: F.kl_div(s.div(T).log_softmax(1), t.detach().div(T).softmax(1), reduction="batchmean"),
        by_rows(lambda s, t, T: F.kl_div(F.log_softmax(s / T, 0), F.softmax(t / T, 0), reduction="sum")),
    ],
    "jensen_shannon": [
        lambda p, q: 0.5 * right_kl(p, 0.5 * (p + q)) + 0.5 * right_kl(q, 0.5 * (p + q)),
        lambda p, q: (
            torch.special.entr((p + q) / 2).sum(-1) - (torch.special.entr(p) + torch.special.entr(q)).sum(-1) / 2
        ),
        lambda p, q: (
            (
                F.kl_div(((p + q) / 2).clamp(min=1e-30).log(), p, reduction="none")
                + F.kl_div(((p + q) / 2).clamp(min=1e-30).log(), q, reduction="none")
            ).sum(-1)
            / 2
        ),
    ],
    "distillation_loss": [
        written(LOSS),
        edited(LOSS, "F.cross_entropy(s, y)", "F.nll_loss(F.log_softmax(s, -1), y)"),
        edited(LOSS, "F.cross_entropy(s, y)", "-F.log_softmax(s, -1)[torch.arange(len(y)), y].mean()"),
        edited(LOSS, "F.softmax(t / T", "F.softmax(t.detach() / T"),
        edited(
            LOSS,
            "distillation_loss(s, t, y, T, alpha):",
            "distillation_loss(s, t, y, T, alpha):\n        s, t = s.float(), t.float()",
        ),
        edited(LOSS, "alpha * soft + (1 - alpha) * hard", "torch.lerp(hard, soft, alpha)"),
        edited(LOSS, "        return", "        if alpha == 0:\n            return hard\n        return"),
    ],
    "soft_gradient": [
        lambda s, t, T: T * (F.softmax(s / T, -1) - F.softmax(t / T, -1)) / s.shape[0],
        written(
            "def f(s, t, T):\n s = s.clone().requires_grad_()\n (T**2 * F.kl_div((s / T).log_softmax(1), (t / T).softmax(1), reduction='batchmean')).backward()\n return s.grad"
        ),
        lambda s, t, T: torch.func.grad(
            lambda x: T**2 * F.kl_div((x / T).log_softmax(1), (t / T).softmax(1), reduction="batchmean")
        )(s),
        lambda s, t, T: ((s.float() / T).softmax(1) - (t.float() / T).softmax(1)).mul_(T).div_(len(s)),
    ],
    "distill_step": [
        written(STEP),
        sgd_step,
        edited(STEP, "w -= lr * w.grad", "w.sub_(w.grad, alpha=lr)"),
        edited(STEP, "w -= lr * w.grad", "w.copy_(w - lr * w.grad)"),
        edited(
            STEP,
            "with torch.no_grad():\n            for w in student.parameters():\n                w -= lr * w.grad",
            "for w in student.parameters():\n            w.data -= lr * w.grad",
        ),
        edited(STEP, "return loss.item()", "student.zero_grad()\n        return loss"),
        edited(STEP, "student.zero_grad()", "[w.grad.zero_() for w in student.parameters()]"),
    ],
    "agreement": [
        lambda s, t: (s.argmax(1) == t.argmax(1)).float().mean(),
        lambda s, t: (s.softmax(1).argmax(1) == t.softmax(1).argmax(1)).sum().item() / len(s),
        lambda s, t: (s.max(1).indices == t.max(1)[1]).double().mean().item(),
        lambda s, t: np.mean(s.numpy().argmax(1) == t.numpy().argmax(1)),
        lambda s, t: 1 - (s.argmax(1) - t.argmax(1)).count_nonzero() / len(s),
    ],
    "paired_interval": [
        written(INTERVAL),
        edited(INTERVAL, "t.ppf(0.975, n - 1)", "-t.ppf(0.025, n - 1)"),
        written(
            "def f(a, b):\n from scipy.stats import ttest_rel\n r = ttest_rel(b, a)\n i = r.confidence_interval()\n return np.mean(b) - np.mean(a), i.low, i.high"
        ),
        written(
            "def f(a, b):\n from scipy import stats\n d = [y - x for x, y in zip(a, b)]\n m = sum(d) / len(d)\n return (m, *stats.t.interval(0.95, len(d) - 1, loc=m, scale=stats.sem(d)))"
        ),
    ],
    "calibration_error": [
        written(CALIBRATION),
        edited(CALIBRATION, "p.max(dim=1)", "p.float().max(dim=1)"),
        edited(CALIBRATION, "> i / bins", ">= i / bins", "<= (i + 1) / bins", "< (i + 1) / bins + (i + 1 == bins)"),
        written(
            "def f(p, y, bins):\n c, a = p.max(1)\n i = torch.clamp((c * bins).long(), max=bins - 1)\n g = torch.zeros(bins, dtype=p.dtype).index_add(0, i, (a == y).to(p.dtype) - c)\n return (g.abs().sum() / len(y)).item()"
        ),
    ],
    "without_classes": [
        lambda y, classes: (~torch.isin(y, torch.tensor(classes))).nonzero().squeeze(1),
        lambda y, classes: [i for i, label in enumerate(y.tolist()) if label not in classes],
        lambda y, classes: torch.arange(len(y))[(y[:, None] != torch.tensor(classes)).all(1)],
        lambda y, classes: np.flatnonzero(~np.isin(y.numpy(), classes)),
        written(
            "def f(y, classes):\n keep = torch.ones(len(y), dtype=torch.bool)\n for c in classes:\n  keep &= y != c\n return torch.where(keep)[0]"
        ),
    ],
    "prior_correction": [
        lambda z, old, new: z + torch.log(new / old),
        lambda z, old, new: z.log_softmax(-1) + new.log() - old.log(),
        lambda z, old, new: (z.softmax(-1) * new / old / (z.softmax(-1) * new / old).sum(-1, keepdim=True)).log(),
        lambda z, old, new: (z + (new / old).log()).log_softmax(-1).float(),
        lambda z, old, new: z + (new / old).log() + 5,
    ],
    "tuned_bias": [
        written(TUNED),
        edited(TUNED, "errors < fewest", "errors <= fewest"),
        edited(TUNED, "z[:, missing] += b\n", "z += b * F.one_hot(torch.tensor(missing), z.shape[1])\n"),
        edited(TUNED, "(z.argmax(1) != vy).sum().item()", "-(z.argmax(1) == vy).double().mean().item()"),
    ],
    "wilson_interval": [
        written(WILSON),
        edited(WILSON, "z = 1.96", "from scipy.stats import norm\n        z = norm.ppf(0.975)"),
        written(
            "def f(errors, n):\n from scipy.stats import binomtest\n i = binomtest(errors, n).proportion_ci(method='wilson')\n return i.low, i.high"
        ),
        lambda errors, n: [
            float(x) for x in np.sort(np.roots([1 + 1.96**2 / n, -2 * errors / n - 1.96**2 / n, (errors / n) ** 2]))
        ],
    ],
    "smooth_labels": [
        lambda y, c, e: (1 - e) * torch.eye(c)[y] + e / c,
        lambda y, c, e: torch.full((len(y), c), e / c).scatter_(1, y[:, None], 1 - e + e / c),
        lambda y, c, e: torch.lerp(F.one_hot(y, c).double(), torch.full((c,), 1 / c, dtype=torch.float64), e),
    ],
    "shared_mistakes": [
        lambda s, t, y: (s.argmax(1) == t.argmax(1))[t.argmax(1) != y].float().mean(),
        lambda s, t, y: ((s.argmax(1) == t.argmax(1)) & (t.argmax(1) != y)).sum() / (t.argmax(1) != y).sum(),
        lambda s, t, y: np.mean((s.argmax(1) == t.argmax(1)).numpy()[(t.argmax(1) != y).numpy()]),
        lambda s, t, y: (
            ((s.argmax(1) == t.argmax(1)) & (s.argmax(1) != y)).sum().item() / (t.argmax(1) != y).sum().item()
        ),
    ],
    "relative_noise": [
        lambda g: g.var(0, correction=0).sum() / g.mean(0).norm() ** 2,
        lambda g: (g**2).sum(1).mean() / (g.mean(0) ** 2).sum() - 1,
        lambda g: torch.cdist(g, g.mean(0, keepdim=True)).square().mean() / g.mean(0).square().sum(),
        lambda g: torch.cov(g.T, correction=0).trace() / g.mean(0).dot(g.mean(0)),
    ],
    "fair_gain": [
        written(GAIN),
        edited(GAIN, "va.mean(dim=1)", "va.sum(dim=1)"),
        lambda va, ta, vb, tb: (min(zip(vb.mean(1), tb.mean(1)))[1] - min(zip(va.mean(1), ta.mean(1)))[1]).item(),
        lambda va, ta, vb, tb: (
            tb.double().mean(1)[vb.mean(1).min(0).indices] - ta.double().mean(1)[va.mean(1).min(0).indices]
        ),
    ],
    "ensemble_logits": [
        lambda z: z.softmax(-1).mean(0).log(),
        lambda z: torch.logsumexp(z.log_softmax(-1), 0) - math.log(len(z)),
        lambda z: (sum(m.softmax(-1) for m in z) / len(z)).log(),
        lambda z: torch.einsum("mnc->nc", z.softmax(-1)).log(),
        lambda z: z.float().softmax(2).mean(0).log(),
    ],
    "reverse_kl": [
        lambda s, t, T: F.kl_div(
            F.log_softmax(t / T, 1), F.log_softmax(s / T, 1), reduction="batchmean", log_target=True
        ),
        lambda s, t, T: ((s / T).softmax(1) * ((s / T).log_softmax(1) - (t / T).log_softmax(1))).sum(1).mean(),
        lambda s, t, T: nn.KLDivLoss(reduction="sum")((t / T).log_softmax(1), (s / T).softmax(1)) / len(s),
    ],
    "decoupled_kl": [
        written(DECOUPLED),
        edited(DECOUPLED, "first.mean(), second.mean()", "[first.mean(), second.mean()]"),
        edited(DECOUPLED, "return first.mean(), second.mean()", "return torch.stack([first.mean(), second.mean()])"),
        edited(
            DECOUPLED,
            "(rest_t * (rest_t / rest_s).log()).sum(1)",
            "F.kl_div(rest_s.log(), rest_t, reduction='none').sum(1)",
        ),
    ],
}
