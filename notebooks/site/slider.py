"""The temperature slider that works on a page without a kernel: a teacher's logits, baked in, and a short script.

The images are those that notebook 2 shows when it runs on the same data; without MNIST both take the built-in digits.
Without the script the page shows the soft targets of the first image at the temperature that the slider starts at.
"""

import base64
import io
import json
import math
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

import kdtutor as kd
from kdtutor import metrics
from kdtutor.course import teachers

SCRIPT = Path(__file__).parent / "slider.js"
DIRECTIVE = "```{raw} html\n:file: ../slider.html\n```"
LOOK_ALIKES = [(2, 7), (9, 4), (4, 9)]  # a digit, and the one that it is to be mistaken for
START = 3.0  # the temperature at first, where all that the teacher considers can be seen


def chosen(logits: Tensor, labels: Tensor) -> Tensor:
    """Which images the slider shows, the most uncertain first, of a teacher's logits (N, 10) and the labels (N,).

    For each pair of LOOK_ALIKES it is the image of the first digit to which the teacher, although its answer is right,
    gives the second the highest probability; and to compare, the image of all that it is surest of.
    """
    probabilities = kd.soften(logits, 1.0)
    entropy = metrics.entropy(probabilities)
    right = ~metrics.wrong(logits, labels)

    images = [entropy.argmin()]
    for digit, other in LOOK_ALIKES:
        candidates = right & (labels == digit)
        images.append((candidates * probabilities[:, other]).argmax())
    indices = torch.stack(images)
    return indices[entropy[indices].argsort(descending=True)]


def html() -> str:
    """The figure, as a fragment of a page."""
    data = kd.load("mnist", fallback="strokes")
    teacher, _ = teachers.load_teacher(data.name)
    held_out = data.validation
    logits = kd.predict(teacher, held_out).double()
    images = chosen(logits, held_out.labels)

    choices = "\n".join(
        _choice(place, held_out.inputs[image], int(held_out.labels[image])) for place, image in enumerate(images)
    )
    p = kd.soften(logits[images[0]], START)
    rows = "\n".join(_row(digit, value) for digit, value in enumerate(p.tolist()))
    source = "of MNIST's validation images" if data.name == "mnist" else "digits that the course draws itself"
    return f"""\
<figure class="slider" aria-label="Temperature slider">
<figcaption>What a large network answers for an image</figcaption>
<fieldset class="slider-images"><legend>Four {source}</legend>
{choices}
</fieldset>
<label class="slider-temperature">Temperature T = <output>{START:g}</output>
<input type="range" min="-1" max="2" step="0.02" value="{math.log10(START):.2f}" aria-valuetext="T = {START:g}"
disabled></label>
<table><caption>Soft target: the probability of each class at this temperature</caption>
{rows}
</table>
<p>Entropy: <output class="slider-entropy">{metrics.entropy(p):.3f}</output> bits (at most
log<sub>2</sub>(10) = 3.322)</p>
<script type="application/json">{json.dumps(logits[images].tolist())}</script>
<script>{SCRIPT.read_text(encoding="utf-8")}</script>
</figure>
"""


def _choice(place: int, image: Tensor, label: int) -> str:
    png = io.BytesIO()
    Image.fromarray(255 - image[0].numpy()).save(png, format="png", optimize=True)
    source = f"data:image/png;base64,{base64.b64encode(png.getvalue()).decode()}"
    checked = " checked" if place == 0 else " disabled"
    return (
        f'<label><input type="radio" name="slider-image" value="{place}"{checked}>'
        f'<img src="{source}" width="48" height="48" alt="a handwritten {label}"></label>'
    )


def _row(digit: int, probability: float) -> str:
    bar = f'<span style="width: {100 * probability:.2f}%"></span>'
    return f'<tr><th scope="row">{digit}</th><td class="slider-bar">{bar}</td><td>{probability:.4f}</td></tr>'
