"""A whole loss taken apart: its terms, where it leaves its own formula, and how it stands extremes."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import torch
from torch import Tensor

from kdtutor.diagnosis.loss.exceptions import by_example, overheard
from kdtutor.diagnosis.loss.extremes import far_apart, jumps, sequences
from kdtutor.diagnosis.loss.formulas import HARD, SOFT, Hard, Soft
from kdtutor.diagnosis.loss.parts import FLAT, SEQUENCES, TEN, Dissection, factor_of, left_over, rest, scaled
from kdtutor.diagnosis.loss.probe import ADAPTER, Probe
from kdtutor.diagnosis.loss.recognition import POWERS, Part, Seen, T, nothing, recognise, see, sides


def dissect(probe: Probe) -> Dissection:
    """Take a loss apart. `flags` holds what needs no formula: nan, random, in_place, teacher_gradient, no_gradient,
    no_teacher, no_labels, soft_without_student, hard_without_gradient, underflow, clamped, flattens."""
    probe, shapes, seen = _first(probe)
    found = Dissection(seen)
    flags = found.flags = _flags(probe, seen)
    if "random" in flags:
        found.why = "it returns another value each time that it is asked the same"
        return found
    if "nan" in flags and not seen.grad.isfinite().any():
        found.soft = overheard(probe, seen)
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
        return found if found.hard else by_example(probe, found)
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
        return by_example(probe, found)
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
        found.sequences = sequences(probe, found) if shapes is not SEQUENCES else None
        flags |= far_apart(probe, found)
    return found


def _first(probe: Probe) -> tuple[Probe, tuple, Seen]:
    """The loss with the precision and the sizes that it takes first. ValueError, in its own words, if it takes none."""
    first = None
    for shapes, dtype in product((FLAT, TEN, SEQUENCES), (torch.float64, torch.float32)):
        asked = replace(probe, dtype=dtype)
        try:
            return asked, shapes, see(asked, shapes[0])
        except Exception as error:  # whatever somebody's loss raises
            first = first or error
    taken = f" ({probe.described})" if probe.described else ""
    raise ValueError(
        f"loss_fn must work on logits (6, 5) or (6, 10) and int64 labels (6,){taken}, got {type(first).__name__}: "
        f"{first}; for another interface {ADAPTER}"
    ) from first


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
        name, share = rest(seen, left_over(guess, seen))
        if best is None or _RANK.get(name, 2) < _RANK.get(best[2], 2):
            best = soft, hard, name, share
        if name == "nothing":
            break
    found.soft, found.hard, found.rest, found.share = best
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
    return rest(seen, left_over(found, seen))[0] == found.rest
