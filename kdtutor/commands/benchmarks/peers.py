"""An epoch of distillation by `distill`, and as one writes it with torchdistill, Lightning and Keras.

All sides get the same images in memory, the same network with the same weights, batches in one order, T, alpha, Adam
at one learning rate, and one thread. They compute the same loss, and their mean losses are compared before any time is
reported. PyTorch's sides share the fused Adam of `distill`; Keras has its own.
"""

import logging
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from kdtutor._device import threads
from kdtutor.commands.benchmarks import timing
from kdtutor.commands.benchmarks.epochs import ALPHA, LR, TEMPERATURE, by_kdtutor, normalised
from kdtutor.commands.benchmarks.timing import EPOCH_IMAGES, Row, Sizes, medians, network_name
from kdtutor.data import Dataset, Split
from kdtutor.evaluation import predict
from kdtutor.fitting import ADAM
from kdtutor.models import mlp

MODULES = ("torchdistill.losses.mid_level", "lightning.pytorch", "keras.distillation")
OURS = "kdtutor.distill"
ASKS_TEACHER = "Keras' Distiller"  # the only side that has its teacher's logits from a forward pass in each step
TOLERANCE = 1e-3  # of mean losses, relative: room for rounding, and for the epsilon of Keras' Adam, but no other loss

Batch = tuple[Tensor, Tensor, Tensor]  # images, labels, the teacher's logits
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]  # of the student's logits, the teacher's logits and the labels


def load() -> None:
    """Import the libraries, Keras with its torch backend. Raises RuntimeError where one of them can't be imported."""
    os.environ["KERAS_BACKEND"] = "torch"
    for module in MODULES:
        try:
            import_module(module)
        except ImportError as error:
            package, *_ = module.split(".")
            raise RuntimeError(
                f"--peers needs {package}, which can't be imported ({error}): "
                "pip install torchdistill lightning 'keras>=3.12', or 'kdtutor[peers]'"
            ) from error


@dataclass(frozen=True)
class Epoch:
    """What all sides are given: images are normalised, teacher_logits (N, C) are the teacher's on them."""

    sizes: Sizes
    batch_size: int
    split: Split
    teacher: nn.Sequential
    teacher_logits: Tensor

    def student(self) -> nn.Sequential:
        """The network before training."""
        return mlp(*self.sizes, seed=0)

    def order(self) -> Tensor:
        """The images' order (N,), as `distill` draws it."""
        return torch.randperm(len(self.split), generator=torch.Generator().manual_seed(0))


def batches_by_index(epoch: Epoch) -> Iterator[Batch]:
    """Batches that are taken from whole tensors."""
    tensors = (epoch.split.inputs, epoch.split.labels, epoch.teacher_logits)
    for index in epoch.order().split(epoch.batch_size):
        images, labels, teacher_logits = (tensor.index_select(0, index) for tensor in tensors)
        yield images, labels, teacher_logits


def batches_by_loader(epoch: Epoch) -> DataLoader:
    """The same batches from a DataLoader over a TensorDataset."""
    dataset = TensorDataset(epoch.split.inputs, epoch.split.labels, epoch.teacher_logits)
    return DataLoader(dataset, batch_size=epoch.batch_size, sampler=epoch.order().tolist())


def script_loss(logits: Tensor, teacher_logits: Tensor, labels: Tensor) -> Tensor:
    """The distillation loss as scripts have it."""
    soft = F.kl_div(
        F.log_softmax(logits / TEMPERATURE, dim=1),
        F.softmax(teacher_logits / TEMPERATURE, dim=1),
        reduction="batchmean",
    )
    return ALPHA * TEMPERATURE**2 * soft + (1 - ALPHA) * F.cross_entropy(logits, labels)


def torchdistill_loss() -> Loss:
    """The same by torchdistill, whose alpha is the weight of the labels."""
    from torchdistill.losses.mid_level import KDLoss

    kd_loss = KDLoss("student", "output", "teacher", "output", temperature=TEMPERATURE, alpha=1 - ALPHA)

    def loss(logits: Tensor, teacher_logits: Tensor, labels: Tensor) -> Tensor:
        return kd_loss({"student": {"output": logits}}, {"teacher": {"output": teacher_logits}}, labels)

    return loss


def plain_loop(epoch: Epoch, batches: Callable[[Epoch], Iterable[Batch]], loss: Loss) -> float:
    """The epoch in a plain PyTorch loop. Returns the mean loss, as all sides do."""
    student = epoch.student()
    optimizer = ADAM(student.parameters(), lr=LR)

    total = 0.0
    for images, labels, teacher_logits in batches(epoch):
        optimizer.zero_grad()
        batch_loss = loss(student(images), teacher_logits, labels)
        batch_loss.backward()
        optimizer.step()
        total += batch_loss.item() * len(labels)
    return total / len(epoch.split)


def by_lightning(epoch: Epoch) -> float:
    """The epoch by Lightning's Trainer without all that costs time: logger, checkpoints, progress bar, and so on."""
    from lightning.pytorch import LightningModule, Trainer

    class Distillation(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.student = epoch.student()
            self.total = 0.0

        def training_step(self, batch: Batch) -> Tensor:
            images, labels, teacher_logits = batch
            batch_loss = script_loss(self.student(images), teacher_logits, labels)
            self.total += batch_loss.item() * len(labels)
            return batch_loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return ADAM(self.student.parameters(), lr=LR)

    module = Distillation()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it would have the DataLoader use workers, which are slower here
        Trainer(max_epochs=1, accelerator="cpu", barebones=True).fit(module, batches_by_loader(epoch))
    return module.total / len(epoch.split)


def by_keras(epoch: Epoch, asks_teacher: bool) -> float:
    """The epoch by Keras' Distiller, which has no place for logits that are known: either the teacher is a network and
    asked in each step, or it takes the logits as an input and returns them."""
    import keras
    from keras.distillation import Distiller, LogitsDistillation

    images = keras.Input(epoch.split.inputs.shape[1:])
    logits = keras.Input(epoch.teacher_logits.shape[1:])
    answers = _in_keras(epoch.teacher, images) if asks_teacher else keras.layers.Identity()(logits)
    distiller = Distiller(
        teacher=keras.Model([images, logits], answers),
        student=keras.Model([images, logits], _in_keras(epoch.student(), images)),
        # given by its name, Keras' KL divergence would take logits for probabilities
        distillation_losses=LogitsDistillation(temperature=TEMPERATURE, loss=keras.losses.KLDivergence()),
        student_loss_weight=1 - ALPHA,
    )
    distiller.compile(
        optimizer=keras.optimizers.Adam(
            LR, epsilon=1e-9
        ),  # early in training as much as torch's 1e-8, which is added later
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )

    order = epoch.order()
    inputs = [epoch.split.inputs[order].numpy(), epoch.teacher_logits[order].numpy()]
    labels = epoch.split.labels[order].numpy()
    history = distiller.fit(inputs, labels, batch_size=epoch.batch_size, epochs=1, shuffle=False, verbose=0)
    return history.history["loss"][0]


def _in_keras(network: nn.Sequential, images: object) -> object:
    """The outputs of an `mlp` as Keras' layers with the same weights, from Keras' symbolic images."""
    import keras

    linear = [layer for layer in network if isinstance(layer, nn.Linear)]
    outputs = keras.layers.Flatten()(images)
    for layer in linear:
        dense = keras.layers.Dense(layer.out_features, activation=None if layer is linear[-1] else "relu")
        outputs = dense(outputs)
        dense.set_weights([layer.weight.detach().T.numpy(), layer.bias.detach().numpy()])
    return outputs


def sides_of(epoch: Epoch) -> dict[str, Callable[[], float]]:
    """The sides by their names in the table."""
    loss = torchdistill_loss()
    return {
        OURS: partial(by_kdtutor, epoch.sizes, epoch.teacher_logits, epoch.split, epoch.batch_size),
        "torchdistill's loss, tensors": partial(plain_loop, epoch, batches_by_index, loss),
        "torchdistill's loss, DataLoader": partial(plain_loop, epoch, batches_by_loader, loss),
        "Lightning's Trainer": partial(by_lightning, epoch),
        "Keras' Distiller, logits as input": partial(by_keras, epoch, asks_teacher=False),
        ASKS_TEACHER: partial(by_keras, epoch, asks_teacher=True),
    }


def check_losses(losses: Mapping[str, float]) -> None:
    """Raise ArithmeticError unless all sides have the mean loss of `distill`."""
    for name, loss in losses.items():
        if not abs(loss - losses[OURS]) <= TOLERANCE * losses[OURS]:
            raise ArithmeticError(f"{name} must have the mean loss of {OURS}, {losses[OURS]:.6g}, got {loss:.6g}")


def time_peers(data: Dataset, quick: bool) -> Iterator[Row]:
    """Seconds per epoch of 55,000 images on one thread: by `distill`, and as one writes it with other libraries."""
    split = normalised(data.train[: 11_000 if quick else EPOCH_IMAGES])
    teacher = mlp(784, 512, 256, 10, seed=1).eval()
    teacher_logits = predict(teacher, split)

    for batch_size in (64, 256):
        epoch = Epoch((784, 128, 10), batch_size, split, teacher, teacher_logits)
        with threads(1):
            seconds, losses = timing.in_turns(sides_of(epoch), repeats=3)
        check_losses(losses)

        middle = medians(seconds)
        scale = EPOCH_IMAGES / len(split)
        for name, values in seconds.items():
            yield {
                "student": network_name(epoch.sizes),
                "batch": batch_size,
                "with": name,
                "teacher is asked": "in each step" if name == ASKS_TEACHER else "beforehand",
                "seconds": middle[name] * scale,
                "from": values[0] * scale,
                "to": values[-1] * scale,
                "this / distill": middle[name] / middle[OURS],
                "loss": losses[name],
            }
