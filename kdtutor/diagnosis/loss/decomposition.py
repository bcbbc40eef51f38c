"""A loss as a sum of a soft term, a hard term, and what may remain."""

import inspect
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from kdtutor.diagnosis.loss.forms import MSE, SOFT_FORMS, STUDENT_TERMS, Hard
from kdtutor.diagnosis.loss.observation import Observation, Output, negligible, recorded_calls
from kdtutor.diagnosis.loss.recognition import LIKELY, hard_terms, soft_temperatures, soft_terms
from kdtutor.diagnosis.loss.signature import Loss
from kdtutor.diagnosis.loss.symptoms import Symptoms
from kdtutor.diagnosis.loss.terms import Term, in_numbers, scale_to, with_gradient

NOTHING, CONSTANT, UNKNOWN = "nothing", "constant", "unknown"
RANKS = {NOTHING: 0, CONSTANT: 1, UNKNOWN: 3}  # and 2 for a term of the student alone: the less remains, the better


@dataclass(frozen=True)
class Decomposition:
    """What a loss consists of."""

    soft: Term | None = None  # None where there is none, or none that is known
    hard: Term | None = None
    remainder: str = NOTHING  # what they leave: NOTHING, CONSTANT (no gradient), UNKNOWN, or "entropy", "-entropy", …
    why: str = ""  # why the formula can't be told; empty where it can
    row_weights: Tensor | None = None  # (rows, 2), the factors in each row, of a loss that weights examples

    @property
    def terms(self) -> list[Term]:
        return [term for term in (self.soft, self.hard) if term]

    def predicted(self, observation: Observation) -> Output:
        """What the terms give on these inputs."""
        value, gradient = torch.zeros_like(observation.output.value), torch.zeros_like(observation.student)
        for term in self.terms:
            output = term.output(observation, term.factor(observation))
            value, gradient = value + output.value, gradient + output.gradient
        return Output(value, gradient)

    def left_over(self, observation: Observation) -> Output:
        """What they leave of the loss."""
        return observation.output.minus(self.predicted(observation))


def decompose(loss: Loss, observation: Observation, symptoms: Symptoms) -> Decomposition:
    """Find the terms of a loss. How their factors come about is still open."""
    if symptoms.random:
        return Decomposition(why="it returns another value each time that it is asked the same")
    if symptoms.nan and not observation.output.gradient.isfinite().any():
        return Decomposition(soft=_term_of_kl_div(loss, observation), why="it is NaN, value and gradient")
    if symptoms.no_teacher and symptoms.no_labels:
        return Decomposition(why="neither the teacher nor the labels change it")

    if symptoms.interaction:
        decomposition = Decomposition(
            why="what the teacher adds depends on the labels, so it isn't a sum of a soft and a hard term"
        )
        hard = next(hard_terms(loss, observation, None), None)
        if hard and hard.form == Hard("teacher"):
            return replace(decomposition, hard=hard)
    else:
        decomposition = _sum_of_terms(loss, observation, symptoms)

    if decomposition.why:
        return _weighted_by_row(loss, observation, symptoms.no_labels) or decomposition
    return decomposition


def _sum_of_terms(loss: Loss, observation: Observation, symptoms: Symptoms) -> Decomposition:
    """Of the terms that explain the changes, those that leave least of the loss itself."""
    softs = [None] if symptoms.no_teacher or symptoms.soft_without_student else soft_terms(loss, observation)
    without_hard = symptoms.no_labels or symptoms.hard_without_gradient

    best = None
    for soft in softs:
        hards = [None] if without_hard else list(hard_terms(loss, observation, soft))
        if not hards:
            return Decomposition(why="its hard term is none of those that are known")
        for hard in hards:
            candidate = _with_remainder(soft, hard, observation)
            if best is None or _rank(candidate) < _rank(best):
                best = candidate
            if candidate.remainder == NOTHING:
                return candidate

    if best is None:
        return Decomposition(why="its soft term is none of those that are known")
    if best.remainder == UNKNOWN:
        return Decomposition(why="a further term in it is none of those that are known")
    return best


def _rank(decomposition: Decomposition) -> int:
    return RANKS.get(decomposition.remainder, 2)


def _with_remainder(soft: Term | None, hard: Term | None, observation: Observation) -> Decomposition:
    """The two terms, with whatever factors they have on these inputs, and what they leave."""
    decomposition = Decomposition(soft, hard)
    left = observation.output
    for term in decomposition.terms:
        left = left.minus(term.output(observation, term.observed_factor(observation) or 0.0))
    return replace(decomposition, remainder=name_remainder(left, observation))


def name_remainder(left: Output, observation: Observation) -> str:
    """The name of what is left of a loss, as in `Decomposition`: of STUDENT_TERMS with a minus for factors below 0."""
    if negligible(left, observation):
        return NOTHING
    if not (left.gradient.abs() > 1e-6).any():
        return CONSTANT
    for name, (function, _) in STUDENT_TERMS.items():
        student = observation.student.clone().requires_grad_()
        candidate = with_gradient(function(student).flatten(1).sum(1), student)
        factor, residual = scale_to(left.flatten(), candidate.flatten()[None])
        if residual <= 1e-4:
            return f"-{name}" if factor < 0 else name
    return UNKNOWN


def _term_of_kl_div(loss: Loss, observation: Observation) -> Term | None:
    """Where all is NaN and nothing can be compared: the term that F.kl_div is given, if it is known."""
    forms = [form for form in SOFT_FORMS if form.kernel == "kl"]
    for arguments, named in recorded_calls(loss, observation, F.kl_div):
        given = inspect.signature(F.kl_div).bind(*arguments, **named).arguments
        for form in forms:
            for pair in soft_temperatures(form, loss):
                of_student, of_teacher = (in_numbers(x, observation.temperature) for x in pair)
                input, target = form.sides(observation.student[0] / of_student, observation.teacher[0] / of_teacher)
                if _equal(given["input"], input) and _equal(given["target"], target):
                    return Term(form, *pair)
    return None


def _equal(given: Tensor, expected: Tensor) -> bool:
    return given.shape == expected.shape and torch.allclose(given.double(), expected)


def _weighted_by_row(loss: Loss, observation: Observation, no_labels: bool) -> Decomposition | None:
    """A likely soft term and cross-entropy, each with its own factor in each row, if the loss is that.

    The gradient in a row's logits is the sum of those of its two terms: C equations for two factors. no_labels: the
    labels change nothing, so that there is no cross-entropy.
    """
    if not observation.output.gradient.isfinite().all():
        return None
    draws, classes = len(observation.student), observation.shape[-1]
    rows = replace(  # each row is a draw of its own, (rows, 1, C)
        observation,
        student=observation.student.reshape(-1, 1, classes),
        teacher=observation.teacher.reshape(-1, 1, classes),
        labels=observation.labels.reshape(-1, 1),
    )
    wanted = observation.output.gradient.reshape(-1, classes, 1)
    hard = Term(Hard("ce"), 1.0, 1.0)
    hard_values, hard_gradients = hard.output(rows)

    for form in (*LIKELY, MSE):
        for pair in soft_temperatures(form, loss):
            if pair[0] != pair[1]:
                continue
            soft = Term(form, *pair)
            soft_values, soft_gradients = soft.output(rows)
            columns = torch.stack([soft_gradients, hard_gradients], -1).squeeze(1)  # (rows, C, 2)
            if no_labels:
                columns = columns * torch.tensor([1.0, 0.0], dtype=columns.dtype)
            weights = torch.linalg.lstsq(columns, wanted, driver="gelsd").solution.squeeze(-1)  # (rows, 2)

            values = weights[:, 0] * soft_values + weights[:, 1] * hard_values
            predicted = Output(values.reshape(draws, -1).sum(1), columns @ weights.unsqueeze(-1))
            left = predicted.minus(Output(observation.output.value, wanted))
            if negligible(left, observation):
                return Decomposition(soft, None if no_labels else hard, row_weights=weights)
    return None
