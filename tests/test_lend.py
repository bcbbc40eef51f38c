"""Threads by the work; what else `_lend` does is tested where it serves, in test_training and test_metrics."""

import math

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from kdtutor import Dataset, cnn, distill, evaluate, mlp, predict, sweep, train
from kdtutor._lend import SMALL, multiplications, threads
from kdtutor.losses import kl_by_example


@pytest.fixture
def two_threads():
    with threads(2):
        yield


class Spy(nn.Sequential):
    """Notes how many threads compute it, for batches of more than one."""

    def __init__(self, *layers):
        super().__init__(*layers)
        self.seen = set()

    def forward(self, inputs):
        if len(inputs) > 1:
            self.seen.add(torch.get_num_threads())
        return super().forward(inputs)


def small(seed=0):
    return Spy(*mlp(784, 30, 10, seed=seed))


def large(seed=0):
    """Over the limit for batches of 100."""
    assert SMALL < 784 * 500 * 100
    return Spy(*mlp(784, 500, 10, seed=seed))


def loader(images):
    return [(images.images[:100] / 255, images.labels[:100])]


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(
    "run",
    [
        lambda model, images: train(model, images, epochs=1, batch_size=100, progress=False),
        lambda model, images: distill(
            model, torch.zeros(200, 10), images, epochs=1, batch_size=100, validation=images, progress=False
        ),
        lambda model, images: evaluate(model, images),
        lambda model, images: predict(model, images, batch_size=100),
        lambda model, images: predict(model, images.images, batch_size=100),
    ],
    ids=["train", "distill", "evaluate", "predict", "predict inputs"],
)
def test_small_work_takes_one_thread_large_work_all_and_the_setting_stays(images, run):
    for model, expected in ((small(), 1), (large(), 2)):
        run(model, images)
        assert model.seen == {expected}
        assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_where_the_work_is_not_known_all_threads_are_taken(images):
    for run in (
        lambda model: train(model, loader(images), epochs=1, progress=False),
        lambda model: train(model, images, augment=lambda x, generator: x, epochs=1, progress=False),
        lambda model: evaluate(model, loader(images)),
        lambda model: predict(model, loader(images)),
    ):
        model = small()
        run(model)
        assert model.seen == {2}


@pytest.mark.usefixtures("two_threads")
def test_a_large_teacher_of_a_small_student_answers_on_all_threads(images):
    teacher, student = large(), small()
    distill(student, teacher, images, epochs=1, batch_size=100, progress=False)
    assert (teacher.seen, student.seen) == ({2}, {1})
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_after_an_error_the_setting_is_as_before(images):
    with pytest.raises(FloatingPointError):
        train(small(), images, lr=1e30, epochs=3, progress=False)
    assert torch.get_num_threads() == 2


def test_one_thread_is_never_raised(images):
    with threads(1):
        model = large()
        train(model, images, epochs=1, batch_size=100, progress=False)
        assert model.seen == {1}


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(("count", "expected"), [(2, 1), (40, 2)])
def test_a_stack_takes_threads_by_the_work_of_all_its_students(images, monkeypatch, count, expected):
    seen = set()
    monkeypatch.setattr(
        "kdtutor.stack.kl_by_example", lambda *args: seen.add(torch.get_num_threads()) or kl_by_example(*args)
    )
    data = Dataset("images", images, images, images)
    sweep(
        lambda seed: mlp(784, 30, 10, seed=seed),
        data,
        torch.zeros(200, 10),
        seeds=range(count),
        epochs=1,
        batch_size=64,
        progress=False,
    )
    assert seen == {expected}
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (mlp(784, 128, 10), (3, 1, 28, 28)),
        (cnn(), (2, 1, 28, 28)),
        (nn.Sequential(nn.Conv1d(4, 6, 3, groups=2, stride=2), nn.Flatten(), nn.Linear(6 * 4, 3)), (5, 4, 10)),
        (nn.Linear(7, 2), (5, 9, 7)),
    ],
)
def test_multiplications_are_those_that_torch_counts(model, shape):
    inputs = torch.rand(shape)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(inputs)
    assert multiplications(model, inputs) == counter.get_total_flops() / 2


@pytest.mark.parametrize("model", [nn.LSTM(4, 3), nn.TransformerEncoderLayer(4, 1), nn.Bilinear(2, 3, 4)])
def test_the_work_of_other_layers_is_taken_for_large(model):
    assert multiplications(model, torch.rand(1, 1, 4)) == math.inf


def test_counting_leaves_the_model_as_it_was(frozen):
    state = {name: value.clone() for name, value in frozen.state_dict().items()}
    modes = [module.training for module in frozen.modules()]
    assert multiplications(frozen, torch.rand(2, 3)) == 24
    assert modes == [module.training for module in frozen.modules()]
    assert all(torch.equal(value, state[name]) for name, value in frozen.state_dict().items())
    assert not any(module._forward_hooks for module in frozen.modules())
