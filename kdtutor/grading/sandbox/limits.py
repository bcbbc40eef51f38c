"""What a process that runs other people's code may do: read Python and the course's data, write in its own folder.

It starts no process, opens no connection, and ends when its parent does. Two layers: `lock` asks the system (Linux:
Landlock for files and signals, seccomp for processes and sockets; any POSIX system: limits), before anything else is
imported, so this file knows nothing of kdtutor or torch; `watch` adds an audit hook, which says in a sentence what was
refused, and where the system has no such locks is the only layer. Python code that tries hard gets around a hook.
"""

import contextlib
import ctypes
import os
import platform
import struct
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

MEMORY, FILE, HOURS = 6 << 30, 256 << 20, 4  # bytes of data and of each file, hours of computing
LIBRARIES = (
    "/usr", "/lib", "/lib64", "/proc", "/sys", "/System", "/Library", "/dev/null", "/dev/random",
    "/dev/urandom", "/etc/fonts", "/etc/ld.so.cache", "/etc/localtime", "/etc/mime.types", "/etc/nsswitch.conf",
    "/etc/os-release", "/etc/passwd", "/etc/timezone",
)  # fmt: skip
READ, WRITE, EVERYTHING, REFER, TRUNCATE, DEVICES = 0b1100, 1 << 1, (1 << 13) - 1, 1 << 13, 1 << 14, 1 << 15  # Landlock
CLONE_THREAD, ALLOW, REFUSE, ABSENT = 0x10000, 0x7FFF0000, 0x00050001, 0x00050026  # seccomp; errno EPERM, ENOSYS
SYSTEM_CALLS = {  # architecture: its number; clone; clone3; fork, vfork, execve, execveat, socket, ptrace, unshare, …
    "x86_64": (0xC000003E, 56, 435, (57, 58, 59, 322, 41, 101, 272, 308, 310, 311, 425, 29, 30)),
    "aarch64": (0xC00000B7, 220, 435, (221, 281, 198, 117, 97, 268, 270, 271, 425, 194, 196)),
}


def lock(own: str, roots: Iterable[str]) -> None:
    """From here on this process and its threads write below `own` only and read below `own` and `roots` only."""
    import resource

    for limit, value in (
        ("RLIMIT_DATA", MEMORY),  # not RLIMIT_AS: torch reserves far more than it uses
        ("RLIMIT_FSIZE", FILE),
        ("RLIMIT_CPU", HOURS * 3600),
        ("RLIMIT_CORE", 0),
    ):
        with contextlib.suppress(AttributeError, ValueError, OSError):  # hasn't got it, or has a lower one already
            resource.setrlimit(getattr(resource, limit), (value, value))
    if sys.platform != "linux":
        return
    Path("/proc/self/oom_score_adj").write_text("1000")  # where memory runs out, this process goes first
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(1, 9, 0, 0, 0)  # PR_SET_PDEATHSIG: killed when the parent ends
    libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS, which the next two ask for
    _landlock(libc, own, roots)
    _seccomp(libc)


def _landlock(libc: ctypes.CDLL, own: str, roots: Iterable[str]) -> None:
    """The files that may be used, and signals to none but itself; see the kernel's userspace-api/landlock."""
    version = libc.syscall(444, None, 0, 1)
    if version < 1:
        return
    files = EVERYTHING | (REFER if version >= 2 else 0) | (TRUNCATE if version >= 3 else 0)
    files |= DEVICES if version >= 5 else 0
    connections, signals = (3 if version >= 4 else 0), (3 if version >= 6 else 0)
    rules = struct.pack("<QQQ", files, connections, signals)[: 24 if version >= 6 else 16 if version >= 4 else 8]
    ruleset = libc.syscall(444, rules, len(rules), 0)
    allowed = [(own, files & ~1), ("/dev/null", READ & 0b100 | WRITE), *((root, READ) for root in roots)]
    for path, access in allowed:
        if os.path.exists(path):
            parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
            access = access if os.path.isdir(path) else access & 0b110  # a file's own rights: read, write
            libc.syscall(445, ruleset, 1, struct.pack("<Qi", access, parent), 0)
            os.close(parent)
    libc.syscall(446, ruleset, 0)
    os.close(ruleset)


def _seccomp(libc: ctypes.CDLL) -> None:
    """Threads yes, processes and sockets no: a filter of system calls in the kernel's own little language."""
    if platform.machine() not in SYSTEM_CALLS:
        return
    architecture, clone, clone3, refused = SYSTEM_CALLS[platform.machine()]
    load, equal, at_least, bits, answer = 0x20, 0x15, 0x35, 0x45, 0x06
    filters = [(load, 0, 0, 4), (equal, 1, 0, architecture), (answer, 0, 0, REFUSE), (load, 0, 0, 0)]
    filters += [(at_least, 0, 1, 0x40000000), (answer, 0, 0, REFUSE)]  # x32, another way to name the same calls
    for number in refused:
        filters += [(equal, 0, 1, number), (answer, 0, 0, REFUSE)]
    filters += [(equal, 0, 1, clone3), (answer, 0, 0, ABSENT), (equal, 1, 0, clone), (answer, 0, 0, ALLOW)]
    filters += [(load, 0, 0, 16), (bits, 1, 0, CLONE_THREAD), (answer, 0, 0, REFUSE), (answer, 0, 0, ALLOW)]
    program = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *step) for step in filters))
    libc.prctl(22, 2, struct.pack("<HxxxxxxQ", len(filters), ctypes.addressof(program)), 0, 0)  # PR_SET_SECCOMP


def watch(own: str, roots: Iterable[str]) -> None:
    """Refuse what is forbidden, as PermissionError in one sentence, before the system does."""
    own = os.path.realpath(own)
    readable = (own, *(os.path.realpath(root) for root in roots))
    sys.addaudithook(_hook(own, readable))


def _one(path: object, *rest: object) -> tuple:
    return ((path, rest[-1]),)  # the last argument is the folder's number, which the path may start from


def _two(source: object, target: object, *folders: object) -> tuple:
    return ((source, folders[0]), (target, folders[-1]))


def _alone(path: object, *_: object) -> tuple:
    return ((path, None),)


CHANGES = dict.fromkeys(("os.remove", "os.rmdir", "os.mkdir", "os.chmod", "os.chown", "os.utime"), _one)
CHANGES |= dict.fromkeys(("os.rename", "os.link", "os.symlink"), _two)
CHANGES |= dict.fromkeys(("os.truncate", "sqlite3.connect"), _alone)
PROCESSES = {
    "os.exec", "os.fork", "os.forkpty", "os.kill", "os.killpg", "os.posix_spawn", "os.spawn", "os.system", "pty.spawn",
    "subprocess.Popen",
}  # fmt: skip
CONNECTIONS = {
    "socket.__new__", "socket.bind", "socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto",
}  # fmt: skip
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def _hook(own: str, readable: tuple[str, ...]) -> Callable[[str, tuple], None]:
    def below(path: object, folder: object, roots: tuple[str, ...]) -> bool:
        if isinstance(path, int):  # an open file
            return True
        path = os.fsdecode(path)
        if isinstance(folder, int) and folder >= 0 and not os.path.isabs(path):
            path = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), path)
        real = os.path.realpath(path)
        return real == os.devnull or any(real == root or real.startswith(root + os.sep) for root in roots)

    def hook(event: str, arguments: tuple) -> None:
        if event == "open":
            path, mode, flags = arguments
            changes = (flags or 0) & WRITING or any(letter in (mode or "r") for letter in "wax+")
            if not below(path, None, (own,) if changes else readable):
                raise PermissionError(f"graded code may not {'write' if changes else 'read'} {path}")
        elif event in CHANGES and not all(below(path, folder, (own,)) for path, folder in CHANGES[event](*arguments)):
            raise PermissionError(f"graded code may not change {arguments[0]}")
        elif event in PROCESSES:
            raise PermissionError("graded code may not start or end processes")
        elif event in CONNECTIONS:
            raise PermissionError("graded code may not use the network")

    return hook
