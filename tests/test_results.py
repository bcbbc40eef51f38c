import csv
import math

import pytest
import torch

from kdtutor import Table
from kdtutor.statistics import paired_difference


def row(seed, temperature, alpha, errors, lr=0.1, epochs=5, diverged=False):
    return {"seed": seed, "temperature": temperature, "alpha": alpha, "lr": lr, "epochs": epochs} | {
        "diverged": diverged, "validation_errors": errors, "validation_nll": errors / 1000, "test_errors": errors + 1,
    }  # fmt: skip


ROWS = [
    row(0, None, 0.0, 100.0), row(1, None, 0.0, 110.0),
    row(0, 1.0, 0.5, 90.0), row(1, 1.0, 0.5, 104.0),
    row(0, 4.0, 0.5, 80.0), row(1, 4.0, 0.5, 88.0),
    row(0, 1.0, 1.0, 70.0), row(1, 1.0, 1.0, math.nan, diverged=True),
    row(0, 4.0, 1.0, 99.0), row(1, 4.0, 1.0, 101.0),
]  # fmt: skip


@pytest.fixture
def table():
    return Table(rows=ROWS, networks=[], seconds=1.5)


def test_values_are_one_per_seed(table):
    assert table.values("validation_errors", alpha=0.5, temperature=4) == [80.0, 88.0]
    assert table.values("test_errors", alpha=0) == [101.0, 111.0]
    assert table.values("validation_errors", alpha=0, temperature=4) == [100.0, 110.0]  # T plays no part there
    assert table.values("seed", alpha=0) == [0, 1]


@pytest.mark.parametrize(
    ("metric", "settings", "message"),
    [
        ("errors", {"alpha": 0}, r"columns of the table \(seed, .*test_errors\), got 'errors', {'alpha': 0}"),
        ("test_errors", {"beta": 0}, r"columns of the table .* got 'test_errors', {'beta': 0}"),
        ("test_errors", {"alpha": 0.7}, r"settings must be those of some student in the table, got {'alpha': 0.7}"),
        ("test_errors", {"alpha": 0.5}, r"settings must say which temperature is meant, one of \[1.0, 4.0\]"),
        ("test_errors", {"temperature": 4}, r"settings must say which temperature is meant, one of \[4.0, None\]"),
        ("test_errors", {}, r"settings must say which temperature"),
    ],
)
def test_values_that_are_not_one_per_seed_are_refused(table, metric, settings, message):
    with pytest.raises(ValueError, match=message):
        table.values(metric, **settings)


def test_an_empty_table_says_so():
    with pytest.raises(ValueError, match=r"\(none, for no student is finished\)"):
        Table().values("test_errors")
    assert "0 students" in repr(Table(interrupted=True))


def test_comparing_is_the_paired_difference_of_the_values(table):
    found = table.compare("test_errors", {"alpha": 0}, {"alpha": 0.5, "temperature": 1})
    assert found == paired_difference([101.0, 111.0], [91.0, 105.0])
    assert found.mean == -8.0


def test_a_diverged_student_is_not_compared(table):
    with pytest.raises(ValueError, match="finite numbers"):
        table.compare("test_errors", {"alpha": 0}, {"alpha": 1, "temperature": 1})


def test_means_are_by_two_settings_and_alone_holds_for_every_temperature(table):
    assert table.axis("alpha") == [0.0, 0.5, 1.0]
    assert table.axis("temperature") == [1.0, 4.0]
    expected = torch.tensor([[105.0, 105.0], [97.0, 84.0], [math.nan, 100.0]], dtype=torch.float64)
    torch.testing.assert_close(table.means("validation_errors"), expected, equal_nan=True)
    transposed = table.means("validation_errors", rows="temperature", columns="alpha")
    torch.testing.assert_close(transposed, expected.T, equal_nan=True)


def test_other_settings_of_the_means_can_be_fixed():
    rows = [row(0, 1.0, 0.5, 10.0 * lr, lr=lr) for lr in (1.0, 2.0)]
    assert Table(rows).means("validation_errors", lr=2.0).tolist() == [[20.0]]
    with pytest.raises(ValueError, match="which lr is meant"):
        Table(rows).means("validation_errors")


def test_lengths_are_a_setting_like_the_others():
    table = Table([row(seed, 1.0, 0.5, 10.0 * epochs, epochs=epochs) for epochs in (20, 10) for seed in (0, 1)])
    assert table.axis("epochs") == [10, 20]
    assert table.values("validation_errors", epochs=20) == [200.0, 200.0]
    assert table.means("validation_errors", "epochs", "alpha").tolist() == [[100.0], [200.0]]
    assert table.best() == {"temperature": 1.0, "alpha": 0.5, "lr": 0.1, "epochs": 10}
    with pytest.raises(ValueError, match=r"settings must say which epochs is meant, one of \[10, 20\]"):
        table.values("validation_errors")


def test_the_best_has_the_lowest_mean_and_no_diverged_student(table):
    assert table.best() == {"temperature": 4.0, "alpha": 0.5, "lr": 0.1, "epochs": 5}
    assert Table(ROWS[:2]).best() == {"alpha": 0.0, "lr": 0.1, "epochs": 5}
    with pytest.raises(ValueError, match="at which no student diverged"):
        Table(ROWS[6:8]).best()


def test_of_agreement_the_best_is_the_highest():
    rows = [row(0, t, 0.5, t) | {"validation_agreement": a} for t, a in ((1.0, 0.9), (2.0, 0.95), (4.0, 0.8))]
    assert Table(rows).best("validation_agreement")["temperature"] == 2.0


def test_what_is_not_there_is_refused(table):
    with pytest.raises(ValueError, match=r"metric must be a column of the table, .* got 'errors'"):
        table.best("errors")
    with pytest.raises(ValueError, match="setting must be one of temperature, alpha, lr, epochs, got 'T'"):
        table.axis("T")
    table.interrupted = True
    with pytest.raises(ValueError, match="must have all students of the sweep, and it was interrupted"):
        table.best()


def test_csv_holds_every_row_to_the_last_digit(table, tmp_path):
    table.rows = [{**ROWS[0], "validation_nll": 1 / 3}, *ROWS[1:]]
    table.to_csv(tmp_path / "new" / "sweep.csv")
    with (tmp_path / "new" / "sweep.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 10
    assert list(rows[0]) == list(ROWS[0])
    assert float(rows[0]["validation_nll"]) == 1 / 3
    assert [rows[0]["temperature"], rows[4]["temperature"]] == ["", "4.0"]
    assert [rows[7]["diverged"], rows[7]["test_errors"]] == ["True", "nan"]


def test_a_table_prints_validation_metrics_by_settings(table):
    lines = repr(table).splitlines()
    assert lines[0].split() == ["temperature", "alpha", "lr", "epochs", "seeds", "diverged", "errors", "nll"]
    assert lines[1].split() == ["-", "0", "0.1", "5", "2", "-", "105", "±", "7.1", "0.105", "±", "0.0071"]
    assert lines[4].split() == ["1", "1", "0.1", "5", "2", "1", "70", "0.07"]  # of two, one is left
    assert lines[-1] == "Validation metrics of 10 students, mean ± standard deviation over seeds."
    assert "test" not in repr(table)
