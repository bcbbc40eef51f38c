"""Random numbers from a seed, with the global random state left as it was."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from kdtutor._check import check_seed

CPU = torch.device("cpu")


@contextmanager
def seeded(seed: int | None, device: torch.device = CPU) -> Iterator[None]:
    """Whatever is drawn inside from torch's global generators (initial weights, dropout, a DataLoader's shuffle)
    follows from `seed`; afterwards they stand as before. With seed None nothing is changed."""
    if seed is None:
        yield
        return
    check_seed(seed)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(int(seed))
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(int(seed))
        yield
