"""Lines that fit."""

import pytest

from kdtutor._text import WIDTH, one_line, text_table, wrap


@pytest.mark.parametrize("indent", [0, 4, 10])
def test_a_long_line_is_broken_at_spaces_and_loses_nothing(indent):
    line = "Measured: " + " ".join(f"word-{number}" for number in range(100))
    first, *others = wrap(line, indent).split("\n")
    assert max(map(len, [first, *others])) <= WIDTH
    assert all(other.startswith(" " * indent + "word-") for other in others)
    assert " ".join([first, *(other[indent:] for other in others)]) == line


def test_what_fits_or_has_no_space_stays():
    assert wrap("Verdict:  holds here.", 10) == "Verdict:  holds here."
    assert wrap("x" * 200, 4) == "x" * 200


def test_a_table_has_text_to_the_left_and_numbers_to_the_right():
    table = text_table(["who", "errors", "note"], [["alone", 153.2, "-"], ["distilled at T = 20", 88, "best"]])
    assert table.splitlines() == [
        "who                  errors  note",
        "alone                 153.2     -",
        "distilled at T = 20      88  best",
    ]


def test_a_tables_rows_must_be_as_long_as_its_heads():
    with pytest.raises(ValueError, match="zip"):
        text_table(["one", "two"], [["three"]])


def test_a_table_may_have_no_rows():
    assert text_table(["one", "two"], []) == "one  two"


def test_a_text_of_several_lines_becomes_one():
    assert one_line("first\n  second\t third \n") == "first second third"
    assert one_line("") == ""
