"""Data: which images are loaded from where, how they are split, changed and batched, and what is refused."""

import errno
import multiprocessing
import os
import re

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, Subset, TensorDataset
from torch.utils.data import Dataset as TorchDataset
from torchvision.datasets import MNIST
from torchvision.transforms.functional import to_pil_image, to_tensor

from kdtutor import Dataset, Split, _paths, data, jitter, load
from kdtutor.data import files, strokes
from kdtutor.data.sources import SOURCES

CPU = torch.device("cpu")


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def pixels(count, *size):
    return torch.randint(1, 256, (count, *size), generator=seeded(count), dtype=torch.uint8)


TENSORS = (pixels(5_001, 1, 28, 28), torch.arange(5_001) % 10, pixels(10, 1, 28, 28), torch.arange(10))


def contents(dataset):
    return [tensor for split in (dataset.train, dataset.validation, dataset.test) for tensor in vars(split).values()]


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(contents(one), contents(other), strict=True))


@pytest.fixture
def root(tmp_path, monkeypatch):
    """An empty data folder, with no course beside it and no network."""

    def download(name, root):
        raise RuntimeError("no network")

    monkeypatch.setenv("KDTUTOR_DATA", str(tmp_path))
    monkeypatch.setattr(_paths, "PACKAGE", tmp_path / "no course" / "kdtutor")
    monkeypatch.setattr(files, "_download", download)
    return tmp_path


@pytest.fixture
def drawn(monkeypatch):
    """Few strokes instead of 70,000, and a list of the times that they were drawn."""
    times = []

    def make():
        times.append(len(times))
        return TENSORS

    monkeypatch.setattr(strokes, "make", make)
    return times


@pytest.fixture
def fake_mnist(root, monkeypatch):
    """MNIST's sizes, with the number of the row in each label and in the two pixels of each image."""

    def rows(count):
        row = torch.arange(count)
        return torch.stack([row // 256, row % 256], 1).to(torch.uint8).view(count, 1, 1, 2), row

    monkeypatch.setattr(files.Layout, "present", lambda layout, root: True)
    monkeypatch.setattr(files, "read", lambda source, root: [*rows(60_000), *rows(10_000)])


# Where data lies


def test_the_folder_is_the_named_one_then_the_courses_then_a_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(_paths, "PACKAGE", tmp_path / "kdtutor")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KDTUTOR_DATA", raising=False)
    assert data.folder() == tmp_path / ".cache" / "kdtutor"
    (tmp_path / "data").mkdir()  # somebody's, as long as it lacks what the course ships there
    assert data.folder() == tmp_path / ".cache" / "kdtutor"
    (tmp_path / "data" / "README.md").touch()
    assert data.folder() == tmp_path / "data"
    monkeypatch.setenv("KDTUTOR_DATA", "~/elsewhere")
    assert data.folder() == tmp_path / "elsewhere"
    assert data.places() == (tmp_path / "elsewhere", tmp_path / "data")


@pytest.mark.parametrize("holders", [("named", "data"), ("named",), ("data",)])
def test_mnist_is_read_from_the_first_place_that_has_it(tmp_path, monkeypatch, fake_mnist, holders):
    asked, read = [], files.read
    monkeypatch.setenv("KDTUTOR_DATA", str(tmp_path / "named"))
    monkeypatch.setattr(_paths, "checkout", lambda: tmp_path)
    monkeypatch.setattr(files.Layout, "present", lambda layout, root: root.name in holders)
    monkeypatch.setattr(files, "read", lambda source, root: asked.append(root.name) or read(source, root))
    load("mnist")
    assert asked == [holders[0]]


# MNIST


def test_mnist_is_split_into_three_that_together_are_everything(fake_mnist):
    digits = load("mnist")
    assert repr(digits) == "Dataset(mnist: train 55,000, validation 5,000, test 10,000)"
    learnt = torch.cat([digits.train.labels, digits.validation.labels])
    assert torch.equal(learnt.sort().values, torch.arange(60_000))
    assert torch.equal(digits.test.labels, torch.arange(10_000))


def test_images_go_with_their_labels(fake_mnist):
    digits = load("mnist")
    for split in (digits.train, digits.validation, digits.test):
        high, low = split.inputs.flatten(1).long().unbind(1)
        assert torch.equal(256 * high + low, split.labels)


def test_the_validation_images_are_the_same_each_time_whatever_the_global_seeds(fake_mnist):
    once = load("mnist")
    with torch.random.fork_rng():
        torch.manual_seed(5)
        np.random.seed(5)
        assert same(once, load("mnist"))


def test_the_validation_images_are_spread_over_even_and_odd_rows_early_and_late(fake_mnist):
    rows = load("mnist").validation.labels
    for half in (rows % 2 == 0, rows < 30_000):
        assert abs(half.double().mean() - 0.5) < 4 * 0.5 / 5_000**0.5  # four standard errors


def test_what_is_downloaded_is_loaded(root, monkeypatch, fake_mnist):
    fetched = []
    monkeypatch.setattr(files.Layout, "present", lambda layout, root: False)
    monkeypatch.setattr(files, "fetch", lambda source, root: fetched.append((source.name, root)))
    assert len(load("mnist").test) == 10_000
    assert fetched == [("MNIST", root)]


# Where MNIST can't be had


def test_without_a_fallback_it_is_an_error(root, drawn):
    with pytest.raises(data.DataError, match="no network"):
        load("mnist")
    assert not drawn


def test_the_fallback_says_so_in_one_line(root, drawn, capsys):
    assert load("mnist", fallback="strokes").name == "strokes"
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("Using the built-in 'strokes' digits instead of MNIST: ")
    assert "no network" in line


def test_the_fallback_is_not_taken_without_need(fake_mnist, drawn, capsys):
    assert load("mnist", fallback="strokes").name == "mnist"
    assert not drawn
    assert capsys.readouterr().out == ""


def test_download_can_be_forbidden(root, monkeypatch):
    monkeypatch.setattr(files, "fetch", lambda source, root: pytest.fail("it was tried"))
    with pytest.raises(data.DataError, match="download is False"):
        load("mnist", download=False)


@pytest.mark.parametrize(
    ("name", "title", "hint"),
    [("fashion", "FashionMNIST", "Put Fashion-MNIST's four files, unzipped"), ("usps", "USPS", "Put usps.bz2 and")],
)
def test_other_data_sets_are_missed_alike(root, drawn, capsys, name, title, hint):
    with pytest.raises(data.DataError, match=f"^{title} isn't in .* can't be downloaded there .no network.*{hint}"):
        load(name)
    with pytest.raises(data.DataError, match=f"^{title} isn't in .*, and download is False. {hint}"):
        load(name, download=False)
    assert load(name, fallback="strokes").name == "strokes"
    assert capsys.readouterr().out.startswith(f"Using the built-in 'strokes' digits instead of {title}: ")


def test_usps_keeps_1000_images_for_validation(fake_mnist):
    assert len(load("usps").validation) == 1_000


def test_a_damaged_mnist_is_reported_and_not_replaced(root, drawn, monkeypatch, capsys):
    monkeypatch.setattr(files, "fetch", lambda source, root: pytest.fail("it was fetched anew"))
    (layout,) = SOURCES["mnist"].layouts
    (root / layout.folder).mkdir(parents=True)
    for name in layout.files:
        (root / layout.folder / name).write_bytes(b"damaged")
    with pytest.raises(data.DataError, match=r"train-images-idx3-ubyte has 7 bytes where MNIST's has 47,040,016"):
        load("mnist")
    assert not drawn
    load("mnist", fallback="strokes")
    assert "train-images-idx3-ubyte has 7 bytes" in capsys.readouterr().out
    assert {path.read_bytes() for path in (root / layout.folder).iterdir()} == {b"damaged"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "MNIST"}, "name must be 'mnist', 'fashion', 'strokes' or 'usps', got 'MNIST'"),
        ({"name": None}, "name must be 'mnist', 'fashion', 'strokes' or 'usps', got None"),
        ({"fallback": "mnist"}, "fallback must be None or 'strokes', got 'mnist'"),
        ({"fallback": True}, "fallback must be None or 'strokes', got True"),
    ],
)
def test_bad_names_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        load(**arguments)


# Strokes and their cache


def cached(root):
    (path,) = root.glob("strokes-*.safetensors")
    return path


def test_strokes_are_drawn_once_and_then_read(root, drawn, capsys):
    once, again = load("strokes"), load("strokes")
    assert len(drawn) == 1
    assert same(once, again)
    assert torch.equal(again.test.inputs, TENSORS[2])
    assert capsys.readouterr().out == ""
    assert list(root.iterdir()) == [cached(root)]


def test_a_new_recipe_is_drawn_anew(root, drawn, monkeypatch):
    load("strokes")
    monkeypatch.setattr(strokes, "VERSION", strokes.VERSION + 1)
    load("strokes")
    assert len(drawn) == 2


def flip(position):
    return lambda content: content[:position] + bytes([content[position] ^ 1]) + content[position:][1:]


@pytest.mark.parametrize(
    "damage",
    [lambda content: content[: len(content) // 2], lambda content: b"", flip(0), flip(20), flip(10_000), flip(-1)],
    ids=["truncated", "empty", "length flipped", "header flipped", "image flipped", "last byte flipped"],
)
def test_a_damaged_cache_is_drawn_anew(root, drawn, damage):
    once = load("strokes")
    whole = cached(root).read_bytes()
    cached(root).write_bytes(damage(whole))
    assert same(once, load("strokes"))
    assert len(drawn) == 2
    assert same(once, load("strokes"))
    assert len(drawn) == 2


def refuse(*args, **options):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("a file in its place", errno.EEXIST),
        ("a folder in the cache's place", errno.EISDIR),
        ("full", errno.ENOSPC),
    ],
)
def test_a_folder_that_cannot_be_written_costs_one_line_and_no_data(root, drawn, monkeypatch, capsys, fault, reason):
    place = root / "data"
    path = place / f"strokes-{strokes.VERSION}.safetensors"
    monkeypatch.setenv("KDTUTOR_DATA", str(place))
    if fault == "a file in its place":
        place.touch()
    elif fault == "a folder in the cache's place":
        path.mkdir(parents=True)
    else:
        monkeypatch.setattr(os, "replace", refuse)
    assert torch.equal(load("strokes").test.inputs, TENSORS[2])
    refusal = f"{path} can't be written ({os.strerror(reason)})"
    assert capsys.readouterr().out == f"Each load draws the strokes digits anew: {refusal}\n"
    assert not [path for path in root.rglob("*") if path.name.endswith(".tmp")]


def load_together(root, together):
    """Load strokes, but let the other process finish drawing before either keeps them."""

    def make():
        together.wait(timeout=60)
        return TENSORS

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KDTUTOR_DATA", str(root))
        patch.setattr(strokes, "make", make)
        assert torch.equal(load("strokes").test.inputs, TENSORS[2])


def test_two_processes_at_once_keep_one_whole_cache(root, drawn):
    spawn = multiprocessing.get_context("spawn")
    together = spawn.Barrier(2)
    other = spawn.Process(target=load_together, args=(root, together))
    other.start()
    load_together(root, together)
    other.join(60)
    assert other.exitcode == 0
    load("strokes")
    assert not drawn
    assert list(root.iterdir()) == [cached(root)]


# Split


def test_a_split_says_what_it_holds(images, blobs):
    assert repr(images) == "Split(200 examples of 1x28x28 uint8, 10 classes)"
    assert repr(blobs) == "Split(600 examples of 2 float64, 3 classes)"
    assert repr(images[:1]) == "Split(1 examples of 1x28x28 uint8, 1 classes)"
    assert len(images) == 200


@pytest.mark.parametrize(
    "index",
    [slice(3, 9), slice(None, None, 7), [5, 5, 0], torch.tensor([4, 2]), torch.arange(200) % 3 == 0],
    ids=["slice", "strided", "list", "index tensor", "bool tensor"],
)
def test_an_index_takes_images_and_labels_alike(images, index):
    part = images[index]
    rows = torch.arange(200)[index]
    assert isinstance(part, Split)
    torch.testing.assert_close(part.inputs, torch.stack([images.inputs[row] for row in rows]))
    torch.testing.assert_close(part.labels, torch.stack([images.labels[row] for row in rows]))


def test_one_number_is_no_index(images):
    with pytest.raises(TypeError, match=r"got 3: split\[3:4\]\?"):
        images[3]


@pytest.mark.parametrize(
    ("pixels", "labels", "error", "message"),
    [
        (np.zeros((2, 3)), torch.zeros(2).long(), TypeError, "inputs must be .*, got ndarray"),
        (torch.zeros(2, 3).long(), torch.zeros(2).long(), TypeError, "inputs must be .*, got dtype torch.int64"),
        (torch.zeros(2, 3), [0, 0], TypeError, "labels must be an int64 tensor, got list"),
        (torch.zeros(2, 3), torch.zeros(2), TypeError, "labels must be an int64 tensor, got dtype torch.float32"),
        (torch.zeros(2, 3), torch.zeros(3).long(), ValueError, r"got shapes \(2, 3\) and \(3,\)"),
        (torch.zeros(2, 3), torch.zeros(2, 1).long(), ValueError, r"got shapes \(2, 3\) and \(2, 1\)"),
        (torch.zeros(2), torch.zeros(2).long(), ValueError, r"got shapes \(2,\) and \(2,\)"),
        (torch.zeros(0, 3), torch.zeros(0).long(), ValueError, "the same N >= 1 examples"),
        (torch.zeros(2, 3), torch.tensor([0, -100]), ValueError, "labels must be >= 0, got -100"),
    ],
)
def test_a_bad_split_is_refused(pixels, labels, error, message):
    with pytest.raises(error, match=message):
        Split(pixels, labels)


def test_a_split_equals_itself_alone(images):
    assert images == images
    assert images != Split(images.inputs, images.labels)
    assert images in {images}


def test_an_empty_part_is_refused(images):
    with pytest.raises(ValueError, match="N >= 1 examples"):
        images[:0]


def test_a_dataset_says_its_sizes(images):
    assert repr(Dataset("mine", images, images[:5], images[:2])) == "Dataset(mine: train 200, validation 5, test 2)"


# Datasets of one example at a time


class Listed(TorchDataset):
    """A map-style dataset of these examples."""

    def __init__(self, examples):
        self.examples = examples

    def __len__(self):
        return len(self.examples)

    def __getitem__(self, i):
        return self.examples[i]


@pytest.mark.parametrize("wrap", [list, tuple, Listed, lambda pairs: Subset(Listed(pairs), range(len(pairs)))])
def test_examples_are_stacked_in_order(numbered, wrap):
    split = Split.of(wrap([*zip(numbered.inputs, numbered.labels.tolist(), strict=True)]))
    assert torch.equal(split.inputs, numbered.inputs)
    assert torch.equal(split.labels, numbered.labels)


def test_a_tensor_dataset_gives_its_tensors(images):
    split = Split.of(TensorDataset(images.inputs, images.labels))
    assert torch.equal(split.inputs, images.inputs)
    assert torch.equal(split.labels, images.labels)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64, torch.float16], ids=str)
@pytest.mark.parametrize("kind", [lambda tensor: tensor, torch.Tensor.numpy], ids=["tensor", "array"])
def test_inputs_keep_their_dtype(dtype, kind):
    inputs = torch.arange(12).view(2, 6).to(dtype)
    split = Split.of([(kind(row), 0) for row in inputs])
    assert split.inputs.dtype == dtype
    assert torch.equal(split.inputs, inputs)


@pytest.mark.parametrize(
    "label", [3, np.int64(3), np.uint8(3), np.array(3), torch.tensor(3), torch.tensor(3, dtype=torch.int32)]
)
def test_whole_numbers_of_any_kind_are_labels(label):
    labels = Split.of([(torch.zeros(2), label), (torch.zeros(2), 0)]).labels
    assert labels.dtype == torch.int64
    assert labels.tolist() == [3, 0]


@pytest.mark.parametrize("channels", [1, 3])
def test_pil_images_become_bytes_channels_first(channels):
    tensors = pixels(4, channels, 5, 7)
    split = Split.of([(to_pil_image(tensor), i) for i, tensor in enumerate(tensors)])
    assert split.inputs.dtype == torch.uint8
    assert torch.equal(split.inputs, tensors)


def test_torchvisions_transforms_are_applied_once(tmp_path, miniature):
    miniature.put(tmp_path)
    mnist = MNIST(tmp_path, train=False, transform=lambda image: -to_tensor(image))
    split = Split.of(mnist)
    torch.testing.assert_close(split.inputs, miniature.tensors[2].float() / -255)
    assert torch.equal(split.labels, miniature.tensors[3])


class Endless(IterableDataset):
    def __iter__(self):
        yield torch.zeros(2), 0


class Counted(Endless):
    def __len__(self):
        return 1


A = torch.zeros(1, 28, 28)


@pytest.mark.parametrize(
    ("dataset", "error", "message"),
    [
        (Endless(), TypeError, "dataset must have a length and give examples by index, got Endless"),
        (Counted(), TypeError, "dataset must have a length and give examples by index, got Counted"),
        (iter([(A, 0)]), TypeError, "dataset must have a length and give examples by index, got list_iterator"),
        (DataLoader([(A, 0)]), TypeError, "dataset must have a length and give examples by index, got DataLoader"),
        ([], ValueError, "dataset must hold at least one example, got none"),
        ([(A, 0), A], TypeError, r"dataset must give pairs (input, label), got Tensor for example 1"),
        ([(A, 0), (A, 0, 0)], TypeError, r"dataset must give pairs (input, label), got tuple of 3 for example 1"),
        ([{"x": A, "y": 0}], TypeError, r"dataset must give pairs (input, label), got dict for example 0"),
        ([(A, 0), ("7.png", 0)], TypeError, "inputs must be tensors, arrays or PIL images, got str for example 1"),
        ([(A, 0), (A, 1.0)], TypeError, "labels must be whole numbers, got float for example 1"),
        ([(A, torch.tensor([0, 1]))], TypeError, "labels must be whole numbers, got shape (2,) for example 0"),
        ({"a": (A, 0)}, TypeError, "dataset must give examples by index, 0 to N - 1, got a dict of names"),
        ([(A, "cat")], TypeError, "labels must be whole numbers, got str for example 0"),
        ([(A, torch.tensor(1.0))], TypeError, "labels must be whole numbers, got dtype torch.float32 for example 0"),
        (
            [(A, 0), (A, 0), (A[:, 1:], 0)],
            ValueError,
            "inputs must have one shape, got (1, 28, 28) for example 0 and (1, 27, 28) for 2",
        ),
        (
            [(A, 0), (A.double(), 0)],
            ValueError,
            "inputs must have one dtype, got torch.float32 for example 0 and torch.float64 for 1",
        ),
        ([(A, -1)], ValueError, "labels must be >= 0, got -1"),
        ([(A.long(), 0)], TypeError, "inputs must be a uint8 or floating-point tensor, got dtype torch.int64"),
    ],
)
def test_a_dataset_that_cannot_be_stacked_is_refused(dataset, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        Split.of(dataset)


def test_inputs_that_a_network_made_are_taken_without_its_gradients():
    split = Split.of([(torch.rand(3, requires_grad=True) * 2, 0)])
    assert not split.inputs.requires_grad


# Ways to change a split


@pytest.fixture
def numbered():
    """1,000 examples of 10 classes, each image holding its row."""
    rows = torch.arange(1_000)
    return Split(rows.float().view(-1, 1), rows % 10)


def test_a_subset_is_of_different_examples_each_with_its_label(numbered):
    part = data.subset(numbered, 300)
    rows = part.inputs.flatten().long()
    assert len(rows.unique()) == len(part) == 300
    assert torch.equal(part.labels, rows % 10)


def test_a_seed_fixes_the_subset(numbered):
    once, again, other = (data.subset(numbered, 300, seed=seed).inputs for seed in (1, 1, 2))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)


@pytest.mark.parametrize("size", [0, -1, 2.0, True, 1_001])
def test_a_bad_size_is_refused(numbered, size):
    with pytest.raises(ValueError, match=f"size must be .*, got {size}"):
        data.subset(numbered, size)


@pytest.mark.parametrize("change", [data.subset, data.label_noise])
@pytest.mark.parametrize("seed", [1.5, "a", None])
def test_a_bad_seed_is_refused(numbered, change, seed):
    with pytest.raises(ValueError, match=f"^seed must be a whole number, got {seed!r}$"):
        change(numbered, 1, seed=seed)


@pytest.mark.parametrize("rate", [0, 0.1, 0.25, 1])
def test_label_noise_changes_just_that_fraction_and_no_image(numbered, rate):
    before = numbered.labels.clone()
    noisy = data.label_noise(numbered, rate)
    assert (noisy.labels != before).sum() == rate * 1_000
    assert set(noisy.labels.tolist()) == set(range(10))
    assert noisy.inputs is numbered.inputs
    assert torch.equal(numbered.labels, before)


def test_wrong_labels_are_uniform_over_the_other_classes(numbered):
    many = numbered[torch.arange(20_000) % 1_000]
    moved = (data.label_noise(many, 1).labels - many.labels) % 10
    counts = moved.bincount(minlength=10).double()
    assert counts[0] == 0
    assert (counts[1:] - 20_000 / 9).abs().max() < 4 * (20_000 / 9) ** 0.5


def test_a_seed_fixes_the_noise(numbered):
    once, again, other = (data.label_noise(numbered, 0.5, seed=seed).labels for seed in (1, 1, 2))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan"), "half"])
def test_a_bad_rate_is_refused(numbered, rate):
    with pytest.raises(ValueError, match="rate must be a number from 0 to 1"):
        data.label_noise(numbered, rate)


def test_label_noise_needs_a_second_class(numbered):
    with pytest.raises(ValueError, match=r"^split must hold a label above 0, or there is no wrong label to give$"):
        data.label_noise(numbered[numbered.labels == 0], 0.5)


def test_without_leaves_out_just_those_classes(numbered):
    rest = data.without(numbered, 3, 7)
    assert len(rest) == 800
    assert set(rest.labels.tolist()) == set(range(10)) - {3, 7}
    assert torch.equal(rest.labels, rest.inputs.flatten().long() % 10)
    assert len(data.without(numbered)) == 1_000


def shifted(image, down, right):
    """An image (C, H, W) shifted by so many pixels, one pixel at a time; what comes in is 0."""
    moved = torch.zeros_like(image)
    _, height, width = image.shape
    for row in range(height):
        for column in range(width):
            if 0 <= row - down < height and 0 <= column - right < width:
                moved[:, row, column] = image[:, row - down, column - right]
    return moved


@pytest.mark.parametrize(
    "batch",
    [
        pixels(80, 1, 6, 6),
        torch.rand(80, 3, 4, 7, generator=seeded(0)),
    ],
    ids=["grey bytes", "colour floats"],
)
@pytest.mark.parametrize("shift", [1, 2])
def test_jitter_shifts_each_image_by_its_own_few_pixels(batch, shift):
    before, seen = batch.clone(), set()
    result = jitter(batch, seeded(1), shift=shift)
    assert (result.shape, result.dtype) == (batch.shape, batch.dtype)
    assert torch.equal(batch, before)
    steps = [(down, right) for down in range(-shift, shift + 1) for right in range(-shift, shift + 1)]
    for image, moved in zip(batch, result, strict=True):
        (step,) = [step for step in steps if torch.equal(moved, shifted(image, *step))]
        seen.add(step)
    assert len(seen) > 0.8 * len(steps)


@pytest.mark.parametrize("shift", [1, 2])
@pytest.mark.parametrize(
    "image", [pixels(1, 1, 6, 5)[0], torch.rand(3, 4, 7, generator=seeded(0))], ids=["grey bytes", "colour floats"]
)
def test_shifted_moves_each_image_by_as_much_as_it_is_told(image, shift):
    """0 is the whole shift down or right, 2 * shift the whole shift up or left."""
    moves = [(down, right) for down in range(2 * shift + 1) for right in range(2 * shift + 1)]
    batch = image.expand(len(moves), *image.shape).clone()
    before = batch.clone()
    result = data.shifted(batch, *torch.tensor(moves).T, shift)
    assert result.dtype == image.dtype
    assert torch.equal(result, torch.stack([shifted(image, shift - down, shift - right) for down, right in moves]))
    assert torch.equal(batch, before)


def test_shifted_by_nothing_is_the_same_and_no_view_of_it(images):
    middle = torch.full((200,), 2)
    same = data.shifted(images.inputs, middle, middle, 2)
    assert torch.equal(same, images.inputs)
    assert same.data_ptr() != images.inputs.data_ptr()


@pytest.mark.parametrize("move", [(5, 0), (0, 5)])
def test_shifted_by_more_than_the_border_is_refused(images, move):
    down, right = (torch.full((200,), pixel) for pixel in move)
    with pytest.raises(IndexError, match="index 5 is out of bounds"):
        data.shifted(images.inputs, down, right, 2)


def test_jitter_keeps_the_ink_of_what_lies_in_the_middle():
    blob = torch.zeros(50, 1, 28, 28)
    blob[:, :, 4:24, 4:24] = torch.rand(50, 1, 20, 20, generator=seeded(0))
    torch.testing.assert_close(jitter(blob, shift=4).sum((1, 2, 3)), blob.sum((1, 2, 3)))


def test_a_generator_fixes_the_jitter(images):
    once, again, other = (jitter(images.inputs, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)


@pytest.mark.parametrize("shift", [0, -1, 1.5, True])
def test_a_bad_shift_is_refused(images, shift):
    with pytest.raises(ValueError, match=f"shift must be a whole number >= 1, got {shift}"):
        jitter(images.inputs, shift=shift)


@pytest.mark.parametrize("size", [(5, 784), (28, 28), (5, 28, 28), (2, 5, 1, 28, 28)])
def test_jitter_refuses_what_is_no_batch_of_images(size):
    message = re.escape(f"images must be (B, channels, H, W), got shape {size}")
    with pytest.raises(ValueError, match=f"^{message}$"):
        jitter(torch.zeros(size))


def test_like_mnist_scales_to_20_pixels_in_the_middle_of_28():
    inputs = pixels(50, 1, 16, 16)
    split = data.like_mnist(Split(inputs, torch.arange(50) % 10))
    assert split.inputs.shape == (50, 1, 28, 28)
    assert split.inputs.dtype == torch.uint8
    assert torch.equal(split.labels, torch.arange(50) % 10)

    # outermost pixels keep their value, and around them all is black
    inner = split.inputs[:, :, 4:24, 4:24]
    assert split.inputs.long().sum() == inner.long().sum()
    for row, column in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
        assert torch.equal(inner[..., row, column], inputs[..., row, column])

    # the second of 20 lies at 0.7 of 16: 0.3 and 0.7 of the first two
    expected = 0.3 * inputs[..., 0, 0] + 0.7 * inputs[..., 0, 1]
    assert (inner[..., 0, 1] - expected).abs().max() <= 0.51


@pytest.mark.parametrize(
    ("inputs", "came"),
    [(torch.zeros(2, 1, 16, 16), r"torch.float32 \(2, 1, 16, 16\)"), (pixels(2, 256), r"torch.uint8 \(2, 256\)")],
)
def test_like_mnist_refuses_what_are_no_images_of_bytes(inputs, came):
    with pytest.raises(ValueError, match=rf"^split must hold uint8 images \(N, C, H, W\), got {came}$"):
        data.like_mnist(Split(inputs, torch.zeros(2).long()))


# Batches


def test_batches_are_in_order_without_a_generator(numbered):
    sizes = []
    for inputs, labels, index in data.batches(numbered, 300, CPU):
        torch.testing.assert_close((inputs, labels), (numbered.inputs[index], numbered.labels[index]))
        assert torch.equal(index, torch.arange(len(index)) + sum(sizes))
        sizes.append(len(index))
    assert sizes == [300, 300, 300, 100]


def test_a_generator_shuffles_each_epoch_anew_and_leaves_no_row_out(numbered):
    generator, epochs = seeded(0), []
    for _ in range(2):
        parts = list(data.batches(numbered, 300, CPU, generator))
        for inputs, labels, index in parts:
            torch.testing.assert_close((inputs, labels), (numbered.inputs[index], numbered.labels[index]))
        epochs.append(torch.cat([index for _, _, index in parts]))
        assert torch.equal(epochs[-1].sort().values, torch.arange(1_000))
    assert len({tuple(rows.tolist()) for rows in (*epochs, torch.arange(1_000))}) == 3


def test_augmentation_sees_each_batch_and_the_generator(numbered):
    generator = seeded(0)
    for inputs, _, index in data.batches(numbered, 300, CPU, generator, lambda x, g: -x if g is generator else x):
        assert torch.equal(inputs, -numbered.inputs[index])


def test_an_iterable_brings_its_own_batches(numbered):
    loader = DataLoader(TensorDataset(numbered.inputs, numbered.labels), batch_size=400)
    for (inputs, labels, index), (own_inputs, own_labels) in zip(data.batches(loader, 7, CPU), loader, strict=True):
        torch.testing.assert_close((inputs, labels), (own_inputs, own_labels))
        assert index is None


@pytest.mark.parametrize(
    ("batch", "came"),
    [
        (torch.zeros(2, 3), "Tensor"),
        ({"x": 1, "y": 2}, "dict"),
        ((torch.zeros(2, 3),), "tuple of 1"),
        ([1, 2, 3], "list of 3"),
    ],
    ids=str,
)
def test_other_batches_are_refused(batch, came):
    with pytest.raises(TypeError, match=rf"^data must give pairs \(inputs, labels\), got {came}$"):
        list(data.batches([batch], 10, CPU))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_bytes_become_0_to_1_in_the_models_precision(dtype):
    levels = torch.arange(256, dtype=torch.uint8)
    torch.testing.assert_close(data.as_input(levels, dtype), torch.linspace(0, 1, 256, dtype=dtype))
    assert torch.equal(levels, torch.arange(256, dtype=torch.uint8))


def test_other_inputs_are_not_scaled():
    torch.testing.assert_close(data.as_input(torch.tensor([200.0]), torch.float64), torch.tensor([200.0]).double())
    torch.testing.assert_close(data.as_input(torch.tensor([200]), torch.float64), torch.tensor([200]))
