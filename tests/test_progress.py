"""What has been solved is remembered in a small file, across notebooks and sessions, and nothing depends on it."""

import json
import os
import re
from pathlib import Path

import pytest
import torch

from kdtutor.course import exercises
from kdtutor.course.exercises import EXERCISES, record

ROOT = Path(__file__).parent.parent


@pytest.fixture
def new_session(monkeypatch):
    """Forget what this process has seen solved, as a new kernel has: new_session()."""
    return lambda: monkeypatch.setattr(record, "_in_this_session", set())


@pytest.fixture
def file(tmp_path, monkeypatch, new_session) -> Path:
    """Where this test's record is kept; nothing is solved yet."""
    new_session()
    monkeypatch.setenv("KDTUTOR_PROGRESS", str(tmp_path / "state" / "progress.json"))
    return tmp_path / "state" / "progress.json"


def solve(name):
    answers = {
        "one_hot": lambda y, classes: torch.eye(classes)[y],
        "agreement": lambda s, t: (s.argmax(1) == t.argmax(1)).float().mean(),
    }
    exercises.check(name, answers[name])
    assert name in record.solved()


def test_progress_shows_all_notebooks(file, capsys):
    solve("one_hot")
    exercises.check("entropy", lambda p: p)
    capsys.readouterr()
    exercises.progress()
    told = capsys.readouterr().out.splitlines()
    assert told[:2] == ["notebook  solved  open", "01        1 of 3  entropy, look_alikes"]
    assert told[8:] == [
        "08        0 of 3  ensemble_logits, reverse_kl, decoupled_kl",
        "1 of 26 are solved. Next: entropy, in notebook 1. The finale is a distillation of your own: "
        "notebooks/assignments/distillation.ipynb",
    ]
    assert {*re.findall(r"[a-z]\w+", " ".join(line[18:] for line in told[1:9]))} == {*EXERCISES} - {"one_hot"}


def test_progress_outlives_the_session_and_the_folder(file, new_session, monkeypatch, tmp_path):
    solve("one_hot")
    new_session()
    monkeypatch.chdir(tmp_path)
    solve("agreement")
    new_session()
    assert record.solved() == {"one_hot", "agreement"}
    assert json.loads(file.read_text()) == {"solved": ["agreement", "one_hot"]}
    assert [path.name for path in file.parent.iterdir()] == ["progress.json"]


def test_two_sessions_at_once_lose_nothing_in_the_end(file, new_session):
    solve("one_hot")
    file.unlink()  # as if the other session had written without it
    solve("agreement")
    new_session()
    assert record.solved() == {"one_hot", "agreement"}


def test_what_was_solved_once_stays_so(file, new_session):
    solve("one_hot")
    new_session()
    exercises.check("one_hot", lambda y, classes: ...)
    exercises.check("one_hot", lambda y, classes: y)
    assert record.solved() == {"one_hot"}


def test_stubs_and_wrong_answers_write_nothing(file):
    for name in EXERCISES:
        exercises.check(name, lambda *arguments: ...)
    exercises.check("one_hot", lambda y, classes: y)
    assert not file.exists()


def test_what_a_check_prints_does_not_depend_on_the_record(file, capsys):
    solve("one_hot")
    first = capsys.readouterr().out
    solve("one_hot")
    assert capsys.readouterr().out == first


def test_solving_again_writes_nothing(file):
    solve("one_hot")
    os.utime(file, (0, 0))
    solve("one_hot")
    assert file.stat().st_mtime == 0


def test_all_solved_leads_to_the_finale(file, capsys):
    file.parent.mkdir()
    file.write_text(json.dumps({"solved": [*EXERCISES, "one of another version"]}))
    exercises.progress()
    told = capsys.readouterr().out.splitlines()
    assert told[1] == "01        3 of 3  -"
    assert told[-1].startswith("26 of 26 are solved. What comes now is the finale, a distillation of your own: ")
    assert (ROOT / told[-1].split()[-1]).is_file()


@pytest.mark.parametrize(
    "damaged",
    [b"", b"{", b"\xff\xfe", b"[1, 2]", b"3", b'{"solved": 3}', b'{"solved": [["one_hot"], null]}', b"[" * 100_000],
    ids=["empty", "cut", "bytes", "list", "number", "no list", "no names", "deep"],
)
def test_a_damaged_file_is_begun_anew(file, damaged, new_session):
    file.parent.mkdir()
    file.write_bytes(damaged)
    assert record.solved() == set()
    exercises.progress()
    solve("one_hot")
    new_session()
    assert record.solved() == {"one_hot"}


def test_where_nothing_can_be_written_the_session_remembers(file):
    file.parent.write_text("a file, where a folder should be")
    solve("one_hot")
    assert record.solved() == {"one_hot"}


def test_without_a_home_the_session_remembers(file, monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("KDTUTOR_PROGRESS")
    monkeypatch.setattr(record.Path, "home", no_home)
    solve("one_hot")
    assert record.solved() == {"one_hot"}


def test_the_record_is_in_the_home_folder(file, monkeypatch, tmp_path):
    monkeypatch.delenv("KDTUTOR_PROGRESS")
    monkeypatch.setattr(record.Path, "home", lambda: tmp_path)
    solve("one_hot")
    assert (tmp_path / ".local" / "state" / "kdtutor" / "progress.json").is_file()


def test_the_tests_leave_a_learners_own_record_alone():
    assert Path(os.environ["KDTUTOR_PROGRESS"]) != Path.home() / ".local" / "state" / "kdtutor" / "progress.json"
