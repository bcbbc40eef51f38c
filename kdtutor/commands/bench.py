"""`kdtutor bench`: how fast it all is on this machine."""

from argparse import ArgumentParser
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from kdtutor import data
from kdtutor._io import machine, write_json
from kdtutor._text import text_table

HELP = "measure how fast it all is on this machine, about 7 minutes"

Row = dict[str, Any]
Benchmark = Callable[[data.Dataset, bool], Iterable[Row]]


def add_arguments(parser: ArgumentParser) -> None:
    """--quick, --peers, and --json for a record."""
    parser.add_argument("--quick", action="store_true", help="less of it, within a minute, and no notebooks")
    parser.add_argument(
        "--peers",
        action="store_true",
        help="compare an epoch with other libraries instead, which `pip install kdtutor[peers]` brings",
    )
    parser.add_argument("--json", dest="record_path", type=Path, metavar="FILE", help="write a record, too")
    parser.set_defaults(work=bench)


def bench(quick: bool, peers: bool, record_path: Path | None) -> int:
    """Print what each benchmark measures here, as a table, and write all of it as a record where one is wanted."""
    benchmarks = with_peers() if peers else all_benchmarks()
    digits = data.load("mnist", fallback="strokes")
    record: dict[str, Any] = {"machine": machine(), "data": digits.name, "quick": quick}
    for name, value in record["machine"].items():
        print(f"{name}: {value}")

    for name, benchmark in benchmarks.items():
        print(f"\n{benchmark.__doc__}\n", flush=True)
        rows = list(benchmark(digits, quick))
        if rows:
            print(rows_as_text(rows), flush=True)
        record[name] = rows

    if record_path:
        write_json(record, record_path)
    return 0


def all_benchmarks() -> dict[str, Benchmark]:
    """The benchmarks by their names in the record. The docstring of each is the title of its table."""
    from kdtutor.commands.benchmarks import epochs, growth, notebooks, processes, students

    return {
        "epochs": epochs.time_epochs,
        "students": students.time_students,
        "busy": processes.time_beside_another,
        "growth": growth.time_growth,
        "process": processes.measure_start,
        "notebooks": notebooks.time_notebooks,
    }


def with_peers() -> dict[str, Benchmark]:
    """The comparison with other libraries, by its name in the record. Raises RuntimeError where one isn't installed."""
    from kdtutor.commands.benchmarks import peers

    peers.load()
    return {"peers": peers.time_peers}


def rows_as_text(rows: list[Row]) -> str:
    """Rows with the same keys as a table: first the columns of text, flush left, then those of numbers."""
    text = [name for name, value in rows[0].items() if isinstance(value, str)]
    numbers = [name for name in rows[0] if name not in text]
    heads = text + numbers

    lines = []
    for row in rows:
        lines.append([_cell(row[name]) for name in heads])
    return text_table(heads, lines, left=len(text))


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)
