"""An epoch of distillation: as scripts on the web do it, by `distill`, and reduced to its matrix products."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise, product

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from kdtutor._device import threads, threads_for
from kdtutor.commands.benchmarks import timing
from kdtutor.commands.benchmarks.timing import EPOCH_IMAGES, Row, Sizes, medians, network_name
from kdtutor.data import Dataset, Split
from kdtutor.evaluation import predict
from kdtutor.models import mlp
from kdtutor.training import distill

TEMPERATURE = 5.0
ALPHA = 0.7
LR = 1e-3
MEAN, DEVIATION = 0.1307, 0.3081  # of MNIST's pixels; scripts on the web normalise with them

CPU = torch.device("cpu")


class Digits(datasets.MNIST):
    """torchvision's data set, with its own way from a row to a normalised image, over images that are in memory."""

    def __init__(self, split: Split) -> None:
        self.data = split.inputs[:, 0]
        self.targets = split.labels
        self.transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((MEAN,), (DEVIATION,))])
        self.target_transform = None


def normalised(split: Split) -> Split:
    """The same images, with pixels as `Digits` returns them."""
    return Split((split.inputs / 255 - MEAN) / DEVIATION, split.labels)


def by_loader(sizes: Sizes, teacher: nn.Module, split: Split, batch_size: int, workers: int) -> float:
    """An epoch as scripts on the web have it: image by image, with a forward pass of the teacher in each step.

    Weights and order of the images are those of `by_kdtutor`, and so is the mean loss, which is returned.
    """
    student = mlp(*sizes, seed=0)
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(0)).tolist()
    loader = DataLoader(Digits(split), batch_size=batch_size, sampler=order, num_workers=workers)
    optimizer = torch.optim.Adam(student.parameters(), lr=LR)

    total = 0.0
    for images, labels in loader:
        optimizer.zero_grad()
        with torch.no_grad():
            teacher_logits = teacher(images)
        logits = student(images)
        soft = F.kl_div(
            F.log_softmax(logits / TEMPERATURE, dim=1),
            F.softmax(teacher_logits / TEMPERATURE, dim=1),
            reduction="batchmean",
        )
        loss = ALPHA * TEMPERATURE**2 * soft + (1 - ALPHA) * F.cross_entropy(logits, labels)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(labels)
    return total / len(split)


def by_kdtutor(sizes: Sizes, teacher_logits: Tensor, split: Split, batch_size: int) -> float:
    """The same epoch by `distill`, with the teacher's logits computed before. Returns the mean loss."""
    history = distill(
        mlp(*sizes, seed=0),
        teacher_logits,
        split,
        temperature=TEMPERATURE,
        alpha=ALPHA,
        lr=LR,
        epochs=1,
        batch_size=batch_size,
        progress=False,
    )
    return history.train_loss[0]


def matrix_products(sizes: Sizes, examples: int, batch_size: int, number: int) -> None:
    """The matrix products of an epoch of an MLP, forward and backward, and nothing else, on `number` threads."""
    weights = [torch.randn(outputs, inputs) for inputs, outputs in pairwise(sizes)]
    values = [torch.randn(batch_size, size) for size in sizes]
    with threads(number):
        for _ in range(examples // batch_size):
            for layer, weight in enumerate(weights):
                values[layer] @ weight.T  # the layer's outputs
                values[layer + 1].T @ values[layer]  # the gradient with respect to its weights
                if layer > 0:
                    values[layer + 1] @ weight  # the gradient with respect to its inputs


def time_epochs(data: Dataset, quick: bool) -> Iterator[Row]:
    """Seconds per epoch of 55,000 images, by loops from the web, by `distill`, and by its matrix products alone."""
    split = data.train[: 2_750 if quick else EPOCH_IMAGES]
    normalised_split = normalised(split)
    teacher = mlp(784, 512, 256, 10, seed=1).eval()
    teacher_logits = predict(teacher, normalised_split)

    for sizes, batch_size in product(((784, 128, 10), (784, 800, 800, 10)), (64, 256)):
        distill_threads = threads_for(mlp(*sizes), normalised_split.inputs, batch_size, CPU)
        loops: dict[str, Callable[[], float | None]] = {
            "article's loop": partial(by_loader, sizes, teacher, split, batch_size, workers=0),
            "tutorial's, 2 workers": partial(by_loader, sizes, teacher, split, batch_size, workers=2),
            "kdtutor.distill": partial(by_kdtutor, sizes, teacher_logits, normalised_split, batch_size),
            "its products alone": partial(matrix_products, sizes, len(split), batch_size, distill_threads),
        }
        # scripts take as many threads as the process has
        threads_of = dict.fromkeys(loops, torch.get_num_threads())
        threads_of["kdtutor.distill"] = distill_threads
        threads_of["its products alone"] = distill_threads

        seconds, losses = timing.in_turns(loops, repeats=2 if quick else 3)
        middle = medians(seconds)
        scale = EPOCH_IMAGES / len(split)
        for name, values in seconds.items():
            yield {
                "student": network_name(sizes),
                "batch": batch_size,
                "loop": name,
                "threads": threads_of[name],
                "seconds": middle[name] * scale,
                "from": values[0] * scale,
                "to": values[-1] * scale,
                "article's / this": middle["article's loop"] / middle[name],
                "this / products": middle[name] / middle["its products alone"],
                "loss": losses[name],
            }
