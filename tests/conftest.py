"""Set-up of the unit tests, and what several of them share."""

import hashlib
import os
import struct
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib
import pytest
import torch
from torch import nn

from kdtutor import Dataset, Split
from kdtutor.data import strokes
from kdtutor.data.files import Source
from kdtutor.data.sources import MNIST_FILES, SOURCES

torch.set_num_threads(1)
PROGRESS = tempfile.TemporaryDirectory()  # the tests, and kernels that they start, leave a learner's own record alone
os.environ["KDTUTOR_PROGRESS"] = str(Path(PROGRESS.name) / "progress.json")
matplotlib.use("Agg")  # not by MPLBACKEND: the notebooks' kernels would inherit that

# Tests mean the same on a machine with a GPU: only those marked `gpu` see it. Elsewhere these are skipped.
HAS_GPU = torch.cuda.is_available()
torch.cuda.is_available = lambda: False


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("gpu") and not HAS_GPU:
            item.add_marker(pytest.mark.skip(reason="needs a GPU"))


@pytest.fixture(autouse=True)
def gpu_in_sight(request, monkeypatch):
    """The GPU, for tests that are marked `gpu`."""
    if request.node.get_closest_marker("gpu"):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)


@pytest.fixture(scope="session")
def drawn():
    """Make a small Dataset of built-in digits: drawn(train, validation, test) images."""

    def make(train: int, validation: int, test: int) -> Dataset:
        images, labels, test_images, test_labels = strokes.make(train=train + validation, test=test)
        whole = Split(images, labels)
        return Dataset("strokes", whole[:train], whole[train:], Split(test_images, test_labels))

    return make


@pytest.fixture
def blobs() -> Split:
    """600 points of the plane in 3 well separated classes, float64: learnt within a few epochs."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 3, (600,), generator=generator)
    centres = torch.tensor([[3.0, 0.0], [-3.0, 3.0], [-3.0, -3.0]], dtype=torch.float64)
    return Split(centres[labels] + torch.randn(600, 2, generator=generator, dtype=torch.float64), labels)


@pytest.fixture
def images() -> Split:
    """200 random images of uint8 with random labels: for shapes, devices and order, not for learning."""
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (200, 1, 28, 28), generator=generator, dtype=torch.uint8)
    return Split(pixels, torch.randint(0, 10, (200,), generator=generator))


@pytest.fixture
def frozen() -> nn.Module:
    """A model in train mode but for its batch norm, as one that is fine-tuned."""
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
    model[1].eval()
    return model


def idx(tensor: torch.Tensor) -> bytes:
    """In MNIST's own format: a number that says how many sizes follow, the sizes, a byte each value."""
    sizes = [size for size in tensor.shape if size > 1]
    return struct.pack(f">{1 + len(sizes)}i", 0x800 + len(sizes), *sizes) + bytes(tensor.flatten().tolist())


@dataclass(frozen=True)
class Miniature:
    """Another MNIST, of a few images: its four tensors, and the content of each file."""

    tensors: list[torch.Tensor]
    content: dict[str, bytes]

    @property
    def source(self) -> Source:
        """MNIST, but with these files."""
        real = SOURCES["mnist"]
        checks = {name: (len(data), hashlib.sha256(data).hexdigest()) for name, data in self.content.items()}
        return replace(real, layouts=(replace(real.layouts[0], files=checks),))

    def put(self, root: str | Path, content: dict[str, bytes] | None = None) -> None:
        """Write all files, or others, where torchvision puts them."""
        raw = Path(root) / "MNIST" / "raw"
        raw.mkdir(parents=True, exist_ok=True)
        for name, data in (content or self.content).items():
            (raw / name).write_bytes(data)

    def download(self, name: str, root: Path) -> None:
        """Stand in for a network that works."""
        assert name == "MNIST"
        self.put(root)


@pytest.fixture
def miniature(monkeypatch) -> Miniature:
    """A miniature that is taken for the real one."""
    tensors = list(strokes.make(train=6, test=3))
    miniature = Miniature(tensors, {name: idx(tensor) for name, tensor in zip(MNIST_FILES, tensors, strict=True)})
    monkeypatch.setitem(SOURCES, "mnist", miniature.source)
    return miniature


class NewTensors(torch.optim.Optimizer):
    """Plain descent that writes no tensor in place, and forgets the gradients."""

    def __init__(self, parameters, lr):
        super().__init__(parameters, {"lr": lr})

    def step(self):
        for group in self.param_groups:
            for weight in group["params"]:
                weight.data = weight.data - group["lr"] * weight.grad
        self.zero_grad()


@pytest.fixture
def new_tensors():
    """The class of an optimizer that replaces what it trains."""
    return NewTensors
