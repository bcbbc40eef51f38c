"""Cached logits against the teacher's logits for what the student sees. Part of `check_run`."""

import torch
from torch import Tensor

from kdtutor.diagnosis.setup.given import Findings, Setup
from kdtutor.diagnosis.setup.models import logits_in_eval_mode

ROUNDING = 0.03  # what half precision or autocast may change, as a part of the logits' size
FEW = 60  # rows of which it can't be told whether they belong to other examples
SAMPLE = 300  # rows that are looked at for that


def check_cache(setup: Setup, findings: Findings, teacher_mistake: str | None) -> None:
    """Whether the cached logits are the teacher's. Only what softmax sees counts: each row's mean is taken off.
    teacher_mistake: what is known to make the teacher's own outputs bad."""
    if setup.cached_logits is None:
        return
    usable = (setup.teacher_logits.isfinite() & setup.cached_logits.isfinite()).all(0)  # without masked classes
    if teacher_mistake == "other_normalisation" or usable.sum() < 2:
        findings.skip("cached logits", "the teacher's own answers aren't right here")
        return

    expected, cached = _centred(setup.teacher_logits[:, usable]), _centred(setup.cached_logits[:, usable])
    differs = ~_same(expected, cached)
    off, total = int(differs.sum()), len(differs)
    findings.checked.append(f"cached logits against the teacher's answers to {total:,} examples")
    if off <= 0.01 * total:
        own_view = not torch.equal(setup.teacher_inputs, setup.student_inputs)
        if own_view and setup.varies == "transform":
            what = "The cached logits are the teacher's answers to its own view, and the student's varies."
            _add_augmented(findings, what)
    elif _of_other_examples(expected[differs], cached[differs]):
        findings.add(
            "cached_logits_shuffled",
            f"{off:,} of {total:,} cached rows have nothing to do with the teacher's answers to their examples.",
            "Each image gets another image's targets.",
            "teacher_logits[index], with the index of each example in its batch; shuffle both or neither.",
        )
    elif setup.varies:
        what = f"The student sees another view each time, and {off:,} of {total:,} cached rows answer others."
        _add_augmented(findings, what)
    else:
        how = _how_they_differ(setup, usable, expected, cached)
        findings.add(
            "cached_logits_differ",
            f"{off:,} of {total:,} cached rows differ from the teacher's answers: {how}.",
            "The student learns from another teacher than this one, or for other inputs.",
            "Cache again: this teacher, in eval mode, its logits (no softmax, no temperature), the inputs of the run.",
        )


def _add_augmented(findings: Findings, what: str) -> None:
    findings.add(
        "cached_logits_augmented",
        what,
        "Targets belong to a view that the student doesn't see.",
        "Compute teacher(view) in the loop, on the view that the student sees; or cache a fixed number of views.",
    )


def _how_they_differ(setup: Setup, usable: Tensor, expected: Tensor, cached: Tensor) -> str:
    """In what way they differ, where that can be told."""
    given = setup.cached_logits.float()
    if given.min() >= 0 and (given.sum(1) - 1).abs().max() < 0.01:
        return "they are probabilities"

    factor = float((expected * cached).sum() / (expected * expected).sum())
    if factor > 0 and _same(factor * expected, cached).all():
        return f"they are its logits times {factor:.3g}, as if a temperature had been applied"

    if not torch.equal(setup.inputs, setup.teacher_inputs):
        logits = logits_in_eval_mode("teacher", setup.teacher, setup.inputs)
        if _same(_centred(logits[:, usable]), cached).all():
            return "they answer the inputs before the transform"

    how = "other views, another state of the teacher, or train mode, which can't be told apart from here"
    if (~_same(expected, cached)).sum() < FEW:
        how = f"rows of other examples, {how}"
    return how


def _centred(logits: Tensor) -> Tensor:
    return logits.float() - logits.float().mean(1, keepdim=True)


def _same(expected: Tensor, cached: Tensor) -> Tensor:
    """Which rows agree, up to rounding: (n,) bool."""
    return (expected - cached).norm(dim=1) <= ROUNDING * expected.norm(dim=1).mean()


def _of_other_examples(expected: Tensor, cached: Tensor) -> bool:
    """Whether rows belong to other examples: examples that are near in one aren't near in the other. Another view, a
    stale teacher and even other names of the classes would leave them near. Source: Mantel 1967, by 99 permutations."""
    generator = torch.Generator().manual_seed(0)
    chosen = torch.randperm(len(expected), generator=generator)[:SAMPLE]
    n = len(chosen)
    if n < FEW:
        return False
    distances = torch.cdist(expected[chosen], expected[chosen])
    cached_distances = torch.cdist(cached[chosen], cached[chosen])
    distances -= distances.mean()

    association = (distances * cached_distances).sum()
    by_chance = torch.empty(99)
    for i in range(len(by_chance)):
        order = torch.randperm(n, generator=generator)
        by_chance[i] = (distances * cached_distances[order][:, order]).sum()
    return bool(association <= by_chance.mean() + 4 * by_chance.std())
