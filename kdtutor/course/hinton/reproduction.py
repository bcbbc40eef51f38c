"""Section 3 of Hinton, Vinyals & Dean 2015 (arXiv 1503.02531), whole: `kdtutor reproduce hinton` runs it.

A teacher 784-1200-1200-10; students 784-800-800-10 alone and distilled, other widths across T, transfer sets without
3s and of 7s and 8s only, and the best student that we know how to distil. Each run is a method of its settings.
"""

from collections.abc import Callable
from functools import cache, cached_property, partial
from itertools import product
from pathlib import Path
from shutil import copyfile
from typing import Any

import torch
from torch import Tensor, nn

from kdtutor import checkpoints
from kdtutor.course.hinton.choices import CHOICES, CHOOSER, FIGURES, KINDS, chosen, corrected, finals, lowest, rate
from kdtutor.course.records import Runs, pack
from kdtutor.course.teachers import load_teacher, wide_teacher
from kdtutor.data import Dataset, Split, jitter
from kdtutor.metrics import best_bias, errors, nll, with_bias, wrong
from kdtutor.models import Ensemble, mlp
from kdtutor.results import History, Table
from kdtutor.sweeps import sweep
from kdtutor.training import distill, predict, train
from kdtutor.views import Views

ADAMW = partial(torch.optim.AdamW, weight_decay=0.01, fused=True)
FULL = {
    "seeds": range(5),
    "teachers": range(3),
    "teacher_epochs": 300,
    "epochs": (20, 60),
    "temperatures": (2.0, 4.0, 8.0, 20.0),
    "alphas": (0.5, 0.9),  # beside 1
    "rates": ({}, {"lr": 3e-3}, {"lr": 1e-2}),  # {}: 1e-3
    "widths": {5: 20, 10: 20, 30: 20, 100: 10, 300: 6},  # width: epochs
    "width_temperatures": (1.0, 2.5, 4.0, 8.0, 20.0, 40.0),
    "few_epochs": (60, 20, 200),
    "best_epochs": (10, 60),
    "ensembles": ("2x1200", "2x1200 and cnn"),
}
QUICK = {
    "seeds": range(2),
    "teachers": range(2),
    "teacher_epochs": 4,
    "epochs": (1, 2),
    "temperatures": (4.0, 20.0),
    "alphas": (0.9,),
    "rates": ({}, {"lr": 3e-3}),
    "widths": {30: 2},
    "width_temperatures": (1.0, 4.0, 20.0),
    "few_epochs": (5, 10),
    "best_epochs": (1, 3),
    "ensembles": ("2x1200",),
}
BIASES = torch.arange(0, 20, 0.1)


class Section:
    """The section's runs on `data`, recorded in `folder`, with the weights of teachers and best students; those with
    the fewest validation errors are teacher.safetensors and student.safetensors. What is chosen is chosen by a student
    of a seed of its own, once on the validation images and once, as the paper did, on the test images.
    """

    def __init__(self, data: Dataset, folder: Path, quick: bool, precision: str, device: str | None = None) -> None:
        self.data, self.folder, self.scale, self.device = data, folder, QUICK if quick else FULL, device
        self.common = {"precision": precision} | ({"quick": True} if quick else {})
        self.runs = Runs(folder / "runs.jsonl")

    def run(self) -> None:
        """Make all runs that aren't recorded yet."""
        for seed in self.scale["teachers"]:
            self._made(self.teacher, seed=seed, epochs=self.scale["teacher_epochs"])
        self._all_digits()
        self._missing("without 3", self.scale["epochs"])
        self._missing("7 and 8", self.scale["few_epochs"])
        for (width, epochs), t in product(self.scale["widths"].items(), (None, *self.scale["width_temperatures"])):
            self._made(self.width, width=width, temperature=t, epochs=epochs)
        self._best()
        for kind, name in {"teacher": "teacher", "best": "student"}.items():
            rows = finals(self.runs.rows(kind, **self.common))
            copyfile(self._path(kind, lowest(rows, "validation_errors")["seed"]), self.folder / f"{name}.safetensors")

    def _all_digits(self) -> None:
        """Students 2x800 alone, at T = 20, and at whatever serves best."""
        short, long = self.scale["epochs"]
        first = {"seed": CHOOSER, "epochs": short}
        soft = [self._made(self.student, **first, temperature=t) for t in self.scale["temperatures"]]
        for figure in FIGURES:
            best = lowest(soft, figure)
            for alpha in self.scale["alphas"]:
                self._made(self.student, **best, alpha=alpha)
            for options, lr in product((first, first | {"temperature": 20.0}, best), self.scale["rates"]):
                self._made(self.student, **options, **lr)
        for figure, kind in product(FIGURES, KINDS):
            self._made(self.student, **chosen(self.runs, kind, figure, epochs=short) | {"epochs": long})
        for figure, kind, seed in product(FIGURES, KINDS, self.scale["seeds"]):
            self._made(self.student, **chosen(self.runs, kind, figure) | {"seed": seed})

    def _missing(self, transfer: str, lengths: tuple[int, ...]) -> None:
        """Students whose transfer set lacks classes, at the T and then the length that are chosen."""
        first = {"seed": CHOOSER, "transfer": transfer, "epochs": lengths[0]} | rate(self.runs)
        rows = [self._made(self.missing, **first, temperature=t) for t in self.scale["temperatures"]]
        rows = [self._made(self.missing, **corrected(rows) | {"epochs": epochs}) for epochs in lengths]
        for seed in self.scale["seeds"]:
            self._made(self.missing, **corrected(rows) | {"seed": seed})

    def _best(self) -> None:
        """The best student 2x800 that we know to distil."""
        short, long = self.scale["best_epochs"]
        rows = [
            self._made(self.best, seed=CHOOSER, teachers=teachers, temperature=t, epochs=short, **rate(self.runs))
            for teachers, t in product(self.scale["ensembles"], (4.0, 20.0))
        ]
        settings = lowest(rows, "validation_nll")
        for seed in self.scale["seeds"]:
            self._made(self.best, **settings | {"seed": seed, "epochs": long})

    def _made(self, make: Callable[..., dict[str, Any]], **settings) -> dict[str, Any]:
        known = len(self.runs)
        row = self.runs(make, **self.common | settings)
        if len(self.runs) > known:
            shown = ", ".join(f"{name} {value}" for name, value in settings.items() if name not in self.common)
            print(f"{row['run']}: {shown}: {row['test_errors']} test errors, {row['seconds']:.0f} s", flush=True)
        return row

    def _options(self, seed: int, epochs: int, precision: str, lr: float = 1e-3, quick: bool = False) -> dict[str, Any]:
        numbers = {"seed": seed, "epochs": epochs, "batch_size": 256, "lr": lr}
        return numbers | {"precision": _dtype(precision), "device": self.device, "progress": False}

    def teacher(self, **settings) -> dict[str, Any]:
        """A teacher: cross-entropy on the labels of images jittered by up to 2 pixels."""
        network, seed = wide_teacher(settings["seed"]), settings["seed"]
        _finished(train(network, self.data.train, augment=jitter, optimizer=ADAMW, **self._options(**settings)))
        network.half().float()  # as it is stored
        checkpoints.save(network, self._path("teacher", seed), settings, half=True)
        return self._figures(network)

    def student(self, temperature: float | None = None, alpha: float = 1.0, **settings) -> dict[str, Any]:
        """A student 2x800 on untranslated images: of the labels alone, or distilled at T."""
        network, train_data = mlp(784, 800, 800, 10, seed=settings["seed"]), self.data.train
        if temperature is None:
            _finished(train(network, train_data, **self._options(**settings)))
        else:
            soft = {"temperature": temperature, "alpha": alpha}
            _finished(distill(network, self.answers, train_data, **soft, **self._options(**settings)))
        return self._figures(network)

    def missing(self, transfer: str, temperature: float, **settings) -> dict[str, Any]:
        """A student 2x800 that sees no 3, or only 7s and 8s; then the biases of these classes are moved."""
        classes, sign = {"without 3": ([3], 1), "7 and 8": ([7, 8], -1)}[transfer]
        split = self.data.train
        rows = torch.isin(split.labels, torch.tensor(classes)) == (transfer == "7 and 8")
        network, soft = mlp(784, 800, 800, 10, seed=settings["seed"]), {"temperature": temperature, "alpha": 1.0}
        _finished(distill(network, self.answers[rows], split[rows], **soft, **self._options(**settings)))
        splits = {name: getattr(self.data, name) for name in CHOICES}
        logits = {name: predict(network, part, device=self.device) for name, part in splits.items()}
        biases = {name: best_bias(z, splits[name].labels, classes, sign * BIASES) for name, z in logits.items()}
        result = _missing_figures(logits, splits)
        result["corrected"] = {
            chosen_on: {"bias": round(bias, 1)}
            | _missing_figures({name: with_bias(z, classes, bias) for name, z in logits.items()}, splits)
            for chosen_on, bias in biases.items()
        }
        return result

    def width(self, width: int, temperature: float | None, epochs: int, precision: str, quick: bool = False) -> dict:
        """Students of two hidden layers of this width, one a seed, at T (None: alone), trained in float32."""
        soft = {"temperature": temperature or 1.0, "alpha": 0.0 if temperature is None else 1.0}
        options = {"seeds": self.scale["seeds"], "lr": 1e-3, "epochs": epochs, "batch_size": 128, "progress": False}
        options |= soft | {"device": self.device}
        table = sweep(lambda seed: mlp(784, width, width, 10, seed=seed), self.data, self.answers, **options)
        _finished(table)
        return {figure: table.values(figure) for figure in ("validation_errors", "test_errors")}

    def best(self, teachers: str, temperature: float, **settings) -> dict[str, Any]:
        """A student 2x800 that answers as the mean of several teachers does, on the jittered views that they see."""
        network, views = mlp(784, 800, 800, 10, seed=settings["seed"]), self._views(teachers)
        soft = {"temperature": temperature, "alpha": 1.0}
        _finished(distill(network, views, self.data.train, optimizer=ADAMW, **soft, **self._options(**settings)))
        network.half().float()
        checkpoints.save(network, self._path("best", settings["seed"]), settings, half=True)
        return self._figures(network)

    @cached_property
    def answers(self) -> Tensor:
        """The logits, on the untranslated training images, of the teacher with the fewest validation errors."""
        teacher = self._teacher(lowest(self._teachers(), "validation_errors")["seed"])
        return predict(teacher, self.data.train, device=self.device)

    @cache  # noqa: B019 (one section a process)
    def _views(self, teachers: str) -> Views:
        members = [self._teacher(row["settings"]["seed"]) for row in self._teachers()]
        if teachers.endswith("cnn"):
            members.append(load_teacher("mnist")[0])
        return Views(self.data.train, Ensemble(*members), self.device, _dtype(self.common["precision"]))

    def _teachers(self) -> list[dict[str, Any]]:
        return self.runs.rows("teacher", **self.common, epochs=self.scale["teacher_epochs"])

    def _teacher(self, seed: int) -> nn.Module:
        network = wide_teacher()
        checkpoints.load(network, self._path("teacher", seed))
        return network.eval()

    def _path(self, kind: str, seed: int) -> Path:
        return self.folder / f"{kind}-{seed}.safetensors"

    def _figures(self, network: nn.Module) -> dict[str, Any]:
        result = {}
        for name in ("validation", "test"):
            split = getattr(self.data, name)
            logits = predict(network, split, device=self.device)
            result[f"{name}_errors"] = errors(logits, split.labels)
            result[f"{name}_nll"] = round(nll(logits, split.labels), 5)
        return result | {"test_wrong": pack(wrong(logits, split.labels))}


def _dtype(precision: str) -> torch.dtype | None:
    return torch.bfloat16 if precision == "bfloat16" else None


def _missing_figures(logits: dict[str, Tensor], splits: dict[str, Split]) -> dict[str, float]:
    threes = splits["test"].labels == 3
    result = {f"{name}_errors": errors(z, splits[name].labels) for name, z in logits.items()}
    return result | {"test_wrong_threes": int(wrong(logits["test"], splits["test"].labels)[threes].sum())}


def _finished(history: History | Table) -> None:
    if history.interrupted:
        raise KeyboardInterrupt
