"""The ledger: claims on distillation, and what the course finds of each.

A comparison's finding comes from its records (`evidence.ledger.finding`); what a notebook computes itself ends in
`derived` or `measured`. A notebook closes with a `Summary` of its findings, which is stored with its outputs; `collect`
reads them back, and `markdown` makes the ledger's table. So the ledger says nothing that wasn't measured.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kdtutor._text import wrap
from kdtutor.course.meanings import MEANINGS
from kdtutor.statistics import Interval

MIME = "application/vnd.kdtutor.findings+json"

PAPERS = {
    "Hinton et al. 2015": "https://arxiv.org/abs/1503.02531",
    "Zhang et al. 2017": "https://arxiv.org/abs/1706.00384",
    "Furlanello et al. 2018": "https://arxiv.org/abs/1805.04770",
    "Cho & Hariharan 2019": "https://arxiv.org/abs/1910.01348",
    "Mirzadeh et al. 2019": "https://arxiv.org/abs/1902.03393",
    "Müller et al. 2019": "https://arxiv.org/abs/1906.02629",
    "Menon et al. 2020": "https://arxiv.org/abs/2005.10419",
    "Beyer et al. 2021": "https://arxiv.org/abs/2106.05237",
    "Stanton et al. 2021": "https://arxiv.org/abs/2106.05945",
}

# A: a popular article with a script, E: an encyclopedia's entry, V: questions asked below a lecture video.
CLAIMS = {
    "generalises": ("Soft targets make a student generalise better than hard targets alone do", "A, E"),
    "few labels": ("With few labels a teacher helps", "A, E"),
    "smooths": ("A high temperature smooths the targets, a low one sharpens them", "A"),
    "look-alikes": ("Soft targets say which classes look alike", "A, V"),
    "mimics": ("Minimising the KL divergence makes the student mimic the teacher", "A"),
    "T squared": ("The factor T² makes up for the smaller gradients", "A"),
    "less noise": ("Soft targets' gradients are less noisy, relative to their mean", "A, E"),
    "higher rate": ("Less gradient noise allows a higher learning rate (of SGD, for the loss with its factor T²)", "E"),
    "wrong labels": ("The teacher keeps the student from fitting wrong labels", "A"),
    "entropy": ("A high temperature raises the targets' entropy", "E"),
    "capacity": ("A small network can't find by itself what a teacher can tell it", "E"),
    "missing class": (
        "A student learns a class that it never sees from the teacher's other answers",
        "Hinton et al. 2015",
    ),
    "other transfer set": ("Nothing is lost where the transfer set differs from the teacher's training set", "E"),
    "ensemble": ("An ensemble's averaged outputs teach better than one of its members", "A, E"),
    "reverse": ("A small teacher helps a larger student", "E"),
    "domain": ("A teacher of one domain is worth more than a few labels in another", "A"),
    "multi-task": ("A teacher of several tasks teaches one of them as well as a teacher of that task alone", "A"),
    "why smooth": ("Comparing plain softmax outputs isn't enough: a T above 1 does better", "V"),
    "faster": ("The student learns faster: after equally many steps it makes fewer errors", "V"),
    "script": ("The article's own script (T = 5, alpha = 0.7) gains by distillation", "A"),
    "patience": ("A good teacher is patient and consistent", "Beyer et al. 2021"),
    "smoothed teacher": ("A teacher trained with label smoothing teaches worse", "Müller et al. 2019"),
    "better teacher": (
        "A larger, better teacher makes a better student",
        "common wisdom; disputed by Cho & Hariharan 2019",
    ),
    "small student": (
        "With few labels and many images, a teacher's answers are worth more to a small student than the labels",
        "this course",
    ),
    "one rate": ("Compare methods at one learning rate and you measure the learning rate", "this course"),
    "early-stopped teacher": ("A teacher stopped early teaches better", "Cho & Hariharan 2019"),
    "calibration": ("Distilled students are better calibrated", "common wisdom"),
    "fidelity": (
        "The student that agrees most with its teacher is as good as any",
        "common wisdom; disputed by Stanton et al. 2021",
    ),
    "variance": ("The known posterior as target lowers the variance of the risk", "Menon et al. 2020"),
    "born again": (
        "Self-distillation: a network taught by a trained copy of itself does better than on labels",
        "Furlanello et al. 2018",
    ),
    "mutual": ("Two students that learn from each other do better than alone", "Zhang et al. 2017"),
    "assistant": ("A teacher assistant of middle size bridges the gap to a small student", "Mirzadeh et al. 2019"),
}


@dataclass(frozen=True, repr=False)
class ClaimFinding:
    """What was found of a claim.

    Attributes:
        claim: a key of CLAIMS.
        verdict: "holds", "fails", "no difference" or "undecided".
        effect: what was measured, with its interval.
        beside: what else was compared, which decides nothing.
        elsewhere: verdict and effect on the second data set.
        tuned: what was chosen on validation images.
    """

    claim: str
    verdict: str
    effect: str
    beside: str = ""
    elsewhere: str = ""
    tuned: str = ""

    def __str__(self) -> str:
        text, source = CLAIMS[self.claim]
        sentences = {"Claim": f"{text} ({source})", "Verdict": self.verdict, "Measured": self.effect}
        sentences |= {"Beside": self.beside, "On USPS": self.elsewhere, "Tuned": self.tuned}
        lines = [wrap(f"{name + ':':10}{sentence}.", indent=10) for name, sentence in sentences.items() if sentence]
        return "\n".join(lines)


class Summary:
    """The findings that a notebook closes with: shown as a table, stored as data."""

    def __init__(self, *findings: ClaimFinding) -> None:
        self.findings = findings

    def __repr__(self) -> str:
        return "\n\n".join(map(str, self.findings))

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        lines = ["| claim | verdict | measured |", "|---|---|---|"]
        for finding in self.findings:
            text = CLAIMS[finding.claim][0]
            lines.append(_table_line([text, f"**{finding.verdict}**", finding.effect]))
        data = [asdict(finding) for finding in self.findings]
        return {"text/plain": repr(self), "text/markdown": "\n".join(lines), MIME: data}


def derived(claim: str, effect: str) -> ClaimFinding:
    """The finding on a claim of CLAIMS that holds because a formula says so; `effect` is the formula, or numbers that
    it gives."""
    _check_claim(claim)
    return ClaimFinding(claim, "holds", f"derived: {effect}")


def measured(claim: str, effect: str, interval: Interval, promised: str, than: float) -> ClaimFinding:
    """The finding on a claim of CLAIMS that promises a number "higher" or "lower" `than` another: it holds if the whole
    interval of the number is, fails if the whole interval is on the other side, and is undecided otherwise."""
    _check_claim(claim)
    if promised not in ("higher", "lower"):
        raise ValueError(f"promised must be 'higher' or 'lower', got {promised!r}")
    if interval.low <= than <= interval.high:
        return ClaimFinding(claim, "undecided", effect)
    seen = "higher" if interval.low > than else "lower"
    return ClaimFinding(claim, "holds" if seen == promised else "fails", effect)


def _check_claim(claim: str) -> None:
    if claim not in CLAIMS:
        raise ValueError(f"claim must be one of {', '.join(CLAIMS)}, got {claim!r}")


def collect(notebooks: Iterable[Path]) -> list[dict[str, str]]:
    """The findings that are stored in these notebooks, in their order: notebook, claim, verdict, effect."""
    findings = []
    for path in notebooks:
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            for output in cell.get("outputs", []):
                for finding in output.get("data", {}).get(MIME, []):
                    findings.append({"notebook": path.name, **finding})
    return findings


def markdown(findings: Sequence[dict[str, str]], notebooks: str = "notebooks/") -> str:
    """The ledger: a table with one finding per line, in the order of CLAIMS, and below it the details of each.

    `notebooks` is the beginning of the links: the path from the document to the folder of the notebooks.
    """
    order = list(CLAIMS)
    table = ["| claim | verdict | measured | USPS |", "|---|---|---|---|"]
    details = []
    for row in sorted(findings, key=lambda row: order.index(row["claim"])):
        text = CLAIMS[row["claim"]][0]
        measured = f"{MEANINGS[row['claim'], row['verdict']]} {row['effect']}.".strip()
        table.append(_table_line([text, f"**{row['verdict']}**", measured, row["elsewhere"]]))
        details.append(_details(row, notebooks))
    return "\n".join([*table, "", *details])


def _details(row: dict[str, str], notebooks: str) -> str:
    """One claim's source, settings and further comparisons, as an item of a list."""
    text, source = CLAIMS[row["claim"]]
    parts = [f"Source: {_linked(source)}."]
    if row["notebook"]:
        parts.append(f"[Notebook {int(row['notebook'][:2])}]({notebooks}{row['notebook']}).")
    if row["tuned"]:
        parts.append(f"Chosen: {row['tuned']}.")
    if row["beside"]:
        parts.append(f"Beside the verdict: {row['beside']}.")
    return f"- **{text}.** {' '.join(parts)}"


def _linked(source: str) -> str:
    """A source with links to the papers that it names."""
    for paper, address in PAPERS.items():
        source = source.replace(paper, f"[{paper}]({address})")
    return source


def _table_line(cells: Iterable[str]) -> str:
    """A line of a Markdown table; a | within a cell doesn't end it."""
    escaped = [cell.replace("|", "\\|") for cell in cells]
    return f"| {' | '.join(escaped)} |"
