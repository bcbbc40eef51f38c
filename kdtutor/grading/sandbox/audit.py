"""Refuse in Python what `limits` has the system refuse, in a sentence, and before the system does.

Where the system has no such means, this is the only layer. Python code that tries hard gets around an audit hook.
"""

import os
import sys
from collections.abc import Callable, Iterable

Place = tuple[object, object]  # a path, and the folder (an open file's number, or None) that it may start from


def _path_and_folder(path: object, *rest: object) -> list[Place]:
    """The event's first argument is a path, its last one the folder."""
    return [(path, rest[-1])]


def _source_and_target(source: object, target: object, *folders: object) -> list[Place]:
    """The event's first two arguments are paths, the others their folders."""
    return [(source, folders[0]), (target, folders[-1])]


def _path_alone(path: object, *_: object) -> list[Place]:
    """The event's first argument is a path, which starts from no folder."""
    return [(path, None)]


CHANGES = {  # by audit event that changes files: which places it touches
    "os.remove": _path_and_folder,
    "os.rmdir": _path_and_folder,
    "os.mkdir": _path_and_folder,
    "os.chmod": _path_and_folder,
    "os.chown": _path_and_folder,
    "os.utime": _path_and_folder,
    "os.rename": _source_and_target,
    "os.link": _source_and_target,
    "os.symlink": _source_and_target,
    "os.truncate": _path_alone,
    "sqlite3.connect": _path_alone,
}
PROCESSES = {
    "os.exec", "os.fork", "os.forkpty", "os.kill", "os.killpg", "os.posix_spawn", "os.spawn", "os.system", "pty.spawn",
    "subprocess.Popen",
}  # fmt: skip
CONNECTIONS = {
    "socket.__new__", "socket.bind", "socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto",
}  # fmt: skip
WRITING_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
WRITING_MODES = "wax+"


def watch(folder: str, readable: Iterable[str]) -> None:
    """From here on refuse to write outside `folder`, to read outside `folder` and `readable`, to start processes and to
    use the network, as PermissionError in one sentence."""
    writable = (os.path.realpath(folder),)
    roots = [os.path.realpath(root) for root in readable]
    sys.addaudithook(_hook(writable, (*writable, *roots)))


def _hook(writable: tuple[str, ...], readable: tuple[str, ...]) -> Callable[[str, tuple], None]:
    def hook(event: str, arguments: tuple) -> None:
        if event == "open":
            path, mode, flags = arguments
            if _writes(mode, flags):
                if not _is_below(path, None, writable):
                    raise PermissionError(f"graded code may not write {path}")
            elif not _is_below(path, None, readable):
                raise PermissionError(f"graded code may not read {path}")
        elif event in CHANGES:
            for path, start in CHANGES[event](*arguments):
                if not _is_below(path, start, writable):
                    raise PermissionError(f"graded code may not change {arguments[0]}")
        elif event in PROCESSES:
            raise PermissionError("graded code may not start or end processes")
        elif event in CONNECTIONS:
            raise PermissionError("graded code may not use the network")

    return hook


def _writes(mode: str | None, flags: int | None) -> bool:
    """Whether a file is opened to be changed; `open` tells a mode, `os.open` flags alone."""
    if (flags or 0) & WRITING_FLAGS:
        return True
    return any(letter in (mode or "r") for letter in WRITING_MODES)


def _is_below(path: object, start: object, roots: tuple[str, ...]) -> bool:
    """Whether the path, which may start from an open folder of this number, leads below one of the roots."""
    if isinstance(path, int):  # the number of a file that is open already
        return True
    path = os.fsdecode(path)
    if isinstance(start, int) and start >= 0 and not os.path.isabs(path):
        path = os.path.join(os.readlink(f"/proc/self/fd/{start}"), path)
    real = os.path.realpath(path)
    if real == os.devnull:
        return True
    return any(real == root or real.startswith(root + os.sep) for root in roots)
