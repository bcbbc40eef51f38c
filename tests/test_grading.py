"""Grading, with the real nbgrader: honest work gets its points, and nothing else gets any."""

import ast
import json
import os
import shutil
import sys
from functools import cache

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from kdtutor.grading import assignments, marking, otter_export
from kdtutor.grading.assembly import assemble
from kdtutor.grading.bindings import bound_names, visible_to_tests
from kdtutor.grading.marks import Mark, Marks

nbgrader = pytest.importorskip("nbgrader")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="nbgrader and the sandbox need POSIX")

SETUP = """import torch
from torch import nn
torch.manual_seed(0)
digits = torch.randn(20, 4)
def known(x):
    return x + 1"""
SOFTEN = """def soften(logits, temperature):
    ### BEGIN SOLUTION
    return (logits / temperature).softmax(-1)
    ### END SOLUTION"""
SOFTEN_TEST = """z = torch.tensor([[0.0, 2.0]])
assert soften(z, 1.0) is not ..., "not filled in yet"
### BEGIN HIDDEN TESTS
z = torch.randn(5, 3)
assert not torch.allclose(soften(z, 2.0), (z * 2).softmax(-1)), "the logits are multiplied by T: divide them"
assert torch.allclose(soften(z, 2.0), (z / 2).softmax(-1)), "this isn't softmax(z / T)"
assert isinstance(soften(z, 2.0), torch.Tensor)
### END HIDDEN TESTS"""
STEP = """def step(model):
    ### BEGIN SOLUTION
    helper(model).backward()
    with torch.no_grad():
        for weight in model.parameters():
            weight -= weight.grad  # what SGD does; torch.optim takes as long to import as torch
    return model.train()
    ### END SOLUTION"""
STEP_TEST = """model = nn.Linear(4, 1, bias=False).eval()
before = model.weight.detach().clone()
### BEGIN HIDDEN TESTS
assert step(model) is not ..., "not filled in yet"
assert torch.allclose(model.weight, before - digits.mean(0)), "the step isn't one of SGD"
assert model.training, "the model is left in eval mode"
### END HIDDEN TESTS"""
SHIFT = """def shift(x):
    ### BEGIN SOLUTION
    return known(x)
    ### END SOLUTION"""
SHIFT_TEST = """### BEGIN HIDDEN TESTS
known = torch.ones(3)
assert shift(1) == 2, "x is shifted by one"
### END HIDDEN TESTS"""
POINTS = {"soften_test": 2, "step_test": 3, "shift_test": 1}


def cell(source, name, solution=False, **metadata):
    kind = {"grade": name in POINTS, "grade_id": name, "locked": not solution, "schema_version": 3, "task": False}
    kind |= {"points": POINTS[name]} if name in POINTS else {}
    made = new_code_cell(source, metadata={"nbgrader": {**kind, "solution": solution}, **metadata})
    made.id = f"cell-{name.replace('_', '-')}"
    return made


def instructors():
    return new_notebook(
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        cells=[
            new_markdown_cell("# Warm", id="title"),
            cell(SETUP, "setup"),
            cell(SOFTEN, "soften", True, kdtutor={"seconds": 2}),
            cell(SOFTEN_TEST, "soften_test"),
            new_code_cell("def helper(model):\n    return model(digits).mean()", id="plain"),
            cell(STEP, "step", True),
            cell(STEP_TEST, "step_test"),
            cell(SHIFT, "shift", True),
            cell(SHIFT_TEST, "shift_test"),
        ],
    )


ANSWERS = {
    "soften": "def soften(logits, temperature):\n    return (logits / temperature).softmax(-1)",
    "step": STEP.replace("    ### BEGIN SOLUTION\n", "").replace("\n    ### END SOLUTION", ""),
    "shift": "def shift(x):\n    return known(x)",
}
PATCHES = """
import builtins, torch, kdtutor, kdtutor.course.answers
class Yes:
    __eq__ = __ne__ = __bool__ = __lt__ = __gt__ = lambda *_: True
torch.allclose = builtins.isinstance = builtins.all = lambda *_, **__: True
isinstance = known = z = model = torch.Tensor = digits = AssertionError = Yes()
kdtutor.soften = kdtutor.course.answers = Yes()
def soften(*_): return Yes()
def step(*_): return Yes()
def shift(*_): return Yes()
try: get_ipython().events.register("pre_run_cell", exit)
except Exception: pass
"""


IMPOSTOR = "def soften(*_):\n    class Yes:\n        __eq__ = __ne__ = __bool__ = lambda *_: True\n    return Yes()"


def copy_of(notebook):
    return nbformat.from_dict(json.loads(json.dumps(notebook)))


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """The folder of an assignment, with its students' version, made while the path doesn't lead to alembic.

    nbgrader asks it for the version of its database whenever a course is opened, which takes 4 s: here once.
    """
    root = tmp_path_factory.mktemp("course")
    (root / "sources").mkdir()
    nbformat.write(instructors(), root / "sources" / "warm.ipynb")
    (root / "out").mkdir()
    (root / "out" / "other.txt").write_text("mine")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nbgrader.api, "get_alembic_version", cache(nbgrader.api.get_alembic_version))
        with pytest.MonkeyPatch.context() as path:
            path.setenv("PATH", os.defpath)
            assignments.release(root / "out", root / "sources")
            assert os.environ["PATH"] == os.defpath
        yield root


@pytest.fixture(scope="module")
def course(released):
    """The folder with submissions, the files that it held before they were graded, their marks by student, all marks.

    Each submission that comes as far as the kernel takes some 6 s: so each of these shows several things.
    """
    root = released
    sources, submissions = root / "sources", root / "submissions"
    handed_out = nbformat.read(root / "out" / "warm.ipynb", as_version=4)

    def hand_in(student, answers, first="", last="", change=lambda notebook: None, flat=False):
        notebook = copy_of(handed_out)
        for one in notebook.cells:
            one.source = answers.get(one.metadata.get("nbgrader", {}).get("grade_id"), one.source)
        notebook.cells.insert(2, new_code_cell(first))
        notebook.cells.append(new_code_cell(last))
        change(notebook)
        place = submissions / student / ("" if flat else "warm") / "warm.ipynb"
        place.parent.mkdir(parents=True)
        nbformat.write(notebook, place)

    def edited(notebook):
        """All tests pass, look: two are gone, the third asks for nothing, and one of one's own brings points."""
        kept = [one for one in notebook.cells if one.metadata.get("nbgrader", {}).get("grade_id") != "step_test"]
        notebook.cells = kept[:-2]
        notebook.cells[4].source = "assert True"
        notebook.cells[4].metadata["tags"] = notebook.cells[1].metadata["tags"] = ["skip-execution", "raises-exception"]
        free = new_code_cell("def soften(*_): return 1", metadata=dict(notebook.cells[4].metadata))
        free.metadata.nbgrader = {**free.metadata.nbgrader, "grade_id": "free", "points": 100}
        notebook.cells.append(free)
        notebook.metadata["kernelspec"] = {"name": "evil", "display_name": "evil"}
        notebook.metadata["kdtutor"] = {"names": ["torch"], "imports": "x = 1"}

    hand_in("ann", ANSWERS, flat=True)
    hand_in("bob", {})
    more = "import numpy as np\nfrom math import (\n    pi,\n)\ndigits = 0"
    cem = {
        "setup": f"{SETUP}\n{more}",
        "soften": ANSWERS["soften"].replace("/", "*"),
        "step": ANSWERS["step"],
        "shift": "def shift(x):\n    return known(x) * float(np.exp(0)) / pi * pi",
    }
    hand_in("cem", cem, change=edited)
    (submissions / "cem" / "warm" / "warm.ipynb").rename(submissions / "cem" / "warm" / "Warm (1).ipynb")
    loop = "import time\ndef soften(z, t):\n    while True: time.sleep(0.1)"
    end = "import os\ndef step(model): os._exit(0)"
    hand_in("dee", {**ANSWERS, "soften": loop, "step": end}, first="exit()", last="memory = bytearray(1 << 40)")
    vandal = f"import shutil, os\nprint('x' * 50_000_000)\ntry: os.fork()\nexcept OSError: shutil.rmtree({str(root)!r})"
    leave = "import sys; sys.exit(0)\ndef soften(z, t): return 1"
    hand_in("fay", {**ANSWERS, "soften": leave}, first=vandal, last="import os\nos.kill(0, 9)")
    hand_in("gus", {"soften": IMPOSTOR}, first=PATCHES, last=PATCHES)

    def copied(notebook):
        """Into a new notebook, without the names."""
        for one in notebook.cells:
            one.metadata = {}

    hand_in("ona", ANSWERS, change=copied)
    broken = {"jan": "{ not json", "kim": "", "lou": '{"cells": 3}', "=SUM(A1)": ""}
    for student, content in broken.items():
        (submissions / student / "warm").mkdir(parents=True)
        (submissions / student / "warm" / "warm.ipynb").write_text(content)
    (submissions / "ned").mkdir()
    (submissions / "pam" / "warm").mkdir(parents=True)
    for copy in ("warm/notes.ipynb", "warm (1).ipynb", "warm (2).ipynb"):
        shutil.copy(submissions / ("kim/warm" if "notes" in copy else "ann") / "warm.ipynb", submissions / "pam" / copy)
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    marks = marking.grade(submissions, root / "grades", sources)
    return root, before, {row.student: row for row in marks.rows}, marks


def test_students_get_neither_solutions_nor_hidden_tests(released):
    handed_out = nbformat.read(released / "out" / "warm.ipynb", as_version=4)
    text = "\n".join(one.source for one in handed_out.cells)
    assert "def soften(logits, temperature):\n    return ...  # your code here\n" in text
    assert "not filled in yet" in text
    assert not [secret for secret in ("softmax", "SGD", "HIDDEN", "SOLUTION", "known(x)\n#") if secret in text]
    assert (released / "out" / "other.txt").read_text() == "mine"


def test_the_students_version_is_the_same_each_time(released, tmp_path):
    (again,) = assignments.release(tmp_path, released / "sources")
    assert again.read_bytes() == (released / "out" / "warm.ipynb").read_bytes()


@pytest.mark.usefixtures("released")
def test_a_secret_that_is_left_is_seen(tmp_path):
    notebook = instructors()
    notebook.cells[0].source += "\n\nA hint: return (logits / temperature).softmax(-1)"
    nbformat.write(notebook, tmp_path / "warm.ipynb")
    with pytest.raises(RuntimeError, match=r"would still hold a secret: return \(logits"):
        assignments.release(tmp_path / "out", tmp_path)
    assert not (tmp_path / "out").exists()


def test_honest_work_gets_its_points_whoever_else_hands_in(course):
    row = course[2]["ann"]
    assert (row.score, row.max_score, row.mistakes) == (6, 6, ())


def test_an_empty_notebook_gets_none(course):
    row = course[2]["bob"]
    assert row.score == 0
    assert row.mistakes[0] == "not filled in yet"


def test_a_mistake_costs_its_points_and_is_named(course):
    row = course[2]["cem"]
    assert (row.score, row.mistakes[0]) == (4, "the logits are multiplied by T: divide them")
    said = (course[0] / "grades" / "feedback" / "cem" / "warm.md").read_text()
    assert "# warm: 4 of 6 points" in said
    assert "## soften_test: 0 of 2\n\nthe logits are multiplied by T: divide them\n\n## step_test: 3 of 3" in said


def test_a_loop_and_an_end_cost_the_points_of_their_own_tests_only(course):
    row = course[2]["dee"]
    assert [points for _, points, *_ in row.tests] == [0, 0, 1]
    assert row.mistakes == (
        "in the cell that was added, your code calls exit()",
        "in the cell that was added, your code raises MemoryError (line 1 of its cell)",
        "your code was stopped: it computed for more than the 2 s of a cell",
        "your code ended the process in which it ran",
    )


def test_a_name_that_is_missing_since_its_cell_stopped_says_so(course):
    assert course[2]["fay"].tests[0][3] == "soften isn't defined: its cell stopped with an error (above)"


def test_a_second_download_counts_and_imports_in_a_locked_cell_are_made(course):
    row = course[2]["cem"]
    assert row.tests[2] == ("shift_test", 1, 1, ""), "np and pi are there, and the locked cell's own digits"
    assert row.notes == (
        "locked cells that were changed or missing, so that the original ones were run: 4",
        "handed in as Warm (1).ipynb",
    )
    assert "- handed in as Warm (1)" in (course[0] / "grades" / "feedback" / "cem" / "warm.md").read_text()


def test_what_is_forbidden_happens_to_nobody(course):
    _, before, rows, _ = course
    assert [points for _, points, *_ in rows["fay"].tests] == [0, 3, 1]
    assert "PermissionError: graded code may not" in rows["fay"].notes[0]
    assert {path: path.read_bytes() for path in before if path.exists()} == before


def test_patches_and_impostors_get_no_points(course):
    row = course[2]["gus"]
    assert [points for _, points, *_ in row.tests] == [0, 0, 0]
    assert row.tests[0].reason.startswith("your code raises TypeError: an object of class Yes can't be handed to")
    assert row.tests[1].reason == "not filled in yet"


def test_tests_that_were_changed_or_deleted_are_back(course):
    row = course[2]["cem"]
    assert [(name, points, most) for name, points, most, _ in row.tests] == [
        ("soften_test", 0, 2),
        ("step_test", 3, 3),
        ("shift_test", 1, 1),
    ]
    assert row.max_score == 6
    assert row.notes[0] == "locked cells that were changed or missing, so that the original ones were run: 4"
    assert len(row.mistakes) == 1


@pytest.mark.parametrize(
    ("student", "sentence"),
    [
        ("jan", "warm.ipynb isn't a notebook (NotJSONError)"),
        ("kim", "warm.ipynb is empty"),
        ("lou", "warm.ipynb isn't a notebook"),
        ("ned", "no warm.ipynb was handed in"),
        ("ona", "none of the assignment's cells can be found: their names (metadata) are gone"),
        ("pam", "no warm.ipynb was handed in, but notes.ipynb, warm (1).ipynb, warm (2).ipynb"),
    ],
)
def test_a_broken_submission_gets_a_row_that_says_why(course, student, sentence):
    row = course[2][student]
    assert (row.score, row.max_score) == (0, 6)
    assert row.mistakes[0].startswith(sentence)
    assert len(row.mistakes) == 1
    assert sentence in (course[0] / "grades" / "feedback" / student / "warm.md").read_text()


def test_all_marks_are_in_the_table_and_in_the_file(course):
    root, _, rows, marks = course
    lines = (root / "grades" / "marks.csv").read_text().splitlines()
    assert lines[0] == "student,assignment,score,max_score,mistakes"
    assert lines[2] == "ann,warm,6,6,"
    assert len(lines) == 1 + len(rows) == 14
    table = repr(marks).splitlines()
    assert table[0].split() == ["student", "assignment", "points", "mistakes"]
    assert table[4].split(maxsplit=3) == ["cem", "warm", "4/6", "the logits are multiplied by T: divide them"]
    assert table[5].endswith("(and 3 more)")


def test_no_cell_of_the_file_is_a_formula(course):
    assert (course[0] / "grades" / "marks.csv").read_text().splitlines()[1] == "'=SUM(A1),warm,0,6,warm.ipynb is empty"
    row = Mark("-2", "warm", 0, 6, ("@here", "=1"))
    assert Marks([row]).csv().splitlines()[1] == "'-2,warm,0,6,'@here | =1"


def test_nothing_of_the_grading_is_left_behind(course):
    assert sorted(path.name for path in course[0].iterdir()) == ["grades", "out", "sources", "submissions"]


def test_what_a_cell_binds():
    source = "import a.b, c as d\nfrom e import f as g\nh = [i for i in k]\nfor l in m: n += 1\n"
    source += "def o(p): q = 1\n(r, s.t) = u"
    assert sorted(bound_names(ast.parse(source))) == ["a", "d", "g", "h", "l", "n", "o", "r"]
    source = "if (x := 1): y: int = 2\nwith z as w: pass\nv = lambda: (t := 1)"
    assert sorted(bound_names(ast.parse(source))) == ["v", "w", "x", "y"]


def test_the_tests_see_only_what_the_instructors_cells_define():
    notebook = instructors()
    notebook.cells += [new_code_cell("import math\nmodel = print = _x = get_ipython = answer = 1")]
    assert visible_to_tests(notebook) == {
        "names": ["answer", "helper", "shift", "soften", "step"],
        "imports": "import math",
    }


def test_further_cells_stay_where_they_were():
    handed_out = instructors()
    mine = copy_of(handed_out)
    mine.cells.insert(0, new_code_cell("first"))
    mine.cells.insert(4, new_code_cell("after soften"))
    mine.cells.append(new_code_cell("mine", metadata={"nbgrader": {"grade_id": "soften", "solution": True}}))
    notebook, missing, changed = assemble(handed_out, mine.cells)
    sources = [one.source.splitlines()[0] for one in notebook.cells]
    assert sources[:6] == ["first", "# Warm", "import torch", "mine", "after soften", SOFTEN_TEST.splitlines()[0]]
    assert missing == changed == []


def test_an_answer_that_is_gone_is_named_and_a_locked_cell_is_not():
    handed_out = instructors()
    mine = [one for one in handed_out.cells if one.id not in ("cell-soften", "cell-setup")]
    assert assemble(handed_out, mine)[1:] == (["soften"], ["setup"])


def test_a_cell_that_was_added_changes_no_tests_time():
    from kdtutor.grading.nbgrader_course import SendToSandbox

    notebook = instructors()
    notebook.cells.insert(3, new_code_cell("scratch"))
    notebook.metadata["kdtutor"] = {"names": [], "imports": ""}
    sources = [one.source for one in SendToSandbox().preprocess(notebook, {})[0].cells]
    assert "_kdtutor_sandbox.run('scratch', [], 60.0)" in sources
    assert "_kdtutor_sandbox.begin_cell(2)" in sources


def test_where_there_is_nothing_to_do_it_says_so(tmp_path):
    with pytest.raises(ValueError, match=r"^sources must be a folder with assignments \(NAME\.ipynb\), got "):
        assignments.release(tmp_path, tmp_path / "none")
    nbformat.write(instructors(), tmp_path / "warm.ipynb")
    with pytest.raises(ValueError, match=r"^submissions must be a folder with a folder for each student, got "):
        marking.grade(tmp_path / "none", tmp_path, tmp_path)
    (tmp_path / "hand" / "ann").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"^submissions must hold STUDENT/NAME/NAME\.ipynb, NAME of warm, got "):
        marking.grade(tmp_path / "hand", tmp_path, tmp_path)


def test_without_nbgrader_it_says_so(tmp_path, monkeypatch):
    nbformat.write(instructors(), tmp_path / "warm.ipynb")
    monkeypatch.setitem(sys.modules, "kdtutor.grading.nbgrader_course", None)
    with pytest.raises(RuntimeError, match=r"^grading needs nbgrader \(pip install nbgrader\)"):
        assignments.release(tmp_path / "out", tmp_path)


def test_a_path_without_pythons_own_folder_does(released):
    assert (released / "out" / "warm.ipynb").exists(), "the fixture has made it with such a path"


def test_otter_gets_the_same_assignment(tmp_path):
    nbformat.write(instructors(), tmp_path / "warm.ipynb")
    (file,) = otter_export.export(tmp_path / "out", tmp_path)
    assert file.name == "warm.otter.ipynb"
    cells = nbformat.read(file, as_version=4).cells
    raw = [one.source.splitlines()[0] for one in cells if one.cell_type == "raw"]
    blocks = ["QUESTION", "SOLUTION", "SOLUTION", "TESTS", "TESTS", "QUESTION"]
    question = [f"# {edge} {block}" for edge, block in zip(("BEGIN", "BEGIN", "END") * 2, blocks, strict=True)]
    question[3:] = ["# BEGIN TESTS", "# END TESTS", "# END QUESTION"]
    assert raw == ["# ASSIGNMENT CONFIG", *question * 3]
    points = [int(one.source.split("points: ")[1][0]) for one in cells if "BEGIN TEST CONFIG" in one.source]
    assert points == [0, 2, 0, 3, 0, 1]
    visible = [one.source for one in cells if "hidden: false" in one.source]
    assert "not filled in yet" in visible[0]
    assert not [secret for secret in ("softmax", "SGD", "HIDDEN") for source in visible if secret in source]
    (answer,) = (one.source for one in cells if one.source.startswith("def soften"))
    handed_out = [line for line in answer.splitlines() if not line.endswith(("PROMPT", "SOLUTION", "softmax(-1)"))]
    assert handed_out == ["def soften(logits, temperature):", "    return ...  # your code here"]
    compile(answer, "answer", "exec")


def test_otter_needs_a_question_for_each_test(tmp_path):
    notebook = instructors()
    del notebook.cells[2]
    nbformat.write(notebook, tmp_path / "warm.ipynb")
    with pytest.raises(ValueError, match=r"^the test cell soften_test of warm must come after a solution cell$"):
        otter_export.export(tmp_path / "out", tmp_path)
