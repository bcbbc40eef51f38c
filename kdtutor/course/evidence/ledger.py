"""The ledger's rows: of each claim its verdict, the effect with its interval, and what was tuned, from the records."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kdtutor.course.evidence.rows import EVIDENCE
from kdtutor.course.evidence.verdicts import Comparison, difference, holm, together, verdict
from kdtutor.course.records import Records
from kdtutor.results import text_table
from kdtutor.statistics import PairedDifference


@dataclass(frozen=True)
class Judgement:
    """What the records of one data set say about a claim: the verdict, and of each comparison that decides its
    difference with the 95 % interval. The verdict is of wider intervals (`verdicts.holm`)."""

    claim: str
    verdict: str
    differences: list[PairedDifference]


def judge(folder: Path) -> dict[str, Judgement]:
    """Judge all claims whose records `folder` has, together: the more claims, the wider each interval."""
    decided: list[tuple[str, Comparison, PairedDifference]] = []
    for claim, evidence in EVIDENCE.items():
        comparisons = evidence.decides
        if all((folder / f"{comparison.study}.jsonl").is_file() for comparison in comparisons):
            for comparison in comparisons:
                decided.append((claim, comparison, difference(_records(folder, comparison), comparison)))

    claims = list(dict.fromkeys(claim for claim, _, _ in decided))
    largest = {claim: max(seen.p_value for name, _, seen in decided if name == claim) for claim in claims}
    levels = dict(zip(claims, holm(list(largest.values())), strict=True))

    judgements = {}
    for claim in claims:
        own = [(comparison, seen) for name, comparison, seen in decided if name == claim]
        verdicts = []
        for comparison, _ in own:
            wider = difference(_records(folder, comparison), comparison, levels[claim])
            verdicts.append(verdict(wider, comparison.promised, comparison.margin))
        judgements[claim] = Judgement(claim, together(verdicts), [seen for _, seen in own])
    return judgements


def text(claims: Sequence[str], folder: Path) -> str:
    """The verdicts on these claims (none: all that `folder` has records of) as a table to print."""
    rows = []
    for claim, judgement in judge(folder).items():
        if not claims or claim in claims:
            for seen in judgement.differences:
                rows.append([claim, judgement.verdict, str(seen)])
    return text_table(["claim", "verdict", "measured"], rows, left=3)


def _records(folder: Path, comparison: Comparison) -> Records:
    return Records(folder / f"{comparison.study}.jsonl")
