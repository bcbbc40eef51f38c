"""The course's notebooks, each from top to bottom."""

import subprocess
import time
from collections.abc import Iterator

from kdtutor import _paths
from kdtutor.commands.benchmarks.timing import Row
from kdtutor.data import Dataset


def time_notebooks(data: Dataset, quick: bool) -> Iterator[Row]:
    """Seconds of each notebook from top to bottom, start of the kernel included (not with --quick)."""
    if quick or not _paths.checkout():
        return
    import nbformat
    from nbclient import NotebookClient

    folder = _paths.in_checkout("notebooks")
    for path in sorted(folder.glob("*.ipynb")):
        start = time.perf_counter()
        client = NotebookClient(nbformat.read(path, as_version=4), resources={"metadata": {"path": str(folder)}})
        client.execute(stderr=subprocess.DEVNULL)  # where the kernel's own warnings go
        yield {"seconds": time.perf_counter() - start, "notebook": path.stem}
