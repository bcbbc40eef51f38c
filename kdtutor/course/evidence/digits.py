"""The images, labels and teachers that the experiments draw from, for one data set."""

from functools import cached_property, lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn

from kdtutor import checkpoints, data
from kdtutor.course import teachers
from kdtutor.course.evidence.students import held_out_logits
from kdtutor.data import Dataset, Split, jitter, like_mnist
from kdtutor.evaluation import predict
from kdtutor.models import cnn

VIEWS = 20  # of each image, where images are shown in shifted views
DATA_SETS = ("mnist", "usps", "strokes", "fashion")


class Digits:
    """One of DATA_SETS, as 28 x 28 images, with a convolutional teacher that knows all its training labels.

    Attributes:
        name: of the data set.
        data: its splits.
        smaller: by what sizes are divided; USPS, which is smaller, has half as many examples for each experiment.
    """

    def __init__(self, name: str, folder: Path, quick: bool = False) -> None:
        """`folder` keeps a teacher that doesn't ship with the course, which takes minutes to train."""
        self.name = name
        self.folder = folder
        self.quick = quick
        whole = data.load(name)
        if name == "usps":
            whole = Dataset(name, like_mnist(whole.train), like_mnist(whole.validation), like_mnist(whole.test))
        self.data = whole
        if quick:
            self.data = Dataset(name, whole.train[:3000], whole.validation[:500], whole.test[:1000])
        self.smaller = 2 if name == "usps" else 1
        if quick:
            self.smaller = 20
        self.drawn = lru_cache(maxsize=8)(self._drawn)
        self.drawn_views = lru_cache(maxsize=4)(self._drawn_views)

    def of(self, name: str) -> "Digits":
        """Another data set, to be used alike."""
        return Digits(name, self.folder, self.quick)

    def size(self, number: int) -> int:
        """How many examples to take where MNIST has this many."""
        return number // self.smaller

    @cached_property
    def teacher(self) -> nn.Module:
        """The course's convolutional teacher of this data set, in eval mode."""
        if self.name in ("mnist", "strokes"):
            return teachers.load_teacher(self.name)[0]
        path = self.folder / f"teacher-{self.name}.safetensors"
        if not path.exists():
            network, record = teachers.train_teacher(self.data, progress=False)
            teachers.save_teacher(network, record, path)
        teacher = cnn(dropout=0.4)
        checkpoints.load(teacher, path)
        return teacher.eval()

    @cached_property
    def answers(self) -> Tensor:
        """The teacher's logits on all training images."""
        return predict(self.teacher, self.data.train)

    @cached_property
    def held_out_answers(self) -> dict[str, Tensor]:
        """The teacher's logits on the validation and test images."""
        return held_out_logits(self.teacher, self.data)

    @cached_property
    def wide_answers(self) -> Tensor | None:
        """The logits of Hinton's teacher, 784-1200-1200-10, on all training images; None but for MNIST."""
        if self.name != "mnist":
            return None
        teacher = teachers.wide_teacher()
        checkpoints.load(teacher, data.shipped() / "hinton" / "teacher.safetensors")
        return predict(teacher.eval(), self.data.train)

    def _drawn(self, number: int, seed: int) -> tuple[Split, Tensor]:
        """`size(number)` training examples, drawn anew with each seed, and the teacher's logits on them."""
        generator = torch.Generator().manual_seed(seed)
        index = torch.randperm(len(self.data.train), generator=generator)[: self.size(number)]
        return self.data.train[index], self.answers[index]

    def _drawn_views(self, number: int, seed: int) -> tuple[Split, Tensor, Tensor]:
        """The same examples, each in VIEWS shifted views; the teacher's logits on the views, and on the images that
        they are views of."""
        split, answers = self.drawn(number, seed)
        generator = torch.Generator().manual_seed(seed)
        images = torch.cat([jitter(split.inputs, generator) for _ in range(VIEWS)])
        views = Split(images, split.labels.repeat(VIEWS))
        return views, predict(self.teacher, views), answers.repeat(VIEWS, 1)
