"""Where a loss leaves its own formula: at the ends of alpha, without labels, on sequences, for logits far apart."""

from collections.abc import Iterator
from dataclasses import replace

import torch

from kdtutor.diagnosis.parts import SEQUENCES, Dissection, factor_of, left_over, made, small
from kdtutor.diagnosis.probe import Probe
from kdtutor.diagnosis.recognition import T, see

FAR = 1e5  # logits so far apart that a probability underflows at any usual temperature


def jumps(probe: Probe, found: Dissection, shape: tuple[int, ...]) -> Iterator[tuple[str, tuple[float, float]]]:
    """Where alpha is 0 or 1, or labels are missing, and a factor isn't the formula's: what it is, and would be."""
    for alpha in (0.0, 1.0) if "alpha" in probe.names else ():
        try:
            seen = see(probe, shape, alpha=alpha)
        except Exception:  # it may refuse the ends
            continue
        if not small(left_over(found, seen), seen):
            for part in found.parts:
                factor, unit = factor_of(part, seen), replace(part, at=1.0, slope=0.0, power=0.0).factor(seen)
                wanted = part.weight(alpha, seen.temperature)
                if factor is not None and abs(factor / unit - wanted) > 1e-3:
                    yield f"alpha = {alpha:g}", (factor / unit, wanted)
                    break
    if found.soft and found.hard and "labels" in probe.names:
        seen, unit = found.seen, replace(found.soft, at=1.0, slope=0.0, power=0.0).factor(found.seen)
        try:
            alone = [probe(s, t, None, T, 1.0).detach().double() for s, t in zip(seen.s, seen.t, strict=True)]
        except Exception:  # most losses need labels
            return
        factors = torch.stack(alone) / found.soft.total(seen, seen.s, seen.t, seen.y) / unit
        if (factors - factors[0]).abs().max() < 1e-4 * abs(factors[0]):
            yield "without labels", (float(factors[0]), found.soft.weight(1.0, T))


def sequences(probe: Probe, found: Dissection) -> float | None:
    """The soft factor for logits (B, L, C), over that of a mean over B * L positions; None unless the hard term is
    such a mean: a loss without one isn't known to be meant for sequences."""
    soft, hard = found.soft, found.hard
    if not (soft and hard and hard.form.kernel == "ce") or (soft.batch, soft.classes) != (-1, 0):
        return None
    try:
        seen = see(probe, SEQUENCES[0])
        factor, other = factor_of(soft, seen), factor_of(hard, seen)
    except Exception:  # most losses take (B, C) alone
        return None
    meant = other is not None and abs(other / hard.factor(seen) - 1) < 1e-3
    return factor / soft.factor(seen) if factor and meant else None


def far_apart(probe: Probe, found: Dissection) -> set[str]:
    """How the loss stands logits that are so far apart that probabilities underflow."""
    mild, seen = found.seen.s[0], found.seen
    far = torch.zeros_like(mild).index_fill_(-1, torch.tensor([1]), FAR)
    flags = set()
    for s, t in ((far, mild), (mild, far), (far, far.roll(1, -1))):
        try:
            value, grad, _ = probe.gradients(s, t, seen.y[0], seen.temperature, seen.alpha)
        except Exception:  # it may refuse such logits
            continue
        one = replace(seen, s=s[None], t=t[None], y=seen.y[:1], value=value[None], grad=grad[None])
        if not (value.isfinite() and grad.isfinite().all()):
            flags |= {"underflow"} if made(found, one)[0].isfinite().all() else set()
        elif found.rest == "nothing" and not small(left_over(found, one), one):
            flags.add("clamped")
    return flags
