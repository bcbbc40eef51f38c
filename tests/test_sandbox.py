"""The sandbox: what comes out of it is what the code gives, and nothing else does.

A worker takes some 3 s to start, for torch: tests share one unless they end it, and forge one where it doesn't matter
who has sent an answer.
"""

import inspect
import math
import os
import platform
import sys
import time

import pytest
import torch
from torch import nn

import kdtutor as kd
from kdtutor.grading.sandbox import limits, messages, process, shell
from kdtutor.grading.sandbox.proxy import Proxy
from kdtutor.grading.sandbox.sandbox import Sandbox

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the sandbox needs POSIX")
LINUX = sys.platform == "linux"
ENFORCED = platform.machine() in limits.MACHINES and limits.landlock_version() > 0  # by the system


@pytest.fixture(scope="module")
def sandbox():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SECRET_TOKEN", "abc")
        sandbox = Sandbox(seconds=60)
    with sandbox:
        sandbox.run("import math, os, torch, numpy\nimport kdtutor as kd\nfrom torch import nn")
        yield sandbox


def define(sandbox, source):
    """The last name that the source binds, from there."""
    name = source.split("def ")[-1].split("(")[0] if "def " in source else source.split(" =")[0]
    sandbox.run(source, [name])
    return sandbox.namespace[name]


@pytest.mark.parametrize(
    "value",
    ["3", "-0.5", "True", "None", "'text'", "...", "[1, (2.0, {'a': None}), {3}]", "float('inf')", "torch.float16"],
)
def test_a_plain_value_comes_out_as_it_is(sandbox, value):
    assert define(sandbox, f"value = {value}") == eval(value)


@pytest.mark.parametrize("dtype", messages.DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (2, 3), (3, 0, 2)])
def test_a_tensor_comes_out_with_its_shape_type_and_numbers(sandbox, dtype, shape):
    given = define(sandbox, f"value = torch.arange({math.prod(shape)}).reshape({shape}).to(torch.{dtype})")
    assert given.dtype == messages.DTYPES[dtype]
    assert torch.equal(given, torch.arange(math.prod(shape)).reshape(shape).to(given.dtype))


def test_numpy_splits_and_networks_come_out_too(sandbox):
    assert define(sandbox, "value = numpy.arange(6.0).reshape(2, 3).T").tolist() == [[0, 3], [1, 4], [2, 5]]
    assert define(sandbox, "value = numpy.float32(0.5)") == 0.5
    split = define(sandbox, "value = kd.Split(torch.zeros(2, 1, 28, 28, dtype=torch.uint8), torch.tensor([1, 2]))")
    assert isinstance(split, kd.Split)
    assert split.labels.tolist() == [1, 2]
    model = define(sandbox, "value = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.25)).eval()")
    inputs = torch.randn(2, 1, 5, 5, generator=torch.Generator().manual_seed(0))
    assert isinstance(model[0], nn.Conv2d)
    assert not model.training
    assert (model[1].num_batches_tracked, model[2].p) == (0, 0.25)
    sandbox.run("def same(inputs): return value(inputs)", ["same"])
    assert torch.equal(model(inputs), sandbox.namespace["same"](inputs))
    assert [p.requires_grad for p in model.parameters()] == [True] * 4


def test_what_could_pretend_to_be_anything_stays_there(sandbox, capsys):
    sandbox.run(
        "class Yes(float):\n    __eq__ = lambda self, other: True\n"
        "class Net(nn.Linear):\n    forward = lambda self, x: x\n"
        "class Much(torch.Tensor): pass\n"
        "a, b, c, d = Yes(3), [Yes(3)], Net(2, 2), torch.zeros(2).as_subclass(Much)",
        ["a", "b", "c", "d"],
    )
    assert not {"a", "b", "c", "d"} & {*sandbox.namespace}
    said = capsys.readouterr().out
    assert "a: an object of class Yes can't be handed to the tests" in said
    assert "c: a network of class Net can't be handed to the tests" in said


def test_only_the_names_that_are_asked_for_come_out(sandbox):
    sandbox.run("wanted = 1; isinstance = print = lambda *_: True\ndel print", ["wanted"])
    assert sandbox.namespace["wanted"] == 1
    assert not {"isinstance", "print"} & {*sandbox.namespace}


def test_a_function_keeps_its_name_text_and_signature(sandbox):
    loss = define(sandbox, "def loss(a, /, b, *rest, t=4.0, **more):\n    'Half of it.'\n    return a")
    assert isinstance(loss, Proxy)
    assert (loss.__name__, loss.__doc__) == ("loss", "Half of it.")
    assert str(inspect.signature(loss)) == "(a, /, b, *rest, t=4.0, **more)"
    assert loss(5, 6, 7, x=8) == 5


def test_a_function_can_take_and_give_functions(sandbox):
    twice = define(sandbox, "def twice(f):\n    return lambda x: f(f(x))")
    more = define(sandbox, "def more(x): return x + 1")
    assert twice(more)(1) == 3
    assert twice(math.sqrt)(16) == 2


def test_a_call_is_differentiable_in_tensors_and_in_weights(sandbox):
    loss = define(
        sandbox,
        "def loss(model, x, t, w):\n    return (model(x) * w).pow(2).sum() * t.detach().sum(), x.argmax(), w * t",
    )
    generator = torch.Generator().manual_seed(0)
    x, t, w = (torch.randn(3, 4, generator=generator, requires_grad=True) for _ in range(3))
    model = nn.Linear(4, 4)
    value, index, product = loss(model, x, t, w)
    here = (model(x) * w).pow(2).sum() * t.detach().sum()
    torch.testing.assert_close(value, here)
    assert not index.requires_grad
    leaves = [x, t, w, *model.parameters()]
    given = torch.autograd.grad(value + product.sin().sum(), leaves)
    for one, other in zip(given, torch.autograd.grad(here + (w * t).sin().sum(), leaves), strict=True):
        torch.testing.assert_close(one, other)
    assert torch.autograd.grad(loss(model, x, t, w)[0], t, allow_unused=True) == (None,)


def test_a_result_without_gradient_has_none_here(sandbox):
    stopped = define(sandbox, "def stopped(x): return x.detach() * 2")
    x = torch.ones(3, requires_grad=True)
    assert not stopped(x).requires_grad
    free = define(sandbox, "def free(x): return x * 2")
    assert free(x).requires_grad
    with torch.no_grad():
        assert not free(x).requires_grad


def test_what_a_call_does_to_a_network_is_done_here(sandbox, images):
    train = define(
        sandbox,
        "def train(model, data, frozen):\n"
        "    model.train(); model[2].eval()\n"
        "    for p in frozen.parameters(): p.requires_grad_(False)\n"
        "    step = torch.optim.SGD(model.parameters(), lr=0.1)\n"
        "    nn.functional.cross_entropy(model(data.inputs / 255), data.labels).backward(); step.step()",
    )
    model, frozen = nn.Sequential(nn.Flatten(), nn.Linear(784, 10), nn.BatchNorm1d(10)).eval(), nn.Linear(2, 2)
    twin = nn.Sequential(nn.Flatten(), nn.Linear(784, 10), nn.BatchNorm1d(10))
    twin.load_state_dict(model.state_dict())
    twin[2].eval()
    train(model, images, frozen)
    nn.functional.cross_entropy(twin(images.inputs / 255), images.labels).backward()
    with torch.no_grad():
        for weight in twin.parameters():
            weight -= 0.1 * weight.grad
    torch.testing.assert_close(model.state_dict(), twin.state_dict())
    assert [module.training for module in model.modules()] == [True, True, True, False]
    assert not any(p.requires_grad for p in frozen.parameters())


def test_a_tensor_that_was_given_stays_as_it_is_and_the_result_counts(sandbox):
    spoil = define(sandbox, "def spoil(x, w):\n    x *= w\n    return x.sum()")
    x, w = torch.ones(3), torch.full((3,), 2.0, requires_grad=True)
    total = spoil(x, w)
    assert (x.tolist(), x.requires_grad) == ([1, 1, 1], False)
    assert total == 6
    assert torch.autograd.grad(total, w)[0].tolist() == [1, 1, 1]


def test_what_is_no_leaf_can_be_changed_in_place(sandbox):
    halve = define(sandbox, "def halve(x):\n    x /= 2\n    return x")
    x = torch.ones(3, requires_grad=True)
    assert torch.autograd.grad(halve(x * 3).sum(), x)[0].tolist() == [1.5] * 3
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):  # as torch says anywhere
        halve(x)


def test_a_network_that_grows_is_handed_over_as_it_came(sandbox):
    grow = define(sandbox, "def grow(model):\n    model.append(nn.ReLU())\n    model.eval()\n    return len(model)")
    model = nn.Sequential(nn.Linear(2, 2))
    assert grow(model) == 2
    assert (len(model), model[0].training) == (1, False)


def test_random_numbers_are_those_of_the_test(sandbox):
    draw = define(sandbox, "def draw(): return torch.rand(3)")
    torch.manual_seed(5)
    one, two = draw(), draw()
    torch.manual_seed(5)
    assert torch.equal(one, torch.rand(3))
    assert not torch.equal(one, two)
    define(sandbox, "def known(): torch.manual_seed(0)")()  # would choose the numbers that the test draws next
    assert not torch.equal(torch.rand(3), torch.rand(3, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("x = 1\ny = x / 0", r"^your code raises ZeroDivisionError: division by zero \(line 2 of its cell\)$"),
        ("def f(:\n  pass", r"^your code raises SyntaxError: .*line 1"),
        ("import sys; sys.exit('bye')", r"^your code calls exit\(\)$"),
        ("name = input('Who? ')", r"^your code waits for input\(\), which nobody answers in grading$"),
        ("raise KeyboardInterrupt", "^your code raises KeyboardInterrupt"),
        ("class Worst(Exception):\n  def __str__(self): raise self\nraise Worst", "Worst: an exception without words"),
        ("raise ValueError('x' * 10**6)", r"^your code raises ValueError: x{500} \("),
        ("a\0b", "null bytes"),
        ("bytearray(50 << 30)", "MemoryError"),
    ],
)
def test_an_error_is_one_sentence(sandbox, source, sentence):
    with pytest.raises(RuntimeError, match=sentence):
        sandbox.run(source)


def test_a_cell_that_fails_keeps_what_it_had_defined(sandbox):
    with pytest.raises(RuntimeError):
        sandbox.run("early = 1\n1 / 0\nlate = 2", ["early", "late"])
    assert sandbox.namespace["early"] == 1
    assert "late" not in sandbox.namespace


def test_magics_are_left_out_and_say_so(sandbox, capsys):
    sandbox.run("%matplotlib inline\n!echo hello\nafter = 1", ["after"])
    assert sandbox.namespace["after"] == 1
    assert capsys.readouterr().out == "%matplotlib is left out in grading.\n!echo hello is left out in grading.\n"
    sandbox.run("%%time\ntimed = 2", ["timed"])
    assert sandbox.namespace["timed"] == 2


def test_prints_are_cut(sandbox, capsys):
    sandbox.run("import sys\nfor _ in range(50): print('x' * 1_000_000)\nsys.stderr.write('end')")
    said = capsys.readouterr().out
    assert len(said) < shell.MAX_PRINTED_CHARACTERS + 100
    assert "more characters were printed" in said


def test_a_call_is_quick(sandbox):
    scale = define(sandbox, "def scale(x): return x * 2")
    x = torch.randn(64, 10)
    scale(x)
    start = time.perf_counter()
    for _ in range(100):
        scale(x)
    assert time.perf_counter() - start < 1, "10 ms a call; 0.4 ms on an idle machine"


FORBIDDEN = {
    "write": "open({victim!r}, 'w')",
    "append": "os.open({victim!r}, os.O_WRONLY | os.O_APPEND)",
    "read": "open({victim!r}).read()",
    "delete": "os.remove({victim!r})",
    "rename": "os.rename({victim!r}, 'mine')",
    "truncate": "os.truncate({victim!r}, 0)",
    "tree": "import shutil; shutil.rmtree({folder!r})",
    "link": "os.symlink({folder!r}, 'way'); open('way/victim', 'w')",
    "sqlite": "import sqlite3; sqlite3.connect({victim!r}).execute('create table t (x)')",
    "fork": "os.fork()",
    "system": "os.system('rm ' + {victim!r})",
    "process": "import subprocess; subprocess.run(['rm', {victim!r}])",
    "kill": "os.kill(os.getppid(), 9)",
    "socket": "import socket; socket.create_connection(('127.0.0.1', 9))",
    "name": "import socket; socket.getaddrinfo('localhost', 80)",
}
UNDERNEATH = {  # beneath Python, where only the system says no
    "torch.save": "torch.save({{}}, {victim!r})",
    "unlink": "assert libc.unlink({victim!r}.encode()) == 0",
    "fork": "assert libc.fork() > 0",
    "exec": "assert libc.execve(b'/bin/true', None, None) == 0",
    "socket": "assert libc.socket(2, 2, 0) > 0",
}


@pytest.mark.parametrize("attack", FORBIDDEN)
def test_the_world_outside_is_closed(sandbox, tmp_path, attack):
    victim = tmp_path / "victim"
    victim.write_text("here")
    with pytest.raises(RuntimeError, match=r"PermissionError: (graded code may not|\[Errno)"):
        sandbox.run(FORBIDDEN[attack].format(victim=str(victim), folder=str(tmp_path)))
    assert victim.read_text() == "here"


@pytest.mark.skipif(not ENFORCED, reason="this system can't refuse it")
@pytest.mark.parametrize("attack", UNDERNEATH)
def test_the_world_outside_is_closed_underneath_python_too(sandbox, tmp_path, attack):
    victim = tmp_path / "victim"
    victim.write_text("here")
    sandbox.run("import ctypes\nlibc = ctypes.CDLL(None)")
    with pytest.raises(RuntimeError, match=r"AssertionError|Permission denied|cannot be opened"):
        sandbox.run(UNDERNEATH[attack].format(victim=str(victim)))
    assert victim.read_text() == "here"


def test_ordinary_work_is_open(sandbox, tmp_path):
    sandbox.run(
        "import tempfile, threading, pathlib\n"
        "pathlib.Path('notes').write_text('mine'); assert open('notes').read() == 'mine'; os.remove('notes')\n"
        "with tempfile.TemporaryDirectory() as there: torch.save(torch.ones(2), there + '/x.pt')\n"
        "threading.Thread(target=int).start()\n"
        "data = kd.load('strokes')\n"
        "torch.optim.Adam(nn.Linear(2, 2).parameters()).step()\n"
    )


def test_the_environment_stays_outside(sandbox):
    sandbox.run("import os\nseen = sorted(os.environ)", ["seen"])
    assert "HOME" in sandbox.namespace["seen"]
    assert "SECRET_TOKEN" not in sandbox.namespace["seen"]


def test_the_start_costs_no_time_and_calls_share_that_of_their_cell():
    with Sandbox(seconds=1) as sandbox:
        sandbox.run("import time\ndef nap(seconds): time.sleep(seconds)", ["nap"])
        nap = sandbox.namespace["nap"]
        nap(0.5)
        with pytest.raises(RuntimeError, match=r"more than the 1 s of a cell"):
            nap(0.8)


def test_after_a_cell_that_was_stopped_the_next_goes_on():
    with Sandbox(seconds=60) as sandbox:
        sandbox.run("def one(): return 1\ndef forever():\n    while True: pass", ["one", "forever"])
        one = sandbox.namespace["one"]
        sandbox.begin_cell(seconds=0.5)
        start = time.perf_counter()
        with pytest.raises(
            RuntimeError, match=r"^your code was stopped: it computed for more than the 0\.5 s of a cell$"
        ):
            sandbox.namespace["forever"]()
        assert time.perf_counter() - start < 10
        with pytest.raises(RuntimeError, match=r"^one can't be called any more: your code was stopped"):
            one()
        sandbox.begin_cell()
        assert sandbox.namespace["one"]() == 1  # a new process, in which the cell was run again
        with pytest.raises(RuntimeError, match=r"^your code ended the process in which it ran$"):
            sandbox.run("import os\nos._exit(0)")
        sandbox.run("two = one() + 1", ["two"])
        assert sandbox.namespace["two"] == 2


@pytest.mark.skipif(not LINUX, reason="finds the pipe in /proc")
def test_code_that_answers_itself_is_not_understood():
    pipe = """
import os
names = {int(name): os.path.realpath(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")}
os.write(max(number for number, name in names.items() if "pipe" in name), b"garbage" * 100)
answer = 1
"""
    with Sandbox() as sandbox:
        with pytest.raises(RuntimeError, match=r"^the answer of your code can't be read$"):
            sandbox.run(pipe, ["answer"])
        assert sandbox.namespace == {}


WORKER = """
import os, struct, time

def say(text, data=b""):
    os.write(1, struct.pack("<IQ", len(text), len(data)) + text.encode() + data)

say("{}")  # it is ready
os.read(0, 1 << 16)  # a cell
"""


@pytest.fixture
def forge(monkeypatch):
    """Make a sandbox with a worker that answers a cell by the given source, and needs no torch."""

    def make(source):
        code = f"{WORKER}{source}\ntime.sleep(60)"
        monkeypatch.setattr(process, "START_CODE", code.replace("{", "{{").replace("}", "}}"))
        return Sandbox()

    return make


FALSE = {
    "noise": "os.write(1, b'garbage' * 100)",
    "too much": "os.write(1, struct.pack('<IQ', 1 << 31, 1 << 60))",
    "no message": "say('[]')",
    "depth": "say('[' * 20000)",
    "a method": """say('{"values": {"answer": ["module", "Linear", {"forward": 1}, {}, {}, {}]}, "lost": {}}')""",
    "a missing tensor": """say('{"values": {"answer": ["tensor", 3]}, "lost": {}}')""",
    "a strange kind": """say('{"values": {"answer": ["pickle", "x"]}, "lost": {}}')""",
}


@pytest.mark.parametrize("answer", FALSE)
def test_a_false_answer_ends_the_process_and_no_more(forge, answer):
    with forge(FALSE[answer]) as sandbox:
        with pytest.raises(RuntimeError, match=r"^the answer of your code can't be read$"):
            sandbox.run("answer = 1", ["answer"])
        assert sandbox.namespace == {}
        if answer == "no message":
            sandbox.begin_cell()
            assert not sandbox._process.ended


@pytest.mark.parametrize(
    "false",
    [
        '"changed": [0], "frozen": [], "tensors": [["int8", [1], false, 1]]',
        '"changed": [], "frozen": [[0, true]], "tensors": []',
    ],
)
def test_a_false_answer_changes_no_tensor_here(forge, false):
    text = f'{{"value": 1, "count": 0, "modes": [], "random": false, {false}}}'
    source = f"""
say('{{"values": {{"answer": ["function", 0, "answer", "", null]}}, "lost": {{}}}}')
os.read(0, 1 << 16)  # a call of the function
say({text!r}, bytes(1))
"""
    with forge(source) as sandbox:
        sandbox.run("def answer(x): return 1", ["answer"])
        x = torch.ones(3)
        with pytest.raises(RuntimeError, match=r"^the answer of your code can't be read$"):
            sandbox.namespace["answer"](x)
    assert (x.tolist(), x.requires_grad) == ([1, 1, 1], False)


def test_a_false_answer_names_nothing_that_was_not_asked_for(forge):
    with forge("""say('{"values": {"expect": 1, "answer": 2}, "lost": {}}')""") as sandbox:
        sandbox.run("answer = 2", ["answer"])
        assert sandbox.namespace == {"answer": 2}


def test_the_folder_of_a_sandbox_goes_with_it(forge):
    with forge("") as sandbox:
        folder = sandbox._process.folder
        assert os.path.isdir(folder)
    assert not os.path.exists(folder)


def test_a_worker_that_cannot_start_says_why(monkeypatch):
    monkeypatch.setattr(process, "START_CODE", "raise ImportError('no torch here')")
    with Sandbox() as sandbox, pytest.raises(RuntimeError, match=r"can't be started: ImportError: no torch here$"):
        sandbox.run("answer = 1")
