"""From what a loss returns to the terms that it is made of: which, at which temperatures, with which weights.

A difference between two teachers leaves of a loss its soft term alone, a difference between two labellings its hard
term; each is compared, value and gradient, with every term of `formulas` up to one factor. How the factor changes
with batch, classes, T and alpha tells the reduction, T² and the weights. What is found must predict the loss on
inputs that played no part in finding it; else it isn't found.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from kdtutor.diagnosis.loss.formulas import HARD, SOFT, Hard, Soft
from kdtutor.diagnosis.loss.probe import Probe

TOLERANCE = 3e-5  # relative; a loss that computes in float32 inside is within it, another formula isn't
POWERS = {"T": 1.0, "1": 0.0, "1/T": -1.0, "T²": 2.0}
ROUND = (0.5, 1.5, 2.0, 2.5, *map(float, range(3, 11)), 15.0, 20.0)  # temperatures that people take
GRID = sorted({*(1.3**k for k in range(-8, 18)), 0.25, *ROUND, 30.0, 40.0, 50.0, 100.0})
T, ALPHA = 2.0, 0.3


@dataclass(frozen=True)
class Seen:
    """A loss on D draws of inputs, and what changes with another teacher and with other labels: values (D,) and
    gradients in the student's logits (D, *shape)."""

    temperature: float
    alpha: float
    s: Tensor
    t: Tensor
    t2: Tensor
    y: Tensor
    y2: Tensor
    value: Tensor
    grad: Tensor
    teacher_grad: Tensor
    by_teacher: tuple[Tensor, Tensor]
    by_labels: tuple[Tensor, Tensor]


def see(probe: Probe, shape: tuple[int, ...] = (6, 5), temperature=T, alpha=ALPHA, draws=3, seed=0) -> Seen:
    """Ask the loss about random logits of this shape (..., C), in float64."""
    generator = torch.Generator().manual_seed(seed)
    s, t, t2 = (2 * torch.randn(draws, *shape, generator=generator, dtype=torch.float64) for _ in range(3))
    y, step = (torch.randint(low, shape[-1], (draws, *shape[:-1]), generator=generator) for low in (0, 1))
    y2 = (y + step) % shape[-1]
    asked = [
        [probe.gradients(*one, temperature, alpha) for one in zip(*inputs, strict=True)]
        for inputs in ((s, t, y), (s, t2, y), (s, t, y2))
    ]
    (value, grad, teacher_grad), other, relabelled = (
        [torch.stack(p) for p in zip(*rows, strict=True)] for rows in asked
    )
    by_teacher, by_labels = ((value - v, grad - g) for v, g, _ in (other, relabelled))
    return Seen(temperature, alpha, s, t, t2, y, y2, value, grad, teacher_grad, by_teacher, by_labels)


def nothing(difference: tuple[Tensor, Tensor], scale: Tensor) -> bool:
    """Whether a difference is 0 up to rounding; where values are NaN gradients alone tell."""
    size = 1e-7 * (1 + scale.nan_to_num().abs().max())
    return all(bool((part.nan_to_num().abs() < size).all()) for part in difference)


@dataclass(frozen=True)
class Part:
    """A term of a loss: `weight(...)` times the sum that `form` computes.

    ts, tt: the temperatures of the two sides: "T", "1", "1/T", "T²" of the argument, or numbers that are fixed inside.
    batch, length, classes, power: exponents of B, L, C and T in the factor.
    at, slope: the rest of the factor, at + slope * alpha.
    flows: whether the student receives its gradient.
    """

    form: Soft | Hard
    ts: str | float
    tt: str | float
    flows: bool = True
    batch: float = -1
    length: float = -1
    classes: float = 0
    power: float = 0
    at: float = 1.0
    slope: float = 0.0

    def weight(self, alpha: float, temperature: float = 1.0) -> float:
        """The factor without the powers of B, L and C."""
        return (self.at + self.slope * alpha) * temperature**self.power

    def size(self, seen: Seen) -> float:
        """The powers of B, L and C in the factor."""
        batch, *length, classes = seen.s.shape[1:]
        return batch**self.batch * math.prod(length) ** self.length * classes**self.classes

    def factor(self, seen: Seen) -> float:
        """All of it."""
        return self.weight(seen.alpha, seen.temperature) * self.size(seen)

    def total(self, seen: Seen) -> tuple[Tensor, Tensor]:
        """The form's sum on each draw, (D,), and its gradient in the student's logits."""
        temperatures = [value(side, seen.temperature) for side in (self.ts, self.tt)]
        return with_gradient(lambda s: _total(self.form, s, seen.t, seen.y, *temperatures), seen.s)

    def fit(self, seen: Seen) -> tuple[float, float]:
        """The factor by which the form comes nearest to `by_teacher` or `by_labels`, and how much is left, 0..1."""
        soft = isinstance(self.form, Soft)
        target = seen.by_teacher if soft else seen.by_labels
        factor, left = fits(target, differences(self.form, seen, [(self.ts, self.tt)]), soft)
        return float(factor), float(left)


def value(temperature: str | float, argument: float) -> float:
    """A side's temperature as a number, where the argument has this value."""
    return argument ** POWERS[temperature] if isinstance(temperature, str) else temperature


def with_gradient(function: Callable[[Tensor], Tensor], s: Tensor) -> tuple[Tensor, Tensor]:
    """A function's values at s, and the gradient of their sum, 0 where none flows."""
    s = s.clone().requires_grad_()
    made = function(s)
    if not made.requires_grad:
        return made, torch.zeros_like(s)
    return made.detach(), torch.autograd.grad(made.sum(), s)[0]


def _total(form: Soft | Hard, s: Tensor, t: Tensor, y: Tensor, ts: Tensor | float, tt: Tensor | float) -> Tensor:
    """The sums of logits (..., D, *shape): (..., D)."""
    classes, draws = s.shape[-1], len(y)
    s, t, y = s.reshape(*s.shape[: s.dim() - t.dim()], draws, -1, classes), t.reshape(draws, -1, classes), y.flatten(1)
    return form(s, t, ts, tt) if isinstance(form, Soft) else form(s, t, y, ts)


def differences(form: Soft | Hard, seen: Seen, sides: list[tuple[str | float, str | float]]) -> tuple[Tensor, Tensor]:
    """What a form at K pairs of temperatures makes of `by_teacher` (or `by_labels`): (K, D) and (K, D, *shape)."""
    ts, tt = (
        torch.tensor([value(x, seen.temperature) for x in side], dtype=torch.float64).reshape(-1, 1, 1, 1)
        for side in zip(*sides, strict=True)
    )
    other = (seen.t2, seen.y) if isinstance(form, Soft) else (seen.t, seen.y2)

    def difference(s: Tensor) -> Tensor:
        made = _total(form, s, seen.t, seen.y, ts, tt) - _total(form, s, *other, ts, tt)
        return made.expand(len(ts), -1)

    return with_gradient(difference, seen.s.expand(len(ts), *seen.s.shape))


def fits(seen: tuple[Tensor, Tensor], made: tuple[Tensor, Tensor], soft: bool = True) -> tuple[Tensor, Tensor]:
    """For each of K candidates the factor by which `made` comes nearest to `seen`, and how much is left of `seen`,
    0..1. Where no gradient is seen values decide alone; NaN must stand where NaN stands, but for values of a hard
    term, which the soft one spoils."""
    used = slice(0, 2) if seen[1].any() else slice(0, 1)
    if not soft and seen[0].isnan().all():
        used = slice(1, 2)
    target = torch.cat([part.flatten() for part in seen[used]])
    rows = torch.cat([part.flatten(1) for part in made[used]], dim=1)
    finite = target.isfinite()
    alike = (rows.isfinite() == finite).all(1) & finite.any()
    target, rows = target[finite], rows[:, finite].nan_to_num()
    factor = (rows @ target) / rows.square().sum(1).clamp(min=1e-30)
    left = (target - factor[:, None] * rows).norm(dim=1) / target.norm().clamp(min=1e-30)
    return factor, torch.where(alike, left, 1.0)


def sides(form: Soft | Hard, probe: Probe, near: float | None = None) -> Iterator[tuple[str | float, str | float]]:
    """The temperatures at which a form may stand, likely ones first."""
    if "temperature" in probe.names:
        names = list(POWERS)
        if isinstance(form, Hard):
            yield from ((name, name) for name in ("1", "T", "1/T", "T²"))
        elif form.kernel in ("mse", "l1"):
            yield "1", "1"
        yield from ((a, b) for a in names for b in names if isinstance(form, Soft))
    else:
        grid = [1.0, *([near] if near else []), *GRID]
        yield from ((x, x) for x in grid)
        if isinstance(form, Soft):
            yield from ((x, 1.0) for x in grid)
            yield from ((1.0, x) for x in grid)
        if isinstance(form, Soft) and form.a == "log" and form.q == "p":
            yield from ((x, y) for x in ROUND for y in ROUND if x != y)


def recognise(probe: Probe, seen: Seen, soft: bool, near: float | None = None) -> Part | None:
    """The form, with its temperatures, that makes the loss's soft (or hard) difference; None if there is none."""
    target = seen.by_teacher if soft else seen.by_labels
    flows, nearest = bool(target[1].any()), []
    for form in SOFT if soft else HARD:
        pairs = list(sides(form, probe, near))
        left = fits(target, differences(form, seen, pairs), soft)[1]
        index = int(left.clamp(min=TOLERANCE).argmin())
        if left[index] <= TOLERANCE:
            return _polished(Part(form, *pairs[index], flows=flows), float(left[index]), seen)
        for family in FAMILIES if "temperature" not in probe.names else (("beta",),):
            best = min(
                ((x, pair) for x, pair in zip(left.tolist(), pairs, strict=True) if _of(family, pair)), default=None
            )
            if best:
                nearest.append((round(best[0], 4), Part(form, *best[1], flows=flows), family))
    nearest.sort(key=lambda one: (one[1].form not in LIKELY, one[0]))  # near T = 1 all forms look alike
    number = 6 + sum(part.form in LIKELY for _, part, _ in nearest)
    return next(filter(None, (_refined(part, family, seen) for _, part, family in nearest[:number])), None)


LIKELY = (Soft("kl"), Soft("ce"), Soft("kl", reverse=True))
FAMILIES = (("ts", "tt"), ("ts",), ("tt",), ("beta",))  # what is moved to refine a fit


def _of(family: tuple[str, ...], pair: tuple[str | float, str | float]) -> bool:
    """Whether a pair of temperatures is one that this refinement starts from."""
    ts, tt = pair
    return {("ts", "tt"): ts == tt, ("ts",): tt == 1 != ts, ("tt",): ts == 1 != tt}.get(family, ts == tt)


def _polished(part: Part, left: float, seen: Seen) -> Part:
    """The part, or the same at a temperature beside that of the grid if it fits far better there."""
    family = next((family for family in FAMILIES[:3] if _of(family, (part.ts, part.tt))), None)
    if isinstance(part.ts, str) or not family or left < 1e-9:
        return part
    refined = _refined(part, family, seen)
    return refined if refined and refined.fit(seen)[1] < left / 3 else part


def _refined(part: Part, family: tuple[str, ...], seen: Seen) -> Part | None:
    """The part with a temperature, or a share of the mixture, between those that were tried, if one fits."""
    from scipy.optimize import minimize_scalar

    mixture = family == ("beta",)
    if mixture and not (isinstance(part.form, Soft) and part.form.beta):
        return None

    def at(number: float) -> Part:
        if mixture:
            return replace(part, form=replace(part.form, beta=number))
        return replace(part, **dict.fromkeys(family, number))

    def left(part: Part) -> float:
        return part.fit(seen)[1]

    centre = part.form.beta if mixture else getattr(part, family[0])
    bounds = (max(centre - 0.1, 1e-4), min(centre + 0.1, 1 - 1e-4)) if mixture else (centre / 1.4, centre * 1.4)
    options = {"xatol": 1e-9}
    found = minimize_scalar(lambda number: left(at(number)), bounds=bounds, method="bounded", options=options)
    return min((at(found.x), at(float(f"{found.x:.5g}"))), key=left) if found.fun <= TOLERANCE else None
