"""A run that is finished is never made again, and nothing that happens to the next one can cost it."""

import json
import re
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kdtutor._io import versions
from kdtutor.course.records import Runs, pack, unpack

properties = settings(deadline=None, max_examples=50)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "new folder" / "runs.jsonl"


@pytest.fixture
def alone():
    """A run that notes each time that it is made."""

    def alone(seed=0, **others):
        alone.made.append({"seed": seed} | others)
        return {"errors": 70.5 + seed, "wrong": [3, 141, 5926]}

    alone.made = []
    return alone


def distilled(seed=0, **others):
    return {"errors": 60}


def lines(path):
    """Each line of the file as it must be: whole, and JSON."""
    text = path.read_text(encoding="utf-8")
    assert text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


# Made once


def test_a_run_is_made_once_and_then_read_from_the_file(path, alone):
    runs = Runs(path)
    row = runs(alone, seed=3, width=800)
    assert runs(alone, seed=3, width=800) == runs(alone, width=800, seed=3) == Runs(str(path))(alone, seed=3, width=800)
    assert alone.made == [{"seed": 3, "width": 800}]
    assert lines(path) == [row] == runs.rows("alone")


def test_a_row_holds_the_name_the_settings_the_result_the_time_and_the_versions(path, alone):
    row = Runs(path)(alone, seed=3, width=800)
    assert row.pop("seconds") >= 0
    assert row == {
        "run": "alone",
        "settings": {"seed": 3, "width": 800},
        "errors": 73.5,
        "wrong": [3, 141, 5926],
        "versions": versions(),
    }


@pytest.mark.parametrize("other", [{}, {"seed": 0}, {"width": 800}, {"seed": 1, "width": 800}, {"seed": 0, "width": 8}])
def test_other_settings_are_another_run(path, alone, other):
    runs = Runs(path)
    runs(alone, seed=0, width=800)
    assert runs(alone, **other)["settings"] == other
    assert (len(alone.made), len(runs)) == (2, 2)


def test_another_function_is_another_run(path, alone):
    runs = Runs(path)
    assert runs(alone, seed=0)["errors"] != runs(distilled, seed=0)["errors"]
    assert [row["run"] for row in lines(path)] == ["alone", "distilled"]


@properties
@given(st.dictionaries(st.sampled_from(["seed", "temperature", "note"]), SCALARS))
def test_any_plain_settings_are_known_again(chosen):
    made = []

    def run(**chosen):
        made.append(chosen)
        return chosen

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "runs.jsonl"
        row = Runs(path)(run, **chosen)
        assert Runs(path)(run, **chosen) == row
    assert row["settings"] == chosen
    assert made == [chosen]


def test_settings_that_json_changes_are_known_again(path, alone):
    runs = Runs(path)
    assert runs(alone, widths=(800, 800)) == runs(alone, widths=(800, 800))
    assert (len(alone.made), len(runs)) == (1, 1)


# What goes wrong


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError, MemoryError])
def test_a_run_that_is_broken_off_leaves_the_others_as_they_are(path, alone, error):
    runs = Runs(path)
    rows = [runs(alone, seed=seed) for seed in range(3)]
    before = path.read_bytes()

    def broken(seed):
        raise error

    with pytest.raises(error):
        runs(broken, seed=0)
    assert path.read_bytes() == before
    rows.append(runs(alone, seed=3))
    assert lines(path) == rows


def test_a_result_that_json_cannot_hold_is_refused_and_leaves_the_others_as_they_are(path, alone):
    runs = Runs(path)
    row = runs(alone)
    with pytest.raises(TypeError, match="Tensor is not JSON serializable"):
        runs(lambda: {"errors": torch.tensor(70.0)})
    assert lines(path) == [row]


@pytest.mark.parametrize("finished", [0, 2])
@pytest.mark.parametrize("keep", [1, 0.5, -1], ids=["one byte", "half", "all but its end"])
def test_a_last_line_that_was_cut_off_is_dropped_and_its_run_made_again(path, alone, finished, keep):
    runs = Runs(path)
    rows = [runs(alone, seed=seed) for seed in range(finished)]
    whole = path.read_bytes() if finished else b""
    runs(alone, seed=9)
    last = path.read_bytes()[len(whole) :]
    path.write_bytes(whole + last[: int(keep * len(last)) if keep == 0.5 else keep])
    alone.made.clear()
    assert (len(runs), runs.rows("alone")) == (finished, rows)
    rows.append(Runs(path)(alone, seed=9))
    assert alone.made == [{"seed": 9}]
    assert lines(path) == rows


@pytest.mark.parametrize("damage", [b"{", b"", b"\x00\xff", b"{'run': 'alone'}"], ids=str)
def test_a_damaged_line_in_the_middle_is_named_and_the_file_left_as_it_is(path, alone, damage):
    runs = Runs(path)
    for seed in range(3):
        runs(alone, seed=seed)
    first, _, last = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([first, damage, last, b""]))
    before = path.read_bytes()
    for use in (len, lambda runs: runs.rows("alone"), lambda runs: runs(alone, seed=3)):
        with pytest.raises(ValueError, match=rf"^{re.escape(str(path))} must hold a run, .*and line 2 doesn't$"):
            use(runs)
    assert path.read_bytes() == before
    assert len(alone.made) == 3


# Reading


def test_rows_are_those_of_a_name_and_settings_in_the_order_of_their_seeds(path, alone):
    runs = Runs(path)
    for seed in (10, 9, 0):
        for width in (800, 30):
            runs(alone, seed=seed, width=width)
    runs(distilled, seed=1, width=30)
    runs(distilled)
    assert [row["settings"] for row in runs.rows("alone", width=30)] == [
        {"seed": 0, "width": 30},
        {"seed": 9, "width": 30},
        {"seed": 10, "width": 30},
    ]
    assert [row["settings"] for row in runs.rows("distilled")] == [{}, {"seed": 1, "width": 30}]
    assert [row["errors"] for row in runs.rows("alone", seed=9, width=800)] == [79.5]
    assert runs.rows("alone", width=30, epochs=5) == runs.rows("teacher") == []
    assert len(runs) == 8


def test_before_the_first_run_there_is_nothing_not_even_a_file(path):
    runs = Runs(path)
    assert (len(runs), runs.rows("alone")) == (0, [])
    assert not path.parent.exists()


# Which examples are wrong


@properties
@given(st.lists(st.booleans(), max_size=60))
def test_packing_is_undone_by_unpacking_even_by_way_of_json(answers):
    wrong = torch.tensor(answers, dtype=torch.bool)
    places = json.loads(json.dumps(pack(wrong)))
    assert places == [place for place, answer in enumerate(answers) if answer]
    back = unpack(places, len(answers))
    assert torch.equal(back, wrong)
    assert back.dtype == torch.bool


def test_unpack_takes_10000_examples_unless_told():
    wrong = unpack([0, 9_999])
    assert (len(wrong), int(wrong.sum())) == (10_000, 2)


def test_places_beyond_the_examples_are_refused():
    with pytest.raises(IndexError):
        unpack([3], total=3)
