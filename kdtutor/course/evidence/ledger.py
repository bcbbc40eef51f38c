"""The ledger's rows: of each claim its verdict, the effect with its interval, and what was tuned, from the records.

`finding` is what notebooks show, and what the site's ledger is made of; `details` is the table of all comparisons.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from kdtutor import data
from kdtutor.course.claims import ClaimFinding
from kdtutor.course.evidence import verdicts
from kdtutor.course.evidence.rows import EVIDENCE
from kdtutor.course.evidence.verdicts import MARGIN, Comparison, chosen, difference, holm, together, verdict
from kdtutor.course.records import Records, Row
from kdtutor.results import text_table
from kdtutor.statistics import PairedDifference

MAIN, SECOND = "mnist", "usps"


# Of each metric what it is called, and how its numbers are written.
METRICS = {
    "errors": ("errors", "{:+.0f}"),
    "nll": ("NLL", "{:+.3f}"),
    "nll_scaled": ("NLL after temperature scaling", "{:+.4f}"),
    "calibration_error": ("calibration error", "{:+.4f}"),
    "calibration_error_scaled": ("calibration error after temperature scaling", "{:+.4f}"),
    "agreement": ("agreement with the teacher", "{:+.4f}"),
    "agreement_on_mistakes": ("agreement with the teacher on its mistakes", "{:+.3f}"),
    "kl": ("KL divergence from the teacher at T = 4", "{:+.3f}"),
}


@dataclass(frozen=True)
class Seen:
    """A comparison as it came out, with the 95 % interval; `corrected`, if it decides, has the wider interval that its
    verdict follows from."""

    comparison: Comparison
    difference: PairedDifference
    corrected: PairedDifference | None = None


@dataclass(frozen=True)
class Judgement:
    """What the records of one data set say about a claim: the verdict, and the comparisons that decide."""

    claim: str
    verdict: str
    decides: list[Seen]
    beside: list[Seen]


def judge(folder: Path) -> dict[str, Judgement]:
    """Judge all claims whose records `folder` has, together: the more claims, the wider each interval."""
    decides = {}
    for claim, evidence in EVIDENCE.items():
        seen = _seen(folder, evidence.decides)
        if len(seen) == len(evidence.decides):
            decides[claim] = seen

    # a claim that makes several promises needs all of them: its p-value is the largest of theirs
    largest = [max(one.difference.p_value for one in seen) for seen in decides.values()]
    levels = dict(zip(decides, holm(largest), strict=True))

    judgements = {}
    for claim, seen in decides.items():
        corrected = [_corrected(folder, one, levels[claim]) for one in seen]
        of_comparisons = [_verdict(one.comparison, one.corrected) for one in corrected]
        beside = _seen(folder, EVIDENCE[claim].beside)
        judgements[claim] = Judgement(claim, together(of_comparisons), corrected, beside)
    return judgements


def _seen(folder: Path, comparisons: Sequence[Comparison]) -> list[Seen]:
    """Those of the comparisons whose experiment is finished and has both arms (some are MNIST's alone)."""
    seen = []
    for comparison in comparisons:
        records = _records(folder, comparison)
        arms = {row["settings"].get("arm") for row in records.rows("result", experiment=comparison.experiment)}
        whole = records.find("finished", experiment=comparison.experiment) is not None
        if whole and (not arms or {comparison.a, comparison.b} <= arms):
            seen.append(Seen(comparison, difference(records, comparison)))
    return seen


def _corrected(folder: Path, seen: Seen, level: float) -> Seen:
    """With the interval at this confidence, too."""
    return replace(seen, corrected=difference(_records(folder, seen.comparison), seen.comparison, level))


def _verdict(comparison: Comparison, seen: PairedDifference) -> str:
    return verdict(seen, comparison.promised, comparison.margin)


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
        sentences(judgement.decides, len(shipped(MAIN))),
        beside=sentences(judgement.beside),
        elsewhere=_elsewhere(claim),
        tuned=_tuned(judgement),
    )


def compare(study: str, experiment: str, a: str, b: str, metric: str = "errors") -> PairedDifference:
    """A difference of two arms, from the records that ship with the course."""
    comparison = Comparison(study, experiment, a, b, metric=metric)
    return difference(_records(data.shipped() / "evidence" / MAIN, comparison), comparison)


def compared(comparisons: Sequence[Comparison]) -> list[Seen]:
    """Those of the comparisons that the records that ship with the course have, as they came out."""
    return _seen(data.shipped() / "evidence" / MAIN, comparisons)


def results(study: str, experiment: str, arm: str) -> list[Row]:
    """What was measured of an arm's students on the test images, one row per seed; see `protocol.measure`."""
    return verdicts.results(_in_file(data.shipped() / "evidence" / MAIN / f"{study}.jsonl"), experiment, arm)


def arms(study: str, experiment: str) -> list[str]:
    """The arms of an experiment that have results."""
    rows = _in_file(data.shipped() / "evidence" / MAIN / f"{study}.jsonl").rows("result", experiment=experiment)
    return [*dict.fromkeys(row["settings"]["arm"] for row in rows)]


def settings(study: str, experiment: str, arm: str) -> dict[str, float]:
    """What was chosen for an arm, as options of `sweep`."""
    return results(study, experiment, arm)[0]["chosen"]


def _elsewhere(claim: str) -> str:
    """Verdict and differences on the second data set."""
    if claim not in shipped(SECOND):
        return "not run"
    judgement = shipped(SECOND)[claim]
    return f"{judgement.verdict}: {'; '.join(quantity(seen) for seen in judgement.decides)}"


def _tuned(judgement: Judgement) -> str:
    """What was chosen for the arms of the comparisons that decide."""
    parts = []
    for seen in judgement.decides:
        comparison = seen.comparison
        records = _records(data.shipped() / "evidence" / MAIN, comparison)
        for arm in (comparison.a, comparison.b):
            part = chosen(records, comparison.experiment, arm)
            if part and f"{arm}: {part}" not in parts:
                parts.append(f"{arm}: {part}")
    return "; ".join(parts)


def sentences(several: Sequence[Seen], claims: int = 0) -> str:
    """Comparisons in words, one after the other; an experiment is named where it differs from the one before. Of how
    many `claims` the verdicts were corrected for is said where the correction changed one."""
    parts = []
    experiment = ""
    for seen in several:
        comparison = seen.comparison
        part = f"{comparison.b} against {comparison.a}: {quantity(seen)}"
        if comparison.experiment != experiment:
            part = f"{comparison.experiment}, {seen.difference.pairs} paired seeds: {part}"
            experiment = comparison.experiment
        if seen.difference.names is not None and comparison.margin != MARGIN and seen.corrected:
            part += f", margin {comparison.margin:g}"
        if seen.corrected and _verdict(comparison, seen.difference) != _verdict(comparison, seen.corrected):
            part += f", corrected for {claims} claims {_interval(comparison, seen.corrected)}"
        parts.append(part)
    return "; ".join(parts)


def quantity(seen: Seen) -> str:
    """What was measured, with its 95 % interval: "errors -84 (-129 to -41)"; a logarithm as the factor that it is."""
    comparison = seen.comparison
    name = "factor" if comparison.logarithm else METRICS[comparison.metric][0]
    return f"{name} {_number(comparison, seen.difference.mean)} ({_interval(comparison, seen.difference)})"


def _interval(comparison: Comparison, seen: PairedDifference) -> str:
    return f"{_number(comparison, seen.interval.low)} to {_number(comparison, seen.interval.high)}"


def _number(comparison: Comparison, number: float) -> str:
    if comparison.logarithm:
        factor = comparison.logarithm**number
        return f"{factor:.0f}" if factor >= 10 else f"{factor:.2f}"
    written = METRICS[comparison.metric][1].format(number)
    return written.lstrip("+-") if float(written) == 0 else written  # neither +0 nor -0


def text(claims: Sequence[str], folder: Path) -> str:
    """The verdicts on these claims (none: all that `folder` has records of) as a table to print."""
    rows = []
    for claim, judgement in judge(folder).items():
        if not claims or claim in claims:
            rows += [[claim, judgement.verdict, _in_one_line(seen)] for seen in judgement.decides]
            rows += [["", "(beside)", _in_one_line(seen)] for seen in judgement.beside]
    return text_table(["claim", "verdict", "measured"], rows, left=3)


def _in_one_line(seen: Seen) -> str:
    comparison = seen.comparison
    return f"{comparison.experiment}: {comparison.b} against {comparison.a}: {quantity(seen)}"


def _records(folder: Path, comparison: Comparison) -> Records:
    return _in_file(folder / f"{comparison.study}.jsonl")


@cache
def _in_file(path: Path) -> Records:
    """One object per file, which reads it once."""
    return Records(path)
