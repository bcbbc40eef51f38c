"""Which images the student learns from: without a class, of another source, of another domain."""

from collections.abc import Callable, Sequence
from functools import lru_cache

import torch
from torch import Tensor

from kdtutor import data
from kdtutor.course.evidence.digits import Digits
from kdtutor.course.evidence.protocol import Arm, Experiment, Trained
from kdtutor.course.evidence.search import Settings
from kdtutor.course.evidence.students import RATES, Lesson, labels_grid, soft_grid, swept
from kdtutor.data import Split
from kdtutor.evaluation import predict
from kdtutor.metrics import best_bias, with_bias

LABELS = "learning from labels"
AT_1 = "distilling at T = 1"
ABOVE_1 = "distilling at a T above 1"
OWN = "learning on its own digits"
OTHER = "learning on digits of another source"
SHUFFLED = "learning on digits with shuffled pixels"
NOISE = "learning on noise"
FEW = "learning from 100 labels"
MANY = "learning from 1,000 labels"
UNLABELLED = "learning from the teacher without a label"
WITH_FEW = "learning from the teacher and 100 labels"
FROM_HOME = "learning on the teacher's own images"

MISSING = 3  # the class
MANY_RATES = (1e-3, 3e-3, 1e-2)  # where images are many
BIASES = torch.arange(0, 20, 0.25)


def missing_class(digits: Digits) -> list[Experiment]:
    """No 3 among the images that the student 784-100-100-10 learns from; its bias for 3s is chosen on validation
    images."""
    kept = digits.data.train.labels != MISSING

    def lesson(seed: int) -> Lesson:
        return digits.data.train[kept], digits.answers[kept]

    train_all = bias_corrected(swept([100, 100], lesson, digits.data, batch_size=256), digits)
    epochs = (10,)
    arms = [
        Arm(LABELS, train_all, labels_grid(epochs, MANY_RATES)),
        Arm(AT_1, train_all, soft_grid(epochs, MANY_RATES, temperatures=(1.0,), alphas=(1.0,))),
        Arm(ABOVE_1, train_all, soft_grid(epochs, MANY_RATES, temperatures=(4.0, 8.0, 16.0), alphas=(1.0,))),
    ]
    return [Experiment("no 3 in the transfer set", digits.data, arms)]


def bias_corrected(
    train_all: Callable[[int, Sequence[Settings]], Sequence[Trained]], digits: Digits
) -> Callable[[int, Sequence[Settings]], list[Trained]]:
    """The same students, each with the bias of the missing class that leaves the fewest validation errors."""

    def train_and_correct(seed: int, candidates: Sequence[Settings]) -> list[Trained]:
        corrected = []
        for student in train_all(seed, candidates):
            bias = best_bias(student["validation"], digits.data.validation.labels, [MISSING], BIASES)
            corrected.append({name: with_bias(logits, [MISSING], bias) for name, logits in student.items()})
        return corrected

    return train_and_correct


def transfer_sets(digits: Digits) -> list[Experiment]:
    """4,000 images of four kinds, answered by the teacher; the student 784-50-10 is tested on the teacher's digits."""
    other_name = "mnist" if digits.name == "strokes" else "strokes"
    other = data.load(other_name).train

    def lesson_on(images_of: Callable[[int], Tensor]) -> Callable[[int], Lesson]:
        @lru_cache(maxsize=4)
        def lesson(seed: int) -> Lesson:
            images = images_of(seed)
            split = Split(images, torch.zeros(len(images), dtype=torch.int64))  # the labels play no part
            return split, predict(digits.teacher, split)

        return lesson

    def own(seed: int) -> Tensor:
        return digits.drawn(4000, seed)[0].inputs

    def from_other(seed: int) -> Tensor:
        index = torch.randperm(len(other), generator=torch.Generator().manual_seed(seed))
        return other.inputs[index[: digits.size(4000)]]

    def shuffled(seed: int) -> Tensor:
        order = torch.randperm(784, generator=torch.Generator().manual_seed(0))
        return own(seed).flatten(1)[:, order].reshape(-1, 1, 28, 28)

    def noise(seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return torch.randint(0, 256, (digits.size(4000), 1, 28, 28), generator=generator, dtype=torch.uint8)

    grid = soft_grid((10, 20, 40), alphas=(1.0,))
    images = {OWN: own, OTHER: from_other, SHUFFLED: shuffled, NOISE: noise}
    arms = [Arm(name, swept([50], lesson_on(of), digits.data), grid) for name, of in images.items()]
    return [Experiment("transfer sets of 4,000 images", digits.data, arms, longest=160)]


def domains(digits: Digits) -> list[Experiment]:
    """A teacher of one data set, students 784-100-10 of another: without a label of it, with 100, on labels alone; and
    students that see only the teacher's own images."""
    target = digits.of("usps" if digits.name == "mnist" else "mnist")

    def few(seed: int) -> Lesson:
        return _drawn(target, seed)[:100], None

    def many(seed: int) -> Lesson:
        return _drawn(target, seed)[:1000], None

    @lru_cache(maxsize=4)
    def unlabelled(seed: int) -> Lesson:
        split = _drawn(target, seed)
        return split, predict(digits.teacher, split)

    @lru_cache(maxsize=4)
    def with_few(seed: int) -> Lesson:
        split, answers = unlabelled(seed)
        sure = 30.0 * torch.nn.functional.one_hot(split.labels[:100], 10)  # where a label is known, it is the answer
        return split, torch.cat([sure, answers[100:]])

    def from_home(seed: int) -> Lesson:
        return digits.drawn(5000 * digits.smaller, seed)

    def arm(name: str, lesson: Callable[[int], Lesson], grid: dict[str, Sequence[float]]) -> Arm:
        return Arm(name, swept([100], lesson, target.data), grid)

    epochs = (10, 30, 90)
    soft = soft_grid(epochs, alphas=(1.0,))
    arms = [
        arm(FEW, few, labels_grid(epochs, RATES)),
        arm(MANY, many, labels_grid(epochs, RATES)),
        arm(UNLABELLED, unlabelled, soft),
        arm(WITH_FEW, with_few, soft),
        arm(FROM_HOME, from_home, soft),
    ]
    return [Experiment("a teacher of one data set, students of another", target.data, arms, longest=90)]


def _drawn(target: Digits, seed: int) -> Split:
    """5,000 images of the students' domain."""
    index = torch.randperm(len(target.data.train), generator=torch.Generator().manual_seed(seed))
    return target.data.train[index[:5000]]
