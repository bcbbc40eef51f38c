"""Teachers: what is trained and measured is what is stored, and what ships can be loaded."""

import json

import pytest

from kdtutor import cnn, count_parameters, jitter, predict, train, training
from kdtutor._io import versions
from kdtutor.course import teachers
from kdtutor.metrics import calibration_error, errors, nll

SHIPPED = sorted(teachers.SHIPPED.glob("teacher-*.safetensors"))


@pytest.fixture(scope="module")
def digits(drawn):
    return drawn(900, 100, 100)


@pytest.fixture(scope="module")
def trained(digits):
    return teachers.train_teacher(digits, epochs=2, seed=3, device="cpu", progress=False)


def figures(teacher, split):
    logits = predict(teacher, split, device="cpu")
    return {
        "errors of 10,000": errors(logits, split.labels),
        "nll": pytest.approx(nll(logits, split.labels), abs=1e-5),
        "calibration error": pytest.approx(calibration_error(logits, split.labels), abs=1e-5),
    }


def test_the_record_says_how_the_teacher_was_made(trained):
    teacher, record = trained
    assert record["data"] == "strokes"
    assert record["parameters"] == count_parameters(teacher)
    settings = {"epochs": 2, "batch_size": 128, "lr": 2e-3, "seed": 3, "augment": "jitter, up to 2 pixels"}
    assert record["settings"] == settings
    assert record["versions"] == versions()
    assert set(record) == set(["data", "model", "parameters", "settings", "seconds", "versions", "validation", "test"])
    assert not teacher.training


def test_the_teacher_has_learnt(digits, trained):
    untrained = figures(cnn(dropout=0.4, seed=3), digits.test)
    assert trained[1]["test"]["errors of 10,000"] < untrained["errors of 10,000"] - 1_000


def test_what_was_stored_gives_the_measured_figures_again(digits, trained, tmp_path):
    path = tmp_path / "new" / "teacher.safetensors"
    teachers.save_teacher(*trained, path)
    teacher, record = teachers.load_teacher(path=path)
    assert not teacher.training
    assert record == trained[1] == json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert record["validation"] == figures(teacher, digits.validation)
    assert record["test"] == figures(teacher, digits.test)


def test_training_sees_no_validation_images_and_the_device_is_the_one_that_was_named(digits, monkeypatch):
    loops, measured = [], []

    def watched_train(model, data, **options):
        loops.append((data, options))
        return train(model, data, **options)

    def watched_predict(model, data, device=None):
        measured.append((data, device))
        return predict(model, data, device=device)

    monkeypatch.setattr(teachers, "train", watched_train)
    monkeypatch.setattr(teachers, "predict", watched_predict)
    teachers.train_teacher(digits, epochs=1, seed=4, device="cpu", progress=False)
    options = {"epochs": 1, "batch_size": 128, "lr": 2e-3, "seed": 4}
    assert loops == [(digits.train, options | {"augment": jitter, "device": "cpu", "progress": False})]
    assert measured == [(digits.validation, "cpu"), (digits.test, "cpu")]


def test_a_seed_fixes_the_teacher(digits, trained):
    again, record = teachers.train_teacher(digits, epochs=2, seed=3, device="cpu", progress=False)
    assert record["test"] == trained[1]["test"]
    assert all((a == b).all() for a, b in zip(again.parameters(), trained[0].parameters(), strict=True))


def test_one_that_is_interrupted_is_none(digits, monkeypatch):
    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "cross_entropy", stop)
    with pytest.raises(KeyboardInterrupt, match="half-trained teacher is not kept"):
        teachers.train_teacher(digits, epochs=1, device="cpu", progress=False)


def test_a_teacher_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.safetensors"):
        teachers.load_teacher(path=tmp_path / "absent.safetensors")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_what_ships_can_be_loaded_and_its_json_is_the_record_inside(path):
    name = path.stem.removeprefix("teacher-")
    assert path == teachers.teacher_path(name)
    teacher, record = teachers.load_teacher(name)
    assert not teacher.training
    assert record["parameters"] == count_parameters(teacher)
    assert json.loads(path.with_suffix(".json").read_text(encoding="utf-8")) == record
