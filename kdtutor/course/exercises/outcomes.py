"""What a function makes of a call, and the right outcomes of the exercises' calls, which ship as values in
`outcomes.json`: so the solutions themselves needn't be there.
"""

import copy
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from kdtutor._device import seeded
from kdtutor._io import write
from kdtutor.course.answers import show
from kdtutor.course.exercises.calls import CALLS

OUTCOMES = Path(__file__).with_name("outcomes.json")  # where the right outcomes ship


class ModelState(NamedTuple):
    """How a call left a model."""

    training: bool
    idle_gradients: bool  # it got gradients without being moved
    weights: Tensor  # all its parameters in one vector


@dataclass(frozen=True)
class Outcome:
    """What came of a call.

    returned: what the function returned.
    model_states: how each model among the arguments was left.
    changed_arguments: the places of those other arguments that the function changed.
    """

    returned: Any
    model_states: list[ModelState]
    changed_arguments: tuple[int, ...] = ()

    @property
    def values(self) -> tuple:
        """All that must be right."""
        return self.returned, self.model_states


def outcome_of(function: Callable, call: tuple) -> Outcome:
    """The outcome of `function` on a copy of the arguments; what it draws at random (dropout) is the same each time."""
    arguments = _copy(call)
    with seeded(0):
        returned = function(*arguments)

    model_states = []
    changed_arguments = []
    for place, (argument, original) in enumerate(zip(arguments, call, strict=True)):
        if isinstance(argument, nn.Module):
            model_states.append(_state(argument, original))
        elif _differ(argument, original):
            changed_arguments.append(place)
    return Outcome(returned, model_states, tuple(changed_arguments))


def gradient(loss: Callable, call: tuple) -> Tensor | None:
    """The gradient of a loss, or of the sum of several, in the first argument, the student's logits; None where there
    is none."""
    student_logits, *others = copy.deepcopy(call)
    student_logits.requires_grad_()
    try:
        with seeded(0), torch.enable_grad():
            value = loss(student_logits.clone(), *others)  # a clone may be changed in place
            total = sum(value) if isinstance(value, list | tuple) else value.sum()
            return torch.autograd.grad(total, student_logits)[0]
    except Exception:  # it came without a history, or numpy refused a tensor that has one
        return None


def argument_names(function: Callable, call: tuple) -> list[str]:
    """The learner's own names of the arguments; their numbers where the function doesn't tell."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        parameters = ()
    names = [parameter.name for parameter in parameters if parameter.kind == parameter.POSITIONAL_OR_KEYWORD]
    if len(names) == len(call):
        return names
    return [f"argument {number}" for number in range(1, len(call) + 1)]


def describe_call(function: Callable, call: tuple) -> str:
    """The arguments of a call, "for p = …, q (5, 10)"; of models nothing, of large tensors the shape."""
    shown = []
    for name, value in zip(argument_names(function, call), call, strict=True):
        if isinstance(value, nn.Module):
            continue
        if isinstance(value, Tensor) and value.numel() > 4:
            shown.append(f"{name} {tuple(value.shape)}")
        else:
            shown.append(f"{name} = {show(value)}")
    return f"for {', '.join(shown)}"


def right_outcomes(name: str) -> list[Outcome]:
    """The right outcomes of an exercise's calls, as they ship. Raises FileNotFoundError if the file isn't there."""
    return [_outcome(returned, model_states) for returned, model_states in _stored(OUTCOMES)[name]]


def write_outcomes(solutions: Mapping[str, Callable]) -> None:
    """Write the outcomes of these functions as the right ones: one exercise per line."""
    lines = []
    for name, calls in CALLS.items():
        outcomes = [_plain(outcome_of(solutions[name], call)) for call in calls]
        lines.append(f'"{name}": {json.dumps(outcomes)}')
    text = ",\n".join(lines)
    write(OUTCOMES, f"{{\n{text}\n}}\n".encode())
    _stored.cache_clear()


@cache
def _stored(file: Path) -> dict[str, list]:
    if not file.is_file():
        raise FileNotFoundError(f"the exercises' right answers must be in {file}, which isn't a file")
    return json.loads(file.read_text(encoding="utf-8"))


def _plain(outcome: Outcome) -> list:
    """As lists and numbers, which JSON keeps exactly."""
    model_states = []
    for state in outcome.model_states:
        model_states.append([state.training, state.idle_gradients, state.weights.tolist()])
    return [torch.as_tensor(outcome.returned).tolist(), model_states]


def _outcome(returned: Any, model_states: list) -> Outcome:
    """`_plain` undone: floating point comes back in double precision."""
    value = torch.tensor(returned)
    if value.is_floating_point():
        value = torch.tensor(returned, dtype=torch.float64)
    states = [ModelState(training, idle, torch.tensor(weights)) for training, idle, weights in model_states]
    return Outcome(value, states)


def _copy(call: tuple) -> tuple:
    """The arguments, models with the gradients that `deepcopy` leaves out."""
    arguments = copy.deepcopy(call)
    for argument, original in zip(arguments, call, strict=True):
        if isinstance(argument, nn.Module):
            for parameter, original_parameter in zip(argument.parameters(), original.parameters(), strict=True):
                if original_parameter.grad is not None:
                    parameter.grad = original_parameter.grad.clone()
    return arguments


def _state(model: nn.Module, original: nn.Module) -> ModelState:
    before = nn.utils.parameters_to_vector(original.parameters()).detach()
    after = nn.utils.parameters_to_vector(model.parameters()).detach()
    has_gradients = any(parameter.grad is not None for parameter in model.parameters())
    return ModelState(model.training, has_gradients and torch.equal(before, after), after)


def _differ(argument: Any, original: Any) -> bool:
    if isinstance(argument, Tensor):
        return not torch.equal(argument, original)
    return argument != original
