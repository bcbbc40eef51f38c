"""Files that are complete or absent, and records: what was measured, in JSON, with what it depends on."""

import contextlib
import json
import os
import platform
import re
from datetime import date
from pathlib import Path
from typing import Any

import torch


def write(path: Path, content: bytes) -> None:
    """Write under another name in the same folder (made if there is none), then move. Raises OSError that names the
    file."""
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


def versions() -> dict[str, str | int]:
    """What a measured number depends on besides the seed."""
    return {"python": platform.python_version(), "torch": torch.__version__, "threads": torch.get_num_threads()}


def machine() -> dict[str, str | int | None]:
    """What a time depends on."""
    return {
        "date": date.today().isoformat(),
        "system": platform.platform(terse=True),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        **versions(),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        name = re.search(r"model name\s*:\s*(.+)", info.read_text())
        if name:
            return name[1]
    return platform.processor()


def write_json(record: dict[str, Any], path: Path) -> None:
    """Write a record; makes the folder if there is none. Raises OSError that names the file."""
    write(path, f"{json.dumps(record, indent=2)}\n".encode())
