"""How fast is it here? The sides of each comparison run in turns in one process; medians, and the range beside them.

`python -m kdtutor bench` prints what the sections return. Times differ between machines and days: compare ratios.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import pairwise, product
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from kdtutor import _paths
from kdtutor._device import threads, threads_for
from kdtutor.data import Dataset, Split
from kdtutor.models import mlp
from kdtutor.sweeps import sweep
from kdtutor.training import distill, predict

Sizes = tuple[int, ...]
Row = dict[str, Any]

T, ALPHA, LR, EPOCH = 5.0, 0.7, 1e-3, 55_000
MEAN, DEVIATION = 0.1307, 0.3081  # of MNIST's pixels; scripts on the web normalise with them


class Digits(datasets.MNIST):
    """torchvision's dataset, with its own way from a row to a normalised image, over images that are at hand."""

    def __init__(self, split: Split) -> None:
        self.data, self.targets, self.target_transform = split.inputs[:, 0], split.labels, None
        self.transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((MEAN,), (DEVIATION,))])


def by_loader(sizes: Sizes, teacher: nn.Module, split: Split, batch_size: int, workers: int) -> float:
    """An epoch as scripts have it: image by image, and the teacher asked in each step. Weights and order are those of
    `by_kdtutor`, and so is the mean loss, which is returned."""
    student = mlp(*sizes, seed=0)
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(0)).tolist()
    loader = DataLoader(Digits(split), batch_size=batch_size, sampler=order, num_workers=workers)
    optimizer, total = torch.optim.Adam(student.parameters(), lr=LR), 0.0
    for images, labels in loader:
        optimizer.zero_grad()
        with torch.no_grad():
            teacher_logits = teacher(images)
        logits = student(images)
        soft = F.kl_div(F.log_softmax(logits / T, 1), F.softmax(teacher_logits / T, 1), reduction="batchmean")
        loss = ALPHA * T**2 * soft + (1 - ALPHA) * F.cross_entropy(logits, labels)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(labels)
    return total / len(split)


def by_kdtutor(sizes: Sizes, teacher_logits: Tensor, split: Split, batch_size: int) -> float:
    """The same by `distill`, with the teacher's logits at hand. Returns the mean loss."""
    settings = {"temperature": T, "alpha": ALPHA, "lr": LR, "epochs": 1, "batch_size": batch_size, "progress": False}
    return distill(mlp(*sizes, seed=0), teacher_logits, split, **settings).train_loss[0]


def products(sizes: Sizes, examples: int, batch_size: int, number: int) -> None:
    """The matrix products of an epoch of an MLP, forward and backward, and nothing else, on `number` threads."""
    weights = [torch.randn(outputs, inputs) for inputs, outputs in pairwise(sizes)]
    values = [torch.randn(batch_size, size) for size in sizes]
    with threads(number):
        for _ in range(examples // batch_size):
            for layer, weight in enumerate(weights):
                values[layer] @ weight.T  # the layer's outputs
                values[layer + 1].T @ values[layer]  # the gradient in its weights
                if layer:
                    values[layer + 1] @ weight  # the gradient in its inputs


def in_turns(runs: dict[str, Callable[[], Any]], repeats: int) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Seconds of each run, in turns, in increasing order; and what each returned in a warm-up before."""
    results = {name: run() for name, run in runs.items()}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return {name: sorted(values) for name, values in seconds.items()}, results


def epochs(data: Dataset, quick: bool) -> Iterator[Row]:
    """Seconds an epoch of 55,000 images, by loops from the web, by `distill`, and by its matrix products alone."""
    split = data.train[: 2_750 if quick else EPOCH]
    normalised = Split((split.inputs / 255 - MEAN) / DEVIATION, split.labels)
    teacher = mlp(784, 512, 256, 10, seed=1).eval()
    logits = predict(teacher, normalised)
    for sizes, batch in product(((784, 128, 10), (784, 800, 800, 10)), (64, 256)):
        number = threads_for(mlp(*sizes), normalised.inputs, batch, torch.device("cpu"))
        runs = {
            "article's loop": partial(by_loader, sizes, teacher, split, batch, workers=0),
            "tutorial's, 2 workers": partial(by_loader, sizes, teacher, split, batch, workers=2),
            "kdtutor.distill": partial(by_kdtutor, sizes, logits, normalised, batch),
            "its products alone": partial(products, sizes, len(split), batch, number),
        }
        seconds, losses = in_turns(runs, repeats=2 if quick else 3)
        middle = {name: median(values) for name, values in seconds.items()}
        for name, values in seconds.items():
            yield {
                "student": _name(sizes),
                "batch": batch,
                "loop": name,
                "threads": number if name in ("kdtutor.distill", "its products alone") else torch.get_num_threads(),
                "seconds": middle[name] * EPOCH / len(split),
                "from": values[0] * EPOCH / len(split),
                "to": values[-1] * EPOCH / len(split),
                "article's / this": middle["article's loop"] / middle[name],
                "this / products": middle[name] / middle["its products alone"],
                "loss": losses[name],
            }


def students(data: Dataset, quick: bool) -> Iterator[Row]:
    """Students a second, an epoch of 11,000 images each in batches of 64: `sweep` against `distill` one by one."""
    split, few = data.train[: 2_200 if quick else 11_000], data.test[:64]
    small, logits = Dataset("bench", split, few, few), torch.randn(len(split), 10)
    settings = {"epochs": 1, "batch_size": 64, "progress": False}

    def together(sizes: Sizes, count: int) -> None:
        share = min(count, 16)  # settings of a seed
        temperatures, seeds = [1.0 + i for i in range(share)], range(count // share)
        sweep(lambda seed: mlp(*sizes, seed=seed), small, logits, seeds=seeds, temperature=temperatures, **settings)

    def one_by_one(sizes: Sizes, count: int) -> None:
        for seed in range(count):
            distill(mlp(*sizes, seed=seed), logits, split, seed=seed, **settings)

    cases = [*product(((784, 30, 10), (784, 128, 10)), (1, 8, 64)), *product([(784, 800, 800, 10)], (1, 2))]
    for sizes, count in cases:
        alone = min(count, 4)
        runs = {"sweep": partial(together, sizes, count), "alone": partial(one_by_one, sizes, alone)}
        seconds, _ = in_turns(runs, repeats=3 if quick else 5)
        middle = {name: median(values) * 11_000 / len(split) for name, values in seconds.items()}
        yield {
            "student": _name(sizes),
            "students": count,
            "sweep": count / middle["sweep"],
            "one by one": alone / middle["alone"],
            "ratio": count / middle["sweep"] * middle["alone"] / alone,
            "from": count / seconds["sweep"][-1] * seconds["alone"][0] / alone,
            "to": count / seconds["sweep"][0] * seconds["alone"][-1] / alone,
        }


def busy(data: Dataset, quick: bool) -> Iterator[Row]:
    """Seconds of an epoch by `distill` on the machine as it is, and while another process keeps a core busy."""
    split = data.train[: 5_500 if quick else EPOCH]
    logits = torch.randn(len(split), 10)
    for sizes, batch in (((784, 128, 10), 64), ((784, 128, 10), 256), ((784, 800, 800, 10), 256)):
        run = partial(by_kdtutor, sizes, logits, split, batch)
        times: dict[str, list[float]] = {"quiet": [], "busy": []}
        for _ in range(3):
            times["quiet"] += in_turns({"": run}, 1)[0][""]
            other = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            try:
                times["busy"] += in_turns({"": run}, 1)[0][""]
            finally:
                other.kill()
                other.wait()
        row = {name: median(values) * EPOCH / len(split) for name, values in times.items()}
        yield {"student": _name(sizes), "batch": batch} | row | {"ratio": row["busy"] / row["quiet"]}


def growth(data: Dataset, quick: bool) -> Iterator[Row]:
    """Milliseconds of training 784-30-10 on 1,024 images as one number doubles; linear from where `times` stays 2."""
    few, logits, settings = data.test[:64], torch.randn(EPOCH, 10), {"epochs": 1, "batch_size": 64, "progress": False}

    def images(number: int) -> None:
        distill(mlp(784, 30, 10), logits[:number], data.train[:number], **settings)

    def units(number: int) -> None:
        distill(mlp(784, number, 10), logits[:1024], data.train[:1024], **settings)

    def students(number: int) -> None:
        some, soft = Dataset("bench", data.train[:1024], few, few), {"temperature": [1.0 + i for i in range(number)]}
        sweep(lambda seed: mlp(784, 30, 10, seed=seed), some, logits[:1024], seeds=[0], **soft, **settings)

    for run, powers in ((images, (6, 15)), (units, (3, 11)), (students, (0, 8))):
        numbers = [2**power for power in range(powers[0], powers[1] + (not quick))]
        seconds, _ = in_turns({str(number): partial(run, number) for number in numbers}, repeats=3 if quick else 5)
        middle = [1e3 * median(values) for values in seconds.values()]
        for number, now, before in zip(numbers, middle, [None, *middle], strict=False):
            yield {"of": run.__name__, "number": number, "ms": now, "times": before and now / before}


IMPORT = "import time, torch; t = time.perf_counter(); import kdtutor; print(time.perf_counter() - t)"
MEMORY = """
import re, torch
def peak():  # kB; resource.getrusage would count what this process was before it became Python
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
before = peak()
import kdtutor as kd
data = kd.load("{}")
kd.distill(kd.mlp(784, 128, 10), torch.zeros(len(data.train), 10), data.train, epochs=1, progress=False)
print((peak() - before) / 1024)
"""


def process(data: Dataset, quick: bool) -> Iterator[Row]:
    """What a fresh process pays for kdtutor, above `import torch`."""
    yield {"value": median(_python(IMPORT) for _ in range(3)), "what": "seconds of import kdtutor"}
    if sys.platform == "linux":
        yield {
            "value": _python(MEMORY.format(data.name)),
            "what": "MB of peak memory, loading the data and training 784-128-10",
        }


def notebooks(data: Dataset, quick: bool) -> Iterator[Row]:
    """Seconds of each notebook from top to bottom, start of the kernel included (not with --quick)."""
    if quick or not _paths.checkout():
        return
    folder = _paths.in_checkout("notebooks")
    import nbformat
    from nbclient import NotebookClient

    for path in sorted(folder.glob("*.ipynb")):
        start = time.perf_counter()
        client = NotebookClient(nbformat.read(path, as_version=4), resources={"metadata": {"path": str(folder)}})
        client.execute(stderr=subprocess.DEVNULL)  # of the kernel's own warnings
        yield {"seconds": time.perf_counter() - start, "notebook": path.stem}


def show(rows: Iterable[Row]) -> list[Row]:
    """Print rows as a table, each as soon as it is there: text to the left, numbers to the right."""
    shown: list[Row] = []
    for row in rows:
        if not shown:
            print("  ".join(_cell(name, name, value) for name, value in row.items()))
        cells = (_cell(f"{v:.4g}" if isinstance(v, float) else v, name, v) for name, v in row.items())
        print("  ".join(cells), flush=True)
        shown.append(row)
    return shown


def _cell(text: object, name: str, value: object) -> str:
    return f"{text:<22}" if isinstance(value, str) else f"{'-' if text is None else text:>{max(len(name), 9)}}"


SECTIONS = (epochs, students, busy, growth, process, notebooks)


def _name(sizes: Sizes) -> str:
    return "-".join(map(str, sizes))


def _python(code: str) -> float:
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
