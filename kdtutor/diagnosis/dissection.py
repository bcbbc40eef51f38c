"""A whole loss taken apart: its terms, where it leaves its own formula, and how it stands extremes."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from kdtutor.diagnosis.extremes import far_apart, jumps, sequences
from kdtutor.diagnosis.formulas import HARD, SOFT, Hard, Soft
from kdtutor.diagnosis.parts import FLAT, SEQUENCES, Dissection, factor_of, left_over, rest, scaled, small
from kdtutor.diagnosis.probe import Probe
from kdtutor.diagnosis.recognition import POWERS, Part, Seen, T, nothing, recognise, see, sides, value


def dissect(probe: Probe) -> Dissection:
    """Take a loss apart. `flags` holds what needs no formula: nan, random, in_place, teacher_gradient, no_gradient,
    no_teacher, no_labels, soft_without_student, hard_without_gradient, underflow, clamped."""
    shapes, seen = _first(probe)
    found = Dissection(seen)
    flags = found.flags = _flags(probe, seen)
    if "random" in flags:
        found.why = "it returns another value each time that it is asked the same"
        return found
    if "nan" in flags and not seen.grad.isfinite().any():
        found.soft = _overheard(probe, seen)
        found.why = "it is NaN, value and gradient"
        return found
    if {"no_teacher", "no_labels"} <= flags:
        found.why = "neither the teacher nor the labels change it"
        return found
    if not flags & {"no_teacher", "no_labels"} and _mixed(probe, seen):
        found.why = "what the teacher adds depends on the labels, so it isn't a sum of a soft and a hard term"
        found.hard = recognise(probe, seen, soft=False)
        if found.hard and found.hard.form != Hard("teacher"):
            found.hard = None
        return found if found.hard else _by_example(probe, found)
    if not flags & {"no_teacher", "soft_without_student"}:
        found.soft = recognise(probe, seen, soft=True)
        if not found.soft:
            found.why = "its soft term is none of those that are known"
    if not flags & {"no_labels", "hard_without_gradient"}:
        near = found.soft and next((x for x in (found.soft.ts, found.soft.tt) if x != 1), None)
        found.hard = recognise(probe, seen, soft=False, near=None if isinstance(near, str) else near)
        if not found.hard:
            found.why = "its hard term is none of those that are known"
    if not found.why:
        _settle(probe, found)
    if found.why:
        found.soft = found.hard = None  # forms that aren't settled are no ground for claims
        return _by_example(probe, found)
    try:
        for name in ("soft", "hard"):
            if part := getattr(found, name):
                part = scaled(probe, seen, part, shapes)
                setattr(found, name, part)
                if not part:
                    found.why = f"its {name} term changes with batch, classes, T or alpha in a way that isn't known"
                    return found
        if not _predicts(probe, found, shapes[0]):
            found.why = "what seems to be its formula doesn't give its values on other inputs"
    except Exception as error:  # whatever somebody's loss raises
        found.why = f"with other batches, classes, T or alpha it raises {type(error).__name__}: {error}"
    if not found.why:
        found.jumps = dict(jumps(probe, found, shapes[0]))
        found.sequences = sequences(probe, found) if shapes is FLAT else None
        flags |= far_apart(probe, found)
    return found


def _first(probe: Probe) -> tuple[tuple, Seen]:
    """The loss on the first shapes that it takes. Raises ValueError, with its own words, if it takes none."""
    try:
        return FLAT, see(probe, FLAT[0])
    except Exception as error:  # whatever somebody's loss raises
        try:
            return SEQUENCES, see(probe, SEQUENCES[0])
        except Exception:
            raise ValueError(
                f"loss_fn must work on float64 logits {FLAT[0]} and int64 labels {FLAT[0][:1]} ({probe.described}), "
                f"got {type(error).__name__}: {error}"
            ) from error


def _flags(probe: Probe, seen: Seen) -> set[str]:
    scale, flags = seen.value, set()
    inputs = [x[0].clone() for x in (seen.s, seen.t)]
    again = probe(*inputs, seen.y[0], seen.temperature, seen.alpha).detach().double()
    for name, holds in {
        "nan": not seen.value.isfinite().all(),
        "random": bool(again.isfinite()) and not torch.allclose(again, seen.value[0], rtol=1e-9),
        "in_place": not (torch.equal(inputs[0], seen.s[0]) and torch.equal(inputs[1], seen.t[0])),
        "teacher_gradient": bool(seen.teacher_grad.any()),
        "no_gradient": not seen.grad.any(),
        "no_teacher": nothing(seen.by_teacher, scale),
        "no_labels": nothing(seen.by_labels, scale),
    }.items():
        flags |= {name} if holds else set()
    if not flags & {"no_teacher", "nan"} and not seen.by_teacher[1].any():
        other = _for_student(probe, seen, -seen.s, (seen.t, seen.y), (seen.t2, seen.y))
        flags |= {"soft_without_student"} if torch.allclose(other, seen.by_teacher[0], rtol=1e-6, atol=1e-9) else set()
    if not flags & {"no_labels", "nan"} and not seen.by_labels[1].any():
        students = (seen.s * 1.0001, -seen.s)
        changes = [_for_student(probe, seen, s, (seen.t, seen.y), (seen.t, seen.y2)) for s in students]
        near, other = (torch.allclose(change, seen.by_labels[0], atol=1e-12) for change in changes)
        flags |= {"hard_without_gradient"} if near and not other else set()
    return flags


def _pairs(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    return zip(*tensors, strict=True)


def _for_student(probe: Probe, seen: Seen, students: Tensor, *inputs: tuple[Tensor, Tensor]) -> Tensor:
    """What changes, for these students, from the first pair of teachers and labels to the second: (D,)."""
    first, second = (
        torch.stack([probe(*one, seen.temperature, seen.alpha).detach() for one in _pairs(students, *pair)])
        for pair in inputs
    )
    return first.double() - second.double()


def _mixed(probe: Probe, seen: Seen) -> bool:
    """Whether teacher and labels act together."""
    both = [probe.gradients(s, t, y, seen.temperature, seen.alpha) for s, t, y in _pairs(seen.s, seen.t2, seen.y2)]
    value, grad = (torch.stack(part) for part in list(zip(*both, strict=True))[:2])
    left = (
        seen.value - value - seen.by_teacher[0] - seen.by_labels[0],
        seen.grad - grad - seen.by_teacher[1] - seen.by_labels[1],
    )
    return not all(
        bool((part[part.isfinite()].abs() < 1e-5 * (1 + seen.grad.nan_to_num().abs().max())).all()) for part in left
    )


def _settle(probe: Probe, found: Dissection) -> None:
    """Of the terms that no difference tells apart take those that leave least of the loss, and name what is left."""
    seen, best = found.seen, None
    soft, hard = found.soft, found.hard
    temperatures = {1.0, soft.ts, soft.tt} if soft and not isinstance(soft.ts, str) else {1.0}
    softs = [soft, *_alike_soft(soft, probe, seen)] if soft else [None]
    hards = [hard, *_alike_hard(hard, probe, seen, temperatures)] if hard else [None]
    for soft, hard in product(softs, hards):
        guess = replace(found, soft=soft and _fitted(soft, seen), hard=hard and _fitted(hard, seen))
        name = rest(seen, left_over(guess, seen))
        if best is None or _RANK.get(name, 2) < _RANK.get(best[2], 2):
            best = soft, hard, name
        if name == "nothing":
            break
    found.soft, found.hard, found.rest = best
    if not found.rest:
        found.why = "a further term in it is none of those that are known"


_RANK = {"nothing": 0, "constant": 1, None: 3}


def _alike_soft(part: Part, probe: Probe, seen: Seen) -> Iterator[Part]:
    """Other parts that make the same difference: they differ by what is the same for all teachers."""
    forms = [replace(part, form=form) for form in SOFT]
    if part.form.kernel == "ce":  # the student's temperature is a factor there
        forms += [
            replace(part, form=form, ts=ts) for form in (part.form, Soft("ce")) for ts, _ in sides(Hard("ce"), probe)
        ]
    yield from (other for other in forms if other != part and factor_of(other, seen) is not None)


def _alike_hard(part: Part, probe: Probe, seen: Seen, temperatures: set[float]) -> Iterator[Part]:
    """The same of a hard term, with the temperatures that the soft one has."""
    names = POWERS if "temperature" in probe.names else temperatures
    for form, name in product(HARD, sorted(names, key=str)):
        other = replace(part, form=form, ts=name, tt=name)
        if other != part and factor_of(other, seen) is not None:
            yield other


def _fitted(part: Part, seen: Seen) -> Part:
    """The part with whatever factor it has on these inputs."""
    return replace(part, batch=0, length=0, classes=0, power=0, at=factor_of(part, seen) or 0.0, slope=0)


def _predicts(probe: Probe, found: Dissection, shape: tuple[int, ...]) -> bool:
    """Whether the formula gives value and gradient on new inputs at another T and alpha."""
    seen = see(probe, shape, temperature=1.25 * T, alpha=0.65, seed=1)
    return rest(seen, left_over(found, seen)) == found.rest


class _Listener(TorchFunctionMode):
    """Keeps the first two arguments of each call of F.kl_div."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Tensor, Tensor]] = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is F.kl_div:
            given = {**dict(zip(("input", "target"), args, strict=False)), **(kwargs or {})}
            self.calls.append((given["input"], given["target"]))
        return function(*args, **(kwargs or {}))


def _overheard(probe: Probe, seen: Seen) -> Part | None:
    """Where all is NaN and nothing can be compared: what F.kl_div was given, if that is known."""
    s, t = seen.s[0], seen.t[0]
    with _Listener() as heard:
        probe(s, t, seen.y[0], seen.temperature, seen.alpha)
    for given, target in heard.calls:
        for form in SOFT:
            for ts, tt in sides(form, probe) if form.kernel == "kl" else ():
                a, q = form.sides(s / value(ts, seen.temperature), t / value(tt, seen.temperature))
                if given.shape == a.shape and torch.allclose(given.double(), a) and torch.allclose(target.double(), q):
                    return Part(form, ts, tt)
    return None


def _by_example(probe: Probe, found: Dissection) -> Dissection:
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
                totals, grads = zip(*(_total_and_grad(part, rows) for part in (soft, hard)), strict=True)
                columns, target = (
                    torch.stack(grads, -1),
                    seen.grad.reshape(*s.shape[::2], 1),
                )  # (rows, C, 2), (rows, C, 1)
                weights = torch.linalg.lstsq(columns, target).solution
                value = (torch.stack(totals, -1) * weights.squeeze(-1)).sum(-1).reshape(len(seen.s), -1).sum(1)
                if small((value - seen.value, columns @ weights - target), seen):
                    found.soft, found.hard, found.weights, found.why = soft, hard, weights.squeeze(-1), ""
                    return found
    return found


def _total_and_grad(part: Part, seen: Seen) -> tuple[Tensor, Tensor]:
    s = seen.s.clone().requires_grad_()
    total = part.total(seen, s, seen.t, seen.y)
    return total.detach(), torch.autograd.grad(total.sum(), s)[0].squeeze(1)
