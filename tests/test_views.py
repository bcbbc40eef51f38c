"""Views: the images that `data.jitter` shows, and the answers that the teacher itself would give to them."""

import pytest
import torch
from torch import nn

from kdtutor import Split, distill, distillation_loss, jitter, mlp
from kdtutor.data import as_input
from kdtutor.training import fit
from kdtutor.views import Views


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def whole_numbers(seed, *size):
    """In float64, in which sums and products of small whole numbers are exact in any order."""
    return torch.randint(-9, 10, size, generator=seeded(seed)).double()


@pytest.fixture(scope="module")
def split():
    """90 images of 6x5 whole numbers, floating point: they go into a model as they are."""
    return Split(whole_numbers(0, 90, 1, 6, 5), torch.arange(90) % 4)


@pytest.fixture(scope="module")
def teacher():
    """A linear teacher that answers in whole numbers, so that no order of its sums can round."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(30, 4)).double()
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(whole_numbers(weight.dim(), *weight.shape))
    return model


@pytest.fixture(scope="module")
def views(split, teacher):
    return Views(split, teacher, device="cpu")


@pytest.mark.parametrize("size", [(7, 1, 28, 28), (64, 1, 6, 5), (1, 3, 4, 4)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_the_images_are_those_of_jitter_batch_after_batch(views, size, dtype):
    batch = torch.randint(1, 256, size, generator=seeded(0)).to(dtype)
    before, ours, theirs = batch.clone(), seeded(3), seeded(3)
    for _ in range(4):
        moved = views.jitter(batch, ours)
        assert moved.dtype == dtype
        assert torch.equal(moved, jitter(batch, theirs))
    assert torch.equal(ours.get_state(), theirs.get_state())
    assert torch.equal(batch, before)


def test_without_a_generator_too(views, split):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        ours = views.jitter(split.inputs)
        torch.manual_seed(5)
        assert torch.equal(ours, jitter(split.inputs))


def test_the_answers_are_the_teachers_own_to_the_batch_as_it_was_shown(views, split, teacher):
    generator = seeded(1)
    for count in (90, 40, 1, 90):
        index = torch.randperm(90, generator=generator)[:count]
        images = views.jitter(split.inputs[index], generator)
        answers = views.answers_to(index)
        assert torch.equal(answers, teacher(images))
        assert not answers.requires_grad


def test_only_the_latest_batch_counts_and_it_may_be_asked_about_twice(views, split, teacher):
    index, generator = torch.arange(90), seeded(2)
    views.jitter(split.inputs, generator)
    images = views.jitter(split.inputs, generator)
    for _ in range(2):
        assert torch.equal(views.answers_to(index), teacher(images))


def test_bytes_are_scaled_as_in_training(images):
    teacher, generator = mlp(784, 8, 10, seed=0).double(), seeded(0)
    views = Views(images, teacher, device="cpu")
    index = torch.randperm(200, generator=generator)[:64]
    moved = views.jitter(images.inputs[index], generator)
    assert moved.dtype == torch.uint8
    torch.testing.assert_close(views.answers_to(index), teacher(as_input(moved, torch.float64)).detach())


def test_the_teacher_is_asked_once_for_each_of_the_25_views_in_eval_mode_and_is_handed_back(split, teacher):
    asked, model = [], nn.Sequential(teacher, nn.Dropout(0.5))
    model.register_forward_hook(lambda model, inputs, output: asked.append((len(output), model[1].training)))
    views = Views(split, model, device="cpu")
    assert asked == [(90, False)] * 25
    assert views.logits.shape == (25, 90, 4)
    assert all(module.training for module in model.modules())
    for _ in range(3):
        views.jitter(split.inputs)
        views.answers_to(torch.arange(90))
    assert len(asked) == 25


def test_all_25_views_are_shown_and_their_answers_differ(views, split):
    """One image again and again: what was shown says which view's answer is right."""
    index = torch.zeros(1_000, dtype=torch.int64)
    views.jitter(split.inputs[index], seeded(0))
    answers = {tuple(row) for row in views.answers_to(index).tolist()}
    assert answers == {tuple(row) for row in views.logits[:, 0].tolist()}
    assert len(answers) == 25


@pytest.mark.parametrize("seed", [0, 7])
def test_fit_with_views_gives_the_student_of_distill_with_jitter(images, seed):
    teacher = mlp(784, 12, 10, seed=9).double()
    views = Views(images, teacher, device="cpu")
    soft = {"temperature": 3.0, "alpha": 0.8}
    options = {"augment": jitter, "epochs": 3, "batch_size": 64, "seed": seed, "device": "cpu", "progress": False}
    ours, theirs, unmoved = (mlp(784, 6, 10, dropout=0.2, seed=1).double() for _ in range(3))

    def loss(logits, inputs, labels, index):
        return distillation_loss(logits, views.answers_to(index), labels, **soft)

    fit(ours, images, loss, **options | {"augment": views.jitter})
    distill(theirs, teacher, images, **soft, **options)
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), rtol=1e-9, atol=1e-9)
    distill(unmoved, teacher, images, **soft, **options | {"augment": None})
    assert not torch.allclose(ours[1].weight, unmoved[1].weight, atol=1e-3)  # the comparison would see other images
