"""Images and labels in memory: MNIST from disk or the network, the built-in strokes, and ways to change a split.

Batches are taken by index from whole tensors, so there is no Python code per image. Models are not its business.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize
from torch import Tensor

from kdtutor import mnist, strokes
from kdtutor._check import came, check_count, check_fraction, check_seed, shape
from kdtutor._files import write
from kdtutor.mnist import DataError


@dataclass(frozen=True, repr=False, eq=False)
class Split:
    """Examples in memory: images (N, 1, 28, 28) uint8 and labels (N,) int64.

    Any inputs (N, ...) do, such as points of a plane: uint8 is scaled to 0..1 on its way into a model, floating
    point goes in as it is. `split[index]` takes a slice, a list, or an index or bool tensor and gives a Split.
    """

    images: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        if not (isinstance(images, Tensor) and (images.dtype == torch.uint8 or images.is_floating_point())):
            raise TypeError(f"images must be a uint8 or floating-point tensor, got {came(images)}")
        if not (isinstance(labels, Tensor) and labels.dtype == torch.int64):
            raise TypeError(f"labels must be an int64 tensor, got {came(labels)}")
        if images.dim() < 2 or labels.shape != images.shape[:1] or not len(labels):
            raise ValueError(
                "images (N, ...) and labels (N,) must describe the same N >= 1 examples, "
                f"got shapes {shape(images)} and {shape(labels)}"
            )
        if labels.min() < 0:
            raise ValueError(f"labels must be >= 0, got {int(labels.min())}")

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: slice | Sequence[int] | Tensor) -> "Split":
        if isinstance(index, int):
            raise TypeError(f"index must be a slice, a list or a tensor, got {index}: split[{index}:{index + 1}]?")
        return Split(self.images[index], self.labels[index])

    def __repr__(self) -> str:
        size = "x".join(map(str, self.images.shape[1:]))
        dtype, classes = str(self.images.dtype).removeprefix("torch."), len(self.labels.unique())
        return f"Split({len(self):,} examples of {size} {dtype}, {classes} classes)"


Data = Split | Iterable[tuple[Tensor, Tensor]]
Augment = Callable[[Tensor, torch.Generator], Tensor]


@dataclass(frozen=True)
class Dataset:
    """Three disjoint splits: learn on `train`, choose on `validation`, report on `test` once."""

    name: str
    train: Split
    validation: Split
    test: Split

    def __repr__(self) -> str:
        sizes = (f"{part} {len(getattr(self, part)):,}" for part in ("train", "validation", "test"))
        return f"Dataset({self.name}: {', '.join(sizes)})"


def folder() -> Path:
    """Where data lies: the folder that KDTUTOR_DATA names, else the course's `data/`, else (for a kdtutor that was
    installed without its course) ``~/.cache/kdtutor``."""
    if named := os.environ.get("KDTUTOR_DATA"):
        return Path(named).expanduser()
    return shipped() if (shipped() / "README.md").is_file() else Path.home() / ".cache" / "kdtutor"


def shipped() -> Path:
    """The course's own `data/` folder, which holds the trained teachers."""
    return Path(__file__).parent.parent / "data"


def places() -> tuple[Path, ...]:
    """Where MNIST is looked for, in this order."""
    return tuple(dict.fromkeys((folder(), shipped())))


def load(name: str = "mnist", *, fallback: str | None = None, download: bool = True) -> Dataset:
    """Load a data set: 55,000 images to train, 5,000 to validate, 10,000 to test.

    Args:
        name: "mnist" (LeCun, Cortes & Burges) or "strokes", digits drawn by `kdtutor.strokes`.
        fallback: "strokes" takes the built-in digits where MNIST can't be had, and prints one line that says so.
        download: whether MNIST may be fetched through torchvision.

    MNIST is looked for in the folder of KDTUTOR_DATA, then in `data/`, then downloaded. The validation images are
    5,000 of the training images, chosen at random once for all. Raises DataError, naming the file, where MNIST is
    damaged or can't be had.
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


def jitter(images: Tensor, generator: torch.Generator | None = None, shift: int = 2) -> Tensor:
    """Shift each image by up to `shift` pixels each way; the border fills with 0. (B, C, H, W) -> the same shape."""
    check_count("shift", shift)
    if images.dim() != 4:
        raise ValueError(f"images must be (B, channels, H, W), got shape {shape(images)}")
    down, right = torch.randint(0, 2 * shift + 1, (2, len(images)), generator=generator)
    return shifted(images, down, right, shift)


def shifted(images: Tensor, down: Tensor, right: Tensor, shift: int) -> Tensor:
    """Image i of (B, C, H, W) moved down by shift - down[i] rows and right by shift - right[i] columns; down and right
    (B,) lie in 0..2 * shift."""
    batch, _, height, width = images.shape
    padded = F.pad(images, (shift,) * 4)
    views = padded.unfold(2, height, 1).unfold(3, width, 1)  # (B, C, 2s+1, 2s+1, H, W)
    rows = torch.arange(batch, device=images.device)
    return views[rows, :, down.to(images.device), right.to(images.device)]


def subset(split: Split, size: int, seed: int = 0) -> Split:
    """`size` examples chosen at random without repetition; the same seed chooses the same ones."""
    check_count("size", size)
    check_seed(seed)
    if size > len(split):
        raise ValueError(f"size must be at most the {len(split)} examples of the split, got {size}")
    return split[torch.randperm(len(split), generator=torch.Generator().manual_seed(int(seed)))[:size]]


def label_noise(split: Split, rate: float, seed: int = 0) -> Split:
    """Give a fraction `rate` of the examples a wrong label, uniform over the other classes; images are shared."""
    check_fraction("rate", rate)
    check_seed(seed)
    generator = torch.Generator().manual_seed(int(seed))
    if (classes := int(split.labels.max()) + 1) < 2:
        raise ValueError("split must hold a label above 0, or there is no wrong label to give")
    chosen = torch.randperm(len(split), generator=generator)[: round(rate * len(split))]
    labels = split.labels.clone()
    labels[chosen] += torch.randint(1, classes, (len(chosen),), generator=generator)
    return Split(split.images, labels % classes)


def without(split: Split, *classes: int) -> Split:
    """The split without the examples of these classes, such as `without(data.train, 3)`."""
    return split[~torch.isin(split.labels, torch.tensor(classes, dtype=torch.int64))]


def batches(
    data: Data,
    batch_size: int,
    device: torch.device,
    generator: torch.Generator | None = None,
    augment: Augment | None = None,
) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
    """(inputs, labels, index) of each batch: rows of a Split, shuffled if there is a generator; an iterable's own."""
    if isinstance(data, Split):
        images, labels = data.images.to(device), data.labels.to(device)
        order = torch.arange(len(data)) if generator is None else torch.randperm(len(data), generator=generator)
        for index in order.to(device).split(batch_size):
            inputs = images.index_select(0, index)  # ten times faster than images[index]
            yield inputs if augment is None else augment(inputs, generator), labels.index_select(0, index), index
        return
    for batch in data:
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            size = f" of {len(batch)}" if isinstance(batch, tuple | list) else ""
            raise TypeError(f"data must give pairs (inputs, labels), got {type(batch).__name__}{size}")
        if not all(isinstance(part, Tensor) for part in batch):
            raise TypeError(f"inputs and labels must be tensors, got {came(batch[0])} and {came(batch[1])}")
        yield batch[0].to(device), batch[1].to(device), None


def as_input(inputs: Tensor, dtype: torch.dtype) -> Tensor:
    """Images of uint8 become 0..1 in the model's precision; floating point takes that precision; others stay."""
    if inputs.dtype == torch.uint8:
        return inputs.to(dtype).div_(255)
    return inputs.to(dtype) if inputs.is_floating_point() else inputs


def _mnist(download: bool) -> list[Tensor]:
    for root in filter(mnist.present, places()):
        return mnist.read(root)
    if not download:
        raise DataError(f"MNIST isn't in {folder()}, and download is False. {mnist.BY_HAND}")
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
        pass
    tensors = list(strokes.make())
    try:
        write(path, serialize(dict(zip(names, tensors, strict=True)), metadata={"sha256": _checksum(tensors)}))
    except OSError as error:
        print(f"Each load draws the strokes digits anew: {error}")
    return tensors


def _checksum(tensors: list[Tensor]) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.numpy())
    return digest.hexdigest()


def _dataset(name: str, images: Tensor, labels: Tensor, test_images: Tensor, test_labels: Tensor) -> Dataset:
    """Of the training images 5,000 are for validation, chosen at random and always the same: NumPy keeps the stream
    of RandomState. Not by a rule such as every twelfth: MNIST's even rows are twice as hard as its odd ones."""
    whole, shuffled = Split(images, labels), torch.from_numpy(np.random.RandomState(0).permutation(len(labels)))
    return Dataset(name, whole[shuffled[5000:]], whole[shuffled[:5000]], Split(test_images, test_labels))
