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


def standardise(logits):
    return (logits - logits.mean(-1, keepdim=True)) / (1e-7 + logits.std(-1, keepdim=True))


def of_z_scores(s, t, labels, T=2.0):
    return 9 * T**2 * kl(standardise(s), standardise(t), T) + 0.1 * F.cross_entropy(s, labels)


def with_focal_loss(s, t, labels, T=4.0):
    each = F.cross_entropy(s, labels, reduction="none")
    return 0.5 * T**2 * kl(s, t, T) + 0.5 * ((1 - (-each).exp()) ** 2 * each).mean()


def with_epsilon(s, t, T=4.0):
    p, q = (t / T).softmax(-1), (s / T).softmax(-1)
    return (p * ((p + 1e-5) / (q + 1e-5)).log()).sum(-1).mean() * T**2


def sharp_teacher(student_output, teacher_output):
    return -((teacher_output / 0.04).softmax(-1) * (student_output / 0.1).log_softmax(-1)).sum(-1).mean()


def cooler_jensen_shannon(s, t):
    p, q = (s / 0.9).softmax(-1), (t / 0.9).softmax(-1)
    m = (p + q) / 2
    return 0.5 * (p * (p / m).log() + q * (q / m).log()).sum(-1).mean()


def exchanged_mixture(s, t, beta=0.2):
    p, q = s.softmax(-1), t.softmax(-1)
    m = beta * p + (1 - beta) * q
    return (beta * q * (q / m).log() + (1 - beta) * p * (p / m).log()).sum(-1).mean()


@pytest.mark.parametrize(
    ("loss", "formula"),
    [
        (of_z_scores, "9 · T² · KL(p_t^T of z-scores ‖ p_s^T of z-scores) + 0.1 · CE(y, p_s)"),
        (with_focal_loss, "0.5 · T² · KL(p_t^T ‖ p_s^T) + 0.5 · focal(y, p_s; gamma = 2)"),
        (with_epsilon, "T² · KL(p_t^T + 1e-05 ‖ p_s^T + 1e-05)"),
        (sharp_teacher, "H(p_t^(0.04), p_s^0.1)"),
        (cooler_jensen_shannon, "JSD(p_t^0.9, p_s^0.9; beta = 0.5)"),
        (exchanged_mixture, "0.2 KL(p_t ‖ m) + 0.8 KL(p_s ‖ m), m = 0.8 p_t + 0.2 p_s"),
        (both_directions, "(0.5 H(p_t, p_s) + 0.5 KL(p_s ‖ p_t))"),
        (lambda s, t: both_directions(s, t, 0.7), "(0.7 H(p_t, p_s) + 0.3 KL(p_s ‖ p_t))"),
    ],
)
def test_methods_that_are_right_are_recognised(loss, formula):
    diagnosis = diagnose(loss)
    assert diagnosis.formula == formula
    assert not named(diagnosis.mistakes) - {"underflow"}


def test_a_mixture_that_jumps_at_its_ends_gets_a_note():
    def loss(s, t, beta):
        log_s, log_t = s.log_softmax(-1), t.log_softmax(-1)
        if beta in (0, 1):
            return F.kl_div(log_s, log_t, reduction="batchmean", log_target=True)
        m = (beta * log_t.exp() + (1 - beta) * log_s.exp()).log()
        parts = [F.kl_div(m, side, reduction="batchmean", log_target=True) for side in (log_t, log_s)]
        return beta * parts[0] + (1 - beta) * parts[1]

    assert "mixture_jumps" in named(diagnose(loss).notes)


def test_a_division_by_the_shape_is_asked_about_on_sequences_too():
    def loss(s, t, T=2.0):
        return kl(s, t, T, "sum") * T**2 / (s.size(0) * s.size(1))

    assert diagnose(loss).verdict == "No known mistake on logits (B, L, C); on (B, C) it is reduction_mean."
    assert named(diagnose(lambda s, t, T: T**2 * kl(s, t, T, "mean")).mistakes) == {"reduction_mean"}


def test_padding_that_is_distilled_and_nan_without_tokens_are_mistakes():
    def over_padding(s, t, labels, T=2.0, alpha=0.5):
        s, t = s.flatten(0, -2), t.flatten(0, -2)
        return alpha * T**2 * kl(s, t, T) + (1 - alpha) * F.cross_entropy(s, labels.flatten(), ignore_index=-100)

    def masked(s, t, labels, T=2.0):
        s, t, keep = s.flatten(0, -2), t.flatten(0, -2), labels.flatten() != -100
        return 0.5 * T**2 * kl(s[keep], t[keep], T) + 0.5 * F.cross_entropy(s, labels.flatten())

    def soft_alone(s, t, labels):
        keep = labels != -100
        return (kl(s, t, 1.0, "none").sum(-1) * keep).sum() / keep.sum()

    def soft_alone_clamped(s, t, labels):
        keep = labels != -100
        return (kl(s, t, 1.0, "none").sum(-1) * keep).sum() / keep.sum().clamp(min=1)

    assert named(diagnose(over_padding).mistakes) == {"soft_on_padding"}
    assert named(diagnose(soft_alone).mistakes) == {"nan_without_tokens"}
    assert not diagnose(masked).mistakes
    assert not diagnose(soft_alone_clamped).mistakes


def test_a_loss_of_pixels_is_asked_about_pixels():
    def loss(s, t, labels, T=2.0, alpha=0.5):
        batch, _, height, width = s.shape
        each = F.kl_div((s / T).log_softmax(1), (t / T).softmax(1), reduction="none").sum() / (batch * height * width)
        return alpha * T**2 * each + (1 - alpha) * F.cross_entropy(s, labels)

    diagnosis = diagnose(loss)
    assert diagnosis.verdict == "No known mistake."
    assert diagnosis.formula == "alpha · T² · KL(p_t^T ‖ p_s^T) + (1 - alpha) · CE(y, p_s)"


def test_a_loss_of_seven_classes_alone_is_asked_about_seven():
    weight = torch.tensor([1.0, 2.0, 0.5, 1.0, 3.0, 1.0, 1.0])

    def loss(s, t, labels, T=4.0):
        hard = F.cross_entropy(s, labels, weight=weight.to(s.dtype))
        return 0.9 * T**2 * kl(s, t, T) + 0.1 * hard

    assert diagnose(loss).verdict == "No known mistake."
