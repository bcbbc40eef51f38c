"""Files that are whole or absent."""

import contextlib
import os
from pathlib import Path


def write(path: Path, content: bytes) -> None:
    """Write under another name in the same folder, made if need be, then move. Raises OSError that names the file."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(content)
        os.replace(draft, path)
    except OSError as error:
        raise OSError(f"{path} can't be written ({error.strerror})") from error
    finally:
        with contextlib.suppress(OSError):  # it is gone if all went well
            draft.unlink()
