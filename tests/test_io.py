"""A file is whole or absent, whatever goes wrong while it is written."""

import errno
import os
import re
import stat
from pathlib import Path

import pytest

from kdtutor._io import write


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.bin"


def refused(path, fault):
    """The message, as a pattern."""
    return "^" + re.escape(f"{path} can't be written ({os.strerror(fault)})") + "$"


def test_the_folder_is_made_and_nothing_else_is_left_in_it(tmp_path):
    path = tmp_path / "runs" / "1" / "file.bin"
    write(path, b"new")
    assert {file: file.read_bytes() for file in path.parent.iterdir()} == {path: b"new"}


def test_an_old_file_is_replaced(path):
    path.write_bytes(b"old and longer")
    write(path, b"new")
    assert path.read_bytes() == b"new"


def test_it_can_be_read_by_whom_the_umask_lets(path):
    write(path, b"new")
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


@pytest.mark.parametrize("fault", [errno.EROFS, errno.EACCES, errno.ENOSPC], ids=errno.errorcode.get)
@pytest.mark.parametrize("step", [(Path, "mkdir"), (Path, "write_bytes"), (os, "replace")], ids=lambda step: step[1])
def test_where_it_cannot_be_written_the_old_file_stays(path, monkeypatch, step, fault):
    def refuse(*args, **options):
        raise OSError(fault, os.strerror(fault))

    path.write_bytes(b"old")
    monkeypatch.setattr(*step, refuse)
    with pytest.raises(OSError, match=refused(path, fault)):
        write(path, b"new")
    assert {file: file.read_bytes() for file in path.parent.iterdir()} == {path: b"old"}


def test_a_disk_that_fills_up_half_way_leaves_nothing(path):
    resource = pytest.importorskip("resource", reason="a process has limits on Unix only")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))  # bytes a file; as good as a full disk
    try:
        with pytest.raises(OSError, match=refused(path, errno.EFBIG)):
            write(path, bytes(1_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(path.parent.iterdir())


def test_ctrl_c_leaves_no_draft(path, monkeypatch):
    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        write(path, b"new")
    assert not list(path.parent.iterdir())
