"""The losses against torch's own functions, loops by hand, and the formulas of the papers."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from kdtutor import DistillationLoss, distillation_loss, kl_divergence, soft_cross_entropy, soften
from kdtutor.losses import cross_entropy

INF, NAN = math.inf, math.nan
DIVERGENCES = (kl_divergence, soft_cross_entropy)
TEMPERATURES = st.floats(0.2, 50)


def normal(*shape, seed=0, dtype=torch.float64):
    return 3 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def gradient(loss, logits):
    """The gradient of loss(logits) in the logits."""
    logits = logits.clone().requires_grad_()
    return torch.autograd.grad(loss(logits), logits)[0]


@st.composite
def batches(draw):
    """Logits of a student and a teacher (B, C) and labels (B,)."""
    batch, classes, seed = draw(st.integers(1, 5)), draw(st.integers(2, 6)), draw(st.integers(0, 10**6))
    labels = torch.randint(classes, (batch,), generator=torch.Generator().manual_seed(seed))
    return normal(batch, classes, seed=seed), normal(batch, classes, seed=seed + 1), labels


properties = settings(deadline=None, max_examples=50)


@properties
@given(batches(), TEMPERATURES)
def test_soften_is_softmax_of_the_scaled_logits(batch, temperature):
    logits, _, _ = batch
    powers = (logits / temperature).exp()
    assert_close(soften(logits, temperature), powers / powers.sum(-1, keepdim=True))


def test_at_low_temperature_the_largest_logits_share_everything():
    logits = torch.tensor([[1.0, 2.0, 0.0], [3.0, 3.0, 1.0], [5.0, 5.0, 5.0]])
    assert_close(soften(logits, 1e-3), torch.tensor([[0, 1, 0], [1 / 2, 1 / 2, 0], [1 / 3, 1 / 3, 1 / 3]]))


def test_at_high_temperature_every_class_gets_the_same():
    assert_close(soften(normal(4, 10), 1e9), torch.full((4, 10), 0.1, dtype=torch.float64), rtol=1e-7, atol=0)


@pytest.mark.parametrize("temperature", [1e2, 1e3, 1e4])
def test_high_temperature_to_first_order(temperature):
    logits = normal(4, 10)
    step = (logits - logits.mean(-1, keepdim=True)) / temperature
    gap = soften(logits, temperature) - (1 + step) / 10
    assert gap.abs().max() < step.abs().max() ** 2  # what is left is of second order


@properties
@given(batches(), TEMPERATURES)
def test_kl_is_never_negative_and_zero_only_for_equals(batch, temperature):
    student, teacher, _ = batch
    assert kl_divergence(student, teacher, temperature) > 1e-12
    assert abs(kl_divergence(teacher, teacher, temperature)) < 1e-15


@properties
@given(batches(), TEMPERATURES, st.floats(-100, 100))
def test_only_differences_between_logits_count(batch, temperature, constant):
    student, teacher, _ = batch
    for divergence in DIVERGENCES:
        expected = divergence(student, teacher, temperature)
        assert_close(divergence(student + constant, teacher, temperature), expected, rtol=1e-9, atol=1e-12)
        assert_close(divergence(student, teacher + constant, temperature), expected, rtol=1e-9, atol=1e-12)


@properties
@given(batches(), st.randoms(use_true_random=False))
def test_the_order_of_classes_does_not_matter(batch, random):
    student, teacher, labels = batch
    order = random.sample(range(student.shape[1]), student.shape[1])
    renamed = torch.tensor(order).argsort()[labels]
    assert_close(
        distillation_loss(student[:, order], teacher[:, order], renamed), distillation_loss(student, teacher, labels)
    )


@properties
@given(batches(), TEMPERATURES)
def test_kl_as_torch_has_it_in_batchmean(batch, temperature):
    student, teacher, _ = batch
    logs, target = (student / temperature).log_softmax(-1), (teacher / temperature).softmax(-1)
    assert_close(kl_divergence(student, teacher, temperature), F.kl_div(logs, target, reduction="batchmean"))


def test_kl_and_soft_cross_entropy_by_hand():
    student, teacher = normal(3, 4, seed=0), normal(3, 4, seed=1)
    kl = soft = 0.0
    for z_s, z_t in zip((student / 2.5).tolist(), (teacher / 2.5).tolist(), strict=True):
        q, p = ([math.exp(x) / sum(map(math.exp, z)) for x in z] for z in (z_s, z_t))
        kl += sum(pc * math.log(pc / qc) for pc, qc in zip(p, q, strict=True)) / 3
        soft -= sum(pc * math.log(qc) for pc, qc in zip(p, q, strict=True)) / 3
    assert kl_divergence(student, teacher, 2.5).item() == pytest.approx(kl, rel=1e-12)
    assert soft_cross_entropy(student, teacher, 2.5).item() == pytest.approx(soft, rel=1e-12)


@properties
@given(batches(), TEMPERATURES)
def test_soft_cross_entropy_is_kl_plus_the_teachers_entropy(batch, temperature):
    student, teacher, _ = batch
    entropy = torch.distributions.Categorical(logits=teacher / temperature).entropy().mean()
    kl, soft = (divergence(student, teacher, temperature) for divergence in DIVERGENCES)
    assert_close(soft - kl, entropy)
    kl, soft = (gradient(lambda z, f=f: f(z, teacher, temperature), student) for f in DIVERGENCES)
    assert_close(soft, kl)


@properties
@given(batches(), TEMPERATURES)
def test_gradient_of_the_soft_term_in_closed_form(batch, temperature):
    student, teacher, labels = batch
    q, p = (student / temperature).softmax(-1), (teacher / temperature).softmax(-1)
    soft = gradient(lambda z: distillation_loss(z, teacher, labels, temperature=temperature, alpha=1), student)
    assert_close(soft, temperature * (q - p) / len(labels))


def test_at_high_temperature_distillation_matches_logits():
    student, teacher = (z - z.mean(-1, keepdim=True) for z in (normal(4, 10, seed=0), normal(4, 10, seed=1)))
    soft = gradient(lambda z: distillation_loss(z, teacher, None, temperature=1e5, alpha=1), student)
    assert_close(soft, (student - teacher) / (10 * 4), rtol=0, atol=1e-4)


@properties
@given(batches(), TEMPERATURES, st.floats(0, 1))
def test_distillation_loss_is_the_weighted_sum(batch, temperature, alpha):
    student, teacher, labels = batch
    logs, target = (student / temperature).log_softmax(-1), (teacher / temperature).softmax(-1)
    soft, hard = F.kl_div(logs, target, reduction="batchmean"), F.cross_entropy(student, labels)
    expected = alpha * temperature**2 * soft + (1 - alpha) * hard
    assert_close(distillation_loss(student, teacher, labels, temperature=temperature, alpha=alpha), expected)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_ends_of_alpha(temperature):
    student, teacher, labels = normal(6, 4, seed=0), normal(6, 4, seed=1), torch.tensor([3, 0, 1, 2, 2, 0])
    hard = distillation_loss(student, teacher, labels, temperature=temperature, alpha=0)
    soft = distillation_loss(student, teacher, None, temperature=temperature, alpha=1)
    assert hard == F.cross_entropy(student, labels)
    assert soft == temperature**2 * kl_divergence(student, teacher, temperature)
    assert soft == distillation_loss(student, teacher, labels, temperature=temperature, alpha=1)


def test_a_term_of_weight_zero_is_ignored_even_where_it_is_infinite():
    student, label, never = torch.tensor([[1.0, 2.0, -INF]]), torch.tensor([0]), torch.tensor([2])
    assert distillation_loss(student, torch.zeros(1, 3), label, alpha=0) == F.cross_entropy(student, label)
    soft = distillation_loss(torch.tensor([[1.0, 2.0]]), torch.tensor([[2.0, 1.0]]), None, alpha=1)
    assert distillation_loss(student, torch.tensor([[2.0, 1.0, -INF]]), never, alpha=1) == soft


def test_only_the_student_gets_a_gradient_and_it_is_right():
    student, teacher, labels = normal(3, 4, seed=0), normal(3, 4, seed=1), torch.tensor([1, 3, 0])
    student.requires_grad_()
    teacher.requires_grad_()
    distillation_loss(student, teacher, labels).backward()
    assert teacher.grad is None
    assert torch.autograd.gradcheck(lambda z: distillation_loss(z, teacher, labels, temperature=3, alpha=0.6), student)


def test_a_sequence_is_a_batch_of_its_positions():
    student, teacher = normal(2, 3, 4, seed=0), normal(2, 3, 4, seed=1)
    labels = torch.tensor([[0, 3, 1], [2, 2, 0]])
    flat = student.flatten(0, 1), teacher.flatten(0, 1)  # (B * L, C)
    for divergence in DIVERGENCES:
        assert_close(divergence(student, teacher, 2), divergence(*flat, 2))
    assert_close(distillation_loss(student, teacher, labels), distillation_loss(*flat, labels.flatten()))
    assert_close(cross_entropy(student, labels), F.cross_entropy(flat[0], labels.flatten()))


def test_one_row_of_logits_is_a_batch_of_one():
    student, teacher, label = normal(4, seed=0), normal(4, seed=1), torch.tensor(2)
    assert_close(
        distillation_loss(student, teacher, label), distillation_loss(student[None], teacher[None], label[None])
    )


@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_far_logits_underflow_nowhere_in_float32(divergence):
    student, teacher = torch.tensor([[200.0, -200.0, 0.0]]), torch.tensor([[-200.0, 200.0, 0.0]])
    assert_close(divergence(student, teacher), divergence(student.double(), teacher.double()).float())
    assert_close(gradient(lambda z: divergence(z, teacher), student), torch.tensor([[1.0, -1.0, 0.0]]))


@pytest.mark.parametrize("divergence", DIVERGENCES)
@pytest.mark.parametrize("masked", [200.0, -INF], ids=["by the teacher", "by both"])
def test_a_class_that_the_teacher_masks_adds_nothing(divergence, masked):
    student, teacher = torch.tensor([[1.0, 2.0, -200.0]]), torch.tensor([[2.0, 1.0, -INF]])
    if masked == -INF:
        student[0, 2] = -INF
    assert_close(divergence(student, teacher, 2), divergence(student[:, :2], teacher[:, :2], 2))
    assert_close(
        gradient(lambda z: divergence(z, teacher, 2), student)[:, :2],
        gradient(lambda z: divergence(z, teacher[:, :2], 2), student[:, :2]),
    )


def test_the_module_is_the_function():
    student, teacher, labels = normal(6, 4, seed=0), normal(6, 4, seed=1), torch.tensor([3, 0, 1, 2, 2, 0])
    module = DistillationLoss(temperature=3, alpha=0.25)
    assert module(student, teacher, labels) == distillation_loss(student, teacher, labels, temperature=3, alpha=0.25)
    assert DistillationLoss()(student, teacher, labels) == distillation_loss(student, teacher, labels)
    assert DistillationLoss(alpha=1)(student, teacher) == distillation_loss(student, teacher, None, alpha=1)
    assert repr(module) == "DistillationLoss(0.25 * 3² * KL + 0.75 * CE)"
    assert not list(module.parameters())


Z, LABELS = torch.zeros(2, 3), torch.tensor([0, 2])


@pytest.mark.parametrize("temperature", [0, -2, NAN, INF, "4", None])
def test_bad_temperatures_are_refused(temperature):
    message = f"temperature must be a finite number > 0, got {temperature!r}$"
    for call in (
        lambda: soften(Z, temperature),
        lambda: kl_divergence(Z, Z, temperature),
        lambda: soft_cross_entropy(Z, Z, temperature),
        lambda: distillation_loss(Z, Z, LABELS, temperature=temperature),
        lambda: DistillationLoss(temperature),
    ):
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.parametrize("alpha", [-0.1, 1.1, NAN, "0.5", None])
def test_bad_alphas_are_refused(alpha):
    message = f"alpha must be a number from 0 to 1, got {alpha!r}$"
    with pytest.raises(ValueError, match=message):
        distillation_loss(Z, Z, LABELS, alpha=alpha)
    with pytest.raises(ValueError, match=message):
        DistillationLoss(alpha=alpha)


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        (torch.tensor([0, 3]), ValueError, r"labels must lie in 0\.\.2 for 3 classes, got 3$"),
        (torch.tensor([-1, 0]), ValueError, r"labels must lie in 0\.\.2 for 3 classes, got -1$"),
        (torch.tensor([0.0, 1.0]), TypeError, r"class indices \(int64\), got dtype torch.float32$"),
        ([0, 1], TypeError, r"class indices \(int64\), got list$"),
        (torch.tensor([0, 1, 2]), ValueError, r"shape \(2,\), one per row of logits, got \(3,\)$"),
        (F.one_hot(LABELS), ValueError, r"shape \(2,\), one per row of logits, got \(2, 3\)$"),
        (None, ValueError, r"labels must be given unless alpha is 1, got None with alpha 0\.9$"),
    ],
)
def test_bad_labels_are_refused(labels, error, message):
    with pytest.raises(error, match=message):
        distillation_loss(Z, Z, labels)


@pytest.mark.parametrize("loss", [*DIVERGENCES, lambda s, t: distillation_loss(s, t, LABELS)])
@pytest.mark.parametrize(
    ("student", "teacher", "error", "message"),
    [
        (Z, Z[:1], ValueError, r"one shape \(\.\.\., classes\), got \(2, 3\) and \(1, 3\)$"),
        (Z, torch.zeros(2, 4), ValueError, r"one shape \(\.\.\., classes\), got \(2, 3\) and \(2, 4\)$"),
        (Z.long(), Z, TypeError, "student_logits must be a floating-point tensor .* got dtype torch.int64$"),
        (Z, Z.long(), TypeError, "teacher_logits must be a floating-point tensor .* got dtype torch.int64$"),
        (Z, Z.numpy(), TypeError, "teacher_logits must be a floating-point tensor .* got ndarray$"),
        (Z[:0], Z[:0], ValueError, r"student_logits must hold at least one row .* got shape \(0, 3\)$"),
        (Z[:, :0], Z[:, :0], ValueError, r"student_logits must hold at least one row .* got shape \(2, 0\)$"),
        (Z[0, 0], Z[0, 0], ValueError, r"student_logits must hold at least one row .* got shape \(\)$"),
    ],
)
def test_bad_logits_are_refused(loss, student, teacher, error, message):
    with pytest.raises(error, match=message):
        loss(student, teacher)
