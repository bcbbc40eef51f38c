"""The networks' shapes, sizes and seeds, and what `on_device` promises."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from kdtutor import cnn, count_parameters, mlp
from kdtutor._device import dtype_of, on_device, pick_device
from kdtutor.models import Ensemble

CUDA = pytest.param("cuda", marks=pytest.mark.gpu)


@pytest.mark.parametrize("sizes", [(4, 3), (4, 5, 3), (784, 30, 20, 10)])
def test_mlp_has_the_sizes_asked_for(sizes):
    model = mlp(*sizes)
    assert model(torch.zeros(6, sizes[0])).shape == (6, sizes[-1])
    assert count_parameters(model) == sum((inputs + 1) * outputs for inputs, outputs in pairwise(sizes))


def test_mlp_flattens_images():
    model, images = mlp(784, 8, 10, seed=0), torch.rand(5, 1, 28, 28)
    assert torch.equal(model(images), model(images.reshape(5, 784)))


def test_mlp_is_its_formula():
    model, x = mlp(4, 5, 6, 3, seed=0), torch.randn(7, 4)
    a, b, c = (layer for layer in model if isinstance(layer, nn.Linear))
    hidden = (x @ a.weight.T + a.bias).clamp(min=0)
    hidden = (hidden @ b.weight.T + b.bias).clamp(min=0)
    torch.testing.assert_close(model(x), hidden @ c.weight.T + c.bias)


def kinds(model):
    return " ".join(type(layer).__name__ for layer in model)


def test_dropout_follows_every_hidden_layer_of_an_mlp_and_nothing_else():
    assert kinds(mlp(4, 5, 6, 3)) == "Flatten Linear ReLU Linear ReLU Linear"
    model = mlp(4, 5, 6, 3, dropout=0.3)
    assert kinds(model) == "Flatten Linear ReLU Dropout Linear ReLU Dropout Linear"
    assert {layer.p for layer in model if isinstance(layer, nn.Dropout)} == {0.3}
    assert kinds(mlp(4, 3, dropout=0.3)) == "Flatten Linear"


@pytest.mark.parametrize(("channels", "hidden", "classes"), [(16, 128, 10), (2, 3, 4)])
def test_cnn_has_the_size_asked_for(channels, hidden, classes):
    model = cnn(channels, hidden, classes)
    assert model(torch.zeros(6, 1, 28, 28)).shape == (6, classes)
    convolutions = (9 + 1) * channels + (9 * channels + 1) * 2 * channels
    linear = (49 * 2 * channels + 1) * hidden + (hidden + 1) * classes
    assert count_parameters(model) == convolutions + linear


def test_dropout_of_a_cnn_is_before_both_linear_layers():
    model = cnn(2, 3, 4, dropout=0.4)
    assert kinds(model[6:]) == "Flatten Dropout Linear ReLU Dropout Linear"
    assert [layer.p for layer in model if isinstance(layer, nn.Dropout)] == [0.4, 0.4]


@pytest.fixture
def members():
    """Three networks that differ in size, float64."""
    return [mlp(4, hidden, 3, dropout=0.5, seed=hidden).double().eval() for hidden in (5, 6, 7)]


def test_an_ensemble_answers_with_its_members_mean_logits(members):
    x = torch.randn(6, 4, dtype=torch.float64)
    a, b, c = (member(x) for member in members)
    answers = Ensemble(*members)(x)
    torch.testing.assert_close(answers, (a + b + c) / 3)
    geometric = (a.softmax(-1) * b.softmax(-1) * c.softmax(-1)) ** (1 / 3)
    torch.testing.assert_close(answers.softmax(-1), geometric / geometric.sum(-1, keepdim=True))


def test_an_ensemble_answers_with_the_logarithm_of_its_members_mean_probabilities(members):
    x = torch.randn(6, 4, dtype=torch.float64)
    a, b, c = (member(x).softmax(-1) for member in members)
    torch.testing.assert_close(Ensemble(*members, average="probabilities")(x), ((a + b + c) / 3).log())


def test_mean_probabilities_too_small_for_their_dtype_still_have_a_logarithm():
    logits = torch.tensor([[0.0, -1000.0, -2000.0]])
    answers = Ensemble(nn.Identity(), nn.Identity(), average="probabilities")(logits)
    torch.testing.assert_close(answers, logits)


def test_an_ensemble_of_one_is_its_member(members):
    x = torch.randn(6, 4, dtype=torch.float64)
    logits = members[0](x)
    assert torch.equal(Ensemble(members[0])(x), logits)
    answers = Ensemble(members[0], average="probabilities")(x)
    torch.testing.assert_close(answers.softmax(-1), logits.softmax(-1))


@pytest.mark.parametrize("average", ["logits", "probabilities"])
def test_an_ensembles_order_and_repetition_change_nothing(members, average):
    x = torch.randn(6, 4, dtype=torch.float64)
    expected = Ensemble(*members, average=average)(x)
    torch.testing.assert_close(Ensemble(*members[::-1], average=average)(x), expected)
    torch.testing.assert_close(Ensemble(*members, *members, average=average)(x), expected)


def test_an_ensemble_is_a_module_like_others(members):
    one, other = Ensemble(*members), Ensemble(*(mlp(4, hidden, 3, dropout=0.5).double().eval() for hidden in (5, 6, 7)))
    assert count_parameters(one) == sum(map(count_parameters, members))
    other.load_state_dict(one.state_dict())
    x = torch.randn(6, 4, dtype=torch.float64)
    assert torch.equal(one(x), other(x))
    for training in (True, False):
        one.train(training)
        assert {mode for member in members for mode in modes(member)} == {training}


def test_shared_parameters_count_once():
    layer = nn.Linear(3, 3)
    assert count_parameters(nn.Sequential(layer, nn.ReLU(), layer)) == 12


@pytest.mark.parametrize("make", [lambda seed: mlp(4, 5, 3, seed=seed), lambda seed: cnn(2, 3, 4, seed=seed)])
def test_a_seed_fixes_every_bit_and_leaves_the_global_state(make):
    before = torch.get_rng_state()
    one, again, other = (nn.utils.parameters_to_vector(make(seed).parameters()) for seed in (7, 7, 8))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("make", [lambda **options: mlp(4, 5, 3, **options), lambda **options: cnn(2, 3, 4, **options)])
def test_without_a_seed_the_global_state_draws_the_same_way(make):
    with torch.random.fork_rng():
        torch.manual_seed(7)
        drawn = nn.utils.parameters_to_vector(make().parameters())
        assert not torch.equal(drawn, nn.utils.parameters_to_vector(make().parameters()))
    assert torch.equal(drawn, nn.utils.parameters_to_vector(make(seed=7).parameters()))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mlp(), r"sizes must hold at least inputs and classes, got \(\)$"),
        (lambda: mlp(784), r"sizes must hold at least inputs and classes, got \(784,\)$"),
        (lambda: mlp(784, 0, 10), "each of sizes must be a whole number >= 1, got 0$"),
        (lambda: mlp(784, 30.0, 10), "each of sizes must be a whole number >= 1, got 30.0$"),
        (lambda: mlp(784, True), "each of sizes must be a whole number >= 1, got True$"),
        (lambda: mlp(4, 3, dropout=1.5), "dropout must be a number from 0 to 1, got 1.5$"),
        (lambda: mlp(4, 3, seed="a"), "seed must be a whole number, got 'a'$"),
        (lambda: cnn(channels=0), "channels must be a whole number >= 1, got 0$"),
        (lambda: cnn(hidden=-1), "hidden must be a whole number >= 1, got -1$"),
        (lambda: cnn(classes=None), "classes must be a whole number >= 1, got None$"),
        (lambda: Ensemble(), "members must be at least one network, got none$"),
        (lambda: Ensemble(average="probabilities"), "members must be at least one network, got none$"),
        (lambda: Ensemble(nn.Identity(), average="votes"), "average must be 'logits' or 'probabilities', got 'votes'$"),
        (lambda: Ensemble(nn.Identity(), average=None), "average must be 'logits' or 'probabilities', got None$"),
        (lambda: cnn(dropout=-0.1), "dropout must be a number from 0 to 1, got -0.1$"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def modes(model):
    return [module.training for module in model.modules()]


@pytest.mark.parametrize("training", [True, False])
def test_a_model_is_in_one_mode_and_comes_back_module_by_module(frozen, training):
    before = modes(frozen)
    with on_device(frozen, torch.device("cpu"), training=training):
        assert modes(frozen) == [training] * 4
    assert modes(frozen) == before


def test_a_model_comes_back_after_an_error(frozen):
    before = modes(frozen)
    with pytest.raises(ZeroDivisionError), on_device(frozen, torch.device("cpu"), training=False):
        _ = 1 / 0
    assert modes(frozen) == before


@pytest.mark.parametrize("device", ["cpu", CUDA])
def test_a_model_is_on_the_device_and_comes_home(frozen, device):
    tensors = [*frozen.parameters(), *frozen.buffers()]
    with on_device(frozen, torch.device(device), training=True):
        assert {tensor.device.type for tensor in frozen.state_dict().values()} == {device}
    assert {tensor.device.type for tensor in frozen.state_dict().values()} == {"cpu"}
    for tensor, back in zip(tensors, [*frozen.parameters(), *frozen.buffers()], strict=True):
        assert torch.equal(tensor.cpu(), back)


def test_a_model_without_parameters_can_be_moved():
    model = nn.Flatten()
    with on_device(model, torch.device("cpu"), training=False):
        assert not model.training
    assert model.training


def test_dtype_of():
    assert dtype_of(mlp(2, 2)) == torch.float32
    assert dtype_of(mlp(2, 2).double()) == torch.float64
    assert dtype_of(mlp(2, 2).half()) == torch.float16
    assert dtype_of(nn.Flatten()) == torch.float32


def test_pick_device():
    assert pick_device("cpu") == pick_device(torch.device("cpu")) == torch.device("cpu")
    assert pick_device() == torch.device("cpu")


@pytest.mark.gpu
def test_a_gpu_is_taken_if_there_is_one():
    assert pick_device().type == pick_device("cuda").type == "cuda"


def test_a_gpu_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match=r"got cuda, and torch finds no GPU$"):
        pick_device("cuda")
