"""Where the course's files are: this package may be part of a checkout, or installed without one."""

from pathlib import Path

PACKAGE = Path(__file__).parent


def checkout() -> Path | None:
    """The course's folder, with `notebooks/` and `data/`; None where the package is installed without it."""
    # Only a checkout has a data/README.md beside the package. A bare data/ would prove nothing: anything may lie beside
    # an installed package.
    folder = PACKAGE.parent
    return folder if (folder / "data" / "README.md").is_file() else None


def in_checkout(part: str) -> Path:
    """A file or folder of the course, such as "notebooks". Raises FileNotFoundError where there is no checkout."""
    folder = checkout()
    if folder is None:
        raise FileNotFoundError(f"{part} is part of the course, and this kdtutor was installed without it")
    return folder / part
