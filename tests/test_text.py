"""Lines that fit."""

import pytest

from kdtutor._text import WIDTH, wrap


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
