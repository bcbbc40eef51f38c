"""The command line: what it prints and writes, and that each mistake ends in one line and an exit status."""

import contextlib
import dataclasses
import io
import json
import os
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from statistics import fmean

import matplotlib
import pytest

import kdtutor
from kdtutor import _paths, checkpoints, cnn, data, mlp, predict, training
from kdtutor.commands import main
from kdtutor.course import teachers
from kdtutor.course.hinton import paper, reproduction, table
from kdtutor.data import files as data_files
from kdtutor.data.sources import SOURCES
from kdtutor.grading import assignments, marking
from kdtutor.metrics import errors

train_teacher = teachers.train_teacher


@pytest.fixture(scope="module")
def digits(drawn):
    return drawn(200, 100, 100)


@pytest.fixture
def distill(digits, tmp_path, monkeypatch):
    """Carry out `kdtutor distill` on a few digits, with a teacher that was never trained; the exit status."""
    monkeypatch.setattr(data, "load", lambda name, fallback=None: digits)
    teacher = tmp_path / "teacher.safetensors"
    teachers.save_teacher(cnn(dropout=0.4, seed=0), {}, teacher)
    defaults = {"teacher": teacher, "out": tmp_path / "out", "student": "784-10", "seeds": 2, "epochs": 1}
    defaults |= {"device": "cpu", "data": "strokes"}

    def command(arguments=(), **options):
        options = [f"--{name.replace('_', '-')}={value}" for name, value in (defaults | options).items()]
        with matplotlib.rc_context():
            return main.main(["distill", "--quiet", *options, *arguments])

    return command


def measurements(out):
    """What the record in this folder says of the teacher, of the students alone and of those distilled."""
    return json.loads((out / "record.json").read_text(encoding="utf-8"))["runs"]


# distill


def test_distill_prints_one_line_per_model_and_the_difference(distill, tmp_path, capsys):
    assert distill() == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].split()[:5] == ["errors", "of", "agreement", "NLL", "calibration"]
    for (name, rows), line in zip(measurements(tmp_path / "out").items(), lines[2:5], strict=True):
        wrong, agreed, nats, calibration = (
            fmean(row[metric] for row in rows) for metric in ("errors", "agreement", "NLL", "calibration error")
        )
        assert line.split()[:5] == [name, f"{wrong:.1f}", f"{100 * agreed:.2f}", f"{nats:.4f}", f"{calibration:.4f}"]
    (difference,) = [line for line in lines if line.startswith("test errors, distilled minus alone: ")]
    assert "95 % interval" in difference
    assert lines[-1].startswith(f"In {tmp_path / 'out'}: the students of seed 0, the record and a figure; ")
    assert err == ""


def test_distill_writes_the_students_the_record_and_a_figure(distill, digits, tmp_path):
    out = tmp_path / "new" / "out"
    distill(out=out, student="784-12-10")
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


def test_the_record_holds_one_row_per_seed_and_the_difference(distill, tmp_path):
    distill(seeds=3)
    rows = measurements(tmp_path / "out")
    assert {name: [row.get("seed") for row in rows[name]] for name in rows} == {
        "teacher": [None],
        "alone": [0, 1, 2],
        "distilled": [0, 1, 2],
    }
    alone, distilled = ([row["errors"] for row in rows[name]] for name in ("alone", "distilled"))
    record = json.loads((tmp_path / "out" / "record.json").read_text(encoding="utf-8"))
    assert record["distilled minus alone"]["mean"] == pytest.approx(fmean(distilled) - fmean(alone))


def test_alone_and_distilled_are_paired(distill, tmp_path):
    """With alpha 0 the teacher has no say: the same weights in the same order give the same student."""
    distill(alpha=0, epochs=2, student="784-16-10")
    rows = measurements(tmp_path / "out")
    assert rows["alone"] == rows["distilled"]
    assert rows["alone"][0]["errors"] != rows["alone"][1]["errors"]


def test_the_teacher_has_its_say(distill, tmp_path):
    distill(alpha=1, epochs=2, student="784-16-10")
    rows = measurements(tmp_path / "out")
    assert rows["alone"] != rows["distilled"]


def test_one_seed_gives_no_interval(distill, tmp_path, capsys):
    assert distill(seeds=1) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2] == "test errors, distilled minus alone: one pair gives no interval, use --seeds 5"
    assert lines[-1].startswith(f"In {tmp_path / 'out'}: the students of seed 0, the record; ")
    assert not (tmp_path / "out" / "errors.png").exists()
    assert len(measurements(tmp_path / "out")["alone"]) == 1


@pytest.fixture
def _quick_teacher(monkeypatch):
    def quick(*args, **options):
        return train_teacher(*args, **options | {"epochs": 1})

    monkeypatch.setattr(teachers, "train_teacher", quick)


@pytest.fixture
def sweeps(monkeypatch):
    """The sweeps that the command runs: the settings and the table of each."""
    seen = []

    def spy(*args, **settings):
        seen.append((settings, kdtutor.sweep(*args, **settings)))
        return seen[-1][1]

    monkeypatch.setattr("kdtutor.commands.distill.sweep", spy)
    return seen


def best_of(table, alphas):
    """The settings with the fewest validation errors on average, among those with one of these alphas; and how many."""
    errors_of = {}
    for row in table.rows:
        if row["alpha"] in alphas:
            errors_of.setdefault((row["temperature"], row["alpha"], row["lr"]), []).append(row["validation_errors"])
    return min((fmean(values), settings) for settings, values in errors_of.items())


def test_each_side_gets_the_settings_that_are_best_on_the_validation_images(distill, sweeps, tmp_path, capsys):
    arguments = ["--temperature", "1", "50", "--alpha", "0.3", "1", "--lr", "0.001", "0.03", "--epochs", "3"]
    assert distill(arguments=arguments) == 0
    (choosing, choice), (alone, table_alone), (distilled, table_distilled) = sweeps
    assert choosing["seeds"] == range(100, 102)  # other seeds than those of the pairs
    assert alone["seeds"] == distilled["seeds"] == range(2)
    fewest_alone, (_, _, lr_alone) = best_of(choice, [0.0])
    fewest_distilled, (temperature, alpha, lr) = best_of(choice, [0.3, 1.0])
    record = json.loads((tmp_path / "out" / "record.json").read_text(encoding="utf-8"))
    assert record["settings"]["alone"] == {"alpha": 0.0, "lr": lr_alone}
    assert record["settings"]["distilled"] == {"temperature": temperature, "alpha": alpha, "lr": lr}
    for settings, of_side in ((alone, table_alone), (distilled, table_distilled)):
        side = "distilled" if settings["alpha"] else "alone"
        assert {name: settings[name] for name in record["settings"][side]} == record["settings"][side]
        assert [row["errors"] for row in record["runs"][side]] == of_side.values("test_errors")

    tried = record["choice"]
    assert (tried["seeds"], tried["lr"]) == ([100, 101], [0.001, 0.03])
    assert (tried["alpha"], tried["temperature"]) == ([0.3, 1.0], [1.0, 50.0])
    by_lr = dict(zip(tried["lr"], tried["validation errors"]["distilled"], strict=True))
    assert by_lr[lr][tried["alpha"].index(alpha)][tried["temperature"].index(temperature)] == fewest_distilled
    assert tried["validation errors"]["alone"][tried["lr"].index(lr_alone)] == fewest_alone
    printed = capsys.readouterr().out
    assert f"\n  alone: alpha = 0, lr = {lr_alone:g}\n" in printed
    assert f"\n  distilled: T = {temperature:g}, alpha = {alpha:g}, lr = {lr:g}\n" in printed


@pytest.mark.parametrize(("option", "name"), [("--lr", "lr"), ("--alpha", "alpha"), ("--temperature", "temperature")])
def test_a_value_given_twice_is_refused_before_anything_is_trained(distill, tmp_path, option, name, capsys):
    assert distill(arguments=[option, "0.5", "0.50"]) == 1
    assert f"{name} must hold at least one value, and none twice, got [0.5, 0.5]" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_rates_at_which_all_diverge_are_said_to_be_too_large(distill, capsys):
    assert distill(arguments=["--lr", "1e37", "1e38"]) == 1
    assert "the loss must stay finite, got NaN at each --lr: try smaller ones" in capsys.readouterr().err


def test_the_two_sides_may_differ_in_their_learning_rate(distill, sweeps, tmp_path, monkeypatch):
    """With the validation errors turned round for the students alone, they get the other rate."""
    distill(arguments=["--lr", "1e-5", "0.01"], epochs=3)
    (lr,) = {settings["lr"] for settings, _ in sweeps[1:]}
    assert lr == 0.01

    def turned_round(*args, **settings):
        table = kdtutor.sweep(*args, **settings)
        for row in table.rows:
            if row["alpha"] == 0:
                row["validation_errors"] *= -1
        return table

    monkeypatch.setattr("kdtutor.commands.distill.sweep", turned_round)
    distill(arguments=["--lr", "1e-5", "0.01"], epochs=3)
    settings = json.loads((tmp_path / "out" / "record.json").read_text(encoding="utf-8"))["settings"]
    assert (settings["alone"]["lr"], settings["distilled"]["lr"]) == (1e-5, 0.01)


def test_at_most_three_seeds_choose(distill, sweeps):
    distill(arguments=["--lr", "0.001", "0.01"], seeds=4)
    assert [settings["seeds"] for settings, _ in sweeps] == [range(100, 103), range(4), range(4)]


def test_with_one_value_of_each_setting_nothing_is_chosen(distill, sweeps, tmp_path, capsys):
    distill(lr=0.004, temperature=2, alpha=0.5)
    settings, choice = (
        json.loads((tmp_path / "out" / "record.json").read_text(encoding="utf-8"))[name]
        for name in ("settings", "choice")
    )
    assert len(sweeps) == 2
    assert settings["alone"] == {"alpha": 0.0, "lr": 0.004}
    assert settings["distilled"] == {"temperature": 2.0, "alpha": 0.5, "lr": 0.004}
    assert choice is None
    assert "Best" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "errors_at", "sentences"),
    [
        ("lr", {0.001: 3, 0.002: 2, 0.004: 1}, ["0.004 is the largest learning rate tried: try larger ones, too"]),
        ("lr", {0.001: 1, 0.002: 2, 0.004: 3}, ["0.001 is the smallest learning rate tried: try smaller ones, too"]),
        ("lr", {0.001: 2, 0.002: 1, 0.004: 3}, []),
        ("temperature", {1: 3, 2: 2, 4: 1}, ["4 is the largest temperature tried: try larger ones, too"]),
        ("alpha", {0.5: 1, 0.9: 2}, ["0.5 is the smallest alpha tried: try smaller ones, too"]),
        ("alpha", {0.5: 2, 1: 1}, []),  # there is no larger one
        ("alpha", {0: 1, 1: 2}, []),
    ],
)
def test_a_choice_at_an_end_of_the_values_is_told(distill, monkeypatch, capsys, name, errors_at, sentences):
    def known(*args, **settings):
        table = kdtutor.sweep(*args, **settings)
        for row in table.rows:
            row["validation_errors"] = errors_at.get(row[name], 0)
        return table

    monkeypatch.setattr("kdtutor.commands.distill.sweep", known)
    distill(arguments=[f"--{name}", *map(str, errors_at)])
    _, found, of_distilled = capsys.readouterr().out.partition("  distilled: ")
    assert found
    assert re.findall("    (.* tried: .*)", of_distilled) == sentences


@pytest.mark.usefixtures("_quick_teacher")
def test_a_teacher_that_is_not_there_is_trained_and_kept(distill, digits, tmp_path, capsys):
    path = tmp_path / "mine" / "teacher.safetensors"
    assert distill(teacher=path, seeds=1) == 0
    assert f"No teacher at {path}: training one" in capsys.readouterr().out
    teacher, made = teachers.load_teacher(path=path)
    test_errors = errors(predict(teacher, digits.test, device="cpu"), digits.test.labels)
    assert measurements(tmp_path / "out")["teacher"][0]["errors"] == test_errors == made["test"]["errors of 10,000"]
    distill(teacher=path, seeds=1)
    assert "No teacher" not in capsys.readouterr().out


@pytest.mark.usefixtures("_quick_teacher")
def test_where_none_ships_one_is_trained_once_and_kept_with_the_results(distill, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(teachers, "SHIPPED", tmp_path / "nothing")
    path = tmp_path / "out" / "teacher-strokes.safetensors"
    arguments = ["distill", "--quiet", "--student=784-10", "--seeds=1", "--epochs=1", "--device=cpu"]
    for trained in (True, False):
        assert main.main([*arguments, f"--out={path.parent}"]) == 0
        assert (f"No teacher at {path}: training one" in capsys.readouterr().out) == trained
        assert path.is_file()


@pytest.mark.usefixtures("distill")
def test_teacher_trains_and_keeps_one(tmp_path, capsys):
    out = tmp_path / "runs"
    assert main.main(["teacher", "--data=strokes", "--epochs=1", "--quiet", "--device=cpu", f"--out={out}"]) == 0
    path = out / "teacher-strokes.safetensors"
    _, made = teachers.load_teacher(path=path)
    assert made["settings"]["epochs"] == 1
    assert capsys.readouterr().out.startswith(f"{path}: {made['test']['errors of 10,000']:.0f} test errors of 10,000")


# Mistakes and Ctrl-C


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": -1}, "lr must be a finite number > 0, got -1.0"),
        ({"lr": 1e38, "epochs": 3}, "the loss must stay finite"),
        ({"device": "toaster"}, "toaster"),
    ],
    ids=str,
)
def test_a_mistake_ends_in_one_line(distill, tmp_path, capsys, options, message):
    assert distill(**options) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("kdtutor: ")
    assert message in line
    assert not list(tmp_path.glob("out/*"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0}, "temperature must be a finite number > 0, got 0.0"),
        ({"temperature": "nan"}, "temperature must be a finite number > 0, got nan"),
        ({"alpha": 1.5}, "alpha must be a number from 0 to 1, got 1.5"),
        ({"lr": -1}, "lr must be a finite number > 0, got -1.0"),
    ],
    ids=str,
)
def test_temperature_alpha_and_learning_rate_are_checked_before_anything_is_loaded(
    distill, tmp_path, monkeypatch, capsys, options, message
):
    monkeypatch.setattr(data, "load", lambda *args, **options: pytest.fail("the digits were loaded"))
    monkeypatch.setattr(teachers, "load_teacher", lambda *args: pytest.fail("the teacher was loaded"))
    assert distill(**options) == 1
    assert capsys.readouterr() == ("", f"kdtutor: {message}\n")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("student", ["784-many-10", "784", "784-0-10", "784-300-", "-300-10", "100-10", "784-5", ""])
def test_a_student_that_does_not_go_from_the_pixels_to_the_classes_is_refused(distill, capsys, student):
    with pytest.raises(SystemExit) as stopped:
        distill(student=student)
    assert stopped.value.code == 2
    message = f"argument --student: must be layer sizes from 784 pixels to 10 classes, 784-300-10, got {student!r}\n"
    assert capsys.readouterr().err.endswith(message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["distill", "--seeds=few"], "argument --seeds: must be a whole number >= 1, got 'few'"),
        (["distill", "--seeds=0"], "argument --seeds: must be a whole number >= 1, got '0'"),
        (["distill", "--epochs=0"], "argument --epochs: must be a whole number >= 1, got '0'"),
        (["distill", "--batch-size=-8"], "argument --batch-size: must be a whole number >= 1, got '-8'"),
        (["teacher", "--epochs=1.5"], "argument --epochs: must be a whole number >= 1, got '1.5'"),
        (["distill", "--data=cifar"], "invalid choice: 'cifar'"),
        ([], "the following arguments are required: COMMAND"),
        (["distil"], "invalid choice: 'distil'"),
    ],
    ids=" ".join,
)
def test_arguments_that_are_not_understood(capsys, arguments, message):
    with pytest.raises(SystemExit) as stopped:
        main.main(arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_a_damaged_teacher_is_named(distill, tmp_path, capsys):
    (tmp_path / "damaged.safetensors").write_bytes(b"not weights")
    assert distill(teacher=tmp_path / "damaged.safetensors") == 1
    assert "damaged.safetensors, which is damaged" in capsys.readouterr().err


def test_a_file_where_the_folder_should_be(distill, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert distill(out=tmp_path / "file") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert str(tmp_path / "file") in line


def test_ctrl_c_saves_nothing(distill, tmp_path, monkeypatch, capsys):
    def stop(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("kdtutor._closed_form.Objective.gradient", stop)
    assert distill() == 130
    assert capsys.readouterr().err == "kdtutor: interrupted, no results were saved\n"
    assert not list(tmp_path.glob("out/*"))


@pytest.mark.usefixtures("_quick_teacher")
def test_ctrl_c_saves_no_half_trained_teacher(distill, tmp_path, monkeypatch):
    def stop(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "cross_entropy", stop)
    assert distill(teacher=tmp_path / "mine" / "teacher.safetensors") == 130
    assert not (tmp_path / "mine").exists()


# reproduce


@pytest.fixture(scope="module")
def reproduction_in_two_parts(digits, tmp_path_factory):
    """`kdtutor reproduce hinton --quick` on a few digits, as short as it can be, interrupted and then gone on with.

    Gives its folder, and for both calls the exit status, what was printed, and the records afterwards.
    """
    folder = tmp_path_factory.mktemp("hinton")
    shortest = dataclasses.replace(reproduction.QUICK, teacher_epochs=1)
    arguments = ["reproduce", "hinton", "--quick", f"--out={folder}", "--device=cpu"]
    parts = []

    def reproduce():
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            status = main.main(arguments)
        parts.append((status, printed.getvalue(), (folder / "runs.jsonl").read_bytes()))

    def stop(*_, **__):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(data, "load", lambda name, fallback=None: digits)
        monkeypatch.setattr(reproduction, "QUICK", shortest)
        with monkeypatch.context() as until_all_have_chosen:
            until_all_have_chosen.setattr(reproduction.Section, "train_result", stop)
            reproduce()
        reproduce()
    return folder, *parts


def test_reproduce_shows_the_papers_numbers_beside_its_own(reproduction_in_two_parts):
    folder, _, (status, printed, _) = reproduction_in_two_parts
    assert status == 0
    records = paper.records(folder)
    assert table.markdown(records) in printed
    lines = table.results(records).splitlines()
    assert {"runs.jsonl", "teacher.safetensors", "student.safetensors"} <= {path.name for path in folder.iterdir()}
    in_bold = [float(cell) for cell in re.findall(r"\*\*([\d.]+)\*\*", lines[3])]
    alone = [row["test_errors"] for row in records.rows("result", method="alone")]
    assert in_bold == [pytest.approx(fmean(alone), abs=0.05)]


def test_reproduce_goes_on_where_it_was_interrupted(reproduction_in_two_parts):
    _, (status, printed, finished), (status_later, printed_later, records) = reproduction_in_two_parts
    assert status == 130
    assert "keeps the finished runs" in printed
    assert '"kind": "choice"' in finished.decode()
    assert status_later == 0
    assert records.startswith(finished)
    assert "choice: method 7 and 8" not in printed_later


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], (Path("runs/hinton"), False, "float32", None)),
        (["--quick"], (Path("runs/hinton-quick"), True, "float32", None)),
        (["--out=here", "--precision=bfloat16", "--device=cpu"], (Path("here"), False, "bfloat16", "cpu")),
    ],
    ids=str,
)
def test_reproduce_passes_on_what_was_asked(monkeypatch, arguments, expected):
    called = []

    class Section:
        def __init__(self, data, folder, quick, precision, device=None):
            called.append((data, (folder, quick, precision, device)))

        def run(self, parts):
            called.append(parts)
            raise ValueError("that will do")

    monkeypatch.setattr(data, "load", lambda name: name)
    monkeypatch.setattr(reproduction, "Section", Section)
    assert main.main(["reproduce", "hinton", *arguments]) == 1
    assert main.main(["reproduce", "hinton", "--part=alone", "--part=7 and 8", *arguments]) == 1
    assert called == [("mnist", expected), [], ("mnist", expected), ["alone", "7 and 8"]]


# data


@pytest.fixture
def files(miniature, tmp_path, monkeypatch):
    """A network that gives a miniature MNIST, and an empty folder for its files."""
    monkeypatch.setattr(data_files, "_download", miniature.download)
    monkeypatch.setattr(_paths, "PACKAGE", tmp_path / "no course" / "kdtutor")
    monkeypatch.setenv("KDTUTOR_DATA", str(tmp_path / "here"))
    return tmp_path / "here" / "MNIST" / "raw"


def test_data_says_that_mnist_is_absent_and_what_to_do(files, capsys):
    assert main.main(["data"]) == 1
    out, _ = capsys.readouterr()
    assert out.startswith(f"MNIST: not in {files}. Add --fetch")
    assert not files.exists()


def test_data_fetches_mnist_once(files, monkeypatch, capsys):
    complete = f"MNIST: complete, in {files} (each file's SHA-256 was checked)\n"
    assert main.main(["data", "--fetch"]) == 0
    assert capsys.readouterr() == (complete, "")
    monkeypatch.setattr(data_files, "fetch", lambda source, root: pytest.fail("it was fetched again"))
    assert main.main(["data", "--fetch"]) == 0
    assert main.main(["data"]) == 0
    assert capsys.readouterr() == (2 * complete, "")


@pytest.mark.parametrize(
    ("name", "title", "folder"), [("fashion", "FashionMNIST", "FashionMNIST/raw"), ("usps", "USPS", ".")]
)
@pytest.mark.usefixtures("files")
def test_data_looks_for_other_data_sets(tmp_path, capsys, name, title, folder):
    assert main.main(["data", name]) == 1
    assert capsys.readouterr().out.startswith(f"{title}: not in {tmp_path / 'here' / folder}. Add --fetch")


def test_data_names_a_damaged_file(files, capsys):
    main.main(["data", "--fetch"])
    labels = files / "t10k-labels-idx1-ubyte"
    labels.write_bytes(labels.read_bytes()[:-1] + b"\xff")
    assert main.main(["data"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"kdtutor: {labels} is damaged")


@pytest.mark.usefixtures("files")
def test_data_says_why_it_cannot_fetch(tmp_path, monkeypatch, capsys):
    def download(name, root):
        raise RuntimeError("no network")

    monkeypatch.setattr(data_files, "_download", download)
    assert main.main(["data", "--fetch"]) == 1
    here = tmp_path / "here"
    hint = SOURCES["mnist"].by_hand_hint
    expected = f"kdtutor: MNIST isn't in {here} and can't be downloaded there (no network). {hint}\n"
    assert capsys.readouterr() == ("", expected)


# diagnose


LOSSES = """
import torch.nn.functional as F
from beside import T


def right(student, teacher, labels, temperature=T, alpha=0.9, squared=True):
    soft = F.kl_div(F.log_softmax(student / temperature, 1), F.softmax(teacher / temperature, 1), reduction="batchmean")
    return alpha * soft * temperature ** (2 * squared) + (1 - alpha) * F.cross_entropy(student, labels)


def without_square(student, teacher, labels, temperature=T, alpha=0.9):
    return right(student, teacher, labels, temperature, alpha, squared=False)


def hard_first(student, teacher, labels, temperature=T, alpha=0.9):
    return right(student, teacher, labels, temperature, 1 - alpha)


def unknown(student, teacher):
    return (student.sin() * teacher).sum()


number = 3
"""


@pytest.fixture
def losses(tmp_path):
    (tmp_path / "beside.py").write_text("T = 4.0\n", encoding="utf-8")
    (tmp_path / "losses.py").write_text(LOSSES, encoding="utf-8")
    (tmp_path / "broken.py").write_text("import no_such_module\n", encoding="utf-8")
    before = list(sys.path)
    yield tmp_path / "losses.py"
    assert sys.path == before


@pytest.mark.parametrize(
    ("name", "options", "status", "verdict"),
    [
        ("right", (), 0, "No known mistake."),
        ("without_square", (), 1, "Mistakes: t2_missing."),
        ("without_square", ("--meant", "t2_missing"), 0, "No known mistake."),
        ("hard_first", (), 0, "No known mistake."),
        ("hard_first", ("--alpha", "soft"), 1, "Mistakes: alpha_swapped."),
        ("unknown", (), 2, "I can't tell which formula this is: its soft term is none of those that are known."),
    ],
)
def test_diagnose_prints_the_verdict_and_ends_with_its_status(losses, name, options, status, verdict, capsys):
    assert main.main(["diagnose", f"{losses}:{name}", *options]) == status
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == verdict
    assert err == ""


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ("nowhere.py:loss", r"loss must be the name of a loss in a Python file that exists, FILE\.py:NAME, got .*"),
        ("losses.py", r"loss must be the name of a loss in a Python file that exists, FILE\.py:NAME, got .*"),
        ("losses.py:wrong", r"loss must be a name in .*losses\.py, got 'wrong'"),
        ("losses.py:number", "loss_fn must be a function or a module of logits, got int"),
        ("broken.py:loss", r".*broken\.py must run without an error, got ModuleNotFoundError: .*no_such_module.*"),
    ],
)
def test_diagnose_says_in_one_line_what_it_cannot_ask(losses, place, sentence, capsys):
    assert main.main(["diagnose", str(losses.with_name(place))]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(f"kdtutor: {sentence}\n", err)


# assignments and grade: `tests/test_grading.py` has what they do


def test_assignments_and_grade_take_folders(tmp_path, monkeypatch, capsys):
    called = []
    monkeypatch.setattr(assignments, "release", lambda out: called.append(("release", out)) or [out / "a.ipynb"])
    monkeypatch.setattr(marking, "grade", lambda submissions, out: called.append(("grade", submissions, out)))
    assert main.main(["assignments", "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'a.ipynb'}\n"
    assert main.main(["grade", "handed_in", "--out", str(tmp_path)]) == 0
    assert called == [("release", tmp_path), ("grade", Path("handed_in"), tmp_path)]


def test_ctrl_c_while_grading_says_that_feedback_is_kept(tmp_path, monkeypatch, capsys):
    def stop(submissions, out):
        raise KeyboardInterrupt

    monkeypatch.setattr(marking, "grade", stop)
    assert main.main(["grade", "handed_in", "--out", str(tmp_path)]) == 130
    assert capsys.readouterr() == ("", "kdtutor: interrupted; the feedback written so far is kept\n")


def test_grade_without_submissions_says_so(tmp_path, capsys):
    assert main.main(["grade", str(tmp_path / "nobody"), "--out", str(tmp_path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("kdtutor: submissions must be")


# Both ways to call it


def lists_the_commands(text):
    return all(f"\n    {command} " in text for command in ("distill", "teacher", "diagnose", "grade", "data"))


def test_the_module_can_be_run_and_its_help_loads_nothing_heavy_besides_torch():
    command = [sys.executable, "-X", "importtime", "-m", "kdtutor", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=os.environ | {"COLUMNS": "100"})
    assert done.returncode == 0
    assert lists_the_commands(done.stdout)
    loaded = set()
    for line in done.stderr.splitlines():
        assert line.startswith("import time:")
        loaded.add(line.rpartition("|")[2].strip().partition(".")[0])
    assert {"torch", "kdtutor"} <= loaded
    assert not loaded & {"torchvision", "matplotlib", "scipy", "nbformat", "nbclient", "nbgrader", "IPython"}


def test_the_installed_command_is_the_same(capsys):
    (command,) = entry_points(group="console_scripts", name="kdtutor")
    with pytest.raises(SystemExit) as stopped:
        command.load()(["--help"])
    assert stopped.value.code == 0
    assert lists_the_commands(capsys.readouterr().out)
