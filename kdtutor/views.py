"""Jittered views with a teacher's answers known: patient, consistent distillation at the price of plain epochs."""

from contextlib import nullcontext
from itertools import product

import torch
from torch import Tensor, nn

from kdtutor._device import pick_device
from kdtutor.data import Split, shifted
from kdtutor.training import predict

REACH = 2  # pixels


class Views:
    """All 25 shifts of a split's images by up to 2 pixels, and a teacher's answers to each, asked once; in `precision`
    (torch.bfloat16, see `training.fit`), if given.

    `views.jitter` serves as `augment` of `training.fit`, and `views.answers_to(index)` are then the teacher's logits
    (B, C) on the latest batch as it was shown, where index are its rows of the split.
    """

    def __init__(
        self,
        split: Split,
        teacher: nn.Module,
        device: str | torch.device | None = None,
        precision: torch.dtype | None = None,
    ) -> None:
        moves = product(range(2 * REACH + 1), repeat=2)
        offsets = ([torch.full((len(split),), move) for move in pair] for pair in moves)
        views = (Split(shifted(split.inputs, *pair, REACH), split.labels) for pair in offsets)
        with torch.autocast(pick_device(device).type, precision) if precision else nullcontext():
            answers = [predict(teacher, view, device=device) for view in views]
        self.logits = torch.stack(answers)  # (25, N, C)
        if precision:
            self.logits = self.logits.float()
        self._shown = torch.empty(0, dtype=torch.int64)

    def jitter(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """The images (B, 1, H, W), each shifted at random: those of `data.jitter` with the same generator."""
        down, right = torch.randint(0, 2 * REACH + 1, (2, len(images)), generator=generator)
        self._shown = (2 * REACH + 1) * down + right
        return shifted(images, down, right, REACH)

    def answers_to(self, index: Tensor) -> Tensor:
        return self.logits[self._shown, index.cpu()].to(index.device)
