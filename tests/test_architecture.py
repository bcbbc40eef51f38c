"""What holds of the package as a whole: which module imports which, what is documented, and how long a module is."""

import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import kdtutor

ROOT = Path(__file__).parent.parent
PACKAGE = Path(kdtutor.__file__).parent
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
PUBLIC = [name for name in MODULES if not name.split(".")[-1].startswith("_")]


def test_imports_follow_the_contracts_in_pyproject():
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


def test_importing_kdtutor_loads_nothing_heavy_besides_torch():
    code = "import sys, torch; before = {*sys.modules}; import kdtutor; print(*{*sys.modules} - before)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())
    assert "kdtutor.training" in loaded
    assert not loaded & {"torchvision", "matplotlib", "scipy", "tqdm", "IPython", "ipywidgets"}


@pytest.mark.parametrize("name", PUBLIC)
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
