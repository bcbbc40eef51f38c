"""Execute the course's notebooks and assignments in place and normalise what is stored: `make notebooks` (or name some
files). Then write what they found: `data/claims.json`, and the pages with the ledger, the evidence and Hinton's table.

Outputs are kept, timing isn't; cell ids stay; widgets, which can't be stored, are left out. MNIST must be at hand, so
that the stored figures show it.
"""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import nbformat
from matplotlib import style
from matplotlib.figure import Figure
from nbclient import NotebookClient

from kdtutor import data
from kdtutor._io import write_json
from kdtutor.course import claims
from kdtutor.course.evidence import details, ledger, picture
from kdtutor.course.evidence.rows import EVIDENCE
from kdtutor.course.hinton import paper, table
from kdtutor.course.publishing import insert_section

HERE = Path(__file__).parent
NUMBERED = sorted(HERE.glob("[0-9]*.ipynb"))
ASSIGNMENTS = sorted((HERE / "assignments").glob("*.ipynb"))
PAGES = HERE / "site" / "pages"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def execute(path: Path) -> None:
    """Run a notebook from top to bottom, and store it without what differs from run to run."""
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

    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not _is_widget(output)]
    notebook.metadata = METADATA
    nbformat.write(notebook, path)


def _is_widget(output: nbformat.NotebookNode) -> bool:
    return "application/vnd.jupyter.widget-view+json" in output.get("data", {})


def all_findings() -> list[dict[str, Any]]:
    """The findings that the notebooks store, then those that only the records have."""
    findings = claims.collect(NUMBERED)
    shown = {finding["claim"] for finding in findings}
    for claim in EVIDENCE:
        if claim not in shown:
            findings.append({"notebook": "", **asdict(ledger.finding(claim))})
    return findings


def publish(findings: list[dict[str, Any]]) -> None:
    """Write the findings: as data, and into the site's pages."""
    write_json({"findings": findings}, data.shipped() / "claims.json")
    draw_pictures()
    for path, text in pages(findings).items():
        path.write_text(text, encoding="utf-8")


def draw_pictures() -> None:
    """The picture at the top of the README and of the site, and that of the page on statistics."""
    with style.context("kdtutor.course"):
        ax = Figure(figsize=(7.2, 3.2)).subplots()
        picture.small_student(title="A small student on MNIST, by what it learns from", ax=ax)
        ax.figure.savefig(data.shipped() / "evidence" / "small-student.png")
        axes = picture.pairs(axes=Figure(figsize=(7.2, 3.2)).subplots(1, 2, width_ratios=(2, 1)))
        axes[0].figure.savefig(data.shipped() / "evidence" / "pairs.png")


def pages(findings: list[dict[str, Any]]) -> dict[Path, str]:
    """The pages with a table that was measured, as they should be: the ledger of these findings, and the evidence and
    Hinton's table of the records that ship."""
    ledger = claims.markdown(findings, notebooks="../../")
    return {
        PAGES / "claims.md": _with_table("claims.md", "ledger", ledger),
        PAGES / "evidence.md": _with_table("evidence.md", "evidence", details.markdown()),
        PAGES / "hinton.md": _with_table("hinton.md", "paper", table.markdown(paper.records())),
    }


def _with_table(page: str, mark: str, table: str) -> str:
    """A page's text with the table between its two marks."""
    return insert_section((PAGES / page).read_text(encoding="utf-8"), mark, table)


def main(paths: list[Path]) -> None:
    data.load("mnist")
    for path in paths or [*NUMBERED, *ASSIGNMENTS]:
        execute(path)
        print(path.name)
    publish(all_findings())


if __name__ == "__main__":
    main([Path(argument).resolve() for argument in sys.argv[1:]])
