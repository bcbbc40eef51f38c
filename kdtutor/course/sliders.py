"""The temperature slider of notebook 2: a widget, so it needs a running kernel. The site has one of its own."""

import io

import ipywidgets
import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from torch import Tensor

from kdtutor import losses, metrics


def temperature(image: Tensor, logits: Tensor, start: float = 3.0) -> ipywidgets.VBox:
    """A slider for T, from 0.1 to 100, and below it what T makes of a teacher's answer.

    Args:
        image: (1, H, W).
        logits: (C,), the teacher's for this image.
        start: T at first.
    """
    slider = ipywidgets.FloatLogSlider(value=start, base=10, min=-1, max=2, step=0.02, description="T")
    picture = ipywidgets.Image(format="png")

    def redraw(change: object = None) -> None:
        figure = soft_target(image, logits, slider.value)
        png = io.BytesIO()
        figure.savefig(png, format="png", dpi=80)
        plt.close(figure)
        picture.value = png.getvalue()

    slider.observe(redraw, names="value")
    redraw()
    return ipywidgets.VBox([slider, picture], layout={"align_items": "flex-start"})


def soft_target(image: Tensor, logits: Tensor, temperature: float) -> Figure:
    """An image (1, H, W), and beside it bars of softmax(logits / T) over the classes (C,), with T and the entropy."""
    p = losses.soften(logits, temperature)
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 2.6), width_ratios=(1, 3))
    left.imshow(image[0], cmap="gray_r")
    left.axis("off")
    right.bar(range(len(p)), p)
    right.set_xticks(range(len(p)))
    right.set(xlabel="class", ylabel="probability", ylim=(0, 1))
    right.set_title(f"T = {temperature:.2f}, entropy {metrics.entropy(p):.2f} bits")
    return figure
