"""Set-up of the unit tests, and what several of them share."""

import matplotlib
import pytest
import torch

from kdtutor import Split

torch.set_num_threads(1)
matplotlib.use("Agg")  # not by MPLBACKEND: the notebooks' kernels would inherit that


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
