"""Files of data sets: what is read is whole, and what is fetched is there completely or not at all.

A miniature of a few images stands in for the real one, and a copy of its files for the network.
"""

import errno
import http.client
import multiprocessing
import os
import socket
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from urllib.error import URLError

import pytest
import torch

from kdtutor.data import files
from kdtutor.data.sources import MNIST_FILES, SOURCES

NAMES = tuple(MNIST_FILES)
RAW = SOURCES["mnist"].layouts[0].folder
HINT = SOURCES["mnist"].by_hand_hint


def broken(miniature, error):
    """A network that gives one file and then fails."""

    def download(name, root):
        miniature.put(root, {NAMES[0]: miniature.content[NAMES[0]]})
        raise error

    return download


def whole(root, miniature):
    return {path.name: path.read_bytes() for path in (root / RAW).iterdir()} == miniature.content


def absent(root, reason):
    """What is said where MNIST can't be had."""
    return f"MNIST isn't in {root} and can't be downloaded there ({reason}). {HINT}"


def test_read_gives_images_and_labels(tmp_path, miniature):
    miniature.put(tmp_path)
    torch.testing.assert_close(files.read(miniature.source, tmp_path), miniature.tensors)  # dtypes and shapes too


def test_files_are_those_of_torchvision_and_read_as_it_reads_them(tmp_path, miniature):
    from torchvision.datasets import MNIST
    from torchvision.datasets.mnist import read_image_file, read_label_file

    miniature.put(tmp_path)
    assert {name.removesuffix(".gz") for name, _ in MNIST.resources} == set(NAMES)
    folder = Path(MNIST(tmp_path).raw_folder)
    assert folder == tmp_path / RAW
    images, labels, _, _ = files.read(miniature.source, tmp_path)
    assert torch.equal(images.squeeze(1), read_image_file(folder / NAMES[0]))
    assert torch.equal(labels, read_label_file(folder / NAMES[1]))


@pytest.mark.parametrize("name", NAMES)
def test_present_wants_all_four(tmp_path, miniature, name):
    assert not miniature.source.layout(tmp_path)
    miniature.put(tmp_path)
    assert miniature.source.layout(tmp_path)
    (tmp_path / RAW / name).unlink()
    assert not miniature.source.layout(tmp_path)


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
def test_a_damaged_file_is_named(tmp_path, miniature, name, damage, message):
    miniature.put(tmp_path, miniature.content | {name: damage(miniature.content[name])})
    with pytest.raises(files.DataError, match=f"{name} .*{message}"):
        files.read(miniature.source, tmp_path)


def test_a_file_that_cannot_be_read_is_named(tmp_path, miniature):
    miniature.put(tmp_path)
    (tmp_path / RAW / NAMES[3]).unlink()
    with pytest.raises(files.DataError, match=f"{NAMES[3]} can't be read .No such file"):
        files.read(miniature.source, tmp_path)


def test_fetch_moves_all_four_and_leaves_nothing_else(tmp_path, miniature, monkeypatch):
    monkeypatch.setattr(files, "_download", miniature.download)
    root = tmp_path / "new" / "data"
    files.fetch(miniature.source, root)
    assert whole(root, miniature)
    assert [path.name for path in root.iterdir()] == ["MNIST"]


def test_fetch_replaces_a_damaged_file(tmp_path, miniature, monkeypatch):
    monkeypatch.setattr(files, "_download", miniature.download)
    miniature.put(tmp_path, {NAMES[2]: b"half a fi"})
    files.fetch(miniature.source, tmp_path)
    assert whole(tmp_path, miniature)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("no mirror answers:\nthe first\nthe second"),
        URLError("no route to host"),
        ConnectionResetError(errno.ECONNRESET, "reset by peer"),
        TimeoutError("timed out"),
        ImportError("no torchvision"),
        http.client.IncompleteRead(b""),
        http.client.BadStatusLine("a captive portal's page"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_broken_download_leaves_nothing_and_says_what_to_do(tmp_path, miniature, monkeypatch, error):
    monkeypatch.setattr(files, "_download", broken(miniature, error))
    with pytest.raises(files.DataError) as caught:
        files.fetch(miniature.source, tmp_path)
    assert str(caught.value) == absent(tmp_path, " ".join(str(error).split()))
    assert not list(tmp_path.iterdir())


def test_a_download_that_is_stopped_leaves_nothing(tmp_path, miniature, monkeypatch):
    monkeypatch.setattr(files, "_download", broken(miniature, KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        files.fetch(miniature.source, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (lambda data: b"<html>log in first", "has 18 bytes where MNIST's has 14"),
        (lambda data: data[:-1] + bytes([data[-1] ^ 1]), "is damaged or another file: its SHA-256 isn't MNIST's"),
    ],
    ids=["another size", "flipped bit"],
)
def test_a_corrupt_download_is_not_let_in(tmp_path, miniature, monkeypatch, damage, fault):
    content = miniature.content | {NAMES[1]: damage(miniature.content[NAMES[1]])}
    monkeypatch.setattr(files, "_download", lambda name, root: miniature.put(root, content))
    with pytest.raises(files.DataError) as caught:
        files.fetch(miniature.source, tmp_path)
    assert str(caught.value) == absent(tmp_path, f"the downloaded {NAMES[1]} {fault}")  # whose draft is gone
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("below", "fault"), [("", errno.EEXIST), ("below/it", errno.ENOTDIR)], ids=["in its place", "above it"]
)
def test_a_file_where_the_folder_should_be(tmp_path, miniature, monkeypatch, below, fault):
    monkeypatch.setattr(files, "_download", miniature.download)
    (tmp_path / "file").touch()
    root = tmp_path / "file" / below
    with pytest.raises(files.DataError) as caught:
        files.fetch(miniature.source, root)
    assert str(caught.value) == absent(root, f"[Errno {fault}] {os.strerror(fault)}: '{root}'")


@pytest.mark.parametrize("fault", [errno.EROFS, errno.EACCES, errno.ENOSPC], ids=errno.errorcode.get)
@pytest.mark.parametrize("step", [(tempfile, "mkdtemp"), (os, "replace")], ids=["first write", "move"])
def test_a_folder_that_cannot_be_written(tmp_path, miniature, monkeypatch, step, fault):
    def refuse(*args, **options):
        raise OSError(fault, os.strerror(fault))

    monkeypatch.setattr(files, "_download", miniature.download)
    monkeypatch.setattr(*step, refuse)
    with pytest.raises(files.DataError) as caught:
        files.fetch(miniature.source, tmp_path)
    assert str(caught.value) == absent(tmp_path, f"[Errno {fault}] {os.strerror(fault)}")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def fetch_together(root, together, miniature):
    """Fetch, but let the other process finish its download before either moves a file."""

    def download(name, draft):
        miniature.put(draft)
        together.wait(timeout=60)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "_download", download)
        files.fetch(miniature.source, root)


def test_two_processes_at_once(tmp_path, miniature):
    spawn = multiprocessing.get_context("spawn")
    together = spawn.Barrier(2)
    other = spawn.Process(target=fetch_together, args=(tmp_path, together, miniature))
    other.start()
    fetch_together(tmp_path, together, miniature)
    other.join(60)
    assert other.exitcode == 0
    assert whole(tmp_path, miniature)
    assert [path.name for path in tmp_path.iterdir()] == ["MNIST"]


@pytest.fixture
def network(miniature, monkeypatch):
    """Stand in for torchvision's MNIST, and note how long it would wait for an answer."""
    seen = SimpleNamespace(timeouts=[], error=None)

    def download(root, train, download):
        seen.timeouts.append(socket.getdefaulttimeout())
        print("Failed to download from the first mirror")
        if seen.error:
            raise seen.error
        miniature.put(root)

    monkeypatch.setattr("torchvision.datasets.MNIST", download)
    return seen


@pytest.mark.parametrize("error", [None, URLError("no route")], ids=["works", "fails"])
@pytest.mark.parametrize("before", [None, 7.0])
def test_a_silent_network_is_given_up_on_and_the_socket_default_restored(tmp_path, miniature, network, error, before):
    network.error = error
    default = socket.getdefaulttimeout()
    socket.setdefaulttimeout(before)
    try:
        if error:
            with pytest.raises(files.DataError):
                files.fetch(miniature.source, tmp_path)
        else:
            files.fetch(miniature.source, tmp_path)
        assert socket.getdefaulttimeout() == before
    finally:
        socket.setdefaulttimeout(default)
    assert network.timeouts
    assert all(0 < patience <= 60 for patience in network.timeouts)


def test_torchvisions_remarks_on_its_mirrors_are_not_shown(tmp_path, miniature, network, capsys):
    files.fetch(miniature.source, tmp_path)
    assert capsys.readouterr().out == ""


def test_without_torchvision(tmp_path, miniature, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(files.DataError) as caught:
        files.fetch(miniature.source, tmp_path)
    assert str(caught.value) == absent(tmp_path, caught.value.__cause__)
    assert isinstance(caught.value.__cause__, ImportError)
    assert "torchvision" in str(caught.value)
