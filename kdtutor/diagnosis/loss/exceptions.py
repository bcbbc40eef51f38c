"""Losses that no difference tells of: those that weigh each example, and those that are NaN throughout."""

from dataclasses import replace

import torch
import torch.nn.functional as F

from kdtutor.diagnosis.loss.formulas import SOFT, Hard, Soft
from kdtutor.diagnosis.loss.parts import Dissection, small
from kdtutor.diagnosis.loss.probe import Listener, Probe
from kdtutor.diagnosis.loss.recognition import Part, Seen, sides, value


def overheard(probe: Probe, seen: Seen) -> Part | None:
    """Where all is NaN and nothing can be compared: what F.kl_div was given, if that is known."""
    s, t = seen.s[0], seen.t[0]
    with Listener(F.kl_div) as heard:
        probe(s, t, seen.y[0], seen.temperature, seen.alpha)
    for arguments, named in heard.calls:
        both = dict(zip(("input", "target"), arguments, strict=False)) | named
        given, target = both["input"], both["target"]
        for form in SOFT:
            for ts, tt in sides(form, probe) if form.kernel == "kl" else ():
                a, q = form.sides(s / value(ts, seen.temperature), t / value(tt, seen.temperature))
                if given.shape == a.shape and torch.allclose(given.double(), a) and torch.allclose(target.double(), q):
                    return Part(form, ts, tt)
    return None


def by_example(probe: Probe, found: Dissection) -> Dissection:
    """Try factors of its own for each example: the gradient of a row is made of those of its two terms."""
    seen = found.seen
    if not seen.grad.isfinite().all():
        return found
    s, t = (x.reshape(-1, 1, x.shape[-1]) for x in (seen.s, seen.t))  # (rows, 1, C): each row a draw of its own
    rows = replace(seen, s=s, t=t, y=seen.y.reshape(-1, 1))
    for form in (Soft("kl"), Soft("ce"), Soft("kl", reverse=True), Soft("mse")):
        for ts, tt in sides(form, probe):
            if ts == tt:
                soft, hard = Part(form, ts, tt), Part(Hard("ce"), "1", "1")
                totals, grads = zip(soft.total(rows), hard.total(rows), strict=True)
                columns = torch.stack(grads, -1).squeeze(1)  # (rows, C, 2)
                target = seen.grad.reshape(*s.shape[::2], 1)  # (rows, C, 1)
                weights = torch.linalg.lstsq(columns, target).solution
                value = (torch.stack(totals, -1) * weights.squeeze(-1)).sum(-1).reshape(len(seen.s), -1).sum(1)
                if small((value - seen.value, columns @ weights - target), seen):
                    found.soft, found.hard, found.weights, found.why = soft, hard, weights.squeeze(-1), ""
                    return found
    return found
