"""The calls on which an exercise compares functions, what a function makes of a call, and the right outcomes, which
ship as values in `outcomes.json`: so the solutions themselves needn't be there.
"""

import copy
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kdtutor._device import seeded
from kdtutor._io import write
from kdtutor.course.answers import show
from kdtutor.models import mlp

OUTCOMES = Path(__file__).with_name("outcomes.json")


@dataclass(frozen=True)
class Outcome:
    """What came of a call.

    returned: what the function returned.
    left: for each model among the arguments, how it was left: its mode (in training or not), whether it got a gradient
        without being moved, and all its parameters in one vector.
    changed: the places of those other arguments that the function changed.
    """

    returned: Any
    left: list[tuple[bool, bool, Tensor]]
    changed: tuple[int, ...] = ()

    @property
    def values(self) -> tuple:
        """All that must be right."""
        return self.returned, self.left


def run(function: Callable, call: tuple) -> Outcome:
    """The outcome of `function` on a copy of the arguments; what it draws at random (dropout) is the same each time."""
    arguments = copy.deepcopy(call)
    for model, original in zip(_models(arguments), _models(call), strict=True):
        for parameter, other in zip(model.parameters(), original.parameters(), strict=True):
            parameter.grad = None if other.grad is None else other.grad.clone()  # deepcopy leaves it out
    with seeded(0):
        returned = function(*arguments)
    left = [_left(model, original) for model, original in zip(_models(arguments), _models(call), strict=True)]
    changed = [place for place, pair in enumerate(zip(arguments, call, strict=True)) if _differ(*pair)]
    return Outcome(returned, left, tuple(changed))


def gradient(loss: Callable, call: tuple) -> Tensor | None:
    """The gradient of a loss in the first argument, the student's logits; None where there is none."""
    student, *rest = copy.deepcopy(call)
    student.requires_grad_()
    try:
        with seeded(0), torch.enable_grad():
            return torch.autograd.grad(loss(student.clone(), *rest), student)[0]  # a clone may be changed in place
    except Exception:  # it came without a history, or numpy refused a tensor that has one
        return None


def names(function: Callable, call: tuple) -> list[str]:
    """The learner's own names of the arguments; their numbers where the function doesn't tell."""
    try:
        told = [
            name
            for name, one in inspect.signature(function).parameters.items()
            if one.kind == one.POSITIONAL_OR_KEYWORD
        ]
    except (TypeError, ValueError):
        told = []
    return told if len(told) == len(call) else [f"argument {place + 1}" for place in range(len(call))]


def asked(function: Callable, call: tuple) -> str:
    """The arguments of a call; of models nothing, of large tensors the shape."""
    shown = []
    for name, value in zip(names(function, call), call, strict=True):
        if isinstance(value, Tensor) and value.numel() > 4:
            shown.append(f"{name} {tuple(value.shape)}")
        elif not isinstance(value, nn.Module):
            shown.append(f"{name} = {show(value)}")
    return f"for {', '.join(shown)}"


def right(name: str) -> list[Outcome]:
    """The right outcomes of an exercise's calls, as they ship. Raises FileNotFoundError if the file isn't there."""
    return [_read(*stored) for stored in _stored(path())[name]]


def keep(solutions: Mapping[str, Callable]) -> None:
    """Write the outcomes of these functions, one an exercise, as the right ones: a line an exercise."""
    lines = [f'"{name}": {json.dumps([_plain(run(solutions[name], call)) for call in CALLS[name]])}' for name in CALLS]
    write(path(), "{{\n{}\n}}\n".format(",\n".join(lines)).encode())
    _stored.cache_clear()


def path() -> Path:
    """Where the right outcomes ship."""
    return OUTCOMES


@cache
def _stored(file: Path) -> dict[str, list]:
    if not file.is_file():
        raise FileNotFoundError(f"the exercises' right answers must be in {file}, which isn't a file")
    return json.loads(file.read_text(encoding="utf-8"))


def _plain(outcome: Outcome) -> list:
    """As lists and numbers, which JSON keeps exactly."""
    returned = torch.as_tensor(outcome.returned).tolist()
    return [returned, [[mode, idle, weights.tolist()] for mode, idle, weights in outcome.left]]


def _read(returned: Any, left: list) -> Outcome:
    wide = torch.tensor(returned)
    wide = torch.tensor(returned, dtype=torch.float64) if wide.is_floating_point() else wide
    return Outcome(wide, [(mode, idle, torch.tensor(weights)) for mode, idle, weights in left])


def _models(arguments: tuple) -> list[nn.Module]:
    return [argument for argument in arguments if isinstance(argument, nn.Module)]


def _left(model: nn.Module, original: nn.Module) -> tuple[bool, bool, Tensor]:
    before, after = (nn.utils.parameters_to_vector(one.parameters()).detach() for one in (original, model))
    got = any(parameter.grad is not None for parameter in model.parameters())
    return model.training, got and torch.equal(before, after), after


def _differ(argument: Any, original: Any) -> bool:
    if isinstance(argument, Tensor):
        return not torch.equal(argument, original)
    return not isinstance(argument, nn.Module) and argument != original


def _logits(*shape: int, seed: int) -> Tensor:
    return 3 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _student() -> nn.Module:
    """With gradients of an earlier step still on its parameters."""
    student = mlp(4, 4, seed=0)
    for parameter in student.parameters():
        parameter.grad = torch.ones_like(parameter)
    return student


def _teacher(training: bool) -> nn.Module:
    return mlp(4, 8, 4, dropout=0.5, seed=1).train(training)


_P, _Q = torch.tensor([0.7, 0.2, 0.1, 0.0]), torch.tensor([0.25, 0.25, 0.25, 0.25])
_PAIR = (_logits(5, 10, seed=3).softmax(-1), _logits(5, 10, seed=4).softmax(-1))
_LABELS = torch.tensor([3, 0, 1, 2, 2, 0])
_LINE = torch.tensor([2.0, 1.0, 0.0])
_SURE, _STUDENT, _TEACHER = 4 * _logits(1, 4, seed=13), _logits(5, 4, seed=12), _logits(5, 4, seed=25)

CALLS: dict[str, list[tuple]] = {
    "one_hot": [(torch.tensor([2, 0, 1]), 3), (_LABELS, 10)],
    "entropy": [(_P,), (_Q,), (torch.eye(4),), (_logits(5, 10, seed=0).softmax(-1),)],
    "look_alikes": [(_logits(6, 4, seed=seed).softmax(-1), _LABELS) for seed in (1, 2, 3)],
    "soften": [(_LINE, 1.0), (_logits(4, 10, seed=2), 4.0), (torch.tensor([2000.0, 1000.0]), 1.0)],
    "log_soften": [(_LINE, 2.0), (torch.tensor([0.0, 2000.0]), 1.0), (_logits(4, 10, seed=2), 4.0)],
    "temperature_for": [(torch.tensor([6.0, 3.0, 0.0, -3.0]).double(), bits) for bits in (0.5, 1.2)],
    "kl": [(_P, _Q), (_Q, _Q), _PAIR],
    "kl_from_logits": [(_logits(6, 4, seed=5), _logits(6, 4, seed=6), temperature) for temperature in (1.0, 4.0)],
    "jensen_shannon": [(_P, _Q), (torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])), _PAIR],
    "distillation_loss": [
        (_logits(6, 4, seed=7), _logits(6, 4, seed=8), _LABELS, temperature, alpha)
        for temperature, alpha in [(1.0, 0.0), (1.0, 1.0), (4.0, 0.7)]
    ],
    "soft_gradient": [(_logits(6, 4, seed=9), _logits(6, 4, seed=10), temperature) for temperature in (1.0, 8.0)],
    "distill_step": [
        (_student(), _teacher(mode), _logits(6, 4, seed=11).float(), _LABELS, 4.0, alpha, 0.1)
        for mode, alpha in ((False, 0.0), (True, 0.9))
    ],
    "agreement": [(torch.cat([_SURE, _STUDENT]), torch.cat([_SURE, _TEACHER])), (_STUDENT, _STUDENT)],
    "paired_interval": [
        ([200.0, 210.0, 190.0], [180.0, 200.0, 185.0]),
        ([150.0, 161.0, 148.0, 155.0, 140.0], [152.0, 150.0, 139.0, 147.0, 141.0]),
    ],
    "prior_correction": [
        (_logits(4, 3, seed=14), torch.tensor(old), torch.tensor([0.5, 0.3, 0.2]))
        for old in ([0.2, 0.2, 0.6], [0.8, 0.1, 0.1])
    ],
    "relative_noise": [(1 + _logits(size, 7, seed=15),) for size in (5, 20)],
    "ensemble_logits": [(_logits(members, 4, 3, seed=16),) for members in (1, 3)],
}
