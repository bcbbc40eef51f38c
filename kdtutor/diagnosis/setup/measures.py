"""Functions of the user's that turn logits into figures: the loss and the evaluation. Part of `check_run`."""

import math
from collections.abc import Callable
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from kdtutor.data import Split
from kdtutor.diagnosis.setup.sample import Run, untouched
from kdtutor.losses import distillation_loss

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
MEASURED = 512  # examples given to evaluate
FIX = "F.kl_div(F.log_softmax(student_logits / T, -1), F.softmax(teacher_logits / T, -1), reduction='batchmean')"


def check_loss(run: Run, loss: Loss | None, student_logits: Tensor, teacher_logits: Tensor, half: bool) -> bool:
    """Whether the loss stays finite, on the run's own logits (n, C), on logits far apart, and in half precision.
    half: whether the run's logits are. Returns whether the loss is known to send the teacher no gradient."""
    if loss is None:
        run.not_checked.append("the loss on extreme logits: no loss was given")
        return False
    classes, n = student_logits.shape[1], min(64, len(run.labels))
    labels = run.labels[:n]
    run.checked.append("the loss on this data and on logits far apart")
    student, teacher = student_logits[:n], teacher_logits[:n]
    detached = _attempt(loss, student, teacher, labels)[1]
    peaks = torch.eye(classes)[labels], torch.eye(classes)[(labels + 1) % classes]
    for where, size, dtype in (
        ("on this data", 0.0, torch.float32),
        ("on logits that are 10,000 apart", 1e4, torch.float32),
        ("on logits that are 100 apart, in half precision", 1e2, torch.float16),
    ):
        pair = [size * peak for peak in peaks] if size else [student, teacher]
        inputs = [logits.to(dtype) for logits in pair]
        try:
            finite = _attempt(loss, *inputs, labels)[0]
        except RuntimeError as error:
            run.not_checked.append(f"the loss {where}: {' '.join(str(error).split())}")
            continue
        if not finite and _attempt(distillation_loss, *inputs, labels)[0]:
            (run.note if dtype == torch.float16 and not half else run.mistake)(
                "nan_on_underflow",
                f"The loss or its gradient is NaN or infinite {where}, where kdtutor.distillation_loss is finite.",
                "A probability that underflows to 0 gives 0 * log 0 = NaN, and then every weight is NaN.",
                FIX,
            )
            break
    return detached


def _attempt(loss: Loss, student_logits: Tensor, teacher_logits: Tensor, labels: Tensor) -> tuple[bool, bool]:
    """Whether loss and student's gradient are finite, and whether the teacher's logits get no gradient."""
    leaves = [logits.detach().clone().requires_grad_() for logits in (student_logits, teacher_logits)]
    value = loss(*leaves, labels)
    if not isinstance(value, Tensor) or value.numel() != 1:
        raise TypeError(f"loss must return a tensor of one number, got {type(value).__name__}")
    if not value.requires_grad:
        return bool(value.isfinite()), True
    student, teacher = torch.autograd.grad(value.sum(), leaves, allow_unused=True)
    finite = bool(value.isfinite()) and (student is None or bool(student.isfinite().all()))
    return finite, teacher is None


def check_evaluation(run: Run, evaluate: Callable[..., Any] | None, data: object, classes: int) -> None:
    """At which temperature `evaluate` measures: the student's answers are replaced by the same known logits for every
    example, whose NLL at each T follows from the labels' shares alone; twice, so that one T has to explain both."""
    if evaluate is None:
        run.not_checked.append("the temperature of the evaluation: no evaluate was given")
        return
    if isinstance(data, Split):
        sample, labels = data[:MEASURED], data.labels[:MEASURED].cpu()
    else:
        labels = run.labels[:MEASURED]
        sample = DataLoader(TensorDataset(run.inputs[:MEASURED], labels), batch_size=128)
    shares = torch.bincount(labels, minlength=classes).double() / len(labels)
    row = torch.empty(classes, dtype=torch.float64)
    row[shares.argsort(descending=True)] = torch.linspace(-1, 1, classes, dtype=torch.float64)  # its NLL falls with T
    temperatures = []
    for size in (4.0, 2.0):
        with untouched(run.teacher, run.student, *run.modules, data=data):
            run.student.train()
            figure = _evaluated(run.student, evaluate, sample, size * row)
            left = run.student.training
        temperatures.append(None if figure is None else _temperature(figure, size * row, shares))
    first, second = temperatures
    if first is None or second is None or abs(math.log(first / second)) > 0.05:
        why = "its figure isn't the mean NLL in nats of student(inputs) at any one temperature"
        run.not_checked.append(f"the temperature of the evaluation: {why}")
        return
    run.checked.append("the temperature of the evaluation")
    if abs(math.log(first)) > 0.05:
        run.mistake(
            "evaluated_at_temperature",
            f"evaluate() gives the NLL at T = {first:.3g}, not at T = 1.",
            "Errors are the same, but NLL and calibration are those of another model than the one that will be used.",
            "F.cross_entropy(student_logits, labels), without a temperature: it is for training alone.",
        )
    if not left:
        run.note(
            "evaluation_leaves_eval_mode",
            "evaluate() leaves the student in eval mode.",
            "Unless train() is called again, it learns without dropout, and with old batch-norm statistics.",
            "student.train() at the start of each epoch.",
        )


def _evaluated(student: nn.Module, evaluate: Callable[..., Any], sample: object, row: Tensor) -> float | None:
    """The NLL that evaluate reports of a student that answers `row` (C,) to everything; None if it isn't called."""
    called = []

    def answer(_module: nn.Module, _inputs: object, logits: Tensor) -> Tensor:
        called.append(True)
        return row.to(logits).expand_as(logits)

    hook = student.register_forward_hook(answer)
    try:
        result = evaluate(student, sample)
    finally:
        hook.remove()
    result = result[0] if isinstance(result, tuple | list) and result else result
    if not isinstance(result, Real) and not (isinstance(result, Tensor) and result.numel() == 1):
        raise TypeError(f"evaluate must return the NLL, or (NLL, errors), got {type(result).__name__}")
    return float(result) if called else None


def _temperature(figure: float, row: Tensor, shares: Tensor) -> float | None:
    """The T from 1/20 to 50 at which logits `row` (C,) for all examples give this NLL, or None."""

    def nll(log_t: float) -> float:
        return float(-(shares * (row / math.exp(log_t)).log_softmax(0)).sum())

    low, high = -math.log(20), math.log(50)
    if not nll(high) <= figure <= nll(low):
        return None
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if nll(middle) > figure else (low, middle)
    return math.exp(low)
