"""The metrics against loops by hand and cases whose answer is known."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from kdtutor import metrics

properties = settings(deadline=None, max_examples=50)


@st.composite
def answers(draw):
    """Logits (N, C) in float64 and labels (N,)."""
    count, classes, seed = draw(st.integers(1, 60)), draw(st.integers(1, 6)), draw(st.integers(0, 10**6))
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(count, classes, generator=generator, dtype=torch.float64)
    return logits, torch.randint(classes, (count,), generator=generator)


def rows(logits, labels):
    return list(zip(logits.tolist(), labels.tolist(), strict=True))


def softmax(row):
    return [math.exp(z) / sum(map(math.exp, row)) for z in row]


@properties
@given(answers())
def test_errors_are_wrong_answers_per_10000(answers):
    wrong = [row.index(max(row)) != label for row, label in rows(*answers)]
    assert metrics.wrong(*answers).tolist() == wrong
    assert metrics.errors(*answers) == 10_000 * sum(wrong) / len(wrong)


def test_the_first_of_tied_classes_is_the_answer():
    assert metrics.wrong(torch.tensor([[1.0, 3.0, 3.0], [0.0, 0.0, 0.0]]), torch.tensor([1, 2])).tolist() == [
        False,
        True,
    ]


@properties
@given(answers())
def test_nll_is_the_mean_of_minus_log_p(answers):
    by_hand = sum(-math.log(softmax(row)[label]) for row, label in rows(*answers)) / len(answers[1])
    assert metrics.nll(*answers) == pytest.approx(by_hand, abs=1e-12)


@properties
@given(answers(), st.integers(1, 20))
def test_calibration_error_is_the_weighted_gap_of_each_bin(answers, bins):
    examples = [(max(row), row.index(max(row)) == label) for row, label in rows(answers[0].softmax(-1), answers[1])]
    expected = 0.0
    for i in range(bins):
        inside = [(p, right) for p, right in examples if i < p * bins <= i + 1]
        if inside:
            confidence, accuracy = (sum(column) / len(inside) for column in zip(*inside, strict=True))
            expected += len(inside) / len(examples) * abs(accuracy - confidence)
    assert metrics.calibration_error(*answers, bins=bins) == pytest.approx(expected, abs=1e-12)


def test_calibration_error_of_extremes():
    sure = 50 * torch.eye(10)
    assert metrics.calibration_error(sure, torch.arange(10)) == pytest.approx(0, abs=1e-6)
    assert metrics.calibration_error(sure, torch.arange(10).roll(1)) == pytest.approx(1)
    assert metrics.calibration_error(torch.zeros(10, 10), torch.arange(10)) == pytest.approx(0, abs=1e-6)


def test_labels_drawn_from_the_answers_themselves_are_calibrated():
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(20_000, 10, generator=generator)
    labels = logits.softmax(-1).multinomial(1, generator=generator).squeeze(1)
    assert metrics.calibration_error(logits, labels) < 0.02
    assert metrics.calibration_error(4 * logits, labels) > 0.2  # overconfident
    assert metrics.calibration_error(logits / 4, labels) > 0.2  # underconfident


def test_agreement_is_the_share_of_equal_answers():
    student = torch.tensor([[3.0, 1.0], [0.0, 1.0], [2.0, 5.0], [9.0, 8.0]])
    teacher = torch.tensor([[1.0, 0.0], [5.0, 1.0], [0.0, 0.1], [7.0, 0.0]])
    assert metrics.agreement(student, teacher) == 0.75
    assert metrics.agreement(student, -student) == 0
    assert metrics.agreement(student, 2 * student + 1) == 1


@properties
@given(answers())
def test_entropy_as_torch_has_it_in_nats(answers):
    logits, _ = answers
    nats = torch.distributions.Categorical(logits=logits).entropy()
    torch.testing.assert_close(metrics.entropy(logits.softmax(-1)), nats / math.log(2))


@pytest.mark.parametrize(
    ("probabilities", "bits"),
    [([1, 0, 0], 0), ([0.5, 0.5, 0], 1), ([0.125] * 8, 3), ([[0.5, 0.5], [0, 1]], [1, 0]), ([1], 0)],
)
def test_entropy_in_bits(probabilities, bits):
    torch.testing.assert_close(metrics.entropy(torch.tensor(probabilities).float()), torch.tensor(bits).float())


# Output biases


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("classes", "bias"), [([3], 2.5), ([7, 0], -0.75), (range(10), 1.0), ([1], 0)])
def test_a_bias_is_added_to_its_classes_alone_and_the_input_stays(dtype, classes, bias):
    logits = torch.randn(20, 10, generator=torch.Generator().manual_seed(0)).to(dtype)
    before = logits.clone()
    moved = metrics.with_bias(logits, classes, bias)
    for column in range(10):
        assert torch.equal(moved[:, column], before[:, column] + bias * (column in classes))
    assert torch.equal(logits, before)
    assert moved.dtype == dtype


def test_a_bias_is_one_of_the_networks_last_layer():
    layer, inputs = nn.Linear(5, 4), torch.randn(30, 5)
    with torch.no_grad():
        before = layer(inputs)
        layer.bias[[1, 2]] += 1.5
        torch.testing.assert_close(metrics.with_bias(before, [1, 2], 1.5), layer(inputs))


@pytest.mark.parametrize(("classes", "taken"), [([3], 4.0), ([7, 8], -3.0), ([0], 0.5)])
def test_the_best_bias_undoes_one_that_was_taken_from_the_last_layer(classes, taken):
    layer, inputs = nn.Linear(20, 10), torch.randn(3_000, 20, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        nn.init.normal_(layer.weight, generator=torch.Generator().manual_seed(1))
        labels = layer(inputs).argmax(-1)
        layer.bias[classes] -= taken
        logits = layer(inputs)
    assert metrics.errors(logits, labels) > 50
    bias = metrics.best_bias(logits, labels, classes, torch.arange(-6, 6, 0.125))
    assert bias == pytest.approx(taken, abs=0.125)
    assert metrics.errors(metrics.with_bias(logits, classes, bias), labels) < 10


@pytest.mark.parametrize(
    ("biases", "middle"),
    [
        ([0, 1, 2, 3, 4, 5, 6, 7, 8], {4}),  # 2 to 6 leave no error
        ([8, 7, 6, 5, 4, 3, 2, 1, 0], {4}),
        ([0, 2, 3, 4, 5, 8], {3, 4}),
        ([0, 6, 7], {6}),
        ([1], {1}),
        ([7, 8, 9], {8}),  # none is good, and all are equally bad
    ],
)
def test_of_several_best_biases_it_is_the_middle_one(biases, middle):
    """Class 0 needs more than 1.5 to win where it should, and less than 6.5 to lose where it should."""
    logits, labels = torch.tensor([[0.0, 1.5], [0.0, 6.5]]), torch.tensor([0, 1])
    assert metrics.best_bias(logits, labels, [0], torch.tensor(biases).float()) in middle
    assert metrics.best_bias(-logits, 1 - labels, [0], -torch.tensor(biases).float()) in {-bias for bias in middle}


@properties
@given(answers(), st.lists(st.integers(-12, 12), min_size=1, max_size=9, unique=True), st.data())
def test_the_best_bias_leaves_the_fewest_errors_of_all_with_as_many_such_below_as_above(answers, biases, data):
    logits, labels = answers[0].float(), answers[1]
    classes = data.draw(st.lists(st.integers(0, logits.shape[1] - 1), min_size=1, unique=True))
    wrong = {}
    for bias in biases:
        moved = torch.stack([column + bias * (i in classes) for i, column in enumerate(logits.T)], dim=1)
        wrong[bias] = sum(row.index(max(row)) != label for row, label in rows(moved, labels))
    best = metrics.best_bias(logits, labels, classes, torch.tensor(biases).float())
    fewest = [bias for bias in biases if wrong[bias] == min(wrong.values())]
    assert best in fewest
    assert abs(sum(bias < best for bias in fewest) - sum(bias > best for bias in fewest)) <= 1


# Temperature scaling


def drawn_at(temperature, count=20_000):
    """Logits whose labels were drawn from softmax(logits / temperature)."""
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(count, 10, generator=generator)
    return logits, (logits / temperature).softmax(-1).multinomial(1, generator=generator).squeeze(1)


@pytest.mark.parametrize("temperature", [0.3, 1, 2.5, 8])
def test_the_best_temperature_is_the_one_that_labels_were_drawn_at(temperature):
    logits, labels = drawn_at(temperature)
    best = metrics.best_temperature(logits, labels)
    assert best == pytest.approx(temperature, rel=0.05)
    assert metrics.calibration_error(logits / best, labels) < 0.02


@properties
@given(answers())
def test_no_other_temperature_has_a_lower_nll(answers):
    logits, labels = answers
    lowest = metrics.nll(logits / metrics.best_temperature(logits, labels), labels)
    for temperature in (0.06, 0.3, 0.9, 1, 1.1, 3, 19):
        assert lowest <= metrics.nll(logits / temperature, labels) + 1e-4
    assert lowest <= metrics.nll(logits, labels) + 1e-9


@pytest.mark.parametrize(("sign", "bound"), [(1, 0.05), (-1, 20)])
def test_the_best_temperature_of_all_right_or_all_wrong_answers_is_a_bound(sign, bound):
    best = metrics.best_temperature(sign * torch.eye(10), torch.arange(10))
    assert best == pytest.approx(bound, rel=1e-3)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_logits_that_are_not_finite_have_no_best_temperature(bad):
    logits = torch.eye(10)
    logits[0, 0] = bad
    with pytest.raises(ValueError, match="logits must hold neither NaN nor"):
        metrics.best_temperature(logits, torch.arange(10))


def test_a_class_that_is_masked_has_no_part_in_the_best_temperature():
    logits, labels = drawn_at(2.0)
    masked = torch.cat([logits, torch.full_like(logits[:, :1], -math.inf)], dim=1)
    assert metrics.best_temperature(masked, labels) == pytest.approx(metrics.best_temperature(logits, labels))


def modes(model):
    return [module.training for module in model.modules()]


def test_latency_asks_in_eval_mode_without_gradients(frozen):
    calls = []
    frozen.register_forward_hook(lambda model, inputs, output: calls.append((modes(model), output.requires_grad)))
    assert 0 < metrics.latency(frozen, torch.zeros(2, 3), repeats=5) < 1
    assert len(calls) >= 5
    assert all(call == ([False] * 4, False) for call in calls)


def test_latency_hands_every_module_back_in_its_mode(frozen):
    before = modes(frozen)
    metrics.latency(frozen, torch.zeros(2, 3), repeats=1)
    assert modes(frozen) == before


def test_latency_hands_the_model_back_even_if_it_fails(frozen):
    before = modes(frozen)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        metrics.latency(frozen, torch.zeros(2, 5))
    assert modes(frozen) == before


Z = torch.zeros(2, 3)


def best_bias(logits, labels):
    return metrics.best_bias(logits, labels, [0], torch.tensor([0.0, 1.0]))


@pytest.mark.parametrize(
    "metric", [metrics.errors, metrics.wrong, metrics.nll, metrics.calibration_error, metrics.best_temperature]
)
@pytest.mark.parametrize(
    ("logits", "labels", "error", "message"),
    [
        (Z.long(), torch.tensor([0, 1]), TypeError, "logits must be a floating-point tensor .* got dtype torch.int64$"),
        (Z, torch.tensor([0.0, 1.0]), TypeError, r"class indices \(int64\), got dtype torch.float32$"),
        (Z, torch.tensor([0, 3]), ValueError, r"labels must lie in 0\.\.2 for 3 classes, got 3$"),
        (Z, torch.tensor([0, -1]), ValueError, r"labels must lie in 0\.\.2 for 3 classes, got -1$"),
        (Z, torch.tensor([0]), ValueError, r"labels must have shape \(2,\), one per row of logits, got \(1,\)$"),
        (Z[:0], torch.tensor([]).long(), ValueError, r"logits must hold at least one row .* got shape \(0, 3\)$"),
    ],
)
def test_bad_logits_and_labels_are_refused(metric, logits, labels, error, message):
    with pytest.raises(error, match=message):
        metric(logits, labels)


@pytest.mark.parametrize("metric", [metrics.errors, metrics.nll, metrics.calibration_error])
def test_sequences_are_refused_rather_than_miscounted(metric):
    with pytest.raises(ValueError, match=r"\(N, C\), got .*\(2, 5, 3\)"):
        metric(torch.zeros(2, 5, 3), torch.zeros(2, 5).long())


def test_int32_labels_count_like_int64():
    labels = torch.tensor([0, 2])
    for metric in (metrics.errors, metrics.nll, metrics.calibration_error):
        assert metric(Z, labels.int()) == metric(Z, labels)


def test_other_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"one shape \(\.\.\., classes\), got \(2, 3\) and \(1, 3\)$"):
        metrics.agreement(Z, Z[:1])
    with pytest.raises(ValueError, match=r"bins must be a whole number >= 1, got 0$"):
        metrics.calibration_error(Z, torch.tensor([0, 1]), bins=0)
    with pytest.raises(ValueError, match=r"repeats must be a whole number >= 1, got 0$"):
        metrics.latency(nn.Identity(), Z, repeats=0)


@pytest.mark.parametrize(
    ("probabilities", "came"),
    [
        ([[0.5, 0.6], [0.5, 0.5]], "a smallest value 0.5 and sums from 1 to 1.1$"),
        ([[1.5, -0.5]], "a smallest value -0.5 and sums from 1 to 1$"),
        ([[math.nan, 1.0]], "a smallest value nan and sums from nan to nan$"),
    ],
)
def test_entropy_of_what_is_no_distribution_is_refused(probabilities, came):
    with pytest.raises(ValueError, match=f"probabilities must be >= 0 and sum to 1 along the last axis, got {came}"):
        metrics.entropy(torch.tensor(probabilities))
