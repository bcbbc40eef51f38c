"""The temperature slider that works on a page without a kernel: a teacher's logits, baked in, and a short script.

Without MNIST it takes the digits that the course draws itself. Without the script the page shows the soft targets of
one image, at the temperature that the slider starts at.
"""

import base64
import io
import json
import math
from pathlib import Path

from PIL import Image
from torch import Tensor

import kdtutor as kd
from kdtutor import metrics
from kdtutor.course import teachers

SCRIPT = Path(__file__).parent / "slider.js"
DIRECTIVE = "```{raw} html\n:file: ../slider-of-notebook.html\n```"
START = 3.0  # the temperature at first, as in notebook 2: something shows beside the likeliest class


def most_like(probabilities: Tensor, labels: Tensor, digit: int, other: int, above: float) -> int:
    """Among the images of a digit to which the teacher gives that digit a probability `above` this, the one to which it
    gives the other digit the most. `probabilities` are (N, 10), `labels` (N,). Notebook 2 has it, with 0.9."""
    which = ((labels == digit) & (probabilities[:, digit] > above)).nonzero().squeeze(1)
    return int(which[probabilities[which, other].argmax()])


def chosen(probabilities: Tensor, labels: Tensor) -> list[int]:
    """Which images the slider shows: a 2 that could be a 7, a 9 that could be a 4, the 2 of notebook 2, of which the
    teacher is rather sure, and the first image, of which it is very sure. The most uncertain comes first."""
    images = [
        most_like(probabilities, labels, 2, 7, above=0.5),
        most_like(probabilities, labels, 9, 4, above=0.5),
        most_like(probabilities, labels, 2, 7, above=0.9),
        0,
    ]
    entropy = metrics.entropy(probabilities)
    return sorted(set(images), key=lambda image: -entropy[image].item())


def html(in_notebook: bool = False) -> str:
    """The figure, as a fragment of a page. It starts with the most uncertain image, and in notebook 2 with the image
    that the text there is about."""
    data = kd.load("mnist", fallback="strokes")
    teacher, _ = teachers.load_teacher(data.name)
    held_out = data.validation
    logits = kd.predict(teacher, held_out).double()
    probabilities = kd.soften(logits, 1.0)
    images = chosen(probabilities, held_out.labels)
    first = images[0]
    if in_notebook:
        first = most_like(probabilities, held_out.labels, 2, 7, above=0.9)

    choices = "\n".join(
        _choice(place, held_out.inputs[image], int(held_out.labels[image]), image == first)
        for place, image in enumerate(images)
    )
    p = kd.soften(logits[first], START)
    rows = "\n".join(_row(digit, value) for digit, value in enumerate(p.tolist()))
    source = "MNIST's validation images" if data.name == "mnist" else "digits that the course draws itself"
    return f"""\
<figure class="slider" aria-label="Temperature slider">
<figcaption>What a large network answers for an image</figcaption>
<fieldset class="slider-images"><legend>Image (from {source})</legend>
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


def _choice(place: int, image: Tensor, label: int, first: bool) -> str:
    png = io.BytesIO()
    Image.fromarray(255 - image[0].numpy()).save(png, format="png", optimize=True)
    source = f"data:image/png;base64,{base64.b64encode(png.getvalue()).decode()}"
    checked = " checked" if first else " disabled"
    return (
        f'<label><input type="radio" name="slider-image" value="{place}"{checked}>'
        f'<img src="{source}" width="48" height="48" alt="a handwritten {label}"></label>'
    )


def _row(digit: int, probability: float) -> str:
    bar = f'<span style="width: {100 * probability:.2f}%"></span>'
    return f'<tr><th scope="row">{digit}</th><td class="slider-bar">{bar}</td><td>{probability:.4f}</td></tr>'
