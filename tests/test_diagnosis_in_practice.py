"""`diagnose` on losses as libraries and projects write them: what is right isn't called wrong, what is wrong isn't
given a clean bill, and what can't be told is said not to be."""

import pytest
import torch
import torch.nn.functional as F

from kdtutor.diagnosis import diagnose


def named(findings):
    return {finding.name for finding in findings}


def pairwise(logits):
    return torch.cdist(logits, logits) + 1e-9


def relational_distances(teacher, student):
    with torch.no_grad():
        of_teacher = pairwise(teacher) / pairwise(teacher).mean()
    return F.smooth_l1_loss(pairwise(student) / pairwise(student).mean(), of_teacher)


def similarity_of_examples(student, teacher):
    similar = [F.normalize(logits @ logits.T, dim=1) for logits in (student, teacher.detach())]
    return (similar[0] - similar[1]).square().mean()


def similarity_beside_labels(student, teacher, labels):
    return F.cross_entropy(student, labels) + 0.1 * similarity_of_examples(student, teacher)


def squared_features(student, teacher):
    return F.mse_loss(student.square(), teacher.detach().square())


def both_directions(student, teacher, share=0.5):
    """KL in both directions, the forward one up to the teacher's entropy; the teacher isn't detached."""
    log_s, log_t = student.log_softmax(-1), teacher.log_softmax(-1)
    forward = -(log_t.exp() * log_s).sum(-1).mean()
    reverse = (log_s.exp() * (log_s - log_t)).sum(-1).mean()
    return share * forward + (1 - share) * reverse


@pytest.mark.parametrize(
    "loss",
    [relational_distances, similarity_of_examples, similarity_beside_labels, squared_features, both_directions],
)
def test_a_loss_that_trains_the_student_is_not_called_swapped(loss):
    assert not named(diagnose(loss).mistakes) & {"student_teacher_swapped", "teacher_with_itself"}
