"""What is stored in the notebooks: executed once, valid, nothing skipped, figures with words, each exercise once; and
that a lesson's page is the learner's: a card at its top, checks and verdicts in one hidden cell."""

import re
from pathlib import Path

import nbformat
import pytest

from kdtutor.course import publishing
from kdtutor.course.exercises import EXERCISES

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
ASSIGNMENTS = sorted((ROOT / "notebooks" / "assignments").glob("*.ipynb"))


def read(path):
    return nbformat.read(path, as_version=4)


def code_cells(path):
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


notebooks = pytest.mark.parametrize("path", [*NOTEBOOKS, *ASSIGNMENTS], ids=lambda path: path.stem)
lessons = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def is_hidden(cell):
    """Whether JupyterLab, Colab and the site all hide a cell's code."""
    ways = [
        cell.metadata.get("jupyter", {}).get("source_hidden", False),
        cell.metadata.get("cellView") == "form",
        "hide-input" in cell.metadata.get("tags", []),
    ]
    assert len({*ways}) == 1, f"{cell.id} must be hidden everywhere or nowhere"
    return ways[0]


def test_all_copies_of_the_courses_address_are_equal():
    for path, text in publishing.copies(publishing.repository(), ROOT):
        assert path.read_text(encoding="utf-8") == text, f"{path}: `kdtutor publish OWNER/REPO` writes the address"


@notebooks
def test_a_notebook_was_executed_once_from_top_to_bottom_without_an_error(path):
    cells = code_cells(path)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not [output for cell in cells for output in cell.outputs if output.output_type == "error"]


@notebooks
def test_a_notebook_is_valid_and_its_ids_are_unique(path):
    notebook = read(path)
    nbformat.validate(notebook)
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)


@notebooks
def test_no_cell_is_skipped_or_silenced_and_none_is_timed(path):
    for cell in code_cells(path):
        assert "nbval-skip" not in cell.metadata.get("tags", [])
        assert "NBVAL_SKIP" not in cell.source
        assert not cell.source.rstrip().endswith(";")
        assert "execution" not in cell.metadata


@notebooks
def test_every_figure_has_an_alt_text(path):
    drawn = [cell for cell in code_cells(path) if any("image/png" in output.get("data", {}) for output in cell.outputs)]
    texts = {cell.id: cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "") for cell in drawn}
    assert drawn
    assert [name for name, text in texts.items() if not re.fullmatch(r"\w.+\.", text)] == []
    assert len({*texts.values()}) == len(texts)


@notebooks
def test_a_notebook_is_small_enough_to_read_online(path):
    assert path.stat().st_size < 1_500_000


def test_every_exercise_is_set_once():
    sources = "\n".join(cell.source for path in NOTEBOOKS for cell in code_cells(path))
    assert sorted(re.findall(r'exercises\.check\("(\w+)"', sources)) == sorted(EXERCISES)


@lessons
def test_a_lesson_opens_with_a_card(path):
    title = next(cell for cell in read(path).cells if cell.cell_type == "markdown" and cell.id != publishing.BADGE)
    assert title.source.startswith(f"# {int(path.stem[:2])}. ")
    assert re.findall(r"^> \*\*(.+?)\*\*", title.source, re.MULTILINE) == ["You will learn", "You need", "Time"]
    assert "minutes to read" in title.source


@lessons
def test_what_only_guards_is_hidden_in_one_cell(path):
    first, *others = code_cells(path)
    assert is_hidden(first)
    (closing,) = [cell for cell in others if is_hidden(cell)]
    assert closing.source.startswith("# @title Checks")
    for cell in others:
        if cell is closing:
            continue
        assert not re.search(r"^ *assert |\bclaims\.|\bledger\.finding\b", cell.source, re.MULTILINE), cell.id


@lessons
def test_every_folding_box_is_whole(path):
    text = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
    assert text.count("<details>") == text.count("</details>") == text.count("<summary>") == text.count("</summary>")
