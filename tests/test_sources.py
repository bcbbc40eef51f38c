"""What the files of each data set hold: as torchvision reads them, and as is published of the real ones."""

import bz2

import numpy as np
import pytest
import torch
from torchvision import datasets

from kdtutor import data, load
from kdtutor.data import files
from kdtutor.data.sources import SOURCES

USPS_TEST_COUNTS = [359, 264, 198, 166, 200, 160, 170, 147, 166, 177]


def at_hand(name):
    return any(SOURCES[name].layout(root) for root in data.places())


def usps_lines(count, seed):
    """Lines as in usps.bz2, with random labels and pixels."""
    random = np.random.RandomState(seed)
    lines = []
    for label, pixels in zip(random.randint(1, 11, count), random.uniform(-1, 1, (count, 256)), strict=True):
        cells = [f"{i}:{pixel:.6g}" for i, pixel in enumerate(pixels, start=1)]
        lines.append(" ".join([str(label), *cells]) + " \n")
    lines[0] = "10 " + " ".join(f"{i}:{(-1, 1)[i % 2]}" for i in range(1, 257)) + "\n"
    return "".join(lines).encode()


@pytest.mark.parametrize("name", SOURCES)
def test_torchvision_has_the_data_set_under_this_name(name):
    source = SOURCES[name]
    dataset = getattr(datasets, source.name)
    if name == "usps":
        names = {file for _, file, _ in dataset.split_list.values()}
    else:
        names = {file.removesuffix(".gz") for file, _ in dataset.resources}
        assert source.layouts[0].folder.parts == (source.name, "raw")
    assert set(source.layouts[0].files) == names


def test_usps_is_decoded_as_torchvision_does_it(tmp_path):
    layout = SOURCES["usps"].layouts[0]
    contents = [bz2.compress(usps_lines(count, seed=count)) for count in (30, 20)]
    for name, content in zip(layout.files, contents, strict=True):
        (tmp_path / name).write_bytes(content)

    tensors = layout.decode([bytearray(content) for content in contents])
    for images, labels, train in ((*tensors[:2], True), (*tensors[2:], False)):
        other = datasets.USPS(tmp_path, train=train)
        assert torch.equal(images, torch.from_numpy(other.data).unsqueeze(1))
        assert torch.equal(labels, torch.tensor(other.targets))


def test_usps_is_read_in_either_layout(tmp_path):
    source = SOURCES["usps"]
    assert source.layout(tmp_path) is None
    for layout in reversed(source.layouts):  # torchvision's is preferred
        (tmp_path / layout.folder).mkdir(parents=True, exist_ok=True)
        for name in layout.files:
            (tmp_path / layout.folder / name).touch()
        assert source.layout(tmp_path) is layout
    with pytest.raises(files.DataError, match=r"usps.bz2 has 0 bytes where USPS's has 6,579,383"):
        files.read(source, tmp_path)


@pytest.mark.skipif(not at_hand("usps"), reason="needs USPS")
def test_usps_is_the_published_one_and_blurred_as_torchvisions():
    usps = load("usps", download=False)
    assert repr(usps) == "Dataset(usps: train 6,291, validation 1,000, test 2,007)"
    assert usps.train.inputs.shape[1:] == usps.test.inputs.shape[1:] == (1, 16, 16)
    assert usps.test.labels.bincount().tolist() == USPS_TEST_COUNTS
    learnt = torch.cat([usps.train.labels, usps.validation.labels])
    assert learnt.bincount().tolist() == [1194, 1005, 731, 658, 652, 556, 664, 645, 542, 644]

    # torchvision's test images; the sharp ones have a mean of 68.2 and a standard deviation of 100.1
    ink = usps.test.inputs.double()
    assert ink.mean().item() == pytest.approx(66.270, abs=0.01)
    assert ink.std().item() == pytest.approx(78.606, abs=0.01)
    row = torch.tensor([0, 10, 64, 158, 188, 131, 67, 31, 16, 18, 54, 136, 192, 132, 35, 2])
    assert (ink[0, 0, 3] - row).abs().max() <= 1


@pytest.mark.skipif(not at_hand("fashion"), reason="needs Fashion-MNIST")
def test_fashion_has_as_many_images_of_each_class():
    fashion = load("fashion", download=False)
    assert repr(fashion) == "Dataset(fashion: train 55,000, validation 5,000, test 10,000)"
    assert fashion.test.labels.bincount().tolist() == 10 * [1_000]
    learnt = torch.cat([fashion.train.labels, fashion.validation.labels])
    assert learnt.bincount().tolist() == 10 * [6_000]
