"""`kdtutor reproduce`: all numbers of a paper's section, each over several seeds."""

from argparse import ArgumentParser
from pathlib import Path

from kdtutor import data
from kdtutor.commands.arguments import add_device_argument

HELP = "reproduce a paper's section with seeds, over hours; can be resumed"


def add_arguments(parser: ArgumentParser) -> None:
    """The paper, --quick, --part, --out, --precision and --device."""
    parser.add_argument("paper", choices=("hinton",), help="Hinton, Vinyals & Dean 2015, section 3")
    parser.add_argument("--quick", action="store_true", help="a small version, in two minutes")
    parser.add_argument(
        "--part", action="append", default=[], help="such as '7 and 8' or 'at 20'; may be repeated (default: all parts)"
    )
    parser.add_argument(
        "--out", type=Path, help="folder for records and weights (default runs/hinton or runs/hinton-quick)"
    )
    parser.add_argument(
        "--precision",
        choices=("float32", "bfloat16"),
        default="float32",
        help="of the products of the teachers and the best students, which take longest (default %(default)s; bfloat16 "
        "is faster on a processor with instructions for it, and slower elsewhere)",
    )
    add_device_argument(parser)
    parser.set_defaults(work=reproduce)


def reproduce(paper: str, quick: bool, part: list[str], out: Path | None, precision: str, device: str | None) -> int:
    """Train what `out` doesn't have yet, and print the paper's numbers beside ours. There is one paper so far."""
    from kdtutor.course.hinton import table
    from kdtutor.course.hinton.reproduction import Section

    if out is None:
        name = f"{paper}-quick" if quick else paper
        out = Path("runs", name)

    section = Section(data.load("mnist"), out, quick, precision, device)
    try:
        section.run(part)
    except KeyboardInterrupt:
        print(f"kdtutor: interrupted; {section.records.path} keeps the finished runs, the same command goes on")
        return 130
    print(f"\n{table.markdown(section.records)}\n\nIn {out}: the records and the weights.")
    return 0
