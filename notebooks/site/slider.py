"""The temperature slider that works on a page without a kernel: a teacher's logits, baked in, and a short script.

The images are those that notebook 2 shows when it runs on the same data; without MNIST both take the built-in digits.
Without the script the page shows soft targets at T = 1.
"""

import base64
import io
import json
from pathlib import Path

from PIL import Image
from torch import Tensor

import kdtutor as kd
from kdtutor import metrics
from kdtutor.course import teachers

SCRIPT = Path(__file__).parent / "slider.js"
DIRECTIVE = "```{raw} html\n:file: ../slider.html\n```"
IMAGES = 4


def html() -> str:
    """The figure, as a fragment of a page."""
    data = kd.load("mnist", fallback="strokes")
    teacher, _ = teachers.load_teacher(data.name)
    shown = data.validation[:IMAGES]
    logits = kd.predict(teacher, shown).double()
    choices = "\n".join(
        _choice(index, *example) for index, example in enumerate(zip(shown.inputs, shown.labels, strict=True))
    )
    p = kd.soften(logits[0], 1.0)
    rows = "\n".join(_row(digit, value) for digit, value in enumerate(p.tolist()))
    source = "of MNIST's validation images" if data.name == "mnist" else "digits that the course draws itself"
    return f"""\
<figure class="slider" aria-label="Temperature slider">
<figcaption>What the course's teacher answers on four {source}</figcaption>
<fieldset class="slider-images"><legend>Image</legend>
{choices}
</fieldset>
<label class="slider-temperature">Temperature T = <output>1.00</output>
<input type="range" min="-1" max="2" step="0.02" value="0" aria-valuetext="T = 1.00" disabled></label>
<table><caption>Soft target: probability of each class</caption>
{rows}
</table>
<p>Entropy: <output class="slider-entropy">{metrics.entropy(p):.3f}</output> bits (at most
log<sub>2</sub>(10) = 3.322)</p>
<script type="application/json">{json.dumps(logits.tolist())}</script>
<script>{SCRIPT.read_text(encoding="utf-8")}</script>
</figure>
"""


def _choice(index: int, image: Tensor, label: Tensor) -> str:
    png = io.BytesIO()
    Image.fromarray(255 - image[0].numpy()).save(png, format="png", optimize=True)
    source = f"data:image/png;base64,{base64.b64encode(png.getvalue()).decode()}"
    checked = " checked" if index == 0 else " disabled"
    return (
        f'<label><input type="radio" name="slider-image" value="{index}"{checked}>'
        f'<img src="{source}" width="48" height="48" alt="a handwritten {label}"></label>'
    )


def _row(digit: int, probability: float) -> str:
    bar = f'<span style="width: {100 * probability:.2f}%"></span>'
    return f'<tr><th scope="row">{digit}</th><td class="slider-bar">{bar}</td><td>{probability:.4f}</td></tr>'
