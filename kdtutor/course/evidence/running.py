"""Runs the studies that claims rest on, and keeps their records."""

from collections.abc import Sequence
from pathlib import Path

from kdtutor._device import threads
from kdtutor.course.evidence.digits import DATA_SETS, Digits
from kdtutor.course.evidence.protocol import Experiment, Plan, run_experiment, run_measurement
from kdtutor.course.evidence.rows import EVIDENCE
from kdtutor.course.evidence.studies import STUDIES
from kdtutor.course.records import Records

FULL = Plan()
QUICK = Plan(choosers=(100,), seeds=range(2), widen=False)


def run(claims: Sequence[str], name: str, folder: Path, quick: bool = False) -> None:
    """Train what the records in `folder` lack of the studies that these claims rest on (none: all of them).

    Raises ValueError for a claim or a data set that isn't known, DataError for one that can't be had, and OSError
    where `folder` can't be written: all before the first training.
    """
    studies = studies_of(claims)
    if name not in DATA_SETS:
        raise ValueError(f"data must be one of {', '.join(DATA_SETS)}, got {name!r}")
    digits = Digits(name, folder, quick)
    plan = QUICK if quick else FULL
    with threads(1):  # two commands with different claims use two cores better than two threads do
        experiments = {study: STUDIES[study](digits) for study in studies}  # some load other data sets
        for study in studies:
            records = Records(folder / f"{study}.jsonl")
            records.check_writable()
            for experiment in experiments[study]:
                print(f"{study}: {experiment.name}", flush=True)
                if isinstance(experiment, Experiment):
                    run_experiment(experiment, records, plan)
                else:
                    run_measurement(experiment, records, plan)


def studies_of(claims: Sequence[str]) -> list[str]:
    """The studies that these claims rest on (none: all), those that take longest last."""
    unknown = [claim for claim in claims if claim not in EVIDENCE]
    if unknown:
        raise ValueError(f"claims must be among {', '.join(EVIDENCE)}, got {', '.join(map(repr, unknown))}")
    needed = set()
    for claim in claims or EVIDENCE:
        evidence = EVIDENCE[claim]
        needed |= {comparison.study for comparison in [*evidence.decides, *evidence.beside]}
    return [study for study in STUDIES if study in needed]
