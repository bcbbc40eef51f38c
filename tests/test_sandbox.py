"""The process apart: what comes out of it is what the code gives, and nothing else does."""

import ctypes
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
from kdtutor.grading.sandbox import Proxy, Sandbox, limits, messages, worker

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a process apart needs POSIX")
LINUX = sys.platform == "linux"
LANDLOCK = LINUX and platform.machine() in limits.SYSTEM_CALLS and ctypes.CDLL(None).syscall(444, None, 0, 1) > 0


@pytest.fixture(scope="module")
def apart():
    with Sandbox(seconds=60) as process:
        process.run("import math, os, torch, numpy\nimport kdtutor as kd\nfrom torch import nn")
        yield process


def define(apart, source):
    """The last name that the source binds, from there."""
    name = source.split("def ")[-1].split("(")[0] if "def " in source else source.split(" =")[0]
    apart.run(source, [name])
    return apart.namespace[name]


@pytest.mark.parametrize(
    "value",
    ["3", "-0.5", "True", "None", "'text'", "...", "[1, (2.0, {'a': None}), {3}]", "float('inf')", "torch.float16"],
)
def test_a_plain_value_comes_out_as_it_is(apart, value):
    assert define(apart, f"value = {value}") == eval(value)


@pytest.mark.parametrize("dtype", messages.DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (2, 3), (3, 0, 2)])
def test_a_tensor_comes_out_with_its_shape_type_and_numbers(apart, dtype, shape):
    given = define(apart, f"value = torch.arange({math.prod(shape)}).reshape({shape}).to(torch.{dtype})")
    assert given.dtype == messages.DTYPES[dtype]
    assert torch.equal(given, torch.arange(math.prod(shape)).reshape(shape).to(given.dtype))


def test_numpy_splits_and_networks_come_out_too(apart):
    assert define(apart, "value = numpy.arange(6.0).reshape(2, 3).T").tolist() == [[0, 3], [1, 4], [2, 5]]
    assert define(apart, "value = numpy.float32(0.5)") == 0.5
    split = define(apart, "value = kd.Split(torch.zeros(2, 1, 28, 28, dtype=torch.uint8), torch.tensor([1, 2]))")
    assert isinstance(split, kd.Split)
    assert split.labels.tolist() == [1, 2]
    model = define(apart, "value = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.25)).eval()")
    inputs = torch.randn(2, 1, 5, 5, generator=torch.Generator().manual_seed(0))
    assert isinstance(model[0], nn.Conv2d)
    assert not model.training
    assert (model[1].num_batches_tracked, model[2].p) == (0, 0.25)
    apart.run("def same(inputs): return value(inputs)", ["same"])
    assert torch.equal(model(inputs), apart.namespace["same"](inputs))
    assert [p.requires_grad for p in model.parameters()] == [True] * 4


def test_what_could_pretend_to_be_anything_stays_there(apart, capsys):
    apart.run(
        "class Yes(float):\n    __eq__ = lambda self, other: True\n"
        "class Net(nn.Linear):\n    forward = lambda self, x: x\n"
        "class Much(torch.Tensor): pass\n"
        "a, b, c, d = Yes(3), [Yes(3)], Net(2, 2), torch.zeros(2).as_subclass(Much)",
        ["a", "b", "c", "d"],
    )
    assert not {"a", "b", "c", "d"} & {*apart.namespace}
    said = capsys.readouterr().out
    assert "a: an object of class Yes can't be handed to the tests" in said
    assert "c: a network of class Net can't be handed over" in said


def test_only_the_names_that_are_asked_for_come_out(apart):
    apart.run("wanted = 1; isinstance = print = lambda *_: True\ndel print", ["wanted"])
    assert apart.namespace["wanted"] == 1
    assert not {"isinstance", "print"} & {*apart.namespace}


def test_a_function_keeps_its_name_text_and_signature(apart):
    loss = define(apart, "def loss(a, /, b, *rest, t=4.0, **more):\n    'Half of it.'\n    return a")
    assert isinstance(loss, Proxy)
    assert (loss.__name__, loss.__doc__) == ("loss", "Half of it.")
    assert str(inspect.signature(loss)) == "(a, /, b, *rest, t=4.0, **more)"
    assert loss(5, 6, 7, x=8) == 5


def test_a_function_can_take_and_give_functions(apart):
    twice = define(apart, "def twice(f):\n    return lambda x: f(f(x))")
    more = define(apart, "def more(x): return x + 1")
    assert twice(more)(1) == 3
    assert twice(math.sqrt)(16) == 2


def test_a_call_is_differentiable_in_tensors_and_in_weights(apart):
    loss = define(
        apart, "def loss(model, x, t, w):\n    return (model(x) * w).pow(2).sum() * t.detach().sum(), x.argmax(), w * t"
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


def test_a_result_without_gradient_has_none_here(apart):
    stopped = define(apart, "def stopped(x): return x.detach() * 2")
    x = torch.ones(3, requires_grad=True)
    assert not stopped(x).requires_grad
    free = define(apart, "def free(x): return x * 2")
    assert free(x).requires_grad
    with torch.no_grad():
        assert not free(x).requires_grad


def test_what_a_call_does_to_a_network_is_done_here(apart, images):
    train = define(
        apart,
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
    torch.optim.SGD(twin.parameters(), lr=0.1).step()
    torch.testing.assert_close(model.state_dict(), twin.state_dict())
    assert [module.training for module in model.modules()] == [True, True, True, False]
    assert not any(p.requires_grad for p in frozen.parameters())


def test_a_tensor_that_was_given_stays_as_it_is_and_the_result_counts(apart):
    spoil = define(apart, "def spoil(x, w):\n    x *= w\n    return x.sum()")
    x, w = torch.ones(3), torch.full((3,), 2.0, requires_grad=True)
    total = spoil(x, w)
    assert (x.tolist(), x.requires_grad) == ([1, 1, 1], False)
    assert total == 6
    assert torch.autograd.grad(total, w)[0].tolist() == [1, 1, 1]


def test_what_is_no_leaf_can_be_changed_in_place(apart):
    halve = define(apart, "def halve(x):\n    x /= 2\n    return x")
    x = torch.ones(3, requires_grad=True)
    assert torch.autograd.grad(halve(x * 3).sum(), x)[0].tolist() == [1.5] * 3
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):  # as torch says anywhere
        halve(x)


def test_a_network_that_grows_is_handed_over_as_it_came(apart):
    grow = define(apart, "def grow(model):\n    model.append(nn.ReLU())\n    model.eval()\n    return len(model)")
    model = nn.Sequential(nn.Linear(2, 2))
    assert grow(model) == 2
    assert (len(model), model[0].training) == (1, False)


def test_random_numbers_are_those_of_the_test(apart):
    draw = define(apart, "def draw(): return torch.rand(3)")
    torch.manual_seed(5)
    one, two = draw(), draw()
    torch.manual_seed(5)
    assert torch.equal(one, torch.rand(3))
    assert not torch.equal(one, two)
    define(apart, "def known(): torch.manual_seed(0)")()  # would choose the numbers that the test draws next
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
def test_an_error_is_one_sentence(apart, source, sentence):
    with pytest.raises(RuntimeError, match=sentence):
        apart.run(source)


def test_a_cell_that_fails_keeps_what_it_had_defined(apart):
    with pytest.raises(RuntimeError):
        apart.run("early = 1\n1 / 0\nlate = 2", ["early", "late"])
    assert apart.namespace["early"] == 1
    assert "late" not in apart.namespace


def test_magics_are_left_out_and_say_so(apart, capsys):
    apart.run("%matplotlib inline\n!echo hello\nafter = 1", ["after"])
    assert apart.namespace["after"] == 1
    assert capsys.readouterr().out == "%matplotlib is left out in grading.\n!echo hello is left out in grading.\n"
    apart.run("%%time\ntimed = 2", ["timed"])
    assert apart.namespace["timed"] == 2


def test_prints_are_cut(apart, capsys):
    apart.run("import sys\nfor _ in range(50): print('x' * 1_000_000)\nsys.stderr.write('end')")
    said = capsys.readouterr().out
    assert len(said) < worker.PRINTED + 100
    assert "more characters were printed" in said


def test_a_call_is_quick(apart):
    scale = define(apart, "def scale(x): return x * 2")
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
def test_the_world_outside_is_closed(apart, tmp_path, attack):
    victim = tmp_path / "victim"
    victim.write_text("here")
    with pytest.raises(RuntimeError, match=r"PermissionError: (graded code may not|\[Errno)"):
        apart.run(FORBIDDEN[attack].format(victim=str(victim), folder=str(tmp_path)))
    assert victim.read_text() == "here"


@pytest.mark.skipif(not LANDLOCK, reason="this system has no such locks")
@pytest.mark.parametrize("attack", UNDERNEATH)
def test_the_world_outside_is_closed_underneath_python_too(apart, tmp_path, attack):
    victim = tmp_path / "victim"
    victim.write_text("here")
    apart.run("import ctypes\nlibc = ctypes.CDLL(None)")
    with pytest.raises(RuntimeError, match=r"AssertionError|Permission denied|cannot be opened"):
        apart.run(UNDERNEATH[attack].format(victim=str(victim)))
    assert victim.read_text() == "here"


def test_ordinary_work_is_open(apart, tmp_path):
    apart.run(
        "import tempfile, threading, pathlib\n"
        "pathlib.Path('notes').write_text('mine'); assert open('notes').read() == 'mine'; os.remove('notes')\n"
        "with tempfile.TemporaryDirectory() as there: torch.save(torch.ones(2), there + '/x.pt')\n"
        "threading.Thread(target=int).start()\n"
        "data = kd.load('strokes')\n"
        "torch.optim.Adam(nn.Linear(2, 2).parameters()).step()\n"
    )


def test_the_environment_stays_outside(monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "abc")
    with Sandbox() as process:
        process.run("import os\nseen = sorted(os.environ)", ["seen"])
        folder = process._process.own
        assert "SECRET_TOKEN" not in process.namespace["seen"]
        assert os.path.isdir(folder)
    assert not os.path.exists(folder)


def test_the_start_costs_no_time_and_calls_share_that_of_their_cell():
    with Sandbox(seconds=1) as process:
        process.run("import time\ndef nap(seconds): time.sleep(seconds)", ["nap"])
        nap = process.namespace["nap"]
        nap(0.5)
        with pytest.raises(RuntimeError, match=r"more than the 1 s of a cell"):
            nap(0.8)


def test_after_a_cell_that_was_stopped_the_next_goes_on():
    with Sandbox(seconds=60) as process:
        process.run("def one(): return 1\ndef forever():\n    while True: pass", ["one", "forever"])
        one = process.namespace["one"]
        process.cell(seconds=0.5)
        start = time.perf_counter()
        with pytest.raises(
            RuntimeError, match=r"^your code was stopped: it computed for more than the 0\.5 s of a cell$"
        ):
            process.namespace["forever"]()
        assert time.perf_counter() - start < 10
        with pytest.raises(RuntimeError, match=r"^one can't be called any more: your code was stopped"):
            one()
        process.cell()
        assert process.namespace["one"]() == 1  # a new process, in which the cell was run again
        with pytest.raises(RuntimeError, match=r"^your code ended the process in which it ran$"):
            process.run("import os\nos._exit(0)")
        process.run("two = one() + 1", ["two"])
        assert process.namespace["two"] == 2


LINE = """
import os, struct
names = {int(name): os.path.realpath(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")}
line = max(number for number, name in names.items() if "pipe" in name)

def say(text):
    os.write(line, struct.pack("<IQ", len(text), 0) + text.encode())
"""
FALSE = {
    "noise": "os.write(line, b'garbage' * 100)",
    "too much": "os.write(line, struct.pack('<IQ', 1 << 31, 1 << 60))",
    "no message": "say('[]')",
    "depth": "say('[' * 20000)",
    "a method": """say('{"values": {"answer": ["module", "Linear", {"forward": 1}, {}, {}, {}]}, "lost": {}}')""",
    "a missing tensor": """say('{"values": {"answer": ["tensor", 3]}, "lost": {}}')""",
    "a strange kind": """say('{"values": {"answer": ["pickle", "x"]}, "lost": {}}')""",
}


@pytest.mark.skipif(not LINUX, reason="finds the pipe in /proc")
@pytest.mark.parametrize("answer", FALSE)
def test_a_false_answer_ends_the_process_and_no_more(answer):
    with Sandbox() as process:
        with pytest.raises(RuntimeError, match=r"^the answer of your code can't be read$"):
            process.run(LINE + FALSE[answer], ["answer"])
        assert process.namespace == {}
        if answer == "no message":
            process.cell()
            assert not process._process.ended


@pytest.mark.skipif(not LINUX, reason="finds the pipe in /proc")
@pytest.mark.parametrize(
    "false",
    [
        '"changed": [0], "frozen": [], "tensors": [["int8", [1], false, 1]]',
        '"changed": [], "frozen": [[0, true]], "tensors": []',
    ],
)
def test_a_false_answer_changes_no_tensor_here(false):
    text = f'{{"value": 1, "count": 0, "modes": [], "random": false, {false}}}'
    with Sandbox() as process:
        process.run(
            LINE + f"def answer(x):\n    text = {text!r}.encode()\n"
            "    os.write(line, struct.pack('<IQ', len(text), 1) + text + bytes(1))\n",
            ["answer"],
        )
        x = torch.ones(3)
        with pytest.raises(RuntimeError, match=r"^the answer of your code can't be read$"):
            process.namespace["answer"](x)
    assert (x.tolist(), x.requires_grad) == ([1, 1, 1], False)


@pytest.mark.skipif(not LINUX, reason="finds the pipe in /proc")
def test_a_false_answer_names_nothing_that_was_not_asked_for():
    with Sandbox() as process:
        process.run(LINE + """say('{"values": {"expect": 1, "answer": 2}, "lost": {}}')""", ["answer"])
        assert process.namespace == {"answer": 2}
