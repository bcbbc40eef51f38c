"""What the system lets the worker do: read Python and the course's data, write in its own folder.

It starts no process, opens no connection, and ends when its parent does. `restrict` asks the system for that (Linux:
Landlock for files and signals, seccomp for processes and sockets; any POSIX system: resource limits), before anything
else is imported: so this file knows nothing of kdtutor or torch, and `process` runs it alone. What the system has no
means for is refused by `audit` only.
"""

import contextlib
import ctypes
import os
import platform
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

MAX_MEMORY_BYTES = 6 << 30  # of data: 6 GiB
MAX_FILE_BYTES = 256 << 20  # of a file that is written: 256 MiB
MAX_CPU_SECONDS = 4 * 3600  # of processor time, in all

READABLE = (  # what Python and its libraries need of the system
    "/usr",
    "/lib",
    "/lib64",
    "/proc",  # memory and processors, for torch
    "/sys",  # the same
    "/System",  # macOS
    "/Library",  # macOS
    "/dev/null",
    "/dev/random",
    "/dev/urandom",
    "/etc/fonts",  # for matplotlib
    "/etc/ld.so.cache",  # where shared libraries are
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/nsswitch.conf",  # how names, such as one's own, are looked up
    "/etc/os-release",
    "/etc/passwd",  # the home folder
    "/etc/timezone",
)

# prctl, from linux/prctl.h
PR_SET_PDEATHSIG = 1  # a signal for this process when its parent ends
PR_SET_SECCOMP = 22
PR_SET_NO_NEW_PRIVS = 38  # Landlock and seccomp ask for it
SIGKILL = 9

# Landlock, from linux/landlock.h and the kernel's userspace-api/landlock. Its system calls have the same numbers
# everywhere; "version" is that of its interface, in which rights were added.
LANDLOCK_CREATE_RULESET = 444
LANDLOCK_ADD_RULE = 445
LANDLOCK_RESTRICT_SELF = 446
CREATE_RULESET_VERSION = 1  # flag: tell the version only
RULE_PATH_BENEATH = 1
EXECUTE = 1 << 0
WRITE_FILE = 1 << 1
READ_FILE = 1 << 2
READ_FOLDER = 1 << 3
ALL_FILE_RIGHTS = (1 << 13) - 1  # these four, and to remove and make files and folders: version 1
REFER = 1 << 13  # to move a file to another folder: version 2
TRUNCATE = 1 << 14  # version 3
CONTROL_DEVICES = 1 << 15  # ioctl: version 5
ALL_CONNECTIONS = 0b11  # TCP, bind and connect: version 4
ALL_SCOPES = 0b11  # abstract sockets of other processes, and signals to them: version 6

# seccomp, from linux/seccomp.h: what a filter answers, and where it finds what in struct seccomp_data
SECCOMP_MODE_FILTER = 2
ALLOW = 0x7FFF0000
REFUSE = 0x00050001  # the call fails with EPERM
ABSENT = 0x00050026  # it fails with ENOSYS, and the caller (glibc) tries an older one
CALL_NUMBER = 0
ARCHITECTURE = 4
FIRST_ARGUMENT = 16

# The filter's instructions, from linux/bpf_common.h. A jump says how many instructions it skips if so, and if not.
LOAD = 0x20
JUMP_IF_EQUAL = 0x15
JUMP_IF_AT_LEAST = 0x35
JUMP_IF_BITS = 0x45
RETURN = 0x06

MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # by `platform.machine()`: its number, from linux/audit.h
X32_CALLS = 0x40000000  # from here on another way of x86_64 to name the same calls
CLONE_THREAD = 0x10000  # clone's flag for a thread, which isn't a process of its own
CLONE = {"x86_64": 56, "aarch64": 220}
CLONE3 = 435  # takes its flags in memory, where a filter can't read them
REFUSED = {  # the numbers of system calls, from asm/unistd.h
    "x86_64": (
        57,  # fork
        58,  # vfork
        59,  # execve
        322,  # execveat
        41,  # socket
        101,  # ptrace: other processes
        272,  # unshare: namespaces
        308,  # setns
        310,  # process_vm_readv: the memory of other processes
        311,  # process_vm_writev
        425,  # io_uring_setup: files and sockets without system calls
        29,  # shmget: memory that processes share
        30,  # shmat
    ),
    "aarch64": (  # it has no fork and vfork
        221,  # execve
        281,  # execveat
        198,  # socket
        117,  # ptrace
        97,  # unshare
        268,  # setns
        270,  # process_vm_readv
        271,  # process_vm_writev
        425,  # io_uring_setup
        194,  # shmget
        196,  # shmat
    ),
}


def restrict(folder: str, readable: Iterable[str]) -> None:
    """From here on this process and its threads write below `folder` only, and read below `folder` and `readable`
    only."""
    _limit_resources()
    if sys.platform != "linux":
        return
    Path("/proc/self/oom_score_adj").write_text("1000")  # where memory runs out, this process goes first
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _restrict_files(libc, folder, readable)
    _restrict_calls(libc)


def landlock_version() -> int:
    """The version of the system's Landlock; below 1 if it has none."""
    if sys.platform != "linux":
        return 0
    return ctypes.CDLL(None).syscall(LANDLOCK_CREATE_RULESET, None, 0, CREATE_RULESET_VERSION)


def _limit_resources() -> None:
    import resource

    limits = {
        "RLIMIT_DATA": MAX_MEMORY_BYTES,  # not RLIMIT_AS: torch reserves far more than it uses
        "RLIMIT_FSIZE": MAX_FILE_BYTES,
        "RLIMIT_CPU": MAX_CPU_SECONDS,
        "RLIMIT_CORE": 0,
    }
    for limit, value in limits.items():
        with contextlib.suppress(AttributeError, ValueError, OSError):  # hasn't got it, or has a lower one already
            resource.setrlimit(getattr(resource, limit), (value, value))


def _restrict_files(libc: ctypes.CDLL, folder: str, readable: Iterable[str]) -> None:
    """By Landlock: which files may be used, and no connections, and signals to none but itself."""
    version = landlock_version()
    if version < 1:
        return

    files = ALL_FILE_RIGHTS
    if version >= 2:
        files |= REFER
    if version >= 3:
        files |= TRUNCATE
    if version >= 5:
        files |= CONTROL_DEVICES
    handled = struct.pack("<Q", files)  # struct landlock_ruleset_attr has grown: an old kernel takes its beginning
    if version >= 4:
        handled += struct.pack("<Q", ALL_CONNECTIONS)
    if version >= 6:
        handled += struct.pack("<Q", ALL_SCOPES)

    # What is handled is refused, but for these rules.
    ruleset = libc.syscall(LANDLOCK_CREATE_RULESET, handled, len(handled), 0)
    _allow(libc, ruleset, folder, files & ~EXECUTE)
    _allow(libc, ruleset, os.devnull, READ_FILE | WRITE_FILE)
    for root in readable:
        _allow(libc, ruleset, root, READ_FILE | READ_FOLDER)
    libc.syscall(LANDLOCK_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)


def _allow(libc: ctypes.CDLL, ruleset: int, path: str, rights: int) -> None:
    """Add a rule: these rights on a file, or on all that is below a folder."""
    if not os.path.exists(path):
        return
    if not os.path.isdir(path):
        rights &= READ_FILE | WRITE_FILE  # Landlock takes no other for a file
    number = os.open(path, os.O_PATH | os.O_CLOEXEC)
    libc.syscall(LANDLOCK_ADD_RULE, ruleset, RULE_PATH_BENEATH, struct.pack("<Qi", rights, number), 0)
    os.close(number)


def _restrict_calls(libc: ctypes.CDLL) -> None:
    """By seccomp: threads yes, processes and sockets no."""
    machine = platform.machine()
    if machine not in MACHINES:
        return
    instructions = call_filter(machine)
    program = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *step) for step in instructions))
    described = struct.pack("<HxxxxxxQ", len(instructions), ctypes.addressof(program))  # struct sock_fprog
    libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, described, 0, 0)


def call_filter(machine: str) -> list[tuple[int, int, int, int]]:
    """The filter of system calls, in the kernel's own little language.

    A step is an instruction, how many to skip if so, how many if not, and the number that it works with.
    """
    steps = [
        (LOAD, 0, 0, ARCHITECTURE),
        (JUMP_IF_EQUAL, 1, 0, MACHINES[machine]),
        (RETURN, 0, 0, REFUSE),
        (LOAD, 0, 0, CALL_NUMBER),
        (JUMP_IF_AT_LEAST, 0, 1, X32_CALLS),
        (RETURN, 0, 0, REFUSE),
    ]
    for number in REFUSED[machine]:
        steps.append((JUMP_IF_EQUAL, 0, 1, number))
        steps.append((RETURN, 0, 0, REFUSE))
    steps += [
        (JUMP_IF_EQUAL, 0, 1, CLONE3),
        (RETURN, 0, 0, ABSENT),
        (JUMP_IF_EQUAL, 1, 0, CLONE[machine]),
        (RETURN, 0, 0, ALLOW),
        (LOAD, 0, 0, FIRST_ARGUMENT),  # clone: its flags
        (JUMP_IF_BITS, 1, 0, CLONE_THREAD),
        (RETURN, 0, 0, REFUSE),
        (RETURN, 0, 0, ALLOW),
    ]
    return steps
