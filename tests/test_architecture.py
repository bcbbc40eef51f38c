"""What holds of the package and the notebooks as a whole: who imports whom, what is written down, what is stored."""

import contextlib
import importlib
import inspect
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

import kdtutor
from kdtutor.course import claims, publishing
from kdtutor.course.documents import insert
from kdtutor.course.exercises import EXERCISES
from kdtutor.course.hinton import paper

ROOT = Path(__file__).parent.parent
PACKAGE = Path(kdtutor.__file__).parent
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
ASSIGNMENTS = sorted((ROOT / "notebooks" / "assignments").glob("*.ipynb"))


def test_importing_kdtutor_loads_nothing_heavy_besides_torch():
    code = "import sys, torch; before = {*sys.modules}; import kdtutor; print(*{*sys.modules} - before)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())
    assert "kdtutor.training" in loaded
    assert not loaded & {"torchvision", "matplotlib", "scipy", "tqdm", "IPython", "ipywidgets"}


@pytest.mark.parametrize("name", [name for name in MODULES if not name.split(".")[-1].startswith("_")])
def test_what_is_public_has_a_docstring(name):
    module = importlib.import_module(f"kdtutor.{name}")
    public = {
        key: value
        for key, value in vars(module).items()
        if not key.startswith("_")
        and (inspect.isfunction(value) or inspect.isclass(value))
        and value.__module__ == module.__name__
    }
    assert module.__doc__
    assert [key for key, value in public.items() if not value.__doc__ or value.__doc__.startswith(f"{key}(")] == []


def test_what_the_package_exports_exists():
    assert sorted(kdtutor.__all__) == list(kdtutor.__all__)
    assert all(hasattr(kdtutor, name) for name in kdtutor.__all__)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_fits_in_the_head(module):
    assert len(MODULES[module].read_text(encoding="utf-8").splitlines()) <= 260


def read(path):
    return nbformat.read(path, as_version=4)


def code_cells(path):
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


notebooks = pytest.mark.parametrize("path", [*NOTEBOOKS, *ASSIGNMENTS], ids=lambda path: path.stem)


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


def test_the_readme_has_the_ledger_that_the_notebooks_found():
    findings = claims.collect(NOTEBOOKS)
    assert json.loads((ROOT / "data" / "claims.json").read_text(encoding="utf-8")) == {"findings": findings}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert insert(readme, "ledger", claims.markdown(findings)) == readme
    assert {row["claim"] for row in findings} == {*claims.CLAIMS}, "each claim of the ledger has been put to the test"


def test_the_readme_has_the_papers_figures_beside_the_records():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert insert(readme, "paper", paper.markdown(paper.records())) == readme


def test_the_readmes_diagnosis_is_what_it_gets():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n([^`]*print\(diagnose\(kd_loss\)\))\n```", readme)
    scope = {}
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(code, scope)
    lines = printed.getvalue().splitlines()
    assert "\n".join(f"    {line}" for line in lines[:2]) in readme
    assert len(scope["diagnose"](scope["kd_loss"]).mistakes) == 3
