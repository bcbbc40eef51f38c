"""The data sets that are read from files: which files there are, and how they are decoded."""

import bz2
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kdtutor.data.files import Layout, Source

USPS_BLUR = 0.75  # standard deviation in pixels; with it the sharp images become torchvision's


def _idx(contents: Sequence[bytearray]) -> list[Tensor]:
    """Of four IDX files: images have a header of 16 bytes, labels one of 8, then comes one byte per value."""
    tensors = []
    for images, labels in (contents[:2], contents[2:]):
        height, width = np.frombuffer(images, dtype=">i4", offset=8, count=2).tolist()
        tensors.append(torch.frombuffer(images, dtype=torch.uint8, offset=16).view(-1, 1, height, width))
        tensors.append(torch.frombuffer(labels, dtype=torch.uint8, offset=8).long())
    return tensors


def _libsvm(contents: Sequence[bytearray]) -> list[Tensor]:
    """Of two compressed text files: each line is a digit plus 1 and 256 pixels from -1 to 1, "7 1:-1 … 256:-0.9"."""
    tensors = []
    for content in contents:
        values = re.sub(rb"\d+:", b"", bz2.decompress(content)).split()
        rows = np.array(values, dtype=np.float32).reshape(-1, 257)
        tensors.append(_usps_images(rows[:, 1:]))
        tensors.append(torch.from_numpy(rows[:, 0]).long() - 1)
    return tensors


def _sharp_usps(contents: Sequence[bytearray]) -> list[Tensor]:
    """Of four IDX files with USPS's own sharp images, which are blurred: libsvm's, to within one grey level."""
    from scipy.ndimage import gaussian_filter

    tensors = _idx(contents)
    for i in (0, 2):
        pixels = tensors[i].numpy() / 127.5 - 1
        tensors[i] = _usps_images(gaussian_filter(pixels, (0, 0, USPS_BLUR, USPS_BLUR), mode="constant", cval=-1))
    return tensors


def _usps_images(pixels: np.ndarray) -> Tensor:
    """Pixels from -1 to 1 as torchvision turns them into uint8: (N, 1, 16, 16)."""
    return torch.from_numpy(((pixels + 1) / 2 * 255).astype(np.uint8)).view(-1, 1, 16, 16)


MNIST_FILES = {
    "train-images-idx3-ubyte": (47_040_016, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
    "train-labels-idx1-ubyte": (60_008, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
    "t10k-images-idx3-ubyte": (7_840_016, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
    "t10k-labels-idx1-ubyte": (10_008, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
}
FASHION_FILES = {
    "train-images-idx3-ubyte": (47_040_016, "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"),
    "train-labels-idx1-ubyte": (60_008, "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"),
    "t10k-images-idx3-ubyte": (7_840_016, "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"),
    "t10k-labels-idx1-ubyte": (10_008, "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
}
USPS_FILES = {
    "usps.bz2": (6_579_383, "3771e9dd6ba685185f89867b6e249233dd74652389f263963b3b741e994b034f"),
    "usps.t.bz2": (1_831_726, "a9c0164e797d60142a50604917f0baa604f326e9a689698763793fa5d12ffc4e"),
}
SHARP_USPS_FILES = {
    "train-images-idx3-ubyte": (1_866_512, "4cd4bc62e6551318fe9ea956ca4b009b0d0393b480c2694b0042358c8349d345"),
    "train-labels-idx1-ubyte": (7_299, "ca21dd4e5a91233d38069e4f468988d3b56f6ce37e1a579a5ad1bd02395488c6"),
    "test-images-idx3-ubyte": (513_808, "c457a5ed04299c6a38754b797879bb527abb519e4ec8afccc932d6018f35192a"),
    "test-labels-idx1-ubyte": (2_015, "9d60836db74a1ffe67829f9a2546bd594d5d321f778dbca1578c041da94483a2"),
}

SOURCES = {
    "mnist": Source(
        name="MNIST",
        layouts=(Layout(Path("MNIST/raw"), MNIST_FILES, _idx),),
        by_hand_hint="Put MNIST's four files, unzipped, into its MNIST/raw/, "
        "or name a folder that has them in KDTUTOR_DATA.",
    ),
    "fashion": Source(
        name="FashionMNIST",
        layouts=(Layout(Path("FashionMNIST/raw"), FASHION_FILES, _idx),),
        by_hand_hint="Put Fashion-MNIST's four files, unzipped, into its FashionMNIST/raw/, "
        "or name a folder that has them in KDTUTOR_DATA.",
    ),
    "usps": Source(
        name="USPS",
        layouts=(
            Layout(Path(), USPS_FILES, _libsvm),
            Layout(Path("USPS/raw"), SHARP_USPS_FILES, _sharp_usps),
        ),
        by_hand_hint="Put usps.bz2 and usps.t.bz2 into it, or name a folder that has them in KDTUTOR_DATA.",
        validation=1_000,
    ),
}
