"""Threads by the work; what else `on_device` does is tested where it serves, in test_models and test_training."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from kdtutor import Dataset, cnn, distill, evaluate, mlp, predict, sweep, train
from kdtutor._closed_form import Objective
from kdtutor._device import MAX_ONE_THREAD_MULTIPLICATIONS, threads, threads_for


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
    assert MAX_ONE_THREAD_MULTIPLICATIONS < 784 * 500 * 100
    return Spy(*mlp(784, 500, 10, seed=seed))


def loader(images):
    return [(images.inputs[:100] / 255, images.labels[:100])]


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
        lambda model, images: predict(model, images.inputs, batch_size=100),
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
    seen, gradient = set(), Objective.gradient
    monkeypatch.setattr(Objective, "gradient", lambda *args: seen.add(torch.get_num_threads()) or gradient(*args))
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


CPU = torch.device("cpu")


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("sizes", [(784, 128, 10), (7, 5, 4, 3)])
def test_the_work_is_counted_as_torch_counts_it(sizes, monkeypatch):
    """Where the limit is the very count of a batch's forward pass, one thread; just below it, two."""
    model, inputs = mlp(*sizes), torch.rand(16, sizes[0])
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(inputs)
    for limit, expected in ((counter.get_total_flops() // 2, 1), (counter.get_total_flops() // 2 - 1, 2)):
        monkeypatch.setattr("kdtutor._device.MAX_ONE_THREAD_MULTIPLICATIONS", limit)
        assert threads_for(model, inputs, 100, CPU) == expected
        assert threads_for(model, inputs[:8], 100, CPU, copies=2) == expected
        assert threads_for(model, torch.rand(100, sizes[0]), 16, CPU) == expected


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (cnn(2, 4), (1, 28, 28)),  # a convolution uses its weights many times
        (nn.Linear(7, 2), (9, 7)),  # so does a linear layer over a sequence
        (nn.LSTM(4, 3), (4,)),
        (nn.TransformerEncoderLayer(4, 1), (4,)),
        (nn.Sequential(nn.Embedding(5, 3), nn.Flatten(), nn.Linear(6, 2)), (2,)),
        (nn.Sequential(nn.Flatten(), nn.LazyLinear(3)), (2,)),
        (nn.Identity(), (4,)),
    ],
)
def test_the_work_of_other_networks_is_taken_for_large(model, shape):
    assert threads_for(model, torch.zeros(3, *shape), 1, CPU) == 2


@pytest.mark.usefixtures("two_threads")
def test_a_sweep_that_fails_leaves_the_setting_as_it_was(images):
    class Stop(torch.optim.SGD):
        def step(self):
            assert torch.get_num_threads() == 1
            raise self.error

    data = Dataset("images", images, images, images)
    run = partial(sweep, lambda seed: mlp(784, 5, 10, seed=seed), data, torch.zeros(200, 10), seeds=[0, 1])
    Stop.error = KeyboardInterrupt
    assert run(optimizer=Stop, progress=False).interrupted
    assert torch.get_num_threads() == 2
    Stop.error = RuntimeError
    with pytest.raises(RuntimeError):
        run(optimizer=Stop, progress=False)
    assert torch.get_num_threads() == 2
