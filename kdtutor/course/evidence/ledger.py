"""The ledger's rows: of each claim its verdict, the effect with its interval, and what was tuned, from the records.

`finding` is what notebooks show, and what the site's ledger is made of; `details` is the table of all comparisons.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from kdtutor import data
from kdtutor.course.claims import ClaimFinding
from kdtutor.course.evidence import verdicts
from kdtutor.course.evidence.rows import EVIDENCE
from kdtutor.course.evidence.verdicts import Comparison, chosen, difference, holm, together, verdict
from kdtutor.course.records import Records, Row
from kdtutor.results import text_table
from kdtutor.statistics import PairedDifference

MAIN, SECOND = "mnist", "usps"


@dataclass(frozen=True)
class Judgement:
    """What the records of one data set say about a claim: the verdict, and of each comparison that decides its
    difference with the 95 % interval. The verdict is that of wider intervals (`verdicts.holm`)."""

    claim: str
    verdict: str
    decides: list[tuple[Comparison, PairedDifference]]
    beside: list[tuple[Comparison, PairedDifference]]


def judge(folder: Path) -> dict[str, Judgement]:
    """Judge all claims whose records `folder` has, together: the more claims, the wider each interval."""
    decides = {}
    for claim, evidence in EVIDENCE.items():
        measured = _measured(folder, evidence.decides)
        if len(measured) == len(evidence.decides):
            decides[claim] = measured

    # a claim that makes several promises needs all of them: its p-value is the largest of theirs
    largest = [max(seen.p_value for _, seen in measured) for measured in decides.values()]
    levels = dict(zip(decides, holm(largest), strict=True))

    judgements = {}
    for claim, measured in decides.items():
        of_comparisons = []
        for comparison, _ in measured:
            wider = difference(_records(folder, comparison), comparison, levels[claim])
            of_comparisons.append(verdict(wider, comparison.promised, comparison.margin))
        beside = _measured(folder, EVIDENCE[claim].beside)
        judgements[claim] = Judgement(claim, together(of_comparisons), measured, beside)
    return judgements


def _measured(folder: Path, comparisons: Sequence[Comparison]) -> list[tuple[Comparison, PairedDifference]]:
    """Those of the comparisons whose experiment is finished and has both arms (some are MNIST's alone), each with its
    difference."""
    measured = []
    for comparison in comparisons:
        records = _records(folder, comparison)
        arms = {row["settings"].get("arm") for row in records.rows("result", experiment=comparison.experiment)}
        whole = records.find("finished", experiment=comparison.experiment) is not None
        if whole and (not arms or {comparison.a, comparison.b} <= arms):
            measured.append((comparison, difference(records, comparison)))
    return measured


@cache
def shipped(name: str) -> dict[str, Judgement]:
    """The judgements of the records that ship with the course, of "mnist" or "usps"."""
    return judge(data.shipped() / "evidence" / name)


def finding(claim: str) -> ClaimFinding:
    """What the records that ship with the course say about a claim. Raises ValueError for one without records."""
    if claim not in shipped(MAIN):
        raise ValueError(f"claim must be one of {', '.join(shipped(MAIN))}, got {claim!r}")
    judgement = shipped(MAIN)[claim]
    return ClaimFinding(
        claim,
        judgement.verdict,
        "; ".join(sentence(*measured) for measured in judgement.decides),
        beside="; ".join(f"{label(comparison)}: {short(seen)}" for comparison, seen in judgement.beside),
        elsewhere=_elsewhere(claim),
        tuned=_tuned(judgement),
    )


def compare(study: str, experiment: str, a: str, b: str, metric: str = "errors") -> PairedDifference:
    """A difference of two arms, from the records that ship with the course."""
    comparison = Comparison(study, experiment, a, b, metric=metric)
    return difference(_records(data.shipped() / "evidence" / MAIN, comparison), comparison)


def results(study: str, experiment: str, arm: str) -> list[Row]:
    """What was measured of an arm's students on the test images, one row per seed; see `protocol.measure`."""
    return verdicts.results(Records(data.shipped() / "evidence" / MAIN / f"{study}.jsonl"), experiment, arm)


def settings(study: str, experiment: str, arm: str) -> dict[str, float]:
    """What was chosen for an arm, as options of `sweep`."""
    return results(study, experiment, arm)[0]["chosen"]


def _elsewhere(claim: str) -> str:
    """Verdict and differences on the second data set."""
    if claim not in shipped(SECOND):
        return "not run"
    judgement = shipped(SECOND)[claim]
    return f"{judgement.verdict}: {'; '.join(short(seen) for _, seen in judgement.decides)}"


def _tuned(judgement: Judgement) -> str:
    """What was chosen for the arms of the comparisons that decide."""
    parts = []
    for comparison, _ in judgement.decides:
        records = _records(data.shipped() / "evidence" / MAIN, comparison)
        for arm in (comparison.a, comparison.b):
            part = chosen(records, comparison.experiment, arm)
            if part and f"{arm}: {part}" not in parts:
                parts.append(f"{arm}: {part}")
    return "; ".join(parts)


def sentence(comparison: Comparison, seen: PairedDifference) -> str:
    """A comparison in a sentence, with its situation."""
    if comparison.metric == "errors" and seen.names is not None:
        return f"{comparison.experiment}: {str(seen).removesuffix(f': {seen.verdict}')}"  # the verdict is the ledger's
    return f"{label(comparison)}: {short(seen)}, {seen.pairs} paired seeds"


def label(comparison: Comparison) -> str:
    """What is compared, in short."""
    metric = "" if comparison.metric == "errors" else f"{comparison.metric.replace('_', ' ')}, "
    return f"{comparison.experiment}: {metric}{comparison.b} minus {comparison.a}"


def short(seen: PairedDifference) -> str:
    """A difference and its 95 % interval: "-84 (-129 to -41)"; of errors in whole numbers."""
    numbers = (seen.mean, seen.interval.low, seen.interval.high)
    if seen.names is not None:
        mean, low, high = (f"{number:+.0f}" for number in numbers)
    else:
        mean, low, high = (f"{number:+.3g}" for number in numbers)
    return f"{mean} ({low} to {high})"


def text(claims: Sequence[str], folder: Path) -> str:
    """The verdicts on these claims (none: all that `folder` has records of) as a table to print."""
    rows = []
    for claim, judgement in judge(folder).items():
        if not claims or claim in claims:
            for comparison, seen in judgement.decides:
                rows.append([claim, judgement.verdict, f"{label(comparison)}: {short(seen)}"])
            for comparison, seen in judgement.beside:
                rows.append(["", "beside", f"{label(comparison)}: {short(seen)}"])
    return text_table(["claim", "verdict", "measured"], rows, left=3)


def _records(folder: Path, comparison: Comparison) -> Records:
    return Records(folder / f"{comparison.study}.jsonl")
