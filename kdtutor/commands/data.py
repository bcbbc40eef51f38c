"""`kdtutor data`: where a data set is, and whether it is complete."""

from argparse import ArgumentParser

from kdtutor import data
from kdtutor.data import files
from kdtutor.data.sources import SOURCES

HELP = "say where MNIST or another data set is and whether it is complete; with --fetch, download it"


def add_arguments(parser: ArgumentParser) -> None:
    """NAME and --fetch."""
    parser.add_argument("name", nargs="?", choices=tuple(SOURCES), default="mnist", help="(default %(default)s)")
    parser.add_argument("--fetch", action="store_true", help="download the data set if it isn't there")
    parser.set_defaults(work=show_data)


def show_data(name: str, fetch: bool) -> int:
    """Print where the data set is, after a check of its files, and return 0; where there is none, say so and return 1.

    Raises DataError, naming the file, where one is damaged, or where the data set can't be downloaded.
    """
    source = SOURCES[name]
    roots = [root for root in data.places() if source.layout(root)]
    if fetch and not roots:
        files.fetch(source, data.folder())
        roots = [data.folder()]
    if not roots:
        place = data.folder() / source.layouts[0].folder
        print(f"{source.name}: not in {place}. Add --fetch to download it; the notebooks fall back on strokes.")
        return 1

    layout = source.layout(roots[0])
    files.read(source, roots[0])
    print(f"{source.name}: complete, in {roots[0] / layout.folder} (each file's SHA-256 was checked)")
    return 0
