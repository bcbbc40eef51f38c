"""Losses in Python files, by their place."""

import runpy
import sys
from pathlib import Path
from typing import Any


def loss_at(place: str) -> Any:
    """What stands under a name in a Python file, "losses.py:KDLoss"; the file is run, with its folder on sys.path."""
    path, _, name = place.rpartition(":")
    if not Path(path).is_file() or not name:
        raise ValueError(f"loss must be the name of a loss in a Python file that exists, FILE.py:NAME, got {place!r}")
    sys.path.insert(0, str(Path(path).resolve().parent))
    try:
        namespace = runpy.run_path(path, run_name=Path(path).stem)
    except (Exception, SystemExit) as error:  # whatever somebody's file raises
        raise ValueError(f"{path} must run without an error, got {type(error).__name__}: {error}") from error
    finally:
        sys.path.pop(0)
    if name not in namespace:
        raise ValueError(f"loss must be a name in {path}, got {name!r}")
    return namespace[name]
