"""The loop: it equals one written by hand, the teacher answers for the very example, and nothing else is changed."""

import inspect
import math
from functools import partial
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from kdtutor import History, Split, distill, evaluate, fit, mlp, predict, train
from kdtutor.data import batches
from kdtutor.models import Ensemble

CPU = torch.device("cpu")
QUICK = {"epochs": 3, "batch_size": 120, "lr": 0.02, "device": "cpu", "progress": False}


def network(seed, *, classes=3, dropout=0.0, inputs=2):
    """A small float64 network."""
    return mlp(inputs, 16, classes, dropout=dropout, seed=seed).double()


class Normed(nn.Sequential):
    """A network whose modes matter: dropout, batch-norm, and one part that was put into eval mode."""

    def __init__(self):
        super().__init__(nn.Linear(2, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 3))
        self.double()[1].eval()


def weights(model):
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def modes(model):
    return [module.training for module in model.modules()]


def equal(one, other):
    return all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def accuracy(model, split):
    return (predict(model, split, device="cpu").argmax(-1) == split.labels).double().mean().item()


class Replay:
    """The batches of a Split in the order in which `fit` takes them, as an iterable of (inputs, labels)."""

    def __init__(self, split, seed=0):
        self.split, self.generator = split, torch.Generator().manual_seed(seed)

    def __iter__(self):
        for inputs, labels, _ in batches(self.split, QUICK["batch_size"], CPU, self.generator):
            yield inputs, labels


class Stop:
    """Passes its first argument through, and presses Ctrl-C at a given call."""

    def __init__(self, at):
        self.calls_left = at

    def __call__(self, inputs, *_):
        self.calls_left -= 1
        if not self.calls_left:
            raise KeyboardInterrupt
        return inputs


def stopping(model, at):
    """The model, with Ctrl-C pressed at a given forward pass in eval mode."""
    stop = Stop(at)
    model.register_forward_pre_hook(lambda module, inputs: None if module.training else stop(inputs))
    return model


# It learns, and says what it measured


@pytest.mark.parametrize("function", [train, distill, fit])
def test_signatures_show_every_keyword(function):
    """With one default for all three functions."""
    ours, of_fit = (inspect.signature(function).parameters for function in (function, fit))
    keywords = {name for name, parameter in of_fit.items() if parameter.kind is parameter.KEYWORD_ONLY}
    assert all(ours[name].default == of_fit[name].default for name in keywords)
    assert not any(parameter.kind is parameter.VAR_KEYWORD for parameter in ours.values())


def test_training_learns(blobs):
    model = network(0)
    assert accuracy(model, blobs) < 0.8
    history = train(model, blobs, validation=blobs, **QUICK)
    assert accuracy(model, blobs) > 0.98
    assert history.train_loss[-1] < history.train_loss[0]


def test_distilling_learns_what_the_teacher_says_and_not_what_the_labels_say(blobs):
    rotated = Split(blobs.inputs, (blobs.labels + 1) % 3)
    logits = 10 * F.one_hot(rotated.labels).double()
    student = network(0)
    distill(student, logits, blobs, alpha=1, **QUICK)
    assert accuracy(student, rotated) > 0.98


def test_the_history_holds_one_figure_an_epoch(blobs):
    history = train(network(0), blobs, **QUICK)
    assert len(history.train_loss) == len(history.train_errors) == 3
    assert history.validation_loss == history.validation_errors == []
    assert history.seconds > 0
    assert not history.interrupted


def test_the_validation_figures_are_those_of_the_model_in_nats_and_errors_of_10_000(blobs):
    model = network(0)
    history = train(model, blobs, validation=blobs, **QUICK)
    logits = predict(model, blobs, device="cpu")
    assert len(history.validation_loss) == 3
    assert history.validation_loss[-1] == pytest.approx(F.cross_entropy(logits, blobs.labels).item())
    assert history.validation_errors[-1] == pytest.approx(10_000 * (1 - accuracy(model, blobs)))


def test_the_training_figures_are_means_over_examples_and_not_over_batches(blobs):
    model = network(0)
    uneven = [(blobs.inputs[:500], blobs.labels[:500]), (blobs.inputs[500:], blobs.labels[500:])]
    before = evaluate(model, blobs, device="cpu")
    history = train(model, uneven, **QUICK | {"epochs": 1, "lr": 1e-12})
    assert (history.train_loss[0], history.train_errors[0]) == pytest.approx(before)


def test_a_history_prints_as_a_table(blobs):
    lines = repr(train(network(0), blobs, validation=blobs, **QUICK)).splitlines()
    assert " ".join(lines[0].split()) == "epoch train loss train errors validation loss validation errors"
    assert [line.split()[0] for line in lines[1:]] == ["1", "2", "3"]
    assert {len(line.split()) for line in lines[1:]} == {5}
    assert repr(History()) == "epoch"
    unfinished = repr(History(train_loss=[0.5, 0.25], train_errors=[12.0, 7.0], validation_loss=[0.125]))
    assert [line.split() for line in unfinished.splitlines()[1:]] == [
        ["1", "0.5000", "12", "0.1250"],
        ["2", "0.2500", "7"],
    ]
    assert len({len(line) for line in repr(History(train_loss=[0.5, 10.25])).splitlines()}) == 1
    assert repr(History(train_loss=[0.5], train_errors=[12.0], interrupted=True)).splitlines()[-1] == "interrupted"


@pytest.mark.parametrize("measure", [evaluate, predict])
def test_measuring_nothing_is_an_error(measure):
    with pytest.raises(ValueError, match=r"data must give at least one batch of \(inputs, labels\), got none"):
        measure(network(0), [])


# It equals the loop that one would write by hand


def by_hand(model, split, loss, seed=0):
    """Adam over shuffled batches, the learning rate falling in equal steps."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    for rate in (0.02, 0.02 * 2 / 3, 0.02 / 3):
        optimizer.param_groups[0]["lr"] = rate
        for rows in torch.randperm(len(split), generator=generator).split(120):
            optimizer.zero_grad()
            loss(model(split.inputs[rows]), rows).backward()
            optimizer.step()
    return weights(model)


def test_training_equals_a_plain_loop(blobs):
    model = network(0)
    train(model, blobs, seed=3, **QUICK)
    expected = by_hand(network(0), blobs, lambda z, rows: F.cross_entropy(z, blobs.labels[rows]), seed=3)
    torch.testing.assert_close(weights(model), expected)


def test_distilling_equals_a_plain_loop(blobs):
    student, teacher = network(0), network(1)
    distill(student, teacher, blobs, temperature=3, alpha=0.7, seed=3, **QUICK)

    def loss(z, rows):
        with torch.no_grad():
            target = F.softmax(teacher(blobs.inputs[rows]) / 3, dim=-1)
        soft = F.kl_div(F.log_softmax(z / 3, dim=-1), target, reduction="batchmean")
        return 0.7 * 3**2 * soft + 0.3 * F.cross_entropy(z, blobs.labels[rows])

    torch.testing.assert_close(weights(student), by_hand(network(0), blobs, loss, seed=3))


def test_the_optimizer_can_be_chosen(blobs):
    sgd = partial(torch.optim.SGD, momentum=0.9)
    model, other = network(0), network(0)
    train(model, blobs, optimizer=sgd, **QUICK | {"epochs": 1})
    optimizer = sgd(other.parameters(), lr=0.02)
    for inputs, labels in Replay(blobs):
        optimizer.zero_grad()
        F.cross_entropy(other(inputs), labels).backward()
        optimizer.step()
    torch.testing.assert_close(weights(model), weights(other))


def test_alpha_0_is_training_alone(blobs):
    alone, distilled = network(0), network(0)
    train(alone, blobs, **QUICK)
    distill(distilled, network(1), blobs, alpha=0, **QUICK)
    torch.testing.assert_close(weights(alone), weights(distilled))


# Half precision


@pytest.fixture
def points(blobs):
    """The blobs in float32, which autocast can narrow."""
    return Split(blobs.inputs.float(), blobs.labels)


HALF = QUICK | {"precision": torch.bfloat16}


def single(seed):
    """A small float32 network."""
    return network(seed).float()


def outputs(model):
    """The dtypes in which the model's last layer answers, as they come."""
    seen = []
    model[-1].register_forward_hook(lambda layer, x, z: seen.append(z.dtype))
    return seen


def test_half_precision_learns_as_well_as_full_and_weights_stay_as_they_are(points):
    full, half = single(0), single(0)
    seen = outputs(half)
    train(full, points, **QUICK)
    train(half, points, **HALF)
    assert set(seen) == {torch.bfloat16}
    assert accuracy(half, points) > accuracy(full, points) - 0.01 > 0.97
    assert {parameter.dtype for parameter in half.parameters()} == {torch.float32}
    assert not equal(weights(full), weights(half))


def test_half_precision_equals_a_plain_loop_with_weights_rounded_anew_in_each_step(points):
    model, other = single(0), single(0)
    train(model, points, **HALF | {"epochs": 1})
    optimizer = torch.optim.Adam(other.parameters(), lr=0.02, fused=True)
    for inputs, labels in Replay(points):
        rounded = {name: parameter.bfloat16() for name, parameter in other.named_parameters()}
        optimizer.zero_grad()
        F.cross_entropy(torch.func.functional_call(other, rounded, inputs.bfloat16()).float(), labels).backward()
        optimizer.step()
    torch.testing.assert_close(weights(model), weights(other))


@pytest.mark.parametrize("precision", [None, torch.bfloat16])
def test_each_step_sees_the_weights_that_the_last_one_left(points, precision):
    """Within an epoch, too: one autocast around it would keep its first copies of the weights to the end."""
    answers = []

    def loss(logits, inputs, labels, index):
        answers.append(logits.detach().clone())
        return F.cross_entropy(logits, labels)

    same = [(points.inputs, points.labels)] * 20
    fit(single(0), same, loss, **QUICK | {"epochs": 1, "precision": precision})
    losses = [F.cross_entropy(logits, points.labels).item() for logits in answers]
    assert len(losses) == 20
    assert not any(torch.equal(one, following) for one, following in pairwise(answers))
    assert losses[-1] < losses[0] / 2


@pytest.mark.parametrize(
    ("dtype", "precision", "expected"),
    [
        (torch.float32, None, torch.float32),
        (torch.float32, torch.bfloat16, torch.float32),
        (torch.bfloat16, None, torch.float32),
        (torch.float64, None, torch.float64),
    ],
    ids=str,
)
def test_losses_are_never_computed_in_half_precision(points, dtype, precision, expected):
    seen = set()

    def loss(logits, inputs, labels, index):
        result = F.cross_entropy(logits, labels)
        seen.update((logits.dtype, result.dtype))
        return result

    fit(single(0).to(dtype), points, loss, **QUICK | {"precision": precision})
    assert seen == {expected}


def test_what_is_measured_after_an_epoch_is_measured_in_full_precision(points):
    model = single(0)
    history = train(model, points, validation=points, **HALF)
    logits = model(points.inputs)
    assert history.validation_loss[-1] == pytest.approx(F.cross_entropy(logits, points.labels).item(), rel=1e-5)


def test_the_answers_that_are_kept_of_a_teacher_are_those_of_full_precision(points):
    teacher, one, other = single(1), single(0), single(0)
    logits = predict(teacher, points, device="cpu")
    seen, own = outputs(teacher), outputs(one)
    distill(one, teacher, points, **HALF)
    distill(other, logits, points, **HALF)
    assert set(seen) == {torch.float32}
    assert set(own) == {torch.bfloat16}
    assert equal(weights(one), weights(other))


def test_a_teacher_that_answers_each_batch_does_so_in_half_precision_and_teaches_well(points):
    rotated = Split(points.inputs, (points.labels + 1) % 3)
    teacher, student = single(1), single(0)
    train(teacher, rotated, **QUICK)
    seen = outputs(teacher)
    distill(student, teacher, points, alpha=1, augment=lambda inputs, generator: inputs, **HALF)
    assert set(seen) == {torch.bfloat16}
    assert accuracy(student, rotated) > 0.97


def test_without_a_precision_every_bit_is_that_of_a_plain_loop(points):
    """By autograd, as here because of a hook; and where gradients are known without it, up to rounding."""
    default, none, closed = single(0), single(0), single(0)
    outputs(default), outputs(none)
    train(default, points, **QUICK)
    train(none, points, precision=None, **QUICK)
    train(closed, points, **QUICK)
    expected = by_hand(single(0), points, lambda z, rows: F.cross_entropy(z, points.labels[rows]))
    assert equal(expected, weights(default))
    assert equal(expected, weights(none))
    torch.testing.assert_close(weights(closed), expected, rtol=1e-3, atol=1e-5)


def test_without_a_precision_an_autocast_around_it_holds(points):
    model = single(0)
    seen = outputs(model)
    with torch.autocast("cpu", torch.bfloat16):
        train(model, points, **QUICK)
    assert set(seen) == {torch.bfloat16}


# Seeds


@pytest.mark.parametrize("form", ["split", "loader"])
def test_a_seed_fixes_every_bit(blobs, form):
    loader = DataLoader(TensorDataset(blobs.inputs, blobs.labels), batch_size=120, shuffle=True)
    data = blobs if form == "split" else loader

    def run(seed):
        model = network(0, dropout=0.3)
        train(model, data, seed=seed, **QUICK)
        return weights(model)

    once = run(1)
    torch.rand(1)  # the global state doesn't matter
    assert equal(once, run(1))
    assert not equal(once, run(2))


def test_a_seed_fixes_the_augmentation(blobs):
    def noise(inputs, generator):
        return inputs + torch.randn(inputs.shape, generator=generator, dtype=inputs.dtype)

    def run(seed):
        model = network(0)
        train(model, blobs[:120], augment=noise, seed=seed, **QUICK)
        return weights(model)

    assert equal(run(1), run(1))
    assert not equal(run(1), run(2))


def test_the_global_random_state_is_left_alone(blobs):
    loader = DataLoader(TensorDataset(blobs.inputs, blobs.labels), batch_size=100, shuffle=True)
    before = torch.get_rng_state()
    train(network(0, dropout=0.3), loader, validation=blobs, **QUICK)
    distill(network(0, dropout=0.3), network(1, dropout=0.3), blobs, **QUICK)
    assert torch.equal(before, torch.get_rng_state())


# The teacher answers for the very example


def test_model_logits_and_iterable_teach_the_same(blobs):
    teacher = network(1)
    forms = {
        "model": {"teacher": teacher, "data": blobs},
        "logits": {"teacher": predict(teacher, blobs, device="cpu"), "data": blobs},
        "iterable": {"teacher": teacher, "data": Replay(blobs)},
        "augmented": {"teacher": teacher, "data": blobs, "augment": lambda inputs, generator: inputs},
    }
    students = {name: network(0) for name in forms}
    for name, form in forms.items():
        distill(students[name], **form, **QUICK)
        torch.testing.assert_close(weights(students[name]), weights(students["model"]))


def test_logits_go_with_their_examples_when_rows_change_places(blobs):
    """One batch holds all rows, so only which logits go with which example can make a difference."""
    logits = torch.randn(len(blobs), 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    rows = torch.randperm(len(blobs), generator=torch.Generator().manual_seed(1))
    one, other = network(0), network(0)
    distill(one, logits, blobs, **QUICK | {"batch_size": 600})
    distill(other, logits[rows], blobs[rows], **QUICK | {"batch_size": 600})
    torch.testing.assert_close(weights(one), weights(other))


def watch(model):
    """A list that gathers what the model is given."""
    views = []
    model.register_forward_pre_hook(lambda module, inputs: views.append(inputs[0].detach().clone()))
    return views


def test_the_teacher_answers_each_fixed_example_once(blobs):
    teacher = network(1)
    views = watch(teacher)
    distill(network(0), teacher, blobs, **QUICK)
    assert torch.equal(torch.cat(views), blobs.inputs)


@pytest.mark.parametrize("form", ["augmented", "iterable"])
def test_the_teacher_sees_what_the_student_sees(blobs, form):
    teacher, student = network(1), network(0)
    views, own_views = watch(teacher), watch(student)
    if form == "augmented":
        distill(student, teacher, blobs, augment=lambda x, g: x + torch.rand(x.shape, generator=g), **QUICK)
    else:
        distill(student, teacher, ((x + torch.rand(x.shape), y) for x, y in Replay(blobs)), **QUICK | {"epochs": 1})
    assert len(views) == len(own_views) >= 5
    assert all(torch.equal(one, other) for one, other in zip(views, own_views, strict=True))


@pytest.mark.parametrize("average", ["logits", "probabilities"])
def test_an_ensemble_teaches_what_its_members_say_together(blobs, average):
    members = [network(1, dropout=0.3), network(2, dropout=0.3)]
    answers = [predict(member, blobs, device="cpu") for member in members]
    mean = sum(answers) / 2 if average == "logits" else (sum(z.softmax(-1) for z in answers) / 2).log()
    before = [weights(member) for member in members]
    one, other = network(0), network(0)
    distill(one, Ensemble(*members, average=average), blobs, **QUICK)
    distill(other, mean, blobs, **QUICK)
    torch.testing.assert_close(weights(one), weights(other))
    assert all(equal(state, weights(member)) for state, member in zip(before, members, strict=True))


@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
def test_teacher_and_student_may_differ_in_precision(images, precision):
    student, teacher = mlp(784, 10, seed=0), mlp(784, 10, seed=1).to(precision)
    history = distill(student, teacher, images, **QUICK)
    distill(student, teacher, images, augment=lambda x, g: x, **QUICK)
    assert math.isfinite(history.train_loss[-1])
    assert next(student.parameters()).dtype == torch.float32


@pytest.mark.parametrize("augment", [None, lambda inputs, generator: inputs], ids=["fixed", "augmented"])
def test_the_teacher_is_left_as_it_was(blobs, augment):
    teacher = Normed()
    teacher[0].weight.requires_grad_(False)
    before = weights(teacher), modes(teacher), [p.requires_grad for p in teacher.parameters()]
    distill(network(0), teacher, blobs, augment=augment, **QUICK)
    assert equal(before[0], weights(teacher))  # batch-norm's running figures too
    assert before[1:] == (modes(teacher), [p.requires_grad for p in teacher.parameters()])
    assert all(parameter.grad is None for parameter in teacher.parameters())


@pytest.mark.parametrize("augment", [None, lambda inputs, generator: inputs], ids=["fixed", "augmented"])
def test_the_teacher_answers_in_eval_mode_without_gradients(blobs, augment):
    teacher = Normed().train()
    seen = set()
    teacher.register_forward_hook(lambda module, x, z: seen.add((any(modes(module)), z.requires_grad)))
    distill(network(0), teacher, blobs, augment=augment, **QUICK)
    assert seen == {(False, False)}


# The student's modes


def test_the_student_trains_in_train_mode_and_is_measured_in_eval_mode_in_each_epoch(blobs):
    student, seen = Normed(), []
    student.register_forward_pre_hook(
        lambda module, x: seen.append((torch.is_grad_enabled(), all(modes(module)), any(modes(module))))
    )
    before = modes(student)
    train(student, blobs, validation=blobs[:100], **QUICK)
    assert seen == 3 * (5 * [(True, True, True)] + [(False, False, False)])
    assert modes(student) == before


def test_the_student_comes_back_in_its_modes_after_an_error(blobs):
    student = Normed()
    before = modes(student)
    with pytest.raises(ValueError, match="labels must lie in"):
        train(student, Split(blobs.inputs, blobs.labels + 1), **QUICK)
    assert modes(student) == before


# What is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0}, "temperature must be a finite number > 0, got 0"),
        ({"temperature": -2}, "temperature must be .* got -2"),
        ({"temperature": math.nan}, "temperature must be .* got nan"),
        ({"temperature": math.inf}, "temperature must be .* got inf"),
        ({"alpha": 1.1}, "alpha must be a number from 0 to 1, got 1.1"),
        ({"alpha": -0.1}, "alpha must be .* got -0.1"),
        ({"alpha": math.nan}, "alpha must be .* got nan"),
        ({"epochs": 0}, "epochs must be a whole number >= 1, got 0"),
        ({"epochs": 2.5}, "epochs must be .* got 2.5"),
        ({"batch_size": 0}, "batch_size must be a whole number >= 1, got 0"),
        ({"lr": 0}, "lr must be a finite number > 0, got 0"),
        ({"lr": -1.0}, "lr must be .* got -1.0"),
        ({"lr": math.nan}, "lr must be .* got nan"),
        ({"lr": "fast"}, "lr must be .* got 'fast'"),
        ({"seed": 1.5}, "seed must be .* got 1.5"),
    ],
    ids=str,
)
def test_bad_settings_are_refused_before_anything_is_computed(blobs, options, message):
    student, teacher = network(0), network(1)
    views, before = watch(teacher), weights(student)
    with pytest.raises(ValueError, match=message):
        distill(student, teacher, blobs, **QUICK | options)
    assert not views
    assert equal(before, weights(student))


@pytest.mark.parametrize("form", ["augmented", "iterable"])
def test_logits_that_cannot_be_matched_are_refused(blobs, form):
    data, augment = (Replay(blobs), None) if form == "iterable" else (blobs, lambda inputs, generator: inputs)
    with pytest.raises(ValueError, match="teacher must be a model where inputs change from epoch to epoch"):
        distill(network(0), torch.zeros(600, 3), data, augment=augment, **QUICK)


def test_a_teacher_that_is_no_model_is_refused(blobs):
    with pytest.raises(TypeError, match=r"teacher must be an nn\.Module, a tensor of logits or Views, got function"):
        distill(network(0), lambda inputs: inputs, blobs)


def test_a_teacher_that_shares_a_module_with_its_student_is_refused(blobs):
    student = network(0)
    for teacher in (student, torch.nn.Sequential(*student)):
        with pytest.raises(ValueError, match="teacher must share no module with the student"):
            distill(student, teacher, blobs)


def test_each_group_of_parameters_keeps_its_own_rate(blobs):
    def sgd(parameters, lr):
        first, *others = parameters
        groups = [{"params": [first], "lr": 0.0}, {"params": others}]
        return torch.optim.SGD(groups, lr=lr)

    model = network(0)
    before = weights(model)
    train(model, blobs, optimizer=sgd, **QUICK)
    same = [torch.equal(old, new) for old, new in zip(before.values(), weights(model).values(), strict=True)]
    assert same[0]
    assert not any(same[1:])


def test_half_precision_sums_do_not_overflow():
    generator = torch.Generator().manual_seed(0)
    many = Split(torch.randn(60_000, 2, generator=generator), torch.randint(0, 3, (60_000,), generator=generator))
    history = train(
        network(0).half(), many, epochs=1, lr=1e-5, batch_size=20_000, progress=False, optimizer=torch.optim.SGD
    )
    assert history.train_loss[0] == pytest.approx(evaluate(network(0).float(), many)[0], rel=0.01)


@pytest.mark.parametrize("shape", [(599, 3), (601, 3), (600,), (600, 3, 1)])
def test_logits_of_another_shape_are_refused(blobs, shape):
    with pytest.raises(ValueError, match=r"teacher's logits must be \(600, classes\), one row per example, got"):
        distill(network(0), torch.zeros(shape), blobs, **QUICK)


@pytest.mark.parametrize("answers", [network(1, classes=4), torch.zeros(600, 4)], ids=["model", "logits"])
def test_other_classes_than_the_teachers_are_refused(blobs, answers):
    with pytest.raises(ValueError, match=r"student_logits and teacher_logits must have one shape .* and \(120, 4\)"):
        distill(network(0), answers, blobs, **QUICK)


@pytest.mark.parametrize("run", [train, partial(distill, teacher=network(1, classes=2))], ids=["train", "distill"])
def test_labels_beyond_the_models_classes_are_refused(blobs, run):
    with pytest.raises(ValueError, match=r"labels must lie in 0\.\.1 for 2 classes, got 2"):
        run(network(0, classes=2), data=blobs, **QUICK)


def test_augmentation_of_an_iterable_is_refused(blobs):
    with pytest.raises(ValueError, match="augment needs a Split"):
        train(network(0), Replay(blobs), augment=lambda x, g: x, **QUICK)


@pytest.mark.parametrize("batches_left", [0, 1], ids=["empty", "used up"])
def test_data_must_last_for_each_epoch(blobs, batches_left):
    data = iter([(blobs.inputs, blobs.labels)] * batches_left)
    with pytest.raises(
        ValueError, match=r"at least one batch of \(inputs, labels\), got none \(a generator lasts for one pass\)"
    ):
        train(network(0), data, **QUICK)


def test_a_loss_that_is_no_longer_finite_stops_the_run_and_says_where(blobs):
    model = Normed()
    before = modes(model)
    images = blobs.inputs.clone()
    images[7] = math.nan
    with pytest.raises(FloatingPointError, match=r"got nan in epoch 1: try a smaller lr than 0\.02, and look for NaN"):
        train(model, Split(images, blobs.labels), **QUICK)
    assert modes(model) == before


# Ctrl-C


def finished(history, model, before, split):
    assert history.interrupted
    assert repr(history).splitlines()[-1] == "interrupted"
    assert modes(model) == before
    assert predict(model, split, device="cpu").isfinite().all()
    return len(history.train_loss)


def test_ctrl_c_keeps_the_epochs_that_are_finished(blobs):
    student = Normed()
    before = modes(student)
    history = train(student, blobs, augment=Stop(at=13), **QUICK)  # the third of five batches of the third epoch
    assert finished(history, student, before, blobs) == 2


def test_ctrl_c_while_the_teacher_answers(blobs):
    student, teacher = Normed(), stopping(Normed(), at=1)
    before = modes(student)
    history = distill(student, teacher, blobs, **QUICK)
    assert finished(history, student, before, blobs) == 0
    assert modes(teacher) == before


def test_ctrl_c_during_validation(blobs):
    student = stopping(Normed(), at=2)
    before = modes(student)
    history = train(student, blobs, validation=blobs[:100], **QUICK)
    assert 1 <= finished(history, student, before, blobs) <= 2


# Predicting


@pytest.mark.parametrize("form", ["split", "tensor", "iterable"])
def test_predict_answers_in_order(blobs, form):
    model = network(0)
    data = {
        "split": blobs,
        "tensor": blobs.inputs,
        "iterable": DataLoader(TensorDataset(blobs.inputs, blobs.labels), batch_size=70),
    }[form]
    logits = predict(model, data, batch_size=77, device="cpu")
    torch.testing.assert_close(logits, model(blobs.inputs).detach())
    assert not logits.requires_grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("inputs", [torch.uint8, torch.float32, torch.float64])
def test_predict_computes_in_the_models_precision(images, dtype, inputs):
    pixels = images.inputs if inputs == torch.uint8 else images.inputs.to(inputs) / 255
    model = mlp(784, 10, seed=0).to(dtype)
    expected = model(images.inputs.to(dtype) / 255).detach()
    torch.testing.assert_close(predict(model, pixels, device="cpu"), expected)


def test_predict_is_in_eval_mode_and_leaves_the_model_as_it_was(blobs):
    model = Normed()
    before, state = modes(model), weights(model)
    once, again = (predict(model, blobs, device="cpu") for _ in range(2))
    assert torch.equal(once, again)
    assert modes(model) == before
    assert equal(state, weights(model))


def test_predict_takes_a_model_without_parameters(blobs):
    assert torch.equal(predict(nn.Identity(), blobs.inputs.float(), device="cpu"), blobs.inputs.float())


@pytest.mark.parametrize("batch_size", [0, -1, 1.5])
def test_predict_refuses_a_bad_batch_size(blobs, batch_size):
    with pytest.raises(ValueError, match=f"batch_size must be a whole number >= 1, got {batch_size}"):
        predict(network(0), blobs, batch_size=batch_size)


# What is shown, and where it runs


def test_the_progress_bar_can_be_turned_off(blobs, capsys):
    train(network(0), blobs, validation=blobs, **QUICK)
    assert capsys.readouterr() == ("", "")


def test_the_progress_bar_shows_the_latest_figures_on_stderr(blobs, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")  # of a narrow terminal the bar would fill what there is
    monkeypatch.setenv("LINES", "50")
    history = train(network(0), blobs, validation=blobs, **QUICK | {"progress": True})
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "3/3" in shown.err
    assert f"validation_errors={history.validation_errors[-1]:.4g}" in shown.err


@pytest.mark.gpu
def test_the_gpu_is_used_and_models_come_back(images):
    student, teacher = mlp(784, 16, 10, dropout=0.2, seed=0), mlp(784, 16, 10, seed=1)
    seen = set()
    for model in (student, teacher):
        model.register_forward_pre_hook(lambda module, inputs: seen.add(inputs[0].device.type))
    options = QUICK | {"device": None}
    before = torch.cuda.get_rng_state()
    train(student, images, validation=images, **options)
    distill(student, teacher, images, **options)
    distill(student, teacher, images, augment=lambda x, g: x, **options)
    assert predict(student, images).device == CPU
    assert seen == {"cuda"}
    assert {parameter.device for model in (student, teacher) for parameter in model.parameters()} == {CPU}
    assert torch.equal(before, torch.cuda.get_rng_state())
    torch.testing.assert_close(predict(student, images), predict(student, images, device="cpu"), atol=1e-3, rtol=1e-3)
