"""All that is found out about a loss, before any of it is judged."""

from dataclasses import dataclass

from kdtutor.diagnosis.loss.decomposition import Decomposition, decompose
from kdtutor.diagnosis.loss.edges import Edges, look_at_edges
from kdtutor.diagnosis.loss.factors import explain_factors
from kdtutor.diagnosis.loss.observation import Observation, observe_first
from kdtutor.diagnosis.loss.signature import Loss
from kdtutor.diagnosis.loss.symptoms import Symptoms, look_for_symptoms


@dataclass(frozen=True)
class Analysis:
    """A loss, and what each pass of `analyse` found."""

    loss: Loss
    observation: Observation
    symptoms: Symptoms
    decomposition: Decomposition
    edges: Edges
    exchanged: bool = False  # whether it was analysed with student and teacher exchanged: only so it makes sense

    @property
    def swapped(self) -> bool:
        """Whether student and teacher are in each other's place: as they were exchanged, or as the soft term is one
        from student to teacher that trains the teacher instead of the student."""
        soft = self.decomposition.soft
        trains_teacher = soft and soft.form.reverse and not soft.trains and self.symptoms.teacher_gradient
        return self.exchanged or bool(trains_teacher)

    @property
    def trains_teacher_instead(self) -> bool:
        """Whether what the teacher changes, or what the labels change, gives the student no gradient, as it should."""
        untrained = self.symptoms.teacher_gradient and not self.observation.by_teacher.gradient.any()
        by_labels = self.observation.by_labels
        hard_elsewhere = by_labels.value.any() and not by_labels.gradient.any()
        return bool(untrained or (hard_elsewhere and not self.symptoms.hard_without_gradient))


def analyse(loss: Loss) -> Analysis:
    """Observe a loss, take it apart, explain and verify the factors of its terms, and look at its edges.

    Raises ValueError where the loss fails on all the shapes that are tried.
    """
    loss, shapes, observation = observe_first(loss)
    symptoms = look_for_symptoms(loss, observation)
    decomposition = decompose(loss, observation, symptoms)
    edges = Edges()
    if not decomposition.why and decomposition.row_weights is None:
        decomposition = explain_factors(loss, shapes, observation, decomposition)
        if not decomposition.why:
            edges = look_at_edges(loss, observation, decomposition)
    return Analysis(loss, observation, symptoms, decomposition, edges)
