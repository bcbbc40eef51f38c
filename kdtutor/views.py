"""Jittered views of images, with the teacher's logits on each view computed once.

For patient, consistent distillation (Beyer et al. 2021: student and teacher see the same view, over many epochs) whose
epochs cost no more than those over plain images.
"""

from contextlib import nullcontext

import torch
from torch import nn

from kdtutor._device import pick_device
from kdtutor.data import Data, JitteredSplit, Split
from kdtutor.evaluation import predict


class Views:
    """A teacher's logits on all 25 shifts of a split's images by up to 2 pixels, asked once.

    As the teacher of `training.distill` they give the student of that teacher with ``augment=jitter`` (up to
    rounding), and no epoch waits for the teacher.

    Attributes:
        logits: (25, N, C), on the CPU; [v, i] belongs to image i in view v of a `data.JitteredSplit`.
    """

    def __init__(
        self,
        split: Split,
        teacher: nn.Module,
        device: str | torch.device | None = None,
        precision: torch.dtype | None = None,
    ) -> None:
        """Ask the teacher, on `device` and in `precision` (see `fitting.fit`; the logits are float32 then)."""
        shown = JitteredSplit(split)
        with nullcontext() if precision is None else torch.autocast(pick_device(device).type, precision):
            logits = [predict(teacher, shown.view(number), device=device) for number in range(shown.views)]
        self.logits = torch.stack(logits)
        if precision is not None:
            self.logits = self.logits.float()
        self._images = split.inputs

    def jittered(self, data: Data) -> JitteredSplit:
        """`data`, to be shown in these views. Raises ValueError unless it is a Split of the images that were asked
        about, in the same order (its labels may differ)."""
        if not isinstance(data, Split) or not torch.equal(data.inputs, self._images):
            raise ValueError("data must be a Split of the very images of which the Views were made, in their order")
        return JitteredSplit(data)
