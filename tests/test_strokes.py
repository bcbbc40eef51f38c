"""The built-in digits: what they promise to whoever trains on them."""

import pytest
import torch

from kdtutor.data import strokes

MIDDLE = 13.5  # of a row or column of 28 pixels


@pytest.fixture(scope="module")
def digits():
    """4,000 digits as the training half of a small data set."""
    images, labels, _, _ = strokes.make(train=4_000, test=1, seed=0)
    return images, labels


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def class_means(images, labels):
    """Mean image of each digit, (10, 784)."""
    return torch.stack([images[labels == digit].float().mean(0).flatten() for digit in range(10)])


def test_make_gives_two_halves_of_the_sizes_asked_for():
    train_images, train_labels, test_images, test_labels = strokes.make(train=70, test=30)
    assert (train_images.shape, test_images.shape) == ((70, 1, 28, 28), (30, 1, 28, 28))
    assert (train_labels.shape, test_labels.shape) == ((70,), (30,))
    assert train_images.dtype == test_images.dtype == torch.uint8
    assert train_labels.dtype == test_labels.dtype == torch.int64


def test_draw_goes_on_over_chunks_and_takes_none(monkeypatch):
    monkeypatch.setattr(strokes, "IMAGES_AT_ONCE", 4)
    images = strokes.draw(torch.arange(10), seeded(0))
    assert (images.shape, images.dtype) == ((10, 1, 28, 28), torch.uint8)
    assert (images.flatten(1).amax(1) == 255).all()
    assert strokes.draw(torch.empty(0, dtype=torch.int64)).shape == (0, 1, 28, 28)


def test_white_ink_on_black(digits):
    images, _ = digits
    assert (images == 0).float().mean() > 0.7  # paper is clean
    assert (images.flatten(1).amax(1) == 255).all()  # each has a full line
    assert 0.09 < images.float().mean() / 255 < 0.18  # 0.13 in MNIST


def test_labels_are_roughly_balanced(digits):
    _, labels = digits
    counts = labels.bincount(minlength=10)
    assert len(counts) == 10
    assert ((counts > 320) & (counts < 480)).all()


def test_a_seed_fixes_every_bit():
    for once, again in zip(strokes.make(300, 50, seed=3), strokes.make(300, 50, seed=3), strict=True):
        assert torch.equal(once, again)


def test_another_seed_draws_other_digits():
    for one, other in zip(strokes.make(300, 50, seed=3), strokes.make(300, 50, seed=4), strict=True):
        assert not torch.equal(one, other)


def test_the_halves_are_different_and_do_not_depend_on_each_other():
    train_images, _, test_images, _ = strokes.make(100, 100)
    assert not torch.equal(train_images, test_images)
    assert torch.equal(test_images, strokes.make(7, 100)[2])


def test_no_half_repeats_in_the_next_seed():
    halves = [strokes.make(20, 20, seed)[half] for seed in (0, 1, 2) for half in (0, 2)]
    assert len({images.numpy().tobytes() for images in halves}) == 6


def test_no_two_images_are_the_same(digits):
    images, _ = digits
    assert len(images.flatten(1).unique(dim=0)) == len(images)


def test_the_global_random_state_is_left_alone():
    before = torch.get_rng_state()
    strokes.make(20, 20)
    strokes.draw(torch.arange(10), seeded(0))
    assert torch.equal(before, torch.get_rng_state())


def test_without_a_generator_the_global_one_draws():
    with torch.random.fork_rng():
        torch.manual_seed(5)
        assert torch.equal(strokes.draw(torch.arange(10)), strokes.draw(torch.arange(10), seeded(5)))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([1, 2], r"labels must be a tensor of int64 and shape \(N,\), got list"),
        (torch.tensor([1.0]), r"int64 and shape \(N,\), got torch.float32 \(1,\)"),
        (torch.tensor([1], dtype=torch.int32), r"int64 and shape \(N,\), got torch.int32 \(1,\)"),
        (torch.tensor(1), r"int64 and shape \(N,\), got torch.int64 \(\)"),
        (torch.tensor([[1]]), r"int64 and shape \(N,\), got torch.int64 \(1, 1\)"),
        (torch.tensor([0, 10]), r"labels must be in 0\.\.9, got 0\.\.10"),
        (torch.tensor([-1, 9]), r"labels must be in 0\.\.9, got -1\.\.9"),
    ],
)
def test_bad_labels_are_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        strokes.draw(labels)


@pytest.mark.parametrize("name", ["train", "test"])
@pytest.mark.parametrize("count", [0, -5, 2.0, "10", None])
def test_bad_counts_are_refused(name, count):
    with pytest.raises(ValueError, match=f"{name} must be a whole number of images >= 1, got {count!r}"):
        strokes.make(**{"train": 1, "test": 1, name: count})


def test_digits_are_centred(digits):
    images, _ = digits
    ink = images[:, 0].float() / images.float().sum((1, 2, 3)).view(-1, 1, 1)
    off = torch.stack([ink.sum(axis) @ torch.arange(28.0) for axis in (1, 2)]) - MIDDLE  # x and y, (2, N)
    assert (off.mean(1).abs() < 0.1).all()
    assert (off.abs().amax(0) < 3).float().mean() > 0.98


def test_digits_are_about_20_pixels_long_and_not_cut_off(digits):
    images, _ = digits
    inked = images[:, 0] > 50
    spans = torch.stack([inked.any(axis).int() for axis in (1, 2)])  # columns and rows, (2, N, 28)
    longer = (28 - spans.argmax(-1) - spans.flip(-1).argmax(-1)).amax(0)
    assert 19 <= longer.median() <= 21
    assert ((longer >= 16) & (longer <= 24)).float().mean() > 0.98
    assert spans[:, :, [0, -1]].amax((0, 2)).float().mean() < 0.02  # touch the border


def test_classes_can_be_told_apart_but_not_by_their_means_alone(digits):
    images, labels = digits
    means = class_means(images[:2_000], labels[:2_000])
    nearest = torch.cdist(images[2_000:].flatten(1).float(), means).argmin(1)
    right = (nearest == labels[2_000:]).float().mean()
    assert 0.6 < right < 0.9  # 0.82 in MNIST


@pytest.mark.parametrize("alike", [(4, 9), (1, 7), (3, 8), (5, 6), (0, 6), (3, 5)])
def test_digits_that_people_confuse_are_nearer_than_unrelated_ones(digits, alike):
    means = class_means(*digits)
    distance = torch.cdist(means, means)
    for unlike in [(0, 1), (2, 4), (0, 7), (6, 7), (1, 8), (2, 5)]:
        assert distance[alike] < distance[unlike]


def test_every_style_is_drawn_inside_its_box():
    control, curve, drawn, count, first = strokes._styles()
    assert list(strokes.STYLES) == list(range(10))
    assert len(control) == count.sum()
    assert first.tolist() == [0, *count.cumsum(0)[:-1].tolist()]
    torch.testing.assert_close(curve.sum(-1), torch.ones_like(curve[..., 0]))  # moves with its points
    assert (curve @ control).abs().max() < 0.6  # the box is ±0.5; a curve may swing out a little
    steps = (curve @ control).diff(dim=1).norm(dim=-1)
    assert steps[drawn].max() < 0.12  # a longer one would leave dots, or ink a lift of the pen


def test_the_pen_passes_through_its_points_turns_at_corners_and_lifts():
    points, pieces = strokes._parse("0,0 100,0! 100,100 | 0,50 40,50")
    assert pieces == [[0, 1], [1, 2], [3, 4]]
    assert points.tolist() == [[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0], pytest.approx([-0.1, 0])]
    curve, drawn = strokes._curve(points, pieces, columns=6)
    x, y = (curve[:, :5] @ points).unbind(-1)
    on_a_line = torch.stack([(y + 0.5).abs(), (x - 0.5).abs(), y.abs()]).amin(0)
    assert on_a_line.max() < 1e-6  # straight pieces stay straight up to the corner
    assert (~drawn).sum() == 1
    assert x.diff()[~drawn] < -0.9


def test_a_lifted_pen_leaves_no_ink():
    _, length = strokes._write(torch.full((50,), 4), seeded(0))  # each style of the four lifts the pen once
    assert ((length == 0).sum((1, 2)) == 1).all()
