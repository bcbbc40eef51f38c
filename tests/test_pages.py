"""What the README, CONTRIBUTING and the site's pages say: tables and figures are those of the records, links lead
somewhere, examples print what is shown, and the tree of files is that of the repository."""

import contextlib
import fnmatch
import importlib.util
import io
import json
import re
from collections import defaultdict
from pathlib import Path
from statistics import fmean
from urllib.parse import urlsplit

import nbformat
import pytest

from kdtutor.course import claims
from kdtutor.course.evidence import ledger, picture
from kdtutor.course.evidence.studies import small_student
from kdtutor.course.exercises import EXERCISES
from kdtutor.course.hinton import paper

ROOT = Path(__file__).parent.parent
PAGES = ROOT / "notebooks" / "site" / "pages"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    ROOT / "data" / "README.md",
    ROOT / "notebooks" / "assignments" / "README.md",
    *sorted(PAGES.rglob("*.md")),
]


def text_of(path):
    return path.read_text(encoding="utf-8")


def in_one_line(text):
    return " ".join(text.split())


@pytest.fixture(scope="module")
def execute():
    """The module `notebooks/execute.py`, which isn't part of the package."""
    spec = importlib.util.spec_from_file_location("execute", ROOT / "notebooks" / "execute.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def findings(execute):
    return execute.all_findings()


# Tables and figures


def test_the_ledger_is_what_was_found(findings):
    assert json.loads(text_of(ROOT / "data" / "claims.json")) == {"findings": findings}
    assert {row["claim"] for row in findings} == {*claims.CLAIMS}, "each claim of the ledger has been put to the test"


def test_the_pages_have_the_tables_that_were_measured(execute, findings):
    pages = execute.pages(findings)
    assert {path.name for path in pages} == {"claims.md", "evidence.md", "hinton.md"}
    for path, text in pages.items():
        assert text_of(path) == text, f"{path}: `make notebooks` writes its table"


def test_the_readme_says_what_the_records_have():
    readme = in_one_line(text_of(ROOT / "README.md"))
    few, shifted = picture.mean_errors(small_student.FEW), picture.mean_errors(small_student.FEW_SHIFTED)
    soft, hard = picture.mean_errors(small_student.SOFT), picture.mean_errors(small_student.HARD)
    labels = picture.mean_errors(small_student.ALL)
    assert (
        f"On 1,000 labels it makes {few} errors of 10,000, on shifted images of them {shifted}. "
        f"From the teacher's probabilities on 10,000 images it makes {soft}"
    ) in readme
    assert f"The classes that it names do nearly as well ({hard}), and so do true labels ({labels})." in readme
    assert f"{len(claims.CLAIMS)} claims about distillation" in readme


def test_the_three_findings_say_what_the_records_have():
    page = in_one_line(text_of(PAGES / "claims.md"))
    assert page.startswith("# What we found ## Three findings that surprise ")

    without_3s = paper.students(paper.records(), "without 3", "train")
    wrong = fmean(row["corrected"]["validation"]["test_wrong_threes"] for row in without_3s)
    assert f"it gets {100 * (1 - wrong / paper.THREES):.0f} of 100 of them right" in page

    few, hard = picture.mean_errors(small_student.FEW), picture.mean_errors(small_student.HARD)
    soft = picture.mean_errors(small_student.SOFT)
    assert f"makes {few} errors of 10,000 on 1,000 labels, {hard} on the classes that the teacher names" in page
    assert f"for 10,000 images, and {soft} on its probabilities" in page
    second_step = ledger.compare(*picture.EXPERIMENT, small_student.HARD, small_student.SOFT).interval
    assert second_step.low < 0 < second_step.high, "whether the second step is luck, nobody can tell"

    same_rate = ("one-rate", "20 views of 1,000 labels, one learning rate for both")
    low, high = (ledger.compare(*same_rate, f"labels at {rate}", f"teacher at {rate}") for rate in ("0.001", "0.03"))
    assert low.interval.low > 0 > high.interval.high
    assert f"makes about {round(low.mean, -1):.0f} errors *more*" in page
    assert f"At 0.03 it makes about {-round(high.mean, -1):.0f} *fewer*" in page


@pytest.mark.parametrize("name", ["mnist", "strokes"])
def test_the_comparison_that_ships_was_fair_to_both_sides(name):
    """Each side has the best of the values tried, with worse learning rates on either side of it."""
    record = json.loads(text_of(ROOT / "data" / f"distill-{name}" / "record.json"))
    settings, choice = record["settings"], record["choice"]
    tried = choice["validation errors"]
    rates = {side: choice["lr"].index(settings[side]["lr"]) for side in ("alone", "distilled")}
    assert all(0 < rate < len(choice["lr"]) - 1 for rate in rates.values())
    assert tried["alone"][rates["alone"]] == min(tried["alone"])

    weight = choice["alpha"].index(settings["distilled"]["alpha"])
    temperature = choice["temperature"].index(settings["distilled"]["temperature"])
    fewest = min(errors for of_rate in tried["distilled"] for of_weight in of_rate for errors in of_weight)
    assert tried["distilled"][rates["distilled"]][weight][temperature] == fewest
    assert 0 < temperature < len(choice["temperature"]) - 1
    assert not {*choice["seeds"]} & {*range(settings["seeds"])}


def test_instructors_are_told_how_many_exercises_there_are():
    assert f"exercise cells, {len(EXERCISES)} in all" in in_one_line(text_of(PAGES / "instructors.md"))


@pytest.mark.parametrize("path", [ROOT / "README.md", PAGES / "diagnose.md"], ids=lambda path: path.stem)
def test_a_diagnosis_that_is_shown_is_what_it_gets(path):
    text = text_of(path)
    (code,) = re.findall(r"```python\n([^`]*print\(diagnose\(kd_loss\)\))\n```", text)
    scope = {}
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(code, scope)
    lines = printed.getvalue().splitlines()
    assert "\n".join(f"    {line}" for line in lines[:2]) in text
    assert len(scope["diagnose"](scope["kd_loss"]).mistakes) == 3


# Links


def links(text):
    """The targets of a text's links and pictures, without those in code."""
    without_code = re.sub(r"^```.*?^```|`[^`\n]+`", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"\]\(([^)\s]+)\)", without_code)


def places(path):
    """What can be named after # in a document: its headings, as GitHub and the site name them."""
    headings = re.findall(r"^#+ (.+)$", text_of(path), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def dead(path, text):
    """The relative links of a document that lead nowhere."""
    for link in links(text):
        url = urlsplit(link)
        if url.scheme:
            continue
        target = (path.parent / url.path).resolve() if url.path else path
        if not target.exists() or (url.fragment and url.fragment not in places(target)):
            yield link


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_link_of_a_document_is_dead(path):
    assert [*dead(path, text_of(path))] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_link_of_a_notebook_is_dead(path):
    cells = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown"]
    assert [*dead(path, "\n".join(cells))] == []


def test_the_search_for_links_finds_some():
    assert len(links(text_of(ROOT / "README.md"))) > 20
    assert [*dead(ROOT / "README.md", "[a](README.md) [b](nowhere.md) [c](#nothing) [d](#the-course)")] == [
        "nowhere.md",
        "#nothing",
    ]


def test_every_command_that_a_document_names_is_a_target_of_the_makefile():
    targets = {*re.findall(r"^([a-z0-9-]+):", text_of(ROOT / "Makefile"), re.MULTILINE)}
    named = {
        name for path in DOCUMENTS for name in re.findall(r"(?:`|^    )make ([a-z0-9-]+)", text_of(path), re.MULTILINE)
    }
    assert {"distill", "test"} <= named <= targets


# The tree of files in CONTRIBUTING


IGNORED = {"data/MNIST", "data/strokes-1.safetensors"}  # what data/ may have besides what ships


def tree():
    """The names that CONTRIBUTING's tree has in each folder: {"kdtutor": {"losses", "data/", …}, …}.

    A line is indented by its depth and has names, then two spaces and words about them. If the first name ends in /,
    the names that follow are in that folder, and so are those on lines that are indented below it.
    """
    (block,) = re.findall(r"```text\n(.*?)```", text_of(ROOT / "CONTRIBUTING.md"), re.DOTALL)
    names = defaultdict(set)
    open_folders = [(-1, "")]  # (indent, path) of the folders that a line is in
    for line in block.splitlines():
        indent = len(line) - len(line.lstrip())
        while open_folders[-1][0] >= indent:
            open_folders.pop()
        folder = open_folders[-1][1]

        first, *others = line.strip().partition("  ")[0].split()
        names[folder].add(first)
        if first.endswith("/"):
            folder = f"{folder}/{first}".strip("/")
            open_folders.append((indent, folder))
        names[folder].update(others)
    return {folder: listed for folder, listed in names.items() if listed}


def entries(folder):
    """What a folder has: folders with a /, modules of the package without .py, files by name."""
    for path in sorted((ROOT / folder).iterdir()):
        name = path.name
        hidden = name.startswith((".", "__pycache__")) or name.endswith(".egg-info")
        if hidden or path.relative_to(ROOT).as_posix() in IGNORED:
            continue
        if path.is_dir():
            yield f"{name}/"
        elif not folder.startswith("kdtutor"):
            yield name
        elif path.suffix == ".py" and name != "__init__.py":
            yield path.stem


# The folders whose files the tree lists: the package down to its modules, the others at their top.
PACKAGES = sorted(path.parent.relative_to(ROOT).as_posix() for path in (ROOT / "kdtutor").rglob("__init__.py"))
FOLDERS = ["notebooks", "tests", "data", *PACKAGES]


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_tree_in_contributing_is_that_of_the_repository(folder):
    there, listed = {*entries(folder)}, tree().get(folder, set())
    missing = {name for name in there if not any(fnmatch.fnmatch(name, pattern) for pattern in listed)}
    invented = {pattern for pattern in listed if not fnmatch.filter(there, pattern)}
    assert not missing | invented, (
        f"{folder}/ in CONTRIBUTING.md: missing {sorted(missing)}, invented {sorted(invented)}. "
        f"It has: {' '.join(sorted(there))}"
    )


def test_the_tree_opens_no_other_folder_and_names_no_other_file():
    assert {*tree()} == {"", *FOLDERS}
    assert [name for name in tree()[""] if not (ROOT / name).exists()] == []


def test_contributing_is_short():
    assert len(text_of(ROOT / "CONTRIBUTING.md").splitlines()) <= 80


def test_the_readme_is_short():
    assert len(text_of(ROOT / "README.md").encode()) <= 10_000
