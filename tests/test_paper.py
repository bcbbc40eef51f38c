"""The paper's table: it takes the runs that were chosen, and what ships is what the records say."""

import json
from itertools import product

import pytest
import torch

from kdtutor import data, load, metrics, predict
from kdtutor.course.hinton import paper
from kdtutor.course.hinton.choices import METHODS, TUNING_SEED
from kdtutor.course.records import wrong_indices
from kdtutor.data.sources import SOURCES

BARE = {"kind": "student", "seconds": 1, "versions": {}}


def row(seed, validation, test, kind="student", **settings):
    return BARE | {
        "kind": kind,
        "settings": {"seed": seed} | settings,
        "validation_errors": validation,
        "test_errors": test,
        "test_wrong": list(range(int(test))),
    }


@pytest.fixture
def records(tmp_path):
    """Runs whose validation images prefer T = 4 and 60 epochs, and whose test images T = 20 and 20 epochs."""
    rows = [row(seed, 60 + seed, 70 + seed, "teacher", epochs=300) for seed in range(3)]
    for seed in (TUNING_SEED, 0, 1):
        for epochs, better in ((20, 0), (60, 10)):
            rows.append(row(seed, 150 - better, 150 + better, epochs=epochs))
            rows.append(row(seed, 80 - better, 110 + better, epochs=epochs, temperature=4.0))
            rows.append(row(seed, 100 - better, 90 + better, epochs=epochs, temperature=20.0))
    rows.append(row(TUNING_SEED, 120, 120, epochs=20, temperature=4.0, alpha=0.5))
    for transfer, errors in (("without 3", 500), ("7 and 8", 5000)):
        for seed, epochs in product((TUNING_SEED, 0, 1), (20, 60)):
            for temperature in (4.0, 20.0):
                fixed = {
                    chosen_on: {
                        "bias": 5.0,
                        "validation_errors": 200 + temperature - epochs / 100,
                        "test_errors": 200 - temperature,
                        "test_wrong_threes": temperature,
                    }
                    for chosen_on in ("validation", "test")
                }
                found = row(seed, errors, errors, "missing", transfer=transfer, epochs=epochs, temperature=temperature)
                rows.append(found | {"test_wrong_threes": 300, "corrected": fixed})
    rows += [row(seed, 60, 55 + seed % 7, "best", epochs=100) for seed in (TUNING_SEED, 0, 1)]
    path = tmp_path / "runs.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in rows), encoding="utf-8")
    return paper.records(tmp_path)


def settings(rows):
    assert [found["settings"]["seed"] for found in rows] == [0, 1]
    (same,) = {json.dumps(found["settings"] | {"seed": 0}) for found in rows}
    return json.loads(same)


@pytest.mark.parametrize(
    ("method", "chosen_on", "expected"),
    [
        ("alone", "validation", {"epochs": 60}),
        ("alone", "test", {"epochs": 20}),
        ("at 20", "validation", {"epochs": 60, "temperature": 20.0}),
        ("at 20", "test", {"epochs": 20, "temperature": 20.0}),
        ("distilled", "validation", {"epochs": 60, "temperature": 4.0}),
        ("distilled", "test", {"epochs": 20, "temperature": 20.0}),
    ],
)
def test_students_are_those_of_the_settings_that_were_chosen(records, method, chosen_on, expected):
    assert settings(paper.students(records, method, chosen_on)) == {"seed": 0} | expected


def test_of_missing_classes_the_temperature_is_chosen_on_validation_images_after_the_correction(records):
    found = settings(paper.missing(records, "without 3"))
    assert found == {"seed": 0, "transfer": "without 3", "epochs": 60, "temperature": 4.0}


def test_the_table_has_the_means_over_seeds(records):
    lines = paper.markdown(records).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert lines[2].startswith("| teacher 784-1200-1200-10, dropout, jitter | 67 | **71.0** (70 to 72, 3 seeds) |")
    assert "| 146 | **160.0** (160 to 160, 2 seeds) | **150.0** (150 to 150, 2 seeds) |" in lines[3]
    assert "| 74 | **100.0** " in lines[4]
    assert "T = 4 | " in lines[5]
    assert "**500.0** (500 to 500, 2 seeds), of these 300.0 threes" in lines[6]
    assert lines[6].startswith("| no 3 in the transfer set, T = 4 |")
    assert "**196.0** (196 to 196, 2 seeds), of these 4.0 threes | **196.0** " in lines[7]
    assert "**55.5** (55 to 56, 2 seeds)" in lines[-1]


def test_compare_pairs_the_seeds_over_the_same_images(records):
    pair = paper.students(records, "alone"), paper.students(records, "distilled")
    difference = paper.compare(*pair, ("alone", "distilled"))
    assert str(difference).startswith("distilled makes 40 fewer errors of 10,000 than alone")
    assert difference.pairs == 2


# what ships


def test_the_students_that_are_compared_are_paired():
    records = paper.records()
    for chosen_on in ("validation", "test"):
        seeds = [
            [found["settings"]["seed"] for found in paper.students(records, method, chosen_on)] for method in METHODS
        ]
        assert seeds == [[0, 1, 2, 3, 4]] * len(METHODS)


@pytest.mark.skipif(not any(map(SOURCES["mnist"].layout, data.places())), reason="needs MNIST")
@pytest.mark.parametrize(("network", "kind"), [("teacher", "teacher"), ("student", "best")])
def test_what_ships_makes_the_errors_that_are_recorded(network, kind):
    test = load("mnist", download=False).test
    rows = [found for found in paper.records().rows(kind) if found["settings"]["seed"] != TUNING_SEED]
    recorded = min(rows, key=lambda found: found["validation_errors"])
    wrong = metrics.wrong(predict(paper.load(network), test), test.labels)
    assert torch.equal(wrong, paper.wrong([recorded])[0]) or abs(int(wrong.sum()) - recorded["test_errors"]) <= 2
    assert len({*wrong_indices(wrong)} ^ {*recorded["test_wrong"]}) <= 4


def test_only_what_ships_can_be_loaded():
    with pytest.raises(ValueError, match="kind must be 'teacher' or 'student', got 'cat'"):
        paper.load("cat")
