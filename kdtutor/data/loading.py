"""Data sets by name: MNIST and others from disk or the network, and the built-in strokes."""

import hashlib
import os
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize
from torch import Tensor

from kdtutor import _paths
from kdtutor._io import write
from kdtutor.data import files, strokes
from kdtutor.data.files import DataError, Source
from kdtutor.data.sources import SOURCES
from kdtutor.data.splits import Dataset, Split


def folder() -> Path:
    """Where data lies: the folder that KDTUTOR_DATA names, else the course's `data/`, else (for a kdtutor that was
    installed without its course) ``~/.cache/kdtutor``."""
    named = os.environ.get("KDTUTOR_DATA")
    if named:
        return Path(named).expanduser()
    course = _paths.checkout()
    if course is not None:
        return course / "data"
    return Path.home() / ".cache" / "kdtutor"


def shipped() -> Path:
    """The course's own `data/` folder, with the records of its long runs. Raises FileNotFoundError where the package
    is installed without the course."""
    return _paths.in_checkout("data")


def places() -> tuple[Path, ...]:
    """Where data sets are looked for, in this order."""
    course = _paths.checkout()
    if course is None or folder() == course / "data":
        return (folder(),)
    return (folder(), course / "data")


def load(name: str = "mnist", *, fallback: str | None = None, download: bool = True) -> Dataset:
    """Load a data set of images in ten classes, with splits for training, validation and test.

    Args:
        name: "mnist" (LeCun, Cortes & Burges), "fashion" (Fashion-MNIST: Xiao et al. 2017), "strokes", digits drawn
            by `kdtutor.data.strokes`, or "usps" (postal digits: Hull 1994).
        fallback: "strokes" takes the built-in digits where the data set can't be had, and prints one line saying so.
        download: whether it may be fetched through torchvision.

    Images are 28 x 28, with 55,000 to train, 5,000 to validate and 10,000 to test. USPS has 6,291, 1,000 and 2,007
    images of 16 x 16, blurred a little, as torchvision has them.

    Files are looked for in the folder of KDTUTOR_DATA, then in `data/`, then downloaded. The validation images are
    some of the training images, chosen at random once for all. Raises DataError, naming the file, where a data set is
    damaged or can't be downloaded.
    """
    if name not in (*SOURCES, "strokes"):
        raise ValueError(f"name must be 'mnist', 'fashion', 'strokes' or 'usps', got {name!r}")
    if fallback not in (None, "strokes"):
        raise ValueError(f"fallback must be None or 'strokes', got {fallback!r}")
    if name == "strokes":
        return _dataset("strokes", _strokes())
    source = SOURCES[name]
    try:
        return _dataset(name, _from_files(source, download), source.validation)
    except DataError as error:
        if fallback is None:
            raise
        print(f"Using the built-in 'strokes' digits instead of {source.name}: {error}")
        return _dataset("strokes", _strokes())


def _from_files(source: Source, download: bool) -> list[Tensor]:
    for root in places():
        if source.layout(root):
            return files.read(source, root)
    if not download:
        raise DataError(f"{source.name} isn't in {folder()}, and download is False. {source.by_hand_hint}")
    files.fetch(source, folder())
    return files.read(source, folder())


def _strokes() -> list[Tensor]:
    """The built-in digits, drawn once and kept in the data folder; a damaged copy is drawn again."""
    path = folder() / f"strokes-{strokes.VERSION}.safetensors"
    names = ("train_images", "train_labels", "test_images", "test_labels")
    try:
        with safe_open(path, framework="pt") as file:
            tensors = [file.get_tensor(name) for name in names]
            if file.metadata() == {"sha256": _checksum(tensors)}:
                return tensors
    except (OSError, SafetensorError):
        pass  # there is none, or a damaged one

    tensors = list(strokes.make())
    content = serialize(dict(zip(names, tensors, strict=True)), metadata={"sha256": _checksum(tensors)})
    try:
        write(path, content)
    except OSError as error:
        print(f"Each load draws the strokes digits anew: {error}")
    return tensors


def _checksum(tensors: list[Tensor]) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.numpy().data)
    return digest.hexdigest()


def _dataset(name: str, tensors: list[Tensor], validation: int = 5_000) -> Dataset:
    """Of the training images some are for validation, chosen at random and always the same: NumPy keeps the stream
    of RandomState. Not by a rule such as every twelfth: MNIST's even rows are twice as hard as its odd ones."""
    images, labels, test_images, test_labels = tensors
    whole = Split(images, labels)
    shuffled = torch.from_numpy(np.random.RandomState(0).permutation(len(labels)))
    return Dataset(name, whole[shuffled[validation:]], whole[shuffled[:validation]], Split(test_images, test_labels))
