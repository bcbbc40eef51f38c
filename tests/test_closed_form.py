"""Gradients in closed form, with autograd as their oracle."""

import math
from functools import partial

import pytest
import torch
from torch import nn

from kdtutor import Split, cnn, distill, mlp, train, training
from kdtutor._closed_form import Objective, ReluChain, has_closed_form, is_relu_chain
from kdtutor.losses import distillation_loss

CPU = torch.device("cpu")
DOUBLE = torch.float64
QUICK = {"epochs": 3, "batch_size": 70, "lr": 0.02, "device": "cpu", "progress": False}  # of 600: the last is shorter
SGD = partial(torch.optim.SGD, momentum=0.9)

# Of the loss, with respect to the logits


@pytest.fixture
def batch():
    """Logits (K, C, B) of students and teacher, and labels (K, B)."""
    generator = torch.Generator().manual_seed(0)
    student, teacher = 3 * torch.randn(2, 3, 5, 7, generator=generator, dtype=DOUBLE)
    return student, teacher, torch.randint(0, 5, (3, 7), generator=generator)


def by_autograd(student, teacher, labels, temperature, alpha):
    """`distillation_loss` of each network, and its gradient, both stacked."""
    losses, gradients = [], []
    for z, z_teacher, y, t, a in zip(student, teacher, labels, temperature, alpha, strict=True):
        leaf = z.T.detach().requires_grad_()
        loss = distillation_loss(leaf, z_teacher.T, y, temperature=t, alpha=a)
        losses.append(loss.detach())
        gradients.append(torch.autograd.grad(loss, leaf)[0].T)
    return torch.stack(losses), torch.stack(gradients)


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE], ids=str)
@pytest.mark.parametrize("alpha", [[0.0] * 3, [1.0] * 3, [0.0, 0.5, 1.0], [0.9, 0.1, 0.5]], ids=str)
@pytest.mark.parametrize("temperature", [[1.0] * 3, [0.5, 4.0, 100.0]], ids=str)
def test_the_gradient_at_the_logits_is_autograds(batch, temperature, alpha, dtype):
    student, teacher, labels = batch
    objective = Objective(temperature, alpha, dtype, CPU)
    p = objective.soften(teacher.to(dtype))
    gradient = objective.gradient(student.to(dtype), objective.targets(p, labels))
    losses, expected = by_autograd(student, teacher, labels, temperature, alpha)
    tolerance = {"rtol": 1e-12, "atol": 1e-14} if dtype == DOUBLE else {"rtol": 1e-4, "atol": 1e-5}
    torch.testing.assert_close(gradient.double(), expected, **tolerance)

    entropy = -torch.xlogy(p, p).sum(1).mean(1) * objective.a.flatten() * objective.t.flatten() ** 2
    tolerance = {"rtol": 1e-12, "atol": 1e-10} if dtype == DOUBLE else {"rtol": 1e-4, "atol": 1e-2}
    torch.testing.assert_close(objective.losses(student.to(dtype), p, labels) - entropy, losses.to(dtype), **tolerance)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_a_class_that_the_teacher_rules_out_pulls_as_by_autograd(batch, alpha):
    student, teacher, labels = batch
    teacher[:, 2] = -math.inf
    objective = Objective([4.0] * 3, [alpha] * 3, DOUBLE, CPU)
    p = objective.soften(teacher)
    gradient = objective.gradient(student, objective.targets(p, labels))
    _, expected = by_autograd(student, teacher, labels, [4.0] * 3, [alpha] * 3)
    torch.testing.assert_close(gradient, expected, rtol=1e-12, atol=1e-14)
    assert objective.losses(student, p, labels).isfinite().all()


def test_a_class_that_both_rule_out_adds_nothing(batch):
    student, teacher, labels = batch
    ruled_out = torch.full_like(student[:, :1], -math.inf)
    objective = Objective([4.0] * 3, [1.0] * 3, DOUBLE, CPU)
    p = objective.soften(teacher)
    with_class = torch.cat([student, ruled_out], dim=1)
    p_with_class = objective.soften(torch.cat([teacher, ruled_out], dim=1))
    assert torch.equal(objective.losses(with_class, p_with_class, labels), objective.losses(student, p, labels))
    gradient = objective.gradient(with_class, objective.targets(p_with_class, labels))
    assert torch.equal(gradient[:, :5], objective.gradient(student, objective.targets(p, labels)))
    assert (gradient[:, 5] == 0).all()


# Of a network, with respect to its weights


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE], ids=str)
@pytest.mark.parametrize("groups", [1, 2, 6])
@pytest.mark.parametrize("sizes", [(12, 3), (12, 8, 3), (12, 8, 7, 3), (12, 6, 6, 5, 3)], ids=str)
def test_every_gradient_is_autograds(sizes, groups, dtype):
    networks = [mlp(*sizes, seed=seed).to(DOUBLE) for seed in range(6)]
    stacked, _ = torch.func.stack_module_state(networks)
    weights = [weight.detach().to(dtype) for weight in stacked.values()]
    gradients = [torch.full_like(weight, math.nan) for weight in weights]
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(9, groups, 3, 4, generator=generator, dtype=DOUBLE)  # (B, S, ...)
    at_logits = torch.randn(6, 3, 9, generator=generator, dtype=DOUBLE)

    chain = ReluChain(weights, gradients)
    logits = chain.logits(inputs.to(dtype))
    chain.backward(at_logits.to(dtype))

    tolerance = {"rtol": 1e-12, "atol": 1e-13} if dtype == DOUBLE else {"rtol": 1e-4, "atol": 1e-4}
    for k, network in enumerate(networks):
        expected = network(inputs[:, k * groups // 6]).T
        torch.testing.assert_close(logits[k].double(), expected, **tolerance)
        expected.backward(at_logits[k])
        for gradient, weight in zip(gradients, network.parameters(), strict=True):
            torch.testing.assert_close(gradient[k].double(), weight.grad, **tolerance)


def changed(change):
    network = mlp(4, 3, 2)
    change(network)
    return network


@pytest.mark.parametrize(
    ("network", "is_one"),
    [
        (mlp(4, 2), True),
        (mlp(4, 3, 3, 2).double(), True),
        (mlp(4, 3, 2).half(), False),
        (mlp(4, 3, 2).bfloat16(), False),
        (mlp(4, 3, 2, dropout=0.1), False),
        (cnn(2, 4), False),
        (nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)), False),
        (nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.Linear(3, 2)), False),
        (nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU()), False),
        (nn.Sequential(nn.Flatten(), nn.ReLU(), nn.Linear(4, 3)), False),
        (nn.Sequential(nn.Flatten()), False),
        (nn.Sequential(nn.Linear(4, 3)), False),
        (changed(lambda net: net[1].register_forward_hook(lambda *_: None)), False),
        (changed(lambda net: net[1].weight.register_hook(lambda gradient: None)), False),
        (changed(lambda net: net[1].weight.register_post_accumulate_grad_hook(lambda weight: None)), False),
        (changed(lambda net: net[1].weight.requires_grad_(False)), False),
        (changed(lambda net: setattr(net[1].weight, "data", torch.zeros(4, 3).T)), False),
    ],
)
def test_what_is_a_chain_is_known(network, is_one):
    assert is_relu_chain(network) == is_one


# Whole trainings


def both_ways(run, monkeypatch):
    """The network that `run` trains and its history, in closed form and by autograd."""
    backward, calls = torch.Tensor.backward, []
    monkeypatch.setattr(torch.Tensor, "backward", lambda *args: calls.append(1) or backward(*args))
    ours = run()
    assert not calls, "it must not have used autograd"
    with monkeypatch.context() as patch:
        patch.setattr(training, "has_closed_form", lambda *_: False)
        theirs = run()
    assert calls
    return ours, theirs


@pytest.mark.parametrize("optimizer", [torch.optim.Adam, SGD], ids=["Adam", "SGD"])
@pytest.mark.parametrize("alpha", [None, 0.0, 0.5, 1.0])
@pytest.mark.parametrize("sizes", [(2, 3), (2, 16, 3), (2, 8, 7, 3)], ids=str)
def test_whole_trainings_are_those_by_autograd(blobs, monkeypatch, sizes, alpha, optimizer):
    teacher_logits = 3 * torch.randn(600, 3, generator=torch.Generator().manual_seed(1))

    def run():
        network = mlp(*sizes, seed=0).double()
        options = QUICK | {"optimizer": optimizer, "validation": blobs[:100], "seed": 5}
        if alpha is None:
            return network, train(network, blobs, **options)
        return network, distill(network, teacher_logits, blobs, temperature=3.0, alpha=alpha, **options)

    (ours, our_history), (theirs, their_history) = both_ways(run, monkeypatch)
    for weight, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(weight, other, rtol=1e-9, atol=1e-11)
    assert our_history.measured().keys() == their_history.measured().keys()
    for name, values in our_history.measured().items():
        assert values == pytest.approx(their_history.measured()[name], rel=1e-6)


def test_a_network_that_is_all_zeros_errs_as_by_autograd(blobs, monkeypatch):
    """All logits are equal then: the first class counts as the answer."""

    def run():
        network = mlp(2, 3).double()
        nn.init.zeros_(network[1].weight)
        nn.init.zeros_(network[1].bias)
        return train(network, blobs, **QUICK | {"epochs": 1, "batch_size": 600}).train_errors

    ours, theirs = both_ways(run, monkeypatch)
    assert ours == theirs


def test_images_of_bytes_are_scaled(images, monkeypatch):
    def run():
        network = mlp(784, 9, 10, seed=0)
        return train(network, images, **QUICK).train_loss

    ours, theirs = both_ways(run, monkeypatch)
    assert ours == pytest.approx(theirs, rel=1e-4)


def test_an_optimizer_may_make_new_tensors_and_forget_gradients(blobs, new_tensors):
    ours, theirs = mlp(2, 8, 3, seed=0).double(), mlp(2, 8, 3, seed=0).double()
    train(ours, blobs, optimizer=new_tensors, **QUICK)
    train(theirs, blobs, optimizer=torch.optim.SGD, **QUICK)
    for weight, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(weight, other)


@pytest.mark.parametrize("temperature", [4.0, 1e-200])
def test_at_alpha_0_no_temperature_and_no_teacher_matters(blobs, temperature):
    alone, distilled = mlp(2, 8, 3, seed=0).double(), mlp(2, 8, 3, seed=0).double()
    train(alone, blobs, **QUICK)
    distill(distilled, torch.full((600, 3), math.nan), blobs, temperature=temperature, alpha=0, **QUICK)
    for weight, other in zip(alone.parameters(), distilled.parameters(), strict=True):
        assert torch.equal(weight, other)


def test_ctrl_c_keeps_the_epochs_that_are_finished(blobs):
    class Interrupted(torch.optim.SGD):
        steps = 0

        def step(self):
            self.steps += 1
            if self.steps == 2 * 9 + 4:  # the fourth of nine batches of the third epoch
                raise KeyboardInterrupt
            super().step()

    network = mlp(2, 8, 3, seed=0).double()
    history = train(network, blobs, optimizer=Interrupted, **QUICK)
    assert history.interrupted
    assert len(history.train_loss) == 2


def test_a_loss_that_is_no_longer_finite_stops_the_run(blobs):
    with pytest.raises(FloatingPointError, match=r"got nan in epoch 1: try a smaller lr than 1e\+300"):
        train(mlp(2, 8, 3, seed=0).double(), blobs, optimizer=torch.optim.SGD, **QUICK | {"lr": 1e300})


def test_gradients_are_left_to_autograd_where_a_step_is_another():
    def no_change(inputs, generator):
        return inputs

    split, loader = Split(torch.zeros(6, 4), torch.tensor([0, 1] * 3)), []
    known = partial(has_closed_form, mlp(4, 3, 2))
    assert known(split, None, None, None, CPU)
    assert known(split, torch.zeros(6, 2), None, None, CPU)
    assert not known(split, torch.zeros(6, 3), None, None, CPU)
    assert not known(split, torch.zeros(6, 2, 1), None, None, CPU)
    assert not known(loader, None, None, None, CPU)
    assert not known(split, None, no_change, None, CPU)
    assert not known(split, None, None, torch.bfloat16, CPU)
    assert not known(Split(torch.zeros(6, 5), split.labels), None, None, None, CPU)
    assert not known(Split(split.inputs, 2 * split.labels), None, None, None, CPU)
    with torch.autocast("cpu", torch.bfloat16):
        assert not known(split, None, None, None, CPU)
