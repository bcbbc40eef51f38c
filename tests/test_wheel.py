"""An installed wheel, without the course around it: what the package needs ships inside it, and what needs the course
says so."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
USE = """
import contextlib, io, json, sys
import torch
import kdtutor as kd
from kdtutor.course import exercises, publishing, teachers
from kdtutor.course.hinton import paper
from kdtutor.data import strokes
from kdtutor.diagnosis import diagnose
from kdtutor.grading import assignments

def printed(function, *arguments):
    with contextlib.redirect_stdout(io.StringIO()) as output:
        function(*arguments)
    return output.getvalue()

def refusal(function, *arguments):
    try:
        function(*arguments)
    except FileNotFoundError as error:
        return str(error)

result = {"file": kd.__file__}
result["right"] = printed(exercises.check, "soften", lambda z, T: torch.softmax(z / T, -1))
result["wrong"] = printed(exercises.check, "soften", lambda z, T: torch.softmax(z * T, -1))
result["mistakes"] = len(diagnose(kd.distillation_loss).mistakes)

images, labels, test_images, test_labels = strokes.make(train=500, test=200)
teacher, record = teachers.load_teacher("strokes")
result["teacher"] = record["data"], teachers.load_teacher("mnist")[1]["data"]
student = kd.mlp(784, 30, 10, seed=0)
test = kd.Split(test_images, test_labels)
before = kd.evaluate(student, test, device="cpu")
kd.distill(student, teacher, kd.Split(images, labels), epochs=2, device="cpu", progress=False)
result["errors"] = before[1], kd.evaluate(student, test, device="cpu")[1]

result["refusals"] = [
    refusal(paper.records),
    refusal(paper.load, "teacher"),
    refusal(publishing.repository),
    refusal(publishing.stamp, "owner/repo"),
    refusal(assignments.release, "out"),
]
print(json.dumps(result))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The folder of an unpacked wheel, built from a copy of the sources: a build leaves files beside them."""
    source = tmp_path_factory.mktemp("source")
    shutil.copytree(ROOT / "kdtutor", source / "kdtutor", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    built = tmp_path_factory.mktemp("built")
    subprocess.run([sys.executable, "-c", BUILD, str(built)], cwd=source, capture_output=True, check=True)

    (archive,) = built.glob("*.whl")
    unpacked = tmp_path_factory.mktemp("unpacked")
    zipfile.ZipFile(archive).extractall(unpacked)
    return unpacked


@pytest.fixture(scope="module")
def used(wheel, tmp_path_factory):
    """What a process in another folder gets out of the wheel."""
    folder = tmp_path_factory.mktemp("elsewhere")
    environment = {"PYTHONPATH": str(wheel), "KDTUTOR_DATA": str(folder), "OMP_NUM_THREADS": "1"}
    process = subprocess.run(
        [sys.executable, "-c", USE], cwd=folder, env=os.environ | environment, capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr
    result = json.loads(process.stdout.splitlines()[-1])
    assert Path(result["file"]).is_relative_to(wheel)
    return result


def test_each_file_of_the_package_is_in_the_wheel(wheel):
    files = {path.relative_to(ROOT) for path in (ROOT / "kdtutor").rglob("*") if path.is_file()}
    expected = {path for path in files if "__pycache__" not in path.parts}
    packed = {path.relative_to(wheel) for path in (wheel / "kdtutor").rglob("*") if path.is_file()}
    assert packed >= expected


def test_it_checks_exercises(used):
    assert used["right"].startswith("soften: correct, in 5 of 5 calls.")
    assert used["wrong"].startswith("soften: not yet. z is multiplied by T")


def test_it_diagnoses_a_loss(used):
    assert used["mistakes"] == 0


def test_it_has_the_teachers_and_distils(used):
    assert used["teacher"] == ["strokes", "mnist"]
    before, after = used["errors"]
    assert after < before - 1_000


def test_what_needs_the_course_says_so_in_one_sentence(used):
    for sentence in used["refusals"]:
        assert sentence is not None
        assert sentence.endswith(" is part of the course, and this kdtutor was installed without it")
