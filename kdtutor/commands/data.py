"""`kdtutor data`: where MNIST is, and whether it is complete."""

from argparse import ArgumentParser

from kdtutor import data
from kdtutor.data import mnist

HELP = "say where MNIST is and whether it is complete; with --fetch, download it"


def add_arguments(parser: ArgumentParser) -> None:
    """--fetch."""
    parser.add_argument("--fetch", action="store_true", help="download MNIST if it isn't there")
    parser.set_defaults(work=show_mnist)


def show_mnist(fetch: bool) -> int:
    """Print where MNIST is, after a check of its files, and return 0; where there is none, say so and return 1.

    Raises DataError, naming the file, where one is damaged, or where MNIST can't be downloaded.
    """
    roots = [root for root in data.places() if mnist.present(root)]
    if fetch and not roots:
        mnist.fetch(data.folder())
        roots = [data.folder()]
    if not roots:
        place = data.folder() / mnist.RAW_FOLDER
        print(f"MNIST: not in {place}. Add --fetch to download it; the notebooks fall back on strokes.")
        return 1

    mnist.read(roots[0])
    print(f"MNIST: complete, in {roots[0] / mnist.RAW_FOLDER} (each file's SHA-256 was checked)")
    return 0
