"""check_run: each mistake is made on purpose and has to be found by its name alone; what is right has to pass."""

import copy
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from kdtutor import Split, distillation_loss, evaluate, jitter, mlp, predict, train
from kdtutor.data import label_noise
from kdtutor.diagnosis import check_run
from kdtutor.diagnosis.setup.models import preserve_state
from kdtutor.diagnosis.setup.teacher import usual_scalings
from kdtutor.models import Ensemble

ADAM = torch.optim.Adam


@pytest.fixture(scope="module")
def digits(drawn):
    return drawn(2000, 10, 1200)


@pytest.fixture(scope="module")
def trained(digits):
    """Teachers, learnt once: with dropout, with batch norm, with neither, and one that learnt little."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        norm = nn.Sequential(nn.Flatten(), nn.Linear(784, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 10))
    teachers = {"dropout": mlp(784, 64, 10, dropout=0.3, seed=0), "norm": norm, "plain": mlp(784, 32, 10, seed=0)}
    for teacher in teachers.values():
        train(teacher, digits.train, epochs=8, batch_size=64, progress=False)
    teachers["poor"] = mlp(784, 8, 10, seed=1)
    train(teachers["poor"], digits.train[:100], epochs=2, batch_size=20, lr=0.01, progress=False)
    for teacher in teachers.values():
        teacher.zero_grad(set_to_none=True)
        teacher.eval()
    return teachers


@pytest.fixture
def setup(digits, trained):
    """A right set-up, as arguments by name; each test spoils a part."""

    def make(teacher="dropout", **changes):
        teacher = copy.deepcopy(trained[teacher]) if isinstance(teacher, str) else teacher
        student = mlp(784, 16, 10, dropout=0.1, seed=1)
        arguments = {"teacher": teacher.requires_grad_(False), "student": student, "data": digits.test}
        return SimpleNamespace(**{**arguments, **changes})

    return make


def check(setup, **more):
    return check_run(**vars(setup), **more)


def names(report):
    return [mistake.name for mistake in report.mistakes]


def noted(report):
    return [note.name for note in report.notes]


def float_batches(split, function=lambda x: x, size=100):
    inputs = function(split.inputs.float() / 255)
    return list(zip(inputs.split(size), split.labels.split(size), strict=True))


# What is right passes


@pytest.mark.parametrize("teacher", ["dropout", "norm", "plain", "poor"])
def test_a_right_setup_passes(setup, teacher):
    given = setup(teacher)
    report = check(given, optimizer=ADAM(given.student.parameters()), loss=distillation_loss, evaluate=evaluate)
    assert names(report) == []
    assert set(noted(report)) <= {"poor_teacher"}
    assert report.not_checked == ()
    assert repr(report).startswith("No known mistake found in what could be checked.") or report.notes


def test_what_was_not_given_is_not_claimed(setup):
    report = check(setup())
    unseen = " ".join(report.not_checked)
    assert "no optimizer" in unseen
    assert "no loss" in unseen
    assert "no evaluate" in unseen
    assert "Not checked: " in repr(report)
    assert not any("optimizer" in line or "evaluation" in line for line in report.checked)


def test_an_ensemble_a_shuffled_loader_and_noisy_labels_pass(setup, trained, digits):
    noisy = label_noise(digits.test, 0.4, seed=0)
    loader = DataLoader(TensorDataset(noisy.inputs.float() / 255, noisy.labels), batch_size=64, shuffle=True)
    ensemble = Ensemble(copy.deepcopy(trained["plain"]), copy.deepcopy(trained["norm"])).eval()
    assert names(check(setup(ensemble, data=loader))) == []


def test_the_sample_is_not_the_one_that_others_draw(setup, digits):
    """label_noise and check_run both take rows of a random permutation."""
    noisy = label_noise(digits.test, 0.75, seed=0)
    assert names(check(setup(data=noisy), examples=300)) == []


def test_points_of_the_plane_in_float64_pass(blobs):
    teacher, student = (mlp(2, 8, 3, seed=seed).double() for seed in range(2))
    train(teacher, blobs, batch_size=32, lr=0.02, progress=False)
    assert names(check_run(teacher, student, blobs, evaluate=evaluate, loss=distillation_loss)) == []


def test_random_teachers_that_were_trained_on_little_are_not_called_untrained(digits):
    for seed in range(5):
        teacher = mlp(784, 8, 10, seed=seed)
        train(teacher, digits.train[:60], epochs=4, batch_size=20, lr=5e-3, progress=False)
        assert evaluate(teacher, digits.test)[1] > 4000
        report = check_run(teacher.eval(), mlp(784, 10, seed=9), digits.test)
        assert names(report) == [], seed


# Modes


@pytest.mark.parametrize("teacher", ["dropout", "norm"])
def test_a_teacher_in_train_mode(setup, teacher):
    given = setup(teacher)
    given.teacher.train()
    assert names(check(given)) == ["teacher_in_train_mode"]


def test_one_batch_norm_in_train_mode_is_enough(setup):
    given = setup("norm")
    given.teacher[2].train()
    assert names(check(given)) == ["teacher_in_train_mode"]


class Observer(nn.Module):
    """Changes its statistics in train mode, and not that answer."""

    def __init__(self, model):
        super().__init__()
        self.model = model
        self.register_buffer("largest", torch.tensor(0.0))

    def forward(self, inputs):
        logits = self.model(inputs)
        if self.training:
            self.largest = logits.detach().max()
        return logits


def test_a_mode_that_changes_statistics_alone(setup, trained):
    given = setup(Observer(copy.deepcopy(trained["plain"])))
    assert names(check(given)) == ["teacher_in_train_mode"]
    assert given.teacher.largest == 0
    given.teacher.eval()
    assert names(check(given)) == []


def test_a_mode_that_changes_nothing_is_a_note(setup):
    given = setup("plain")
    given.teacher.train()
    report = check(given)
    assert names(report) == []
    assert noted(report) == ["teacher_in_train_mode"]


def test_with_cached_logits_the_teachers_mode_is_a_note_and_a_step_gets_them(setup):
    given = setup()
    cached = predict(given.teacher, given.data)
    given.teacher.train()

    def step(inputs, labels, teacher_logits):
        return distillation_loss(given.student(inputs), teacher_logits, labels)

    report = check(given, teacher_logits=cached, step=step)
    assert names(report) == []
    assert noted(report) == ["teacher_in_train_mode"]
    assert "the run uses cached ones" in report.notes[0].what


class Wrapper(nn.Module):
    """A student that holds its teacher."""

    def __init__(self, student, teacher, keeps=False):
        super().__init__()
        self.student, self.teacher, self.keeps = student, teacher, keeps

    def train(self, mode=True):
        super().train(mode)
        if self.keeps:
            self.teacher.eval()
        return self

    def forward(self, inputs):
        return self.student(inputs)


@pytest.mark.parametrize("where", ["student", "modules"])
@pytest.mark.parametrize("keeps", [True, False])
def test_a_wrapper_whose_train_flips_the_teacher(setup, where, keeps):
    given = setup()
    wrapper = Wrapper(given.student, given.teacher, keeps)
    given.teacher.eval()
    changes = {"student": wrapper} if where == "student" else {"modules": [wrapper]}
    report = check_run(**{**vars(given), **changes}, optimizer=ADAM(given.student.parameters()))
    assert names(report) == ([] if keeps else ["teacher_flipped_by_train"])
    wrapper.train()
    report = check_run(**{**vars(given), **changes})
    assert names(report) == ([] if keeps else ["teacher_flipped_by_train"]), "the cause, and not its consequence"


def test_a_student_in_eval_mode(setup):
    given = setup()
    given.student.eval()
    assert names(check(given)) == ["student_in_eval_mode"]
    given.student = mlp(784, 16, 10, seed=0).eval()
    report = check(given)
    assert (names(report), noted(report)) == ([], ["student_in_eval_mode"])


def test_a_student_with_frozen_batch_norm_is_a_note(setup, trained):
    given = setup(student=copy.deepcopy(trained["norm"]).requires_grad_(True).train())
    given.student[2].eval()
    report = check(given)
    assert (names(report), noted(report)) == ([], ["student_partly_in_eval_mode"])


# Weights and the optimizer


def test_shared_weights(setup):
    given = setup()
    given.teacher.requires_grad_(True)
    given.student = copy.deepcopy(given.teacher).train()
    assert "shared_weights" not in names(check(given)), "a copy is a student of its own"
    given.student[1].weight = given.teacher[1].weight
    report = check(given, optimizer=ADAM(given.student.parameters()))
    assert names(report) == ["shared_weights"]
    given.teacher[1].requires_grad_(False)
    assert names(check(given)) == [], "what is frozen may be shared"
    given.student[1].weight = nn.Parameter(given.teacher[1].weight.data)
    assert names(check(given)) == ["shared_weights"], "two parameters, the same numbers"


def test_a_backbone_of_the_teachers(setup):
    given = setup("norm")
    given.student = nn.Sequential(*given.teacher[:3], nn.ReLU(), nn.Linear(32, 10)).train()
    given.teacher.eval()
    given.student[3:].train()
    report = check(given)
    assert names(report) == ["teacher_flipped_by_train"], "frozen, but batch norm isn't"
    given.student[:3].requires_grad_(True)
    assert names(check(given)) == ["shared_weights"]


def test_a_model_that_teaches_itself(setup):
    given = setup("plain")
    given.student = given.teacher.requires_grad_(True).train()
    assert names(check(given, optimizer=ADAM(given.student.parameters()))) == ["shared_weights"]


def test_the_teacher_in_the_optimizer(setup):
    given = setup()
    both = [*given.student.parameters(), *given.teacher.parameters()]
    assert names(check(given, optimizer=ADAM(both))) == [], "a frozen teacher stays as it is"
    given.teacher.requires_grad_(True)
    assert names(check(given, optimizer=ADAM(both))) == ["teacher_in_optimizer"]


def test_a_wrapper_whose_parameters_went_to_the_optimizer(setup):
    given = setup("plain")
    wrapper = Wrapper(given.student, given.teacher.requires_grad_(True), keeps=True)
    report = check(given, modules=[wrapper], optimizer=ADAM(wrapper.parameters()))
    assert names(report) == ["teacher_in_optimizer"]


def test_a_projection_outside_of_the_optimizer(setup):
    given, projection = setup(), nn.Linear(16, 64)
    optimizer = ADAM(given.student.parameters())
    assert names(check(given, modules=[projection], optimizer=optimizer)) == ["projection_not_in_optimizer"]
    assert names(check(given, modules=projection, optimizer=[optimizer, ADAM(projection.parameters())])) == []
    optimizer.add_param_group({"params": projection.parameters(), "lr": 1e-4})
    assert names(check(given, modules=[projection], optimizer=optimizer)) == []


def test_a_student_outside_of_the_optimizer(setup):
    given = setup()
    report = check(given, optimizer=ADAM(mlp(784, 16, 10, seed=1).parameters()))
    assert names(report) == ["student_not_in_optimizer"]
    assert names(check(given, optimizer=ADAM(given.student[:3].parameters()))) == ["student_not_in_optimizer"]
    given.student[-1].requires_grad_(False)
    report = check(given, optimizer=ADAM(given.student[:3].parameters()))
    assert (names(report), noted(report)) == ([], ["student_partly_frozen"])


def test_a_frozen_student(setup):
    given = setup()
    given.student.requires_grad_(False)
    assert names(check(given)) == ["student_frozen"]


# Gradients


def loss_of(given, careful):
    def step(inputs, labels):
        with torch.set_grad_enabled(not careful):
            teacher_logits = given.teacher(inputs)
        log_p, target = given.student(inputs).log_softmax(-1), teacher_logits.softmax(-1)
        return F.kl_div(log_p, target, reduction="batchmean")

    return step


def test_a_teacher_that_receives_gradients(setup):
    given = setup()
    given.teacher.requires_grad_(True)
    assert names(check(given, step=loss_of(given, careful=False))) == ["teacher_receives_gradients"]
    report = check(given, step=loss_of(given, careful=True))
    assert (names(report), noted(report)) == ([], [])
    given.teacher.requires_grad_(False)
    assert names(check(given, step=loss_of(given, careful=False))) == []


def test_what_a_loss_alone_says_of_gradients(setup):
    given = setup()
    given.teacher.requires_grad_(True)
    assert noted(check(given)) == ["teacher_may_receive_gradients"]
    assert noted(check(given, loss=lambda s, t, y: (s - t).square().mean())) == ["teacher_may_receive_gradients"]
    assert noted(check(given, loss=distillation_loss)) == [], "it detaches the teacher's logits"
    loss_of(given, careful=False)(given.data.inputs[:9] / 255, None).backward()
    (note,) = check(given).notes
    assert "hold gradients" in note.what


def test_a_student_that_receives_none(setup):
    given = setup()

    def step(inputs, labels):
        given.student(inputs)
        return F.kl_div(given.teacher(inputs).log_softmax(-1), given.teacher(inputs).softmax(-1), reduction="batchmean")

    assert names(check(given, step=step)) == ["student_receives_no_gradients"]
    with pytest.raises(TypeError, match="step must return the loss"):
        check(given, step=lambda inputs, labels: 0.5)


# Cached logits


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_cached_logits_of_the_right_images_pass(setup, dtype):
    given = setup()
    cached = predict(given.teacher, given.data)
    assert names(check(given, teacher_logits=cached.to(dtype))) == []
    assert names(check(given, teacher_logits=cached + torch.randn(len(cached), 1))) == [], "softmax doesn't see it"
    assert names(check(given, teacher_logits=cached, examples=500)) == []


@pytest.mark.parametrize("share", [1.0, 0.3])
@pytest.mark.parametrize("examples", [2000, 400])
def test_shuffled_cached_logits(setup, share, examples):
    given = setup()
    cached = predict(given.teacher, given.data)
    generator = torch.Generator().manual_seed(3)
    rows = torch.randperm(len(cached), generator=generator)[: int(share * len(cached))]
    cached[rows] = cached[rows[torch.randperm(len(rows), generator=generator)]]
    report = check(given, teacher_logits=cached, examples=examples)
    assert names(report) == ["cached_logits_shuffled"]


def test_few_shuffled_rows_are_not_told_from_others(setup):
    given = setup()
    report = check(given, teacher_logits=predict(given.teacher, given.data).roll(1, dims=0), examples=40)
    assert names(report) == ["cached_logits_differ"]
    assert "rows of other examples" in report.mistakes[0].what


def test_cached_logits_with_a_loader_that_shuffles(setup):
    given = setup()
    cached = predict(given.teacher, given.data)
    inputs = given.data.inputs.float() / 255
    labels = given.data.labels
    for shuffle in (False, True):
        given.data = DataLoader(TensorDataset(inputs, labels), 100, shuffle=shuffle)
        expected = ["cached_logits_shuffled"] if shuffle else []
        assert names(check(given, teacher_logits=cached)) == expected
    given.data = DataLoader(TensorDataset(inputs, labels, cached), 100, shuffle=True)
    assert names(check(given)) == []


def test_cached_logits_with_fresh_augmentation(setup):
    given = setup()
    cached = predict(given.teacher, given.data)
    assert names(check(given, teacher_logits=cached, transform=jitter)) == ["cached_logits_augmented"]
    report = check(given, teacher_logits=cached, transform=jitter, teacher_transform=lambda x: x)
    assert names(report) == ["cached_logits_augmented"]
    assert names(check(given, transform=jitter)) == [], "a teacher that is asked sees the same view"


class Jittered(Dataset):
    """A data set that augments by itself."""

    def __init__(self, split, cached):
        self.inputs, self.labels, self.cached = split.inputs.float() / 255, split.labels, cached

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, row):
        return jitter(self.inputs[row : row + 1])[0], self.labels[row], self.cached[row]


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_loader_that_augments(setup, shuffle):
    given = setup()
    given.data = DataLoader(Jittered(given.data, predict(given.teacher, given.data)), batch_size=100, shuffle=shuffle)
    assert names(check(given)) == ["cached_logits_augmented"]


@pytest.mark.parametrize(
    ("spoil", "how"),
    [
        (lambda given, z: predict(mlp(784, 32, 10, seed=7), given.data), "can't be told apart"),
        (lambda given, z: z.softmax(-1), "probabilities"),
        (lambda given, z: z / 4, "times 0.25"),
        (lambda given, z: z.roll(1, dims=1), "can't be told apart"),
        (lambda given, z: given.teacher.train()(given.data.inputs / 255), "can't be told apart"),
    ],
)
def test_cached_logits_that_are_others(setup, spoil, how):
    given = setup()
    cached = spoil(given, predict(given.teacher, given.data)).detach()
    given.teacher.eval()
    report = check(given, teacher_logits=cached)
    assert names(report) == ["cached_logits_differ"]
    assert how in report.mistakes[0].what


def test_cached_logits_from_before_the_transform(setup):
    given = setup()
    cached = predict(given.teacher, given.data)
    report = check(given, teacher_logits=cached, transform=lambda x: x.roll(2, dims=-1))
    assert "before the transform" in report.mistakes[0].what


# What the teacher knows


def test_an_untrained_teacher(digits):
    student = mlp(784, 10, seed=9)
    mistakes = [names(check_run(mlp(784, 30, 10, seed=seed), student, digits.test)) for seed in range(8)]
    assert set(map(tuple, mistakes)) <= {(), ("untrained_teacher",)}
    assert mistakes.count(["untrained_teacher"]) >= 6, "a few answer better than chance by luck"


def test_an_untrained_head(setup):
    given = setup()
    torch.manual_seed(0)
    given.teacher[-1].reset_parameters()
    nn.init.zeros_(given.teacher[-1].weight)
    assert names(check(given)) == ["untrained_teacher"]


def test_few_examples_settle_nothing(setup):
    given = setup(mlp(784, 30, 10, seed=0))
    report = check(given, examples=10)
    assert names(report) == []
    assert "too few" in " ".join(report.not_checked)


SCALINGS = {
    "raw 0..255": lambda x: 255 * x,
    "divided twice": lambda x: x / 255,
    "MNIST's": lambda x: (x - 0.1307) / 0.3081,
    "-1..1": lambda x: 2 * x - 1,
    "inverted": lambda x: 1 - x,
    "0..1": lambda x: x,
}


@pytest.mark.parametrize("learnt", SCALINGS)
def test_another_normalisation(digits, learnt):
    """Found where it costs many errors, and nothing claimed where the teacher is fed what it learnt."""
    torch.manual_seed(0)
    teacher = nn.Sequential(nn.Flatten(), nn.Linear(784, 32), nn.Tanh(), nn.Linear(32, 10))
    lr = 0.1 if learnt == "divided twice" else 2e-3
    train(teacher, float_batches(digits.train, SCALINGS[learnt]), epochs=6, lr=lr, progress=False)
    student = mlp(784, 16, 10, seed=1)
    times_found = 0
    right = evaluate(teacher.eval(), float_batches(digits.test, SCALINGS[learnt]))[1]
    for fed, scaling in SCALINGS.items():
        data = float_batches(digits.test, scaling)
        mistakes = names(check_run(teacher, student, data))
        assert mistakes == [] or (fed != learnt and mistakes == ["other_normalisation"])
        times_found += len(mistakes)
        assert mistakes or evaluate(teacher, data)[1] < 2.5 * right
    assert times_found >= 2


def test_imagenets_normalisation(digits):
    mean, deviation = (torch.tensor(values)[:, None, None] for values in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))

    def scaled(x):
        return (x.expand(-1, 3, -1, -1) - mean) / deviation

    torch.manual_seed(0)
    teacher = nn.Sequential(nn.Flatten(), nn.Linear(3 * 784, 32), nn.Tanh(), nn.Linear(32, 10))
    train(teacher, float_batches(digits.train, scaled), epochs=6, progress=False)
    student = mlp(3 * 784, 16, 10, seed=1)
    for feed, expected in ((scaled, []), (lambda x: 1 - x.expand(-1, 3, -1, -1), ["other_normalisation"])):
        assert names(check_run(teacher.eval(), student, float_batches(digits.test, feed))) == expected
    x = torch.rand(20, 3, 9, 9)
    x.view(20, 3, -1)[0, :, :2] = torch.tensor([0.0, 1.0])  # black and white
    for came in (x, 255 * x, 2 * x - 1, scaled(x)):
        ways = dict(usual_scalings(came))
        torch.testing.assert_close(ways["ImageNet's mean and deviation"], scaled(x))
        torch.testing.assert_close(ways["0..1, inverted (1 - x) first"], 1 - x)


@pytest.mark.parametrize("order", [[1, 2, 3, 4, 5, 6, 7, 8, 9, 0], [9, 1, 2, 3, 4, 5, 6, 7, 8, 0]])
def test_another_order_of_classes(setup, order):
    given = setup()
    given.teacher[-1].weight.data = given.teacher[-1].weight[order]
    given.teacher[-1].bias.data = given.teacher[-1].bias[order]
    assert names(check(given)) == ["class_order_differs"]


def test_models_of_different_classes(setup):
    given = setup(student=mlp(784, 16, 12, seed=0))
    assert names(check(given, loss=distillation_loss)) == ["class_counts_differ"]


def test_outputs_that_are_not_finite(setup):
    given = setup()
    given.teacher[-1].bias.data[3] = float("nan")
    assert names(check(given)) == ["non_finite_outputs"]
    given = setup()
    given.student[1].weight.data[:] = float("inf")
    assert names(check(given)) == ["non_finite_outputs"]


# What can't be checked is said


def test_a_cache_is_not_judged_by_a_teacher_that_sees_other_inputs(setup):
    given = setup()
    cached = predict(given.teacher, given.data)
    report = check(given, teacher_logits=cached, teacher_transform=lambda x: 1 - x)
    assert names(report) == ["other_normalisation"]
    assert "cached logits: the teacher's own answers aren't right here" in report.not_checked


def test_a_teacher_of_fewer_classes_than_labels(setup):
    given = setup(mlp(784, 16, 5, seed=0))
    report = check(given)
    assert names(report) == ["class_counts_differ"]
    assert "the teacher's errors: it has 5 classes, and labels go to 9" in report.not_checked


def test_inputs_that_have_no_scaling_and_more_classes_than_can_be_reordered():
    models = [nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(12, 2001)) for _ in range(2)]
    tokens = torch.arange(90).view(30, 3) % 9
    report = check_run(models[0].eval(), models[1], [(tokens, torch.arange(30))])
    unseen = " ".join(report.not_checked)
    assert "they aren't varied, finite floating-point numbers" in unseen
    assert "2001 are too many" in unseen


def test_a_loss_that_fails_in_half_precision(setup):
    def loss(s, t, y):
        if s.dtype == torch.float16:
            raise RuntimeError("not implemented\n for 'Half'")
        return distillation_loss(s, t, y)

    sentence = "the loss on logits that are 100 apart, in half precision: not implemented for 'Half'"
    assert sentence in check(setup(), loss=loss).not_checked


def test_a_loss_without_gradients(setup):
    report = check(setup(), loss=lambda s, t, y: (s - t).detach().square().mean())
    assert "gradients to the teacher: the loss lets none through" in report.checked


def test_models_without_parameters_or_with_empty_ones():
    """Empty parameters lie in one place, and share nothing."""
    teacher, student = nn.Flatten(), nn.Linear(3, 3)
    teacher.empty, student.empty = nn.Parameter(torch.empty(0)), nn.Parameter(torch.empty(0))
    batches = [(torch.eye(3), torch.arange(3))]
    assert names(check_run(teacher, student, batches)) == []
    assert names(check_run(nn.Flatten(), student, batches)) == []


# The loss and the evaluation


def by_hand(s, t, y):
    p = t.softmax(-1)
    return (p * (p.log() - s.log_softmax(-1))).sum(-1).mean()


def log_of_softmax(s, t, y):
    return -(t.softmax(-1) * s.softmax(-1).log()).sum(-1).mean()


@pytest.mark.parametrize("loss", [by_hand, log_of_softmax])
def test_nan_on_underflow(setup, loss):
    assert names(check(setup(), loss=loss)) == ["nan_on_underflow"]


def test_what_fails_in_half_precision_alone(setup):
    def loss(s, t, y):
        return -(t.softmax(-1) * (s.softmax(-1) + 1e-12).log()).sum(-1).mean()

    given = setup()
    report = check(given, loss=loss)
    assert (names(report), noted(report)) == ([], ["nan_on_underflow"])
    given.student, given.teacher = given.student.bfloat16(), given.teacher.bfloat16()
    assert names(check(given, loss=loss)) == ["nan_on_underflow"]


def evaluation_at(temperature, mode="restores"):
    def measure(model, data):
        model.eval()
        with torch.no_grad():
            logits = torch.cat([model(inputs) for inputs, _ in data])
        labels = torch.cat([labels for _, labels in data])
        model.train(mode == "restores")
        return F.cross_entropy(logits / temperature, labels), (logits.argmax(1) != labels).sum()

    return measure


@pytest.mark.parametrize("temperature", [1.0, 0.5, 4.0, 20.0])
def test_an_evaluation_at_a_temperature(setup, temperature):
    given = setup()
    given.data = float_batches(given.data)
    report = check(given, evaluate=evaluation_at(temperature))
    assert names(report) == ([] if temperature == 1 else ["evaluated_at_temperature"])
    assert all(f"T = {temperature:g}," in mistake.what for mistake in report.mistakes)


def test_an_evaluation_that_leaves_eval_mode(setup):
    given = setup()
    given.data = float_batches(given.data)
    report = check(given, evaluate=evaluation_at(1.0, mode="eval"))
    assert (names(report), noted(report)) == ([], ["evaluation_leaves_eval_mode"])


@pytest.mark.parametrize(
    "measure",
    [
        lambda model, data: 0.93,
        lambda model, data: evaluate(model, data)[1],
        lambda model, data: evaluate(model, data)[0] * 512,
        lambda model, data: evaluate(model, data)[0] / np.log(2),
    ],
)
def test_another_metric_than_nll_is_not_judged(setup, measure):
    report = check(setup(), evaluate=measure)
    assert names(report) == []
    assert "any one temperature" in " ".join(report.not_checked)


# Several at once, and what is left behind


def test_several_mistakes_at_once(setup):
    given = setup()
    given.teacher.train().requires_grad_(True)
    given.student.eval()
    optimizer = ADAM([*given.teacher.parameters()])
    report = check(given, optimizer=optimizer, loss=by_hand, transform=lambda x: (x - 0.1307) / 0.3081)
    expected = ["nan_on_underflow", "student_in_eval_mode", "student_not_in_optimizer", "teacher_in_optimizer"]
    assert sorted({*names(report)} - {"other_normalisation"}) == [*expected, "teacher_in_train_mode"]
    assert repr(report).startswith("Mistake 1, ")


def test_a_shuffled_cache_of_a_teacher_in_the_optimizer(setup):
    given = setup()
    cached = predict(given.teacher, given.data).roll(1, dims=0)
    optimizer = ADAM([*given.student.parameters(), *given.teacher.requires_grad_(True).parameters()])
    report = check(given, optimizer=optimizer, teacher_logits=cached)
    assert names(report) == ["teacher_in_optimizer", "cached_logits_shuffled"]


def state_of(*models):
    return [
        (module.training, {**vars(module)}.keys(), {name: id(tensor) for name, tensor in module._buffers.items()})
        for model in models
        for module in model.modules()
    ] + [
        (p.requires_grad, id(p), id(p.grad), None if p.grad is None else p.grad.clone(), p.detach().clone())
        for model in models
        for p in model.parameters()
    ] + [buffer.clone() for model in models for buffer in model.buffers()]  # fmt: skip


def same(before, after):
    if isinstance(before, torch.Tensor):
        return torch.equal(before, after)
    if isinstance(before, list | tuple):
        return len(before) == len(after) and all(map(same, before, after))
    return before == after


class Greedy(nn.Sequential):
    """Its train() also freezes a layer and changes weights, as merged adapters do."""

    merged = True

    def train(self, mode=True):
        super().train(mode)
        self[1].requires_grad_(False)
        if mode == self.merged:
            self.merged = not mode
            self[1].weight.data.add_(1.0 if mode else -1.0)
        return self


def test_everything_is_handed_back(setup, trained):
    given = setup("norm")
    given.teacher.requires_grad_(True).train()
    given.student = Greedy(*mlp(784, 16, 10, dropout=0.1, seed=3), nn.BatchNorm1d(10))
    given.student[1].eval()
    generator = torch.Generator().manual_seed(5)
    inputs, labels = given.data.inputs.float() / 255, given.data.labels
    given.data = DataLoader(TensorDataset(inputs, labels), batch_size=100, shuffle=True, generator=generator)
    optimizer = ADAM([*given.student.parameters(), *given.teacher.parameters()])
    F.cross_entropy(given.student(inputs), labels).backward()
    F.cross_entropy(given.teacher[-1](torch.ones(1, 32)), labels[:1]).backward()
    optimizer.step()

    def step(inputs, labels):
        loss = loss_of(given, careful=False)(inputs, labels) + random.random() + np.random.rand()
        loss.backward(retain_graph=True)
        with torch.no_grad():
            given.teacher[1].weight.mul_(0.9)
        given.student.merged = "?"
        return loss

    before, kept = state_of(given.teacher, given.student), copy.deepcopy(optimizer.state_dict())
    states = torch.get_rng_state(), generator.get_state(), random.getstate(), str(np.random.get_state())
    merged = given.student.merged
    report = check(given, optimizer=optimizer, step=None, loss=by_hand, evaluate=evaluation_at(4.0, mode="eval"))
    assert {"teacher_in_train_mode", "evaluated_at_temperature"} <= {*names(report)}
    check(given, optimizer=optimizer, step=step, transform=lambda x: x + torch.rand(()) * random.random())
    assert same(before, state_of(given.teacher, given.student))
    assert given.student.merged == merged
    assert str(kept) == str(optimizer.state_dict())
    after = torch.get_rng_state(), generator.get_state(), random.getstate(), str(np.random.get_state())
    assert same(states[:2], after[:2])
    assert states[2:] == after[2:]
    assert not given.student._forward_hooks


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_teacher_in_torchscript(setup):
    given = setup()
    given.teacher = torch.jit.trace(given.teacher.train(), torch.zeros(2, 784), check_trace=False)
    assert names(check(given)) == ["teacher_in_train_mode"]
    assert all(module.training for module in given.teacher.modules())
    given.teacher.eval()
    assert names(check(given)) == []


def test_a_notebook_shows_a_report_in_markdown(setup):
    given = setup("norm")
    given.teacher.train()
    markdown = check(given)._repr_markdown_()
    assert "Mistake `teacher_in_train_mode`: The teacher is in train mode, and that changes its answers" in markdown
    assert "```python\nteacher.eval() before training" in markdown
    assert "\n\nNot checked: the temperature of the evaluation: no evaluate was given." in markdown
    given.teacher.eval()
    markdown = check(given)._repr_markdown_()
    assert markdown.startswith("**No known mistake found in what could be checked.**\n\nChecked: ")


def test_the_same_call_says_the_same(setup):
    given = setup()
    assert repr(check(given, transform=jitter)) == repr(check(given, transform=jitter))


def test_preserve_state_restores_after_an_error():
    model = nn.BatchNorm1d(3)

    def spoil():
        with preserve_state(model):
            model(torch.randn(4, 3))
            model.weight.data.zero_()
            model.eval()
            raise KeyError

    with pytest.raises(KeyError):
        spoil()
    assert model.training
    assert model.weight.sum() == 3
    assert model.running_mean.abs().sum() == 0


WITH_CACHE = (torch.zeros(2, 784), torch.tensor([0, 1]), torch.zeros(2, 10))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"teacher": None}, "teacher must be an nn.Module, got NoneType"),
        ({"data": 3}, "data must be a Split or an iterable"),
        ({"data": torch.zeros(3)}, "data must be a Split or an iterable"),
        ({"data": iter([])}, "data must be run through more than once"),
        ({"data": []}, "data must give at least one batch"),
        ({"data": [torch.zeros(2, 784)]}, "data must give tensors"),
        ({"data": [(torch.zeros(2, 784), torch.zeros(2))]}, "data must give labels"),
        ({"data": [(torch.zeros(2, 784), torch.zeros(2).long(), torch.zeros(2).long())]}, "data's third part"),
        ({"data": [(torch.zeros(2, 784), torch.tensor([0, 12]))]}, r"labels must lie in 0\.\.9"),
        ({"data": [(torch.zeros(2, 7), torch.tensor([0, 1]))]}, "student must accept a batch of its inputs"),
        ({"optimizer": 3}, "optimizer must be"),
        ({"optimizer": [3]}, "optimizer must be a torch.optim.Optimizer or a list of them, got int"),
        ({"modules": 3}, "each of modules must be an nn.Module, got int"),
        ({"modules": [3]}, "each of modules must be"),
        ({"data": [(torch.zeros(2, 784), torch.tensor([0, 1]))], "teacher_logits": torch.zeros(1, 10)}, "one row per"),
        ({"data": [WITH_CACHE], "teacher_logits": torch.zeros(2, 10)}, "cached logits must come with every batch, or"),
        ({"data": [WITH_CACHE, WITH_CACHE[:2]]}, "cached logits must come with every batch"),
        ({"transform": 3}, "transform must be a function"),
        ({"transform": lambda x: x.numpy()}, "transform must give a tensor with a row for each of .*, got ndarray"),
        ({"transform": lambda x: x[:1]}, "transform must give a tensor with a row for each"),
        ({"teacher_logits": [1.0]}, "teacher_logits must be a floating-point tensor"),
        ({"teacher_logits": torch.zeros(3, 10)}, "teacher_logits must be"),
        ({"teacher_logits": torch.zeros(10)}, r"teacher_logits must be \(N, C\), got \(10,\)"),
        ({"student": nn.Conv2d(1, 2, 3)}, "student must map inputs to logits"),
        ({"student": nn.LSTM(28, 10), "transform": lambda x: x[:, 0]}, "student must map inputs to a tensor of logits"),
        ({"loss": lambda s, t, y: 0.5}, "loss must return a tensor"),
        ({"evaluate": lambda m, d: "good"}, "evaluate must return the NLL"),
        ({"examples": 0}, "examples must be a whole number >= 1, got 0"),
    ],
)
def test_bad_arguments_get_one_sentence(setup, changes, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        check_run(**{**vars(setup()), **changes})


def test_a_split_keeps_its_numbers(setup):
    given = setup()
    images = given.data.inputs.clone()
    report = check(given, transform=lambda x: x.zero_(), teacher_transform=lambda x: x)
    assert names(report) == [], "the teacher sees the images"
    assert torch.equal(given.data.inputs, images)
    assert isinstance(given.data, Split)
