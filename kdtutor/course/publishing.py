"""Where the course is published: its address on GitHub, and every copy of that address.

The address stands in `pyproject.toml`. `stamp` writes it there, into the notebooks (the first code cell, which gets the
course on Colab, and a badge that opens them there) and into the README; the site reads it when it is built. A copy
without an address has no badge and no link to itself, and says so where they would stand.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from kdtutor import _paths
from kdtutor._io import write

if TYPE_CHECKING:
    from nbformat import NotebookNode

ADDRESS = r"[A-Za-z0-9][A-Za-z0-9-]{0,38}/(?!\.{1,2}$|.*\.git$)[A-Za-z0-9._-]{1,100}"
GITHUB, COLAB = "https://github.com/", "https://colab.research.google.com/github/"
TABLE = "[project.urls]\n"
BADGE = "open-in-colab"  # the id of the badge's cell

FIRST_CELL = """\
# On Google Colab: get the course, and install only what is missing. Elsewhere this cell does nothing.
import importlib.util
import sys

if "google.colab" in sys.modules and not importlib.util.find_spec("kdtutor"):
"""
GET = """\
    !git clone --quiet --depth 1 {url} course
    %pip install --quiet --editable ./course
    sys.path.insert(0, "course")"""
NOWHERE = """\
    raise RuntimeError("This copy of the course has no public address: `kdtutor publish OWNER/REPO` gives it one.")"""

UNPUBLISHED = """\
Colab opens notebooks that are on GitHub, and this copy has no address there yet. Push it to the branch `main` of a
public repository; then `python -m kdtutor publish OWNER/REPO` writes the address into the notebooks (their first cell,
which gets the course, and a badge that opens them there), the README and the site. Commit and push what it changed."""
PUBLISHED = """\
Open a notebook: {links}. Its first cell gets the course from [{repository}]({url}) and installs only what Colab lacks;
elsewhere it does nothing. If you teach from a fork, `python -m kdtutor publish OWNER/REPO` writes your address instead
of this one into the notebooks, the README and the site; links name the branch `main`."""


def root() -> Path:
    """The checkout that this package is imported from."""
    return _paths.in_checkout("pyproject.toml").parent


def repository(folder: Path | None = None) -> str | None:
    """The address that a checkout has in its `pyproject.toml`, as OWNER/REPO; None before it is published."""
    project = _read((folder or root()) / "pyproject.toml")
    entry = re.search(rf'^Repository = "{GITHUB}(.+)"$', project, re.MULTILINE)
    return entry[1] if entry else None


def stamp(repository: str | None, folder: Path | None = None) -> list[Path]:
    """Write an address into every place of a checkout that names it.

    Args:
        repository: OWNER/REPO on GitHub, whose branch `main` the links name; None takes the address out.
        folder: the checkout; by default that of this package.

    Returns:
        The files that changed.

    Raises:
        ValueError: for another form of address, or where a file has no place for it. Then no file changes.
    """
    if repository is not None and not re.fullmatch(ADDRESS, repository):
        raise ValueError(f"repository must be OWNER/REPO, as on GitHub, got {repository!r}")

    changed = {}
    for path, text in copies(repository, folder or root()):
        if text != _read(path):
            changed[path] = text

    for path, text in changed.items():  # only now that each file has turned out to have a place for the address
        write(path, text.encode())
    return list(changed)


def copies(repository: str | None, folder: Path) -> Iterator[tuple[Path, str]]:
    """Each file of a checkout that has the address or a place for it, and its text with this address."""
    yield folder / "pyproject.toml", _project(folder / "pyproject.toml", repository)

    notebooks = sorted((folder / "notebooks").glob("[0-9]*.ipynb"))
    for path in notebooks:
        yield path, _notebook(path, repository, badge(repository, path))
    for path in sorted((folder / "notebooks" / "assignments").glob("*.ipynb")):
        yield path, _notebook(path, repository, "")  # it holds its answers: students open another file

    yield folder / "README.md", _readme(folder / "README.md", repository, notebooks)


def first_cell(repository: str | None) -> str:
    """The first code cell of each notebook and assignment."""
    if repository is None:
        return FIRST_CELL + NOWHERE
    return FIRST_CELL + GET.format(url=GITHUB + repository)


def on_github(repository: str | None, notebook: Path) -> str:
    """Where a numbered notebook is on GitHub."""
    return f"{GITHUB}{repository}/blob/main/notebooks/{notebook.name}"


def in_colab(repository: str | None, notebook: Path) -> str:
    """Where Colab opens a numbered notebook."""
    return on_github(repository, notebook).replace(GITHUB, COLAB, 1)


def badge(repository: str | None, notebook: Path) -> str:
    """Colab's own badge, a link in Markdown that opens a numbered notebook there; empty without an address."""
    if repository is None:
        return ""
    picture = "https://colab.research.google.com/assets/colab-badge.svg"
    return f"[![Open in Colab]({picture})]({in_colab(repository, notebook)})"


def course_cell(notebook: "NotebookNode") -> "NotebookNode | None":
    """The first code cell, if it is the one that gets the course."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            return cell if cell.source.startswith(FIRST_CELL.splitlines()[0]) else None
    return None


def insert_section(text: str, name: str, section: str) -> str:
    """`text` with `section` between the lines `<!-- name -->` and `<!-- end of name -->`, replacing what was there.

    Raises ValueError if the text lacks these lines.
    """
    start = f"<!-- {name} -->\n"
    end = f"<!-- end of {name} -->\n"
    before, _, rest = text.partition(start)
    _, end_found, after = rest.partition(end)
    if not end_found:
        raise ValueError(f"text must have the lines {start.strip()} and {end.strip()}")
    if not section:
        return f"{before}{start}{end}{after}"
    return f"{before}{start}\n{section}\n\n{end}{after}"


def _project(path: Path, repository: str | None) -> str:
    """`pyproject.toml` with the address in its table of links."""
    without_address = re.sub("^Repository = .*\n", "", _read(path), flags=re.MULTILINE)
    before, table, after = without_address.partition(TABLE)
    if not table:
        raise ValueError(f"{path} must have a table {TABLE.strip()}, which the address stands in")
    if repository is None:
        return before + table + after
    return f'{before}{table}Repository = "{GITHUB}{repository}"\n{after}'


def _readme(path: Path, repository: str | None, notebooks: list[Path]) -> str:
    """The README with a badge that opens the first notebook, and its paragraph on Colab."""
    text = insert_section(_read(path), "badge", badge(repository, notebooks[0]))
    if repository is None:
        return insert_section(text, "colab", UNPUBLISHED)
    links = ", ".join(f"[{notebook.stem[:2]}]({in_colab(repository, notebook)})" for notebook in notebooks)
    return insert_section(
        text, "colab", PUBLISHED.format(links=links, repository=repository, url=f"{GITHUB}{repository}")
    )


def _notebook(path: Path, repository: str | None, badge_in_markdown: str) -> str:
    """A notebook with its first code cell for this address, below the badge, if there is one."""
    import nbformat

    notebook = nbformat.reads(_read(path), as_version=4)
    first = course_cell(notebook)
    if first is None:
        raise ValueError(
            f"{path} must have as its first code cell the one that gets the course, as other notebooks have"
        )

    first.source = first_cell(repository)
    notebook.cells = [cell for cell in notebook.cells if cell.id != BADGE]
    if badge_in_markdown:
        notebook.cells.insert(0, nbformat.v4.new_markdown_cell(badge_in_markdown, id=BADGE))
    return nbformat.writes(notebook) + "\n"


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")
