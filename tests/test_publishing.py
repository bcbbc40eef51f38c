"""The course's address: written into every copy at once, taken out again, and links only where they lead somewhere."""

import re
import shutil
from pathlib import Path

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdtutor.commands import main
from kdtutor.course import publishing
from kdtutor.course.publishing import insert_section

ROOT = Path(__file__).parent.parent


@pytest.fixture
def checkout(tmp_path):
    """The files of this checkout that name its address, without one."""
    for path, _ in publishing.copies(None, ROOT):
        (tmp_path / path.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tmp_path / path.relative_to(ROOT))
    publishing.stamp(None, tmp_path)
    return tmp_path


def texts(folder):
    return {path.relative_to(folder): path.read_text(encoding="utf-8") for path in folder.rglob("*") if path.is_file()}


def test_an_address_stands_in_every_copy(checkout):
    changed = publishing.stamp("Some-One/kd.course", checkout)
    assert {path.relative_to(checkout) for path in changed} == {*texts(checkout)}
    assert publishing.repository(checkout) == "Some-One/kd.course"
    assert all("https://github.com/Some-One/kd.course" in text for text in texts(checkout).values())


def test_an_address_that_stands_already_changes_nothing(checkout):
    publishing.stamp("some/course", checkout)
    assert publishing.stamp("some/course", checkout) == []


def test_a_forks_address_replaces_every_copy_of_the_first(checkout):
    publishing.stamp("some/course", checkout)
    publishing.stamp("other/fork", checkout)
    assert [path for path, text in texts(checkout).items() if "some/course" in text] == []


def test_an_address_that_is_taken_out_leaves_no_trace(checkout):
    before = texts(checkout)
    publishing.stamp("some/course", checkout)
    publishing.stamp(None, checkout)
    assert texts(checkout) == before
    assert publishing.repository(checkout) is None


def test_without_an_address_nothing_links_to_the_course(checkout):
    links = re.findall(r"https://(?:github\.com|colab\.\S+?/github)/[\w.-]+/\w+", "\n".join(texts(checkout).values()))
    foreign = {"https://github.com/pytorch/pytorch", "https://github.com/neuralmagic/sparseml"}  # threads that we cite
    assert {*links} <= foreign


def test_badges_open_notebooks_that_exist_and_no_assignment_with_its_answers(checkout):
    publishing.stamp("some/course", checkout)
    opened = [
        link.split("/blob/main/")[1]
        for text in texts(checkout).values()
        for link in re.findall(r"https://colab\.research\.google\.com/github/some/course[^)\s\"]+", text)
    ]
    numbered = {f"notebooks/{path.name}" for path in (ROOT / "notebooks").glob("[0-9]*.ipynb")}
    assert {*opened} == numbered


def test_a_stamped_notebook_is_valid_and_keeps_its_cells_and_outputs(checkout):
    path = checkout / "notebooks" / "02_temperature_scaling.ipynb"
    before = nbformat.read(path, as_version=4)
    publishing.stamp("some/course", checkout)
    after = nbformat.read(path, as_version=4)
    nbformat.validate(after)
    badge, *cells = after.cells
    assert badge.cell_type == "markdown"
    first = next(cell for cell in cells if cell.cell_type == "code")
    assert "git clone --quiet --depth 1 https://github.com/some/course course\n" in first.source
    first.source = publishing.first_cell(None)
    assert cells == before.cells


@pytest.mark.parametrize(
    "address",
    [
        "",
        "course",
        "a/b/c",
        "https://github.com/a/b",
        "a/..",
        "a/b.git",
        "-a/b",
        "a/b c",
        "a/b\n",
        "a/b;rm",
        "é/b",
        "a" * 40 + "/b",
    ],
)
def test_what_is_no_address_changes_nothing(checkout, address):
    before = texts(checkout)
    with pytest.raises(ValueError, match=r"repository must be OWNER/REPO, as on GitHub, got "):
        publishing.stamp(address, checkout)
    assert texts(checkout) == before


def test_a_page_without_a_place_for_the_address_changes_nothing(checkout):
    (checkout / "README.md").write_text("# My own page\n", encoding="utf-8")
    before = texts(checkout)
    with pytest.raises(ValueError, match="badge"):
        publishing.stamp("some/course", checkout)
    assert texts(checkout) == before


def test_another_first_cell_is_not_overwritten(checkout):
    mine = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("precious = 42")])
    for notebook in (mine, nbformat.v4.new_notebook()):
        nbformat.write(notebook, checkout / "notebooks" / "09_mine.ipynb")
        before = texts(checkout)
        with pytest.raises(ValueError, match=r"09_mine\.ipynb must have as its first code cell the one that gets"):
            publishing.stamp("some/course", checkout)
        assert texts(checkout) == before


def test_other_addresses_of_the_project_stay(checkout):
    path = checkout / "pyproject.toml"
    own = path.read_text(encoding="utf-8").replace(
        "[project.urls]\n", '[project.urls]\nHomepage = "https://example.org"\n'
    )
    path.write_text(own, encoding="utf-8")
    publishing.stamp("some/course", checkout)
    assert 'Homepage = "https://example.org"' in path.read_text(encoding="utf-8")
    publishing.stamp(None, checkout)
    assert path.read_text(encoding="utf-8") == own


def test_a_project_without_a_place_for_the_address_changes_nothing(checkout):
    path = checkout / "pyproject.toml"
    path.write_text(path.read_text(encoding="utf-8").replace("[project.urls]\n", ""), encoding="utf-8")
    before = texts(checkout)
    with pytest.raises(ValueError, match=r"pyproject.toml must have a table \[project.urls\]"):
        publishing.stamp("some/course", checkout)
    assert texts(checkout) == before


def test_the_command_says_what_it_changed(checkout, monkeypatch, capsys):
    monkeypatch.setattr(publishing, "root", lambda: checkout)
    assert main.main(["publish", "some/course"]) == 0
    assert str(checkout / "README.md") in capsys.readouterr().out.splitlines()
    assert main.main(["publish", "some/course"]) == 0
    assert capsys.readouterr().out == "Nothing to change.\n"
    assert main.main(["publish", "nowhere"]) == 1
    assert capsys.readouterr().err == "kdtutor: repository must be OWNER/REPO, as on GitHub, got 'nowhere'\n"


# Sections of a document: each between its lines, and nothing else changes


properties = settings(deadline=None, max_examples=50)
TEXT = "# Title\n<!-- ledger -->\nold | table\n<!-- end of ledger -->\nrest\n<!-- ledger -->\n"
LINE = st.text(st.characters(codec="utf-8", exclude_characters="<"), max_size=20)


def test_insert_puts_a_section_between_its_lines_in_the_place_of_what_was_there():
    expected = "# Title\n<!-- ledger -->\n\nnew\n\n<!-- end of ledger -->\nrest\n<!-- ledger -->\n"
    assert insert_section(TEXT, "ledger", "new") == expected


@properties
@given(before=LINE, old=LINE, after=LINE, section=LINE, other=LINE)
def test_inserting_again_changes_nothing_and_a_later_section_replaces_it(before, old, after, section, other):
    text = f"{before}\n<!-- a -->\n{old}\n<!-- end of a -->\n{after}"
    once = insert_section(text, "a", section)
    assert insert_section(once, "a", section) == once
    assert insert_section(insert_section(text, "a", other), "a", section) == once
    assert once.startswith(f"{before}\n<!-- a -->\n")
    assert once.endswith(f"\n<!-- end of a -->\n{after}")
    assert section in once


def test_sections_of_other_names_are_left_alone():
    text = TEXT + "<!-- figures -->\n<!-- end of figures -->\n"
    both = insert_section(insert_section(text, "figures", "1"), "ledger", "2")
    assert both == insert_section(insert_section(text, "ledger", "2"), "figures", "1")
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
        insert_section(text, "ledger", "new")
