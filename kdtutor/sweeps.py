"""Many students at once: every combination of seed, temperature, alpha and learning rate.

Small students are trained together in one batched computation (`_batched`), large ones one by one. Either way they
are those of `training.distill` with the same seed, up to rounding (which may, over many steps, come to a few errors).
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from kdtutor._batched import Stack, distill_stack, stackable
from kdtutor._check import check_count, check_labels, check_logits, shape
from kdtutor._device import fits_one_thread, pick_device, threads, threads_for
from kdtutor._grid import Row, chunks, grid
from kdtutor.data import Dataset
from kdtutor.evaluation import predict
from kdtutor.fitting import ADAM, OptimizerFactory
from kdtutor.models import count_parameters
from kdtutor.results import Table, held_out_metrics
from kdtutor.training import distill

MAX_STACKED_WEIGHTS = (
    2_000_000  # weights in a stack on a CPU; with gradients and Adam's moments 32 MB, about what a cache holds
)
MAX_STACK_BYTES = 2**29  # bytes of a stack where the free memory isn't known, activations included

Logits = dict[str, Tensor]  # by split


def sweep(
    student_factory: Callable[[int], nn.Module],
    data: Dataset,
    teacher: Tensor | Mapping[str, Tensor] | nn.Module | None,
    *,
    seeds: Sequence[int] = range(5),
    temperature: float | Sequence[float] = 4.0,
    alpha: float | Sequence[float] = 0.9,
    lr: float | Sequence[float] = 2e-3,
    epochs: int = 5,
    batch_size: int = 128,
    optimizer: OptimizerFactory = ADAM,
    device: str | torch.device | None = None,
    progress: bool = True,
    at_once: int | None = None,
) -> Table:
    """Distil a student for each combination of seeds, temperature, alpha and lr on `data.train`; measure them all.

    Args:
        student_factory: student_factory(seed) -> a new network, its weights drawn from the seed, such as
            `lambda seed: mlp(784, 128, 10, seed=seed)`.
        teacher: its logits (N, C), one row per example of `data.train`; or a dict with those of "train" and of
            "validation" and "test", too, which agreement needs; or the model, which predicts all three once. None if
            alpha is 0.
        seeds: of the weights and of the order of examples, as in `distill`; students of one seed are paired.
        temperature, alpha, lr: a number, or several. At alpha = 0 (the student alone) temperature plays no part:
            there is one such student for each seed and lr.
        epochs, batch_size, device: as in `fitting.fit`.
        optimizer: one that treats each weight by itself, as Adam and SGD do.
        at_once: how many students to train together. None chooses: one where a single one fills the CPU (nothing is
            gained then), else as many as a CPU's cache or a quarter of a GPU's free memory holds.

    Networks that `_batched.stackable` doesn't take (with dropout, say) are trained one by one. A student whose loss
    doesn't stay finite is marked `diverged` and leaves the others alone. Ctrl-C keeps the students that are finished.
    The table keeps the logits on the held-out splits, too: 0.6 MB per student for 15,000 images of 10 classes. Raises
    TypeError and ValueError for bad arguments.
    """
    from tqdm.auto import tqdm

    start = time.perf_counter()
    device = pick_device(device)
    rows = grid(seeds, temperature, alpha, lr)
    check_count("epochs", epochs)
    check_count("batch_size", batch_size)
    if not isinstance(data, Dataset):
        raise TypeError(f"data must be a Dataset (train, validation, test), got {type(data).__name__}")
    example = _example(student_factory, rows[0]["seed"])
    teacher_logits = _teacher_logits(teacher, example, data, device, needed=any(row["alpha"] for row in rows))
    if at_once is None:
        at_once = how_many_at_once(example, data, batch_size, device)
    check_count("at_once", at_once)

    fitting = {"epochs": epochs, "batch_size": batch_size, "optimizer": optimizer}
    finished: dict[int, tuple[nn.Module, Logits]] = {}
    interrupted = False
    with tqdm(total=len(rows) * epochs, unit="epoch", disable=not progress) as bar:
        try:
            for places in chunks(rows, at_once):
                chunk = [rows[place] for place in places]
                students = [student_factory(row["seed"]) for row in chunk]
                train = _together if len(students) > 1 and stackable(students) else _one_by_one
                trained = train(students, chunk, data, teacher_logits["train"], device, bar, fitting)
                for place, student, logits in zip(places, students, trained, strict=True):
                    rows[place] |= held_out_metrics(logits, data, teacher_logits, rows[place]["diverged"])
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
    student = student_factory(seed)
    twin = student_factory(seed)
    if not isinstance(student, nn.Module):
        raise TypeError(f"student_factory must return an nn.Module, got {type(student).__name__}")
    if {*student.modules()} & {*twin.modules()}:
        raise ValueError("student_factory must build a new network each time, got one module twice")

    twin_state = twin.state_dict()
    if not all(torch.equal(value, twin_state[name]) for name, value in student.state_dict().items()):
        raise ValueError(f"student_factory must draw the weights from the seed, got two networks for seed {seed}")
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


@torch.no_grad()
def how_many_at_once(student: nn.Module, data: Dataset, batch_size: int, device: torch.device) -> int:
    """How many such students to train together, see `sweep`."""
    if not stackable([student]):
        return 1
    if device.type == "cpu" and not fits_one_thread(student, data.train.inputs, batch_size):
        return 1  # nothing is gained, and with convolutions much lost: cnn() at 0.6 to 1.0 times one by one

    # numbers that one example takes, all layers together
    weight = next(student.parameters())
    x = torch.zeros(1, *data.train.inputs.shape[1:], dtype=weight.dtype, device=weight.device)
    activations = x.numel()
    for layer in student.children():
        x = layer(x)
        activations += x.numel()

    weights = count_parameters(student)
    batch = min(batch_size, len(data.train))
    held_out = 2 * x.numel() * (len(data.validation) + len(data.test))  # logits, and a copy
    bytes_each = x.element_size() * (4 * weights + 3 * batch * activations + held_out)
    if device.type == "cuda":
        return max(1, torch.cuda.mem_get_info(device)[0] // 4 // bytes_each)
    if device.type == "cpu":
        return max(1, min(MAX_STACK_BYTES // bytes_each, MAX_STACKED_WEIGHTS // weights))
    return max(1, MAX_STACK_BYTES // bytes_each)


def _together(
    students: list[nn.Module],
    rows: list[Row],
    data: Dataset,
    teacher_logits: Tensor,
    device: torch.device,
    bar: Any,
    fitting: dict[str, Any],
) -> Iterator[Logits]:
    """Train all in one computation; each one's logits on the held-out splits."""
    stack = Stack(students, device)
    with threads(threads_for(students[0], data.train.inputs, fitting["batch_size"], device, len(rows))):
        finite = distill_stack(
            stack,
            teacher_logits,
            data.train,
            seeds=list(dict.fromkeys(row["seed"] for row in rows)),
            temperature=[row["temperature"] or 1.0 for row in rows],
            alpha=[row["alpha"] for row in rows],
            lr=rows[0]["lr"],
            after_epoch=lambda: bar.update(len(rows)),
            **fitting,
        )
        validation = stack.predict(data.validation)
        test = stack.predict(data.test)
    stack.write_back()
    for k, row in enumerate(rows):
        row["diverged"] = not finite[k]
        yield {"validation": validation[k], "test": test[k]}


def _one_by_one(
    students: list[nn.Module],
    rows: list[Row],
    data: Dataset,
    teacher_logits: Tensor,
    device: torch.device,
    bar: Any,
    fitting: dict[str, Any],
) -> Iterator[Logits]:
    """Train one after the other; each one's logits on the held-out splits."""
    for student, row in zip(students, rows, strict=True):
        settings = {"temperature": row["temperature"] or 1.0, "alpha": row["alpha"], "lr": row["lr"]}
        try:
            history = distill(
                student, teacher_logits, data.train,
                seed=row["seed"], device=device, progress=False, **settings, **fitting,
            )  # fmt: skip
            if history.interrupted:
                raise KeyboardInterrupt
        except FloatingPointError:
            row["diverged"] = True
        bar.update(fitting["epochs"])
        yield {
            "validation": predict(student, data.validation, device=device),
            "test": predict(student, data.test, device=device),
        }
