"""Examples in memory, and ways to change them. `loading` reads files, `stacking` datasets of single examples."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from kdtutor._check import check_count, check_fraction, check_seed, describe_type, shape
from kdtutor.data.stacking import stack


@dataclass(frozen=True, repr=False, eq=False)
class Split:
    """Examples in memory: inputs (N, ...), such as images (N, 1, 28, 28) of uint8, and labels (N,) int64.

    uint8 is scaled to 0..1 on its way into a model, floating point goes in as it is. `split[index]` takes a slice, a
    list, or an index or bool tensor and gives a Split.
    """

    inputs: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        inputs, labels = self.inputs, self.labels
        if not (isinstance(inputs, Tensor) and (inputs.dtype == torch.uint8 or inputs.is_floating_point())):
            raise TypeError(f"inputs must be a uint8 or floating-point tensor, got {describe_type(inputs)}")
        if not (isinstance(labels, Tensor) and labels.dtype == torch.int64):
            raise TypeError(f"labels must be an int64 tensor, got {describe_type(labels)}")
        if inputs.dim() < 2 or labels.shape != inputs.shape[:1] or not len(labels):
            raise ValueError(
                "inputs (N, ...) and labels (N,) must describe the same N >= 1 examples, "
                f"got shapes {shape(inputs)} and {shape(labels)}"
            )
        if labels.min() < 0:
            raise ValueError(f"labels must be >= 0, got {int(labels.min())}")

    @classmethod
    def of(cls, dataset: Any) -> "Split":
        """A map-style dataset of (input, label), read once: torchvision's, a TensorDataset, a Subset, a list of pairs.

        Inputs are stacked as they come, uint8 or floating point; PIL images become uint8 (C, H, W). Labels are whole
        numbers. Random transforms are drawn once, not in each epoch; `augment` of `train` draws anew.

        For data that fits into memory this saves time: a DataLoader of the same tensors makes an epoch of 784-50-10
        take twice as long, and one that decodes torchvision's images over ten times.

        Raises TypeError or ValueError, with the index of the example, for what can't be stacked; TypeError for a
        dataset without a length; ValueError for an empty one.
        """
        return cls(*stack(dataset))

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: slice | Sequence[int] | Tensor) -> "Split":
        if isinstance(index, int):
            raise TypeError(f"index must be a slice, a list or a tensor, got {index}: split[{index}:{index + 1}]?")
        return Split(self.inputs[index], self.labels[index])

    def __repr__(self) -> str:
        size = "x".join(map(str, self.inputs.shape[1:]))
        dtype = str(self.inputs.dtype).removeprefix("torch.")
        classes = len(self.labels.unique())
        return f"Split({len(self):,} examples of {size} {dtype}, {classes} classes)"


@dataclass(frozen=True)
class Dataset:
    """Three disjoint splits: learn on `train`, choose on `validation`, report on `test` once."""

    name: str
    train: Split
    validation: Split
    test: Split

    def __repr__(self) -> str:
        sizes = f"train {len(self.train):,}, validation {len(self.validation):,}, test {len(self.test):,}"
        return f"Dataset({self.name}: {sizes})"

    def splits(self) -> dict[str, Split]:
        """The three splits by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}


@dataclass(frozen=True)
class JitteredSplit:
    """A Split of images (N, C, H, W) that are shown in views: shifted by up to `shift` pixels each way, as by `jitter`.

    There are (2 * shift + 1)² views. Example i in view v counts as row v * N + i, so that a tensor with N rows for
    each view, such as a teacher's logits, can be looked up by row.
    """

    split: Split
    shift: int = 2

    @property
    def views(self) -> int:
        """How many views there are."""
        return (2 * self.shift + 1) ** 2

    def view(self, number: int) -> Split:
        """All examples in one view."""
        down, right = divmod(number, 2 * self.shift + 1)
        everyone = torch.ones(len(self.split), dtype=torch.int64)
        return Split(shifted(self.split.inputs, down * everyone, right * everyone, self.shift), self.split.labels)

    def show(self, images: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """The images (B, C, H, W), each in a view drawn at random; and which (B,)."""
        down, right = _draw_shifts(images, generator, self.shift)
        return shifted(images, down, right, self.shift), (2 * self.shift + 1) * down + right


def jitter(images: Tensor, generator: torch.Generator | None = None, shift: int = 2) -> Tensor:
    """Shift each image by up to `shift` pixels each way; the border fills with 0. (B, C, H, W) -> the same shape.

    Raises ValueError for a shift below 1 and for images of another shape.
    """
    check_count("shift", shift)
    if images.dim() != 4:
        raise ValueError(f"images must be (B, channels, H, W), got shape {shape(images)}")
    down, right = _draw_shifts(images, generator, shift)
    return shifted(images, down, right, shift)


def _draw_shifts(images: Tensor, generator: torch.Generator | None, shift: int) -> tuple[Tensor, Tensor]:
    """How far each image is moved down and to the right, as `shifted` takes it: (B,) each, in 0..2 * shift."""
    down, right = torch.randint(0, 2 * shift + 1, (2, len(images)), generator=generator)
    return down, right


def shifted(images: Tensor, down: Tensor, right: Tensor, shift: int) -> Tensor:
    """Image i of (B, C, H, W) moved down by shift - down[i] rows and right by shift - right[i] columns; down and right
    (B,) lie in 0..2 * shift."""
    batch, _, height, width = images.shape
    padded = F.pad(images, (shift, shift, shift, shift))
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # (B, C, 2s+1, 2s+1, H, W)
    rows = torch.arange(batch, device=images.device)
    return windows[rows, :, down.to(images.device), right.to(images.device)]


def like_mnist(split: Split) -> Split:
    """Images (N, C, H, W) of uint8, such as USPS's, as networks for MNIST expect them: (N, C, 28, 28) of uint8.

    They are scaled to 20 x 20 (bilinear, without antialiasing) and put into the middle of a black 28 x 28. Unlike
    MNIST's, they aren't centred by mass. Raises ValueError for images of another dtype or shape.
    """
    images = split.inputs
    if images.dtype != torch.uint8 or images.dim() != 4:
        raise ValueError(f"split must hold uint8 images (N, C, H, W), got {images.dtype} {shape(images)}")
    scaled = F.interpolate(images.float(), size=(20, 20), mode="bilinear", align_corners=False)
    return Split(F.pad(scaled.round().to(torch.uint8), (4, 4, 4, 4)), split.labels)


def subset(split: Split, size: int, seed: int = 0) -> Split:
    """`size` examples chosen at random without repetition; the same seed chooses the same ones."""
    check_count("size", size)
    check_seed(seed)
    if size > len(split):
        raise ValueError(f"size must be at most the {len(split)} examples of the split, got {size}")
    generator = torch.Generator().manual_seed(int(seed))
    return split[torch.randperm(len(split), generator=generator)[:size]]


def label_noise(split: Split, rate: float, seed: int = 0) -> Split:
    """Give a fraction `rate` of the examples a wrong label, uniform over the other classes; images are shared."""
    check_fraction("rate", rate)
    check_seed(seed)
    classes = int(split.labels.max()) + 1
    if classes < 2:
        raise ValueError("split must hold a label above 0, or there is no wrong label to give")

    generator = torch.Generator().manual_seed(int(seed))
    chosen = torch.randperm(len(split), generator=generator)[: round(rate * len(split))]
    labels = split.labels.clone()
    labels[chosen] += torch.randint(1, classes, (len(chosen),), generator=generator)
    return Split(split.inputs, labels % classes)


def without(split: Split, *classes: int) -> Split:
    """The split without the examples of these classes, such as `without(data.train, 3)`."""
    return split[~torch.isin(split.labels, torch.tensor(classes, dtype=torch.int64))]
