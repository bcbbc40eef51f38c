"""Execute the course's notebooks and assignments in place and normalise what is stored: `make notebooks` (or name some
files). Then write what they found: `data/claims.json` and the README's ledger.

Outputs are kept, timing isn't; cell ids stay; widgets, which can't be stored, are left out. MNIST must be at hand, so
that the stored figures show it.
"""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from kdtutor import data
from kdtutor._io import write_json
from kdtutor.course import claims
from kdtutor.course.documents import insert
from kdtutor.course.hinton import paper

HERE = Path(__file__).parent
README = HERE.parent / "README.md"


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def execute(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        store_widget_state=False,
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute()
    for cell in code_cells(notebook):
        cell.outputs = [output for output in cell.outputs if not _is_widget(output)]
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    nbformat.write(notebook, path)


def _is_widget(output: nbformat.NotebookNode) -> bool:
    return "application/vnd.jupyter.widget-view+json" in output.get("data", {})


def publish(notebooks: list[Path]) -> None:
    """The findings that the notebooks store, as JSON; and the README's two tables, from them and from the records."""
    findings = claims.collect(notebooks)
    write_json({"findings": findings}, data.shipped() / "claims.json")
    text = insert(README.read_text(encoding="utf-8"), "ledger", claims.markdown(findings))
    README.write_text(insert(text, "paper", paper.markdown(paper.records())), encoding="utf-8")


def main(paths: list[Path]) -> None:
    data.load("mnist")
    every = sorted(HERE.glob("[0-9]*.ipynb"))
    for path in paths or [*every, *sorted((HERE / "assignments").glob("*.ipynb"))]:
        execute(path)
        print(path.name)
    publish(every)


if __name__ == "__main__":
    main([Path(argument).resolve() for argument in sys.argv[1:]])
