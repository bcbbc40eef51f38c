"""Weights go to disk and come back whole, or not at all."""

import errno
import json
import os
import pickle
import re

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from kdtutor import checkpoints, cnn, mlp

RECORD = {"seed": 3, "errors": [74.5, 69.0], "data": "mnist", "note": "α = 0.9 €"}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "student.safetensors"


def batch_normed(seed):
    """A small model with weights, running means and a count of batches, all of them moved from their start."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5))
        model(torch.randn(8, 4))
    return model


def assert_same_state(one, other):
    torch.testing.assert_close(one.state_dict(), other.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize(
    "make", [lambda seed: mlp(6, 5, 4, seed=seed), lambda seed: cnn(2, 3, 4, seed=seed), batch_normed]
)
def test_a_round_trip_keeps_every_bit_and_the_record(make, path):
    saved, loaded = make(seed=0), make(seed=1)
    checkpoints.save(saved, path, RECORD)
    assert checkpoints.load(loaded, path) == RECORD
    assert_same_state(loaded, saved)


def test_without_a_record_an_empty_one_comes_back(path):
    checkpoints.save(mlp(3, 2), path)
    assert checkpoints.load(mlp(3, 2), str(path)) == {}


def test_files_of_others_load_too(path):
    saved, loaded = mlp(3, 2, seed=0), mlp(3, 2, seed=1)
    save_file(saved.state_dict(), path)
    assert checkpoints.load(loaded, path) == {}
    assert_same_state(loaded, saved)


def test_half_rounds_to_16_bits_and_leaves_counts(path):
    saved, loaded = batch_normed(0), batch_normed(1)
    saved[1].num_batches_tracked.fill_(4097)  # no number of 16-bit floating point
    checkpoints.save(saved, path, half=True)
    checkpoints.load(loaded, path)
    assert_same_state(loaded, saved.half().float())
    assert loaded[1].num_batches_tracked.dtype == torch.int64


def test_half_takes_half_the_room(path):
    model = mlp(100, 100)
    checkpoints.save(model, path)
    whole = path.stat().st_size
    checkpoints.save(model, path, half=True)
    assert path.stat().st_size < 0.55 * whole


def test_weights_take_the_models_own_precision(path):
    saved, loaded = mlp(3, 2, seed=0), mlp(3, 2, seed=1).double()
    checkpoints.save(saved, path)
    checkpoints.load(loaded, path)
    assert_same_state(loaded, saved.double())


def test_a_trainable_model_is_still_trainable(path):
    model = mlp(3, 2)
    checkpoints.save(model, path)
    checkpoints.load(model, path)
    model(torch.ones(1, 3)).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("half", [False, True])
def test_shared_weights_come_back_shared(half, path):
    def tied(seed):
        model = mlp(3, 3, 3, seed=seed)
        model[3].weight = model[1].weight
        return model

    saved, loaded = tied(0), tied(1)
    checkpoints.save(saved, path, half=half)
    checkpoints.load(loaded, path)
    assert loaded[3].weight is loaded[1].weight
    assert_same_state(loaded, saved.half().float() if half else saved)


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        (mlp(4, 6, 2), "'1.weight': the model has (6, 4), the file (5, 4)"),
        (mlp(4, 5, 3), "'3.weight': the model has (3, 5), the file (2, 5)"),
        (mlp(4, 5, 5, 2), "'3.weight': the model has (5, 5), the file (2, 5)"),
        (nn.Sequential(*mlp(4, 5, 2), nn.Linear(2, 2)), "'4.weight': the model has (2, 2), the file no such weight"),
        (mlp(4, 5, 2)[:3], "'3.bias': the model has no such weight, the file (2,)"),
    ],
    ids=["hidden", "classes", "deeper", "more", "fewer"],
)
def test_another_architecture_is_refused_by_name_and_left_as_it_was(other, difference, path):
    checkpoints.save(mlp(4, 5, 2, seed=0), path)
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    with pytest.raises(ValueError, match=re.escape(f"saved in student.safetensors; they differ at {difference}")):
        checkpoints.load(other, path)
    torch.testing.assert_close(dict(other.state_dict()), before, rtol=0, atol=0)


def truncated(path):
    path.write_bytes(path.read_bytes()[:-1])


def garbage(path):
    path.write_bytes(bytes(range(256)) * 4)


def empty(path):
    path.write_bytes(b"")


def pickled(path):
    torch.save(mlp(4, 2).state_dict(), path)


def without_json(path):
    save_file(mlp(4, 2).state_dict(), path, metadata={"record": "{'seed': 3"})


@pytest.mark.parametrize("damage", [truncated, garbage, empty, pickled, without_json])
def test_a_damaged_file_is_refused_and_the_model_left_as_it_was(damage, path):
    model, before = mlp(4, 2, seed=1), mlp(4, 2, seed=1)
    checkpoints.save(mlp(4, 2, seed=0), path)
    damage(path)
    with pytest.raises(
        ValueError, match=f"path must name a complete safetensors file, got {re.escape(str(path))}, which is damaged"
    ):
        checkpoints.load(model, path)
    assert_same_state(model, before)


def test_what_is_not_a_file_is_named(path, tmp_path):
    for no_file in (path, tmp_path):
        with pytest.raises(FileNotFoundError, match=f"got {re.escape(str(no_file))}, which isn't a file$"):
            checkpoints.load(mlp(4, 3), no_file)


def test_loading_runs_no_code(path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(path.with_name("sprung")),)

    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ValueError, match="damaged"):
        checkpoints.load(mlp(4, 2), path)
    assert not path.with_name("sprung").exists()


def test_the_file_is_a_json_header_and_numbers(path):
    checkpoints.save(mlp(3, 2), path, RECORD)
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    assert header.keys() == {"__metadata__", "1.weight", "1.bias"}
    assert json.loads(header["__metadata__"]["record"]) == RECORD
    assert len(content) == 8 + size + 4 * (3 * 2 + 2)


def test_a_failed_move_leaves_no_draft_and_keeps_the_old_file(path, monkeypatch):
    def refuse(draft, target):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    old, loaded = mlp(3, 2, seed=0), mlp(3, 2, seed=1)
    checkpoints.save(old, path)
    monkeypatch.setattr(os, "replace", refuse)
    message = re.escape(f"{path} can't be written ({os.strerror(errno.EACCES)})")
    with pytest.raises(OSError, match=f"^{message}$"):
        checkpoints.save(mlp(3, 2, seed=2), path)
    assert os.listdir(path.parent) == [path.name]
    checkpoints.load(loaded, path)
    assert_same_state(loaded, old)
