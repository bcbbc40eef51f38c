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
from kdtutor.course.records import Records, pack_wrong, unpack_wrong, wrong_from_indices, wrong_indices

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
    records = Records(path)
    row = records("alone", alone, seed=3, width=800)
    assert (
        records("alone", alone, seed=3, width=800)
        == records("alone", alone, width=800, seed=3)
        == Records(str(path))("alone", alone, seed=3, width=800)
    )
    assert alone.made == [{"seed": 3, "width": 800}]
    assert lines(path) == [row] == records.rows("alone")


def test_a_row_holds_the_kind_the_settings_the_result_the_time_and_the_versions(path, alone):
    row = Records(path)("alone", alone, seed=3, width=800)
    assert row.pop("seconds") >= 0
    assert row == {
        "kind": "alone",
        "settings": {"seed": 3, "width": 800},
        "errors": 73.5,
        "wrong": [3, 141, 5926],
        "versions": versions(),
    }


@pytest.mark.parametrize("other", [{}, {"seed": 0}, {"width": 800}, {"seed": 1, "width": 800}, {"seed": 0, "width": 8}])
def test_other_settings_are_another_run(path, alone, other):
    records = Records(path)
    records("alone", alone, seed=0, width=800)
    assert records("alone", alone, **other)["settings"] == other
    assert (len(alone.made), len(records)) == (2, 2)


def test_another_kind_is_another_run(path, alone):
    records = Records(path)
    assert records("alone", alone, seed=0)["errors"] != records("distilled", distilled, seed=0)["errors"]
    assert [row["kind"] for row in lines(path)] == ["alone", "distilled"]


def test_the_key_is_the_kind_so_functions_may_be_renamed(path, alone):
    row = Records(path)("alone", alone, seed=0)

    def alone_under_another_name(seed):
        raise AssertionError("made again")

    assert Records(path)("alone", alone_under_another_name, seed=0) == row


@properties
@given(st.dictionaries(st.sampled_from(["seed", "temperature", "note"]), SCALARS))
def test_any_plain_settings_are_known_again(chosen):
    made = []

    def run(**chosen):
        made.append(chosen)
        return chosen

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "runs.jsonl"
        row = Records(path)("run", run, **chosen)
        assert Records(path)("run", run, **chosen) == row
    assert row["settings"] == chosen
    assert made == [chosen]


def test_settings_that_json_changes_are_known_again(path, alone):
    records = Records(path)
    assert records("alone", alone, widths=(800, 800)) == records("alone", alone, widths=(800, 800))
    assert (len(alone.made), len(records)) == (1, 1)


# What goes wrong


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError, MemoryError])
def test_a_run_that_is_broken_off_leaves_the_others_as_they_are(path, alone, error):
    records = Records(path)
    rows = [records("alone", alone, seed=seed) for seed in range(3)]
    before = path.read_bytes()

    def broken(seed):
        raise error

    with pytest.raises(error):
        records("broken", broken, seed=0)
    assert path.read_bytes() == before
    rows.append(records("alone", alone, seed=3))
    assert lines(path) == rows


def test_a_result_that_json_cannot_hold_is_refused_and_leaves_the_others_as_they_are(path, alone):
    records = Records(path)
    row = records("alone", alone)
    with pytest.raises(TypeError, match="Tensor is not JSON serializable"):
        records("broken", lambda: {"errors": torch.tensor(70.0)})
    assert lines(path) == [row]


@pytest.mark.parametrize("finished", [0, 2])
@pytest.mark.parametrize("keep", [1, 0.5, -1], ids=["one byte", "half", "all but its end"])
def test_a_last_line_that_was_cut_off_is_dropped_and_its_run_made_again(path, alone, finished, keep):
    records = Records(path)
    rows = [records("alone", alone, seed=seed) for seed in range(finished)]
    whole = path.read_bytes() if finished else b""
    records("alone", alone, seed=9)
    last = path.read_bytes()[len(whole) :]
    path.write_bytes(whole + last[: int(keep * len(last)) if keep == 0.5 else keep])
    alone.made.clear()
    assert (len(records), records.rows("alone")) == (finished, rows)
    rows.append(Records(path)("alone", alone, seed=9))
    assert alone.made == [{"seed": 9}]
    assert lines(path) == rows


@pytest.mark.parametrize("damage", [b"{", b"", b"\x00\xff", b"{'kind': 'alone'}"], ids=str)
def test_a_damaged_line_in_the_middle_is_named_and_the_file_left_as_it_is(path, alone, damage):
    records = Records(path)
    for seed in range(3):
        records("alone", alone, seed=seed)
    first, _, last = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([first, damage, last, b""]))
    before = path.read_bytes()
    for use in (len, lambda records: records.rows("alone"), lambda records: records("alone", alone, seed=3)):
        with pytest.raises(ValueError, match=rf"^{re.escape(str(path))} must hold a row, .*and line 2 doesn't$"):
            use(records)
    assert path.read_bytes() == before
    assert len(alone.made) == 3


# Reading


def test_rows_are_those_of_a_kind_and_settings_in_the_order_of_their_seeds(path, alone):
    records = Records(path)
    for seed in (10, 9, 0):
        for width in (800, 30):
            records("alone", alone, seed=seed, width=width)
    records("distilled", distilled, seed=1, width=30)
    records("distilled", distilled)
    assert [row["settings"] for row in records.rows("alone", width=30)] == [
        {"seed": 0, "width": 30},
        {"seed": 9, "width": 30},
        {"seed": 10, "width": 30},
    ]
    assert [row["settings"] for row in records.rows("distilled")] == [{}, {"seed": 1, "width": 30}]
    assert [row["errors"] for row in records.rows("alone", seed=9, width=800)] == [79.5]
    assert records.rows("alone", width=30, epochs=5) == records.rows("teacher") == []
    assert len(records) == 8


def test_before_the_first_run_there_is_nothing_not_even_a_file(path):
    records = Records(path)
    assert (len(records), records.rows("alone")) == (0, [])
    assert not path.parent.exists()


def test_a_run_that_two_processes_made_counts_once(path, alone):
    for _ in range(2):
        Records(path).add("alone", alone, seed=0)
    assert len(lines(path)) == 2
    assert len(Records(path)) == len(Records(path).rows("alone")) == 1


def test_a_line_that_another_process_adds_meanwhile_is_kept(path, alone, monkeypatch):
    first, second = Records(path), Records(path)
    first("alone", alone, seed=0)
    really_open = Records._open

    def opened(self):
        file = really_open(self)
        read = file.read

        def read_and_wait():
            content = read()
            monkeypatch.undo()
            second("alone", alone, seed=1)
            return content

        return Slow(file, read_and_wait)

    monkeypatch.setattr(Records, "_open", opened)
    first("alone", alone, seed=2)
    assert [row["settings"]["seed"] for row in first.rows("alone")] == [0, 1, 2]


class Slow:
    """A file that is read by another function."""

    def __init__(self, file, read):
        self.file, self.read = file, read

    def __getattr__(self, name):
        return getattr(self.file, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"file/runs\.jsonl can't be written \(.*file isn't a folder\)"):
        Records(tmp_path / "file" / "runs.jsonl").check_writable()


def test_that_a_file_can_be_written_leaves_its_rows(path, alone):
    Records(path)("alone", alone, seed=0)
    before = path.read_bytes()
    Records(path).check_writable()
    assert path.read_bytes() == before


# Which examples are wrong


@properties
@given(st.lists(st.booleans(), max_size=60))
def test_packing_is_undone_by_unpacking_even_by_way_of_json(answers):
    wrong = torch.tensor(answers, dtype=torch.bool)
    places = json.loads(json.dumps(wrong_indices(wrong)))
    assert places == [place for place, answer in enumerate(answers) if answer]
    back = wrong_from_indices(places, len(answers))
    assert torch.equal(back, wrong)
    assert back.dtype == torch.bool


@pytest.mark.parametrize("packed", ["", "no base64!", "bm8gemxpYg==", None, 7])
def test_what_was_not_packed_is_not_unpacked(packed):
    with pytest.raises(ValueError, match="packed must be a string of pack_wrong, got"):
        unpack_wrong(packed, 8)


def test_more_examples_than_were_packed_are_refused():
    with pytest.raises(ValueError, match="packed must be of 100 examples, in 13 bytes, got 1 bytes"):
        unpack_wrong(pack_wrong(torch.ones(8, dtype=torch.bool)), 100)


def test_unpack_takes_10000_examples_unless_told():
    wrong = wrong_from_indices([0, 9_999])
    assert (len(wrong), int(wrong.sum())) == (10_000, 2)


def test_places_beyond_the_examples_are_refused():
    with pytest.raises(IndexError):
        wrong_from_indices([3], total=3)
