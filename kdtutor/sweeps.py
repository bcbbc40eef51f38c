"""Many students at once: every combination of seed, temperature, alpha, learning rate and number of epochs.

Small students are trained together in one batched computation (`_together`), large ones one by one; `_chunks` decides.
Either way they are those of `training.distill` with the same seed, up to rounding (which may, over many steps, come to
a few errors).
"""

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from kdtutor._batched import Stack
from kdtutor._check import check_count, check_labels, check_logits, shape
from kdtutor._chunks import chunks, how_many_at_once, trained_together
from kdtutor._device import pick_device, threads, threads_for
from kdtutor._grid import Row, grid
from kdtutor._together import distill_stack
from kdtutor.data import Dataset
from kdtutor.evaluation import predict
from kdtutor.fitting import ADAM, OptimizerFactory
from kdtutor.results import Table, held_out_metrics
from kdtutor.training import distill

Logits = dict[str, Tensor]  # by split
Trained = tuple[Logits, bool]  # a student's logits on the held-out splits, and whether its loss diverged


def sweep(
    student_factory: Callable[[int], nn.Module],
    data: Dataset,
    teacher: Tensor | Mapping[str, Tensor] | nn.Module | None,
    *,
    seeds: Sequence[int] = range(5),
    temperature: float | Sequence[float] = 4.0,
    alpha: float | Sequence[float] = 0.9,
    lr: float | Sequence[float] = 2e-3,
    epochs: int | Sequence[int] = 5,
    batch_size: int = 128,
    optimizer: OptimizerFactory = ADAM,
    device: str | torch.device | None = None,
    progress: bool = True,
    at_once: int | None = None,
) -> Table:
    """Distil a student for each combination of settings on `data.train`; measure them all.

    Args:
        student_factory: student_factory(seed) -> a new network, its weights drawn from the seed, such as
            `lambda seed: mlp(784, 128, 10, seed=seed)`.
        teacher: its logits (N, C), one row per example of `data.train`; or a dict with those of "train" and of
            "validation" and "test", too, which agreement needs; or the model, which predicts all three once. None if
            alpha is 0.
        seeds: of the weights and of the order of examples, as in `distill`; students of one seed are paired.
        temperature, alpha, lr, epochs: a number, or several. At alpha = 0 (the student alone) temperature plays no
            part: there is one such student for each seed, lr and number of epochs.
        batch_size, device: as in `fitting.fit`.
        optimizer: one that treats each weight by itself, as Adam and SGD do.
        progress: whether to show a bar, one step per student and epoch.
        at_once: how many students to train together. None chooses: one where a single one fills the CPU (nothing is
            gained then), else as many as a CPU's cache or a quarter of a GPU's free memory holds (`_chunks` has the
            whole rule).

    Networks that `_batched.stackable` doesn't take (with dropout, say) are trained one by one. A student whose loss
    doesn't stay finite is marked `diverged` and leaves the others alone. Ctrl-C keeps the students that are finished.
    The table keeps the logits on the held-out splits, too: 0.6 MB per student for 15,000 images of 10 classes. Raises
    TypeError and ValueError for bad arguments.
    """
    from tqdm.auto import tqdm

    start = time.perf_counter()
    device = pick_device(device)
    rows = grid(seeds, temperature, alpha, lr, epochs)
    check_count("batch_size", batch_size)
    if not isinstance(data, Dataset):
        raise TypeError(f"data must be a Dataset (train, validation, test), got {type(data).__name__}")
    example = _example(student_factory, rows[0]["seed"])
    teacher_logits = _teacher_logits(teacher, example, data, device, needed=any(row["alpha"] for row in rows))
    if at_once is None:
        at_once = how_many_at_once(example, data, batch_size, device)
    check_count("at_once", at_once)

    fitting = {"batch_size": batch_size, "optimizer": optimizer}
    finished: dict[int, tuple[nn.Module, Logits]] = {}
    known_modules: set[nn.Module] = set()
    interrupted = False
    with tqdm(total=sum(row["epochs"] for row in rows), unit="epoch", disable=not progress) as bar:
        try:
            for places in chunks(rows, at_once):
                chunk = [rows[place] for place in places]
                students = [_new_student(student_factory, row["seed"], known_modules) for row in chunk]
                train = _together if trained_together(students) else _one_by_one
                results = train(students, chunk, data, teacher_logits["train"], device, bar, fitting)
                for place, student, (logits, diverged) in zip(places, students, results, strict=True):
                    rows[place].update(held_out_metrics(logits, data, teacher_logits, diverged))
                    finished[place] = student, logits
        except KeyboardInterrupt:
            interrupted = True

    return Table(
        rows=[rows[place] for place in sorted(finished)],
        networks=[finished[place][0] for place in sorted(finished)],
        held_out_logits=[finished[place][1] for place in sorted(finished)],
        labels={"validation": data.validation.labels.cpu(), "test": data.test.labels.cpu()},
        seconds=time.perf_counter() - start,
        interrupted=interrupted,
    )


def _example(student_factory: Callable[[int], nn.Module], seed: int) -> nn.Module:
    """A student, after a check that the factory makes new ones and draws their weights from the seed."""
    if isinstance(student_factory, nn.Module) or not callable(student_factory):
        kind = type(student_factory).__name__
        raise TypeError(f"student_factory must be a function that makes a network from a seed, got {kind}")
    known_modules: set[nn.Module] = set()
    student = _new_student(student_factory, seed, known_modules)
    twin = _new_student(student_factory, seed, known_modules)

    twin_state = twin.state_dict()
    if not all(torch.equal(value, twin_state[name]) for name, value in student.state_dict().items()):
        raise ValueError(f"student_factory must draw the weights from the seed, got two networks for seed {seed}")
    return student


def _new_student(student_factory: Callable[[int], nn.Module], seed: int, known_modules: set[nn.Module]) -> nn.Module:
    """The factory's network for this seed, whose modules are added to those that are known. Raises where it isn't a
    network, or not a new one."""
    student = student_factory(seed)
    if not isinstance(student, nn.Module):
        raise TypeError(f"student_factory must return an nn.Module, got {type(student).__name__}")
    modules = {*student.modules()}
    if modules & known_modules:
        raise ValueError("student_factory must build a new network each time, got one module twice")
    known_modules.update(modules)
    return student


def _teacher_logits(
    teacher: Tensor | Mapping[str, Tensor] | nn.Module | None,
    student: nn.Module,
    data: Dataset,
    device: torch.device,
    needed: bool,
) -> Logits:
    """The teacher's logits by split, checked against the data and the student, on the CPU."""
    splits = data.splits()
    classes = predict(student, data.train[:1], device=device).shape[-1]
    if isinstance(teacher, nn.Module):
        logits = {name: predict(teacher, split, device=device) for name, split in splits.items()}
    elif isinstance(teacher, Mapping):
        logits = dict(teacher)
    elif teacher is not None:
        logits = {"train": teacher}
    elif needed:
        raise ValueError("teacher must be given unless alpha is 0, got None")
    else:
        logits = {"train": torch.zeros(len(data.train), classes)}

    if "train" not in logits or {*logits} - {*splits}:
        raise ValueError(f"teacher must have logits for 'train', and may for 'validation' and 'test', got {[*logits]}")
    for name, z in logits.items():
        check_logits("teacher", z)
        if shape(z) != (len(splits[name]), classes):
            raise ValueError(
                f"teacher's logits must be ({len(splits[name])}, {classes}) for {name}, one row per example and one "
                f"column per class of the student, got {shape(z)}"
            )
        if not (z < math.inf).all():
            raise ValueError(f"teacher's logits must not hold NaN or +inf, and those for {name} do")
        check_labels(splits[name].labels, z)
    return {name: z.detach().cpu() for name, z in logits.items()}


def _together(
    students: list[nn.Module],
    rows: list[Row],
    data: Dataset,
    teacher_logits: Tensor,
    device: torch.device,
    bar: Any,
    fitting: dict[str, Any],
) -> Iterable[Trained]:
    """Train all in one computation. They go seed by seed, with as many settings for each seed (`_chunks.chunks`)."""
    seeds = list(dict.fromkeys(row["seed"] for row in rows))
    settings_per_seed = len(rows) // len(seeds)
    assert [row["seed"] for row in rows] == [seed for seed in seeds for _ in range(settings_per_seed)]

    with threads(threads_for(students[0], data.train.inputs, fitting["batch_size"], device, len(rows))):
        finite = distill_stack(
            students,
            teacher_logits,
            data.train,
            device,
            seeds=seeds,
            temperature=[row["temperature"] or 1.0 for row in rows],
            alpha=[row["alpha"] for row in rows],
            lr=[row["lr"] for row in rows],
            epochs=[row["epochs"] for row in rows],
            after_epoch=bar.update,
            **fitting,
        )
        stack = Stack(students, device)
        validation = stack.predict(data.validation)
        test = stack.predict(data.test)

    trained = []
    for k in range(len(rows)):
        logits = {"validation": validation[k].clone(), "test": test[k].clone()}  # not views of all students' logits
        trained.append((logits, not finite[k]))
    return trained


def _one_by_one(
    students: list[nn.Module],
    rows: list[Row],
    data: Dataset,
    teacher_logits: Tensor,
    device: torch.device,
    bar: Any,
    fitting: dict[str, Any],
) -> Iterable[Trained]:
    """Train one after the other, and yield each as soon as it is finished: Ctrl-C loses only the one in training."""
    for student, row in zip(students, rows, strict=True):
        settings = {
            "temperature": row["temperature"] or 1.0,
            "alpha": row["alpha"],
            "lr": row["lr"],
            "epochs": row["epochs"],
        }
        diverged = False
        try:
            history = distill(
                student, teacher_logits, data.train,
                seed=row["seed"], device=device, progress=False, **settings, **fitting,
            )  # fmt: skip
            if history.interrupted:
                raise KeyboardInterrupt
        except FloatingPointError:
            diverged = True
        bar.update(row["epochs"])

        logits = {
            "validation": predict(student, data.validation, device=device),
            "test": predict(student, data.test, device=device),
        }
        yield logits, diverged
