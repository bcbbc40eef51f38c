"""The ledger: claims on distillation, and what the course finds of each.

A comparison's finding comes from its records (`evidence.ledger.finding`); what a notebook computes itself ends in
`derived` or `compared`. Either is shown in a notebook and stored with its outputs; `collect` reads the findings back,
and `markdown` makes the table of them that is a page of the site. So the ledger can't say anything that wasn't measured.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kdtutor._text import wrap
from kdtutor.statistics import PairedDifference

MIME = "application/vnd.kdtutor.finding+json"

# A an article on the web with a script, E an encyclopedia's entry, V questions asked below a lecture video.
CLAIMS = {
    "generalises": ("Soft targets make a student generalise better than hard targets alone do", "A, E"),
    "few labels": ("With few labels a teacher helps", "A, E"),
    "smooths": ("A high temperature smooths the targets, a low one sharpens them", "A"),
    "look-alikes": ("Soft targets say which classes look alike", "A, V"),
    "mimics": ("Minimising the KL divergence makes the student mimic the teacher", "A"),
    "T squared": ("The factor T² makes up for the smaller gradients", "A"),
    "less noise": ("Soft targets' gradients are less noisy", "A, E"),
    "higher rate": ("Less gradient noise allows a higher learning rate", "E"),
    "wrong labels": ("The teacher keeps the student from fitting wrong labels", "A"),
    "entropy": ("A high temperature raises the targets' entropy, so each says more", "E"),
    "capacity": ("A small network can't find by itself what a teacher can tell it", "E"),
    "missing class": (
        "A student learns a class that it never sees from the teacher's other answers",
        "Hinton et al. 2015",
    ),
    "other transfer set": ("The transfer set may differ from the teacher's training set", "E"),
    "ensemble": ("The averaged outputs of an ensemble are a good teacher", "A, E"),
    "reverse": ("A small teacher helps a larger student", "E"),
    "domain": ("A teacher of one domain can teach a student in another", "A"),
    "multi-task": ("A teacher of several tasks can teach a student of one", "A"),
    "why smooth": ("T > 1 is needed: comparing plain softmax outputs isn't enough", "V"),
    "faster": ("The student learns in less time", "V"),
    "script": ("The article's own script (T = 5, alpha = 0.7) gains by distillation", "A"),
    "patience": ("A good teacher is patient and consistent", "Beyer et al. 2021"),
    "smoothed teacher": ("Label smoothing makes a better model and a worse teacher", "Müller et al. 2019"),
    "better teacher": ("A larger, better teacher makes a better student", "Cho & Hariharan 2019"),
    "early-stopped teacher": ("A teacher stopped early teaches better", "Cho & Hariharan 2019"),
    "calibration": ("Distilled students are better calibrated", "often said"),
    "fidelity": ("A student that agrees more with its teacher makes fewer errors", "Stanton et al. 2021"),
    "variance": ("The known posterior as target lowers the variance of the risk", "Menon et al. 2020"),
    "born again": ("A student of the teacher's own size does better than its teacher", "Furlanello et al. 2018"),
    "mutual": ("Two students that learn from each other do better than alone", "Zhang et al. 2017"),
    "assistant": ("A teacher of middle size bridges the gap to a small student", "Mirzadeh et al. 2019"),
}


@dataclass(frozen=True, repr=False)
class ClaimFinding:
    """What a notebook measured of a claim: a verdict, and the effect in a sentence. A notebook shows it as text and
    stores it as data."""

    claim: str
    verdict: str
    effect: str

    def as_sentences(self) -> dict[str, str]:
        """One sentence under each of "Claim", "Verdict" and "Measured"."""
        text, source = CLAIMS[self.claim]
        return {"Claim": f"{text} ({source}).", "Verdict": f"{self.verdict}.", "Measured": f"{self.effect}."}

    def __repr__(self) -> str:
        lines = []
        for name, sentence in self.as_sentences().items():
            label = f"{name}:"
            lines.append(wrap(f"{label:10}{sentence}", indent=10))
        return "\n".join(lines)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return {"text/plain": repr(self), MIME: asdict(self)}


def finding(
    claim: str, effect: PairedDifference | str, supports: bool | str | None, *, but: str = "", context: str = ""
) -> ClaimFinding:
    """The finding on a claim of CLAIMS.

    Args:
        effect: a paired difference, or a sentence for what isn't one.
        supports: "lower" or "higher", of a paired difference that the claim promises: then its interval decides. Else
            what the notebook has found: True, False, or None where nothing was seen.
        but: a reservation, for a claim that holds.
        context: what was compared, in front of the effect.
    """
    if claim not in CLAIMS:
        raise ValueError(f"claim must be one of {', '.join(CLAIMS)}, got {claim!r}")

    if supports in ("lower", "higher") and isinstance(effect, PairedDifference):
        supports = _supported(effect, supports)
    elif supports not in (True, False, None):
        raise ValueError(
            "supports must be 'lower' or 'higher' for a paired difference, or True, False or None, "
            f"got {supports!r} for {type(effect).__name__}"
        )

    verdict = {True: "holds", False: "false here", None: "not seen here"}[supports]
    if supports and but:
        verdict = f"{verdict} here, but {but}"
    measured = f"{context}: {effect}" if context else str(effect)
    return ClaimFinding(claim, verdict, measured)


def _supported(difference: PairedDifference, promised: str) -> bool | None:
    """Whether a difference is "lower" or "higher", as promised; None if its interval contains 0."""
    if 0 in difference.interval:
        return None
    seen = "lower" if difference.mean < 0 else "higher"
    return seen == promised


def collect(notebooks: Iterable[Path]) -> list[dict[str, str]]:
    """The findings that are stored in these notebooks, in their order: notebook, claim, verdict, effect."""
    findings = []
    for path in notebooks:
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            for output in cell.get("outputs", []):
                if MIME in output.get("data", {}):
                    findings.append({"notebook": path.name, **output["data"][MIME]})
    return findings


def markdown(findings: Iterable[dict[str, str]], notebooks: str = "notebooks/") -> str:
    """The ledger as a table: one finding per line, in the order of CLAIMS. `notebooks` is the beginning of the links:
    the path from the table's document to the folder of the notebooks."""
    order = list(CLAIMS)
    lines = ["| claim | source | verdict | measured | notebook |", "|---|---|---|---|---|"]
    for row in sorted(findings, key=lambda row: order.index(row["claim"])):
        text, source = CLAIMS[row["claim"]]
        verdict = re.sub(r"^[^,]+", r"**\g<0>**", row["verdict"])  # in bold, up to a reservation
        link = f"[{row['notebook'][:2]}]({notebooks}{row['notebook']})"
        cells = [_cell(text), _cell(source), _cell(verdict), _cell(row["effect"]), link]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(text: str) -> str:
    """Text that doesn't end its cell of a table."""
    return text.replace("|", "\\|")
