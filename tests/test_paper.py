"""What is read from the records of Hinton's section: results of what was chosen, of one round, and what ships is what
the records say."""

import json
from itertools import product

import pytest
import torch

from kdtutor import data, load, metrics, predict
from kdtutor.course.hinton import paper, table
from kdtutor.course.hinton.choices import FULL, alone_with, distilled_with
from kdtutor.course.records import wrong_indices
from kdtutor.data.sources import SOURCES
from kdtutor.statistics import prediction_interval

BARE = {"seconds": 1, "versions": {}}
SOFT = {"alpha": 0.9, "temperature": 20.0, "lr": 0.003, "epochs": 20}
HARD = {"lr": 0.003, "epochs": 20}


def result(method, seed, errors, chosen=SOFT, images="all", kind="result", **values):
    return BARE | {
        "kind": kind,
        "settings": {"method": method, "images": images, "seed": seed},
        "chosen": chosen,
        "at_limit": ["epochs"],
        "test_errors": errors,
        "test_wrong": list(range(int(errors))),
        **values,
    }


def choice(method, seed, errors, kind="choice", **settings):
    settings = {"method": method, **SOFT, **settings, "seed": seed}
    return BARE | {"kind": kind, "settings": settings, "validation_errors": errors}


def teacher(seed, errors):
    return BARE | {"kind": "teacher", "settings": {"precision": "bfloat16", "seed": seed}, "test_errors": errors}


def missing(transfer, seed, errors, images, **by_split):
    corrected = {}
    for split, corrected_errors in by_split.items():
        corrected[split] = {"bias": 3.0, "test_errors": corrected_errors, "test_wrong_threes": corrected_errors / 10}
    return result(transfer, seed, errors, images=images, corrected=corrected, test_wrong_threes=errors / 2)


@pytest.fixture
def write(tmp_path):
    """write(rows) -> the records that have these rows."""

    def records_of(rows):
        path = tmp_path / "runs.jsonl"
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
        return paper.records(tmp_path)

    return records_of


@pytest.fixture
def records(write):
    rows = [teacher(seed, 70 + seed) for seed in range(3)]
    for seed in (100, 101, 102):
        rows += [choice("at 20", seed, 80 + seed % 100), choice("at 20", seed, 60 + seed % 100, lr=0.01)]
    for seed in (0, 1):
        rows += [result("alone", seed, 140 + 20 * seed, HARD), result("at 20", seed, 80 + 6 * seed)]
        rows.append(missing("without 3", seed, 200 + seed, "train", test=100 + seed, validation=120 + seed))
        rows.append(missing("without 3", seed, 210 + seed, "all", test=90 + seed))
        rows.append(missing("7 and 8", seed, 5000 + seed, "train", test=1300 + seed, validation=1320 + seed))
        rows.append(result("best", seed, 50 + seed, images="train", kind="first round result"))
    return write(rows)


def test_results_are_those_of_the_images_that_are_asked_for_one_row_per_seed(records):
    for images, expected in (("train", [200, 201]), ("all", [210, 211])):
        assert [row["test_errors"] for row in paper.students(records, "without 3", images)] == expected
    assert [row["test_errors"] for row in paper.students(records, "at 20")] == [80, 86]
    assert paper.students(records, "7 and 8", "all") == []
    assert paper.students(records, "any temperature") == []


def test_rows_of_the_first_round_stand_in_where_there_are_no_others(records):
    for images in ("train", "all"):
        rows = paper.students(records, "best", images)
        assert [row["test_errors"] for row in rows] == [50, 51]
        assert all(map(paper.is_of_first_round, rows))
    assert not any(map(paper.is_of_first_round, paper.students(records, "alone")))
    assert paper.is_of_first_round(teacher(0, 70))
    assert not paper.is_of_first_round(BARE | {"kind": "teacher", "settings": {"seed": 0}, "precision": "bfloat16"})


@pytest.mark.parametrize("kind", ["result", "choice"])
def test_rows_of_the_two_rounds_are_never_mixed(write, kind):
    make = result if kind == "result" else choice
    read = paper.students if kind == "result" else paper.tried
    old = [make("at 20", seed, 90, kind=f"first round {kind}") for seed in (5, 6, 7)]
    new = [make("at 20", seed, 80) for seed in (8, 9)]
    assert read(write(old), "at 20") == old
    for rows in (old + new, new + old):
        assert read(write(rows), "at 20") == new


def test_results_of_different_choices_are_refused(write):
    records = write([result("at 20", 0, 80), result("at 20", 1, 80, SOFT | {"lr": 0.01})])
    with pytest.raises(ValueError, match=r"the results of 'at 20' must all have the same settings, got .*0\.01"):
        paper.students(records, "at 20")


def test_results_of_a_seed_that_chose_are_refused(write):
    records = write([choice("at 20", 7, 80), result("at 20", 7, 80)])
    with pytest.raises(ValueError, match="must be of other seeds than those that chose, got seed 7 among both"):
        paper.students(records, "at 20")


def test_a_broken_line_is_an_error(write):
    records = write([result("at 20", 0, 80)])
    with records.path.open("a", encoding="utf-8") as file:
        file.write('{"kind": "result"\n')
    with pytest.raises(ValueError, match=r"runs\.jsonl must hold a row, in JSON, on each line, and line 2 doesn't"):
        paper.students(records, "at 20")


def test_what_was_tried_is_ordered_by_the_mean_over_the_choosers(records):
    assert paper.by_settings(paper.tried(records, "at 20")) == [(SOFT | {"lr": 0.01}, 61), (SOFT, 81)]


def test_widths_compare_paired_students_at_what_was_chosen(write):
    rows = []
    for seed in (0, 1, 2):
        rows.append(result(alone_with(30), seed, 350 + seed**2, HARD))
        rows.append(result(distilled_with(30), seed, 340, SOFT | {"temperature": 4.0}))
    rows.append(result(alone_with(100), 0, 200, HARD))
    (found,) = paper.widths(write(rows)).items()
    units, row = found
    assert (units, row["temperature"], row["alone"], row["distilled"]) == (30, 4, [350, 351, 354], [340, 340, 340])
    assert row["difference"].mean == pytest.approx(-35 / 3)


def test_compare_pairs_the_seeds_over_the_same_images(records):
    pair = paper.students(records, "alone"), paper.students(records, "at 20")
    difference = paper.compare(*pair, ("alone", "at 20"))
    assert str(difference).startswith("at 20 makes 67 fewer errors of 10,000 than alone")
    assert difference.pairs == 2


# The tables


def interval(*errors):
    expected = prediction_interval(errors)
    return f"{max(0, expected.low):.0f} to {expected.high:.0f}"


def test_the_table_has_means_and_says_whether_the_papers_figure_is_what_one_more_run_may_make(records):
    lines = table.results(records).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert lines[2:] == [
        "| teacher 784-1200-1200-10, dropout, jitter ¹ | 67 | **71.0** (3 seeds) | "
        f"{interval(70, 71, 72)}: 67 is inside | 64 to 108 |",
        "| student 784-800-800-10 alone | 146 | **150.0** (2 seeds) | "
        f"{interval(140, 160)}: 146 is inside | 171, 181 |",
        "| the same, distilled at T = 20, images not shifted | 74 | **83.0** (2 seeds) | "
        f"{interval(80, 86)}: 74 is inside | 67 to 134 |",
        f"| no 3 in the transfer set | 206 | **210.5** (2 seeds) | {interval(210, 211)}: 206 is inside |  |",
        f"| … of these on 3s | 133 | **105.2** (2 seeds) | {interval(105, 105.5)}: 133 is outside |  |",
        "| … bias chosen on the test images, as in the paper | 109 | **90.5** (2 seeds) | "
        f"{interval(90, 91)}: 109 is outside |  |",
        f"| … of these on 3s | 14 | **9.1** (2 seeds) | {interval(9, 9.1)}: 14 is outside |  |",
        "| … learnt from 55,000 images, bias chosen on the other 5,000 |  | **120.5** (2 seeds) | "
        f"{interval(120, 121)} |  |",
        f"| … of these on 3s |  | **12.1** (2 seeds) | {interval(12, 12.1)} |  |",
        "| only 7s and 8s in the transfer set | 4730 | **5000.5** (2 seeds) | "
        f"{interval(5000, 5001)}: 4730 is outside |  |",
        "| … bias chosen on the test images, as in the paper | 1320 | **1300.5** (2 seeds) | "
        f"{interval(1300, 1301)}: 1320 is outside |  |",
        "| … learnt from 55,000 images, bias chosen on the other 5,000 |  | **1320.5** (2 seeds) | "
        f"{interval(1320, 1321)} |  |",
        f"| best student 784-800-800-10 that we could distil ¹ |  | **50.5** (2 seeds) | {interval(50, 51)} |  |",
    ]


def test_one_run_predicts_nothing(write):
    lines = table.results(write([teacher(0, 70), teacher(1, 70), result("at 20", 0, 80)])).splitlines()
    assert lines[3] == "| the same, distilled at T = 20, images not shifted | 74 | **80.0** (1 seed) |  | 67 to 134 |"


def test_the_table_of_choices_says_what_lies_at_the_end_of_its_axis(records):
    lines = table.choices(records).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert lines[2:] == [
        "| 7 and 8 | 0.9 | 20 | 0.003 | 20 | epochs |",
        "| at 20 | 0.9 | 20 | 0.003 | 20 | epochs |",
        "| without 3 | 0.9 | 20 | 0.003 | 20 | epochs |",
        "| alone |  |  | 0.003 | 20 | epochs |",
        "| best ¹ | 0.9 | 20 | 0.003 | 20 | epochs |",
    ]


def test_the_table_of_what_was_tried_has_each_setting_once(records, write):
    lines = table.attempts(records, "at 20").splitlines()
    assert lines[0] == "| tried for “at 20”: alpha | T | learning rate | epochs | validation errors, 3 seeds |"
    assert lines[2:] == ["| 0.9 | 20 | 0.01 | 20 | 61 |", "| 0.9 | 20 | 0.003 | 20 | 81 |"]
    of_first_round = write([choice("at 20", 100, 90, kind="first round choice")])
    assert table.attempts(of_first_round, "at 20").startswith("| tried for “at 20” ¹: alpha |")


def test_widths_show_each_temperature_at_its_best_learning_rate(write):
    rows = [teacher(0, 70), teacher(1, 70)]
    for (temperature, lr), errors in zip(product((8.0, 1.0), (1e-3, 3e-3)), (400, 380, 350, 360), strict=True):
        rows.append(choice(distilled_with(30), 100, errors, temperature=temperature, lr=lr))
    (line,) = table.results(write(rows)).splitlines()[3:]
    assert line == (
        "| distilled students with two layers of 30, validation errors | T = 2.5 to 4 clearly the best | "
        "T = 1: 350, T = 8: 380 | | |"
    )


# What ships


@pytest.mark.parametrize("method", FULL.methods)
def test_what_ships_of_a_method_is_of_one_choice_and_of_five_seeds(method):
    for images in FULL.methods[method].images:
        rows = paper.students(paper.records(), method, images)
        assert [row["settings"]["seed"] for row in rows] in ([], [0, 1, 2, 3, 4])
        if rows and not paper.is_of_first_round(rows[0]):
            choosers = {row["settings"]["seed"] for row in paper.tried(paper.records(), method)}
            assert choosers == {*FULL.choosers}


@pytest.mark.skipif(not any(map(SOURCES["mnist"].layout, data.places())), reason="needs MNIST")
@pytest.mark.parametrize("network", ["teacher", "student"])
def test_what_ships_makes_the_errors_that_are_recorded(network):
    test = load("mnist", download=False).test
    records = paper.records()
    rows = records.rows("teacher") if network == "teacher" else paper.students(records, "best", "train")
    recorded = min(rows, key=lambda found: found["validation_errors"])
    wrong = metrics.wrong(predict(paper.load(network), test), test.labels)
    assert torch.equal(wrong, paper.wrong([recorded])[0]) or abs(int(wrong.sum()) - recorded["test_errors"]) <= 2
    assert len({*wrong_indices(wrong)} ^ {*recorded["test_wrong"]}) <= 4


def test_only_what_ships_can_be_loaded():
    with pytest.raises(ValueError, match="kind must be 'teacher' or 'student', got 'cat'"):
        paper.load("cat")
