"""Ways to train a student, as the arms of `protocol.Experiment` want them: from a seed and settings to logits."""

from collections.abc import Callable, Mapping, Sequence
from math import nan

import torch
from torch import Tensor, nn

from kdtutor.course.evidence.protocol import Trained
from kdtutor.course.evidence.search import Settings
from kdtutor.data import Augment, Dataset, Split
from kdtutor.evaluation import predict
from kdtutor.models import mlp
from kdtutor.sweeps import sweep
from kdtutor.training import distill, train
from kdtutor.views import Views

RATES = (3e-3, 1e-2, 3e-2)
TEMPERATURES = (1.0, 2.0, 4.0, 8.0)
ALPHAS = (0.5, 0.9, 1.0)

# For one seed: the examples that its student learns from, and its teacher's logits as `sweep` takes them (None: labels
# alone). With those on the held-out images, too, the student's agreement with its teacher is recorded.
Lesson = tuple[Split, Tensor | Mapping[str, Tensor] | None]


def labels_grid(epochs: Sequence[int], rates: Sequence[float] = RATES) -> dict[str, Sequence[float]]:
    """The grid of an arm that learns from labels."""
    return {"lr": rates, "epochs": epochs, "alpha": (0.0,)}


def soft_grid(
    epochs: Sequence[int],
    rates: Sequence[float] = RATES,
    temperatures: Sequence[float] = TEMPERATURES,
    alphas: Sequence[float] = ALPHAS,
) -> dict[str, Sequence[float]]:
    """The grid of an arm that learns from a teacher."""
    return {"lr": rates, "epochs": epochs, "temperature": temperatures, "alpha": alphas}


def swept(
    units: Sequence[int], lesson: Callable[[int], Lesson], held_out: Dataset, batch_size: int = 100
) -> Callable[[int, Sequence[Settings]], list[Trained]]:
    """Trains students 784-units-10 on lesson(seed), those of several settings together (`sweep`)."""

    def train_all(seed: int, candidates: Sequence[Settings]) -> list[Trained]:
        split, teacher = lesson(seed)
        axes = {name: sorted({settings[name] for settings in candidates}) for name in candidates[0]}
        table = sweep(
            lambda seed: mlp(784, *units, 10, seed=seed),
            Dataset(held_out.name, split, held_out.validation, held_out.test),
            teacher,
            seeds=[seed],
            batch_size=batch_size,
            progress=False,
            **axes,
        )
        if table.interrupted:
            raise KeyboardInterrupt

        students = []
        for settings in candidates:
            logits = {name: table.logits(name, **settings)[0] for name in ("validation", "test")}
            students.append(beside_teacher(logits, teacher))
        return students

    return train_all


def singly(
    network: Callable[[int], nn.Module],
    lesson: Callable[[int], tuple[Split, nn.Module | Tensor | Views | None]],
    held_out: Dataset,
    augment: Augment | None = None,
    batch_size: int = 100,
) -> Callable[[int, Sequence[Settings]], list[Trained]]:
    """Trains network(seed) on lesson(seed) with each of the settings, one after the other."""

    def train_all(seed: int, candidates: Sequence[Settings]) -> list[Trained]:
        split, teacher = lesson(seed)
        options = {"seed": seed, "augment": augment, "batch_size": batch_size, "progress": False}
        students = []
        for settings in candidates:
            student = network(seed)
            chosen = {"lr": settings["lr"], "epochs": int(settings["epochs"])}
            try:
                if settings["alpha"] == 0:
                    history = train(student, split, **chosen, **options)
                else:
                    history = distill(
                        student,
                        teacher,
                        split,
                        temperature=settings["temperature"],
                        alpha=settings["alpha"],
                        **chosen,
                        **options,
                    )
            except FloatingPointError:
                students.append(diverged(held_out))
                continue
            if history.interrupted:
                raise KeyboardInterrupt
            students.append(held_out_logits(student, held_out))
        return students

    return train_all


def held_out_logits(network: nn.Module, held_out: Dataset) -> dict[str, Tensor]:
    """A network's logits on the validation and test images."""
    return {"validation": predict(network, held_out.validation), "test": predict(network, held_out.test)}


def diverged(held_out: Dataset) -> dict[str, Tensor]:
    """What stands for the logits of a student whose loss didn't stay finite."""
    return {"validation": torch.full((len(held_out.validation), 10), nan)}


def beside_teacher(logits: dict[str, Tensor], teacher: Tensor | Mapping[str, Tensor] | None) -> Trained:
    """A student's logits with its teacher's on the same images, where they are known."""
    if isinstance(teacher, Mapping):
        return {**logits, "teacher": teacher["test"], "validation_teacher": teacher["validation"]}
    return logits
