"""The reproduction of Hinton et al. 2015, section 3: what is run, on what, chosen by what, and that it can be resumed.

Sections of a few strokes run whole; what is chosen is tested without training, and each run by a training by hand.
"""

import random
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from statistics import fmean

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from kdtutor import Dataset, Split, checkpoints, distill, jitter, mlp, predict, train, training
from kdtutor.course.evidence.protocol import Choice
from kdtutor.course.hinton import choices, measures, paper, reproduction, students
from kdtutor.course.hinton.choices import FULL, QUICK, Method, Scale
from kdtutor.course.hinton.measures import SPLITS
from kdtutor.course.hinton.reproduction import Section
from kdtutor.course.hinton.students import transfer_set
from kdtutor.course.records import Records
from kdtutor.course.teachers import Dropout, load_teacher, wide_teacher
from kdtutor.metrics import errors, nll
from kdtutor.models import Ensemble

RATES = {"lr": (1e-3, 3e-3, 1e-2)}
SOFT = {"alpha": (0.5, 1.0), "temperature": (4.0, 20.0), **RATES}
NO_3 = (0, 1, 2, 4, 5, 6, 7, 8, 9)
SCALE = Scale(  # as small as it goes with two of what is to be told apart
    choosers=(100, 101),
    seeds=range(2),
    teachers=range(2),
    teacher_epochs=2,
    widen=True,
    methods={
        "7 and 8": Method(
            SOFT, (1, 2), 3, images=("train", "all"), batch_size=20, classes=(7, 8), moved=(7, 8), sign=-1
        ),
        "without 3": Method(SOFT, (2, 1), 2, images=("train", "all"), classes=NO_3, moved=(3,)),
        "alone": Method(RATES, (1, 2), 2),
        "5 units, distilled": Method(SOFT, (1,), 1, units=5),
        "best": Method({"temperature": (4.0,), "alpha": (1.0,), **RATES}, (1, 2), 2, images=("train",), jittered=True),
    },
)
COMMON = {"quick": True}
BLANK = Split(torch.zeros(1, 1, 28, 28, dtype=torch.uint8), torch.zeros(1, dtype=torch.int64))
NO_DATA = Dataset("blank", BLANK, BLANK, BLANK)
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
    section.scale = replace(SCALE, teachers=range(1), teacher_epochs=10)
    section.run(["teachers"])
    return section


def rows(section, kind="", **settings):
    """All rows of a kind with these settings among theirs, in the order in which they were made."""
    return [
        row
        for row in section.records._all()
        if kind in ("", row["kind"]) and settings.items() <= row["settings"].items()
    ]


def options(seed, settings):
    """Those of a training, from settings that have a length and perhaps a learning rate."""
    return OPTIONS | {"seed": seed} | {name: settings[name] for name in ("epochs", "lr") if name in settings}


def measured(network, data, splits=SPLITS):
    """What a row says of this network."""
    result = {}
    for name in splits:
        split = getattr(data, name)
        logits = predict(network, split, device="cpu")
        wrong = logits.argmax(-1) != split.labels
        result[f"{name}_errors"] = errors(logits, split.labels)
        result[f"{name}_nll"] = round(nll(logits, split.labels), 5)
    return result | {
        "test_wrong": wrong.nonzero().flatten().tolist(),
        "test_wrong_threes": int(wrong[split.labels == 3].sum()),
    }


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


# What is run, and what chooses


class Planned(Section):
    """Trains nothing: metrics are drawn by lot, and each file of weights says by which settings it was made."""

    lot = 0

    def train_teacher(self, **settings):
        self._path("teacher", settings["seed"]).write_text(f"teacher {settings['seed']}")
        return self._drawn("teacher", settings)

    def train_chooser(self, **settings):
        return {"validation_errors": self._drawn("choice", settings)["validation_errors"]}

    def train_result(self, choice, **settings):
        self._path(settings["method"], settings["seed"]).write_text(f"{settings['method']} {settings['seed']}")
        return {"chosen": choice.settings, "at_limit": choice.at_limit} | self._drawn("result", settings)

    def _drawn(self, *of):
        draw = random.Random(f"{self.lot} {of}")
        return {f"{name}_{metric}": draw.random() for name in SPLITS for metric in ("errors", "nll")}


def planned(folder, lot, *parts):
    folder.mkdir(exist_ok=True)
    planned = small(folder, NO_DATA, Planned)
    planned.lot = lot
    planned.run(parts)
    return planned


def made(section):
    return [(row["kind"], row["settings"]) for row in rows(section)]


def by_candidate(section, method):
    """Validation errors of the choosing students, by what they tried."""
    errors_by_seed = {}
    for row in rows(section, "choice", method=method):
        settings = {name: value for name, value in row["settings"].items() if name not in ("method", "seed", "quick")}
        errors_by_seed.setdefault(tuple(settings.items()), {})[row["settings"]["seed"]] = row["validation_errors"]
    return errors_by_seed


@pytest.mark.parametrize("lot", range(8))
@pytest.mark.parametrize("method", SCALE.methods)
def test_several_choosers_choose_and_no_seed_of_the_results_is_among_them(tmp_path, lot, method):
    section, plan = planned(tmp_path, lot, method), SCALE.methods[method]
    results = rows(section, "result")
    expected = [(method, images, seed) for images in plan.images for seed in SCALE.seeds]
    assert [tuple(row["settings"][name] for name in ("method", "images", "seed")) for row in results] == expected
    (chosen,) = {tuple(row["chosen"].items()) for row in results}

    tried = by_candidate(section, method)
    assert all(tuple(errors_by_seed) == SCALE.choosers for errors_by_seed in tried.values())
    assert not {*SCALE.choosers} & {row["settings"]["seed"] for row in results}
    means = {settings: fmean(errors_by_seed.values()) for settings, errors_by_seed in tried.items()}
    chosen = dict(chosen)
    for axis in chosen:  # nothing that differs from what was chosen in one axis is better
        for settings, mean in means.items():
            others = {name: value for name, value in settings if name not in (axis, "epochs")}
            of_its_length = axis == "epochs" or dict(settings)["epochs"] == plan.epochs[0]
            if of_its_length and others == {name: chosen[name] for name in others}:
                same_length = {**chosen, "epochs": dict(settings)["epochs"]}
                best = chosen if axis == "epochs" else same_length
                assert means[tuple(best.items())] <= mean


@pytest.mark.parametrize("lot", range(8))
def test_an_axis_grows_until_the_choice_is_inside_or_at_its_limit(tmp_path, lot):
    section = planned(tmp_path, lot, "7 and 8")
    chosen, at_limit = (rows(section, "result")[0][name] for name in ("chosen", "at_limit"))
    tried = [dict(settings) for settings in by_candidate(section, "7 and 8")]
    for axis, value in chosen.items():
        values = {settings[axis] for settings in tried}
        inside = min(values) < value < max(values)
        assert inside == (axis not in at_limit)
        assert inside or value in {**choices.LIMITS, "epochs": (1, 3)}[axis]


def test_the_length_is_chosen_after_the_other_axes_and_no_longer_than_the_method_says(tmp_path):
    for lot in range(8):
        section = planned(tmp_path / str(lot), lot, "7 and 8")
        lengths = [dict(settings)["epochs"] for settings in by_candidate(section, "7 and 8")]
        assert lengths == sorted(lengths)
        assert {1, 2} <= {*lengths} <= {1, 2, 3}


def test_a_second_run_chooses_nothing_anew(tmp_path):
    for lot in range(5):
        folder = tmp_path / str(lot)
        assert made(planned(folder, lot)) == made(planned(folder, lot))


def test_results_of_what_is_not_chosen_any_more_are_refused(tmp_path):
    section = planned(tmp_path, 0, "alone")
    chosen = rows(section, "result")[0]["chosen"]
    section.choose_for = lambda name: Choice({**chosen, "lr": 0.5}, {})
    with pytest.raises(ValueError, match=r"results of 'alone' must be of what is chosen now, .*0\.5.*, got .*remove"):
        section.run(["alone"])


def test_parts_are_run_alone_after_the_teachers(tmp_path):
    section = planned(tmp_path, 0, "alone")
    assert {row["settings"].get("method", row["kind"]) for row in rows(section)} == {"teacher", "alone"}
    before = len(section.records)
    planned(tmp_path, 0, "teachers")
    assert len(section.records) == before
    section = planned(tmp_path, 0)
    assert {row["settings"].get("method", row["kind"]) for row in rows(section)} == {"teacher", *SCALE.methods}


def test_an_unknown_part_is_refused_before_anything_is_trained(tmp_path):
    section = small(tmp_path, NO_DATA)
    known = "'teachers', '7 and 8', 'without 3', 'alone', '5 units, distilled', 'best'"
    with pytest.raises(ValueError, match=f"parts must be among {known}, got '9 alone', 'cat'"):
        section.run(["alone", "9 alone", "cat"])
    assert not len(section.records)


def test_the_weights_of_the_best_teacher_and_student_are_copied(tmp_path):
    section = planned(tmp_path, 3)
    for kind, name, own in (("teacher", "teacher", {}), ("result", "student", {"method": "best"})):
        best = min(rows(section, kind, **own), key=lambda row: row["validation_errors"])
        expected = f"{own.get('method', kind)} {best['settings']['seed']}"
        assert (tmp_path / f"{name}.safetensors").read_text() == expected


@pytest.mark.parametrize("scale", [QUICK, FULL], ids=["quick", "full"])
def test_no_scale_gives_its_seeds_to_the_choosers(scale):
    assert not {*scale.choosers} & {*scale.seeds, *scale.teachers}


def test_in_full_at_least_three_choose_and_each_has_three_learning_rates():
    assert len(FULL.choosers) >= 3
    assert FULL.widen
    for method in FULL.methods.values():
        assert len(method.grid["lr"]) >= 3
        assert max(method.epochs) <= method.longest
        assert {*method.grid} == {"lr"} or {*method.grid} == {"lr", "alpha", "temperature"}


def test_the_reproduction_finds_the_rows_that_ship_and_makes_none_of_them_anew(tmp_path, monkeypatch, capsys):
    """By their kind and settings: hours of training must not begin again because something was renamed."""
    shipped = paper.records()
    (tmp_path / shipped.path.name).write_bytes(shipped.path.read_bytes())
    (tmp_path / "teacher.safetensors").write_bytes(b"the best teacher")  # the others don't ship
    asked = []

    class Watched(Records):
        def find(self, kind, /, **settings):
            row = super().find(kind, **settings)
            asked.append(row)
            return row

        def add(self, kind, make, /, **settings):
            raise AssertionError(f"{kind} {settings} isn't found again")

    monkeypatch.setattr(reproduction, "Records", Watched)
    section = Section(NO_DATA, tmp_path, quick=False, precision="float32")
    section.run(["teachers"])
    for method in {row["settings"]["method"] for row in shipped.rows("choice")}:
        choice = section.choose_for(method)
        for row in shipped.rows("result", method=method):
            assert row["chosen"] == choice.settings
            settings = {name: row["settings"][name] for name in ("method", "images", "seed")}
            assert section._row("result", None, **settings) == row
    for row in shipped.rows("choice") + shipped.rows("result"):
        assert row in asked
    assert (tmp_path / "teacher.safetensors").read_bytes() == b"the best teacher"
    assert capsys.readouterr().out == ""


def test_weights_that_are_nowhere_are_an_error(tmp_path):
    (tmp_path / "runs.jsonl").write_bytes(paper.records().path.read_bytes())
    with pytest.raises(FileNotFoundError, match=r"teacher-\d\.safetensors"):
        Section(NO_DATA, tmp_path, quick=False, precision="float32").run(["best"])


def test_a_quick_section_learns_from_some_of_the_images(tmp_path, digits, monkeypatch):
    monkeypatch.setattr(reproduction, "QUICK_IMAGES", 200)
    quick, full = (Section(digits, tmp_path, quick, "float32") for quick in (True, False))
    assert torch.equal(quick.data.train.inputs, digits.train.inputs[:200])
    assert (quick.data.validation, quick.data.test) == (digits.validation, digits.test)
    assert full.data is digits


# One that ran


def test_a_section_runs_whole_and_says_each_run_in_a_line(section):
    lines = section.printed.splitlines()
    assert [line.split(":")[0] for line in lines] == [row["kind"] for row in rows(section)]
    first, last = rows(section)[0], rows(section)[-1]
    assert lines[0].startswith(f"teacher: seed 0, epochs 2: {first['test_errors']} test errors, ")
    assert lines[-1].startswith(f"result: method best, images train, seed 1: {last['test_errors']} test errors, ")
    choice = rows(section, "choice", method="alone")[0]
    settings = f"method alone, lr {choice['settings']['lr']}, epochs 1, seed 100"
    expected = f"choice: {settings}: {choice['validation_errors']} validation errors, "
    assert lines[rows(section).index(choice)].startswith(expected)


def test_a_second_run_makes_nothing_anew(section, few, monkeypatch, capsys):
    def never(*args, **options):
        raise AssertionError("something was trained or asked")

    for module, names in {
        reproduction: ("train", "distill", "predict", "Views"),
        students: ("train", "distill"),
        measures: ("predict",),
    }.items():
        for name in names:
            monkeypatch.setattr(module, name, never)
    before = {path: path.read_bytes() for path in section.folder.iterdir()}
    small(section.folder, few).run()
    assert {path: path.read_bytes() for path in section.folder.iterdir()} == before
    assert capsys.readouterr().out == ""


def timeless(section):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows(section)]


def test_one_that_is_interrupted_again_and_again_comes_to_the_same_rows_and_weights(section, few, tmp_path):
    """In the middle of a teacher, of students that choose and of results; each time another process goes on."""

    def interrupt_after(calls):
        """In the loss of a batch."""

        def call(*args, **options):
            nonlocal calls
            calls -= 1
            if not calls:
                raise KeyboardInterrupt
            return cross_entropy(*args, **options) if len(args) == 2 else distillation_loss(*args, **options)

        return call

    cross_entropy, distillation_loss = training.cross_entropy, training.distillation_loss
    finished, unfinished = [0], set()
    for calls in (3, 4, 9, 14, 12, 23, 31, 11):
        again = small(tmp_path, few)
        with pytest.MonkeyPatch.context() as patch:
            loss = interrupt_after(calls)
            patch.setattr(training, "cross_entropy", loss)
            patch.setattr(training, "distillation_loss", loss)
            with pytest.raises(KeyboardInterrupt):
                again.run()
        finished.append(len(again.records))
        assert finished[-2] < finished[-1] < len(section.records)
        assert timeless(again) == timeless(section)[: finished[-1]]
        unfinished.add(rows(section)[finished[-1]]["kind"])
    assert unfinished == {"teacher", "choice", "result"}
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
        seed = row["settings"]["seed"]
        teacher = wide_teacher(seed)
        train(teacher, few.train, augment=jitter, optimizer=reproduction.ADAMW, **options(seed, row["settings"]))
        stored = load_file(section.folder / f"teacher-{seed}.safetensors")
        torch.testing.assert_close({name: weight.half() for name, weight in teacher.state_dict().items()}, stored)
        assert row == row | measured(teacher.half().float(), few)


def test_teachers_and_best_students_may_be_trained_in_bfloat16(section, few, tmp_path):
    for row in (rows(section, "teacher")[0], rows(section, "result", method="best")[0]):
        narrow = small(tmp_path, few)
        narrow.precision, narrow.folder = "bfloat16", section.folder
        narrow._path = lambda kind, seed: tmp_path / f"{kind}-{seed}.safetensors"
        seed = row["settings"]["seed"]
        if row["kind"] == "teacher":
            found = narrow.train_teacher(seed=seed, epochs=row["settings"]["epochs"])
        else:
            narrow.views = section.views
            found = narrow._stored("best", narrow._student("best", row["chosen"], seed, "train"), seed)
        assert (row["precision"], found["precision"]) == ("float32", "bfloat16")
        assert found["test_nll"] == pytest.approx(row["test_nll"], rel=0.2)
        assert found["test_nll"] != row["test_nll"]


@pytest.mark.parametrize("soft", [{}, {"temperature": 2.0, "alpha": 1.0}, {"temperature": 20.0, "alpha": 0.5}], ids=str)
@pytest.mark.parametrize("seed", [0, 3])
@pytest.mark.parametrize("images", ["train", "all"])
def test_students_of_one_seed_are_paired(taught, digits, soft, seed, images):
    """Alone or distilled: the same initial weights, the same order of examples, images that aren't shifted; of "all"
    images the validation images come last."""
    settings = {"lr": 3e-3, "epochs": 2, **soft}
    data, answers = digits.train, taught.answers["train"]
    if images == "all":
        held_out = digits.validation
        data = Split(torch.cat([data.inputs, held_out.inputs]), torch.cat([data.labels, held_out.labels]))
        answers = torch.cat([answers, predict(taught._load_teacher("teacher.safetensors"), held_out, device="cpu")])
    student = mlp(784, 800, 800, 10, seed=seed)
    if soft:
        distill(student, answers, data, **soft, **options(seed, settings))
    else:
        train(student, data, **options(seed, settings))

    method = Method(SOFT if soft else RATES, (1,), 1)
    taught.scale = replace(taught.scale, methods={"own": method})
    row = taught.train_result(Choice(settings, {}, ["lr"]), method="own", images=images, seed=seed)
    splits = ("test",) if images == "all" else SPLITS
    assert row == {"chosen": settings, "at_limit": ["lr"]} | measured(student, digits, splits)
    if images == "train":
        chooser = taught.train_chooser(method="own", seed=seed, **settings)
        assert chooser == {"validation_errors": row["validation_errors"]}


def test_a_student_that_diverges_has_all_wrong(taught):
    taught.scale = replace(taught.scale, methods={"own": Method(RATES, (1,), 1)})
    assert taught.train_chooser(method="own", seed=0, lr=1e30, epochs=5) == {"validation_errors": 10_000}


def recorded(section, seed, errors, **common):
    """A teacher that somebody trained and recorded; its logits on the training images."""

    def teacher(**settings):
        return {"validation_errors": errors}

    network = wide_teacher(seed).half().float()
    section.records("teacher", teacher, **common, seed=seed, epochs=section.scale.teacher_epochs)
    checkpoints.save(network, section.folder / f"teacher-{seed}.safetensors", half=True)
    return {name: predict(network, getattr(section.data, name), device="cpu") for name in ("train", "validation")}


def test_the_logits_are_those_of_the_teacher_with_the_fewest_validation_errors(tmp_path, digits):
    section = small(tmp_path, digits)
    section.scale = replace(SCALE, teachers=range(3))
    answers = [recorded(section, seed, errors, **COMMON) for seed, errors in ((0, 70.0), (1, 60.0), (2, 65.0))]
    section.run(["teachers"])
    for name, logits in answers[1].items():
        assert torch.equal(section.answers[name], logits)


def test_teachers_of_the_first_round_are_taken_whatever_their_precision(tmp_path, digits):
    section = small(tmp_path, digits)
    for seed in SCALE.teachers:
        recorded(section, seed, 60.0, precision="bfloat16", **COMMON)
    section.run(["teachers"])
    assert len(section.records) == len(SCALE.teachers)


@pytest.mark.parametrize(("first", "quick"), [(COMMON, False), ({}, True)])
def test_quick_and_full_sections_do_not_write_over_each_other(tmp_path, digits, first, quick):
    section = Section(digits, tmp_path, quick, precision="float32", device="cpu")
    recorded(section, 0, 60.0, **first)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match=r"folder must hold a (quick|full) section or none, got .*"):
        section.run(["teachers"])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_trained(tmp_path):
    (tmp_path / "file").touch()
    section = small(tmp_path / "file", NO_DATA)
    with pytest.raises(OSError, match=r"runs\.jsonl can't be written \(.*file isn't a folder\)"):
        section.run(["teachers"])


@pytest.mark.parametrize(
    ("transfer", "seen", "moved", "sign", "epochs"),
    [("without 3", NO_3, [3], 1, 10), ("7 and 8", (7, 8), [7, 8], -1, 20)],
)
@pytest.mark.parametrize("images", ["train", "all"])
def test_a_student_sees_its_transfer_set_alone_and_each_bias_is_chosen_on_its_split(
    taught, digits, transfer, seen, moved, sign, epochs, images
):
    """A student that has learnt from the validation images chooses no bias on them."""
    settings = {"lr": 1e-3, "epochs": epochs, "temperature": 4.0, "alpha": 0.9}
    method = replace(SCALE.methods[transfer], batch_size=40)
    taught.scale = replace(taught.scale, methods={transfer: method})
    row = taught.train_result(Choice(settings, {}), method=transfer, images=images, seed=2)

    split, answers = transfer_set(method, digits, taught.answers, images)
    assert tuple(split.labels.unique().tolist()) == seen
    assert len(split) == sum(int(label in seen) for label in all_labels(digits, images))
    student = mlp(784, 800, 800, 10, seed=2)
    soft = {"temperature": 4.0, "alpha": 0.9}
    distill(student, answers, split, **soft, **options(2, settings) | {"batch_size": 40})
    logits = {name: predict(student, getattr(digits, name), device="cpu") for name in SPLITS}
    splits = ("test",) if images == "all" else SPLITS
    assert row == row | measured(student, digits, splits)
    assert {*row["corrected"]} == {*splits}

    def with_bias(bias):
        """Errors on both splits, and how many threes of the test images are wrong."""
        result = {}
        for name in SPLITS:
            labels, moved_logits = getattr(digits, name).labels, logits[name].clone()
            moved_logits[:, moved] += bias
            result[f"{name}_errors"] = errors(moved_logits, labels)
        return result | {"test_wrong_threes": int((moved_logits[labels == 3].argmax(-1) != 3).sum())}

    by_bias = {bias.item(): with_bias(bias) for bias in sign * torch.arange(0, 20, 0.1)}
    for chosen_on in splits:
        fewest = min(found[f"{chosen_on}_errors"] for found in by_bias.values())
        best = sorted(bias for bias, found in by_bias.items() if found[f"{chosen_on}_errors"] == fewest)
        bias = best[(len(best) - 1) // 2]
        expected = {name: by_bias[bias][name] for name in ("test_errors", "test_wrong_threes")}
        assert row["corrected"][chosen_on] == {"bias": round(bias, 1)} | expected
        assert fewest <= errors(logits[chosen_on], getattr(digits, chosen_on).labels)
        if images == "train" and chosen_on == "validation":
            chooser = taught.train_chooser(method=transfer, seed=2, **settings)
            assert chooser == {"bias": round(bias, 1), "validation_errors": fewest}


def all_labels(digits, images):
    labels = digits.train.labels.tolist()
    return labels + digits.validation.labels.tolist() if images == "all" else labels


def test_the_teachers_logits_stay_with_their_images(digits):
    answers = {name: torch.arange(10.0 * len(getattr(digits, name))).view(-1, 10) for name in ("train", "validation")}
    split, logits = transfer_set(Method(RATES, (1,), 1, classes=(7, 8)), digits, answers, "all")
    of_validation = (digits.validation.labels == 7) | (digits.validation.labels == 8)
    count = int(of_validation.sum())
    assert torch.equal(logits[-count:], answers["validation"][of_validation])
    assert torch.equal(split.inputs[-count:], digits.validation.inputs[of_validation])
    assert torch.equal(split.labels[-count:], digits.validation.labels[of_validation])


def test_the_best_student_answers_as_its_teachers_do_on_average_on_the_jittered_views_that_it_sees(section, few):
    teachers = [wide_teacher(seed) for seed in SCALE.teachers]
    for seed, teacher in enumerate(teachers):
        checkpoints.load(teacher, section.folder / f"teacher-{seed}.safetensors")
    ensemble = Ensemble(*teachers, load_teacher("mnist")[0])
    found = []
    for row in rows(section, "result", method="best"):
        seed, chosen = row["settings"]["seed"], row["chosen"]
        student = mlp(784, 800, 800, 10, seed=seed)
        soft = {"temperature": chosen["temperature"], "alpha": chosen["alpha"]}
        shown = {"augment": jitter, "optimizer": reproduction.ADAMW}
        distill(student, ensemble, few.train, **soft, **shown, **options(seed, chosen))
        for name in SPLITS:
            split = getattr(few, name)
            found.append((row[f"{name}_nll"], nll(predict(student, split, device="cpu"), split.labels)))
    ours, by_hand = torch.tensor(found).T
    torch.testing.assert_close(ours, by_hand, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["teacher", "best"])
def test_what_is_stored_gives_the_recorded_metrics(section, few, kind):
    network = wide_teacher() if kind == "teacher" else mlp(784, 800, 800, 10)
    finals = rows(section, "teacher") if kind == "teacher" else rows(section, "result", method="best")
    for row in finals:
        record = checkpoints.load(network, section.folder / f"{kind}-{row['settings']['seed']}.safetensors")
        assert record["seed"] == row["settings"]["seed"]
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
    network = wide_teacher(3) if kind == "teacher" else mlp(784, 800, 800, 10, seed=3)
    section._stored(kind, network, 9)
    stored = {name: weight.float() for name, weight in load_file(path).items()}
    path.unlink()  # the section is other tests', too
    assert len(weights_when_measured) == 2
    for weights in weights_when_measured:
        torch.testing.assert_close(weights, stored, rtol=0, atol=0)
