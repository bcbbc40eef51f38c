"""The benchmark's sides compute the same, and its rows say what was timed. No test here depends on a time."""

import json
import sys
from itertools import pairwise

import pytest
import torch

from kdtutor import Dataset, Split, data, mlp
from kdtutor.commands import benchmarks, main
from kdtutor.commands.benchmarks import DEVIATION, MEAN, by_kdtutor, by_loader, in_turns, products, show
from kdtutor.data import strokes


@pytest.fixture(scope="module")
def digits():
    images, labels, test_images, test_labels = strokes.make(train=300, test=100)
    return Dataset("strokes", Split(images, labels), Split(images[:50], labels[:50]), Split(test_images, test_labels))


def test_an_item_is_what_torchvision_makes_of_the_image(digits):
    image, label = benchmarks.Digits(digits.train)[7]
    expected = (digits.train.inputs[7].double() / 255 - MEAN) / DEVIATION
    torch.testing.assert_close(image.double(), expected, rtol=0, atol=1e-6)
    assert label == digits.train.labels[7]
    assert len(benchmarks.Digits(digits.train)) == 300


@pytest.mark.parametrize("workers", [0, 2])
def test_the_scripts_loop_and_distill_have_the_same_losses(digits, workers):
    teacher = mlp(784, 20, 10, seed=1).eval()
    normalised = Split((digits.train.inputs / 255 - MEAN) / DEVIATION, digits.train.labels)
    with torch.no_grad():
        logits = teacher(normalised.inputs)
    theirs = by_loader((784, 16, 10), teacher, digits.train, 32, workers)
    assert by_kdtutor((784, 16, 10), logits, normalised, 32) == pytest.approx(theirs, rel=1e-5)


def test_the_products_are_those_of_the_network(monkeypatch):
    """Counted as multiplications: forward, and backward into the weights, and into the inputs but the first."""
    from torch.utils.flop_counter import FlopCounterMode

    def backward():
        mlp(7, 5, 4, 3)(torch.rand(8, 7)).sum().backward()

    counts = []
    for run in (backward, lambda: products((7, 5, 4, 3), 8, 8, number=1)):
        with FlopCounterMode(display=False) as counter:
            run()
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1] > 0
    with FlopCounterMode(display=False) as counter:
        products((7, 5, 4, 3), 24, 8, number=1)
    assert counter.get_total_flops() == 3 * counts[0]


def test_runs_take_turns_after_a_warm_up_each():
    order = []
    seconds, results = in_turns({name: lambda name=name: order.append(name) or name.upper() for name in "ab"}, 3)
    assert "".join(order) == "abababab"
    assert results == {"a": "A", "b": "B"}
    assert [len(values) for values in seconds.values()] == [3, 3]
    assert all(values == sorted(values) for values in seconds.values())


@pytest.fixture
def timed(monkeypatch):
    """Each run is made once, and is said to have taken 1, 2 and 4 seconds times its place."""

    def once(runs, repeats):
        results = {name: run() for name, run in runs.items()}
        return {name: [1.0 * i, 2.0 * i, 4.0 * i] for i, name in enumerate(runs, start=1)}, results

    monkeypatch.setattr(benchmarks, "in_turns", once)


@pytest.mark.usefixtures("timed")
def test_epochs_are_scaled_to_55_000_images_and_compared(digits, monkeypatch):
    monkeypatch.setattr(benchmarks, "by_loader", lambda *args, workers: 0.5)
    rows = list(benchmarks.epochs(digits, quick=True))
    assert len(rows) == 16
    loops = ["article's loop", "tutorial's, 2 workers", "kdtutor.distill", "its products alone"]
    for place, (row, loop) in enumerate(zip(rows, loops * 4, strict=True)):
        number = 1 + place % 4
        assert row["loop"] == loop
        assert row["seconds"] == 2 * number * 55_000 / 300
        assert (row["from"], row["to"]) == (row["seconds"] / 2, 2 * row["seconds"])
        assert row["article's / this"] == 1 / number
        assert row["this / products"] == number / 4
    assert {(row["student"], row["batch"]) for row in rows} == {
        (student, batch) for student in ("784-128-10", "784-800-800-10") for batch in (64, 256)
    }


@pytest.mark.usefixtures("timed")
def test_students_a_second_are_counted(digits):
    rows = list(benchmarks.students(digits, quick=True))
    assert [row["students"] for row in rows] == [1, 8, 64, 1, 8, 64, 1, 2]
    for row in rows:
        alone = min(row["students"], 4)
        assert row["sweep"] == pytest.approx(row["students"] / 2 * 300 / 11_000)
        assert row["one by one"] == pytest.approx(alone / 4 * 300 / 11_000)
        assert row["ratio"] == pytest.approx(row["sweep"] / row["one by one"])
        assert row["from"] < row["ratio"] < row["to"]


@pytest.mark.usefixtures("timed")
def test_growth_is_a_ratio_to_the_half(digits):
    many = Split(torch.zeros(2**14, 1, 28, 28, dtype=torch.uint8), torch.zeros(2**14, dtype=torch.int64))
    rows = list(benchmarks.growth(Dataset("zeros", many, digits.validation, digits.test), quick=True))
    assert [row["of"] for row in rows if row["times"] is None] == ["images", "units", "students"]
    for before, row in pairwise(rows):
        if row["times"] is not None:
            assert row["number"] == 2 * before["number"]
            assert row["times"] == row["ms"] / before["ms"]


def test_busy_starts_and_stops_another_process(digits, monkeypatch):
    processes = []

    class Process:
        def __init__(self, command):
            self.running = True
            processes.append(self)

        def kill(self):
            self.running = False

        def wait(self):
            assert not self.running

    def once(runs, repeats):
        return {name: [3.0 if processes and processes[-1].running else 2.0] for name in runs}, {}

    monkeypatch.setattr(benchmarks, "in_turns", once)
    monkeypatch.setattr(benchmarks.subprocess, "Popen", Process)
    rows = list(benchmarks.busy(digits, quick=True))
    assert [row["ratio"] for row in rows] == [1.5, 1.5, 1.5]
    assert len(processes) == 9
    assert not any(process.running for process in processes)


def test_a_process_is_measured_above_torch(digits):
    rows = list(benchmarks.process(digits, quick=True))
    assert 0 < rows[0]["value"] < 5
    if sys.platform == "linux":
        assert 30 < rows[1]["value"] < 700  # MB: the training images alone are 43


def test_rows_are_shown_as_they_come(capsys):
    def rows():
        yield {"name": "first", "number": 3, "seconds": 0.123456}
        assert "first" in capsys.readouterr().out
        yield {"name": "second", "number": None, "seconds": 2.0}

    shown = show(rows())
    assert shown[0]["seconds"] == 0.123456
    assert capsys.readouterr().out.split() == ["second", "-", "2"]


def test_the_command_prints_and_records_each_section(monkeypatch, tmp_path, capsys, digits):
    def first(digits, quick):
        """The first section."""
        yield {"name": digits.name, "quick": quick}

    monkeypatch.setattr(data, "load", lambda name, fallback=None: digits)
    monkeypatch.setattr(benchmarks, "SECTIONS", (first,))
    assert main.main(["bench", "--quick", "--json", str(tmp_path / "new" / "bench.json")]) == 0
    record = json.loads((tmp_path / "new" / "bench.json").read_text())
    assert record["first"] == [{"name": "strokes", "quick": True}]
    assert record["machine"]["torch"] == torch.__version__
    out = capsys.readouterr().out
    assert "The first section." in out
    assert f"cores: {record['machine']['cores']}" in out
