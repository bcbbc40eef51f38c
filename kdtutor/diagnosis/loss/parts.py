"""What is known of a loss, and what of the loss it doesn't explain."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from kdtutor.diagnosis.loss.formulas import Soft
from kdtutor.diagnosis.loss.probe import Probe
from kdtutor.diagnosis.loss.recognition import ALPHA, TOLERANCE, Part, Seen, T, fits, nothing, see, with_gradient

# Sizes to ask about: (B, C), for losses of ten classes alone, and (B, L, C).
FLAT, TEN, SEQUENCES = ((6, 5), (4, 5), (6, 7)), ((6, 10), (4, 10)), ((2, 3, 5), (4, 3, 5), (2, 3, 7), (2, 2, 5))
REST: dict[str, Callable[[Tensor], Tensor]] = {
    "smoothing": lambda s: -s.log_softmax(-1).sum((-2, -1)),
    "entropy": lambda s: -torch.special.entr(s.softmax(-1)).sum((-2, -1)),
    "square": lambda s: s.square().sum((-2, -1)),
}


@dataclass
class Dissection:
    """What a loss consists of.

    soft, hard: its terms; None if there is none, or it isn't known: then `why` says so in a sentence.
    rest, share: what the terms leave of it, "nothing", "constant" or one of REST, and the sign of that.
    weights: factors by example, (rows, 2) of soft and hard term, of a loss that weighs examples.
    jumps: where in alpha or T, or "without labels", a factor isn't the formula's: what it is and what it would be.
    sequences: the soft factor for (B, L, C) over that of a mean over B * L positions; None if it can't be asked.
    """

    seen: Seen
    soft: Part | None = None
    hard: Part | None = None
    rest: str | None = None
    share: float = 1.0
    weights: Tensor | None = None
    why: str = ""
    jumps: dict[str, tuple[float, float]] = field(default_factory=dict)
    sequences: float | None = None
    flags: set[str] = field(default_factory=set)

    @property
    def parts(self) -> list[Part]:
        return [part for part in (self.soft, self.hard) if part]


def factor_of(part: Part, seen: Seen) -> float | None:
    """By what the loss multiplies the form on these inputs, None if the form isn't its."""
    if nothing(seen.by_teacher if isinstance(part.form, Soft) else seen.by_labels, seen.value):
        return 0.0
    factor, left = part.fit(seen)
    return factor if left <= TOLERANCE * 3 else None


def _exponent(ratio: float, base: float) -> float:
    exponent = math.log(ratio) / math.log(base) if ratio > 0 else math.nan
    return float(round(exponent)) if abs(exponent - round(exponent)) < 0.01 else exponent


def scaled(probe: Probe, seen: Seen, part: Part, shapes: tuple) -> Part | None:
    """The part with its factor explained; None if other inputs give it another form."""
    first = factor_of(part, seen)
    others = [factor_of(part, see(probe, shape)) for shape in shapes[1:]]
    free = {"temperature": "temperature" in probe.names, "alpha": "alpha" in probe.names}
    warmer = factor_of(part, see(probe, shapes[0], temperature=1.5 * T)) if free["temperature"] else first
    high, middle = ((factor_of(part, see(probe, shapes[0], alpha=a)) if free["alpha"] else first) for a in (0.8, 0.55))
    if None in (first, *others, warmer, high, middle) or not first or not warmer or not all(others):
        return None
    names = ("batch", "classes", "length")
    axes = (0, -1, 1)
    exponents = {
        name: _exponent(factor / first, shape[axis] / shapes[0][axis])
        for name, axis, shape, factor in zip(names, axes, shapes[1:], others, strict=False)
    }
    power = _exponent(warmer / first, 1.5)
    if any(math.isnan(x) for x in (power, *exponents.values())):
        return None
    unit = replace(part, **exponents, power=power)
    size = unit.factor(seen)
    slope = (high - first) / (0.8 - ALPHA) / size
    at = first / size - slope * ALPHA
    if abs(middle / size - at - slope * 0.55) > 1e-3 * max(abs(at), abs(slope)):
        return None
    return replace(unit, at=_neat(at), slope=_neat(slope))


def _neat(number: float) -> float:
    """Without the last digits where they are rounding."""
    short = float(f"{number:.5g}") if abs(number) > 1e-5 else 0.0
    return short if abs(short - number) < 3e-7 * max(abs(number), 1e-3) or not short else number


def made(found: Dissection, seen: Seen) -> tuple[Tensor, Tensor]:
    """What the parts make of these inputs: values (D,) and gradients (D, *shape)."""
    value, grad = torch.zeros_like(seen.value), torch.zeros_like(seen.s)
    for part in found.parts:
        total, total_grad = part.total(seen)
        value = value + part.factor(seen) * total
        if part.flows:
            grad = grad + part.factor(seen) * total_grad
    return value, grad


def left_over(found: Dissection, seen: Seen) -> tuple[Tensor, Tensor]:
    """What the parts leave of the loss."""
    value, grad = made(found, seen)
    return seen.value - value, seen.grad - grad


def small(left: tuple[Tensor, Tensor], seen: Seen, tolerance: float = 3e-6) -> bool:
    """Nothing is left, up to rounding; values that are NaN leave the decision to the gradients."""
    scales = seen.value, seen.grad
    finite = [
        (part.nan_to_num(), 1e-12 + scale.nan_to_num().abs().max()) for part, scale in zip(left, scales, strict=True)
    ]
    return all(bool((part.abs() <= tolerance * scale).all()) for part, scale in finite)


def rest(seen: Seen, left: tuple[Tensor, Tensor]) -> tuple[str | None, float]:
    """The name of what is left, "nothing", "constant" (no gradient), one of REST, or None; and its sign."""
    if small(left, seen):
        return "nothing", 1.0
    if not (left[1].abs() > 1e-6).any():
        return "constant", 1.0
    for name, form in REST.items():
        value, grad = with_gradient(form, seen.s)
        factor, remaining = fits(left, (value[None], grad[None]))
        if remaining <= 1e-4:
            return name, math.copysign(1.0, factor)
    return None, 1.0
