"""JupyterLab as a learner has it: each notebook is opened, run from the menu, looked at and photographed.

Run by `python -m pytest tests/e2e/lab.py`. The notebooks are copies; the package, and Lab's settings but for its news,
are the learner's.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest

FOLDER = Path(__file__).parents[2] / "notebooks"
PATHS = sorted([*FOLDER.glob("*.ipynb"), *FOLDER.glob("assignments/*.ipynb")])
NOTEBOOKS = [path.relative_to(FOLDER).as_posix() for path in PATHS]
TEMPERATURE, MNIST, LEDGER = (next(name for name in NOTEBOOKS if name.startswith(n)) for n in ("02", "05", "07"))
LAPTOP = {"width": 1366, "height": 768}
PATIENCE = 600  # seconds, for a slow machine; nothing waits longer than it must
ASIDE = re.compile(r"^```.*?^```|`[^`\n]+`", re.DOTALL | re.MULTILINE)  # code in a text, where $ is no formula
FORMULA = re.compile(r"\$\$.+?\$\$|\$.+?\$", re.DOTALL)

SEEN = """() => window.jupyterapp.shell.currentWidget.content.widgets.map(cell => ({
    count: cell.model.executionCount ?? null,
    outputs: cell.model.outputs?.toJSON() ?? [],
    images: [...cell.node.querySelectorAll('.jp-OutputArea-output img')].map(image => image.naturalWidth),
    formulas: cell.node.querySelectorAll('.jp-MarkdownOutput mjx-container').length,
    refused: cell.node.querySelectorAll('mjx-merror, [data-mjx-error]').length,
    dollars: [...cell.node.querySelectorAll('.jp-MarkdownOutput')]
        .map(text => { const bare = text.cloneNode(true); bare.querySelectorAll('code').forEach(code => code.remove());
            return bare.textContent.split('$').length - 1; }).reduce((a, b) => a + b, 0),
}))"""
PANEL = "window.jupyterapp?.shell.currentWidget"
READY = f"""() => document.querySelector('.jp-Dialog') || {PANEL}?.sessionContext?.isReady
    && {PANEL}.sessionContext.kernelDisplayStatus === 'idle' && {PANEL}.content.widgets.length > 1"""
BUSY = f"() => {PANEL}.sessionContext.kernelDisplayStatus === 'busy'"
FORGET = f"""() => {PANEL}.content.widgets.filter(cell => cell.model.type === 'code')
    .forEach(cell => {{ cell.model.executionCount = null; }})"""


class Notebook:
    """A notebook that is open in a browser, as far as a learner can see and use it."""

    def __init__(self, page, url: str, name: str):
        self.page, self.name = page, name
        self.stored = nbformat.read(FOLDER / name, as_version=4).cells
        page.goto(url.format(name))
        page.wait_for_function(READY, timeout=1000 * PATIENCE)
        if asked := self.questions():
            pytest.fail(f"{name}: {asked[0]}", pytrace=False)

    def choose(self, menu: str, entry: str) -> None:
        """Click through a menu, and agree to the question that an entry with … asks."""
        self.page.locator(".lm-MenuBar-itemLabel", has_text=re.compile(f"^{menu}$")).click()
        self.page.locator(".lm-Menu-itemLabel", has_text=re.compile(f"^{entry}$")).click()
        if entry.endswith("…"):
            self.page.locator(".jp-Dialog .jp-mod-accept").click()

    def look(self) -> list[dict]:
        """What there is of each cell."""
        return self.page.evaluate(SEEN)

    def questions(self) -> list[str]:
        """What Lab asks in a box of its own."""
        return self.page.locator(".jp-Dialog").all_inner_texts()

    def until(self, missing: Callable[[list[dict]], list[str]], seconds: float = PATIENCE) -> list[dict]:
        """The cells, once nothing is missing. An error or a question of Lab's ends the waiting, and the test."""
        end = time.monotonic() + seconds
        while lines := missing(cells := self.look()):
            stop = [f"cell {i}: {o['ename']}: {o['evalue']}" for i, o in outputs(cells, "error")]
            stop += self.questions()
            if time.monotonic() > end:
                stop += [f"{line} (after {seconds} s)" for line in lines]
            if stop:
                pytest.fail("\n".join(f"{self.name}, {line}" for line in stop), pytrace=False)
            self.page.wait_for_timeout(200)
        return cells

    def run(self, menu: str, entry: str) -> None:
        """Run all cells, and see that each gets a number and nothing is missing."""
        self.page.evaluate(FORGET)
        self.choose(menu, entry)
        self.numbered(len(self.stored))
        self.until(self.faults, 30)  # pictures and formulas may be on the way

    def numbered(self, end: int) -> None:
        """Wait until the code cells before this one have run, in a new kernel: 1, 2, 3."""
        code = [i for i, cell in enumerate(self.stored[:end]) if cell.cell_type == "code"]
        cells = self.until(lambda cells: [f"cell {i}: no number" for i in code if not cells[i]["count"]])
        assert [cells[i]["count"] for i in code] == list(range(1, 1 + len(code))), f"{self.name}: wrong numbers"

    def faults(self, cells: list[dict]) -> list[str]:
        """What is wrong or missing on the page, in words."""
        found = [(i, f"{o['ename']}: {o['evalue']}") for i, o in outputs(cells, "error")]
        found += [(i, f"on stderr: {o['text']}") for i, o in outputs(cells, "stream") if o["name"] == "stderr"]
        for i, (cell, stored) in enumerate(zip(cells, self.stored, strict=True)):
            if stored.cell_type == "markdown":
                formulas = len(FORMULA.findall(ASIDE.sub("", stored.source)))
                wanted = {"formulas": formulas, "refused": 0, "dollars": 0}
                found += [(i, f"{key}: {cell[key]}, not {n}") for key, n in wanted.items() if cell[key] != n]
            else:
                kept, shown = (sum("image/png" in o.get("data", ()) for o in c["outputs"]) for c in (stored, cell))
                if shown != kept or len(cell["images"]) < kept or 0 in cell["images"]:
                    found.append((i, f"{shown} of {kept} figures, widths on the page {cell['images']}"))
        return [f"cell {i}: {fault}" for i, fault in found]

    def find(self, text: str) -> int:
        """The number of the one stored cell with this text."""
        (i,) = (i for i, cell in enumerate(self.stored) if text in cell.source)
        return i

    def cell(self, i: int):
        """Where a cell is on the page."""
        return self.page.locator(".jp-NotebookPanel:visible .jp-Cell").nth(i)

    def select(self, i: int) -> None:
        """Click beside a cell."""
        self.cell(i).locator(".jp-InputPrompt").click()

    def write(self, i: int, line: str, text: str) -> None:
        """Click into the line of a cell that begins like this and write another in its place."""
        self.cell(i).locator(".cm-line", has_text=re.compile(rf"^\s*{re.escape(line)}")).click()
        for key in ("End", "Shift+Home"):
            self.page.keyboard.press(key)
        self.page.keyboard.type(text)

    def enter(self, i: int) -> str:
        """Run a cell by Shift+Enter; what it prints."""
        self.page.evaluate(FORGET)
        self.page.keyboard.press("Shift+Enter")
        return printed(self.until(lambda cells: [f"cell {i}: no number"] * (not cells[i]["count"]))[i])

    def append(self, i: int, text: str) -> str:
        """Write a new cell below cell i and run it; what it prints."""
        self.select(i)
        for key in ("b", "Enter"):
            self.page.keyboard.press(key)
        self.page.keyboard.type(text)
        return self.enter(i + 1)

    def photograph(self, folder: Path) -> None:
        """The whole notebook, a screen at a time."""
        folder = folder / self.name.removesuffix(".ipynb")
        shutil.rmtree(folder, ignore_errors=True)
        scroller = self.page.locator(".jp-NotebookPanel:visible .jp-WindowedPanel-outer")
        scroller.evaluate("e => e.scrollTop = 0")
        further = """e => { const bottom = [...e.querySelectorAll('.jp-Cell')].pop().getBoundingClientRect().bottom;
            e.scrollTop += 0.95 * e.clientHeight;
            return bottom > e.getBoundingClientRect().bottom; }"""
        for n in range(1, 200):
            self.page.wait_for_timeout(150)
            self.page.screenshot(path=folder / f"{n:02}.png")
            if not scroller.evaluate(further):
                return


def outputs(cells: list[dict], kind: str) -> Iterator[tuple[int, dict]]:
    """Each output of a kind, with the number of its cell."""
    return ((i, output) for i, cell in enumerate(cells) for output in cell["outputs"] if output["output_type"] == kind)


def printed(cell: dict) -> str:
    """A cell's printed lines."""
    return "".join(output["text"] for _, output in outputs([cell], "stream"))


@pytest.fixture(scope="session")
def url(tmp_path_factory) -> Iterator[str]:
    """JupyterLab on a copy of the notebooks, with a home of its own; where it shows a notebook, {}."""
    home = tmp_path_factory.mktemp("lab")
    shutil.copytree(FOLDER, home / "notebooks", ignore=shutil.ignore_patterns(".*"))
    names = ("JUPYTER_CONFIG_DIR", "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR", "JUPYTER_RUNTIME_DIR")
    no_news = home / "JUPYTERLAB_SETTINGS_DIR/@jupyterlab/apputils-extension/notification.jupyterlab-settings"
    no_news.parent.mkdir(parents=True)
    no_news.write_text('{"fetchNews": "false"}')
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    words = [home, "--no-browser", "--expose-app-in-browser", "--allow-root"]
    words += [f"--port={address.rpartition(':')[2]}", "--port-retries=0", "--IdentityProvider.token=learner"]
    with (home / "log").open("w+") as log:
        command = [sys.executable, "-m", "jupyterlab", *words]
        environment = os.environ | {name: str(home / name) for name in names}
        server = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        try:
            end = time.monotonic() + PATIENCE
            while not answers(f"{address}/api"):
                if server.poll() is not None or time.monotonic() > end:
                    log.seek(0)
                    pytest.fail(f"JupyterLab doesn't start:\n{log.read()}", pytrace=False)
                time.sleep(0.2)
            yield f"{address}/lab/workspaces/learner/tree/notebooks/{{}}?token=learner&reset"
        finally:
            server.terminate()  # its kernels with it
            server.wait(60)


def answers(address: str) -> bool:
    """Whether a server is there."""
    try:
        return urllib.request.urlopen(address, timeout=5).status == 200
    except OSError:
        return False


@pytest.fixture
def notebook(url, browser):
    """Open a notebook at laptop size: notebook(name). Its kernel ends with the test."""
    page = browser.new_context(viewport=LAPTOP).new_page()
    page.set_default_timeout(60_000)
    yield lambda name: Notebook(page, url, name)
    page.evaluate("() => window.jupyterapp?.serviceManager.sessions.shutdownAll()")
    page.context.close()


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs_and_runs_again_after_a_restart(notebook, shots, name):
    opened = notebook(name)
    opened.run("Run", "Run All Cells")
    opened.photograph(shots / "lab")
    opened.run("Kernel", "Restart Kernel and Run All Cells…")


def test_the_slider_moves_its_picture(notebook):
    opened = notebook(TEMPERATURE)
    opened.run("Run", "Run All Cells")
    cell = opened.cell(opened.find("sliders.temperature("))
    picture, handle = cell.locator("img.widget-image"), cell.get_by_role("slider")
    content = "async e => [...new Uint8Array(await (await fetch(e.src)).arrayBuffer())].join()"
    for key in ("ArrowRight", "ArrowLeft"):
        before = picture.evaluate(content)
        handle.press(key)
        opened.page.wait_for_timeout(1000)  # the old picture's address ends when the new one comes
        opened.until(lambda _, old=before: ["the picture stays"] * (picture.evaluate(content) == old), 60)
        assert picture.evaluate("e => e.naturalWidth") > 0


def test_an_exercise_names_a_mistake_gives_a_hint_and_says_when_it_is_right(notebook):
    opened = notebook(TEMPERATURE)
    opened.run("Run", "Run All Cells")
    i = opened.find('exercises.check("soften"')
    opened.write(i, "return", "return torch.softmax(logits * temperature, -1)")
    assert re.match("soften: not yet. z is multiplied by T (in place|instead) of divided", opened.enter(i))
    hint = opened.append(i, 'exercises.hint("soften")')
    assert hint.startswith("soften: divide by T before `exp`")
    assert hint.count("\n") == 2, hint  # more than the check said
    opened.write(i, "return", "return torch.softmax(logits / temperature, -1)")
    assert opened.enter(i).startswith("soften: correct, in ")


def test_a_link_to_the_ledger_opens_it(notebook):
    opened = notebook(LEDGER)
    opened.page.get_by_role("link", name="the ledger", exact=True).first.click()
    opened.page.wait_for_function("window.jupyterapp.shell.currentWidget.title.label === 'claims.md'")


def test_an_interrupted_training_leaves_a_history(notebook):
    opened = notebook(MNIST)
    i = opened.find("history = kd.distill(")
    opened.write(i, "epochs=10,", "epochs=300,")  # it won't end by itself, on any machine
    opened.select(i)
    opened.page.evaluate(FORGET)
    opened.choose("Run", "Run All Above Selected Cell")
    opened.numbered(i)
    opened.select(i)
    opened.page.keyboard.press("Control+Enter")
    opened.page.wait_for_function(BUSY)
    opened.page.wait_for_timeout(1000)  # into the first epoch
    opened.choose("Kernel", "Interrupt Kernel")
    cells = opened.until(lambda cells: [f"cell {i}: no number"] * (not cells[i]["count"]))
    assert "\ninterrupted\n" in printed(cells[i])
    look = 'print(history.interrupted); plots.curves({"so far": history}, "Stopped"); plt.show()'
    assert opened.append(i, look) == "True\n"
    opened.until(lambda cells: [f"cell {i + 1}: no curve"] * (not any(cells[i + 1]["images"])))
