"""The loop behind `kdtutor.training`: any `nn.Module`, any data, any loss, on CPU or GPU.

Nothing but the trained model's weights is left changed: the model comes back on the device and in the mode that it had
before, and the global random state stays as it was.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch
from torch import Tensor, nn

from kdtutor._check import check_count, check_positive, check_seed
from kdtutor._device import dtype_of, on_device, pick_device, seeded, threads, threads_for
from kdtutor.data import Augment, Data, Split, as_input, batches
from kdtutor.evaluation import RunningMeans, at_least_float32, evaluate
from kdtutor.results import History

# The loss of one batch: loss(logits, inputs, labels, index) -> a scalar. The model's logits (B, C) on inputs (B, ...),
# the labels (B,), and `index` (B,), the rows of the Split that are in the batch; None where the data is an iterable.
BatchLoss = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]
OptimizerFactory = Callable[..., torch.optim.Optimizer]
# Trains an epoch, in an order drawn from the generator: mean loss, and errors per 10,000.
TrainEpoch = Callable[[torch.optim.Optimizer, torch.Generator], tuple[float, float]]
ADAM = partial(torch.optim.Adam, fused=True)


def fit(
    model: nn.Module,
    data: Data,
    loss: BatchLoss,
    *,
    epochs: int = 5,
    batch_size: int = 128,
    lr: float = 2e-3,
    optimizer: OptimizerFactory = ADAM,
    validation: Data | None = None,
    augment: Augment | None = None,
    seed: int = 0,
    precision: torch.dtype | None = None,
    device: str | torch.device | None = None,
    progress: bool = True,
) -> History:
    """The loop behind `train` and `distill`: minimise a loss over `data`.

    Args:
        model: any module that maps a batch of inputs to logits (B, C); trained in place, all of it in train mode, and
            handed back on the device and in the mode that it had before.
        data: a Split, or an iterable of (inputs, labels) such as a DataLoader, run through once per epoch.
        loss: loss(logits, inputs, labels, index) -> a scalar, of the model's logits (B, C) on a batch of inputs and
            their labels (B,); `index` (B,) holds the rows of the Split in the batch, None for an iterable.
        epochs, batch_size: batch_size is a Split's; an iterable brings its own batches.
        lr: the learning rate at the start; it falls in equal steps from epoch to epoch, to lr / epochs in the last.
        optimizer: called as optimizer(parameters, lr=lr); Adam by default.
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
        progress: whether to show a bar, one step per epoch.

    Ctrl-C or the stop button ends training; the model keeps what it has learned, the history is marked `interrupted`.
    Raises ValueError for bad arguments and empty data, FloatingPointError for a loss that is no longer finite.
    """
    check_fitting(data, epochs, batch_size, lr, seed, augment, precision)
    device = pick_device(device)
    dtype = dtype_of(model)

    def train_epoch(opt: torch.optim.Optimizer, generator: torch.Generator) -> tuple[float, float]:
        means = RunningMeans()
        for inputs, labels, index in batches(data, batch_size, device, generator, augment):
            # per batch: autocast keeps its copies of the weights until it is left, and each step changes them
            with _autocast(device, precision):
                logits = at_least_float32(model(as_input(inputs, dtype)))
                batch_loss = loss(logits, inputs, labels, index)
            opt.zero_grad()
            batch_loss.backward()
            opt.step()
            means.add(batch_loss, logits, labels)
        return means.result()

    # how much work a step is can be told from a Split's inputs, but not where augmentation adds work of its own
    known_inputs = data.inputs if isinstance(data, Split) and augment is None else None
    return fit_by(
        train_epoch, model, threads_for(model, known_inputs, batch_size, device),
        epochs=epochs, lr=lr, optimizer=optimizer, validation=validation, seed=seed, device=device, progress=progress,
    )  # fmt: skip


def fit_by(
    train_epoch: TrainEpoch,
    model: nn.Module,
    number_of_threads: int,
    *,
    epochs: int,
    lr: float,
    optimizer: OptimizerFactory,
    validation: Data | None,
    seed: int,
    device: torch.device,
    progress: bool,
) -> History:
    """What surrounds the epochs of `fit`, whoever trains them: seeds, device, learning rates, measurements, Ctrl-C."""
    start = time.perf_counter()
    history = History()
    generator = torch.Generator().manual_seed(int(seed))
    with seeded(seed, device), on_device(model, device, training=True), threads(number_of_threads):
        opt = optimizer(model.parameters(), lr=lr)
        schedule = linear_decay(opt, epochs)
        try:
            for epoch in _bar(epochs, progress, history):
                _record_training(history, *train_epoch(opt, generator), epoch, lr)
                schedule.step()
                if validation is not None:
                    _record_validation(history, *evaluate(model, validation, device=device))
        except KeyboardInterrupt:
            history.interrupted = True

    history.seconds = time.perf_counter() - start
    return history


def linear_decay(optimizer: torch.optim.Optimizer, epochs: int) -> torch.optim.lr_scheduler.LambdaLR:
    """The learning rates of `fit`: equal steps from the first epoch's to 1 / epochs of it in the last."""
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 1 - epoch / epochs)


def check_fitting(
    data: Data,
    epochs: int,
    batch_size: int,
    lr: float,
    seed: int,
    augment: Augment | None,
    precision: torch.dtype | None,
) -> None:
    """What `fit` refuses before it begins."""
    check_count("epochs", epochs)
    check_count("batch_size", batch_size)
    check_positive("lr", lr)
    check_seed(seed)
    if augment is not None and not isinstance(data, Split):
        raise ValueError("augment needs a Split; an iterable augments its own batches")
    if precision not in (None, torch.bfloat16):
        raise ValueError(f"precision must be None or torch.bfloat16, got {precision!r}")


def _autocast(device: torch.device, precision: torch.dtype | None) -> AbstractContextManager[None]:
    """Products in `precision`; with None as the surroundings have them."""
    return nullcontext() if precision is None else torch.autocast(device.type, precision)


def _record_training(history: History, loss: float, errors: float, epoch: int, lr: float) -> None:
    if not math.isfinite(loss):
        raise FloatingPointError(
            f"the loss must stay finite, got {loss} in epoch {epoch + 1}: "
            f"try a smaller lr than {lr:g}, and look for NaN in the inputs and the teacher's logits"
        )
    history.train_loss.append(loss)
    history.train_errors.append(errors)


def _record_validation(history: History, loss: float, errors: float) -> None:
    history.validation_loss.append(loss)
    history.validation_errors.append(errors)


def _bar(epochs: int, progress: bool, history: History) -> Iterator[int]:
    """Count the epochs on a progress bar that shows the latest measurements."""
    from tqdm.auto import tqdm

    with tqdm(range(epochs), unit="epoch", disable=not progress) as bar:
        for epoch in bar:
            yield epoch
            bar.set_postfix({name: f"{values[-1]:.4g}" for name, values in history.measured().items()})
