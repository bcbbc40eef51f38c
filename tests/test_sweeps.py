"""The sweep against its oracle: each student trained alone by `distill`."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from kdtutor import Dataset, Split, cnn, distill, metrics, mlp, predict, sweep
from kdtutor._batched import Stack, stackable
from kdtutor._chunks import chunks, how_many_at_once
from kdtutor._closed_form import Objective
from kdtutor._grid import grid
from kdtutor.fitting import ADAM

SGD = partial(torch.optim.SGD, momentum=0.9)
DOUBLE = torch.float64


def in_double(factory):
    return lambda seed: factory(seed=seed).to(DOUBLE)


def tanh_network(seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 3))


@pytest.fixture
def blob_data(blobs):
    return Dataset("blobs", blobs[:300], blobs[300:450], blobs[450:])


@pytest.fixture
def image_data(images):
    return Dataset("images", images[:96], images[96:150], images[150:])


def teacher_of(data, classes):
    generator = torch.Generator().manual_seed(5)
    splits = {"train": data.train, "validation": data.validation, "test": data.test}
    return {name: 3 * torch.randn(len(split), classes, generator=generator) for name, split in splits.items()}


def alone(factory, row, data, teacher_logits, **options):
    student = factory(row["seed"])
    soft = {"temperature": row["temperature"] or 1.0, "alpha": row["alpha"]}
    options = {"lr": row["lr"], "epochs": row["epochs"]} | options
    distill(student, teacher_logits, data.train, **soft, seed=row["seed"], progress=False, **options)
    return student


def assert_same(student, reference):
    for (name, ours), theirs in zip(student.named_parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-11, msg=lambda text, name=name: f"{name}: {text}")


def assert_each_as_alone(table, factory, data, teacher_logits, **options):
    for row, student in zip(table.rows, table.networks, strict=True):
        reference = alone(factory, row, data, teacher_logits, **options)
        assert_same(student, reference)
        for name in ("validation", "test"):
            split = getattr(data, name)
            logits = predict(reference, split)
            assert row[f"{name}_errors"] == metrics.errors(logits, split.labels)
            assert row[f"{name}_nll"] == pytest.approx(metrics.nll(logits, split.labels), rel=1e-9)
            expected = metrics.calibration_error(logits, split.labels)
            assert row[f"{name}_calibration_error"] == pytest.approx(expected, abs=1e-9)


GRID = {"seeds": [3, 7], "temperature": [1.0, 5.0], "alpha": [0.0, 0.6, 1.0]}


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("optimizer", [ADAM, SGD], ids=["Adam", "SGD"])
def test_step_by_step_students_are_those_trained_alone(blob_data, steps, optimizer):
    factory, data = in_double(partial(mlp, 2, 8, 5, 3)), blob_data
    data = Dataset("short", data.train[: 20 * steps], data.validation, data.test)
    logits = teacher_of(data, 3)["train"]
    options = {"epochs": 1, "batch_size": 20, "optimizer": optimizer}
    table = sweep(factory, data, logits, **GRID, lr=0.03, at_once=100, progress=False, **options)
    assert_each_as_alone(table, factory, data, logits, **options)


@pytest.mark.parametrize("at_once", [2, 3, 7, 100])
@pytest.mark.parametrize(
    "factory", [in_double(partial(mlp, 784, 9, 10)), in_double(partial(cnn, 2, 5))], ids=["mlp", "cnn"]
)
def test_over_epochs_and_in_any_chunks_students_are_those_trained_alone(image_data, factory, at_once):
    logits = teacher_of(image_data, 10)["train"]
    options = {"epochs": 3, "batch_size": 40}  # the last batch is shorter
    table = sweep(factory, image_data, logits, **GRID, lr=[0.002, 0.01], at_once=at_once, progress=False, **options)
    assert len(table.rows) == 2 * (2 * 2 + 1) * 2
    assert_each_as_alone(table, factory, image_data, logits, **options)


@pytest.mark.parametrize("at_once", [1, 3, 5, 16, 100])
@pytest.mark.parametrize("optimizer", [ADAM, SGD], ids=["Adam", "SGD"])
def test_students_of_several_rates_and_lengths_are_those_trained_alone(blob_data, optimizer, at_once):
    """In one stack, which those that are finished leave; the others keep their moments and their order of examples."""
    factory = in_double(partial(mlp, 2, 8, 3))
    logits = teacher_of(blob_data, 3)["train"]
    options = {"batch_size": 70, "optimizer": optimizer}  # the last batch is shorter
    settings = {"seeds": [3, 7], "temperature": [1.0, 5.0], "lr": [0.003, 0.03], "epochs": [4, 1, 2]}
    table = sweep(factory, blob_data, logits, **settings, **options, at_once=at_once, progress=False)
    assert table.axis("epochs") == [1, 2, 4]
    assert len(table.rows) == 2 * 2 * 2 * 3
    assert_each_as_alone(table, factory, blob_data, logits, **options)


def test_an_optimizer_may_make_new_tensors_and_forget_gradients(blob_data, new_tensors):
    factory = in_double(partial(mlp, 2, 8, 3))
    logits = teacher_of(blob_data, 3)["train"]
    options = {"optimizer": new_tensors, "epochs": 2, "batch_size": 70}
    table = sweep(factory, blob_data, logits, seeds=[0, 1], lr=[0.1, 0.3], progress=False, **options)
    assert_each_as_alone(table, factory, blob_data, logits, **options)
    plain = options | {"optimizer": torch.optim.SGD}
    assert_each_as_alone(table, factory, blob_data, logits, **plain)


def test_students_of_all_rates_and_lengths_are_one_stack(blob_data, monkeypatch):
    sizes = []

    class Counted(Objective):
        def gradient(self, logits, targets):
            sizes.append(len(logits))
            return super().gradient(logits, targets)

    monkeypatch.setattr("kdtutor._together.Objective", Counted)
    sweep(
        in_double(partial(mlp, 2, 4, 3)), blob_data, None, alpha=0, seeds=[0, 1], lr=[0.1, 0.2, 0.3], epochs=[1, 2, 4],
        batch_size=300, progress=False,
    )  # fmt: skip
    assert sizes == [18, 12, 6, 6]


def test_other_activations_and_points_of_a_plane(blob_data):
    logits = teacher_of(blob_data, 3)["train"]
    factory = lambda seed: tanh_network(seed).to(DOUBLE)  # noqa: E731
    table = sweep(factory, blob_data, logits, seeds=range(4), epochs=2, progress=False, at_once=4)
    assert_each_as_alone(table, factory, blob_data, logits, epochs=2)


@pytest.mark.parametrize(("precision", "tolerance"), [(torch.float32, 1e-4), (torch.bfloat16, 0.05)])
def test_in_less_precision_students_answer_nearly_as_those_trained_alone(image_data, precision, tolerance):
    """By their logits, relative to how far training moved them. Not by their weights: Adam divides each gradient by
    its own size, so where one is all rounding error, the weight moves by a full step either way."""
    factory = lambda seed: mlp(784, 9, 10, seed=seed).to(precision)  # noqa: E731
    logits = teacher_of(image_data, 10)["train"]
    options = {"epochs": 3, "batch_size": 32, "lr": 0.01}
    table = sweep(factory, image_data, logits, **GRID, **options, progress=False)
    for row, student in zip(table.rows, table.networks, strict=True):
        assert all(weight.dtype == precision for weight in student.parameters())
        reference, untrained = alone(factory, row, image_data, logits, **options), factory(row["seed"])
        ours, theirs, before = (predict(net, image_data.test).double() for net in (student, reference, untrained))
        assert (ours - theirs).norm() < tolerance * (theirs - before).norm()


def test_networks_that_cannot_be_stacked_are_trained_one_by_one(blob_data):
    factory = in_double(partial(mlp, 2, 8, 3, dropout=0.5))
    assert not stackable([factory(0), factory(1)])
    logits = teacher_of(blob_data, 3)["train"]
    table = sweep(factory, blob_data, logits, seeds=[0, 1], epochs=2, at_once=2, progress=False)
    assert_each_as_alone(table, factory, blob_data, logits, epochs=2)


BATCH_NORM = nn.Sequential(nn.Flatten(), nn.Linear(4, 4), nn.BatchNorm1d(4))
SHARED = nn.Linear(4, 4)
FROZEN, HOOKED, WATCHED, TIED = (mlp(4, 3, 3, 3) for _ in range(4))
FROZEN[1].weight.requires_grad_(False)
HOOKED[1].register_forward_hook(lambda *_: None)
WATCHED[1].weight.register_hook(lambda gradient: gradient)
TIED[5].weight = TIED[3].weight


@pytest.mark.parametrize(
    ("network", "can"),
    [
        (mlp(4, 3, 2), True),
        (cnn(2, 4), True),
        (nn.Sequential(nn.Conv2d(1, 2, 3, stride=2, padding="valid", dilation=1), nn.GELU(), nn.Flatten()), True),
        (mlp(4, 3, 2, dropout=0.1), False),
        (cnn(2, 4, dropout=0.1), False),
        (nn.Linear(4, 2), False),
        (nn.Sequential(nn.Linear(4, 2)), False),  # inputs of any shape: not known to be flat
        (nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False)), False),
        (nn.Sequential(nn.Flatten(), nn.Softmax(-1), nn.Linear(4, 2)), False),
        (nn.Sequential(nn.Conv2d(2, 2, 3, groups=2), nn.Flatten()), False),
        (nn.Sequential(nn.Conv2d(1, 2, 3, padding=1, padding_mode="reflect"), nn.Flatten()), False),
        (nn.Sequential(nn.Flatten(), SHARED, nn.ReLU(), SHARED), False),
        (BATCH_NORM, False),
        (FROZEN, False),
        (HOOKED, False),
        (WATCHED, False),
        (TIED, False),
        (nn.utils.parametrizations.weight_norm(nn.Linear(4, 2)), False),
        (nn.Sequential(nn.Flatten(), nn.utils.parametrizations.weight_norm(nn.Linear(4, 2))), False),
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.Linear(4, 4), nn.Flatten()), False),
        (nn.Sequential(nn.Flatten()), False),
    ],
)
def test_what_can_be_stacked_is_known(network, can):
    assert stackable([network]) == can


def test_networks_of_two_shapes_are_not_stacked():
    assert not stackable([mlp(4, 3, 2), mlp(4, 5, 2)])
    assert not stackable([mlp(4, 3, 2), mlp(4, 3, 2).double()])


@pytest.mark.parametrize("groups", [1, 2, 6])
@pytest.mark.parametrize(
    "factory",
    [
        partial(mlp, 784, 5, 4, 3),
        partial(cnn, 3, 5),
        lambda seed: nn.Sequential(
            nn.Conv2d(1, 2, 5, stride=2, dilation=2), nn.SiLU(), nn.MaxPool2d(2, 1), nn.Flatten(), nn.Linear(162, 3)
        ),
    ],
)
def test_a_stack_answers_as_its_networks(images, factory, groups):
    networks = [factory(seed=seed).to(DOUBLE) for seed in range(6)]
    stack = Stack(networks)
    inputs = images.inputs[: 7 * groups].to(DOUBLE).unflatten(0, (7, groups))  # (B, S, 1, 28, 28)
    expected = [network(inputs[:, k * groups // 6]) for k, network in enumerate(networks)]
    torch.testing.assert_close(stack(inputs), torch.stack(expected).transpose(1, 2))


def test_a_diverging_student_is_marked_and_leaves_the_others_alone(blob_data):
    """Student 1 alone gets weights so large that its first losses are infinite."""

    def factory(seed):
        student = mlp(2, 8, 3, seed=seed).to(DOUBLE)
        if seed == 1:
            student[1].weight.data *= 1e200
            student[3].weight.data *= 1e200
        return student

    logits = teacher_of(blob_data, 3)
    for at_once in (1, 6):
        table = sweep(factory, blob_data, logits, seeds=[0, 1, 2], alpha=[0, 0.5], epochs=2, at_once=at_once,
                      progress=False)  # fmt: skip
        assert [row["diverged"] for row in table.rows] == [False, True, False] * 2
        for row, student in zip(table.rows, table.networks, strict=True):
            figures = [value for name, value in row.items() if name.startswith(("validation_", "test_"))]
            assert len(figures) == 8
            assert all(map(math.isnan if row["seed"] == 1 else math.isfinite, figures))
            if row["seed"] != 1:
                assert_same(student, alone(factory, row, blob_data, logits["train"], epochs=2))


def test_a_student_that_diverges_in_the_last_step_is_marked(blob_data):
    logits = teacher_of(blob_data, 3)["train"]
    huge = partial(sweep, in_double(partial(mlp, 2, 8, 3)), blob_data, logits, seeds=[0, 1], lr=1e308, progress=False)
    for at_once in (1, 2):
        table = huge(epochs=1, batch_size=300, at_once=at_once)
        assert [row["diverged"] for row in table.rows] == [True, True]


def test_an_infinite_loss_marks_a_student_whose_weights_stay_finite(blob_data):
    def factory(seed):
        student = mlp(2, 3, seed=seed).to(DOUBLE)
        student[1].weight.data *= 1e300 if seed == 1 else 1
        return student

    logits = teacher_of(blob_data, 3)["train"]
    for at_once in (1, 2):
        table = sweep(factory, blob_data, logits, seeds=[0, 1], alpha=1, temperature=1e10, lr=1e-30, epochs=1,
                      optimizer=SGD, at_once=at_once, progress=False)  # fmt: skip
        assert [row["diverged"] for row in table.rows] == [False, True]
        assert all(weight.isfinite().all() for weight in table.networks[1].parameters())


@pytest.mark.parametrize(("alpha", "label"), [(0, 0), (1, 1)])
def test_an_infinite_term_of_weight_0_is_left_out(alpha, label):
    """The student gives class 1 probability 0. At alpha = 0 that is infinitely far from a teacher that allows class 1,
    at alpha = 1 from the label 1."""

    def factory(seed):
        student = mlp(2, 2, seed=seed).to(DOUBLE)
        student[1].weight.data = torch.tensor([[1e308, 0.0], [-1e308, 0.0]], dtype=DOUBLE)
        return student

    split = Split(torch.ones(20, 2, dtype=DOUBLE), torch.full((20,), label))
    teacher_logits = torch.tensor([[0.0, 0.0 if alpha == 0 else -math.inf]]).repeat(20, 1)
    data = Dataset("ones", split, split, split)
    for at_once in (1, 2):
        table = sweep(factory, data, teacher_logits, seeds=[0, 1], alpha=alpha, epochs=2, optimizer=SGD,
                      at_once=at_once, progress=False)  # fmt: skip
        assert [row["diverged"] for row in table.rows] == [False, False]
        for student in table.networks:
            assert student[1].weight.isfinite().all()


def test_agreement_is_measured_where_the_teachers_logits_are_known(blob_data):
    factory, logits = partial(mlp, 2, 8, 3), teacher_of(blob_data, 3)
    run = partial(sweep, lambda seed: factory(seed=seed).to(DOUBLE), blob_data, seeds=[0, 1], epochs=1, progress=False)
    only_train, two, every = run(logits["train"]), run({"train": logits["train"], "test": logits["test"]}), run(logits)
    assert not any("agreement" in name for name in only_train.rows[0])
    assert "test_agreement" in two.rows[0]
    assert "validation_agreement" not in two.rows[0]
    for row, student in zip(every.rows, every.networks, strict=True):
        for name in ("validation", "test"):
            expected = metrics.agreement(predict(student, getattr(blob_data, name)), logits[name].double())
            assert row[f"{name}_agreement"] == expected


def test_a_teacher_is_asked_for_all_three_splits(blob_data):
    teacher = mlp(2, 8, 3, seed=9).to(DOUBLE)
    splits = {"train": blob_data.train, "validation": blob_data.validation, "test": blob_data.test}
    run = partial(sweep, in_double(partial(mlp, 2, 4, 3)), blob_data, seeds=[0, 1], epochs=1, progress=False)
    by_logits = run({name: predict(teacher, split) for name, split in splits.items()})
    assert run(teacher).rows == by_logits.rows


def test_students_alone_need_no_teacher(blob_data):
    factory = in_double(partial(mlp, 2, 4, 3))
    table = sweep(factory, blob_data, None, seeds=[0, 1], alpha=0, temperature=[1, 2], epochs=1, progress=False)
    assert [(row["temperature"], row["alpha"]) for row in table.rows] == [(None, 0.0)] * 2
    assert_each_as_alone(table, factory, blob_data, torch.zeros(300, 3), epochs=1)


def test_rows_stand_by_epochs_then_rate_then_alpha_then_temperature_then_seed():
    rows = grid([4, 2], [5.0, 1.0], [0.5, 0.0, 1.0], [0.1, 0.2], [3, 1])
    keys = [(row["epochs"], row["lr"], row["alpha"], row["temperature"], row["seed"]) for row in rows]
    soft = [(0.0, None), (0.5, 5.0), (0.5, 1.0), (1.0, 5.0), (1.0, 1.0)]
    assert keys == [(n, lr, a, t, seed) for n in (3, 1) for lr in (0.1, 0.2) for a, t in soft for seed in (4, 2)]


@pytest.mark.parametrize("at_once", [1, 2, 3, 5, 8, 12, 100])
def test_chunks_hold_each_row_once_and_the_same_settings_for_each_seed(at_once):
    rows = grid(range(5), [1.0, 2.0], [0.5], [0.1, 0.2], [1, 3])
    places = chunks(rows, at_once)
    assert sorted(place for chunk in places for place in chunk) == list(range(len(rows)))
    for chunk in places:
        assert 1 <= len(chunk) <= at_once
        picked = [rows[place] for place in chunk]
        seeds = list(dict.fromkeys(row["seed"] for row in picked))
        share = len(chunk) // len(seeds)
        settings = [(row["temperature"], row["lr"], row["epochs"]) for row in picked]
        assert settings == settings[:share] * len(seeds)
        assert [row["seed"] for row in picked] == [seed for seed in seeds for _ in range(share)]


CPU = torch.device("cpu")


def test_small_students_are_stacked_up_to_the_cache_and_large_ones_and_convolutions_are_not(images):
    count = partial(how_many_at_once, data=Dataset("images", images, images, images), batch_size=64, device=CPU)
    assert count(mlp(784, 30, 10)) == 2_000_000 // 23_860
    assert count(mlp(784, 800, 800, 10)) == 1
    assert count(cnn(4, 8)) == 1
    assert count(mlp(784, 30, 10, dropout=0.1)) == 1


def test_a_stack_stays_within_its_memory():
    points = Split(torch.zeros(5000, 2), torch.zeros(5000, dtype=torch.int64))
    data, student = Dataset("points", points, points[:70], points[:30]), mlp(2, 500, 3)
    values = 2 + 2 + 500 + 500 + 3  # inputs, flattened, hidden, rectified, logits
    expected = 2**29 // (4 * (4 * 3003 + 3 * 5000 * values + 2 * 3 * 100))
    assert how_many_at_once(student, data, 5000, CPU) == expected < 2_000_000 // 3003


def test_ctrl_c_keeps_the_students_that_are_finished(blob_data):

    def factory(seed):
        if seed == 2:
            raise KeyboardInterrupt
        return mlp(2, 4, 3, seed=seed).to(DOUBLE)

    logits = teacher_of(blob_data, 3)["train"]
    table = sweep(factory, blob_data, logits, seeds=[0, 1, 2], alpha=[0, 0.5], epochs=1, at_once=1, progress=False)
    assert table.interrupted
    assert [(row["seed"], row["alpha"]) for row in table.rows] == [(0, 0.0), (1, 0.0), (0, 0.5), (1, 0.5)]
    assert all("test_errors" in row for row in table.rows)
    assert repr(table).endswith("interrupted")


def test_ctrl_c_within_a_student_does_not_count_it_as_finished(blob_data):
    logits, steps = teacher_of(blob_data, 3)["train"], []

    class Interrupted(torch.optim.SGD):
        def step(self):
            steps.append(1)
            if len(steps) == 4:
                raise KeyboardInterrupt
            super().step()

    stacked = in_double(partial(mlp, 2, 4, 3))
    dropout = in_double(partial(mlp, 2, 4, 3, dropout=0.1))  # one by one, whatever at_once says
    cases = ((stacked, 1, 3, [0]), (stacked, 2, 5, []), (dropout, 2, 3, [0]))
    for factory, at_once, epochs, finished in cases:  # within the second student, or within both
        steps.clear()
        options = {"epochs": epochs, "batch_size": 300, "optimizer": Interrupted, "at_once": at_once}
        table = sweep(factory, blob_data, logits, seeds=[0, 1], progress=False, **options)
        assert table.interrupted
        assert [row["seed"] for row in table.rows] == finished


@pytest.mark.parametrize(
    "values", [torch.tensor([0.25, 0.5]), np.array([0.25, 0.5]), torch.tensor(0.25), np.array(0.25)]
)
def test_settings_may_come_in_a_tensor(blob_data, values):
    logits = teacher_of(blob_data, 3)["train"]
    table = sweep(lambda seed: mlp(2, 3, seed=seed), blob_data, logits, seeds=[0], lr=values, epochs=1, progress=False)
    assert table.axis("lr") == values.reshape(-1).tolist()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seeds": []}, r"seeds must hold at least one value, and none twice, got \[\]"),
        ({"seeds": [1, 1]}, r"seeds must hold at least one value, and none twice, got \[1, 1\]"),
        ({"seeds": 5}, r"seeds must be several seeds, such as range\(5\), got 5"),
        ({"temperature": None}, "temperature must be a number or several, got None"),
        ({"seeds": [0.5]}, "seed must be a whole number, got 0.5"),
        ({"temperature": [4, 0]}, "temperature must be a finite number > 0, got 0"),
        ({"alpha": [0.5, 2]}, "alpha must be a number from 0 to 1, got 2"),
        ({"alpha": []}, r"alpha must hold at least one value, and none twice, got \[\]"),
        ({"lr": -1}, "lr must be a finite number > 0, got -1"),
        ({"epochs": 0}, "epochs must be a whole number >= 1, got 0"),
        ({"epochs": [1, 2.0]}, r"epochs must be a whole number >= 1, got 2\.0"),
        ({"epochs": [2, 2]}, r"epochs must hold at least one value, and none twice, got \[2, 2\]"),
        ({"batch_size": 0}, "batch_size must be a whole number >= 1, got 0"),
        ({"at_once": 0}, "at_once must be a whole number >= 1, got 0"),
    ],
)
def test_bad_settings_are_refused(blob_data, options, message):
    logits = teacher_of(blob_data, 3)["train"]
    with pytest.raises((ValueError, TypeError), match=message):
        sweep(in_double(partial(mlp, 2, 4, 3)), blob_data, logits, **{"seeds": [0], "progress": False} | options)


@pytest.mark.parametrize(
    ("logits", "message"),
    [
        (torch.zeros(299, 3), r"teacher's logits must be \(300, 3\) for train, .* got \(299, 3\)"),
        (torch.zeros(300, 4), r"teacher's logits must be \(300, 3\) for train, .* got \(300, 4\)"),
        (torch.zeros(300, 3, dtype=torch.int64), "teacher must be a floating-point tensor"),
        (None, "teacher must be given unless alpha is 0, got None"),
        (torch.full((300, 3), math.nan), r"teacher's logits must not hold NaN or \+inf, and those for train do"),
        ({"test": torch.zeros(150, 3)}, r"teacher must have logits for 'train', .* got \['test'\]"),
        ({"train": torch.zeros(300, 3), "all": torch.zeros(300, 3)}, r"got \['train', 'all'\]"),
        ({"train": torch.zeros(300, 3), "test": torch.zeros(300, 3)}, r"must be \(150, 3\) for test"),
    ],
)
def test_bad_logits_are_refused(blob_data, logits, message):
    with pytest.raises((ValueError, TypeError), match=message):
        sweep(in_double(partial(mlp, 2, 4, 3)), blob_data, logits, seeds=[0], progress=False)


def test_bad_data_and_factories_are_refused(blobs, blob_data):
    logits = teacher_of(blob_data, 3)["train"]
    with pytest.raises(TypeError, match=r"data must be a Dataset \(train, validation, test\), got Split"):
        sweep(in_double(partial(mlp, 2, 4, 3)), blobs, logits, progress=False)
    student = mlp(2, 4, 3).to(DOUBLE)
    for factory, message in (
        (student, r"student_factory must be a function that makes a network from a seed, got Sequential"),
        (lambda seed: None, r"student_factory must return an nn\.Module, got NoneType"),
        (lambda seed: student, "student_factory must build a new network each time, got one module twice"),
        (lambda seed: mlp(2, 4, 3), "student_factory must draw the weights from the seed, got two networks for seed 0"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            sweep(factory, blob_data, logits, progress=False)


def test_numpy_numbers_and_iterators_are_plain_numbers_in_the_table(blob_data):
    logits, factory = teacher_of(blob_data, 3)["train"], in_double(partial(mlp, 2, 4, 3))
    run = partial(sweep, factory, blob_data, logits, progress=False)
    lengths = np.array([1])
    table = run(
        seeds=np.arange(2),
        temperature=iter([np.float32(2), 4]),
        alpha=np.float64(0.5),
        lr=np.array([0.1]),
        epochs=lengths,
    )
    plain = run(seeds=[0, 1], temperature=[2, 4], alpha=0.5, lr=0.1, epochs=1)
    assert table.rows == plain.rows
    assert {type(row[name]) for row in table.rows for name in ("temperature", "alpha", "lr")} == {float}
    assert {type(row[name]) for row in table.rows for name in ("seed", "epochs")} == {int}


def test_the_global_random_state_is_left_alone(blob_data):
    logits = teacher_of(blob_data, 3)["train"]
    before = torch.get_rng_state()
    for at_once in (1, 4):
        sweep(
            in_double(partial(mlp, 2, 4, 3)), blob_data, logits, seeds=[0, 1], epochs=1, at_once=at_once, progress=False
        )
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("at_once", [1, None])
def test_the_progress_bar_counts_epochs_of_students(blob_data, capsys, at_once):
    logits = teacher_of(blob_data, 3)["train"]
    run = partial(sweep, in_double(partial(mlp, 2, 4, 3)), blob_data, logits, seeds=[0, 1], epochs=[1, 3])
    run(at_once=at_once)
    assert "8/8" in capsys.readouterr().err
    run(progress=False)
    assert capsys.readouterr() == ("", "")


@pytest.mark.gpu
def test_the_gpu_gives_the_same_students(image_data):
    logits = teacher_of(image_data, 10)["train"]
    for factory in (in_double(partial(mlp, 784, 9, 10)), in_double(partial(cnn, 2, 5))):
        table = sweep(factory, image_data, logits, **GRID, epochs=2, progress=False, device="cuda")
        for row, student in zip(table.rows, table.networks, strict=True):
            reference = alone(factory, row, image_data, logits, epochs=2, device="cpu")
            for ours, theirs in zip(student.parameters(), reference.parameters(), strict=True):
                assert ours.device.type == "cpu"
                torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-9)


def test_a_table_gives_students_logits_and_mistakes_by_settings_in_the_order_of_the_seeds(blob_data):
    factory, teacher = in_double(partial(mlp, 2, 4, 3)), teacher_of(blob_data, 3)
    for at_once in (1, 4):
        table = sweep(
            factory, blob_data, teacher, seeds=[5, 2], alpha=[0, 0.5], epochs=1, at_once=at_once, progress=False
        )
        for alpha in (0, 0.5):
            places = [place for place, row in enumerate(table.rows) if row["alpha"] == alpha]
            students = table.students(alpha=alpha)
            assert [id(student) for student in students] == [id(table.networks[place]) for place in places]
            for split in ("validation", "test"):
                examples = blob_data.splits()[split]
                expected = torch.stack([predict(student, examples) for student in students])
                torch.testing.assert_close(table.logits(split, alpha=alpha), expected)
                wrong = table.wrong(split, alpha=alpha)
                assert wrong.dtype == torch.bool
                assert wrong.shape == (2, len(examples))
                counts = (10_000 * wrong.double().mean(1)).tolist()
                assert counts == pytest.approx(table.values(f"{split}_errors", alpha=alpha))
        with pytest.raises(ValueError, match="settings must say which"):
            table.wrong("test")
        with pytest.raises(ValueError, match="settings must be those of some student"):
            table.students(alpha=0.7)
        with pytest.raises(ValueError, match="split must be one of validation, test, got 'train'"):
            table.wrong("train", alpha=0)


AGAIN = mlp(2, 4, 3, seed=9)


@pytest.mark.parametrize(
    ("later", "error", "message"),
    [
        (AGAIN, ValueError, r"must build a new network each time, got one module twice"),
        (None, TypeError, r"must return an nn\.Module, got NoneType"),
    ],
    ids=["repeats a network", "makes none"],
)
def test_a_factory_that_goes_wrong_after_the_first_seed_is_refused(blob_data, later, error, message):
    def factory(seed):
        return mlp(2, 4, 3, seed=0) if seed == 0 else later

    with pytest.raises(error, match=message):
        sweep(factory, blob_data, None, alpha=0, seeds=range(4), epochs=1, progress=False)


@pytest.mark.parametrize("at_once", [1, 2])
def test_of_students_that_diverged_no_mistakes_are_told(blob_data, at_once):
    options = {"alpha": 0, "seeds": [0, 1], "epochs": 3, "progress": False, "at_once": at_once}
    table = sweep(lambda seed: mlp(2, 4, 3, seed=seed), blob_data, None, lr=1e30, optimizer=torch.optim.SGD, **options)
    assert all(row["diverged"] for row in table.rows)
    with pytest.raises(ValueError, match=r"students that didn't diverge, got \{'alpha': 0\}: seeds \[0, 1\]"):
        table.wrong("test", alpha=0)


def test_a_students_logits_are_its_own(blob_data):
    table = sweep(
        lambda seed: mlp(2, 4, 3, seed=seed), blob_data, None, alpha=0, seeds=range(3), epochs=1, progress=False
    )
    stored = table.held_out_logits[0]["test"]
    assert stored.untyped_storage().nbytes() == stored.numel() * stored.element_size()
