"""Section 3 of Hinton, Vinyals & Dean 2015 (arXiv 1503.02531), whole: `kdtutor reproduce hinton` trains it.

A teacher 784-1200-1200-10; students 784-800-800-10 alone and distilled, other widths across T, transfer sets without
3s and of 7s and 8s only, and the best student that we know how to distil.
"""

from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from shutil import copyfile
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from kdtutor import checkpoints
from kdtutor.course.evidence.search import Choice, Settings, choose
from kdtutor.course.hinton.choices import FULL, LIMITS, QUICK
from kdtutor.course.hinton.measures import SPLITS, chosen_bias, corrected, measure
from kdtutor.course.hinton.students import check_finished, train_student, transfer_set
from kdtutor.course.records import Records, Row
from kdtutor.course.teachers import load_teacher, wide_teacher
from kdtutor.data import Dataset, jitter
from kdtutor.evaluation import predict
from kdtutor.metrics import errors
from kdtutor.models import Ensemble, mlp
from kdtutor.training import distill, train
from kdtutor.views import Views

ADAMW = partial(torch.optim.AdamW, weight_decay=0.01, fused=True)
QUICK_IMAGES = 3000
TEACHERS = "teachers"  # the part that trains them


class Section:
    """The section's trainings on `data`, recorded in `folder`, with the weights of teachers and best students; those
    with the fewest validation errors are teacher.safetensors and student.safetensors.

    `run` makes whatever isn't recorded yet. A row "choice" has the validation errors of a choosing student with the
    settings that it tried; a row "result" is of a student with what was chosen.
    """

    def __init__(self, data: Dataset, folder: Path, quick: bool, precision: str, device: str | None = None) -> None:
        """`precision` is that of the products of the teachers and the best students: "float32" or "bfloat16". A quick
        section learns from some of the images."""
        self.data = Dataset(data.name, data.train[:QUICK_IMAGES], data.validation, data.test) if quick else data
        self.folder = folder
        self.scale = QUICK if quick else FULL
        self.device = device
        self.precision = precision
        self.records = Records(folder / "runs.jsonl")
        self.common: dict[str, Any] = {"quick": True} if quick else {}

    def run(self, parts: Sequence[str] = ()) -> None:
        """Make the rows of these parts that aren't recorded yet: of the teachers, which all students need, and of
        methods by name. None: of all.

        Raises ValueError for a part that isn't known, for a folder with a section of the other scale (whose weights
        would be lost), and for recorded results of settings that aren't chosen any more; OSError for a folder that
        can't be written.
        """
        known = [TEACHERS, *self.scale.methods]
        unknown = [part for part in parts if part not in known]
        if unknown:
            names = ", ".join(map(repr, known))
            raise ValueError(f"parts must be among {names}, got {', '.join(map(repr, unknown))}")
        self._check_folder()

        self._run_teachers()
        for name in self.scale.methods:
            if not parts or name in parts:
                self._run_method(name)

    def _check_folder(self) -> None:
        quick = bool(self.common)
        if any(row["settings"].get("quick", False) != quick for row in self.records.rows("teacher")):
            wanted, other = ("quick", "full") if quick else ("full", "quick")
            raise ValueError(f"folder must hold a {wanted} section or none, got {self.folder}, which has a {other} one")
        self.records.check_writable()

    def _run_teachers(self) -> None:
        """Teachers that are recorded already may have been trained in the other precision."""
        recorded = [row["settings"]["seed"] for row in self._teacher_rows()]
        for seed in self.scale.teachers:
            if seed not in recorded:
                self._row("teacher", self.train_teacher, seed=seed, epochs=self.scale.teacher_epochs)
        self._copy_weights("teacher", "teacher.safetensors", self._teacher_rows())

    def _run_method(self, name: str) -> None:
        method = self.scale.methods[name]
        choice = self.choose_for(name)
        for images in method.images:
            for seed in self.scale.seeds:
                row = self._row("result", partial(self.train_result, choice), method=name, images=images, seed=seed)
                if row["chosen"] != choice.settings:
                    raise ValueError(
                        f"results of {name!r} must be of what is chosen now, {choice.settings}, got {row['chosen']} in "
                        f"{self.records.path}: remove these rows to train new ones"
                    )
        if method.jittered:
            rows = self.records.rows("result", method=name, **self.common)
            self._copy_weights(name, "student.safetensors", rows)

    def choose_for(self, name: str) -> Choice:
        """What is best for a method: the axes of its grid at its first length, then the length."""
        method = self.scale.methods[name]

        def loss(candidates: Sequence[Settings]) -> list[float]:
            return [self._validation_errors(name, settings) for settings in candidates]

        widen = self.scale.widen
        first = choose({**method.grid, "epochs": method.epochs[:1]}, loss, LIMITS, widen)
        found = {axis: (value,) for axis, value in first.settings.items()}
        limits = {"epochs": (1, method.longest)}
        last = choose({**found, "epochs": method.epochs}, loss, limits, widen)
        return Choice(last.settings, {**first.axes, "epochs": last.axes["epochs"]}, first.at_limit + last.at_limit)

    def _validation_errors(self, name: str, settings: Settings) -> float:
        """The mean over the choosing students."""
        values = []
        for seed in self.scale.choosers:
            row = self._row("choice", self.train_chooser, method=name, **settings, seed=seed)
            values.append(row["validation_errors"])
        return fmean(values)

    def _row(self, kind: str, make: Any, **settings) -> Row:
        """The row of a training: recorded, or made now by make(**settings) and printed."""
        settings = {**self.common, **settings}
        row = self.records.find(kind, **settings)
        if row is not None:
            return row

        row = self.records.add(kind, make, **settings)
        named = ", ".join(f"{name} {value}" for name, value in settings.items() if name not in self.common)
        split = "validation" if kind == "choice" else "test"
        print(f"{kind}: {named}: {row[f'{split}_errors']} {split} errors, {row['seconds']:.0f} s", flush=True)
        return row

    def _copy_weights(self, kind: str, name: str, rows: list[Row]) -> None:
        """Those of the seed with the fewest validation errors."""
        best = min(rows, key=lambda row: row["validation_errors"])
        source = self._path(kind, best["settings"]["seed"])
        target = self.folder / name
        if target.exists() and not source.exists():  # the folder that ships has only the best weights
            return
        copyfile(source, target)

    # The trainings

    def train_teacher(self, seed: int, epochs: int, quick: bool = False) -> dict[str, Any]:
        """A teacher: cross-entropy on the labels of images jittered by up to 2 pixels."""
        network = wide_teacher(seed)
        options = self._options(seed, {"lr": 1e-3, "epochs": epochs})
        check_finished(train(network, self.data.train, augment=jitter, **options))
        return self._stored("teacher", network, seed, epochs=epochs)

    def train_chooser(self, method: str, seed: int, quick: bool = False, **settings: float) -> dict[str, Any]:
        """The validation errors of a student with these settings, with its best bias where biases are moved; a student
        whose loss doesn't stay finite has all images wrong."""
        try:
            network = self._student(method, settings, seed, "train")
        except FloatingPointError:
            return {"validation_errors": 1e4}
        moved, validation = self.scale.methods[method].moved, self.data.validation
        if moved:
            bias, fewest = chosen_bias(network, validation, moved, self.scale.methods[method].sign, self.device)
            return {"bias": round(bias, 1), "validation_errors": fewest}
        return {"validation_errors": errors(predict(network, validation, device=self.device), validation.labels)}

    def train_result(self, choice: Choice, method: str, images: str, seed: int, quick: bool = False) -> dict[str, Any]:
        """A student with what was chosen. Where it learns from the validation images, its bias can be chosen on the
        test images only, as the paper did."""
        network = self._student(method, choice.settings, seed, images)
        chosen = {"chosen": choice.settings, "at_limit": choice.at_limit}
        plan = self.scale.methods[method]
        if plan.jittered:
            return {**chosen, **self._stored(method, network, seed, **choice.settings)}

        splits = ("test",) if images == "all" else SPLITS
        row = {**chosen, **measure(network, self.data, self.device, splits)}
        if plan.moved:
            row["corrected"] = corrected(network, self.data, plan.moved, plan.sign, self.device, splits)
        return row

    def _student(self, name: str, settings: Settings, seed: int, images: str) -> nn.Module:
        """A trained student of a method."""
        method = self.scale.methods[name]
        if method.jittered:
            return self._jittered_student(settings, seed)
        split, logits = transfer_set(method, self.data, self.answers, images)
        return train_student(method, settings, seed, split, logits, self.device)

    def _jittered_student(self, settings: Settings, seed: int) -> nn.Module:
        """A student that matches the mean of several teachers, on the jittered views that they see."""
        network = mlp(784, 800, 800, 10, seed=seed)
        soft = {"temperature": settings["temperature"], "alpha": settings["alpha"]}
        check_finished(distill(network, self.views, self.data.train, **soft, **self._options(seed, settings)))
        return network

    def _options(self, seed: int, settings: Settings) -> dict[str, Any]:
        """Of the trainings on jittered images."""
        return {
            "seed": seed,
            "lr": settings["lr"],
            "epochs": int(settings["epochs"]),
            "batch_size": 256,
            "optimizer": ADAMW,
            "precision": self._dtype,
            "device": self.device,
            "progress": False,
        }

    def _stored(self, kind: str, network: nn.Module, seed: int, **settings) -> dict[str, Any]:
        """Store the weights in half precision, and measure the network as it was stored."""
        network.half().float()
        record = {"seed": seed, "precision": self.precision, **settings}
        checkpoints.save(network, self._path(kind, seed), record, half=True)
        return {"precision": self.precision, **measure(network, self.data, self.device)}

    # Teachers' outputs

    @cached_property
    def answers(self) -> dict[str, Tensor]:
        """The logits, on the training and validation images as they are, of the teacher with the fewest validation
        errors."""
        teacher = self._load_teacher("teacher.safetensors")
        return {
            name: predict(teacher, getattr(self.data, name), device=self.device) for name in ("train", "validation")
        }

    @cached_property
    def views(self) -> Views:
        """The jittered training images with the mean of all teachers' logits, the course's convolutional one among
        them."""
        members = [self._load_teacher(f"teacher-{row['settings']['seed']}.safetensors") for row in self._teacher_rows()]
        members.append(load_teacher("mnist")[0])
        return Views(self.data.train, Ensemble(*members), self.device, self._dtype)

    @property
    def _dtype(self) -> torch.dtype | None:
        return torch.bfloat16 if self.precision == "bfloat16" else None

    def _teacher_rows(self) -> list[Row]:
        rows = self.records.rows("teacher", epochs=self.scale.teacher_epochs)
        return [row for row in rows if row["settings"]["seed"] in self.scale.teachers]

    def _load_teacher(self, name: str) -> nn.Module:
        network = wide_teacher()
        checkpoints.load(network, self.folder / name)
        return network.eval()

    def _path(self, kind: str, seed: int) -> Path:
        return self.folder / f"{kind}-{seed}.safetensors"
