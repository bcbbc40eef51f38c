"""Answers to the exercises as learners write them: wrong ones, each with words that its verdict must have.

A longer answer is written once, right, and its mistakes are edits of it: `edited` exchanges a piece of the source.
"""

import math
import textwrap
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.distributions import Categorical
from torch.distributions import kl_divergence as kl_of

SCOPE = {"F": F, "math": math, "nn": nn, "np": np, "torch": torch}


def written(source: str) -> Callable:
    """The function that a learner has written."""
    scope = dict(SCOPE)
    exec(textwrap.dedent(source), scope)
    return next(value for name, value in scope.items() if name not in SCOPE and callable(value))


def edited(source: str, *pieces: str) -> Callable:
    """The same with pieces exchanged: old, new, old, new, ..."""
    for old, new in zip(pieces[::2], pieces[1::2], strict=True):
        assert old in source, f"{old!r} isn't in the answer"
        source = source.replace(old, new)
    return written(source)


LOOK_ALIKES = """
    def look_alikes(p, y):
        rows = []
        for c in range(p.shape[1]):
            row = p[y == c].mean(0)
            row[c] = -1
            rows.append(row.argmax())
        return torch.stack(rows)
"""

TEMPERATURE_FOR = """
    def temperature_for(z, bits):
        low, high = 0.01, 1000.0
        for _ in range(60):
            middle = (low * high) ** 0.5
            p = torch.softmax(z / middle, dim=-1)
            entropy = torch.special.entr(p).sum() / math.log(2)
            if entropy < bits:
                low = middle
            else:
                high = middle
        return middle
"""

LOSS = """
    def distillation_loss(s, t, y, T, alpha):
        soft = F.kl_div(F.log_softmax(s / T, dim=-1), F.softmax(t / T, dim=-1), reduction="batchmean") * T**2
        hard = F.cross_entropy(s, y)
        return alpha * soft + (1 - alpha) * hard
"""

STEP = """
    def distill_step(student, teacher, images, labels, T, alpha, lr):
        mode = teacher.training
        teacher.eval()
        with torch.no_grad():
            t = teacher(images)
        teacher.train(mode)
        s = student(images)
        soft = F.kl_div(F.log_softmax(s / T, -1), F.softmax(t / T, -1), reduction="batchmean") * T**2
        hard = F.cross_entropy(s, labels)
        loss = alpha * soft + (1 - alpha) * hard
        student.zero_grad()
        loss.backward()
        with torch.no_grad():
            for w in student.parameters():
                w -= lr * w.grad
        return loss.item()
"""

CALIBRATION = """
    def calibration_error(p, y, bins):
        confidence, answer = p.max(dim=1)
        right = (answer == y).double()
        error = 0.0
        for i in range(bins):
            inside = (confidence > i / bins) & (confidence <= (i + 1) / bins)
            if inside.sum() > 0:
                gap = abs(right[inside].mean() - confidence[inside].mean())
                error += gap * inside.sum() / len(y)
        return error
"""

TUNED = """
    def tuned_bias(vz, vy, tz, ty, missing, biases):
        best, fewest = None, math.inf
        for b in biases:
            z = vz.clone()
            z[:, missing] += b
            errors = (z.argmax(1) != vy).sum().item()
            if errors < fewest:
                best, fewest = b.item(), errors
        z = tz.clone()
        z[:, missing] += best
        return best, (z.argmax(1) != ty).sum().item()
"""

INTERVAL = """
    def paired_interval(a, b):
        from scipy.stats import t
        d = np.array(b) - np.array(a)
        n = len(d)
        half = t.ppf(0.975, n - 1) * d.std(ddof=1) / n**0.5
        return d.mean(), d.mean() - half, d.mean() + half
"""

WILSON = """
    def wilson_interval(errors, n):
        z = 1.96
        p = errors / n
        centre = p + z**2 / (2 * n)
        half = z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
        return (centre - half) / (1 + z**2 / n), (centre + half) / (1 + z**2 / n)
"""

GAIN = """
    def fair_gain(va, ta, vb, tb):
        a = va.mean(dim=1).argmin()
        b = vb.mean(dim=1).argmin()
        return tb[b].mean() - ta[a].mean()
"""

DECOUPLED = """
    def decoupled_kl(s, t, y):
        own = F.one_hot(y, s.shape[1]).bool()
        p, q = t.softmax(1)[own], s.softmax(1)[own]
        first = p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()
        rest_s = s.softmax(1)[~own].reshape(len(s), -1)
        rest_t = t.softmax(1)[~own].reshape(len(s), -1)
        rest_s = rest_s / rest_s.sum(1, keepdim=True)
        rest_t = rest_t / rest_t.sum(1, keepdim=True)
        second = (rest_t * (rest_t / rest_s).log()).sum(1)
        return first.mean(), second.mean()
"""


def filled(fill: Callable) -> Callable:
    """One-hot by filling zeros in place."""

    def one_hot(y, classes):
        targets = torch.zeros(len(y), classes)
        fill(targets, y)
        return targets

    return one_hot


def right_kl(p, q):
    """KL(p ‖ q)."""
    return torch.where(p > 0, p * (p / q).log(), 0).sum(-1)


WRONG: dict[str, list[tuple[str, Callable]]] = {
    "one_hot": [
        (
            "a 1 for each label of the batch",
            written("def f(y, c):\n h = torch.zeros(len(y), c)\n h[:, y] = 1\n return h"),
        ),
        ("`y[labels] = 1` fills whole rows", lambda y, c: torch.zeros(len(y), c).index_fill(0, y, 1.0)),
        ("guessed from the largest label", lambda y, c: torch.eye(int(y.max()) + 1)[y]),
        ("guessed from the largest label", lambda y, c: F.one_hot(y).float()),
        ("transposed", lambda y, c: torch.eye(c)[:, y]),
        ("one class further on", lambda y, c: torch.eye(c).roll(1, 1)[y]),
        ("counted from 0 already", lambda y, c: torch.eye(c)[y - 1]),
        ("0 and 1 are exchanged", lambda y, c: (torch.arange(c) != y[:, None]).float()),
        ("the sum over the batch", lambda y, c: torch.bincount(y, minlength=c).float()),
        ("labels themselves", lambda y, c: y.float()),
        ("the labels aren't used", lambda y, c: torch.eye(c)[: len(y)] if c >= len(y) else torch.eye(len(y), c)),
        ("floating point is wanted", lambda y, c: F.one_hot(y, c)),
        ("numbers are wanted", lambda y, c: y[:, None] == torch.arange(c)),
        ("`scatter_`, with the underscore", filled(lambda h, y: h.scatter(1, y[:, None], 1.0))),
        ("`scatter_` and `gather` want an index", filled(lambda h, y: h.scatter_(1, y, 1.0))),
        ("smoothed", lambda y, c: 0.9 * torch.eye(c)[y] + 0.1 / c),
        ("class 3 isn't three times", filled(lambda h, y: h.scatter_(1, y[:, None], y[:, None].float()))),
        ("must be a whole number", lambda y, c: torch.eye(c)[y.float()]),
    ],
    "entropy": [
        ("in nats, and bits", lambda p: -torch.where(p > 0, p * p.log(), 0).sum(-1)),
        ("0 · -inf = NaN", lambda p: -(p * torch.log2(p)).sum(dim=-1)),
        ("in nats, and bits", lambda p: -(p * torch.log(p)).sum(dim=-1)),
        ("0 · -inf = NaN", lambda p: -(p * torch.log(p)).sum(dim=-1)),
        ("replaced after the sum", lambda p: torch.nan_to_num(-(p * torch.log2(p)).sum(-1))),
        ("replaced after the sum", lambda p: torch.nan_to_num(-(p * torch.log(p)).sum(-1))),
        ("A small number put before the logarithm", lambda p: -(p * (p + 1e-6).log2()).sum(-1)),
        ("A small number put before the logarithm", lambda p: -(p * (p + 1e-3).log2()).sum(-1)),
        ("A small number put before the logarithm", lambda p: -((p + 1e-6) * (p + 1e-6).log2()).sum(-1)),
        ("A small number put before the logarithm", lambda p: -(p.clamp(1e-5) * p.clamp(1e-5).log2()).sum(-1)),
        ("`p[p > 0]` does that, too", lambda p: -(p[p > 0] * p[p > 0].log2()).sum()),
        ("`p[p > 0]` does that, too", lambda p: -(p[p > 0] * p[p > 0].log2()).sum(-1)),
        ("in nats, and bits", lambda p: -(p[p > 0] * p[p > 0].log()).sum()),
        ("the sign is missing", lambda p: torch.where(p > 0, p * p.log2(), 0).sum(-1)),
        ("mean over the classes", lambda p: torch.special.entr(p).mean(-1) / math.log(2)),
        ("averaged over the batch", lambda p: torch.special.entr(p).sum(-1).mean() / math.log(2)),
        ("the first axis, not over the classes", lambda p: torch.special.entr(p).sum(0) / math.log(2)),
        ("the sum over the classes is still missing", lambda p: torch.special.entr(p) / math.log(2)),
        ("divided by the largest possible", lambda p: torch.special.entr(p).sum(-1) / math.log(p.shape[-1])),
        ("the factor p in front is missing", lambda p: -p.log2().sum(-1)),
        ("perplexity", lambda p: 2 ** (torch.special.entr(p).sum(-1) / math.log(2))),
        ("these are probabilities already", lambda p: torch.special.entr(p.softmax(-1)).sum(-1) / math.log(2)),
        ("this is None: is a `return` missing?", written("def f(p):\n e = -(p * p.log2()).sum(-1)")),
        ("decide number by number", lambda p: -sum(x * x.log2() for x in p if x > 0)),
    ],
    "look_alikes": [
        ("may be its own look-alike", edited(LOOK_ALIKES, "            row[c] = -1\n", "")),
        ("argmin instead of argmax", edited(LOOK_ALIKES, "= -1", "= 2", "argmax", "argmin")),
        (
            "grouped by the class that is predicted",
            edited(LOOK_ALIKES, "y == c", "p.argmax(1) == c", "row[c] = -1", "row = row.nan_to_num(-1); row[c] = -1"),
        ),
        ("the labels aren't used", edited(LOOK_ALIKES, "p[y == c]", "p")),
        ("not which class it is", edited(LOOK_ALIKES, "argmax", "max")),
        ("still to be picked", edited(LOOK_ALIKES, "row.argmax()", "row")),
        ("still to be picked", edited(LOOK_ALIKES, "            row[c] = -1\n", "", "row.argmax()", "row")),
        (
            "takes the second largest",
            edited(LOOK_ALIKES, "            row[c] = -1\n", "", "row.argmax()", "row.argsort()[-2]"),
        ),
        (
            "rows and columns are mixed up",
            lambda p, y: torch.stack([p[y == c].mean(0) for c in range(4)]).fill_diagonal_(0).argmax(0),
        ),
        ("one class per example", lambda p, y: (p - torch.eye(4)[y]).argmax(1)),
        ("argmin instead of argmax", lambda p, y: torch.stack([p[y == c].mean(0) for c in range(4)]).argmin(1)),
        ("a list of 4 tensors", edited(LOOK_ALIKES, "torch.stack(rows)", "[torch.ones(2) for _ in rows]")),
        ("out of bounds", edited(LOOK_ALIKES, "range(p.shape[1])", "range(p.shape[0])")),
    ],
    "soften": [
        ("multiplied by T", lambda z, T: torch.softmax(z * T, -1)),
        ("T isn't used", lambda z, T: z.softmax(-1)),
        ("over the batch (axis 0)", lambda z, T: F.softmax(z / T, dim=0)),
        ("whole batch at once", lambda z, T: ((z - z.max()) / T).exp() / ((z - z.max()) / T).exp().sum()),
        ("exp overflows", lambda z, T: (z / T).exp() / (z / T).exp().sum(-1, keepdim=True)),
        ("exp overflows", lambda z, T: z.exp() / z.exp().sum(-1, keepdim=True)),
        (
            "Each row needs its own",
            lambda z, T: ((z - z.max()) / T).exp() / ((z - z.max()) / T).exp().sum(-1, keepdim=True),
        ),
        ("Softmax twice", lambda z, T: torch.softmax(torch.softmax(z, -1) / T, -1)),
        ("Softmax twice", lambda z, T: torch.softmax(torch.softmax(z / T, -1), -1)),
        ("the probabilities are divided by T", lambda z, T: z.softmax(-1) / T),
        ("the division by the sum is missing", lambda z, T: torch.exp(z / T)),
        ("the logarithm of what is asked for", lambda z, T: F.log_softmax(z / T, -1)),
        ("sigmoid", lambda z, T: torch.sigmoid(z / T)),
        ("the exponential is missing", lambda z, T: z / z.sum(-1, keepdim=True)),
        ("a T below 1 is treated as 1", lambda z, T: torch.softmax(z / max(T, 1), -1)),
        ("divided by T²", lambda z, T: torch.softmax(z / T**2, -1)),
        ("the largest logit gets the smallest", lambda z, T: torch.softmax(-z / T, -1)),
        (
            "powers of 2",
            lambda z, T: (
                2 ** ((z - z.amax(-1, keepdim=True)) / T)
                / (2 ** ((z - z.amax(-1, keepdim=True)) / T)).sum(-1, keepdim=True)
            ),
        ),
        ("changes z in place", lambda z, T: z.div_(T).softmax(-1)),
        (
            "keepdim=True",
            lambda z, T: (
                ((z - z.amax(-1, keepdim=True)) / T).exp() / ((z - z.amax(-1, keepdim=True)) / T).exp().sum(-1)
            ),
        ),
        ("the classes are always the last one", lambda z, T: torch.softmax(z / T, dim=1)),
    ],
    "log_soften": [
        ("underflowed to 0", lambda z, T: torch.log(torch.softmax(z / T, -1))),
        ("A clamp or a small number", lambda z, T: torch.log(torch.softmax(z / T, -1) + 1e-8)),
        ("A clamp or a small number", lambda z, T: torch.log(torch.softmax(z / T, -1).clamp(min=1e-12))),
        (
            "`torch.logsumexp` takes the largest off",
            lambda z, T: z / T - torch.log(torch.exp(z / T).sum(-1, keepdim=True)),
        ),
        (
            "`torch.logsumexp` takes the largest off",
            lambda z, T: torch.log(torch.exp(z / T) / torch.exp(z / T).sum(-1, keepdim=True)),
        ),
        ("T isn't used", lambda z, T: F.log_softmax(z, -1)),
        ("the logarithm is divided by T", lambda z, T: F.log_softmax(z, -1) / T),
        ("multiplied by T", lambda z, T: F.log_softmax(z * T, -1)),
        ("over the batch (axis 0)", lambda z, T: F.log_softmax(z / T, dim=0)),
        ("the logarithm is missing", lambda z, T: F.softmax(z / T, -1)),
        ("log2", lambda z, T: F.log_softmax(z / T, -1) / math.log(2)),
        ("still to be taken off", lambda z, T: z / T),
        ("taken off and nothing else", lambda z, T: (z - z.max(-1, keepdim=True).values) / T),
        ("T is missing in log sum exp", lambda z, T: z / T - torch.logsumexp(z, -1, keepdim=True)),
        ("T is missing in the first part", lambda z, T: z - torch.logsumexp(z / T, -1, keepdim=True)),
        ("the surprise", lambda z, T: torch.logsumexp(z / T, -1, keepdim=True) - z / T),
        ("a T below 1 is treated as 1", lambda z, T: F.log_softmax(z / max(1, T), -1)),
        ("log sum exp alone", lambda z, T: torch.logsumexp(z / T, -1, keepdim=True)),
        ("keepdim=True", lambda z, T: z / T - torch.logsumexp(z / T, -1)),
    ],
    "temperature_for": [
        ("must be below 1", edited(TEMPERATURE_FOR, "0.01, 1000.0", "1.0, 100.0")),
        ("must be below 1", edited(TEMPERATURE_FOR, "0.01, 1000.0", "1.0, 20.0")),
        ("must be above 20", edited(TEMPERATURE_FOR, "0.01, 1000.0", "0.01, 20.0")),
        ("must be above 20", edited(TEMPERATURE_FOR, "0.01, 1000.0", "0.1, 10.0")),
        ("keeps the wrong half", edited(TEMPERATURE_FOR, "< bits", "> bits")),
        ("keeps the wrong half", edited(TEMPERATURE_FOR, "< bits", "> bits", "0.01, 1000.0", "1.0, 20.0")),
        (
            "keeps the wrong half",
            edited(TEMPERATURE_FOR, "< bits", "> bits", "(low * high) ** 0.5", "(low + high) / 2"),
        ),
        ("in nats and is compared with bits", edited(TEMPERATURE_FOR, " / math.log(2)", "")),
        ("the wrong way round", edited(TEMPERATURE_FOR, "entropy < bits", "entropy < bits * math.log(2)")),
        ("1 / T", edited(TEMPERATURE_FOR, "return middle", "return 1 / middle")),
        ("the logarithm of T", edited(TEMPERATURE_FOR, "return middle", "return math.log(middle)")),
        ("keeps the wrong half", edited(TEMPERATURE_FOR, "z / middle", "z * middle")),
        ("one decimal came", edited(TEMPERATURE_FOR, "return middle", "return round(middle, 1)")),
        ("nearest whole number", edited(TEMPERATURE_FOR, "return middle", "return round(middle)")),
        ("the entropy that was asked for", edited(TEMPERATURE_FOR, "return middle", "return entropy")),
        ("the softened probabilities", edited(TEMPERATURE_FOR, "return middle", "return p")),
        ("a search cut short", edited(TEMPERATURE_FOR, "range(60)", "range(10)")),
        (
            "keeps the wrong half",
            edited(
                TEMPERATURE_FOR,
                "low = middle",
                "high = middle",
                "else:\n                high = middle",
                "else:\n                low = middle",
            ),
        ),
        ("this is 1, the right value", lambda z, bits: 1.0),
    ],
    "kl": [
        ("`nan_to_num` replaces infinity", lambda p, q: torch.nan_to_num(p * (p / q).log()).sum(-1)),
        ("`nan_to_num` replaces infinity", lambda p, q: torch.nan_to_num(p * (p.log() - q.log())).sum(-1)),
        ("or a small number added to q", lambda p, q: torch.where(p > 0, p * (p / q.clamp(min=1e-8)).log(), 0).sum(-1)),
        ("or a small number added to q", lambda p, q: torch.where(p > 0, p * (p / (q + 1e-10)).log(), 0).sum(-1)),
        (
            "or a small number added to q",
            lambda p, q: (p * (p.clamp(min=1e-12).log() - q.clamp(min=1e-12).log())).sum(-1),
        ),
        ("0 · log 0 is NaN", lambda p, q: (p * torch.log(p / q)).sum(-1)),
        ("0 · log 0 is NaN", lambda p, q: (p * (torch.log(p) - torch.log(q))).sum(-1)),
        ("replaced after the sum", lambda p, q: torch.nan_to_num((p * torch.log(p / q)).sum(-1))),
        ("`p[p > 0]` does that, too", lambda p, q: (p[p > 0] * (p[p > 0] / q[p > 0]).log()).sum()),
        ("`p[p > 0]` does that, too", lambda p, q: (p[p > 0] * (p[p > 0] / q[p > 0]).log()).sum(-1)),
        ("the other direction", lambda p, q: (q * (q / p).log()).sum(-1)),
        ("the other direction", lambda p, q: torch.where(q > 0, q * (q / p).log(), 0).sum(-1)),
        ("in bits", lambda p, q: (torch.where(p > 0, p * (p / q).log2(), 0)).sum(-1)),
        ("the mean over the classes", lambda p, q: torch.where(p > 0, p * (p / q).log(), 0).mean(-1)),
        ("averaged over the batch", lambda p, q: torch.where(p > 0, p * (p / q).log(), 0).sum(-1).mean()),
        ("the sum over the classes is still missing", lambda p, q: torch.where(p > 0, p * (p / q).log(), 0)),
        ("with the other sign", lambda p, q: torch.where(p > 0, p * (q / p).log(), 0).sum(-1)),
        ("cross-entropy", lambda p, q: -(p * q.log()).sum(-1)),
        ("cross-entropy", lambda p, q: -torch.xlogy(p, q).sum(-1)),
        ("a class that p and q both rule out", lambda p, q: F.kl_div(q.log(), p, reduction="none").sum(-1)),
        ("F.kl_div(p, q) isn't KL", lambda p, q: F.kl_div(p, q, reduction="none").sum(-1)),
        ("F.kl_div(log p, q) is KL(q", lambda p, q: F.kl_div(p.log(), q, reduction="none").sum(-1)),
        ("the factor p in front is missing", lambda p, q: (p / q).log().sum(-1)),
        ("the factor in front of log(p / q) is q", lambda p, q: (q * (p / q).log()).sum(-1)),
        ("squared difference", lambda p, q: ((p - q) ** 2).sum(-1)),
        ("the first axis, not over the classes", lambda p, q: torch.where(p > 0, p * (p / q).log(), 0).sum(0)),
        (
            "takes the logarithm or the root of a number",
            lambda p, q: torch.tensor(
                [
                    sum(a * math.log(a / b) for a, b in zip(r, s, strict=True))
                    for r, s in zip(
                        p.reshape(-1, p.shape[-1]).tolist(), q.reshape(-1, p.shape[-1]).tolist(), strict=True
                    )
                ]
            ).reshape(p.shape[:-1]),
        ),
    ],
    "kl_from_logits": [
        (
            "not the logits in it",
            lambda s, t, T: F.kl_div(F.log_softmax(s, -1) / T, F.softmax(t / T, -1), reduction="batchmean"),
        ),
        (
            "not the logits in it",
            lambda s, t, T: F.kl_div(F.log_softmax(s, -1) / T, F.softmax(t, -1) / T, reduction="batchmean"),
        ),
        ("squared difference of the logits", lambda s, t, T: F.mse_loss(s, t)),
        ("squared difference of the logits", lambda s, t, T: F.mse_loss(s / T, t / T)),
        (
            "squared difference of the probabilities",
            lambda s, t, T: F.mse_loss((s / T).softmax(-1), (t / T).softmax(-1)),
        ),
        (
            '`reduction="mean"` averages over the classes',
            lambda s, t, T: F.kl_div(F.log_softmax(s / T, -1), F.softmax(t / T, -1)),
        ),
        (
            "adds up the batch",
            lambda s, t, T: F.kl_div(F.log_softmax(s / T, -1), F.softmax(t / T, -1), reduction="sum"),
        ),
        ("swapped", lambda s, t, T: F.kl_div(F.log_softmax(t / T, -1), F.softmax(s / T, -1), reduction="batchmean")),
        (
            "T² is in here already",
            lambda s, t, T: T * T * F.kl_div(F.log_softmax(s / T, -1), F.softmax(t / T, -1), reduction="batchmean"),
        ),
        (
            "wants their logarithm there",
            lambda s, t, T: F.kl_div(F.softmax(s / T, -1), F.softmax(t / T, -1), reduction="batchmean"),
        ),
        (
            "without `log_target=True`",
            lambda s, t, T: F.kl_div(F.log_softmax(s / T, -1), F.log_softmax(t / T, -1), reduction="batchmean"),
        ),
        (
            "T is on the teacher alone",
            lambda s, t, T: F.kl_div(F.log_softmax(s, -1), F.softmax(t / T, -1), reduction="batchmean"),
        ),
        (
            "T is on the student alone",
            lambda s, t, T: F.kl_div(F.log_softmax(s / T, -1), F.softmax(t, -1), reduction="batchmean"),
        ),
        (
            "over the batch (axis 0)",
            lambda s, t, T: F.kl_div(F.log_softmax(s / T, 0), F.softmax(t / T, 0), reduction="batchmean"),
        ),
        ("soft cross-entropy", lambda s, t, T: F.cross_entropy(s / T, F.softmax(t / T, -1))),
        (
            "by hand is 0 · -inf",
            lambda s, t, T: (
                (F.softmax(t / T, -1) * (F.softmax(t / T, -1).log() - F.log_softmax(s / T, -1))).sum(-1).mean()
            ),
        ),
        (
            "by hand is 0 · -inf",
            lambda s, t, T: (F.softmax(t / T, -1) * (F.softmax(t / T, -1) / F.softmax(s / T, -1)).log()).sum(-1).mean(),
        ),
        (
            "`F.log_softmax` never is",
            lambda s, t, T: F.kl_div(F.softmax(s / T, -1).log(), F.softmax(t / T, -1), reduction="batchmean"),
        ),
        (
            "the student's side are its logits",
            lambda s, t, T: F.kl_div(s / T, F.softmax(t / T, -1), reduction="batchmean"),
        ),
        ("underflows to 0", lambda s, t, T: kl_of(Categorical(logits=t / T), Categorical(logits=s / T)).mean()),
        (
            "goes through a softmax twice",
            lambda s, t, T: F.kl_div(
                F.log_softmax(F.softmax(s / T, -1), -1), F.softmax(t / T, -1), reduction="batchmean"
            ),
        ),
        ("thrown away by argmax", lambda s, t, T: F.cross_entropy(s / T, t.argmax(-1))),
        ("always 0", lambda s, t, T: F.kl_div(F.log_softmax(t / T, -1), F.softmax(t / T, -1), reduction="batchmean")),
        ("; and ", lambda s, t, T: F.kl_div(F.log_softmax(t / T, -1), F.softmax(s / T, -1))),
        (
            "no gradient",
            torch.no_grad()(
                lambda s, t, T: F.kl_div(F.log_softmax(s / T, -1), F.softmax(t / T, -1), reduction="batchmean")
            ),
        ),
    ],
    "jensen_shannon": [
        ("the sum of the two KLs", lambda p, q: right_kl(p, (p + q) / 2) + right_kl(q, (p + q) / 2)),
        ("Jeffreys", lambda p, q: (right_kl(p, q) + right_kl(q, p)) / 2),
        ("infinite as soon as one has a 0 where the other hasn't: both", lambda p, q: right_kl(p, q) + right_kl(q, p)),
        ("it isn't symmetric", lambda p, q: right_kl(p, (p + q) / 2)),
        ("it isn't symmetric", lambda p, q: right_kl(q, (p + q) / 2)),
        ("the root of it", lambda p, q: ((right_kl(p, (p + q) / 2) + right_kl(q, (p + q) / 2)) / 2) ** 0.5),
        ("in bits", lambda p, q: (right_kl(p, (p + q) / 2) + right_kl(q, (p + q) / 2)) / 2 / math.log(2)),
        (
            "0 · log 0 is NaN",
            lambda p, q: ((p * (2 * p / (p + q)).log()).sum(-1) + (q * (2 * q / (p + q)).log()).sum(-1)) / 2,
        ),
        ("m is p + q", lambda p, q: (right_kl(p, p + q) + right_kl(q, p + q)) / 2),
        ("KL(m ‖ p)", lambda p, q: (right_kl((p + q) / 2, p) + right_kl((p + q) / 2, q)) / 2),
        ("summed over the batch", lambda p, q: ((right_kl(p, (p + q) / 2) + right_kl(q, (p + q) / 2)) / 2).sum()),
        ("averaged over the batch", lambda p, q: ((right_kl(p, (p + q) / 2) + right_kl(q, (p + q) / 2)) / 2).mean()),
        ("the root of p · q", lambda p, q: (right_kl(p, (p * q).sqrt()) + right_kl(q, (p * q).sqrt())) / 2),
        ("(p - q) / 2", lambda p, q: (right_kl(p, (p - q) / 2) + right_kl(q, (p - q) / 2)) / 2),
        ("with the other sign", lambda p, q: (right_kl(p, (p + q) / 2) + right_kl(q, (p + q) / 2)) / -2),
        (
            "replaced after the sum",
            lambda p, q: (
                (
                    (p * (2 * p / (p + q)).log()).sum(-1).nan_to_num()
                    + (q * (2 * q / (p + q)).log()).sum(-1).nan_to_num()
                )
                / 2
            ),
        ),
    ],
    "distillation_loss": [
        ("T² is missing", edited(LOSS, " * T**2", "")),
        ("T instead of T²", edited(LOSS, "T**2", "T")),
        ("divides by the classes too", edited(LOSS, "batchmean", "mean")),
        ("adds up the batch", edited(LOSS, "batchmean", "sum")),
        (
            "alpha and 1 - alpha are swapped",
            edited(LOSS, "alpha * soft + (1 - alpha) * hard", "alpha * hard + (1 - alpha) * soft"),
        ),
        ("both terms have weight 1", edited(LOSS, "alpha * soft + (1 - alpha) * hard", "soft + hard")),
        ("T is on the hard term", edited(LOSS, "cross_entropy(s, y)", "cross_entropy(s / T, y)")),
        ("T² is on the hard term", edited(LOSS, "(1 - alpha) * hard", "(1 - alpha) * hard * T**2")),
        ("softmax twice, so its gradients", edited(LOSS, "cross_entropy(s, y)", "cross_entropy(s.softmax(-1), y)")),
        (
            "compares with the teacher's answer, not with the labels",
            edited(LOSS, "cross_entropy(s, y)", "cross_entropy(s, t.argmax(-1))"),
        ),
        ("the teacher's cross-entropy, not the student's", edited(LOSS, "cross_entropy(s, y)", "cross_entropy(t, y)")),
        (
            "squared difference of the logits",
            edited(
                LOSS,
                'soft = F.kl_div(F.log_softmax(s / T, dim=-1), F.softmax(t / T, dim=-1), reduction="batchmean") * T**2',
                "soft = F.mse_loss(s, t)",
            ),
        ),
        (
            "squared difference of the probabilities",
            edited(
                LOSS,
                'soft = F.kl_div(F.log_softmax(s / T, dim=-1), F.softmax(t / T, dim=-1), reduction="batchmean") * T**2',
                "soft = T**2 * F.mse_loss((s / T).softmax(-1), (t / T).softmax(-1))",
            ),
        ),
        (
            "argmax throws its dark knowledge away",
            edited(
                LOSS,
                'soft = F.kl_div(F.log_softmax(s / T, dim=-1), F.softmax(t / T, dim=-1), reduction="batchmean") * T**2',
                "soft = F.cross_entropy(s, t.argmax(-1))",
            ),
        ),
        ("log_softmax is divided by T", edited(LOSS, "F.log_softmax(s / T, dim=-1)", "F.log_softmax(s, dim=-1) / T")),
        ("wants their logarithm", edited(LOSS, "F.log_softmax(s / T", "F.softmax(s / T")),
        ("without `log_target=True`", edited(LOSS, "F.softmax(t / T", "F.log_softmax(t / T")),
        ("the soft term is 0 throughout", edited(LOSS, "F.log_softmax(s / T", "F.log_softmax(t / T")),
        ("the soft term is 0 throughout", edited(LOSS, "alpha * soft + ", "")),
        ("the hard term is missing", edited(LOSS, " + (1 - alpha) * hard", "")),
        ("`F.nll_loss` wants log-probabilities", edited(LOSS, "F.cross_entropy(s, y)", "F.nll_loss(s.softmax(-1), y)")),
        ("counts wrong answers", edited(LOSS, "F.cross_entropy(s, y)", "(s.argmax(-1) != y).double().mean()")),
        (
            "the loss jumps there",
            edited(LOSS, "        return", "        if alpha == 1:\n            return soft / T**2\n        return"),
        ),
        ("T⁴", edited(LOSS, "T**2", "T**4")),
        (
            "this is the other direction",
            edited(LOSS, "F.log_softmax(s / T", "F.log_softmax(t / T", "F.softmax(t / T", "F.softmax(s / T"),
        ),
        ("; and ", edited(LOSS, " * T**2", "", "batchmean", "mean")),
        ("B times too strong", edited(LOSS, "cross_entropy(s, y)", "cross_entropy(s, y, reduction='sum')")),
        ("not the student's gradient", edited(LOSS, "(1 - alpha) * hard", "(1 - alpha) * hard.item()")),
        ("the shape is", edited(LOSS, "cross_entropy(s, y)", "cross_entropy(s, y, reduction='none')")),
    ],
    "soft_gradient": [
        ("the sign is the other one", lambda s, t, T: T * ((t / T).softmax(-1) - (s / T).softmax(-1)) / len(s)),
        ("a factor T is missing", lambda s, t, T: (s / T).softmax(-1) - (t / T).softmax(-1)),
        ("the mean over the batch is missing", lambda s, t, T: (s / T).softmax(-1) - (t / T).softmax(-1)),
        ("a factor T is missing", lambda s, t, T: (t / T).softmax(-1) - (s / T).softmax(-1)),
        ("the mean over the batch is missing", lambda s, t, T: T * ((s / T).softmax(-1) - (t / T).softmax(-1))),
        ("T² is missing", lambda s, t, T: ((s / T).softmax(-1) - (t / T).softmax(-1)) / (T * len(s))),
        (
            "the chain rule's 1 / T is missing",
            lambda s, t, T: T**2 * ((s / T).softmax(-1) - (t / T).softmax(-1)) / len(s),
        ),
        ("both softmaxes are at T = 1", lambda s, t, T: T * (s.softmax(-1) - t.softmax(-1)) / len(s)),
        ("both softmaxes are at T = 1", lambda s, t, T: (s.softmax(-1) - t.softmax(-1)) / len(s)),
        ("divided by the classes, too", lambda s, t, T: T * ((s / T).softmax(-1) - (t / T).softmax(-1)) / s.numel()),
        ("the limit for very high T", lambda s, t, T: (s - t) / (s.shape[0] * s.shape[1])),
        ("the difference of the logits", lambda s, t, T: T * (s - t) / len(s)),
        ("aren't taken off", lambda s, t, T: T * (s / T).softmax(-1) / len(s)),
        (
            "the loss, its gradient",
            lambda s, t, T: T**2 * F.kl_div((s / T).log_softmax(-1), (t / T).softmax(-1), reduction="batchmean"),
        ),
        ("the softmax runs over the batch", lambda s, t, T: T * ((s / T).softmax(0) - (t / T).softmax(0)) / len(s)),
        (
            "does not require grad",
            lambda s, t, T: torch.autograd.grad(
                F.kl_div((s / T).log_softmax(-1), (t / T).softmax(-1), reduction="batchmean"), s
            )[0],
        ),
    ],
    "distill_step": [
        (
            "put the update under `with torch.no_grad()",
            edited(
                STEP,
                "        with torch.no_grad():\n            for w in student.parameters():\n                w -= lr * w.grad",
                "        for w in student.parameters():\n            w -= lr * w.grad",
            ),
        ),
        (
            "Only the teacher belongs under `torch.no_grad()`",
            edited(
                STEP,
                "            t = teacher(images)\n        teacher.train(mode)\n        s = student(images)",
                "            t = teacher(images)\n            s = student(images)\n        teacher.train(mode)",
            ),
        ),
        ("in the mode in which it came", edited(STEP, "        teacher.eval()\n", "")),
        ("left in eval mode though it came in train mode", edited(STEP, "        teacher.train(mode)\n", "")),
        ("put into train mode", edited(STEP, "teacher.eval()", "teacher.train()", "teacher.train(mode)", "pass")),
        (
            "the teacher got gradients",
            edited(STEP, "with torch.no_grad():\n            t = teacher", "if True:\n            t = teacher"),
        ),
        (
            "left in eval mode though it came in train mode",
            edited(
                STEP,
                "        teacher.train(mode)\n",
                "",
                "with torch.no_grad():\n            t = teacher",
                "if True:\n            t = teacher",
            ),
        ),
        ("call `zero_grad` before", edited(STEP, "        student.zero_grad()\n", "")),
        (
            "something here is None, as gradients are",
            edited(
                STEP,
                "        student.zero_grad()\n        loss.backward()",
                "        loss.backward()\n        student.zero_grad()",
            ),
        ),
        ("haven't moved", edited(STEP, "w -= lr * w.grad", "w = w - lr * w.grad")),
        ("goes uphill", edited(STEP, "w -= lr", "w += lr")),
        ("lr isn't used", edited(STEP, "w -= lr * w.grad", "w -= w.grad")),
        ("a step of Adam", edited(STEP, "w.grad\n", "w.grad / (w.grad.abs() + 1e-8)\n")),
        (
            "the student is left in eval mode",
            edited(STEP, "return loss.item()", "student.eval()\n        return loss.item()"),
        ),
        (
            "moved along with the student's",
            edited(
                STEP,
                "for w in student.parameters()",
                "for w in [*student.parameters(), *teacher.parameters()]",
                "with torch.no_grad():\n            t = teacher",
                "if True:\n            t = teacher",
                "student.zero_grad()",
                "student.zero_grad(); teacher.zero_grad()",
            ),
        ),
        (
            "alpha and 1 - alpha are swapped",
            edited(STEP, "alpha * soft + (1 - alpha) * hard", "alpha * hard + (1 - alpha) * soft"),
        ),
        ("T² is missing", edited(STEP, " * T**2", "")),
        ("no hard term", edited(STEP, " + (1 - alpha) * hard", "")),
        ("no soft term", edited(STEP, "alpha * soft + (1 - alpha) * hard", "hard")),
        (
            "moved twice",
            edited(
                STEP,
                "                w -= lr * w.grad",
                "                w -= lr * w.grad\n                w -= lr * w.grad",
            ),
        ),
        ("the last layer alone", edited(STEP, "student.parameters()", "student[-1].parameters()")),
        ("is a `return` missing", edited(STEP, "        return loss.item()", "")),
        ("`backward` is called twice", edited(STEP, "loss.backward()", "loss.backward(); loss.backward()")),
        ("call `zero_grad` before", edited(STEP, "        student.zero_grad()\n", "", "        teacher.eval()\n", "")),
    ],
    "agreement": [
        ("divide by N", lambda s, t: (s.argmax(1) == t.argmax(1)).sum()),
        ("in percent", lambda s, t: (s.argmax(1) == t.argmax(1)).float().mean() * 100),
        ("the mean over the examples is still missing", lambda s, t: s.argmax(1) == t.argmax(1)),
        ("*disagree*", lambda s, t: (s.argmax(1) != t.argmax(1)).float().mean()),
        ("over the batch (axis 0)", lambda s, t: (s.argmax(0) == t.argmax(0)).float().mean()),
        ("without an axis", lambda s, t: (s.argmax() == t.argmax()).float()),
        ("counts equal logits", lambda s, t: (s == t).float().mean()),
        ("agree on all examples", lambda s, t: bool((s.argmax(1) == t.argmax(1)).all())),
        ("argmin for argmax", lambda s, t: (s.argmin(1) == t.argmin(1)).float().mean()),
        ("the order of all classes", lambda s, t: (s.argsort(1) == t.argsort(1)).all(1).float().mean()),
        ("the order of all classes", lambda s, t: (s.argsort(1) == t.argsort(1)).float().mean()),
        (
            "the teacher's first two",
            lambda s, t: (s.argmax(1, keepdim=True) == t.topk(2, 1).indices).any(1).float().mean(),
        ),
        ("the probability that both share", lambda s, t: torch.minimum(s.softmax(1), t.softmax(1)).sum(1).mean()),
        ("cosine", lambda s, t: F.cosine_similarity(s, t).mean()),
        ("number of examples belongs there", lambda s, t: (s.argmax(1) == t.argmax(1)).sum() / s.shape[1]),
        ("have no mean in torch", lambda s, t: (s.argmax(1) == t.argmax(1)).mean()),
    ],
    "paired_interval": [
        ("the difference is a - b", edited(INTERVAL, "np.array(b) - np.array(a)", "np.array(a) - np.array(b)")),
        ("is the normal distribution's quantile", edited(INTERVAL, "t.ppf(0.975, n - 1)", "1.96")),
        ("is the normal distribution's quantile", edited(INTERVAL, "t.ppf(0.975, n - 1)", "2")),
        ("n - 1 degrees of freedom", edited(INTERVAL, "n - 1)", "n)")),
        ("a 90 % interval", edited(INTERVAL, "0.975", "0.95")),
        ("divided by n: with n - 1", edited(INTERVAL, "ddof=1", "ddof=0")),
        ("the root of n is missing", edited(INTERVAL, " / n**0.5", "")),
        ("the interval's ends are missing", edited(INTERVAL, ", d.mean() - half, d.mean() + half", "")),
        ("the mean is missing", edited(INTERVAL, "return d.mean(), ", "return ")),
        (
            "(low, high, mean)",
            edited(
                INTERVAL, "d.mean(), d.mean() - half, d.mean() + half", "d.mean() - half, d.mean() + half, d.mean()"
            ),
        ),
        (
            "(low, mean, high)",
            edited(
                INTERVAL, "d.mean(), d.mean() - half, d.mean() + half", "d.mean() - half, d.mean(), d.mean() + half"
            ),
        ),
        ("its root is missing", edited(INTERVAL, "std", "var")),
        ("where its root belongs", edited(INTERVAL, "n**0.5", "n")),
        ("t's quantile is missing", edited(INTERVAL, "t.ppf(0.975, n - 1) * ", "")),
        ("the middle is the median", edited(INTERVAL, "d.mean()", "np.median(d)")),
        (
            "the least and the largest difference",
            edited(INTERVAL, "d.mean() - half, d.mean() + half", "d.min(), d.max()"),
        ),
        ("divided by n: with n - 1", edited(INTERVAL, "ddof=1", "ddof=0", "t.ppf(0.975, n - 1)", "1.96")),
        (
            "the difference is a - b",
            edited(INTERVAL, "np.array(b) - np.array(a)", "np.array(a) - np.array(b)", "0.975", "0.95"),
        ),
        ("comes as a list", edited(INTERVAL, "np.array(b) - np.array(a)", "b - a")),
        ("the interval's length comes", edited(INTERVAL, "d.mean() - half, d.mean() + half", "2 * half")),
    ],
    "calibration_error": [
        (
            "all bins weigh the same",
            edited(CALIBRATION, "inside.sum() / len(y)", "(1 / len(torch.unique((confidence * bins).ceil())))"),
        ),
        ("all bins weigh the same", edited(CALIBRATION, "inside.sum() / len(y)", "(1 / bins)")),
        ("the sum of the gaps", edited(CALIBRATION, "gap * inside.sum() / len(y)", "gap")),
        (
            "*maximum* calibration error",
            edited(CALIBRATION, "error += gap * inside.sum() / len(y)", "error = max(error, gap)"),
        ),
        (
            "keep their signs",
            edited(
                CALIBRATION,
                "abs(right[inside].mean() - confidence[inside].mean())",
                "right[inside].mean() - confidence[inside].mean()",
            ),
        ),
        (
            "cancel",
            edited(
                CALIBRATION,
                "abs(right[inside].mean() - confidence[inside].mean())",
                "confidence[inside].mean() - right[inside].mean()",
            ),
        ),
        (
            "the gap of all examples together",
            lambda p, y, bins: abs((p.argmax(1) == y).double().mean() - p.amax(1).mean()),
        ),
        (
            "the gaps are squared",
            edited(
                CALIBRATION,
                "abs(right[inside].mean() - confidence[inside].mean())",
                "(right[inside].mean() - confidence[inside].mean()) ** 2",
            ),
        ),
        (
            "the probability of the label",
            edited(CALIBRATION, "        right =", "        confidence = p[torch.arange(len(y)), y]\n        right ="),
        ),
        ("the share of *wrong* answers", edited(CALIBRATION, "answer == y", "answer != y")),
        ("represented by its middle", edited(CALIBRATION, "confidence[inside].mean()", "(i + 0.5) / bins")),
        ("a confidence of exactly 1", edited(CALIBRATION, "> i / bins", ">= i / bins", "<= (i", "< (i")),
        ("0 / 0 = NaN", edited(CALIBRATION, "if inside.sum() > 0:", "if True:")),
        ("taken for each example by itself", lambda p, y, bins: ((p.argmax(1) == y).double() - p.amax(1)).abs().mean()),
        ("Brier", lambda p, y, bins: ((p - F.one_hot(y, 4)) ** 2).sum(1).mean()),
        ("in percent", edited(CALIBRATION, "return error", "return 100 * error")),
        ("isn't divided by the number of examples", edited(CALIBRATION, " / len(y)", "")),
    ],
    "without_classes": [
        ("a mask of True and False", lambda y, classes: ~torch.isin(y, torch.tensor(classes))),
        ("the examples *of* the classes", lambda y, classes: torch.where(torch.isin(y, torch.tensor(classes)))[0]),
        ("a mask of True and False", lambda y, classes: torch.isin(y, torch.tensor(classes))),
        ("the labels of the examples", lambda y, classes: y[~torch.isin(y, torch.tensor(classes))]),
        ("the first of `classes` alone", lambda y, classes: torch.where(y != classes[0])[0]),
        (
            "each turn of the loop begins anew",
            written("def f(y, classes):\n for c in classes:\n  keep = y != c\n return keep.nonzero().squeeze(1)"),
        ),
        (
            "differs from *one* of the classes",
            lambda y, classes: torch.stack([y != c for c in classes]).any(0).nonzero().squeeze(1),
        ),
        ("as a column", lambda y, classes: (~torch.isin(y, torch.tensor(classes))).nonzero()),
        ("the classes that stay", lambda y, classes: torch.tensor([c for c in range(4) if c not in classes])),
        ("how many examples stay", lambda y, classes: sum(int(label) not in classes for label in y)),
        (
            "rows that are to go are 0",
            lambda y, classes: torch.where(torch.isin(y, torch.tensor(classes)), 0, torch.arange(len(y))),
        ),
        ("a class above is to stay", lambda y, classes: torch.where(y < min(classes))[0]),
        ("the first is row 0", lambda y, classes: [i for i, label in enumerate(y.tolist(), 1) if label not in classes]),
        ("all rows are still there", lambda y, classes: list(range(len(y)))),
        (
            "all rows are still there",
            lambda y, classes: [i for i, label in enumerate(y) if label not in [str(c) for c in classes]],
        ),
        ("the *rows* with these numbers", lambda y, classes: [i for i in range(len(y)) if i not in classes]),
        ("indices are whole numbers", lambda y, classes: torch.where(~torch.isin(y, torch.tensor(classes)))[0].float()),
    ],
    "prior_correction": [
        ("old and new are exchanged", lambda z, old, new: z - (new / old).log()),
        ("the old ones not taken off", lambda z, old, new: z + new.log()),
        ("the new ones not put on", lambda z, old, new: z - old.log()),
        ("logits are logarithms", lambda z, old, new: z + (new - old)),
        ("the ratio new / old is added", lambda z, old, new: z + new / old),
        ("the logits are multiplied by new / old", lambda z, old, new: z * (new / old)),
        ("leave the softmax out", lambda z, old, new: torch.softmax(z + (new / old).log(), -1)),
        (
            "leave the softmax out",
            lambda z, old, new: z.softmax(-1) * (new / old) / (z.softmax(-1) * (new / old)).sum(-1, keepdim=True),
        ),
        ("not normalised", lambda z, old, new: z.softmax(-1) * (new / old)),
        ("as they were", lambda z, old, new: z),
        ("log2 of the ratio", lambda z, old, new: z + torch.log2(new / old)),
        ("the old shares are added, too", lambda z, old, new: z + (new * old).log()),
        ("log new - log old", lambda z, old, new: z + new.log() / old.log()),
        ("(axis 0), not over the classes", lambda z, old, new: (z.softmax(0) * new / old).log()),
        ("classes that became rarer", lambda z, old, new: z + torch.relu((new / old).log())),
        ("changes z in place", written("def f(z, old, new):\n z += (new / old).log()\n return z")),
    ],
    "tuned_bias": [
        ("chosen on the test images", edited(TUNED, "vz.clone()", "tz.clone()", "!= vy", "!= ty")),
        (
            "errors on the *validation* images",
            edited(TUNED, "return best, (z.argmax(1) != ty).sum().item()", "return best, fewest"),
        ),
        (
            "the largest bias always wins",
            edited(TUNED, "(z.argmax(1) != vy).sum().item()", "(z.argmax(1) != vy)[vy == missing].sum().item()"),
        ),
        (
            "the smallest bias always wins",
            edited(TUNED, "(z.argmax(1) != vy).sum().item()", "(z.argmax(1) != vy)[vy != missing].sum().item()"),
        ),
        ("the *most* errors", edited(TUNED, "math.inf", "-1", "errors < fewest", "errors > fewest")),
        ("the bias is subtracted", edited(TUNED, "+= b\n", "-= b\n", "+= best", "-= best")),
        (
            "begin each time with a copy",
            edited(
                TUNED,
                "        for b in biases:\n            z = vz.clone()\n",
                "        z = vz.clone()\n        for b in biases:\n",
            ),
        ),
        ("the bias's place", edited(TUNED, "return best,", "return biases.tolist().index(best),")),
        ("the errors are those *without* it", edited(TUNED, "        z[:, missing] += best\n", "")),
        (
            "not the share",
            edited(TUNED, "(z.argmax(1) != ty).sum().item()", "(z.argmax(1) != ty).float().mean().item()"),
        ),
        (
            "these are the right answers",
            edited(TUNED, "return best, (z.argmax(1) != ty)", "return best, (z.argmax(1) == ty)"),
        ),
        (
            "those on the missing class alone",
            edited(TUNED, "(z.argmax(1) != ty).sum()", "(z.argmax(1) != ty)[ty == missing].sum()"),
        ),
        (
            "the errors on the test images are missing",
            edited(TUNED, "return best, (z.argmax(1) != ty).sum().item()", "return best"),
        ),
        ("the bias is missing", edited(TUNED, "return best, ", "return ")),
        (
            "in the order (errors, bias)",
            edited(
                TUNED, "return best, (z.argmax(1) != ty).sum().item()", "return (z.argmax(1) != ty).sum().item(), best"
            ),
        ),
        ("this is the last bias, not the best", edited(TUNED, "errors < fewest", "True")),
        (
            "changes vz in place",
            edited(
                TUNED,
                "z = vz.clone()",
                "z = vz",
                "z[:, missing] += b\n",
                "z[:, missing] += b; wrong = z.argmax(1) != vy; z[:, missing] -= b\n",
                "(z.argmax(1) != vy)",
                "wrong",
            ),
        ),
    ],
    "wilson_interval": [
        (
            "the simple interval",
            edited(
                WILSON, "centre = p + z**2 / (2 * n)", "centre = p", " + z**2 / (4 * n**2)", "", " / (1 + z**2 / n)", ""
            ),
        ),
        (
            "the simple interval",
            lambda errors, n: (
                max(0, errors / n - 1.96 * (errors / n * (1 - errors / n) / n) ** 0.5),
                errors / n + 1.96 * (errors / n * (1 - errors / n) / n) ** 0.5,
            ),
        ),
        ("the centre isn't moved", edited(WILSON, "centre = p + z**2 / (2 * n)", "centre = p")),
        ("1 + z² / n is missing", edited(WILSON, " / (1 + z**2 / n)", "")),
        ("under the root", edited(WILSON, " + z**2 / (4 * n**2)", "")),
        ("z isn't 1.96", edited(WILSON, "1.96", "1.645")),
        ("z isn't 1.96", edited(WILSON, "1.96", "2")),
        ("z isn't 1.96", edited(WILSON, "1.96", "2.576")),
        (
            "divide by n",
            edited(
                WILSON,
                "(centre - half) / (1 + z**2 / n), (centre + half) / (1 + z**2 / n)",
                "n * (centre - half) / (1 + z**2 / n), n * (centre + half) / (1 + z**2 / n)",
            ),
        ),
        (
            "in percent",
            edited(
                WILSON,
                "(centre - half) / (1 + z**2 / n), (centre + half) / (1 + z**2 / n)",
                "100 * (centre - half) / (1 + z**2 / n), 100 * (centre + half) / (1 + z**2 / n)",
            ),
        ),
        ("the share of right answers", edited(WILSON, "p = errors / n", "p = 1 - errors / n")),
        (
            "in the order (high, low)",
            edited(WILSON, "(centre - half)", "(centre + half)", "/ n), (centre + half)", "/ n), (centre - half)"),
        ),
        ("centre and half the length", edited(WILSON, "(centre - half)", "centre", "(centre + half)", "half")),
        (
            "this is the share errors / n",
            edited(WILSON, "return (centre - half) / (1 + z**2 / n), (centre + half) / (1 + z**2 / n)", "return p"),
        ),
        (
            "Clopper and Pearson",
            written(
                "def f(errors, n):\n from scipy.stats import binomtest\n i = binomtest(errors, n).proportion_ci()\n return i.low, i.high"
            ),
        ),
        ("the logarithm or the root of a number", edited(WILSON, "p * (1 - p)", "p * (p - 1) - z")),
    ],
    "smooth_labels": [
        (
            "among the *other* classes alone",
            lambda y, c, e: torch.full((len(y), c), e / (c - 1)).scatter(1, y[:, None], 1 - e),
        ),
        (
            "the label still has its whole 1",
            lambda y, c, e: torch.full((len(y), c), e / c).scatter(1, y[:, None], 1.0) + e / c * F.one_hot(y, c),
        ),
        ("the whole of epsilon", lambda y, c, e: (1 - e) * torch.eye(c)[y] + e),
        ("epsilon and 1 - epsilon are swapped", lambda y, c, e: e * torch.eye(c)[y] + (1 - e) / c),
        ("nobody gets what it gave away", lambda y, c, e: (1 - e) * torch.eye(c)[y]),
        (
            "the label's own share of epsilon is missing",
            lambda y, c, e: torch.full((len(y), c), e / c).scatter(1, y[:, None], 1 - e),
        ),
        ("these are the one-hot targets", lambda y, c, e: torch.eye(c)[y]),
        ("the label isn't used", lambda y, c, e: torch.full((len(y), c), 1 / c)),
        ("there is no softmax in this", lambda y, c, e: ((1 - e) * torch.eye(c)[y] + e / c).softmax(-1)),
        ("guessed from the largest label", lambda y, c, e: (1 - e) * F.one_hot(y) + e / F.one_hot(y).shape[1]),
        ("divided by the batch size", lambda y, c, e: (1 - e) * torch.eye(c)[y] + e / len(y)),
        ("transposed", lambda y, c, e: ((1 - e) * torch.eye(c)[y] + e / c).T),
        ("as numbers: make them one-hot", lambda y, c, e: y * (1 - e) + e / c),
        ("the other classes need theirs", lambda y, c, e: torch.full((len(y),), 1 - e + e / c)),
        (
            "fills these columns in all rows",
            written("def f(y, c, e):\n h = torch.full((len(y), c), e / c)\n h[:, y] += 1 - e\n return h"),
        ),
        ("two things at once", lambda y, c, e: -(1 - e) * torch.eye(c)[y]),
    ],
    "shared_mistakes": [
        ("the agreement on all examples", lambda s, t, y: (s.argmax(1) == t.argmax(1)).float().mean()),
        (
            "in whatever way: the same wrong answer is meant",
            lambda s, t, y: ((s.argmax(1) != y) & (t.argmax(1) != y)).sum() / (t.argmax(1) != y).sum(),
        ),
        (
            "divided by all examples: the fraction",
            lambda s, t, y: ((s.argmax(1) == t.argmax(1)) & (t.argmax(1) != y)).float().mean(),
        ),
        (
            "divided by the student's mistakes",
            lambda s, t, y: ((s.argmax(1) == t.argmax(1)) & (t.argmax(1) != y)).sum() / (s.argmax(1) != y).sum(),
        ),
        (
            "the shared answers that are wrong",
            lambda s, t, y: (t.argmax(1) != y)[s.argmax(1) == t.argmax(1)].float().mean(),
        ),
        ("where the teacher is *right*", lambda s, t, y: (s.argmax(1) == t.argmax(1))[t.argmax(1) == y].float().mean()),
        ("divide by the teacher's mistakes", lambda s, t, y: ((s.argmax(1) == t.argmax(1)) & (t.argmax(1) != y)).sum()),
        ("in percent", lambda s, t, y: 100 * (s.argmax(1) == t.argmax(1))[t.argmax(1) != y].float().mean()),
        ("gives *another* answer", lambda s, t, y: (s.argmax(1) != t.argmax(1))[t.argmax(1) != y].float().mean()),
        ("that the student gets right", lambda s, t, y: (s.argmax(1) == y)[t.argmax(1) != y].float().mean()),
        (
            "divided by all examples: the same wrong answer",
            lambda s, t, y: ((s.argmax(1) != y) & (t.argmax(1) != y)).float().mean(),
        ),
        ("the student plays no part", lambda s, t, y: (t.argmax(1) != y).float().mean()),
        ("their mean is missing", lambda s, t, y: (s.argmax(1) == t.argmax(1))[t.argmax(1) != y].float()),
        (
            "that *either* of them gets wrong",
            lambda s, t, y: (s.argmax(1) == t.argmax(1))[(t.argmax(1) != y) | (s.argmax(1) != y)].float().mean(),
        ),
        ("IndexError", lambda s, t, y: (s.argmax(0) == t.argmax(0))[t.argmax(1) != y].float().mean()),
    ],
    "relative_noise": [
        (
            "averaged over the coordinates, the norm is summed",
            lambda g: ((g - g.mean(0)) ** 2).mean() / (g.mean(0) ** 2).sum(),
        ),
        ("both are to be squared", lambda g: (g - g.mean(0)).norm(dim=1).mean() / g.mean(0).norm()),
        ("this is the root", lambda g: (((g - g.mean(0)) ** 2).sum(1).mean() / (g.mean(0) ** 2).sum()) ** 0.5),
        ("the norm of the mean isn't squared", lambda g: ((g - g.mean(0)) ** 2).sum(1).mean() / g.mean(0).norm()),
        ("the signal by the noise", lambda g: (g.mean(0) ** 2).sum() / ((g - g.mean(0)) ** 2).sum(1).mean()),
        ("divides by N - 1", lambda g: g.var(dim=0).sum() / g.mean(0).norm() ** 2),
        ("larger by exactly 1", lambda g: (g**2).sum(1).mean() / (g.mean(0) ** 2).sum()),
        ("divided by N as well", lambda g: ((g - g.mean(0)) ** 2).sum(1).mean() / len(g) / (g.mean(0) ** 2).sum()),
        ("it grows with N", lambda g: ((g - g.mean(0)) ** 2).sum() / (g.mean(0) ** 2).sum()),
        ("for each coordinate and then averaged", lambda g: (g.var(0, unbiased=False) / g.mean(0) ** 2).mean()),
        (
            "the squared norm of the *mean* gradient belongs",
            lambda g: ((g - g.mean(0)) ** 2).sum(1).mean() / (g**2).sum(1).mean(),
        ),
        ("the variance alone", lambda g: ((g - g.mean(0)) ** 2).sum(1).mean()),
        ("each coordinate has its own mean", lambda g: ((g - g.mean()) ** 2).sum(1).mean() / (g.mean(0) ** 2).sum()),
        (
            "the axes are mixed up",
            lambda g: ((g - g.mean(1, keepdim=True)) ** 2).mean(1).sum() / (g.mean(1) ** 2).sum(),
        ),
        (
            "the variance of the gradients' lengths",
            lambda g: g.norm(dim=1).var(unbiased=False) / (g.mean(0) ** 2).sum(),
        ),
        ("one value per example", lambda g: ((g - g.mean(0)) ** 2).sum(1) / (g.mean(0) ** 2).sum()),
        ("`var` divides by N - 1", lambda g: g.var(0).mean() / (g.mean(0) ** 2).sum()),
        ("two shapes don't fit", lambda g: ((g - g.mean(1)) ** 2).sum(1).mean() / (g.mean(0) ** 2).sum()),
    ],
    "fair_gain": [
        (
            "b - a below 0 means that b is better",
            edited(GAIN, "tb[b].mean() - ta[a].mean()", "ta[a].mean() - tb[b].mean()"),
        ),
        ("compared at one rate", edited(GAIN, "tb[b]", "tb[a]")),
        ("compared at one rate", edited(GAIN, "ta[a]", "ta[b]")),
        ("chosen on the test images", edited(GAIN, "va.mean", "ta.mean", "vb.mean", "tb.mean")),
        ("on which the rates were chosen", edited(GAIN, "tb[b]", "vb[b]", "ta[a]", "va[a]")),
        (
            "each seed gets a rate of its own",
            edited(
                GAIN,
                "va.mean(dim=1).argmin()",
                "va.argmin(0), range(va.shape[1])",
                "vb.mean(dim=1).argmin()",
                "vb.argmin(0), range(vb.shape[1])",
            ),
        ),
        ("each method's best seed", edited(GAIN, "tb[b].mean() - ta[a].mean()", "tb[b].min() - ta[a].min()")),
        (
            "that of the single best student",
            edited(GAIN, "va.mean(dim=1)", "va.min(dim=1).values", "vb.mean(dim=1)", "vb.min(dim=1).values"),
        ),
        ("the mean over all rates", lambda va, ta, vb, tb: tb.mean() - ta.mean()),
        ("the *most* errors", edited(GAIN, "argmin", "argmax")),
        (
            "rates are rows and seeds are columns",
            edited(GAIN, "dim=1", "dim=0", "tb[b]", "tb[:, b]", "ta[a]", "ta[:, a]"),
        ),
        ("b's errors alone", edited(GAIN, " - ta[a].mean()", "")),
        ("summed over the seeds", edited(GAIN, "tb[b].mean() - ta[a].mean()", "tb[b].sum() - ta[a].sum()")),
        (
            "the difference in errors is asked for",
            edited(GAIN, "tb[b].mean() - ta[a].mean()", "(tb[b].mean() - ta[a].mean()) / ta[a].mean()"),
        ),
        ("chosen on the test images", lambda va, ta, vb, tb: tb.mean(1).min() - ta.mean(1).min()),
        ("the shape is", edited(GAIN, "tb[b].mean() - ta[a].mean()", "tb.mean(1) - ta.mean(1)")),
    ],
    "ensemble_logits": [
        ("the geometric mean of the probabilities, another ensemble", lambda z: z.mean(dim=0)),
        ("their logarithm is missing", lambda z: z.softmax(-1).mean(0)),
        ("another ensemble", lambda z: z.mean(0).softmax(-1)),
        ("the logarithm comes before the mean", lambda z: F.log_softmax(z, -1).mean(0)),
        ("averaged before it is normalised", lambda z: torch.logsumexp(z, 0)),
        ("averaged before it is normalised", lambda z: z.exp().sum(0).log()),
        ("the mean runs over the examples", lambda z: z.softmax(-1).mean(1).log()),
        ("the softmax runs over the networks", lambda z: z.softmax(0).mean(0).log()),
        ("the softmax runs over the examples", lambda z: z.softmax(1).mean(0).log()),
        ("the largest over the networks", lambda z: z.max(0).values),
        ("the largest over the networks", lambda z: z.softmax(-1).max(0).values.log()),
        ("these are votes", lambda z: F.one_hot(z.argmax(-1), 3).float().mean(0)),
        ("the product of the probabilities", lambda z: z.softmax(-1).prod(0)),
        ("one network's answer", lambda z: z[0]),
        ("the mean over the networks, axis 0, is still missing", lambda z: z.log_softmax(-1)),
        ("the sign is the other one", lambda z: -z.softmax(-1).mean(0).log()),
        ("a softmax twice", lambda z: z.softmax(-1).softmax(-1).mean(0).log()),
    ],
    "reverse_kl": [
        (
            "the usual direction",
            lambda s, t, T: F.kl_div((s / T).log_softmax(-1), (t / T).softmax(-1), reduction="batchmean"),
        ),
        ("averages over the classes too", lambda s, t, T: F.kl_div((t / T).log_softmax(-1), (s / T).softmax(-1))),
        ("adds up the batch", lambda s, t, T: F.kl_div((t / T).log_softmax(-1), (s / T).softmax(-1), reduction="sum")),
        (
            "leaves (B, C) values",
            lambda s, t, T: F.kl_div((t / T).log_softmax(-1), (s / T).softmax(-1), reduction="none"),
        ),
        (
            "T² is in here",
            lambda s, t, T: T**2 * F.kl_div((t / T).log_softmax(-1), (s / T).softmax(-1), reduction="batchmean"),
        ),
        (
            "the usual direction",
            lambda s, t, T: T**2 * F.kl_div((s / T).log_softmax(-1), (t / T).softmax(-1), reduction="batchmean"),
        ),
        ("T isn't used", lambda s, t, T: F.kl_div(t.log_softmax(-1), s.softmax(-1), reduction="batchmean")),
        (
            "T is on the teacher alone",
            lambda s, t, T: F.kl_div((t / T).log_softmax(-1), s.softmax(-1), reduction="batchmean"),
        ),
        (
            "T is on the student alone",
            lambda s, t, T: F.kl_div(t.log_softmax(-1), (s / T).softmax(-1), reduction="batchmean"),
        ),
        ("the student's own entropy is left out", lambda s, t, T: F.cross_entropy(t / T, (s / T).softmax(-1))),
        (
            "infinite as soon as",
            lambda s, t, T: ((s / T).softmax(-1) * ((s / T).softmax(-1) / (t / T).softmax(-1)).log()).sum(-1).mean(),
        ),
        (
            "both directions",
            lambda s, t, T: (
                F.kl_div((t / T).log_softmax(-1), (s / T).softmax(-1), reduction="batchmean")
                + F.kl_div((s / T).log_softmax(-1), (t / T).softmax(-1), reduction="batchmean")
            ),
        ),
        (
            "the sign is the other one",
            lambda s, t, T: -F.kl_div((t / T).log_softmax(-1), (s / T).softmax(-1), reduction="batchmean"),
        ),
        (
            "wants their logarithm there",
            lambda s, t, T: F.kl_div((t / T).softmax(-1), (s / T).softmax(-1), reduction="batchmean"),
        ),
        (
            "without `log_target=True`",
            lambda s, t, T: F.kl_div((t / T).log_softmax(-1), (s / T).log_softmax(-1), reduction="batchmean"),
        ),
        (
            "no gradient",
            lambda s, t, T: F.kl_div((t / T).log_softmax(-1), (s / T).softmax(-1).detach(), reduction="batchmean"),
        ),
        (
            "not the student's gradient",
            lambda s, t, T: (
                ((s / T).softmax(-1).detach() * ((s / T).log_softmax(-1) - (t / T).log_softmax(-1))).sum(-1).mean()
            ),
        ),
    ],
    "decoupled_kl": [
        ("in the wrong order", edited(DECOUPLED, "first.mean(), second.mean()", "second.mean(), first.mean()")),
        ("student and teacher are swapped", edited(DECOUPLED, "(s, t, y)", "(t, s, y)")),
        ("leave that weight out", edited(DECOUPLED, "second.mean()", "((1 - p) * second).mean()")),
        (
            "aren't divided by their sum",
            edited(DECOUPLED, " / rest_s.sum(1, keepdim=True)", "", " / rest_t.sum(1, keepdim=True)", ""),
        ),
        ("this is the whole KL", edited(DECOUPLED, "[~own].reshape(len(s), -1)", "")),
        ("lacks the rest's term", edited(DECOUPLED, " + (1 - p) * ((1 - p) / (1 - q)).log()", "")),
        (
            "the cross-entropy with the label",
            edited(DECOUPLED, "first = p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()", "first = -q.log()"),
        ),
        (
            "larger than the KL",
            edited(
                DECOUPLED,
                "first = p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()",
                "first = F.binary_cross_entropy(q, p, reduction='none')",
            ),
        ),
        ("summed over the batch", edited(DECOUPLED, "first.mean(), second.mean()", "first.sum(), second.sum()")),
        ("the mean over the batch is missing", edited(DECOUPLED, "first.mean(), second.mean()", "first, second")),
        ("the teacher's answer stands for the label", edited(DECOUPLED, "F.one_hot(y,", "F.one_hot(t.argmax(1),")),
        ("the sum of both parts", edited(DECOUPLED, "first.mean(), second.mean()", "first.mean() + second.mean()")),
        ("the whole KL", lambda s, t, y: F.kl_div(s.log_softmax(1), t.softmax(1), reduction="batchmean")),
        ("averaged over the classes as well", edited(DECOUPLED, ".sum(1)\n", ".mean(1)\n")),
        ("the second is missing", edited(DECOUPLED, "first.mean(), second.mean()", "first.mean()")),
        ("the first is missing", edited(DECOUPLED, "first.mean(), second.mean()", "second.mean()")),
        (
            "set to 0 in the second part",
            edited(
                DECOUPLED,
                "s.softmax(1)[~own].reshape(len(s), -1)",
                "s.masked_fill(own, 0).softmax(1)",
                "t.softmax(1)[~own].reshape(len(s), -1)",
                "t.masked_fill(own, 0).softmax(1)",
            ),
        ),
        ("a part detached", edited(DECOUPLED, "second.mean()", "second.mean().detach()")),
    ],
}
