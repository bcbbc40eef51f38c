"""Other processes: one that competes for a core, and a fresh one that loads kdtutor."""

import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from statistics import median

import torch

from kdtutor.commands.benchmarks import timing
from kdtutor.commands.benchmarks.epochs import by_kdtutor
from kdtutor.commands.benchmarks.timing import EPOCH_IMAGES, Row, medians, network_name
from kdtutor.data import Dataset

IMPORT_SCRIPT = "import time, torch; t = time.perf_counter(); import kdtutor; print(time.perf_counter() - t)"
MEMORY_SCRIPT = """
import re, torch
def peak():  # kB; resource.getrusage would count what this process was before it became Python
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
before = peak()
import kdtutor as kd
data = kd.load("{}")
kd.distill(kd.mlp(784, 128, 10), torch.zeros(len(data.train), 10), data.train, epochs=1, progress=False)
print((peak() - before) / 1024)
"""


def time_beside_another(data: Dataset, quick: bool) -> Iterator[Row]:
    """Seconds of an epoch by `distill` on the machine as it is, and while another process keeps a core busy."""
    split = data.train[: 5_500 if quick else EPOCH_IMAGES]
    teacher_logits = torch.randn(len(split), 10)
    for sizes, batch_size in (((784, 128, 10), 64), ((784, 128, 10), 256), ((784, 800, 800, 10), 256)):
        epoch = partial(by_kdtutor, sizes, teacher_logits, split, batch_size)
        seconds: dict[str, list[float]] = {"quiet": [], "busy": []}
        for _ in range(3):
            seconds["quiet"] += _time_once(epoch)
            other = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            try:
                seconds["busy"] += _time_once(epoch)
            finally:
                other.kill()
                other.wait()

        middle = medians(seconds)
        yield {
            "student": network_name(sizes),
            "batch": batch_size,
            "quiet": middle["quiet"] * EPOCH_IMAGES / len(split),
            "busy": middle["busy"] * EPOCH_IMAGES / len(split),
            "ratio": middle["busy"] / middle["quiet"],
        }


def _time_once(epoch: partial) -> list[float]:
    """The seconds of one call after a warm-up, as a list of one number."""
    seconds, _ = timing.in_turns({"epoch": epoch}, repeats=1)
    return seconds["epoch"]


def measure_start(data: Dataset, quick: bool) -> Iterator[Row]:
    """What a fresh process pays for kdtutor, above `import torch`."""
    yield {"value": median(_printed_by(IMPORT_SCRIPT) for _ in range(3)), "what": "seconds of import kdtutor"}
    if sys.platform == "linux":
        yield {
            "value": _printed_by(MEMORY_SCRIPT.format(data.name)),
            "what": "MB of peak memory, loading the data and training 784-128-10",
        }


def _printed_by(code: str) -> float:
    """The number that a fresh Python prints when it runs this code."""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(process.stdout)
