"""`diagnose` on losses as libraries and projects write them: what is right isn't called wrong, what is wrong isn't
given a clean bill, and what can't be told is said not to be."""

# ruff: noqa: N803 (T is the temperature, as in the papers)

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


def kl(student, teacher, T, reduction="batchmean"):
    return F.kl_div((student / T).log_softmax(-1), (teacher / T).softmax(-1), reduction=reduction)


def class_weights(logits):
    return torch.linspace(0.5, 2.0, logits.shape[-1], dtype=logits.dtype)


def test_class_weights_are_seen_and_the_rest_is_judged():
    def right(s, t, labels, T=4.0):
        return 0.9 * T**2 * kl(s, t, T) + 0.1 * F.cross_entropy(s, labels, weight=class_weights(s))

    def wrong(s, t, labels, T=4.0, alpha=0.9):
        return alpha * kl(s, t, T, "mean") + (1 - alpha) * F.cross_entropy(s, labels, weight=class_weights(s))

    diagnosis = diagnose(right)
    assert diagnosis.verdict == "No known mistake."
    assert "class_weights" in named(diagnosis.notes)
    assert diagnosis.formula == "0.9 · T² · KL(p_t^T ‖ p_s^T) + 0.1 · class-weighted CE(y, p_s)"
    assert named(diagnose(wrong).mistakes) == {"reduction_mean", "t2_missing"}


def test_weights_that_are_not_explained_get_no_clean_bill():
    def by_margin(s, t, labels, T):
        weight = 1 + (t[:, 0] - t[:, 1]).sigmoid()
        return T**2 * (weight * kl(s, t, T, "none").sum(-1)).mean() + F.cross_entropy(s, labels)

    def without_labels(s, t, T):
        return T**2 * (t.std(-1) * kl(s, t, T, "none").sum(-1)).mean()

    assert diagnose(by_margin).verdict.startswith("I can't tell whether its weights are right: ")
    diagnosis = diagnose(without_labels)
    assert diagnosis.doubt
    assert "CE" not in diagnosis.formula


def test_another_method_is_a_note_unless_hintons_loss_is_meant():
    def reverse(student_logits, teacher_logits):
        log_s, log_t = student_logits.log_softmax(-1), teacher_logits.log_softmax(-1)
        return (log_s.exp() * (log_s - log_t)).sum(-1).mean()

    diagnosis = diagnose(reverse)
    assert diagnosis.verdict == "No known mistake, if reverse_kl is meant."
    assert diagnose(reverse, meant=["reverse_kl"]).verdict == "No known mistake."
    assert named(diagnose(reverse, strict=True).mistakes) == {"reverse_kl"}


def test_equal_weights_over_accumulation_steps_are_no_missing_square():
    def loss(s, t, labels):
        return (4 * kl(s, t, 2.0) + F.cross_entropy(s, labels)) / 5

    assert not diagnose(loss).mistakes


def test_arguments_are_bound_by_their_meaning():
    def two_temperatures(student_scores, teacher_scores, student_temperature=1.0, teacher_temperature=1.0):
        log_s, p_t = (
            (student_scores / student_temperature).log_softmax(-1),
            (teacher_scores / teacher_temperature).softmax(-1),
        )
        return F.kl_div(log_s, p_t, reduction="batchmean") * student_temperature * teacher_temperature

    def ids(student_logits, teacher_logits, label_ids, temperature):
        return 0.5 * temperature**2 * kl(student_logits, teacher_logits, temperature) + 0.5 * F.cross_entropy(
            student_logits, label_ids
        )

    def masked(student_logits, teacher_logits, loss_mask, temperature):
        each = kl(student_logits, teacher_logits, temperature, "none").sum(-1)
        return (each * loss_mask).sum() / loss_mask.sum() * temperature**2

    def indexed(student_logits, teacher_logits, attention_mask, T):
        return kl(student_logits[attention_mask], teacher_logits[attention_mask], T) * T**2

    def weighed(student, teacher, labels, T, beta):
        return T**2 * kl(student, teacher, T) + beta * F.cross_entropy(student, labels)

    for loss in (two_temperatures, ids, masked, indexed, weighed):
        assert diagnose(loss).verdict == "No known mistake.", loss.__name__


def test_an_object_of_settings_holds_temperature_and_alpha():
    def loss(outputs, labels, teacher_outputs, params):
        soft = kl(outputs, teacher_outputs, params.temperature, "mean") * params.temperature**2
        return params.alpha * soft + (1 - params.alpha) * F.cross_entropy(outputs, labels)

    diagnosis = diagnose(loss)
    assert named(diagnosis.mistakes) == {"reduction_mean"}
    assert diagnosis.formula == "alpha · T² · 1/C · KL(p_t^T ‖ p_s^T) + (1 - alpha) · CE(y, p_s)"


def test_what_cannot_be_bound_says_how_to_give_an_adapter():
    def loss(student_logits, teacher_logits, student_hidden, teacher_hidden):
        return kl(student_logits, teacher_logits, 1.0) + F.mse_loss(student_hidden, teacher_hidden)

    with pytest.raises(ValueError, match=r"student_hidden and teacher_hidden isn't understood; zeros.*adapter"):
        diagnose(loss)
