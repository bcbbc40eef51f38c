"""What `make floors` and `make colab-check` are made of, which themselves take too long to stand here; and that the
package is found from every folder."""

import re
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
REQUIRED = [line for line in requires("kdtutor") if Requirement(line).marker is None]  # without the extras


def lines(path):
    """A requirements file without comments and options."""
    text = re.sub(r" *#.*|^-.*", "", (ROOT / path).read_text(encoding="utf-8"), flags=re.MULTILINE)
    return text.split()


@pytest.mark.parametrize("line", [*REQUIRED, *lines("requirements.txt")])
def test_a_requirement_is_a_name_and_a_floor_as_make_floors_takes_it(line):
    assert re.fullmatch("[a-z-]+>=[0-9.]+", line)


@pytest.mark.parametrize("line", REQUIRED)
def test_colabs_image_has_what_the_package_requires(line):
    versions = dict(pin.split("==") for pin in lines("tests/environments/colab.txt"))
    wanted = Requirement(line)
    assert versions[wanted.name] in wanted.specifier


def test_the_package_is_found_from_the_folder_above_a_clone(tmp_path):
    """There the clone itself, a folder without __init__.py, has the package's name."""
    (tmp_path / "kdtutor").symlink_to(ROOT, target_is_directory=True)
    code = "import kdtutor; print(kdtutor.load.__name__)"
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert run.stdout == "load\n", run.stderr
