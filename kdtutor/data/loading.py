"""Data sets by name: MNIST from disk or the network, and the built-in strokes."""

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
from kdtutor.data import mnist, strokes
from kdtutor.data.mnist import DataError
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
    """Where MNIST is looked for, in this order."""
    course = _paths.checkout()
    if course is None or folder() == course / "data":
        return (folder(),)
    return (folder(), course / "data")


def load(name: str = "mnist", *, fallback: str | None = None, download: bool = True) -> Dataset:
    """Load a data set: 55,000 images to train, 5,000 to validate, 10,000 to test.

    Args:
        name: "mnist" (LeCun, Cortes & Burges) or "strokes", digits drawn by `kdtutor.data.strokes`.
        fallback: "strokes" takes the built-in digits where there is no MNIST, and prints one line that says so.
        download: whether MNIST may be fetched through torchvision.

    MNIST is looked for in the folder of KDTUTOR_DATA, then in `data/`, then downloaded. The validation images are
    5,000 of the training images, chosen at random once for all. Raises DataError, naming the file, where MNIST is
    damaged or can't be downloaded.
    """
    if name not in ("mnist", "strokes"):
        raise ValueError(f"name must be 'mnist' or 'strokes', got {name!r}")
    if fallback not in (None, "strokes"):
        raise ValueError(f"fallback must be None or 'strokes', got {fallback!r}")
    if name == "strokes":
        return _dataset("strokes", *_strokes())
    try:
        return _dataset("mnist", *_mnist(download))
    except DataError as error:
        if fallback is None:
            raise
        print(f"Using the built-in 'strokes' digits instead of MNIST: {error}")
        return _dataset("strokes", *_strokes())


def _mnist(download: bool) -> list[Tensor]:
    for root in places():
        if mnist.present(root):
            return mnist.read(root)
    if not download:
        raise DataError(f"MNIST isn't in {folder()}, and download is False. {mnist.BY_HAND_HINT}")
    mnist.fetch(folder())
    return mnist.read(folder())


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


def _dataset(name: str, images: Tensor, labels: Tensor, test_images: Tensor, test_labels: Tensor) -> Dataset:
    """Of the training images 5,000 are for validation, chosen at random and always the same: NumPy keeps the stream
    of RandomState. Not by a rule such as every twelfth: MNIST's even rows are twice as hard as its odd ones."""
    whole = Split(images, labels)
    shuffled = torch.from_numpy(np.random.RandomState(0).permutation(len(labels)))
    return Dataset(name, whole[shuffled[5000:]], whole[shuffled[:5000]], Split(test_images, test_labels))
