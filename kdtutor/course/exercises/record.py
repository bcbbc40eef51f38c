"""Which exercises a learner has solved, in whichever notebook and session: a small file in the home folder keeps it.

It is `~/.local/state/kdtutor/progress.json`, or the file that the environment variable KDTUTOR_PROGRESS names; delete
it to begin anew. Without it, or where it can't be read or written, an exercise counts as solved until the session ends.
"""

import contextlib
import json
import os
from pathlib import Path

from kdtutor._io import write_json

_in_this_session: set[str] = set()


def solved() -> set[str]:
    """The names of the exercises that have been solved."""
    return _stored() | _in_this_session


def remember(name: str) -> None:
    """Note that an exercise is solved. A file that can't be written is no reason to stop a learner."""
    _in_this_session.add(name)
    stored = _stored()
    if name in stored:
        return
    with contextlib.suppress(OSError, RuntimeError):  # a read-only home, or none at all
        write_json({"solved": sorted(stored | _in_this_session)}, _file())


def _file() -> Path:
    """Where the record is kept. Raises RuntimeError where there is no home folder."""
    named = os.environ.get("KDTUTOR_PROGRESS")
    if named:
        return Path(named).expanduser()
    return Path.home() / ".local" / "state" / "kdtutor" / "progress.json"


def _stored() -> set[str]:
    """What the file says; nothing if it isn't there, or is damaged."""
    try:
        record = json.loads(_file().read_text(encoding="utf-8"))
    except (OSError, RuntimeError, ValueError):
        return set()
    names = record.get("solved") if isinstance(record, dict) else None
    if not isinstance(names, list):
        return set()
    return {name for name in names if isinstance(name, str)}
