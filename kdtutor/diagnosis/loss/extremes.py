"""Where a loss leaves its own formula: at the ends of alpha, without labels, on sequences, for logits far apart."""

import math
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from kdtutor.diagnosis.loss.parts import SEQUENCES, Dissection, factor_of, left_over, made, small
from kdtutor.diagnosis.loss.probe import Listener, Probe
from kdtutor.diagnosis.loss.recognition import T, see

FAR = 1e5  # logits so far apart that a probability underflows at any usual temperature


def jumps(probe: Probe, found: Dissection, shape: tuple[int, ...]) -> Iterator[tuple[str, tuple[float, float]]]:
    """Where alpha is 0 or 1, T is 1 or 8, or labels are missing, and a factor isn't the formula's: what it is, and
    would be; NaN where the term itself is another."""
    places = [("alpha", 0.0), ("alpha", 1.0)] if "alpha" in probe.names else []
    places += [("temperature", 1.0), ("temperature", 8.0)] if "temperature" in probe.names else []
    for name, number in places:
        try:
            seen = see(probe, shape, **{name: number})
        except Exception:  # it may refuse the ends
            continue
        if not small(left_over(found, seen), seen):
            for part in found.parts:
                factor, unit = factor_of(part, seen), part.size(seen)
                wanted = part.weight(seen.alpha, seen.temperature)
                if factor is None and number <= 1 and wanted:
                    factor = math.nan
                if factor is not None and not abs(factor / unit - wanted) <= 1e-3 * max(1, abs(wanted)):
                    yield f"{'T' if name == 'temperature' else name} = {number:g}", (factor / unit, wanted)
                    break
    if found.soft and found.hard and "labels" in probe.names:
        seen, unit = found.seen, found.soft.size(found.seen)
        try:
            alone = [probe(s, t, None, T, 1.0).detach().double() for s, t in zip(seen.s, seen.t, strict=True)]
        except Exception:  # most losses need labels
            return
        factors = torch.stack(alone) / found.soft.total(seen)[0] / unit
        if (factors - factors[0]).abs().max() < 1e-4 * abs(factors[0]):
            yield "without labels", (float(factors[0]), found.soft.weight(1.0, T))


def sequences(probe: Probe, found: Dissection) -> float | None:
    """The soft factor for logits (B, L, C), over that of a mean over B * L positions; NaN where the term is another.
    None unless the hard term is such a mean. A loss that flattens (B, L, C) is flagged: it means sequences."""
    soft, hard = found.soft, found.hard
    if not (soft and hard and hard.form.kernel == "ce") or (soft.batch, soft.classes) != (-1, 0):
        return None
    try:
        seen = see(probe, SEQUENCES[0])
        with Listener(*FLATTENING) as heard:
            probe(seen.s[0], seen.t[0], seen.y[0], seen.temperature, seen.alpha)
        factor, other = factor_of(soft, seen), factor_of(hard, seen)
    except Exception:  # most losses take (B, C) alone
        return None
    if other is None or abs(other / hard.factor(seen) - 1) > 1e-3:
        return None
    if any(arguments[0].dim() == 3 for arguments, _ in heard.calls if arguments):
        found.flags.add("flattens")
    return math.nan if factor is None else factor / soft.factor(seen)


FLATTENING = (Tensor.view, Tensor.reshape, Tensor.flatten, torch.flatten, torch.reshape)


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
