"""Many students at once: every combination of seed, temperature, alpha and learning rate.

Small students are trained together in one batched computation (`_batched`), large ones one by one. Either way they
are those of `training.distill` with the same seed, up to rounding (which may, over many steps, come to a few errors).
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import product
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn

from kdtutor._batched import Stack, distill_stack, stackable
from kdtutor._check import check_count, check_fraction, check_labels, check_logits, check_positive, check_seed, shape
from kdtutor._device import pick_device, small, threads, threads_for
from kdtutor.data import Dataset
from kdtutor.models import count_parameters
from kdtutor.results import Table, figures
from kdtutor.training import ADAM, distill, predict

CACHE = 2_000_000  # weights in a stack on a CPU; with gradients and Adam's moments 32 MB, about what a cache holds
MEMORY = 2**29  # bytes of a stack where the free memory isn't known, activations included
HELD_OUT = ("validation", "test")

Row = dict[str, Any]


def sweep(
    student_factory: Callable[[int], nn.Module],
    data: Dataset,
    teacher_logits: Tensor | Mapping[str, Tensor] | nn.Module | None,
    *,
    seeds: Sequence[int] = range(5),
    temperature: float | Sequence[float] = 4.0,
    alpha: float | Sequence[float] = 0.9,
    lr: float | Sequence[float] = 2e-3,
    epochs: int = 5,
    batch_size: int = 128,
    optimizer: Callable[..., torch.optim.Optimizer] = ADAM,
    device: str | torch.device | None = None,
    progress: bool = True,
    at_once: int | None = None,
) -> Table:
    """Distil a student for each combination of seeds, temperature, alpha and lr on `data.train`; measure them all.

    Args:
        student_factory: student_factory(seed) -> a new network, its weights drawn from the seed, such as
            `lambda seed: mlp(784, 128, 10, seed=seed)`.
        teacher_logits: (N, C), a row a row of `data.train`; or a dict with those of "train" and of "validation" and
            "test" too, which agreement needs; or the teacher, who is asked for all three. None if alpha is 0.
        seeds: of the weights and of the order of examples, as in `distill`; students of one seed are paired.
        temperature, alpha, lr: a number, or several. At alpha = 0 (the student alone) temperature plays no part:
            there is one such student for each seed and lr.
        epochs, batch_size, device: as in `training.fit`.
        optimizer: one that treats each weight by itself, as Adam and SGD do.
        at_once: how many students to train together. None chooses: one where a single one fills the CPU (nothing is
            gained then), else as many as a CPU's cache or a quarter of a GPU's free memory holds.

    Networks that `stack.stackable` doesn't take (with dropout, say) are trained one by one. A student whose loss
    doesn't stay finite is marked `diverged` and leaves the others alone. Ctrl-C keeps the students that are finished.
    Raises ValueError for bad arguments.
    """
    from tqdm.auto import tqdm

    start, device = time.perf_counter(), pick_device(device)
    rows = _rows(seeds, temperature, alpha, lr)
    check_count("epochs", epochs)
    check_count("batch_size", batch_size)
    if not isinstance(data, Dataset):
        raise TypeError(f"data must be a Dataset (train, validation, test), got {type(data).__name__}")
    probe = _probe(student_factory, rows[0]["seed"])
    answers = _answers(teacher_logits, probe, data, device, needed=any(row["alpha"] for row in rows))
    at_once = _at_once(probe, data, batch_size, device) if at_once is None else at_once
    check_count("at_once", at_once)
    fitting = {"epochs": epochs, "batch_size": batch_size, "optimizer": optimizer}
    students: list[nn.Module | None] = [None] * len(rows)
    interrupted = False
    with tqdm(total=len(rows) * epochs, unit="epoch", disable=not progress) as bar:
        try:
            for places in _chunks(rows, at_once):
                some_rows = [rows[i] for i in places]
                some = [student_factory(row["seed"]) for row in some_rows]
                train = _together if len(some) > 1 and stackable(some) else _one_by_one
                logits = train(some, some_rows, data, answers["train"], device, bar, **fitting)
                for i, student, held_out in zip(places, some, logits, strict=True):
                    rows[i] |= figures(held_out, data, answers, rows[i]["diverged"])
                    students[i] = student
        except KeyboardInterrupt:
            interrupted = True
    done = [i for i, student in enumerate(students) if student is not None]
    return Table([rows[i] for i in done], [students[i] for i in done], time.perf_counter() - start, interrupted)


def _probe(student_factory: Callable[[int], nn.Module], seed: int) -> nn.Module:
    """A student, after a check that the factory makes new ones and draws their weights from the seed."""
    if isinstance(student_factory, nn.Module) or not callable(student_factory):
        kind = type(student_factory).__name__
        raise TypeError(f"student_factory must be a function that makes a network from a seed, got {kind}")
    one, other = student_factory(seed), student_factory(seed)
    if not isinstance(one, nn.Module):
        raise TypeError(f"student_factory must return an nn.Module, got {type(one).__name__}")
    if {*one.modules()} & {*other.modules()}:
        raise ValueError("student_factory must build a new network each time, got one module twice")
    twin = other.state_dict()
    if not all(torch.equal(value, twin[name]) for name, value in one.state_dict().items()):
        raise ValueError(f"student_factory must draw the weights from the seed, got two networks for seed {seed}")
    return one


def _rows(seeds: object, temperature: object, alpha: object, lr: object) -> list[Row]:
    """A row for each student to come; the seeds of a combination of settings side by side."""
    lists = {"seeds": seeds, "temperature": temperature, "alpha": alpha, "lr": lr}
    checks = (lambda _, seed: check_seed(seed), check_positive, check_fraction, check_positive)
    for (name, values), check in zip(lists.items(), checks, strict=True):
        single = isinstance(values, Real)
        if (single and name == "seeds") or not (single or isinstance(values, Iterable)):
            allowed = "several seeds, such as range(5)" if name == "seeds" else "a number or several"
            raise TypeError(f"{name} must be {allowed}, got {values!r}")
        values = [values] if single else list(values)
        for value in values:
            check(name, value)
        if not values or len({*values}) < len(values):
            raise ValueError(f"{name} must hold at least one value, and none twice, got {values}")
        lists[name] = [int(value) if name == "seeds" else float(value) for value in values]
    seeds, temperatures, alphas, rates = lists.values()
    soft = [(None, 0.0)] * (0 in alphas) + [(t, a) for a, t in product(alphas, temperatures) if a]
    return [
        {"seed": seed, "temperature": t, "alpha": a, "lr": rate, "diverged": False}
        for rate, (t, a), seed in product(rates, soft, seeds)
    ]


def _chunks(rows: list[Row], at_once: int) -> list[list[int]]:
    """Places of rows to train together: of one lr, and the same settings for each seed, seed by seed. The first seeds
    come first, so that an interrupted sweep leaves as many complete pairs as it can."""
    seeds = len({row["seed"] for row in rows})
    first = list(range(0, len(rows), seeds))  # where each combination of settings begins
    chunks = []
    while first:
        some = [place for place in first[:at_once] if rows[place]["lr"] == rows[first[0]]["lr"]]
        first = first[len(some) :]
        step = max(1, at_once // len(some))
        for seed in range(0, seeds, step):
            chunks.append([place + i for i in range(seed, min(seed + step, seeds)) for place in some])
    return sorted(chunks, key=lambda places: places[0] % seeds)


def _answers(
    teacher: Tensor | Mapping[str, Tensor] | nn.Module | None,
    student: nn.Module,
    data: Dataset,
    device: torch.device,
    needed: bool,
) -> dict[str, Tensor]:
    """The teacher's logits by split, checked against the data and the student."""
    splits = {"train": data.train, "validation": data.validation, "test": data.test}
    classes = predict(student, data.train[:1], device=device).shape[-1]
    if isinstance(teacher, nn.Module):
        teacher = {name: predict(teacher, split, device=device) for name, split in splits.items()}
    if teacher is None:
        if needed:
            raise ValueError("teacher_logits must be given unless alpha is 0, got None")
        teacher = torch.zeros(len(data.train), classes)
    answers = dict(teacher) if isinstance(teacher, Mapping) else {"train": teacher}
    if "train" not in answers or {*answers} - {*splits}:
        raise ValueError(f"teacher_logits must have 'train', and may have 'validation' and 'test', got {[*answers]}")
    for name, logits in answers.items():
        check_logits("teacher_logits", logits)
        if shape(logits) != (len(splits[name]), classes):
            raise ValueError(
                f"teacher_logits must be ({len(splits[name])}, {classes}) for {name}, a row an example and a column a "
                f"class of the student, got {shape(logits)}"
            )
        if not (logits < math.inf).all():
            raise ValueError(f"teacher_logits must not hold NaN or +inf, and those for {name} do")
        check_labels(splits[name].labels, logits)
    return {name: logits.detach().cpu() for name, logits in answers.items()}


@torch.no_grad()
def _at_once(student: nn.Module, data: Dataset, batch_size: int, device: torch.device) -> int:
    """How many such students to train together, see `sweep`."""
    if not stackable([student]):
        return 1
    weight = next(student.parameters())
    x = torch.zeros(1, *data.train.inputs.shape[1:], dtype=weight.dtype, device=weight.device)
    weights, batch = count_parameters(student), min(batch_size, len(data.train))
    if device.type == "cpu" and not small(student, data.train.inputs, batch_size):
        return 1  # nothing is gained, and with convolutions much lost: cnn() at 0.6 to 1.0 times one by one
    values = x.numel()  # of one example, all layers together
    for layer in student:
        x = layer(x)
        values += x.numel()
    room = torch.cuda.mem_get_info(device)[0] // 4 if device.type == "cuda" else MEMORY
    held_out = 2 * x.numel() * (len(data.validation) + len(data.test))  # logits, and a copy
    fit = room // (x.element_size() * (4 * weights + 3 * batch * values + held_out))
    return max(1, min(fit, CACHE // weights) if device.type == "cpu" else fit)


def _together(
    students: list[nn.Module],
    rows: list[Row],
    data: Dataset,
    targets: Tensor,
    device: torch.device,
    bar: Any,
    **fitting,
) -> Iterator[dict[str, Tensor]]:
    """Train all in one computation; each one's logits on the held-out splits."""
    stack = Stack(students, device)
    with threads(threads_for(students[0], data.train.inputs, fitting["batch_size"], device, len(rows))):
        finite = distill_stack(
            stack,
            targets,
            data.train,
            seeds=list(dict.fromkeys(row["seed"] for row in rows)),
            temperature=[row["temperature"] or 1.0 for row in rows],
            alpha=[row["alpha"] for row in rows],
            lr=rows[0]["lr"],
            after_epoch=lambda: bar.update(len(rows)),
            **fitting,
        )
        logits = {name: stack.predict(getattr(data, name)) for name in HELD_OUT}
    stack.write_back()
    for k, row in enumerate(rows):
        row["diverged"] = not finite[k]
        yield {name: z[k] for name, z in logits.items()}


def _one_by_one(
    students: list[nn.Module],
    rows: list[Row],
    data: Dataset,
    targets: Tensor,
    device: torch.device,
    bar: Any,
    **fitting,
) -> Iterator[dict[str, Tensor]]:
    """Train one after the other; each one's logits on the held-out splits."""
    for student, row in zip(students, rows, strict=True):
        soft = {"temperature": row["temperature"] or 1.0, "alpha": row["alpha"], "lr": row["lr"], "seed": row["seed"]}
        try:
            history = distill(student, targets, data.train, device=device, progress=False, **soft, **fitting)
            if history.interrupted:
                raise KeyboardInterrupt
        except FloatingPointError:
            row["diverged"] = True
        bar.update(fitting["epochs"])
        yield {name: predict(student, getattr(data, name), device=device) for name in HELD_OUT}
