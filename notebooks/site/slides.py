"""Make a lecture from each notebook: `make slides`. They show in a browser, without a network.

No notebook says where a slide begins. A heading begins one; what follows is cut into paragraphs, code and its output,
which appear one after the other, and go on below (a *subslide*) where the slide is full. Cells that the course hides
(tagged "hide-input") are left out.
"""

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbconvert import SlidesExporter
from nbformat import NotebookNode

from kdtutor.course import publishing

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
NODE = ROOT / "build" / "node" / "node_modules"
OUT = ROOT / "build" / "slides"
HEADING = re.compile(r"#{1,6} ")
WHOLE = re.compile(
    r"```.*?^```|\$\$.*?\$\$|<details>.*?</details>", re.DOTALL | re.MULTILINE
)  # blank lines don't cut it
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!\w+:|#)([^)\s]+)\)")
FULL, WIDTH = 19, 85  # lines on a slide, and characters in a line of text
CODE, FIGURE = 0.7, 12  # the height of a line of code, and of a figure, in lines of text


def main(paths: list[Path], out: Path = OUT) -> int:
    """Write the slides of these notebooks (none: all of the course) into a folder."""
    reveal, mathjax = NODE / "reveal.js" / "dist", NODE / "mathjax" / "es5" / "tex-svg.js"
    if not reveal.exists():
        print(f"{NODE} must have the packages of {HERE / 'package.json'}: `make slides` installs them, with npm")
        return 1

    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(reveal, out / "reveal.js" / "dist", ignore=shutil.ignore_patterns("*.map", "*.esm.js"))
    shutil.copy(mathjax, out)

    titles = {}
    for path in paths or sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        titles[f"{path.stem}.html"] = title(notebook)
        (out / f"{path.stem}.html").write_text(html(notebook), encoding="utf-8")
    (out / "index.html").write_text(contents(titles), encoding="utf-8")
    print(f"{out / 'index.html'}: slides of {len(titles)} notebooks")
    return 0


def html(notebook: NotebookNode) -> str:
    """A page with the slides of a notebook."""
    template = (HERE / "templates" / "slides.html.j2").read_text(encoding="utf-8")
    exporter = SlidesExporter(raw_template=template, reveal_url_prefix="reveal.js", reveal_theme="white")
    lecture = nbformat.v4.new_notebook(cells=slides(notebook), metadata={"title": title(notebook)})
    return exporter.from_notebook_node(lecture)[0]


def title(notebook: NotebookNode) -> str:
    """The first heading."""
    for cell in notebook.cells:
        heading = re.match("# (.+)", cell.source)
        if heading:
            return heading[1]
    raise ValueError("notebook must have a heading of the first level, got none")


def slides(notebook: NotebookNode) -> list[NotebookNode]:
    """The cells of a lecture, each with its `slide_type`."""
    cells, used = [], 0.0
    for cell in pieces(notebook):
        needed = height(cell)
        level = len(cell.source.split(" ")[0]) if HEADING.match(cell.source) else 0
        if cell.cell_type == "markdown" and 0 < level <= 2:
            kind, used = "slide", 0.0
        elif used + needed > FULL:
            kind, used = "subslide", 0.0
        elif cells and cells[-1].cell_type == cell.cell_type == "markdown":
            kind = "-"  # text goes on
        else:
            kind = "fragment"
        used += needed
        cell.metadata.slideshow = {"slide_type": kind}
        cells.append(cell)
    return cells


def pieces(notebook: NotebookNode) -> Iterator[NotebookNode]:
    """What a lecture shows step by step, as cells: paragraphs, code, outputs."""
    only_for_colab = publishing.course_cell(notebook)
    for cell in notebook.cells:
        hidden = "hide-input" in cell.metadata.get("tags", [])
        if hidden or cell is only_for_colab or cell.id == publishing.BADGE:
            continue
        if cell.cell_type == "markdown":
            for paragraph in paragraphs(cell.source):
                yield nbformat.v4.new_markdown_cell(LINK.sub(between_slides, paragraph))
        else:
            yield nbformat.v4.new_code_cell(cell.source)
            described = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "A figure.")
            for output in cell.outputs:
                alone = {"transient": {"remove_source": True}, "alt": described}
                yield nbformat.v4.new_code_cell("", outputs=[output], metadata=alone)


def paragraphs(text: str) -> list[str]:
    """A text cut at blank lines and below headings, but not within code, formulas and what folds."""
    kept = WHOLE.sub(lambda whole: whole[0].replace("\n", "\0"), text)
    below_headings = re.sub(r"^(#{1,6} .+)\n", r"\1\n\n", kept, flags=re.MULTILINE)
    return [part.replace("\0", "\n") for part in re.split(r"\n\s*\n", below_headings) if part.strip()]


def between_slides(link: re.Match[str]) -> str:
    """A link as it is among the slides; where it leads elsewhere in the course, its words alone."""
    words, target = link.groups()
    notebook = re.fullmatch(r"(\d\w+)\.ipynb(?:#.*)?", target)
    return f"[{words}]({notebook[1]}.html)" if notebook else words


def height(cell: NotebookNode) -> float:
    """About how many lines of text a piece takes."""
    if cell.cell_type == "markdown":
        closed = re.sub(r"</summary>.*?</details>", "", cell.source, flags=re.DOTALL)
        seen = re.sub(r"\]\([^)]+\)", "", closed)  # a link's address isn't
        return sum(1 + len(line) // WIDTH for line in seen.splitlines()) + 0.7
    lines = len(cell.source.splitlines())
    for output in cell.outputs:
        data = output.get("data", {})
        if "image/png" in data:
            return FIGURE
        lines += len((output.get("text") or data.get("text/plain", "")).splitlines())
    return CODE * lines + 0.7


def contents(titles: dict[str, str]) -> str:
    """The page that lists the slides, by file."""
    items = "\n".join(f'<li><a href="{name}">{words}</a></li>' for name, words in titles.items())
    return f"""\
<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>Slides: knowledge distillation</title>
<style>body {{ font: 1.25rem/1.6 system-ui, sans-serif; margin: 2rem auto; max-width: 40rem; padding: 0 1rem }}
ul {{ list-style: none; padding: 0 }}</style>
<h1>Knowledge distillation: slides</h1>
<ul>
{items}
</ul>
</html>
"""


if __name__ == "__main__":
    sys.exit(main([Path(argument) for argument in sys.argv[1:]]))
