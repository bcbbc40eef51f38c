"""Lines that fit a notebook's page: JupyterLab breaks longer ones in the middle of a word."""

import textwrap

WIDTH = 110


def wrap(line: str, indent: int) -> str:
    """A line as lines of at most WIDTH characters, broken at spaces; all but the first are indented."""
    return textwrap.fill(line, WIDTH, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)
