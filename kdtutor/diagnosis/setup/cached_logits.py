"""Cached logits against the teacher's answers. Part of `check_run`."""

import torch
from torch import Tensor

from kdtutor.diagnosis.setup.sample import Run, answers

ROUNDING = 0.03  # what half precision or autocast may change, as a part of the answers' size
FEW = 60  # examples of which no such comparison is made
SAMPLE = 300  # examples over which two sets of answers are compared
FIX = "Compute teacher(view) in the loop, on the view that the student sees; or cache a fixed number of views."


def check_cache(run: Run, logits: Tensor, cause: str | None) -> None:
    """Whether the cached logits are the teacher's answers (n, C) to what the student sees. Only what softmax sees
    counts: each row's mean is taken off. cause: what is known to be wrong with the teacher's answers."""
    if run.cached is None:
        return
    usable = (logits.isfinite() & run.cached.isfinite()).all(0)  # without masked classes
    if cause == "other_normalisation" or usable.sum() < 2:
        run.not_checked.append("cached logits: the teacher's own answers aren't right here")
        return
    now, cached = _centred(logits[:, usable]), _centred(run.cached[:, usable])
    same = _same(now, cached)
    off, total = int((~same).sum()), len(same)
    run.checked.append(f"cached logits against the teacher's answers to {total:,} examples")
    if off <= 0.01 * total:
        if run.fresh == "transform" and not torch.equal(run.teacher_inputs, run.student_inputs):
            _augmented(run, "The cached logits are the teacher's answers to its own view, and the student's varies.")
    elif _unrelated(now[~same], cached[~same]):
        run.mistake(
            "cached_logits_shuffled",
            f"{off:,} of {total:,} cached rows have nothing to do with the teacher's answers to their examples.",
            "Each image gets another image's targets.",
            "teacher_logits[index], with the index of each example in its batch; shuffle both or neither.",
        )
    elif run.fresh:
        _augmented(run, f"The student sees another view each time, and {off:,} of {total:,} cached rows answer others.")
    else:
        run.mistake(
            "cached_logits_differ",
            f"{off:,} of {total:,} cached rows differ from the teacher's answers: {_how(run, usable, now, cached)}.",
            "The student learns from another teacher than this one, or for other inputs.",
            "Cache again: this teacher, in eval mode, its logits (no softmax, no temperature), the inputs of the run.",
        )


def _augmented(run: Run, what: str) -> None:
    run.mistake("cached_logits_augmented", what, "Targets belong to a view that the student doesn't see.", FIX)


def _how(run: Run, usable: Tensor, now: Tensor, cached: Tensor) -> str:
    """In what way they differ, where that can be told."""
    given = run.cached.float()
    if given.min() >= 0 and (given.sum(1) - 1).abs().max() < 0.01:
        return "they are probabilities"
    factor = float((now * cached).sum() / (now * now).sum())
    if factor > 0 and _same(factor * now, cached).all():
        return f"they are its logits times {factor:.3g}, as if a temperature had been applied"
    if not torch.equal(run.inputs, run.teacher_inputs):
        before = _centred(answers("teacher", run.teacher, run.inputs)[:, usable])
        if _same(before, cached).all():
            return "they answer the inputs before the transform"
    rows = "rows of other examples, " if (~_same(now, cached)).sum() < FEW else ""
    return f"{rows}other views, another state of the teacher, or train mode, which can't be told apart from here"


def _centred(logits: Tensor) -> Tensor:
    return logits.float() - logits.float().mean(1, keepdim=True)


def _same(now: Tensor, cached: Tensor) -> Tensor:
    return (now - cached).norm(dim=1) <= ROUNDING * now.norm(dim=1).mean()


def _unrelated(now: Tensor, cached: Tensor) -> bool:
    """Whether rows belong to other examples: no sign that examples near in one are near in the other, which another
    view, a stale teacher and even other names of the classes leave. Source: Mantel 1967, by 99 permutations."""
    generator = torch.Generator().manual_seed(0)
    chosen = torch.randperm(len(now), generator=generator)[:SAMPLE]
    if len(chosen) < FEW:
        return False
    first, second = (torch.cdist(rows[chosen], rows[chosen]) for rows in (now, cached))
    first = first - first.mean()
    orders = [torch.randperm(len(chosen), generator=generator) for _ in range(99)]
    by_chance = torch.stack([(first * second[order][:, order]).sum() for order in orders])
    return bool((first * second).sum() <= by_chance.mean() + 4 * by_chance.std())
