"""The benchmark's sides compute the same, and its rows say what was timed. No test here depends on a time."""

import json
import os
import sys
from functools import cache, partial
from importlib.util import find_spec
from itertools import pairwise

import pytest
import torch
from safetensors.torch import save_file

from kdtutor import Dataset, Split, data, mlp
from kdtutor._device import threads
from kdtutor.commands import bench, main
from kdtutor.commands.benchmarks import epochs, growth, notebooks, peers, processes, students, timing
from kdtutor.commands.benchmarks.epochs import DEVIATION, MEAN, by_kdtutor, by_loader, matrix_products, normalised
from kdtutor.commands.benchmarks.timing import in_turns
from kdtutor.data import loading, strokes
from kdtutor.evaluation import predict


@pytest.fixture(scope="module")
def digits():
    images, labels, test_images, test_labels = strokes.make(train=300, test=100)
    return Dataset("strokes", Split(images, labels), Split(images[:50], labels[:50]), Split(test_images, test_labels))


def test_an_item_is_what_torchvision_makes_of_the_image(digits):
    image, label = epochs.Digits(digits.train)[7]
    expected = (digits.train.inputs[7].double() / 255 - MEAN) / DEVIATION
    torch.testing.assert_close(image.double(), expected, rtol=0, atol=1e-6)
    assert label == digits.train.labels[7]
    assert len(epochs.Digits(digits.train)) == 300


@pytest.mark.parametrize("workers", [0, 2])
def test_the_scripts_loop_and_distill_have_the_same_losses(digits, workers):
    teacher = mlp(784, 20, 10, seed=1).eval()
    split = normalised(digits.train)
    with torch.no_grad():
        teacher_logits = teacher(split.inputs)
    theirs = by_loader((784, 16, 10), teacher, digits.train, 32, workers)
    assert by_kdtutor((784, 16, 10), teacher_logits, split, 32) == pytest.approx(theirs, rel=1e-5)


def test_the_products_are_those_of_the_network(monkeypatch):
    """Counted as multiplications: forward, and backward into the weights, and into the inputs but the first."""
    from torch.utils.flop_counter import FlopCounterMode

    def backward():
        mlp(7, 5, 4, 3)(torch.rand(8, 7)).sum().backward()

    counts = []
    for compute in (backward, lambda: matrix_products((7, 5, 4, 3), 8, 8, number=1)):
        with FlopCounterMode(display=False) as counter:
            compute()
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1] > 0
    with FlopCounterMode(display=False) as counter:
        matrix_products((7, 5, 4, 3), 24, 8, number=1)
    assert counter.get_total_flops() == 3 * counts[0]


@pytest.mark.parametrize(("count", "seeds"), [(1, 1), (8, 1), (32, 2)])
def test_the_products_of_a_stack_are_those_of_its_networks(count, seeds):
    from torch.utils.flop_counter import FlopCounterMode

    assert students.groups(count) == (seeds, count // seeds)
    counts = []
    for compute in (
        lambda: matrix_products((7, 5, 4, 3), 64, 64, number=1),
        lambda: students.stacked_products((7, 5, 4, 3), count, 64, number=1),
    ):
        with FlopCounterMode(display=False) as counter:
            compute()
        counts.append(counter.get_total_flops())
    assert counts[1] == count * counts[0] > 0


def test_functions_take_turns_after_a_warm_up_each():
    order = []
    seconds, results = in_turns({name: lambda name=name: order.append(name) or name.upper() for name in "ab"}, 3)
    assert "".join(order) == "abababab"
    assert results == {"a": "A", "b": "B"}
    assert [len(values) for values in seconds.values()] == [3, 3]
    assert all(values == sorted(values) for values in seconds.values())


@pytest.fixture
def timed(monkeypatch):
    """Each function is called once, and is said to have taken 1, 2 and 4 seconds times its place."""

    def once(functions, repeats):
        results = {name: function() for name, function in functions.items()}
        return {name: [1.0 * i, 2.0 * i, 4.0 * i] for i, name in enumerate(functions, start=1)}, results

    monkeypatch.setattr(timing, "in_turns", once)


@pytest.mark.usefixtures("timed")
def test_epochs_are_scaled_to_55_000_images_and_compared(digits, monkeypatch):
    monkeypatch.setattr(epochs, "by_loader", lambda *args, workers: 0.5)
    rows = list(epochs.time_epochs(digits, quick=True))
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


@pytest.fixture
def peers_epoch(digits):
    teacher = mlp(784, 20, 10, seed=1).eval()
    split = normalised(digits.train)
    return peers.Epoch((784, 16, 10), 32, split, teacher, predict(teacher, split))


@pytest.fixture
def loss_of_distill(peers_epoch):
    return by_kdtutor(peers_epoch.sizes, peers_epoch.teacher_logits, peers_epoch.split, peers_epoch.batch_size)


needs_peers = pytest.mark.skipif(
    not all(find_spec(name) for name in ("torchdistill", "lightning", "keras")),
    reason="needs the extra `peers`: torchdistill, lightning, keras",
)


@pytest.mark.parametrize("batches", [peers.batches_by_index, peers.batches_by_loader])
def test_a_plain_loop_and_distill_have_the_same_losses(peers_epoch, loss_of_distill, batches):
    loss = peers.plain_loop(peers_epoch, batches, peers.script_loss)
    assert loss == pytest.approx(loss_of_distill, rel=1e-5)


@needs_peers
def test_all_libraries_have_the_losses_of_distill(peers_epoch, loss_of_distill):
    peers.load()
    losses = {name: side() for name, side in peers.sides_of(peers_epoch).items()}
    assert len(losses) == 6
    for name, loss in losses.items():
        room = peers.TOLERANCE if "Keras" in name else 1e-5
        assert loss == pytest.approx(loss_of_distill, rel=room), name


@pytest.mark.parametrize("module", peers.MODULES)
def test_a_library_that_is_missing_is_named_before_any_work(module, monkeypatch, capsys):
    def found(name):
        if name == module:
            raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(peers, "import_module", found)
    monkeypatch.setenv("KERAS_BACKEND", "jax")  # and is put back
    assert main.main(["bench", "--peers"]) == 1
    assert capsys.readouterr() == (
        "",
        f"kdtutor: --peers needs {module.split('.')[0]}, which can't be imported (No module named '{module}'): "
        "pip install torchdistill lightning 'keras>=3.12', or 'kdtutor[peers]'\n",
    )
    assert os.environ["KERAS_BACKEND"] == "torch"


@pytest.fixture
def three_sides(monkeypatch):
    """The sides of the peers' table, without the libraries: a dictionary of their losses, to be changed."""
    losses = {peers.OURS: 0.5, "a plain loop": 0.5, peers.ASKS_TEACHER: 0.5}
    monkeypatch.setattr(peers, "sides_of", lambda epoch: {name: partial(losses.__getitem__, name) for name in losses})
    return losses


@pytest.mark.usefixtures("timed", "three_sides")
def test_peers_are_scaled_to_55_000_images_and_compared_with_distill(digits):
    rows = list(peers.time_peers(digits, quick=True))
    assert [row["batch"] for row in rows] == [64, 64, 64, 256, 256, 256]
    for place, row in enumerate(rows):
        number = 1 + place % 3
        assert row["seconds"] == 2 * number * 55_000 / 300
        assert (row["from"], row["to"]) == (row["seconds"] / 2, 2 * row["seconds"])
        assert row["this / distill"] == number
        assert row["teacher is asked"] == ("in each step" if number == 3 else "beforehand")


def test_peers_are_timed_on_one_thread(digits, monkeypatch, three_sides):
    seen = []

    def once(functions, repeats):
        seen.append(torch.get_num_threads())
        return {name: [1.0] for name in functions}, three_sides

    monkeypatch.setattr(timing, "in_turns", once)
    with threads(3):
        assert len(list(peers.time_peers(digits, quick=True))) == 6
        assert torch.get_num_threads() == 3
    assert seen == [1, 1]


@pytest.mark.usefixtures("timed")
@pytest.mark.parametrize("loss", [0.51, float("nan")])
def test_no_time_is_given_for_another_loss(digits, three_sides, loss):
    three_sides["a plain loop"] = loss
    with pytest.raises(
        ArithmeticError, match=f"a plain loop must have the mean loss of kdtutor.distill, 0.5, got {loss}"
    ):
        list(peers.time_peers(digits, quick=True))


@pytest.mark.usefixtures("timed")
def test_students_per_second_are_counted(digits):
    rows = list(students.time_students(digits, quick=True))
    assert [row["students"] for row in rows] == [1, 8, 64, 1, 8, 64, 1, 2]
    for row in rows:
        alone = min(row["students"], 4)
        assert row["sweep"] == pytest.approx(row["students"] / 2 * 300 / 11_000)
        assert row["one by one"] == pytest.approx(alone / 4 * 300 / 11_000)
        assert row["products"] == pytest.approx(row["students"] / 6 * 300 / 11_000)
        assert row["ratio"] == pytest.approx(row["sweep"] / row["one by one"])
        assert row["sweep / products"] == pytest.approx(1 / 3)  # by the times of "timed"
        assert row["from"] < row["ratio"] < row["to"]


@pytest.mark.usefixtures("timed")
def test_growth_is_a_ratio_to_the_half(digits, monkeypatch):
    monkeypatch.setattr(growth, "EXAMPLES", 128)
    many = Split(torch.zeros(2**14, 1, 28, 28, dtype=torch.uint8), torch.zeros(2**14, dtype=torch.int64))
    rows = list(growth.time_growth(Dataset("zeros", many, digits.validation, digits.test), quick=True))
    assert [row["of"] for row in rows if row["times"] is None] == ["images", "units", "students"]
    for before, row in pairwise(rows):
        if row["times"] is not None:
            assert row["number"] == 2 * before["number"]
            assert row["times"] == row["ms"] / before["ms"]


def test_busy_starts_and_stops_another_process(digits, monkeypatch):
    started = []

    class Process:
        def __init__(self, command):
            self.running = True
            started.append(self)

        def kill(self):
            self.running = False

        def wait(self):
            assert not self.running

    def once(functions, repeats):
        return {name: [3.0 if started and started[-1].running else 2.0] for name in functions}, {}

    monkeypatch.setattr(timing, "in_turns", once)
    monkeypatch.setattr(processes.subprocess, "Popen", Process)
    rows = list(processes.time_beside_another(digits, quick=True))
    assert [row["ratio"] for row in rows] == [1.5, 1.5, 1.5]
    assert len(started) == 9
    assert not any(process.running for process in started)


@pytest.fixture
def few_strokes(tmp_path, monkeypatch):
    """A data folder whose strokes are 6,000 empty images to train and validate, and a few to test."""
    tensors = {
        "train_images": torch.zeros(6_000, 1, 28, 28, dtype=torch.uint8),
        "train_labels": torch.zeros(6_000, dtype=torch.int64),
        "test_images": torch.zeros(100, 1, 28, 28, dtype=torch.uint8),
        "test_labels": torch.zeros(100, dtype=torch.int64),
    }
    checksum = loading._checksum(list(tensors.values()))
    save_file(tensors, tmp_path / f"strokes-{strokes.VERSION}.safetensors", metadata={"sha256": checksum})
    monkeypatch.setenv("KDTUTOR_DATA", str(tmp_path))
    assert len(data.load("strokes").train) == 1_000  # as the process will see it


@pytest.mark.usefixtures("few_strokes")
def test_a_process_is_measured_above_torch(digits, monkeypatch):
    monkeypatch.setattr(processes, "_printed_by", cache(processes._printed_by))  # it imports once, not three times
    rows = list(processes.measure_start(digits, quick=True))
    assert 0 < rows[0]["value"] < 5
    if sys.platform == "linux":
        assert 30 < rows[1]["value"] < 700  # MB


def test_no_notebook_is_run_in_a_hurry(digits):
    assert list(notebooks.time_notebooks(digits, quick=True)) == []


def test_rows_are_shown_as_a_table_with_the_text_to_the_left():
    rows = [
        {"number": 3, "name": "first", "seconds": 0.123456},
        {"number": None, "name": "second", "seconds": 2.0},
    ]
    assert bench.rows_as_text(rows).splitlines() == [
        "name    number  seconds",
        "first        3   0.1235",
        "second       -        2",
    ]


def test_the_command_prints_and_records_each_section(monkeypatch, tmp_path, capsys, digits):
    def first(digits, quick):
        """The first section."""
        assert "The first section." in capsys.readouterr().out, "the title must be there before the work begins"
        yield {"name": digits.name, "quick": quick}

    def second(digits, quick):
        """The second section."""
        assert capsys.readouterr().out.split() == ["name", "quick", "strokes", "True", "The", "second", "section."]
        yield from ()

    monkeypatch.setattr(data, "load", lambda name, fallback=None: digits)
    monkeypatch.setattr(bench, "all_benchmarks", lambda: {"one": first, "two": second})
    assert main.main(["bench", "--quick", "--json", str(tmp_path / "new" / "bench.json")]) == 0
    record = json.loads((tmp_path / "new" / "bench.json").read_text())
    assert record["one"] == [{"name": "strokes", "quick": True}]
    assert record["two"] == []
    assert record["machine"]["torch"] == torch.__version__
    assert capsys.readouterr().out == ""


def test_peers_are_a_benchmark_of_their_own(monkeypatch, tmp_path, capsys, digits):
    def time_peers(digits, quick):
        """An epoch with other libraries."""
        yield {"with": "a library", "quick": quick}

    monkeypatch.setattr(data, "load", lambda name, fallback=None: digits)
    monkeypatch.setattr(peers, "load", lambda: None)
    monkeypatch.setattr(peers, "time_peers", time_peers)
    monkeypatch.setattr(bench, "all_benchmarks", None)  # isn't called
    assert main.main(["bench", "--peers", "--json", str(tmp_path / "peers.json")]) == 0
    record = json.loads((tmp_path / "peers.json").read_text())
    assert record["peers"] == [{"with": "a library", "quick": False}]
    assert "An epoch with other libraries.\n\nwith       quick\na library  False" in capsys.readouterr().out


def test_the_command_names_the_machine(monkeypatch, capsys, digits):
    monkeypatch.setattr(data, "load", lambda name, fallback=None: digits)
    monkeypatch.setattr(bench, "all_benchmarks", dict)
    assert main.main(["bench"]) == 0
    assert f"cores: {os.cpu_count()}" in capsys.readouterr().out


def test_each_benchmark_has_a_name_and_a_title():
    benchmarks = bench.all_benchmarks()
    assert list(benchmarks) == ["epochs", "students", "busy", "growth", "process", "notebooks"]
    assert all(benchmark.__doc__.count("\n") == 0 for benchmark in benchmarks.values())
