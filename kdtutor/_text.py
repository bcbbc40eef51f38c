"""Text that fits a notebook's page: lines that wrap at spaces, and tables of aligned columns."""

import textwrap
from collections.abc import Iterable, Sequence

WIDTH = 110  # characters; JupyterLab breaks longer lines in the middle of a word


def wrap(line: str, indent: int) -> str:
    """A line as lines of at most WIDTH characters, broken at spaces; all but the first are indented."""
    return textwrap.fill(line, WIDTH, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)


def one_line(text: object) -> str:
    """str(text) in one line: each run of white space becomes one space."""
    return " ".join(str(text).split())


def text_table(heads: Sequence[str], rows: Iterable[Sequence[object]], left: int = 1) -> str:
    """Rows below their heads in aligned columns, two spaces apart; the first `left` columns are flush left, the
    others, numbers, flush right. Cells are shown by str()."""
    lines = [[str(cell) for cell in row] for row in (heads, *rows)]
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    return "\n".join(_aligned(line, widths, left) for line in lines)


def _aligned(cells: list[str], widths: list[int], left: int) -> str:
    padded = []
    for place, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        padded.append(cell.ljust(width) if place < left else cell.rjust(width))
    return "  ".join(padded).rstrip()
