"""At which temperature is the student evaluated? Part of `check_run`.

While `evaluate` runs, the student's outputs are replaced by logits of our own, the same for every example. Their NLL at
any T follows from the labels' shares alone; so the NLL that comes back tells the T. It is done twice, with logits of
two sizes, and one T has to explain both; a number that doesn't come from the student's outputs can't.
"""

import math
from collections.abc import Callable
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from kdtutor.data import Split
from kdtutor.diagnosis.setup.given import Findings, Setup

Evaluate = Callable[..., Any]
EXAMPLES = 512  # given to evaluate
SIZES = (4.0, 2.0)  # of the logits, which lie in -size..size
TOLERANCE = 0.05  # of log T


def check_evaluation(setup: Setup, findings: Findings, evaluate: Evaluate | None) -> None:
    """Whether `evaluate` measures at T = 1, and leaves the student in train mode."""
    if evaluate is None:
        findings.skip("the temperature of the evaluation", "no evaluate was given")
        return
    classes = setup.student_logits.shape[1]
    data, labels = _examples(setup)
    shares = torch.bincount(labels, minlength=classes).double() / len(labels)
    logits = torch.empty(classes, dtype=torch.float64)
    logits[shares.argsort(descending=True)] = torch.linspace(-1, 1, classes, dtype=torch.float64)  # NLL falls with T

    temperatures = []
    for size in SIZES:
        setup.student.train()
        nll = _nll_of(evaluate, setup.student, data, size * logits)
        temperatures.append(_temperature(nll, size * logits, shares))

    first, second = temperatures
    if first is None or second is None or abs(math.log(first / second)) > TOLERANCE:
        why = "it doesn't return the mean NLL in nats of student(inputs) at any one temperature"
        findings.skip("the temperature of the evaluation", why)
        return
    findings.checked.append("the temperature of the evaluation")
    if abs(math.log(first)) > TOLERANCE:
        findings.add(
            "evaluated_at_temperature",
            f"evaluate() gives the NLL at T = {first:.3g}, not at T = 1.",
            "Errors are the same, but NLL and calibration are those of another model than the one that will be used.",
            "F.cross_entropy(student_logits, labels), without a temperature: it is for training alone.",
        )
    if not setup.student.training:
        findings.add(
            "evaluation_leaves_eval_mode",
            "evaluate() leaves the student in eval mode.",
            "Unless train() is called again, it learns without dropout, and with old batch-norm statistics.",
            "student.train() at the start of each epoch.",
            mistake=False,
        )


def _examples(setup: Setup) -> tuple[Split | DataLoader, Tensor]:
    """The data for `evaluate`, and its labels."""
    if isinstance(setup.data, Split):
        split = setup.data[:EXAMPLES]
        return split, split.labels.cpu()
    labels = setup.labels[:EXAMPLES]
    return DataLoader(TensorDataset(setup.inputs[:EXAMPLES], labels), batch_size=128), labels


def _nll_of(evaluate: Evaluate, student: nn.Module, data: object, logits: Tensor) -> float:
    """The NLL that evaluate reports of a student whose logits (C,) are these for each example."""

    def replace(_module: nn.Module, _inputs: object, outputs: Tensor) -> Tensor:
        return logits.to(outputs).expand_as(outputs)

    hook = student.register_forward_hook(replace)
    try:
        result = evaluate(student, data)
    finally:
        hook.remove()
    if isinstance(result, tuple | list) and result:
        result = result[0]
    if not isinstance(result, Real) and not (isinstance(result, Tensor) and result.numel() == 1):
        raise TypeError(f"evaluate must return the NLL, or (NLL, errors), got {type(result).__name__}")
    return float(result)


def _temperature(nll: float, logits: Tensor, shares: Tensor) -> float | None:
    """The T from 1/20 to 50 at which logits (C,) for all examples have this NLL; None if there is none."""
    from scipy.optimize import brentq

    def difference(log_t: float) -> float:
        log_p = (logits / math.exp(log_t)).log_softmax(0)
        return float(-(shares * log_p).sum()) - nll

    low, high = -math.log(20), math.log(50)
    if not difference(high) <= 0 <= difference(low):
        return None
    return math.exp(brentq(difference, low, high))
