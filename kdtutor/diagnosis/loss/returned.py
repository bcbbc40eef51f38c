"""The loss in what a function returned: of a dict or several values one, as one number."""

from collections.abc import Mapping

import torch
from torch import Tensor


def first_tensor(returned: object) -> object:
    """The loss in what was returned: of a dict the total, of several values the first."""
    if isinstance(returned, Mapping):
        totals = [key for key in returned if key in ("loss", "total", "total_loss")] or [*returned]
        if len(totals) != 1:
            keys = ", ".join(map(str, returned))
            raise ValueError(
                f"loss_fn must return the loss, got a dict of {keys}: give an adapter that returns one of them"
            )
        returned = returned[totals[0]]

    if isinstance(returned, list | tuple) and returned:
        trained = [place for place, x in enumerate(returned, 1) if isinstance(x, Tensor) and x.requires_grad]
        if trained and trained[0] > 1:
            raise ValueError(f"loss_fn must return the loss first, got a gradient in value {trained[0]} alone")
        returned = returned[0]
    return returned


def as_scalar(returned: object, shape: torch.Size, dense: bool = False) -> Tensor:
    """The loss as one number: the mean over the rows of logits of this shape, the sum over classes."""
    if isinstance(returned, float | int):
        returned = torch.tensor(float(returned), dtype=torch.float64)
    if not isinstance(returned, Tensor) or returned.is_complex():
        raise ValueError(f"loss_fn must return a tensor, got {type(returned).__name__}")

    rows = shape.numel() // shape[1 if dense else -1]
    if returned.numel() == 1:
        return returned.reshape(())
    if returned.shape == shape or returned.numel() == rows:
        return returned.sum() / rows
    raise ValueError(
        f"loss_fn must return a scalar, or a value by example or by class, got {tuple(returned.shape)} for "
        f"logits {tuple(shape)}"
    )
