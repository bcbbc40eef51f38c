"""Views: the images that `data.jitter` shows, and the logits that the teacher itself would give to them."""

import pytest
import torch
from torch import nn

from kdtutor import Split, distill, fit, jitter, mlp
from kdtutor.data import JitteredSplit, as_input, batches
from kdtutor.views import Views

CPU = torch.device("cpu")


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
def test_the_images_are_those_of_jitter_batch_after_batch(split, size, dtype):
    batch = torch.randint(1, 256, size, generator=seeded(0)).to(dtype)
    before, ours, theirs = batch.clone(), seeded(3), seeded(3)
    for _ in range(4):
        moved, _ = JitteredSplit(split).show(batch, ours)
        assert moved.dtype == dtype
        assert torch.equal(moved, jitter(batch, theirs))
    assert torch.equal(ours.get_state(), theirs.get_state())
    assert torch.equal(batch, before)


def test_without_a_generator_too(split):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        ours, _ = JitteredSplit(split).show(split.inputs, None)
        torch.manual_seed(5)
        assert torch.equal(ours, jitter(split.inputs))


def test_the_batches_are_those_of_a_split_that_is_jittered(split):
    """Rows, labels and images; and each image is that of its view."""
    ours, theirs = seeded(4), seeded(4)
    shown = JitteredSplit(split)
    pairs = zip(batches(shown, 40, CPU, ours), batches(split, 40, CPU, theirs, jitter), strict=True)
    for (images, labels, rows_of_views), (expected, expected_labels, rows) in pairs:
        assert torch.equal(images, expected)
        assert torch.equal(labels, expected_labels)
        assert torch.equal(rows_of_views % 90, rows)
        for image, row in zip(images, rows_of_views.tolist(), strict=True):
            view, example = divmod(row, 90)
            assert torch.equal(image, shown.view(view).inputs[example])


def test_the_logits_are_the_teachers_own_to_the_batch_as_it_is_shown(views, split, teacher):
    logits = views.logits.flatten(0, 1)
    for batch_size in (90, 40, 1):
        for images, _, rows in batches(views.jittered(split), batch_size, CPU, seeded(1)):
            assert torch.equal(logits[rows], teacher(images))
    assert not logits.requires_grad


def test_bytes_are_scaled_as_in_training(images):
    teacher = mlp(784, 8, 10, seed=0).double()
    views = Views(images, teacher, device="cpu")
    shown, _, rows = next(batches(views.jittered(images), 64, CPU, seeded(0)))
    assert shown.dtype == torch.uint8
    expected = teacher(as_input(shown, torch.float64)).detach()
    torch.testing.assert_close(views.logits.flatten(0, 1)[rows], expected)


def test_the_teacher_is_asked_once_for_each_of_the_25_views_in_eval_mode_and_is_handed_back(split, teacher):
    asked, model = [], nn.Sequential(teacher, nn.Dropout(0.5))
    model.register_forward_hook(lambda model, inputs, output: asked.append((len(output), model[1].training)))
    views = Views(split, model, device="cpu")
    assert asked == [(90, False)] * 25
    assert views.logits.shape == (25, 90, 4)
    assert all(module.training for module in model.modules())
    student = mlp(30, 4, 4, seed=0).double()
    distill(student, views, split, epochs=3, device="cpu", progress=False)
    assert len(asked) == 25


def test_all_25_views_are_shown_and_their_logits_differ(views, split):
    """One image again and again: what was shown says which view's logits are right."""
    _, shown = JitteredSplit(split).show(split.inputs[:1].expand(1_000, 1, 6, 5), seeded(0))
    assert sorted(set(shown.tolist())) == list(range(25)) == list(range(JitteredSplit(split).views))
    assert len({tuple(row) for row in views.logits[:, 0].tolist()}) == 25


SOFT = {"temperature": 3.0, "alpha": 0.8}


def options(seed):
    return {"epochs": 3, "batch_size": 64, "seed": seed, "device": "cpu", "progress": False}


@pytest.mark.parametrize("seed", [0, 7])
def test_distilling_from_views_gives_the_student_of_distill_with_jitter(images, seed):
    teacher = mlp(784, 12, 10, seed=9).double()
    views = Views(images, teacher, device="cpu")
    ours, theirs, unmoved = (mlp(784, 6, 10, dropout=0.2, seed=1).double() for _ in range(3))
    history = distill(ours, views, images, validation=images, **SOFT, **options(seed))
    expected = distill(theirs, teacher, images, augment=jitter, validation=images, **SOFT, **options(seed))
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), rtol=1e-9, atol=1e-9)
    assert history.validation_errors == expected.validation_errors
    distill(unmoved, teacher, images, **SOFT, **options(seed))
    assert not torch.allclose(ours[1].weight, unmoved[1].weight, atol=1e-3)  # the comparison would see other images


def test_a_loss_of_ones_own_is_told_which_views_are_shown(images):
    teacher = mlp(784, 12, 10, seed=9).double()
    logits = Views(images, teacher, device="cpu").logits.flatten(0, 1)

    def loss(student_logits, inputs, labels, index):
        expected = teacher(as_input(inputs, torch.float64)).detach()
        torch.testing.assert_close(logits[index], expected)
        return (student_logits - logits[index]).square().mean()

    fit(mlp(784, 6, 10, seed=1).double(), JitteredSplit(images), loss, **options(0))


def test_the_labels_may_be_others_and_the_images_may_not(views, split):
    student = mlp(30, 4, 4, seed=0).double()
    relabelled = Split(split.inputs, split.labels.flip(0))
    distill(student, views, relabelled, epochs=1, device="cpu", progress=False)
    shuffled = split[torch.arange(90).flip(0)]
    for other in (split[:89], shuffled, [(split.inputs, split.labels)]):
        with pytest.raises(ValueError, match="data must be a Split of the very images of which the Views were made"):
            distill(student, views, other, device="cpu", progress=False)
    with pytest.raises(ValueError, match="augment must be None where the teacher is Views"):
        distill(student, views, split, augment=jitter, device="cpu", progress=False)
