"""A term of a loss: a form, the temperatures of its two sides, and the factor before it; and how well it fits.

A temperature is a number that is fixed inside the loss, or "T", "1/T" or "T²" of its argument. 1.0 is none at all.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kdtutor.diagnosis.loss.forms import Hard, Soft, standardise
from kdtutor.diagnosis.loss.observation import NO_EFFECT, Observation, Output, negligible
from kdtutor.diagnosis.loss.rows import total_weight, weighted_cross_entropy

Temperature = float | str
Temperatures = tuple[Temperature, Temperature]  # the student's and the teacher's
POWERS = {"T": 1, "1/T": -1, "T²": 2}
CLOSE = 1e-3  # weights that differ by less are the same
TOLERANCE = 3e-5  # relative; a loss that computes in float32 inside is within it, another formula isn't


@dataclass(frozen=True)
class Term:
    """What `form` gives, times (intercept + slope * alpha) * B^batch_power * L^length_power * C^class_power *
    T^temperature_power. trains: whether the student receives its gradient.
    """

    form: Soft | Hard
    student_temperature: Temperature
    teacher_temperature: Temperature
    trains: bool = True
    batch_power: float = -1
    length_power: float = -1
    class_power: float = 0
    temperature_power: float = 0
    intercept: float = 1.0
    slope: float = 0.0
    by_class: bool = False  # examples are weighted by their class; the factor is that of their weighted mean

    @property
    def temperatures(self) -> Temperatures:
        return self.student_temperature, self.teacher_temperature

    @property
    def temperature_is_fixed(self) -> bool:
        """Whether both are numbers that are fixed inside the loss."""
        return not any(isinstance(temperature, str) for temperature in self.temperatures)

    @property
    def largest_weight(self) -> float:
        """The largest that an alpha of 0..1 can give."""
        return max(abs(self.intercept), abs(self.intercept + self.slope)) or 1.0

    def weight(self, alpha: float, temperature: float = 1.0) -> float:
        """The factor without the powers of B, L and C."""
        return (self.intercept + self.slope * alpha) * temperature**self.temperature_power

    def size(self, observation: Observation) -> float:
        """The powers of B, L and C."""
        batch, *length, classes = observation.shape
        return batch**self.batch_power * math.prod(length) ** self.length_power * classes**self.class_power

    def factor(self, observation: Observation) -> float:
        return self.weight(observation.alpha, observation.temperature) * self.size(observation)

    def output(self, observation: Observation, factor: float = 1.0) -> Output:
        """The form's output with this factor; if it is weighted by class, with the weights that are seen here."""
        if self.by_class:
            return weighted_cross_entropy(observation)
        temperatures = [in_numbers(x, observation.temperature) for x in self.temperatures]
        student = observation.student.clone().requires_grad_()
        sums = _sums(self.form, student, observation.teacher, observation.labels, *temperatures)
        value, gradient = with_gradient(factor * sums, student)
        if not self.trains:
            gradient = torch.zeros_like(gradient)
        return Output(value, gradient)

    def fit(self, observation: Observation) -> tuple[float, float]:
        """As `fit`, for this term alone."""
        factors, residuals = fit(self.form, observation, [self.temperatures])
        return float(factors), float(residuals)

    def observed_factor(self, observation: Observation) -> float | None:
        """The factor that the term has on these inputs; None if the loss holds no such term."""
        if negligible(observation.change_for(self.form), observation, NO_EFFECT):
            return 0.0
        if self.by_class:
            total = total_weight(observation)
            return None if total is None else total / math.prod(observation.shape[:-1])
        factor, residual = self.fit(observation)
        return factor if residual <= 3 * TOLERANCE else None


def in_numbers(temperature: Temperature, argument: float) -> float:
    """A side's temperature where the argument has this value."""
    return argument ** POWERS[temperature] if isinstance(temperature, str) else temperature


def fit(form: Soft | Hard, observation: Observation, pairs: Sequence[Temperatures]) -> tuple[Tensor, Tensor]:
    """For each of K pairs of temperatures the factor with which the form comes nearest to the change that it is to
    explain, (K,), and the share of the change that it leaves, (K,) in 0..1."""
    sides = []
    for temperatures in zip(*pairs, strict=True):
        numbers = [in_numbers(x, observation.temperature) for x in temperatures]
        sides.append(torch.tensor(numbers, dtype=torch.float64).reshape(-1, 1, 1, 1))

    student = observation.student.expand(len(pairs), *observation.student.shape).clone().requires_grad_()
    before = _sums(form, student, observation.teacher, observation.labels, *sides)
    if isinstance(form, Soft):
        after = _sums(form, student, observation.other_teacher, observation.labels, *sides)
    else:
        after = _sums(form, student, observation.teacher, observation.other_labels, *sides)
    candidates = with_gradient((before - after).expand(len(pairs), -1), student)

    change = observation.change_for(form)
    if isinstance(form, Hard) and change.value.isnan().all():  # that is the soft term's NaN
        return scale_to(change.gradient, candidates.gradient)
    if not change.gradient.any():
        return scale_to(change.value, candidates.value)
    both = torch.cat([candidates.value, candidates.gradient.flatten(1)], dim=1)
    return scale_to(change.flatten(), both)


def scale_to(target: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor]:
    """For each of K candidates the factor with which it comes nearest to the target, and the share of that which it
    leaves, 0..1. NaN must stand where NaN stands."""
    target, candidates = target.flatten(), candidates.flatten(1)
    finite = target.isfinite()
    comparable = (candidates.isfinite() == finite).all(1) & finite.any()
    target, candidates = target[finite], candidates[:, finite].nan_to_num()

    factors = (candidates @ target) / candidates.square().sum(1).clamp(min=1e-30)
    residuals = (target - factors[:, None] * candidates).norm(dim=1) / target.norm().clamp(min=1e-30)
    return factors, torch.where(comparable, residuals, 1.0)


def _sums(
    form: Soft | Hard, student: Tensor, teacher: Tensor, labels: Tensor,
    student_temperature: Tensor | float, teacher_temperature: Tensor | float,
) -> Tensor:  # fmt: skip
    """The form of student's logits (..., D, *shape) and teacher's logits (D, *shape), all rows of a draw together:
    (..., D)."""
    draws, classes = len(labels), student.shape[-1]
    leading = student.shape[: student.dim() - teacher.dim()]
    if isinstance(form, Soft) and form.standardised:
        student, teacher = standardise(student), standardise(teacher)
    student = student.reshape(*leading, draws, -1, classes) / student_temperature
    teacher = teacher.reshape(draws, -1, classes)
    if isinstance(form, Soft):
        return form(student, teacher / teacher_temperature)
    return form(student, teacher / student_temperature, labels.flatten(1))


def with_gradient(values: Tensor, student: Tensor) -> Output:
    """Values with the gradient of their sum in the student's logits, 0 where none flows."""
    if not values.requires_grad:
        return Output(values, torch.zeros_like(student))
    (gradient,) = torch.autograd.grad(values.sum(), student)
    return Output(values.detach(), gradient)
