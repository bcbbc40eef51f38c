"""Section 3 of Hinton, Vinyals & Dean 2015 (arXiv 1503.02531), whole: `kdtutor reproduce hinton` trains it.

A teacher 784-1200-1200-10; students 784-800-800-10 alone and distilled, other widths across T, transfer sets without
3s and of 7s and 8s only, and the best student that we know how to distil.
"""

from functools import cache, cached_property, partial
from pathlib import Path
from shutil import copyfile
from typing import Any

import torch
from torch import Tensor, nn

from kdtutor import checkpoints
from kdtutor.course.hinton import choices
from kdtutor.course.hinton.choices import FULL, METHODS, METRICS, QUICK, TUNING_SEED, lowest
from kdtutor.course.hinton.measures import check_finished, measure, measure_with_biases
from kdtutor.course.records import Records, Row
from kdtutor.course.teachers import load_teacher, wide_teacher
from kdtutor.data import Dataset, jitter
from kdtutor.evaluation import predict
from kdtutor.models import Ensemble, mlp
from kdtutor.sweeps import sweep
from kdtutor.training import distill, train
from kdtutor.views import Views

ADAMW = partial(torch.optim.AdamW, weight_decay=0.01, fused=True)


class Section:
    """The section's trainings on `data`, recorded in `folder`, with the weights of teachers and best students; those
    with the fewest validation errors are teacher.safetensors and student.safetensors. Settings are chosen by students
    of a seed of their own, once on the validation images and once, as the paper did, on the test images.

    `run` makes whatever isn't recorded yet. Each kind of training is a method that takes its settings (seed, epochs,
    precision, quick, and lr where it isn't 1e-3) and returns what was measured.
    """

    def __init__(self, data: Dataset, folder: Path, quick: bool, precision: str, device: str | None = None) -> None:
        self.data = data
        self.folder = folder
        self.scale = QUICK if quick else FULL
        self.device = device
        self.records = Records(folder / "runs.jsonl")
        self.common: dict[str, Any] = {"precision": precision}
        if quick:
            self.common["quick"] = True

    # The plan: what is trained, chosen by what

    def run(self) -> None:
        """Make all rows that aren't recorded yet, and copy the weights of the best teacher and student."""
        for seed in self.scale["teachers"]:
            self._row("teacher", seed=seed, epochs=self.scale["teacher_epochs"])
        self._run_all_digits()
        self._run_missing_classes("without 3", self.scale["epochs"])
        self._run_missing_classes("7 and 8", self.scale["few_epochs"])
        for width, epochs in self.scale["widths"].items():
            for temperature in (None, *self.scale["width_temperatures"]):
                self._row("width", width=width, temperature=temperature, epochs=epochs)
        self._run_best()
        self._copy_weights("teacher", "teacher.safetensors")
        self._copy_weights("best", "student.safetensors")

    def _run_all_digits(self) -> None:
        """Students 2x800 alone, at T = 20, and at whatever serves best.

        The order matters: `best_settings` chooses among all students of the tuning seed that are recorded by then. So T
        comes first, then alpha and the learning rate at this T, then the number of epochs, and the other seeds last.
        """
        short, long = self.scale["epochs"]
        first = {"seed": TUNING_SEED, "epochs": short}
        by_temperature = [self._row("student", **first, temperature=t) for t in self.scale["temperatures"]]

        for metric in METRICS:  # alpha and the learning rate
            best = lowest(by_temperature, metric)
            for alpha in self.scale["alphas"]:
                self._row("student", **best, alpha=alpha)
            for settings in (first, {**first, "temperature": 20.0}, best):
                for rate in self.scale["rates"]:
                    self._row("student", **settings, **rate)

        for metric in METRICS:  # does the best of each method gain by more epochs?
            for method in METHODS:
                best = choices.best_settings(self.records, method, metric, epochs=short)
                self._row("student", **{**best, "epochs": long})

        for metric in METRICS:  # the results: what was chosen, with seeds of their own
            for method in METHODS:
                best = choices.best_settings(self.records, method, metric)
                for seed in self.scale["seeds"]:
                    self._row("student", **{**best, "seed": seed})

    def _run_missing_classes(self, transfer: str, lengths: tuple[int, ...]) -> None:
        """Students whose transfer set lacks classes, at the T and then the number of epochs that are chosen."""
        first = {"seed": TUNING_SEED, "transfer": transfer, "epochs": lengths[0], **choices.chosen_rate(self.records)}
        by_temperature = [self._row("missing", **first, temperature=t) for t in self.scale["temperatures"]]
        best = choices.best_corrected_settings(by_temperature)
        by_length = [self._row("missing", **{**best, "epochs": epochs}) for epochs in lengths]
        best = choices.best_corrected_settings(by_length)
        for seed in self.scale["seeds"]:
            self._row("missing", **{**best, "seed": seed})

    def _run_best(self) -> None:
        """The best student 2x800 that we know to distil."""
        short, long = self.scale["best_epochs"]
        first = {"seed": TUNING_SEED, "epochs": short, **choices.chosen_rate(self.records)}
        tried = []
        for teachers in self.scale["ensembles"]:
            for temperature in (4.0, 20.0):
                tried.append(self._row("best", teachers=teachers, temperature=temperature, **first))
        best = lowest(tried, "validation_nll")
        for seed in self.scale["seeds"]:
            self._row("best", **{**best, "seed": seed, "epochs": long})

    def _row(self, kind: str, **settings) -> Row:
        """The row of a training: recorded, or made now and printed."""
        settings = {**self.common, **settings}
        row = self.records.find(kind, **settings)
        if row is not None:
            return row

        trainings = {
            "teacher": self.train_teacher,
            "student": self.train_student,
            "missing": self.train_missing,
            "width": self.train_width,
            "best": self.train_best,
        }
        row = self.records.add(kind, trainings[kind], **settings)
        shown = [f"{name} {value}" for name, value in settings.items() if name not in self.common]
        print(f"{kind}: {', '.join(shown)}: {row['test_errors']} test errors, {row['seconds']:.0f} s", flush=True)
        return row

    def _copy_weights(self, kind: str, name: str) -> None:
        """Those of the seed with the fewest validation errors."""
        settings = lowest(choices.final_rows(self.records.rows(kind, **self.common)), "validation_errors")
        source = self._path(kind, settings["seed"])
        target = self.folder / name
        if target.exists() and not source.exists():  # the folder that ships has only the best weights
            return
        copyfile(source, target)

    # The trainings

    def train_teacher(self, **settings) -> dict[str, Any]:
        """A teacher: cross-entropy on the labels of images jittered by up to 2 pixels."""
        network = wide_teacher(settings["seed"])
        options = self._options(**settings)
        check_finished(train(network, self.data.train, augment=jitter, optimizer=ADAMW, **options))
        return self._stored("teacher", network, settings)

    def train_student(self, temperature: float | None = None, alpha: float = 1.0, **settings) -> dict[str, Any]:
        """A student 2x800 on images that aren't shifted: on the labels alone, or distilled at T."""
        network = mlp(784, 800, 800, 10, seed=settings["seed"])
        options = self._options(**settings)
        if temperature is None:
            history = train(network, self.data.train, **options)
        else:
            history = distill(
                network, self.teacher_logits, self.data.train, temperature=temperature, alpha=alpha, **options
            )
        check_finished(history)
        return measure(network, self.data, self.device)

    def train_missing(self, transfer: str, temperature: float, **settings) -> dict[str, Any]:
        """A student 2x800 that sees no 3, or only 7s and 8s; then the biases of these classes are moved."""
        labels = self.data.train.labels
        if transfer == "without 3":
            classes = [3]
            sign = 1
            kept = labels != 3
        else:
            classes = [7, 8]
            sign = -1
            kept = (labels == 7) | (labels == 8)

        network = mlp(784, 800, 800, 10, seed=settings["seed"])
        options = self._options(**settings)
        history = distill(
            network, self.teacher_logits[kept], self.data.train[kept], temperature=temperature, alpha=1.0, **options
        )
        check_finished(history)
        return measure_with_biases(network, self.data, classes, sign, self.device)

    def train_width(
        self, width: int, temperature: float | None, epochs: int, precision: str, quick: bool = False
    ) -> dict:
        """Students with two hidden layers of this width, one per seed, at T (None: alone), trained in float32."""
        table = sweep(
            lambda seed: mlp(784, width, width, 10, seed=seed),
            self.data,
            self.teacher_logits,
            seeds=self.scale["seeds"],
            temperature=temperature or 1.0,
            alpha=0.0 if temperature is None else 1.0,
            lr=1e-3,
            epochs=epochs,
            batch_size=128,
            device=self.device,
            progress=False,
        )
        check_finished(table)
        return {metric: table.values(metric) for metric in METRICS}

    def train_best(self, teachers: str, temperature: float, **settings) -> dict[str, Any]:
        """A student 2x800 that matches the mean of several teachers, on the jittered views that they see."""
        network, views = mlp(784, 800, 800, 10, seed=settings["seed"]), self._views(teachers)
        options = self._options(**settings)
        history = distill(
            network, views, self.data.train, temperature=temperature, alpha=1.0, optimizer=ADAMW, **options
        )
        check_finished(history)
        return self._stored("best", network, settings)

    def _options(self, seed: int, epochs: int, precision: str, lr: float = 1e-3, quick: bool = False) -> dict[str, Any]:
        """Settings as the options of a training."""
        return {
            "seed": seed,
            "epochs": epochs,
            "batch_size": 256,
            "lr": lr,
            "precision": torch.bfloat16 if precision == "bfloat16" else None,
            "device": self.device,
            "progress": False,
        }

    def _stored(self, kind: str, network: nn.Module, settings: dict[str, Any]) -> dict[str, Any]:
        """Store the weights in half precision, and measure the network as it was stored."""
        network.half().float()
        checkpoints.save(network, self._path(kind, settings["seed"]), settings, half=True)
        return measure(network, self.data, self.device)

    # Teachers' outputs

    @cached_property
    def teacher_logits(self) -> Tensor:
        """The logits, on the training images as they are, of the teacher with the fewest validation errors."""
        teacher = self._load_teacher(lowest(self._teacher_rows(), "validation_errors")["seed"])
        return predict(teacher, self.data.train, device=self.device)

    @cache  # noqa: B019 (one section per process)
    def _views(self, teachers: str) -> Views:
        members = [self._load_teacher(row["settings"]["seed"]) for row in self._teacher_rows()]
        if teachers.endswith("cnn"):
            members.append(load_teacher("mnist")[0])
        precision = torch.bfloat16 if self.common["precision"] == "bfloat16" else None
        return Views(self.data.train, Ensemble(*members), self.device, precision)

    def _teacher_rows(self) -> list[Row]:
        return self.records.rows("teacher", **self.common, epochs=self.scale["teacher_epochs"])

    def _load_teacher(self, seed: int) -> nn.Module:
        network = wide_teacher()
        checkpoints.load(network, self._path("teacher", seed))
        return network.eval()

    def _path(self, kind: str, seed: int) -> Path:
        return self.folder / f"{kind}-{seed}.safetensors"
