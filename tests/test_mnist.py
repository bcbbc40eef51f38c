"""MNIST's files: what is read is whole, and what is fetched is there completely or not at all.

A miniature MNIST of a few images stands in for the real one, and a copy of its files for the network.
"""

import errno
import hashlib
import http.client
import multiprocessing
import os
import socket
import struct
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from urllib.error import URLError

import pytest
import torch

from kdtutor import mnist, strokes


def idx(tensor):
    """In MNIST's own format: a number that says how many sizes follow, the sizes, a byte each value."""
    sizes = [size for size in tensor.shape if size > 1]
    return struct.pack(f">{1 + len(sizes)}i", 0x800 + len(sizes), *sizes) + bytes(tensor.flatten().tolist())


NAMES, TENSORS = tuple(mnist.FILES), list(strokes.make(train=6, test=3))
CONTENT = {name: idx(tensor) for name, tensor in zip(NAMES, TENSORS, strict=True)}
FILES = {name: (len(CONTENT[name]), hashlib.sha256(CONTENT[name]).hexdigest()) for name in NAMES}


@pytest.fixture(autouse=True)
def _miniature(monkeypatch):
    monkeypatch.setattr(mnist, "FILES", FILES)


def put(root, content=CONTENT):
    """A network that works: all four files, where torchvision puts them."""
    raw = Path(root) / mnist.RAW
    raw.mkdir(parents=True, exist_ok=True)
    for name, data in content.items():
        (raw / name).write_bytes(data)


def broken(error):
    """A network that gives one file and then fails."""

    def download(root):
        put(root, {NAMES[0]: CONTENT[NAMES[0]]})
        raise error

    return download


def whole(root):
    return all((root / mnist.RAW / name).read_bytes() == CONTENT[name] for name in NAMES)


def test_read_gives_images_and_labels(tmp_path):
    put(tmp_path)
    torch.testing.assert_close(mnist.read(tmp_path), TENSORS)  # dtypes and shapes too


def test_files_are_those_of_torchvision_and_read_as_it_reads_them(tmp_path):
    from torchvision.datasets import MNIST
    from torchvision.datasets.mnist import read_image_file, read_label_file

    put(tmp_path)
    assert {name.removesuffix(".gz") for name, _ in MNIST.resources} == set(NAMES)
    folder = Path(MNIST(tmp_path).raw_folder)
    assert folder == tmp_path / mnist.RAW
    images, labels, _, _ = mnist.read(tmp_path)
    assert torch.equal(images.squeeze(1), read_image_file(folder / NAMES[0]))
    assert torch.equal(labels, read_label_file(folder / NAMES[1]))


@pytest.mark.parametrize("name", NAMES)
def test_present_wants_all_four(tmp_path, name):
    assert not mnist.present(tmp_path)
    put(tmp_path)
    assert mnist.present(tmp_path)
    (tmp_path / mnist.RAW / name).unlink()
    assert not mnist.present(tmp_path)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:-1], "bytes where MNIST's has"),
        (lambda data: b"", "has 0 bytes where MNIST's has"),
        (lambda data: data[:-1] + bytes([data[-1] ^ 1]), "SHA-256 isn't MNIST's"),
    ],
    ids=["truncated", "empty", "flipped bit"],
)
def test_a_damaged_file_is_named(tmp_path, name, damage, message):
    put(tmp_path, CONTENT | {name: damage(CONTENT[name])})
    with pytest.raises(mnist.DataError, match=f"{name} .*{message}"):
        mnist.read(tmp_path)


def test_one_file_under_the_name_of_another_is_named(tmp_path):
    other = CONTENT[NAMES[0]][:16] + CONTENT[NAMES[0]][16:][::-1]  # as many images
    put(tmp_path, CONTENT | {NAMES[0]: other})
    with pytest.raises(mnist.DataError, match=f"{NAMES[0]} is damaged or another file"):
        mnist.read(tmp_path)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    put(tmp_path)
    (tmp_path / mnist.RAW / NAMES[3]).unlink()
    with pytest.raises(mnist.DataError, match=f"{NAMES[3]} can't be read .No such file"):
        mnist.read(tmp_path)


def test_fetch_moves_all_four_and_leaves_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setattr(mnist, "_download", put)
    root = tmp_path / "new" / "data"
    mnist.fetch(root)
    assert whole(root)
    assert [path.name for path in root.iterdir()] == ["MNIST"]
    assert sorted(path.name for path in (root / mnist.RAW).iterdir()) == sorted(NAMES)


def test_fetch_replaces_a_damaged_file(tmp_path, monkeypatch):
    monkeypatch.setattr(mnist, "_download", put)
    put(tmp_path, {NAMES[2]: b"half a fi"})
    mnist.fetch(tmp_path)
    assert whole(tmp_path)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("no mirror answers"),
        URLError("no route to host"),
        ConnectionResetError(errno.ECONNRESET, "reset by peer"),
        TimeoutError("timed out"),
        ImportError("no torchvision"),
        http.client.IncompleteRead(b""),
        http.client.BadStatusLine("a captive portal's page"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_broken_download_leaves_nothing_and_says_what_to_do(tmp_path, monkeypatch, error):
    monkeypatch.setattr(mnist, "_download", broken(error))
    with pytest.raises(mnist.DataError) as caught:
        mnist.fetch(tmp_path)
    assert str(caught.value) == f"MNIST isn't in {tmp_path} and can't be downloaded ({error}). {mnist.BY_HAND}"
    assert not list(tmp_path.iterdir())


def test_a_download_that_is_stopped_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(mnist, "_download", broken(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        mnist.fetch(tmp_path)
    assert not list(tmp_path.iterdir())


def test_corrupt_content_is_not_let_in(tmp_path, monkeypatch):
    monkeypatch.setattr(mnist, "_download", lambda root: put(root, CONTENT | {NAMES[1]: b"<html>log in first"}))
    with pytest.raises(mnist.DataError) as caught:
        mnist.fetch(tmp_path)
    message = str(caught.value)
    assert message.startswith(f"MNIST isn't in {tmp_path} and can't be downloaded")
    assert NAMES[1] in message
    assert message.endswith(mnist.BY_HAND)
    assert mnist.REPAIR not in message  # the reader can't delete a draft that is gone
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("below", ["", "below/it"], ids=["in its place", "above it"])
def test_a_file_where_the_folder_should_be(tmp_path, monkeypatch, below):
    monkeypatch.setattr(mnist, "_download", put)
    (tmp_path / "file").touch()
    root = tmp_path / "file" / below
    with pytest.raises(mnist.DataError, match=r"MNIST can't be written to .*file.* \(.+\)\. Put MNIST's four files"):
        mnist.fetch(root)


@pytest.mark.parametrize("fault", [errno.EROFS, errno.EACCES, errno.ENOSPC], ids=errno.errorcode.get)
@pytest.mark.parametrize("step", [(tempfile, "mkdtemp"), (os, "replace")], ids=["first write", "move"])
def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch, step, fault):
    def refuse(*args, **options):
        raise OSError(fault, os.strerror(fault))

    monkeypatch.setattr(mnist, "_download", put)
    monkeypatch.setattr(*step, refuse)
    with pytest.raises(mnist.DataError) as caught:
        mnist.fetch(tmp_path)
    assert str(caught.value) == f"MNIST can't be written to {tmp_path} ({os.strerror(fault)}). {mnist.BY_HAND}"
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def fetch_together(root, together):
    """Fetch, but let the other process finish its download before either moves a file."""

    def download(draft):
        put(draft)
        together.wait(timeout=60)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mnist, "FILES", FILES)
        patch.setattr(mnist, "_download", download)
        mnist.fetch(root)


def test_two_processes_at_once(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    together = spawn.Barrier(2)
    other = spawn.Process(target=fetch_together, args=(tmp_path, together))
    other.start()
    fetch_together(tmp_path, together)
    other.join(60)
    assert other.exitcode == 0
    assert whole(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["MNIST"]


@pytest.fixture
def network(monkeypatch):
    """Stand in for torchvision's MNIST, and note how long it would wait for an answer."""
    seen = SimpleNamespace(timeouts=[], error=None)

    def download(root, download):
        seen.timeouts.append(socket.getdefaulttimeout())
        print("Failed to download from the first mirror")
        if seen.error:
            raise seen.error
        put(root)

    monkeypatch.setitem(sys.modules, "torchvision.datasets", SimpleNamespace(MNIST=download))
    return seen


@pytest.mark.parametrize("error", [None, URLError("no route")], ids=["works", "fails"])
@pytest.mark.parametrize("before", [None, 7.0])
def test_a_silent_network_is_given_up_on_and_the_socket_default_restored(tmp_path, network, error, before):
    network.error = error
    default = socket.getdefaulttimeout()
    socket.setdefaulttimeout(before)
    try:
        if error:
            with pytest.raises(mnist.DataError):
                mnist.fetch(tmp_path)
        else:
            mnist.fetch(tmp_path)
        assert socket.getdefaulttimeout() == before
    finally:
        socket.setdefaulttimeout(default)
    (patience,) = network.timeouts
    assert 0 < patience <= 60


def test_torchvisions_remarks_on_its_mirrors_are_not_shown(tmp_path, network, capsys):
    mnist.fetch(tmp_path)
    assert capsys.readouterr().out == ""


def test_without_torchvision(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision.datasets", None)
    with pytest.raises(mnist.DataError, match=r"can't be downloaded \(.*torchvision"):
        mnist.fetch(tmp_path)
