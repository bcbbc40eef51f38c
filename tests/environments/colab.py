"""The course as Google Colab runs it: `make colab-check`.

In Colab a learner opens a lone notebook, in an empty folder, on an image without kdtutor and without the tools for
working on it; the first cell gets the course from its public address. Here build/colab stands in for the image
(`colab.txt`) and a repository made of this checkout for the address. pytest runs outside; the image runs the kernels.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat

from kdtutor import data
from kdtutor.course import publishing

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / "build" / "colab" / "bin" / "python"
IMAGE = ROOT / "build" / "colab" / "ready"  # what pip listed when it was built
ADDRESS = "owner/course"
TOOLS = {"jupyterlab", "nbgrader", "nbval", "pytest", "hypothesis", "ruff", "import-linter", "mypy", "pre-commit"}
KERNEL = """\
import sys, types
sys.modules["google.colab"] = types.ModuleType("google.colab")
from ipykernel.kernelapp import launch_new_instance
launch_new_instance()"""


def run(*command: str | Path, folder: Path = ROOT) -> str:
    """What a command prints; CalledProcessError if it fails."""
    return subprocess.run(command, cwd=folder, check=True, text=True, stdout=subprocess.PIPE).stdout


def packages() -> set[str]:
    """The image's packages, as `pip freeze` lists them."""
    return {*run(PYTHON, "-m", "pip", "freeze", "--all").splitlines()}


def image() -> set[str]:
    """The same as it was when the image was built."""
    return {*IMAGE.read_text(encoding="utf-8").splitlines()}


def forget() -> None:
    """Take kdtutor out of the image, where a session left it."""
    run(PYTHON, "-m", "pip", "uninstall", "--quiet", "--quiet", "--yes", "kdtutor")


def publish_in(folder: Path) -> None:
    """Make a repository of the tracked files as they stand, with its address in them; git then finds it there."""
    for name in filter(None, run("git", "ls-files", "-z").split("\0")):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
    publishing.stamp(ADDRESS, folder)
    config = folder.with_suffix(".gitconfig")
    url = f'[url "{folder.as_uri()}"]\ninsteadOf = {publishing.GITHUB}{ADDRESS}\n'
    config.write_text(f"[user]\nname = course\nemail = course\n{url}", encoding="utf-8")
    os.environ["GIT_CONFIG_GLOBAL"] = str(config)
    run("git", "init", "--quiet", folder=folder)
    run("git", "add", "--all", folder=folder)
    run("git", "commit", "--quiet", "--message=course", folder=folder)


def install_kernel(folder: Path) -> None:
    """A kernel `colab` for Jupyter: the image's Python, with a module google.colab, as there."""
    argv = [str(PYTHON), "-c", KERNEL, "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "Colab", "language": "python"}
    path = folder / "kernels" / "colab" / "kernel.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(spec), encoding="utf-8")
    os.environ["JUPYTER_PATH"] = str(folder)


def write_twice(notebook: Path, path: Path, first: bool) -> None:
    """The notebook with its first code cell twice: where the course is there already, that must print nothing."""
    lone = nbformat.read(notebook, as_version=4)
    get = publishing.course_cell(lone)
    index = lone.cells.index(get)
    silent = [nbformat.v4.new_code_cell(get.source, execution_count=1) for _ in range(2)]
    lone.cells[index : index + 1] = [get, silent[0]] if first else silent
    nbformat.write(lone, path)


def session(notebook: Path, content: Path) -> list[str]:
    """Run a notebook in a new kernel, in a new folder or again in one that has the course; what went wrong."""
    first = not content.exists()
    if first:
        forget()
        content.mkdir(parents=True)
    write_twice(notebook, content / notebook.name, first)
    options = ("-q", "--tb=short", "-p", "no:cacheprovider", "--nbval", "--nbval-kernel-name=colab")
    command = (sys.executable, "-m", "pytest", *options, "--nbval-cell-timeout=300", notebook.name)
    tests = subprocess.run(command, cwd=content, text=True, capture_output=True)
    wrong = [tests.stdout + tests.stderr] if tests.returncode else []
    changed = sorted(packages() ^ image())
    if len(changed) != 1 or not changed[0].endswith("#egg=kdtutor"):
        wrong.append(f"The first cell must add kdtutor to the image and change nothing else, it changed {changed}.")
    return wrong


def main() -> int:
    """Each notebook in a session of its own, the first one once more after a restart; 0 if nothing went wrong."""
    forget()
    if packages() != image():
        print(f"{IMAGE.parent} isn't as it was built: delete it and run this again.")
        return 1
    if tools := TOOLS & {line.partition("==")[0] for line in image()}:
        print(f"{IMAGE.parent} must be without {', '.join(sorted(TOOLS))}, it has {', '.join(sorted(tools))}.")
        return 1
    os.environ["KDTUTOR_DATA"] = str(data.folder().resolve())  # the MNIST that is here, instead of one download each
    failed = 0
    with TemporaryDirectory(prefix="kdtutor-colab-") as temporary:
        folder = Path(temporary).resolve()
        publish_in(folder / "course")
        install_kernel(folder / "jupyter")
        notebooks = sorted((folder / "course" / "notebooks").rglob("*.ipynb"))
        for notebook in [notebooks[0], *notebooks]:
            start, content = time.perf_counter(), folder / notebook.stem / "content"
            name = f"{notebook.stem}, restarted" if content.exists() else notebook.stem
            wrong = session(notebook, content)
            print(f"{name:36}{time.perf_counter() - start:5.0f} s", *wrong, sep="\n", flush=True)
            failed += bool(wrong)
    print(f"{failed} sessions failed." if failed else "All passed, and pip changed no package of the image.")
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
