"""`kdtutor evidence`: the trainings that the ledger's verdicts rest on."""

import time
from argparse import ArgumentParser
from pathlib import Path

HELP = "train what the ledger's verdicts rest on, some minutes per claim; can be resumed"
EXPLANATION = """
Numbers are b against a: differences in errors of 10,000 (or in what is named), minus for less, with the 95 % interval.
A verdict follows from a wider interval, corrected for the number of claims. "(beside)" decides nothing."""


def add_arguments(parser: ArgumentParser) -> None:
    """The claims, --data, --quick and --out."""
    parser.add_argument(
        "claims", nargs="*", metavar="CLAIM", help="such as 'few labels' or 'born again' (default: all, in two hours)"
    )
    parser.add_argument("--data", default="mnist", help="mnist, usps, strokes or fashion (default %(default)s)")
    parser.add_argument("--quick", action="store_true", help="a small version of everything, in some minutes")
    parser.add_argument(
        "--out", type=Path, help="folder for the records, one in it per data set (default runs/evidence)"
    )
    parser.set_defaults(work=evidence)


def evidence(claims: list[str], data: str, quick: bool, out: Path | None) -> int:
    """Train what `out` doesn't have yet, and print the verdicts."""
    from kdtutor.course.evidence import ledger, running

    # in a folder of its own, as no record says how many images it is of
    out = (out or Path("runs", "evidence")) / (f"{data}-quick" if quick else data)

    start = time.perf_counter()
    try:
        running.run(claims, data, out, quick)
        verdicts = ledger.text(claims, out)
    except KeyboardInterrupt:
        print(f"kdtutor: interrupted; {out} keeps the finished trainings, the same command goes on")
        return 130
    if quick:
        verdicts += "\n\nA quick look: two seeds and few images decide nothing, whatever the verdict says."
    print(f"\n{verdicts}\n{EXPLANATION}\n\nIn {out}: the records. {time.perf_counter() - start:.0f} s")
    return 0
