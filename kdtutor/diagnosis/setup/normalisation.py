"""The usual ways in which inputs are scaled before they go into a model."""

from collections.abc import Iterator

from torch import Tensor

IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])  # mean and deviation of each channel of inputs in 0..1
CIFAR10 = ([0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616])


def usual_scalings(inputs: Tensor) -> Iterator[tuple[str, Tensor]]:
    """The inputs (n, ...) in each usual scaling, with its name.

    All start from 0..1, to which the inputs' own range is stretched, over each channel of (n, channels, H, W).
    """
    over_examples = (0,)
    over_all = tuple(range(inputs.dim()))
    if inputs.dim() == 4:
        over_examples = over_all = (0, 2, 3)

    low, high = inputs.amin(over_all, keepdim=True), inputs.amax(over_all, keepdim=True)
    unit = (inputs - low) / (high - low).clamp_min(1e-12)
    yield from _from_unit(unit, "")
    yield from _from_unit(1 - unit, ", inverted (1 - x) first")

    deviation = inputs.std(over_examples, keepdim=True).clamp_min(1e-6)
    yield "mean 0 and deviation 1", (inputs - inputs.mean(over_examples, keepdim=True)) / deviation


def _from_unit(unit: Tensor, suffix: str) -> Iterator[tuple[str, Tensor]]:
    yield f"0..1{suffix}", unit
    yield f"0..255{suffix}", 255 * unit
    yield f"0..1/255 (divided by 255 twice){suffix}", unit / 255
    yield f"-1..1{suffix}", 2 * unit - 1
    yield f"MNIST's (x - 0.1307) / 0.3081{suffix}", (unit - 0.1307) / 0.3081
    if unit.dim() == 4 and unit.shape[1] == 3:
        yield f"ImageNet's mean and deviation{suffix}", _standardised(unit, *IMAGENET)
        yield f"CIFAR-10's mean and deviation{suffix}", _standardised(unit, *CIFAR10)


def _standardised(unit: Tensor, mean: list[float], deviation: list[float]) -> Tensor:
    return (unit - unit.new_tensor(mean)[:, None, None]) / unit.new_tensor(deviation)[:, None, None]
