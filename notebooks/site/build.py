"""Build the course's site from the stored notebooks: `make site`. No notebook is executed, and no network is needed.

A folder of sources is put together first, as Sphinx wants them in one place: the pages of this folder, the README, of
which they include the parts between two marks, and the notebooks, with the temperature slider where their own needs a
kernel. Links in all of them are right in the repository, as GitHub shows it; `relink` makes them right on the site.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import course_table
import nbformat
import slider
from nbformat import NotebookNode
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

from kdtutor.course import publishing
from kdtutor.course.evidence import picture
from kdtutor.course.evidence.studies import small_student

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
BUILD = ROOT / "build"
NODE = BUILD / "node" / "node_modules"
PURGE = NODE / "purgecss" / "bin" / "purgecss.js"
PAGES = Path("notebooks/site/pages")

# The pages below a page. Its source doesn't list them: it is also read on GitHub, where a toctree is noise.
BELOW = {
    "course.md": ["statistics", "glossary", "cheatsheet"],
    "claims.md": ["compare", "evidence", "hinton"],
    "package.md": [
        "diagnose",
        "sweeps",
        "speed",
        "api/distil",
        "api/measure",
        "api/data",
        "api/plots",
        "api/diagnosis",
        "api/grading",
    ],
    "instructors.md": ["notebooks/assignments/README"],
}
TOCTREE = """
```{{toctree}}
:hidden:

{entries}
```
"""
LINK = re.compile(r"\]\((?!\w+:)(?P<path>[^)#\s]+)(?P<place>#[^)\s]*)?\)")


def main() -> int:
    """Build into `build/site`; the exit status is 1 if Sphinx warns."""
    start = time.perf_counter()
    if not PURGE.exists():
        print(f"{NODE} must have the packages of {HERE / 'package.json'}: `make site` installs them, with npm")
        return 1

    source, out = BUILD / "site-source", BUILD / "site"
    for folder in (source, out):
        shutil.rmtree(folder, ignore_errors=True)

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    repository = publishing.repository()
    paths = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
    notebooks = {path: nbformat.read(path, as_version=4) for path in paths}
    facts = {}
    for path, notebook in notebooks.items():
        facts[f"notebooks/{path.stem}"] = course_table.about(path, notebook, readme, repository)
    stage(source, notebooks)
    thumbnails = {path.name: thumbnail(source, path, notebook) for path, notebook in notebooks.items()}
    table = course_table.markdown(facts.values(), thumbnails)
    (source / "course-table.md").write_text(table, encoding="utf-8")

    status = sphinx(source, out, facts, repository)
    if status:
        return status
    for path in paths:
        shutil.copy(path, out / "notebooks")
    purge(out)

    megabytes = sum(path.stat().st_size for path in out.rglob("*")) / 1e6
    print(f"{out / 'index.html'}: {megabytes:.1f} MB in all, in {time.perf_counter() - start:.0f} s")
    return 0


def sphinx(source: Path, out: Path, facts: dict[str, dict[str, Any]], repository: str | None) -> int:
    """Build the pages in `source`, with `facts` about each notebook; Sphinx's exit status."""
    overrides = {
        "html_context": {"default_mode": "auto", "launch": facts},
        "html_static_path": ["static", str(NODE / "mathjax" / "es5" / "tex-svg.js")],
        "myst_substitutions": measured(len(facts)),
    }
    if repository:
        github = {"name": "GitHub", "url": publishing.GITHUB + repository}
        overrides["html_theme_options.external_links"] = [github]

    doctrees = BUILD / "site-doctrees"
    with docutils_namespace():
        app = Sphinx(source, HERE, out, doctrees, "html", overrides, status=None, freshenv=True, warningiserror=True)
        app.build()
    return app.statuscode


def stage(source: Path, notebooks: dict[Path, NotebookNode]) -> None:
    """The folder that Sphinx builds from, but for the table of the course."""
    for path in (ROOT / PAGES).rglob("*.*"):
        put(source, path.relative_to(ROOT))
    for name, below in BELOW.items():
        with (source / name).open("a", encoding="utf-8") as page_with_pages_below:
            page_with_pages_below.write(TOCTREE.format(entries="\n".join(below)))

    put(source, Path("README.md"))
    (source / "slider.html").write_text(slider.html(), encoding="utf-8")
    (source / "slider-of-notebook.html").write_text(slider.html(in_notebook=True), encoding="utf-8")

    for image in (ROOT / "data").glob("*/*.png"):
        target = source / image.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(image, target)

    (source / "notebooks" / "assignments").mkdir(parents=True)
    for path, notebook in notebooks.items():
        nbformat.write(page(notebook, path.relative_to(ROOT)), source / "notebooks" / path.name)

    guide = put(source, Path("notebooks/assignments/README.md"))
    without_answers = re.sub(r"\[(`\w+`)\]\(\w+\.ipynb\)", r"\1", guide.read_text(encoding="utf-8"))
    guide.write_text(without_answers, encoding="utf-8")  # the notebooks that it links to hold the answers


def thumbnail(source: Path, path: Path, notebook: NotebookNode) -> str:
    """Store a notebook's thumbnail, if there is one, in the sources; as Markdown."""
    small = course_table.thumbnail(notebook)
    if small is None:
        return ""
    png, described = small
    target = source / "thumbnails" / f"{path.stem}.png"
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(png)
    return f"![{described}](thumbnails/{target.name})"


def put(source: Path, path: Path) -> Path:
    """Copy a page, named by its path in the repository, into the sources; where it is now."""
    target = source / staged(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(relink((ROOT / path).read_text(encoding="utf-8"), path), encoding="utf-8")
    return target


def staged(path: Path) -> Path:
    """Where the sources have what the repository has at `path`."""
    if path.is_relative_to(PAGES):
        return path.relative_to(PAGES)
    return path


def relink(text: str, path: Path) -> str:
    """The text of a page at `path` in the repository, its relative links as they are among the sources. The README
    is no page of the site: what is linked to there is on the page of the course."""

    def on_the_site(link: re.Match[str]) -> str:
        target = Path(os.path.normpath(path.parent / link["path"]))
        if target == Path("README.md"):
            target = PAGES / "course.md"
        relative = os.path.relpath(staged(target), staged(path).parent)
        return f"]({Path(relative).as_posix()}{link['place'] or ''})"

    return LINK.sub(on_the_site, text)


def page(notebook: NotebookNode, path: Path) -> NotebookNode:
    """A notebook as the site shows it: without what only Colab needs, with the slider."""
    only_for_colab = publishing.course_cell(notebook)
    cells = []
    for cell in notebook.cells:
        if cell is only_for_colab or cell.id == publishing.BADGE:
            continue
        cells.append(cell)
        if cell.cell_type == "markdown":
            cell.source = relink(cell.source, path)
        if "sliders.temperature(" in cell.source:
            cells.append(nbformat.v4.new_markdown_cell(slider.DIRECTIVE))
        if sentences(cell):
            cell.metadata.setdefault("tags", []).append("sentences")  # a class of its own, whose lines wrap
    notebook.cells = cells
    return notebook


def sentences(cell: NotebookNode) -> bool:
    """Whether a cell prints sentences, and no table: nothing in it is aligned by spaces."""
    text = "".join(output.get("text", "") for output in cell.get("outputs", []))
    return bool(text) and not re.search(r"\S {2,}\S", text)


def measured(notebooks: int) -> dict[str, Any]:
    """Numbers on the pages: of notebooks, from the records of `kdtutor evidence`, and from the ledger."""
    findings = json.loads((ROOT / "data" / "claims.json").read_text(encoding="utf-8"))["findings"]
    verdicts = Counter(finding["verdict"] for finding in findings)
    return {
        "notebooks": notebooks,
        "few": picture.mean_errors(small_student.FEW),
        "soft": picture.mean_errors(small_student.SOFT),
        "hard": picture.mean_errors(small_student.HARD),
        "claims": len(findings),
        "hold": verdicts["holds"],
        "fail": verdicts["fails"],
        "open": len(findings) - verdicts["holds"] - verdicts["fails"],
    }


def purge(out: Path) -> None:
    """Drop what would be loaded in vain: styles that no page uses, the theme's script for icons beyond its own."""
    static = out / "_static"
    (static / "scripts" / "fontawesome.js").write_text("")
    for leftover in [static / "webpack-macros.html", *static.rglob("*.map")]:
        leftover.unlink(missing_ok=True)
    content = [str(out / "**" / "*.html"), str(static / "**" / "*.js")]
    for css in [static / "styles" / "pydata-sphinx-theme.css", *static.glob("mystnb*.css")]:
        subprocess.run(["node", PURGE, "--css", css, "--output", css.parent, "--content", *content], check=True)


if __name__ == "__main__":
    sys.exit(main())
