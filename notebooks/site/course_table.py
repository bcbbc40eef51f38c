"""The table of the course: of each notebook a picture, what one learns, and how long it takes."""

import base64
import io
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nbformat import NotebookNode
from PIL import Image

from kdtutor.course import publishing

WORDS, LINES = 200, 20  # read in a minute, of text and of code
WIDTH = 480  # of a thumbnail, twice what the page shows, for screens of high resolution
# Lines of the card at the top of a notebook
OUTCOME = re.compile(r"^> \*\*You will learn\*\* (.+(?:\n> .+)*)", re.MULTILINE)
TIME = re.compile(r"^> \*\*Time\*\* (?:about )?(\d+) minutes to read", re.MULTILINE)


def about(path: Path, notebook: NotebookNode, readme: str, repository: str | None) -> dict[str, Any]:
    """What one learns in a notebook, how long it takes to read and to run, and where it can be opened.

    Raises ValueError if the README's table of the course, whose link and running time are taken, doesn't have it.
    """
    link = rf"\[.+\]\(notebooks/{re.escape(path.name)}\)"
    row = re.search(rf"^\| ({link}) \| (.+) \| (.+) \|$", readme, re.MULTILINE)
    if not row:
        raise ValueError(f"README.md must have a row for {path.name} in its table of the course, with 3 cells")
    return {
        "file": path.name,
        "link": row[1],
        "outcome": outcome(notebook) or row[2],
        "running": row[3],
        "reading": reading(notebook),
        "colab": repository and publishing.in_colab(repository, path),
        "github": repository and publishing.on_github(repository, path),
    }


def outcome(notebook: NotebookNode) -> str:
    """What the card at the top of a notebook says that one will learn, as a sentence in one line without links; empty
    where there is no such card."""
    card = OUTCOME.search(top(notebook))
    if not card:
        return ""
    words = re.sub(r"\n> ?", " ", card[1])
    without_links = re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", words).replace("|", "\\|").strip()
    return without_links[0].upper() + without_links[1:]


def reading(notebook: NotebookNode) -> int:
    """Minutes to read a notebook: what its card says, else counted by words and lines of code."""
    card = TIME.search(top(notebook))
    if card:
        return int(card[1])
    words = sum(len(cell.source.split()) for cell in notebook.cells if cell.cell_type == "markdown")
    lines = sum(len(cell.source.splitlines()) for cell in notebook.cells if cell.cell_type == "code")
    return round(words / WORDS + lines / LINES)


def top(notebook: NotebookNode) -> str:
    """The first two cells, of which one has the card: before it there may be a badge."""
    return "\n\n".join(cell.source for cell in notebook.cells[:2])


def thumbnail(notebook: NotebookNode) -> tuple[bytes, str] | None:
    """A small PNG of a stored figure, and its text for who doesn't see it; None in a notebook without figures.

    It is the figure of the cell that is tagged "thumbnail", else the second (the first is often a few digits), else the
    only one.
    """
    cells = [cell for cell in notebook.cells if figure(cell)]
    tagged = [cell for cell in cells if "thumbnail" in cell.metadata.get("tags", [])]
    for cell in tagged or cells[1:2] or cells:
        image = Image.open(io.BytesIO(base64.b64decode(figure(cell)))).convert("RGB")
        image.thumbnail((WIDTH, WIDTH))
        png = io.BytesIO()
        image.quantize(64).save(png, format="png", optimize=True)
        described = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "A figure of the notebook.")
        return png.getvalue(), described
    return None


def figure(cell: NotebookNode) -> str:
    """The first picture among a cell's outputs, in base64; empty where there is none."""
    for output in cell.get("outputs", []):
        if "image/png" in output.get("data", {}):
            return output.data["image/png"]
    return ""


def markdown(facts: Iterable[dict[str, Any]], thumbnails: dict[str, str]) -> str:
    """The table. `thumbnails` has, by the names of the notebooks' files, pictures in Markdown."""
    lines = ["| | notebook, and what you will learn | to read | to run |", "|---|---|---|---|"]
    for one in facts:
        picture = thumbnails.get(one["file"], "")
        running = one["running"].replace(" ", "&nbsp;")
        lines.append(f"| {picture} | **{one['link']}**<br>{one['outcome']} | {one['reading']}&nbsp;min | {running} |")
    return "\n".join(lines)
