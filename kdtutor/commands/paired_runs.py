"""The full run: students alone and distilled over paired seeds, compared and recorded. `kdtutor distill` runs it."""

import time
from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean

import torch
from torch import Tensor, nn

from kdtutor import checkpoints
from kdtutor._io import versions, write_json
from kdtutor.data import Dataset, Split, as_input
from kdtutor.metrics import latency
from kdtutor.models import count_parameters, mlp
from kdtutor.results import Table, held_out_metrics
from kdtutor.statistics import PairedDifference, paired_difference
from kdtutor.sweeps import sweep
from kdtutor.training import predict

COLUMNS = {  # of a record's figures
    "errors": "test_errors",
    "NLL": "test_nll",
    "agreement": "test_agreement",
    "calibration error": "test_calibration_error",
}


def run(digits: Dataset, teacher: nn.Module, teacher_name: str, options: Namespace) -> None:
    """Choose T and alpha, train the pairs, and leave a table on the screen and everything else in `options.out`.

    options: those of `kdtutor distill`, see its --help.
    """
    start = time.perf_counter()
    answers = {name: predict(teacher, getattr(digits, name), device=options.device) for name in ("train", "test")}
    temperature, alpha, choice = _choose(digits, answers, options)
    table = _students(digits, answers, options, range(options.seeds), [temperature], {0.0, alpha})
    if any(row["diverged"] for row in table.rows):
        raise FloatingPointError(f"the loss must stay finite, got NaN: try a smaller --lr than {options.lr:g}")
    own = held_out_metrics({"test": answers["test"]}, digits, answers)
    rows, first = {"teacher": [{key: own[column] for key, column in COLUMNS.items()}]}, {"teacher": teacher}
    for name, weight in {"alone": 0.0, "distilled": alpha}.items():
        found = [i for i, row in enumerate(table.rows) if row["alpha"] == weight]
        rows[name] = [
            {"seed": table.rows[i]["seed"]} | {key: table.rows[i][column] for key, column in COLUMNS.items()}
            for i in found
        ]
        first[name] = table.networks[found[0]]  # the one of seed 0
    pairs = [[row["errors"] for row in rows[name]] for name in ("alone", "distilled")]
    difference = paired_difference(*pairs) if options.seeds > 1 else None
    print(_table(rows, first, digits.test))
    print(f"\ntest errors, distilled minus alone: {difference or 'one pair gives no interval, use --seeds 5'}")
    settings = {name: value for name, value in vars(options).items() if name not in ("command", "out", "quiet")}
    settings |= {"temperature": temperature, "alpha": alpha}
    record = {
        "data": digits.name,
        "settings": settings | {"data": digits.name, "teacher": teacher_name},
        "choice": choice,
        "versions": versions(),
        "seconds": round(time.perf_counter() - start),
        "runs": rows,
        "distilled minus alone": difference and {"mean": difference.mean} | vars(difference.interval),
    }
    for name in ("alone", "distilled"):
        checkpoints.save(first[name], options.out / f"{name}.safetensors", record["settings"], half=True)
    write_json(record, options.out / "record.json")
    if difference:
        _figure(pairs, difference, options.out / "errors.png")
    saved = "the students of seed 0, the record" + (" and a figure" if difference else "")
    print(f"In {options.out}: {saved}; {record['seconds']} s without the teacher.")


def _choose(digits: Dataset, answers: dict[str, Tensor], options: Namespace) -> tuple[float, float, dict | None]:
    """The temperature and alpha of the pairs to come: of several the best on the validation images, for students
    whose seeds aren't those of the pairs. And what there was to choose from."""
    if len(options.temperature) == len(options.alpha) == 1:
        return options.temperature[0], options.alpha[0], None
    start = max(100, options.seeds)
    table = _students(digits, answers, options, range(start, start + options.seeds), options.temperature, options.alpha)
    best = {"temperature": options.temperature[0]} | table.best()
    print(f"{table}\nBest on the validation images: T = {best['temperature']:g}, alpha = {best['alpha']:g}\n")
    axes = {name: table.axis(name) for name in ("alpha", "temperature")}
    choice = axes | {"validation errors": table.means("validation_errors").tolist()}
    return best["temperature"], best["alpha"], choice


def _students(
    digits: Dataset,
    answers: dict[str, Tensor],
    options: Namespace,
    seeds: range,
    temperature: list[float],
    alpha: Iterable[float],
) -> Table:
    settings = {name: getattr(options, name) for name in ("lr", "epochs", "batch_size", "device")}
    settings |= {"temperature": temperature, "alpha": sorted(alpha), "progress": not options.quiet}
    table = sweep(lambda seed: mlp(*options.student, seed=seed), digits, answers, seeds=seeds, **settings)
    if table.interrupted:
        raise KeyboardInterrupt
    return table


def _table(rows: dict[str, list[dict]], networks: dict[str, nn.Module], test: Split) -> str:
    """A line a model: means over its seeds, and what its network costs (float32, one image on the CPU)."""
    image = as_input(test.inputs[:1], torch.float32)
    columns = "{:10}{:>11}{:>11}{:>9}{:>13}{:>12}{:>8}{:>11}".format
    lines = [
        columns("", "errors of", "agreement", "NLL", "calibration", "parameters", "size", "one image"),
        columns("", "10,000", "%", "nats", "error", "", "MB", "ms"),
    ]
    for name, runs in rows.items():
        wrong, agreed, nats, calibration = (
            fmean(row[key] for row in runs) for key in ("errors", "agreement", "NLL", "calibration error")
        )
        count, seconds = count_parameters(networks[name]), latency(networks[name], image)
        cells = (f"{wrong:.1f}", f"{100 * agreed:.2f}", f"{nats:.4f}", f"{calibration:.4f}")
        lines.append(columns(name, *cells, f"{count:,}", f"{4e-6 * count:.2f}", f"{1e3 * seconds:.3f}"))
    return "\n".join(lines)


def _figure(pairs: list[list[float]], difference: PairedDifference, path: Path) -> None:
    from matplotlib import style
    from matplotlib.figure import Figure

    from kdtutor import plots

    with style.context("kdtutor.course"):
        axes = Figure(figsize=(7.2, 3.2)).subplots(1, 2, width_ratios=(2, 1))
        plots.paired(*pairs, ("student alone", "student distilled"), difference, "Each line is a seed", axes=axes)
        axes[0].figure.savefig(path)
