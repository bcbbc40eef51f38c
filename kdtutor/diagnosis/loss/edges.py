"""Where a loss leaves its own formula: at the ends of alpha, without labels, on sequences, for logits far apart."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from kdtutor.diagnosis.loss.decomposition import NOTHING, Decomposition
from kdtutor.diagnosis.loss.observation import (
    SEQUENCES,
    TEMPERATURE,
    Observation,
    negligible,
    observe,
    outputs,
    recorded_calls,
)
from kdtutor.diagnosis.loss.padding import expects_padding, look_at_padding
from kdtutor.diagnosis.loss.signature import Loss
from kdtutor.diagnosis.loss.terms import CLOSE

FAR = 1e5  # logits so far apart that a probability underflows at any usual temperature
ENDS = (("alpha", "alpha", 0.0), ("alpha", "alpha", 1.0), ("T", "temperature", 1.0), ("T", "temperature", 8.0))
FLATTENING = (Tensor.view, Tensor.reshape, Tensor.flatten, torch.flatten, torch.reshape)


@dataclass(frozen=True)
class Jump:
    """A place where a term's weight isn't the formula's. `weight` is NaN where the term itself is another."""

    where: str
    weight: float
    expected: float


@dataclass(frozen=True)
class Edges:
    """What happens where losses often leave their formula."""

    jumps: tuple[Jump, ...] = ()  # where alpha is 0 or 1, T is 1 or 8, or labels are missing
    # For (B, L, C), the soft term over a mean over B * L positions; NaN where it is another term, and None where the
    # hard term isn't such a mean, or sequences aren't taken.
    on_sequences: float | None = None
    flattens: bool = False  # whether the loss flattens (B, L, C), and so means sequences
    underflow: bool = False  # for logits far apart it is NaN or infinite where its formula isn't
    mixture_jumps: str = ""  # the name of the argument at whose ends, 0 or 1, a mixture is another formula
    on_padding: bool = False  # the soft term runs over positions of label -100, and the hard term doesn't
    expects_padding: bool = False  # the loss names the label that is to be ignored
    nan_without_tokens: bool = False  # it is NaN where all labels are -100
    clamped: bool = False  # there its value isn't the formula's
    mean_by_shape: bool = False  # divided by shape[0] * shape[1]: B * C on (B, C), and B * L on (B, L, C)


def look_at_edges(loss: Loss, observation: Observation, decomposition: Decomposition) -> Edges:
    """Try the edges of a loss whose formula is known."""
    jumps = (*_jumps(loss, observation, decomposition), *_jump_without_labels(loss, observation, decomposition))
    on_sequences, flattens = _on_sequences(loss, observation, decomposition)
    underflow, clamped = _far_apart(loss, observation, decomposition)
    mixture_jumps = next((name for name in loss.constants if _mixture_jumps(loss, observation, name)), "")
    on_padding, nan_without_tokens = look_at_padding(
        loss, observation, decomposition, flattens and on_sequences is not None and not math.isnan(on_sequences)
    )
    return Edges(
        jumps, on_sequences, flattens, underflow, mixture_jumps, on_padding,
        on_padding and expects_padding(loss, observation), nan_without_tokens, clamped,
        _mean_by_shape(loss, observation, decomposition),
    )  # fmt: skip


def _mean_by_shape(loss: Loss, first: Observation, decomposition: Decomposition) -> bool:
    """Whether a soft term that is divided by B · C on logits (B, C) is a mean over positions on (B, L, C)."""
    soft = decomposition.soft
    if not soft or soft.class_power != -1 or len(first.shape) > 2:
        return False
    expected = replace(soft, class_power=0)
    for shape in (SEQUENCES[0], SEQUENCES[2]):  # of 5 classes and of 7
        try:
            observation = observe(loss, shape)
        except Exception:  # most losses take (B, C) alone
            return False
        factor = expected.observed_factor(observation)
        if factor is None or abs(factor / expected.factor(observation) - 1) > CLOSE:
            return False
    return True


def _mixture_jumps(loss: Loss, first: Observation, name: str) -> bool:
    """Whether the value at an end of this argument, 0 or 1, is far from that close to it."""
    for end, close in ((0.0, 1e-6), (1.0, 1 - 1e-6)):
        values = []
        for number in (end, close):
            changed = replace(loss, constants={**loss.constants, name: number})
            try:
                values.append(float(observe(changed, first.shape).output.value[0]))
            except Exception:  # it may refuse the ends
                return False
        if abs(values[0] - values[1]) > 0.01 * max(map(abs, values)):
            return True
    return False


def _jumps(loss: Loss, first: Observation, decomposition: Decomposition) -> Iterator[Jump]:
    for symbol, name, number in ENDS:
        if not loss.takes(name):
            continue
        try:
            observation = observe(loss, first.shape, **{name: number})
        except Exception:  # it may refuse the ends
            continue
        if negligible(decomposition.left_over(observation), observation):
            continue

        for term in decomposition.terms:
            factor = term.observed_factor(observation)
            expected = term.weight(observation.alpha, observation.temperature)
            if factor is None and (number > 1 or not expected):
                continue  # the formula gives no such term there, or it is too weak to be seen
            weight = math.nan if factor is None else factor / term.size(observation)
            if not abs(weight - expected) <= CLOSE * max(1, abs(expected)):
                yield Jump(f"with {symbol} = {number:g}", weight, expected)
                break


def _jump_without_labels(loss: Loss, observation: Observation, decomposition: Decomposition) -> Iterator[Jump]:
    soft = decomposition.soft
    if not (soft and decomposition.hard and loss.takes("labels")):
        return
    no_labels = [None] * len(observation.labels)
    try:
        output, _ = outputs(loss, observation.student, observation.teacher, no_labels, TEMPERATURE, 1.0)
    except Exception:  # most losses need labels
        return

    weights = output.value / soft.output(observation).value / soft.size(observation)
    if (weights - weights[0]).abs().max() < 1e-4 * abs(weights[0]):  # it is the soft term
        yield Jump("without labels", float(weights[0]), soft.weight(1.0, TEMPERATURE))


def _on_sequences(loss: Loss, first: Observation, decomposition: Decomposition) -> tuple[float | None, bool]:
    """As in `Edges`, of a loss that was first observed on (B, C)."""
    soft, hard = decomposition.soft, decomposition.hard
    if not (soft and hard and hard.form.kernel == "ce" and soft.batch_power == -1 and soft.class_power == 0):
        return None, False
    if len(first.shape) > 2:
        return None, False

    try:
        observation = observe(loss, SEQUENCES[0])
        calls = recorded_calls(loss, observation, *FLATTENING)
        soft_factor, hard_factor = soft.observed_factor(observation), hard.observed_factor(observation)
    except Exception:  # most losses take (B, C) alone
        return None, False
    if hard_factor is None or abs(hard_factor / hard.factor(observation) - 1) > CLOSE:
        return None, False

    flattens = any(arguments[0].dim() == 3 for arguments, _ in calls if arguments)
    ratio = math.nan if soft_factor is None else soft_factor / soft.factor(observation)
    return ratio, flattens


def _far_apart(loss: Loss, observation: Observation, decomposition: Decomposition) -> tuple[bool, bool]:
    """Whether the loss underflows, and whether it is clamped, for logits so far apart that probabilities are 0."""
    mild, labels = observation.student[:1], observation.labels[:1]
    far = torch.zeros_like(mild)
    far[..., 1] = FAR
    far_elsewhere = far.roll(1, -1)

    by_class = bool(decomposition.hard and decomposition.hard.by_class)
    if by_class:  # class weights are seen where labels change, which they don't here
        decomposition = replace(decomposition, hard=None)

    underflow = clamped = False
    for student, teacher in ((far, mild), (mild, far), (far, far_elsewhere)):
        try:
            output, _ = outputs(loss, student, teacher, labels, observation.temperature, observation.alpha)
        except Exception:  # it may refuse such logits
            continue
        extreme = replace(observation, student=student, teacher=teacher, labels=labels, output=output)
        if not output.flatten().isfinite().all():
            underflow = underflow or bool(decomposition.predicted(extreme).value.isfinite().all())
        elif decomposition.remainder == NOTHING and not by_class:
            clamped = clamped or not negligible(decomposition.left_over(extreme), extreme)
    return underflow, clamped
