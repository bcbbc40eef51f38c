"""What can be said of a loss before any of its terms is known: NaN, randomness, gradients and inputs without effect."""

from dataclasses import dataclass

import torch

from kdtutor.diagnosis.loss.observation import NO_EFFECT, Observation, negligible, observe, outputs
from kdtutor.diagnosis.loss.signature import Loss


@dataclass(frozen=True)
class Symptoms:
    """Each is true or false of a loss."""

    nan: bool  # it returns NaN or infinity
    random: bool  # it returns another value when it is asked the same again
    in_place: bool  # it changes the logits that it is given
    teacher_gradient: bool  # gradients flow to the teacher's logits
    no_gradient: bool  # none flows to the student's
    no_teacher: bool  # the teacher makes no difference
    no_labels: bool
    soft_without_student: bool  # what the teacher adds is the same for all students
    hard_without_gradient: bool  # the labels change the value by steps only, as they do beside predicted classes
    interaction: bool  # what the teacher adds depends on the labels


def look_for_symptoms(loss: Loss, observation: Observation) -> Symptoms:
    """The symptoms of a loss, from what was observed, and from asking it the same once more."""
    student, teacher = observation.student[0].clone(), observation.teacher[0].clone()
    again = loss(student, teacher, observation.labels[0], observation.temperature, observation.alpha)
    again = again.detach().double()
    random = bool(again.isfinite()) and not torch.allclose(again, observation.output.value[0], rtol=1e-9)
    unchanged = torch.equal(student, observation.student[0]) and torch.equal(teacher, observation.teacher[0])

    no_teacher = negligible(observation.by_teacher, observation, NO_EFFECT)
    no_labels = negligible(observation.by_labels, observation, NO_EFFECT)
    return Symptoms(
        nan=not observation.output.value.isfinite().all(),
        random=random,
        in_place=not unchanged,
        teacher_gradient=bool(observation.teacher_gradient.any()),
        no_gradient=not observation.output.gradient.any(),
        no_teacher=no_teacher,
        no_labels=no_labels,
        soft_without_student=not no_teacher and _same_for_all_students(loss, observation),
        hard_without_gradient=not no_labels and _changes_by_steps(loss, observation),
        interaction=not (random or no_teacher or no_labels) and _interact(loss, observation),
    )


def _same_for_all_students(loss: Loss, observation: Observation) -> bool:
    if observation.by_teacher.gradient.any():
        return False
    another = observe(loss, observation.shape, other_student=1.0)
    return torch.allclose(another.by_teacher.value, observation.by_teacher.value, rtol=1e-6, atol=1e-9)


def _changes_by_steps(loss: Loss, observation: Observation) -> bool:
    """Whether what the labels add is the same for a student close by, and another for one far off."""
    if observation.by_labels.gradient.any():
        return False
    close = observe(loss, observation.shape, other_student=1e-4).by_labels.value
    another = observe(loss, observation.shape, other_student=1.0).by_labels.value
    value = observation.by_labels.value
    return torch.allclose(close, value, atol=1e-12) and not torch.allclose(another, value, atol=1e-12)


def _interact(loss: Loss, observation: Observation) -> bool:
    """Whether a change of teacher and labels together isn't the sum of the two changes."""
    inputs = observation.student, observation.other_teacher, observation.other_labels
    with_both, _ = outputs(loss, *inputs, observation.temperature, observation.alpha)
    excess = observation.output.minus(with_both).minus(observation.by_teacher).minus(observation.by_labels)

    tolerance = 1e-5 * (1 + observation.output.gradient.nan_to_num().abs().max())
    return any(bool((part[part.isfinite()].abs() >= tolerance).any()) for part in excess)
