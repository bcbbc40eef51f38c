"""The reproduction of Hinton et al. 2015, section 3: what is run, on what, chosen by what, and that it can be resumed.

Sections of a few strokes run whole; what is chosen is tested without training, and each run by a training by hand.
"""

import json
import random
from contextlib import redirect_stdout
from io import StringIO

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from kdtutor import Dataset, checkpoints, distill, jitter, mlp, predict, train, training
from kdtutor._closed_form import Objective
from kdtutor.course.hinton import measures, paper, reproduction
from kdtutor.course.hinton.choices import SPLITS, TUNING_SEED
from kdtutor.course.hinton.reproduction import Section
from kdtutor.course.records import Records
from kdtutor.course.teachers import Dropout, load_teacher, wide_teacher
from kdtutor.metrics import errors, nll
from kdtutor.models import Ensemble

SCALE = {  # as small as it goes with two of what is to be told apart
    "seeds": range(2),
    "teachers": range(2),
    "teacher_epochs": 2,
    "epochs": (1, 2),
    "temperatures": (4.0, 20.0),
    "alphas": (0.5, 0.9),
    "rates": ({}, {"lr": 3e-3}),
    "widths": {5: 1},
    "width_temperatures": (4.0,),
    "few_epochs": (2, 3),
    "best_epochs": (1, 2),
    "ensembles": ("2x1200", "2x1200 and cnn"),
}
COMMON = {"precision": "float32", "quick": True}
OPTIONS = {"batch_size": 256, "lr": 1e-3, "device": "cpu", "progress": False}


@pytest.fixture(scope="module")
def digits(drawn):
    """300 images to train, which are two batches: so the order of examples matters."""
    return drawn(300, 60, 100)


@pytest.fixture(scope="module")
def few(digits):
    """3 images of each class to train: whole sections ask their teachers about 25 views of each."""
    labels = digits.train.labels
    places = torch.cat([(labels == digit).nonzero()[:3, 0] for digit in range(10)])
    few = Dataset("strokes", digits.train[places], digits.validation, digits.test)
    assert len(few.train) == 30
    return few


def small(folder, data, kind=Section):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reproduction, "QUICK", SCALE)
        return kind(data, folder, quick=True, precision="float32", device="cpu")


@pytest.fixture(scope="module")
def section(few, tmp_path_factory):
    """One that ran from its beginning to its end; `section.printed` is what it printed."""
    section, printed = small(tmp_path_factory.mktemp("whole"), few), StringIO()
    with redirect_stdout(printed):
        section.run()
    section.printed = printed.getvalue()
    return section


@pytest.fixture(scope="module")
def taught(digits, tmp_path_factory):
    """One with a teacher, and no student yet."""
    section = small(tmp_path_factory.mktemp("taught"), digits)
    section.scale = SCALE | {"teacher_epochs": 10}
    section.records("teacher", section.train_teacher, seed=0, epochs=10, **COMMON)
    return section


def rows(section, kind="", **settings):
    """All rows of a kind with these settings among theirs, in the order in which they were made."""
    return [
        row
        for row in section.records._all()
        if kind in ("", row["kind"]) and settings.items() <= row["settings"].items()
    ]


def options(settings):
    """Those of a training, from the settings of a row."""
    return OPTIONS | {name: settings[name] for name in ("seed", "epochs", "lr") if name in settings}


def measured(network, data):
    """What a row says of this network."""
    result = {}
    for name in SPLITS:
        split = getattr(data, name)
        logits = predict(network, split, device="cpu")
        result[f"{name}_errors"] = errors(logits, split.labels)
        result[f"{name}_nll"] = round(nll(logits, split.labels), 5)
    return result | {"test_wrong": (logits.argmax(-1) != split.labels).nonzero().flatten().tolist()}


# Dropout


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("p", [0.1, 0.4, 0.75])
def test_dropout_drops_its_fraction_and_keeps_the_mean_and_the_dtype(p, dtype):
    torch.manual_seed(0)
    dropped = Dropout(p)(torch.ones(1_000, 200, dtype=dtype))
    count, gone = dropped.numel(), int((dropped == 0).sum())
    assert dropped.dtype == dtype
    assert abs(gone - p * count) < 4 * (p * (1 - p) * count) ** 0.5
    (scale,) = dropped[dropped != 0].unique()
    assert float(scale) == pytest.approx(1 / (1 - p), rel=2 * torch.finfo(dtype).eps)
    assert float(dropped.double().mean()) == pytest.approx(1, rel=4 * (p / (1 - p) / count) ** 0.5 + 2**-8)


def test_dropout_drops_each_value_for_itself_and_anew_each_time():
    torch.manual_seed(0)
    layer = Dropout(0.5)
    masks = [layer(torch.ones(50, 40)) != 0 for _ in range(2)]
    assert 0.4 < (masks[0] == masks[1]).double().mean() < 0.6
    for axis in (0, 1):
        shares = masks[0].double().mean(axis)
        assert shares.unique().numel() > 3
        assert 0 < shares.min() < shares.max() < 1


@pytest.mark.parametrize("p", [0.0, 0.1, 0.4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_dropout_is_the_identity_in_eval_mode_and_draws_nothing(p, dtype):
    inputs, before = torch.randn(20, 30).to(dtype), torch.get_rng_state()
    assert torch.equal(Dropout(p).eval()(inputs), inputs)
    assert torch.equal(torch.get_rng_state(), before)


def test_dropout_of_nothing_drops_nothing():
    inputs = torch.randn(20, 30)
    assert torch.equal(Dropout(0.0)(inputs), inputs)


def test_dropout_of_all_leaves_nothing():
    assert torch.equal(Dropout(1.0)(torch.ones(3)), torch.zeros(3))


def test_what_is_dropped_gets_no_gradient_and_the_input_stays():
    inputs = torch.full((30, 30), 3.0, requires_grad=True)
    dropped = Dropout(0.4)(inputs)
    dropped.sum().backward()
    assert torch.equal(inputs.grad * 3, dropped)
    assert torch.equal(inputs.detach(), torch.full((30, 30), 3.0))


def test_the_teacher_is_an_mlp_with_dropout_on_pixels_and_hidden_units(digits):
    teacher, plain = wide_teacher(seed=3), mlp(784, 1200, 1200, 10, seed=3)
    assert [(type(layer), getattr(layer, "p", None)) for layer in teacher] == [
        (nn.Flatten, None),
        (Dropout, 0.1),
        (nn.Linear, None),
        (nn.ReLU, None),
        (Dropout, 0.4),
        (nn.Linear, None),
        (nn.ReLU, None),
        (Dropout, 0.4),
        (nn.Linear, None),
    ]
    assert torch.equal(predict(teacher, digits.test, device="cpu"), predict(plain, digits.test, device="cpu"))
    inputs = digits.test.inputs / 255
    assert not torch.allclose(teacher(inputs), plain(inputs), atol=1e-2)


# What is run


class Planned(Section):
    """Trains nothing: metrics are drawn by lot, and each file of weights says by which settings it was made."""

    lot = 0

    def train_teacher(self, **settings):
        self._path("teacher", settings["seed"]).write_text(f"teacher {settings}")
        return self._drawn("teacher", settings)

    def train_student(self, **settings):
        return self._drawn("student", settings)

    def train_missing(self, **settings):
        corrected = {chosen_on: self._drawn(f"corrected {chosen_on}", settings) for chosen_on in SPLITS}
        return self._drawn("missing", settings) | {"corrected": corrected}

    def train_width(self, **settings):
        return self._drawn("width", settings)

    def train_best(self, **settings):
        self._path("best", settings["seed"]).write_text(f"best {settings}")
        return self._drawn("best", settings)

    def _drawn(self, *of):
        draw = random.Random(f"{self.lot} {of}")
        return {f"{name}_{metric}": draw.random() for name in SPLITS for metric in ("errors", "nll")}


def expected(section):
    """All runs that there must be, each (name, settings), by the metrics of those that there are."""
    runs = [("teacher", {"seed": seed, "epochs": SCALE["teacher_epochs"]}) for seed in SCALE["teachers"]]

    def best(run, tried, name, chosen_on=None):
        """The settings with the lowest metric of this name."""
        runs.extend((run, settings) for settings in tried)

        def metric(settings):
            (row,) = [row for row in rows(section, run) if row["settings"] == COMMON | settings]
            return (row["corrected"][chosen_on] if chosen_on else row)[name]

        return min(tried, key=metric)

    def seeds(run, settings):
        runs.extend((run, settings | {"seed": seed}) for seed in SCALE["seeds"])

    short, long = SCALE["epochs"]
    alone = {"seed": TUNING_SEED, "epochs": short}
    soft = [alone | {"temperature": temperature} for temperature in SCALE["temperatures"]]
    for name in ("validation_errors", "test_errors"):
        softest = best("student", soft, name)
        tried = [softest | {"alpha": alpha} for alpha in SCALE["alphas"]]
        tried += [kind | rate for kind in (alone, alone | {"temperature": 20.0}, softest) for rate in SCALE["rates"]]
        runs.extend(("student", settings) for settings in tried)
    choosers = [
        dict(settings) for run, settings in made(section) if run == "student" and ("seed", TUNING_SEED) in settings
    ]
    longer = [settings for settings in choosers if settings["epochs"] == long]
    assert all(("student", settings | {"epochs": short}) in runs for settings in longer)
    runs.extend(("student", settings) for settings in longer)
    distilled = [settings for settings in choosers if "temperature" in settings]
    at_20 = [settings for settings in distilled if settings["temperature"] == 20 and "alpha" not in settings]
    for kind in ([settings for settings in choosers if settings not in distilled], at_20, distilled):
        assert any(settings in longer for settings in kind)
        for name in ("validation_errors", "test_errors"):
            seeds("student", best("student", kind, name))
    rate = {name: value for name, value in best("student", at_20, "validation_errors").items() if name == "lr"}
    for transfer, lengths in {"without 3": SCALE["epochs"], "7 and 8": SCALE["few_epochs"]}.items():
        some = {"seed": TUNING_SEED, "transfer": transfer, "epochs": lengths[0]} | rate
        soft = [some | {"temperature": temperature} for temperature in SCALE["temperatures"]]
        softest = best("missing", soft, "validation_errors", "validation")
        lengthened = [softest | {"epochs": epochs} for epochs in lengths]
        seeds("missing", best("missing", lengthened, "validation_errors", "validation"))
    for width, epochs in SCALE["widths"].items():
        for temperature in (None, *SCALE["width_temperatures"]):
            runs.append(("width", {"width": width, "temperature": temperature, "epochs": epochs}))
    short, long = SCALE["best_epochs"]
    ensembles = [{"seed": TUNING_SEED, "teachers": name, "epochs": short} for name in ("2x1200", "2x1200 and cnn")]
    tried = [one | {"temperature": temperature} | rate for one in ensembles for temperature in (4.0, 20.0)]
    seeds("best", best("best", tried, "validation_nll") | {"epochs": long})
    return runs


def plain(run, settings):
    return run, tuple(sorted(settings.items()))


def made(section):
    return [plain(row["kind"], {k: v for k, v in row["settings"].items() if k not in COMMON}) for row in rows(section)]


def planned(folder, lot):
    planned = small(folder, None, Planned)
    planned.lot = lot
    planned.run()
    return planned


@pytest.mark.parametrize("lot", range(8))
def test_what_is_chosen_is_chosen_by_the_choosers_alone_on_validation_and_on_test_images(tmp_path, lot):
    section = planned(tmp_path, lot)
    assert sorted(made(section), key=str) == sorted({plain(*run) for run in expected(section)}, key=str)
    assert all(row["settings"].items() >= COMMON.items() for row in rows(section))
    for kind, name in {"teacher": "teacher", "best": "student"}.items():
        finals = [row for row in rows(section, kind) if row["settings"]["seed"] != TUNING_SEED]
        best = min(finals, key=lambda row: row["validation_errors"])
        assert (tmp_path / f"{name}.safetensors").read_text() == f"{kind} {best['settings']}"


def test_no_lot_makes_a_second_run_choose_anew(tmp_path):
    for lot in range(25):
        folder = tmp_path / str(lot)
        folder.mkdir()
        assert made(planned(folder, lot)) == made(planned(folder, lot))


def test_the_reproduction_finds_each_row_that_ships_and_makes_none_anew(tmp_path, monkeypatch, capsys):
    """By its kind and settings: hours of training must not begin again because something was renamed."""
    shipped = paper.records().path
    records = tmp_path / shipped.name
    records.write_bytes(shipped.read_bytes())
    weights = {"teacher.safetensors": b"the best teacher", "student.safetensors": b"the best student"}
    for name, content in weights.items():  # the others don't ship
        (tmp_path / name).write_bytes(content)
    asked = []

    class Watched(Records):
        def find(self, kind, /, **settings):
            row = super().find(kind, **settings)
            asked.append(row)
            return row

        def add(self, kind, make, /, **settings):
            raise AssertionError(f"{kind} {settings} isn't found again")

    monkeypatch.setattr(reproduction, "Records", Watched)
    Section(None, tmp_path, quick=False, precision="bfloat16").run()
    assert records.read_bytes() == shipped.read_bytes()
    rows = [json.loads(line) for line in records.read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 99
    assert [row for row in rows if row not in asked] == []
    assert {name: (tmp_path / name).read_bytes() for name in weights} == weights
    assert capsys.readouterr().out == ""


def test_weights_that_are_nowhere_are_an_error(tmp_path):
    (tmp_path / "runs.jsonl").write_bytes(paper.records().path.read_bytes())
    with pytest.raises(FileNotFoundError, match=r"teacher-\d\.safetensors"):
        Section(None, tmp_path, quick=False, precision="bfloat16").run()


@pytest.mark.parametrize("scale", [reproduction.QUICK, reproduction.FULL], ids=["quick", "full"])
def test_no_scale_gives_its_seeds_to_the_chooser(scale):
    assert TUNING_SEED not in {*scale["seeds"], *scale["teachers"]}
    assert {*scale} == {*SCALE}


# One that ran


def test_a_section_runs_whole_and_says_each_run_in_a_line(section):
    assert sorted(made(section), key=str) == sorted({plain(*run) for run in expected(section)}, key=str)
    lines = section.printed.splitlines()
    assert [line.split(":")[0] for line in lines] == [row["kind"] for row in rows(section)]
    assert lines[0].startswith(f"teacher: seed 0, epochs 2: {rows(section)[0]['test_errors']} test errors, ")


def test_a_second_run_makes_nothing_anew(section, few, monkeypatch, capsys):
    def never(*args, **options):
        raise AssertionError("something was trained or asked")

    for name in ("train", "distill", "sweep", "predict", "Views"):
        monkeypatch.setattr(reproduction, name, never)
    monkeypatch.setattr(measures, "predict", never)
    before = {path: path.read_bytes() for path in section.folder.iterdir()}
    small(section.folder, few).run()
    assert {path: path.read_bytes() for path in section.folder.iterdir()} == before
    assert capsys.readouterr().out == ""


def timeless(section):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows(section)]


def test_one_that_is_interrupted_again_and_again_comes_to_the_same_rows_and_weights(section, few, tmp_path):
    """In a teacher, a student, students of another width, and a best student; each time another process goes on."""

    def interrupted(function, calls):
        def call(*args, **options):
            nonlocal calls
            calls -= 1
            if not calls:
                raise KeyboardInterrupt
            return function(*args, **options)

        return call

    finished = [0]
    for module, name, calls, unfinished in (
        (training, "cross_entropy", 3, "teacher"),
        (training, "distillation_loss", 6, "student"),
        (Objective, "losses", 2, "width"),
        (training, "distillation_loss", 6, "best"),
    ):
        again = small(tmp_path, few)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, name, interrupted(getattr(module, name), calls))
            with pytest.raises(KeyboardInterrupt):
                again.run()
        finished.append(len(again.records))
        assert finished[-2] < finished[-1] < len(section.records)
        assert timeless(again) == timeless(section)[: finished[-1]]
        assert rows(section)[finished[-1]]["kind"] == unfinished
    kept = rows(again)
    again = small(tmp_path, few)
    again.run()
    assert rows(again)[: len(kept)] == kept
    assert timeless(again) == timeless(section)
    weights = [{path.name: path.read_bytes() for path in s.folder.glob("*.safetensors")} for s in (section, again)]
    assert weights[0] == weights[1]


# Each run against a training by hand


def test_a_teacher_is_trained_on_jittered_images_and_stored_as_it_was_measured(section, few):
    for row in rows(section, "teacher"):
        teacher = wide_teacher(row["settings"]["seed"])
        train(teacher, few.train, augment=jitter, optimizer=reproduction.ADAMW, **options(row["settings"]))
        stored = load_file(section.folder / f"teacher-{row['settings']['seed']}.safetensors")
        torch.testing.assert_close({name: weight.half() for name, weight in teacher.state_dict().items()}, stored)
        assert row == row | measured(teacher.half().float(), few)


@pytest.mark.parametrize("soft", [{}, {"temperature": 2.0}, {"temperature": 20.0, "alpha": 0.5, "lr": 3e-3}], ids=str)
@pytest.mark.parametrize("seed", [0, 3])
def test_students_of_one_seed_are_paired(taught, digits, soft, seed):
    """Alone or distilled: the same initial weights, the same order of examples, images that aren't shifted."""
    student, settings = mlp(784, 800, 800, 10, seed=seed), soft | {"seed": seed, "epochs": 2}
    if soft:
        mixed = {"temperature": soft["temperature"], "alpha": soft.get("alpha", 1.0)}
        distill(student, taught.teacher_logits, digits.train, **mixed, **options(settings))
    else:
        train(student, digits.train, **options(settings))
    row = taught.train_student(**settings, **COMMON)
    assert row == row | measured(student, digits)


def test_a_student_may_be_trained_in_bfloat16(taught, digits):
    settings = {"seed": 1, "epochs": 1}
    narrow, wide = (taught.train_student(**settings, precision=precision) for precision in ("bfloat16", "float32"))
    student = mlp(784, 800, 800, 10, seed=1)
    train(student, digits.train, precision=torch.bfloat16, **options(settings))
    assert narrow == narrow | measured(student, digits)
    assert narrow["test_nll"] != wide["test_nll"]


def recorded(section, seed, errors, **common):
    """A teacher that somebody trained and recorded; its logits on the training images."""

    def teacher(**settings):
        return {"validation_errors": errors}

    network = wide_teacher(seed).half().float()
    section.records("teacher", teacher, **common, seed=seed, epochs=section.scale["teacher_epochs"])
    checkpoints.save(network, section.folder / f"teacher-{seed}.safetensors", half=True)
    return predict(network, section.data.train, device="cpu")


def test_the_logits_are_those_of_the_teacher_with_the_fewest_validation_errors(tmp_path, digits):
    section = small(tmp_path, digits)
    logits = [recorded(section, seed, errors, **COMMON) for seed, errors in ((0, 70.0), (1, 60.0), (2, 65.0))]
    assert torch.equal(section.teacher_logits, logits[1])


def test_quick_and_full_teachers_in_one_folder_are_kept_apart(tmp_path, digits):
    recorded(small(tmp_path, digits), 0, 60.0, **COMMON)
    full = Section(digits, tmp_path, quick=False, precision="float32", device="cpu")
    assert torch.equal(recorded(full, 1, 70.0, precision="float32"), full.teacher_logits)


@pytest.mark.parametrize(
    ("transfer", "seen", "moved", "sign", "epochs"),
    [("without 3", [0, 1, 2, 4, 5, 6, 7, 8, 9], [3], 1, 10), ("7 and 8", [7, 8], [7, 8], -1, 20)],
)
def test_a_student_sees_its_transfer_set_alone_and_each_bias_is_chosen_on_its_split(
    taught, digits, transfer, seen, moved, sign, epochs
):
    row = taught.train_missing(transfer=transfer, temperature=4.0, seed=2, epochs=epochs, **COMMON)
    places = [place for place, label in enumerate(digits.train.labels.tolist()) if label in seen]
    student, data = mlp(784, 800, 800, 10, seed=2), digits.train[places]
    assert data.labels.unique().tolist() == seen
    fitting = options({"seed": 2, "epochs": epochs})
    distill(student, taught.teacher_logits[places], data, temperature=4.0, alpha=1.0, **fitting)
    logits = {name: predict(student, getattr(digits, name), device="cpu") for name in SPLITS}

    def with_bias(bias):
        result = {}
        for name in SPLITS:
            labels, moved_logits = getattr(digits, name).labels, logits[name].clone()
            moved_logits[:, moved] += bias
            result[f"{name}_errors"] = errors(moved_logits, labels)
        return result | {"test_wrong_threes": int((moved_logits[labels == 3].argmax(-1) != 3).sum())}

    by_bias = {bias.item(): with_bias(bias) for bias in sign * torch.arange(0, 20, 0.1)}
    assert row == row | with_bias(0.0)
    for chosen_on in SPLITS:
        fewest = min(found[f"{chosen_on}_errors"] for found in by_bias.values())
        best = sorted(bias for bias, found in by_bias.items() if found[f"{chosen_on}_errors"] == fewest)
        bias = best[(len(best) - 1) // 2]
        assert row["corrected"][chosen_on] == {"bias": round(bias, 1)} | by_bias[bias]
        assert fewest < row[f"{chosen_on}_errors"]


@pytest.mark.parametrize("temperature", [None, 4.0])
def test_students_of_a_width_are_one_per_seed_in_the_order_of_the_seeds(taught, digits, temperature):
    row = taught.train_width(width=20, temperature=temperature, epochs=5, **COMMON)
    soft = {"temperature": 1.0, "alpha": 0.0} if temperature is None else {"temperature": temperature, "alpha": 1.0}
    for seed in SCALE["seeds"]:
        student = mlp(784, 20, 20, 10, seed=seed)
        fitting = options({"seed": seed, "epochs": 5}) | {"batch_size": 128}
        distill(student, taught.teacher_logits, digits.train, **soft, **fitting)
        for name in SPLITS:
            split = getattr(digits, name)
            found = errors(predict(student, split, device="cpu"), split.labels)
            # equal up to rounding, which may move an image or two
            assert row[f"{name}_errors"][seed] == pytest.approx(found, abs=2.5 * 10_000 / len(split))
    assert len(row["test_errors"]) == len(row["validation_errors"]) == len(SCALE["seeds"])


def test_the_best_student_answers_as_its_teachers_do_on_average_on_the_jittered_views_that_it_sees(section, few):
    teachers = [wide_teacher(seed) for seed in SCALE["teachers"]]
    for seed, teacher in enumerate(teachers):
        checkpoints.load(teacher, section.folder / f"teacher-{seed}.safetensors")
    ensembles = {"2x1200": Ensemble(*teachers), "2x1200 and cnn": Ensemble(*teachers, load_teacher("mnist")[0])}
    found = []
    for row in rows(section, "best"):
        settings = row["settings"]
        student, fitting = mlp(784, 800, 800, 10, seed=settings["seed"]), options(settings)
        soft = {
            "temperature": settings["temperature"],
            "alpha": 1.0,
            "augment": jitter,
            "optimizer": reproduction.ADAMW,
        }
        distill(student, ensembles[settings["teachers"]], few.train, **soft, **fitting)
        for name in SPLITS:
            split = getattr(few, name)
            found.append((row[f"{name}_nll"], nll(predict(student, split, device="cpu"), split.labels)))
    ours, by_hand = torch.tensor(found).T
    torch.testing.assert_close(ours, by_hand, rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", ["teacher", "best"])
def test_what_is_stored_gives_the_recorded_metrics(section, few, kind):
    network = wide_teacher() if kind == "teacher" else mlp(784, 800, 800, 10)
    finals = [row for row in rows(section, kind) if row["settings"]["seed"] != TUNING_SEED]
    for row in finals:
        record = checkpoints.load(network, section.folder / f"{kind}-{row['settings']['seed']}.safetensors")
        assert record.items() <= row["settings"].items()
        assert row == row | measured(network, few)
    checkpoints.load(network, section.folder / f"{'teacher' if kind == 'teacher' else 'student'}.safetensors")
    best = min(finals, key=lambda row: row["validation_errors"])
    assert best == best | measured(network, few)


@pytest.mark.parametrize("kind", ["teacher", "best"])
def test_what_is_measured_is_what_is_stored(section, kind, monkeypatch):
    """To the last bit: a difference might be too small for the metrics."""
    weights_when_measured = []
    path = section.folder / f"{kind}-9.safetensors"

    def watched(model, split, device):
        weights_when_measured.append({name: weight.clone() for name, weight in model.state_dict().items()})
        return predict(model, split, device=device)

    monkeypatch.setattr(measures, "predict", watched)
    options = {"teachers": "2x1200", "temperature": 2.0} if kind == "best" else {}
    getattr(section, f"train_{kind}")(seed=9, epochs=1, **options, **COMMON)
    stored = {name: weight.float() for name, weight in load_file(path).items()}
    path.unlink()  # the section is other tests', too
    assert len(weights_when_measured) == 2
    for weights in weights_when_measured:
        torch.testing.assert_close(weights, stored, rtol=0, atol=0)
