"""The command line: what it prints and writes, and that each mistake ends in one line and an exit status."""

import hashlib
import json
import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from statistics import fmean

import matplotlib
import pytest

from kdtutor import Dataset, checkpoints, cli, cnn, data, mlp, mnist, predict, strokes, teachers, training
from kdtutor.metrics import errors

train_teacher = teachers.train_teacher


@pytest.fixture(scope="module")
def digits():
    images, labels, test_images, test_labels = strokes.make(train=300, test=100)
    whole = data.Split(images, labels)
    return Dataset("strokes", whole[:200], whole[200:], data.Split(test_images, test_labels))


@pytest.fixture
def run(digits, tmp_path, monkeypatch):
    """Run `kdtutor distill` on a few digits, with a teacher that was never trained; the exit status."""
    monkeypatch.setattr(data, "load", lambda name, fallback=None: digits)
    teacher = tmp_path / "teacher.safetensors"
    teachers.save_teacher(cnn(dropout=0.4, seed=0), {}, teacher)
    defaults = {"teacher": teacher, "out": tmp_path / "out", "student": "784-10", "seeds": 2, "epochs": 1}
    defaults |= {"device": "cpu", "data": "strokes"}

    def distill(**options):
        words = [f"--{name.replace('_', '-')}={value}" for name, value in (defaults | options).items()]
        with matplotlib.rc_context():
            return cli.main(["distill", "--quiet", *words])

    return distill


def runs(out):
    return json.loads((out / "record.json").read_text(encoding="utf-8"))["runs"]


# distill


def test_distill_prints_a_line_a_model_and_the_difference(run, tmp_path, capsys):
    assert run() == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    for (name, rows), line in zip(runs(tmp_path / "out").items(), lines[2:5], strict=True):
        assert line.startswith(name)
        assert float(line.removeprefix(name).split()[0]) == pytest.approx(fmean(row["errors"] for row in rows))
    (difference,) = [line for line in lines if line.startswith("test errors, distilled minus alone: ")]
    assert "95 % interval" in difference
    assert str(tmp_path / "out") in lines[-1]
    assert err == ""


def test_distill_writes_the_students_the_record_and_a_figure(run, digits, tmp_path):
    out = tmp_path / "new" / "out"
    run(out=out, student="784-12-10")
    names = ["alone.safetensors", "distilled.safetensors", "errors.png", "record.json"]
    assert sorted(path.name for path in out.iterdir()) == names
    assert (out / "errors.png").read_bytes().startswith(b"\x89PNG")
    record = json.loads((out / "record.json").read_text(encoding="utf-8"))
    assert record["data"] == record["settings"]["data"] == "strokes"
    for name in ("alone", "distilled"):
        student = mlp(784, 12, 10)
        assert checkpoints.load(student, out / f"{name}.safetensors") == record["settings"]
        measured = errors(predict(student, digits.test, device="cpu"), digits.test.labels)
        assert record["runs"][name][0]["errors"] == pytest.approx(measured, abs=100)  # stored in half precision


def test_the_record_holds_a_row_a_seed_and_the_difference(run, tmp_path):
    run(seeds=3)
    rows = runs(tmp_path / "out")
    assert {name: [row.get("seed") for row in rows[name]] for name in rows} == {
        "teacher": [None],
        "alone": [0, 1, 2],
        "distilled": [0, 1, 2],
    }
    alone, distilled = ([row["errors"] for row in rows[name]] for name in ("alone", "distilled"))
    record = json.loads((tmp_path / "out" / "record.json").read_text(encoding="utf-8"))
    assert record["distilled minus alone"]["mean"] == pytest.approx(fmean(distilled) - fmean(alone))


def test_alone_and_distilled_are_paired(run, tmp_path):
    """With alpha 0 the teacher has no say: the same weights in the same order give the same student."""
    run(alpha=0, epochs=2, student="784-16-10")
    rows = runs(tmp_path / "out")
    assert rows["alone"] == rows["distilled"]
    assert rows["alone"][0]["errors"] != rows["alone"][1]["errors"]


def test_the_teacher_has_its_say(run, tmp_path):
    run(alpha=1, epochs=2, student="784-16-10")
    rows = runs(tmp_path / "out")
    assert rows["alone"] != rows["distilled"]


def test_one_seed_gives_no_interval(run, tmp_path, capsys):
    assert run(seeds=1) == 0
    assert "one pair gives no interval" in capsys.readouterr().out
    assert len(runs(tmp_path / "out")["alone"]) == 1


def test_only_files_that_exist_are_announced(run, tmp_path, capsys):
    run(seeds=1)
    assert ("figure" in capsys.readouterr().out) == (tmp_path / "out" / "errors.png").exists()


@pytest.fixture
def _quick_teacher(monkeypatch):
    def quick(*args, **options):
        return train_teacher(*args, **options | {"epochs": 1})

    monkeypatch.setattr(teachers, "train_teacher", quick)


@pytest.mark.usefixtures("_quick_teacher")
def test_a_teacher_that_is_not_there_is_trained_and_kept(run, digits, tmp_path, capsys):
    path = tmp_path / "mine" / "teacher.safetensors"
    assert run(teacher=path, seeds=1) == 0
    assert f"No teacher at {path}: training one" in capsys.readouterr().out
    teacher, made = teachers.load_teacher(path=path)
    answered = errors(predict(teacher, digits.test, device="cpu"), digits.test.labels)
    assert runs(tmp_path / "out")["teacher"][0]["errors"] == answered == made["test"]["errors of 10,000"]
    run(teacher=path, seeds=1)
    assert "No teacher" not in capsys.readouterr().out


@pytest.mark.usefixtures("run")
def test_teacher_trains_and_keeps_one(tmp_path, capsys):
    out = tmp_path / "runs"
    assert cli.main(["teacher", "--data=strokes", "--epochs=1", "--quiet", "--device=cpu", f"--out={out}"]) == 0
    path = out / "teacher-strokes.safetensors"
    _, made = teachers.load_teacher(path=path)
    assert made["settings"]["epochs"] == 1
    assert capsys.readouterr().out.startswith(f"{path}: {made['test']['errors of 10,000']:.0f} test errors of 10,000")


# Mistakes and Ctrl-C


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0}, "temperature must be a finite number > 0, got 0.0"),
        ({"temperature": "nan"}, "temperature must be a finite number > 0, got nan"),
        ({"alpha": 1.5}, "alpha must be a number from 0 to 1, got 1.5"),
        ({"student": "784"}, "sizes must hold at least inputs and classes, got (784,)"),
        ({"student": "784-0-10"}, "each of sizes must be a whole number >= 1, got 0"),
        ({"student": "100-10"}, "784"),
        ({"student": "784-5"}, "for 5 classes"),
        ({"lr": -1}, "lr must be a finite number > 0, got -1.0"),
        ({"lr": 1e38, "epochs": 3}, "the loss must stay finite"),
        ({"device": "toaster"}, "toaster"),
    ],
    ids=str,
)
def test_a_mistake_ends_in_one_line(run, tmp_path, capsys, options, message):
    assert run(**options) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("kdtutor: ")
    assert message in line
    assert not list(tmp_path.glob("out/*"))


@pytest.mark.parametrize("options", [{"temperature": 0}, {"alpha": 2}, {"student": "784"}], ids=str)
def test_a_mistake_is_found_before_the_first_student_is_trained(run, monkeypatch, options):
    monkeypatch.setattr(cli, "train", lambda *args, **options: pytest.fail("a student was trained"))
    assert run(**options) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["distill", "--student=784-many-10"], "must be layer sizes such as 784-300-10, got '784-many-10'"),
        (["distill", "--seeds=few"], "argument --seeds: must be a whole number >= 1, got 'few'"),
        (["distill", "--seeds=0"], "argument --seeds: must be a whole number >= 1, got '0'"),
        (["distill", "--epochs=0"], "argument --epochs: must be a whole number >= 1, got '0'"),
        (["distill", "--batch-size=-8"], "argument --batch-size: must be a whole number >= 1, got '-8'"),
        (["distill", "--data=cifar"], "invalid choice: 'cifar'"),
        ([], "the following arguments are required: COMMAND"),
        (["distil"], "invalid choice: 'distil'"),
    ],
    ids=" ".join,
)
def test_words_that_are_not_understood(capsys, words, message):
    with pytest.raises(SystemExit) as stopped:
        cli.main(words)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_a_damaged_teacher_is_named(run, tmp_path, capsys):
    (tmp_path / "damaged.safetensors").write_bytes(b"not weights")
    assert run(teacher=tmp_path / "damaged.safetensors") == 1
    assert "damaged.safetensors, which is damaged" in capsys.readouterr().err


def test_a_file_where_the_folder_should_be(run, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert run(out=tmp_path / "file") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert str(tmp_path / "file") in line


@pytest.mark.parametrize("loss", ["cross_entropy", "distillation_loss"], ids=["alone", "distilled"])
def test_ctrl_c_saves_nothing(run, tmp_path, monkeypatch, capsys, loss):
    def stop(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(training, loss, stop)
    assert run() == 130
    assert capsys.readouterr().err == "kdtutor: interrupted, nothing was saved\n"
    assert not list(tmp_path.glob("out/*"))


@pytest.mark.usefixtures("_quick_teacher")
def test_ctrl_c_saves_no_half_trained_teacher(run, tmp_path, monkeypatch):
    def stop(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "cross_entropy", stop)
    assert run(teacher=tmp_path / "mine" / "teacher.safetensors") == 130
    assert not (tmp_path / "mine").exists()


# data


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A network that gives four tiny files, and an empty folder for them."""
    contents = {name: bytes(9 if "labels" in name else 16 + 784) for name in mnist.FILES}

    def download(root):
        raw = Path(root) / mnist.RAW
        raw.mkdir(parents=True)
        for name, content in contents.items():
            (raw / name).write_bytes(content)

    checks = {name: (len(content), hashlib.sha256(content).hexdigest()) for name, content in contents.items()}
    monkeypatch.setattr(mnist, "FILES", checks)
    monkeypatch.setattr(mnist, "_download", download)
    monkeypatch.setattr(data, "shipped", lambda: tmp_path / "no course")
    monkeypatch.setenv("KDTUTOR_DATA", str(tmp_path / "here"))
    return tmp_path / "here" / mnist.RAW


def test_data_says_that_mnist_is_absent_and_what_to_do(files, capsys):
    assert cli.main(["data"]) == 1
    out, _ = capsys.readouterr()
    assert out.startswith(f"MNIST: not in {files}. Add --fetch")
    assert not files.exists()


def test_data_fetches_mnist_once(files, monkeypatch, capsys):
    whole = f"MNIST: whole, in {files} (each file's SHA-256 was checked)\n"
    assert cli.main(["data", "--fetch"]) == 0
    assert capsys.readouterr() == (whole, "")
    monkeypatch.setattr(mnist, "fetch", lambda root: pytest.fail("it was fetched again"))
    assert cli.main(["data", "--fetch"]) == 0
    assert cli.main(["data"]) == 0
    assert capsys.readouterr() == (2 * whole, "")


def test_data_names_a_damaged_file(files, capsys):
    cli.main(["data", "--fetch"])
    (files / "t10k-labels-idx1-ubyte").write_bytes(bytes(8) + b"\1")
    assert cli.main(["data"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"kdtutor: {files / 't10k-labels-idx1-ubyte'} is damaged")


def test_data_says_why_it_cannot_fetch(files, monkeypatch, capsys):
    def download(root):
        raise RuntimeError("no network")

    monkeypatch.setattr(mnist, "_download", download)
    assert cli.main(["data", "--fetch"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("kdtutor: MNIST isn't in")
    assert "no network" in line


# Both ways to call it


def lists_the_commands(text):
    return all(f"\n    {command} " in text for command in ("distill", "teacher", "data"))


def test_the_module_can_be_run():
    command = [sys.executable, "-m", "kdtutor", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=os.environ | {"COLUMNS": "100"})
    assert (done.returncode, done.stderr) == (0, "")
    assert lists_the_commands(done.stdout)


def test_the_installed_command_is_the_same(capsys):
    (command,) = entry_points(group="console_scripts", name="kdtutor")
    with pytest.raises(SystemExit) as stopped:
        command.load()(["--help"])
    assert stopped.value.code == 0
    assert lists_the_commands(capsys.readouterr().out)
