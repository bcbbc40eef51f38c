"""Sections that a program writes into a document: each between its lines, and nothing else changes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdtutor.course.documents import insert

properties = settings(deadline=None, max_examples=50)

TEXT = "# Title\n<!-- ledger -->\nold | table\n<!-- end of ledger -->\nrest\n<!-- ledger -->\n"
LINE = st.text(st.characters(codec="utf-8", exclude_characters="<"), max_size=20)


def test_insert_puts_a_section_between_its_lines_in_the_place_of_what_was_there():
    expected = "# Title\n<!-- ledger -->\n\nnew\n\n<!-- end of ledger -->\nrest\n<!-- ledger -->\n"
    assert insert(TEXT, "ledger", "new") == expected


@properties
@given(before=LINE, old=LINE, after=LINE, section=LINE, other=LINE)
def test_inserting_again_changes_nothing_and_a_later_section_replaces_it(before, old, after, section, other):
    text = f"{before}\n<!-- a -->\n{old}\n<!-- end of a -->\n{after}"
    once = insert(text, "a", section)
    assert insert(once, "a", section) == once
    assert insert(insert(text, "a", other), "a", section) == once
    assert once.startswith(f"{before}\n<!-- a -->\n")
    assert once.endswith(f"\n<!-- end of a -->\n{after}")
    assert section in once


def test_sections_of_other_names_are_left_alone():
    text = TEXT + "<!-- figures -->\n<!-- end of figures -->\n"
    both = insert(insert(text, "figures", "1"), "ledger", "2")
    assert both == insert(insert(text, "ledger", "2"), "figures", "1")
    assert both.endswith("<!-- figures -->\n\n1\n\n<!-- end of figures -->\n")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<!-- ledger -->\n",
        "<!-- end of ledger -->\n",
        "<!-- end of ledger -->\n<!-- ledger -->\n",
        "<!-- table -->\n<!-- end of table -->\n",
        "<!-- ledger --> <!-- end of ledger -->\n",
    ],
)
def test_a_text_without_the_lines_is_refused(text):
    with pytest.raises(ValueError, match=r"^text must have the lines <!-- ledger --> and <!-- end of ledger -->$"):
        insert(text, "ledger", "new")
