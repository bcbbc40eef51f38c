"""Training, distilling and predicting: one loop for any `nn.Module`, any data, on CPU or GPU.

The losses are `kdtutor.losses`' business and the data `kdtutor.data`'s; here they meet. Nothing but the trained
model's weights is left changed: models come back on the device and in the mode in which they came, and the global
random state stays as it was.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from functools import partial

import torch
from torch import Tensor, nn

from kdtutor._check import check_count, check_fraction, check_logits, check_positive, check_seed, shape
from kdtutor._device import dtype_of, lent, pick_device, seeded, threads, threads_for
from kdtutor.data import Augment, Data, Split, as_input, batches
from kdtutor.losses import cross_entropy, distillation_loss
from kdtutor.results import History

Loss = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]
ADAM = partial(torch.optim.Adam, fused=True)


def train(model: nn.Module, data: Data, **options) -> History:
    """Train `model` in place on the labels of `data`, with cross-entropy.

    options: epochs=5, batch_size=128, lr=2e-3, optimizer=Adam, validation=None, augment=None, seed=0,
    precision=None, device=None, progress=True; see `fit`.
    """
    return fit(model, data, _hard, **options)


def _hard(logits: Tensor, inputs: Tensor, labels: Tensor, index: Tensor | None) -> Tensor:
    return cross_entropy(logits, labels)


def distill(
    student: nn.Module,
    teacher: nn.Module | Tensor,
    data: Data,
    *,
    temperature: float = 4.0,
    alpha: float = 0.9,
    augment: Augment | None = None,
    device: str | torch.device | None = None,
    **options,
) -> History:
    """Train `student` in place on the teacher's soft targets and the labels, with `losses.distillation_loss`.

    Args:
        teacher: a model, asked in eval mode and without gradients; or its logits (N, C), a row a row of a Split.
        data, augment, device, options: as in `fit`.

    Over a Split without `augment` the teacher answers each example once, and its logits are kept by example. Where
    inputs change from epoch to epoch (`augment`, or an iterable) it answers the very batch that the student sees.
    Raises ValueError where logits are given that can't be matched with the examples.
    """
    check_positive("temperature", temperature)
    check_fraction("alpha", alpha)
    if not isinstance(teacher, nn.Module | Tensor):
        raise TypeError(f"teacher must be an nn.Module or a tensor of logits, got {type(teacher).__name__}")
    if isinstance(teacher, nn.Module) and {*student.modules()} & {*teacher.modules()}:
        raise ValueError("teacher must share no module with the student, which training changes: take a deepcopy of it")
    fixed = isinstance(data, Split) and augment is None
    device = pick_device(device)
    kept = None
    if isinstance(teacher, Tensor):
        check_logits("teacher", teacher)
        kept = teacher.to(device)
    if kept is not None and not fixed:
        raise ValueError(
            "teacher must be a model where inputs change from epoch to epoch (augment, or an iterable), got logits, "
            "which can only be matched with the rows of a Split"
        )
    if kept is not None and (kept.dim() != 2 or len(kept) != len(data)):
        raise ValueError(f"teacher's logits must be ({len(data)}, classes), a row an example, got {shape(kept)}")

    every_thread = torch.get_num_threads()

    def loss(student_logits: Tensor, inputs: Tensor, labels: Tensor, index: Tensor | None) -> Tensor:
        nonlocal kept
        if fixed and kept is None:
            # `fit` takes one thread for a small student; its teacher may be large, and answers in full precision
            with threads(every_thread), torch.autocast(device.type, enabled=False):
                kept = predict(teacher, data, device=device).to(device)
        with torch.no_grad():
            answers = kept.index_select(0, index) if fixed else teacher(as_input(inputs, dtype_of(teacher)))
        answers = answers.to(student_logits.dtype)
        return distillation_loss(student_logits, answers, labels, temperature=temperature, alpha=alpha)

    with lent(teacher, device, training=False) if kept is None else nullcontext():
        return fit(student, data, loss, augment=augment, device=device, **options)


def fit(
    model: nn.Module,
    data: Data,
    loss: Loss,
    *,
    epochs: int = 5,
    batch_size: int = 128,
    lr: float = 2e-3,
    optimizer: Callable[..., torch.optim.Optimizer] = ADAM,
    validation: Data | None = None,
    augment: Augment | None = None,
    seed: int = 0,
    precision: torch.dtype | None = None,
    device: str | torch.device | None = None,
    progress: bool = True,
) -> History:
    """The loop behind `train` and `distill`: minimise `loss(logits, inputs, labels, index)` over `data`.

    Args:
        model: any module that maps a batch of inputs to logits (B, C); trained in place, all of it in train mode, and
            handed back on the device and in the mode in which it came.
        data: a Split, or an iterable of (inputs, labels) such as a DataLoader, run through once an epoch.
        loss: returns a scalar; `index` holds the rows of the Split in the batch, None for an iterable.
        epochs, batch_size: batch_size is a Split's; an iterable brings its own batches.
        lr: the learning rate at the start; it falls in equal steps from epoch to epoch, to lr / epochs in the last.
        optimizer: called as optimizer(parameters, lr=lr); Adam unless told.
        validation: data to measure after each epoch; never trained on.
        augment: augment(images, generator) -> images, such as `data.jitter`; for a Split, whose uint8 images stay
            uint8; the generator lives on the CPU.
        seed: of the order of examples (a DataLoader's, too, unless it has a generator), augmentation and dropout; not
            of the initial weights.
        precision: of the products while training, by `torch.autocast`; weights and losses keep their own.
            torch.bfloat16 trains large networks faster where the processor has instructions for it (a CPU with
            AVX512-BF16 or AMX; a GPU), and slower elsewhere. None leaves all as it is.
        device: where to compute; None takes a GPU if there is one. On a CPU small work runs on one thread, for this
            call only: a second gains less there than it costs as soon as another process wants a core.
        progress: whether to show a bar, one step an epoch.

    Ctrl-C or the stop button ends training; the model and the history stay as they stand, marked `interrupted`.
    Raises ValueError for bad arguments and empty data, FloatingPointError for a loss that is no longer finite.
    """
    check_count("epochs", epochs)
    check_count("batch_size", batch_size)
    check_positive("lr", lr)
    check_seed(seed)
    if augment is not None and not isinstance(data, Split):
        raise ValueError("augment needs a Split; an iterable augments its own batches")
    if precision not in (None, torch.bfloat16):
        raise ValueError(f"precision must be None or torch.bfloat16, got {precision!r}")
    device, history, start = pick_device(device), History(), time.perf_counter()
    generator = torch.Generator().manual_seed(int(seed))
    inputs = data.inputs if isinstance(data, Split) and augment is None else None  # augmentation is work of its own
    with seeded(seed, device), lent(model, device, True), threads(threads_for(model, inputs, batch_size, device)):
        optimizer = optimizer(model.parameters(), lr=lr)
        schedule = linear_decay(optimizer, epochs)
        try:
            for epoch in _bar(epochs, progress, history):
                epoch_data = batches(data, batch_size, device, generator, augment)
                train_loss, train_errors = _epoch(model, epoch_data, loss, optimizer, precision)
                if not math.isfinite(train_loss):
                    raise FloatingPointError(
                        f"the loss must stay finite, got {train_loss} in epoch {epoch + 1}: "
                        f"try a smaller lr than {lr:g}, and look for NaN in the inputs and the teacher's logits"
                    )
                schedule.step()
                history.train_loss.append(train_loss)
                history.train_errors.append(train_errors)
                if validation is not None:
                    validation_loss, validation_errors = evaluate(model, validation, device=device)
                    history.validation_loss.append(validation_loss)
                    history.validation_errors.append(validation_errors)
        except KeyboardInterrupt:
            history.interrupted = True
    history.seconds = time.perf_counter() - start
    return history


def linear_decay(optimizer: torch.optim.Optimizer, epochs: int) -> torch.optim.lr_scheduler.LambdaLR:
    """The learning rates of `fit`: equal steps from the first epoch's to 1 / epochs of it in the last."""
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 1 - epoch / epochs)


def _epoch(
    model: nn.Module,
    data: Iterable,
    loss: Loss,
    optimizer: torch.optim.Optimizer | None = None,
    precision: torch.dtype | None = None,
) -> tuple[float, float]:
    """One pass over the batches, learning if there is an optimizer: mean loss and errors per 10,000."""
    count, total, wrong, dtype = 0, 0.0, 0, dtype_of(model)
    for inputs, labels, index in data:
        # per batch: autocast keeps its copies of the weights until it is left, and each step changes the weights
        with torch.autocast(labels.device.type, precision) if precision else nullcontext():
            logits = _wide(model(as_input(inputs, dtype)))
            batch_loss = loss(logits, inputs, labels, index)
        if optimizer:
            optimizer.zero_grad()
            batch_loss.backward()
            optimizer.step()
        count += labels.numel()
        total += batch_loss.detach().float() * labels.numel()
        wrong += (logits.detach().argmax(-1) != labels).sum()
    if not count:
        raise ValueError(
            "data must give at least one batch of (inputs, labels), got none (a generator lasts for one pass)"
        )
    return float(total) / count, 10_000 * int(wrong) / count


def _wide(logits: Tensor) -> Tensor:
    """Logits in float32 at least: a loss in half precision would be too coarse."""
    return logits.float() if getattr(logits, "dtype", None) in (torch.float16, torch.bfloat16) else logits


@torch.no_grad()
def evaluate(model: nn.Module, data: Data, *, device: str | torch.device | None = None) -> tuple[float, float]:
    """Mean cross-entropy at T = 1 (nats) and errors per 10,000 of `model` over `data`, in eval mode."""
    device, images = pick_device(device), data.inputs if isinstance(data, Split) else None
    with lent(model, device, training=False), threads(threads_for(model, images, 256, device)):
        return _epoch(model, batches(data, 256, device), _hard)


@torch.no_grad()
def predict(
    model: nn.Module, data: Data | Tensor, *, batch_size: int = 256, device: str | torch.device | None = None
) -> Tensor:
    """The model's logits (N, C) on the CPU, in the order of `data`: a Split, inputs (N, ...), or an iterable of
    (inputs, labels). In eval mode and without gradients; the model comes back as it was. (A loader that shuffles has
    an order of its own: `evaluate` measures on it.)"""
    check_count("batch_size", batch_size)
    device, dtype = pick_device(device), dtype_of(model)
    whole = data if isinstance(data, Tensor) else data.inputs if isinstance(data, Split) else None
    if whole is None:
        inputs = (part for part, _, _ in batches(data, batch_size, device))
    else:
        inputs = (part.to(device) for part in whole.split(batch_size) if len(part))
    with lent(model, device, training=False), threads(threads_for(model, whole, batch_size, device)):
        logits = [model(as_input(part, dtype)).cpu() for part in inputs]
    if not logits:
        raise ValueError("data must give at least one batch of (inputs, labels), got none")
    return torch.cat(logits)


def _bar(epochs: int, progress: bool, history: History) -> Iterator[int]:
    """Count the epochs on a progress bar that shows the latest figures."""
    from tqdm.auto import tqdm

    with tqdm(range(epochs), unit="epoch", disable=not progress) as bar:
        for epoch in bar:
            yield epoch
            latest = {name: f"{v[-1]:.4g}" for name, v in vars(history).items() if isinstance(v, list) and v}
            bar.set_postfix(latest)
