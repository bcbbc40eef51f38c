"""Calling a loss that nobody wrote for us: which argument is which, and what it returns on inputs of our choice.

Values and gradients are float64. What they mean is `diagnosis`' business.
"""

import inspect
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

ROLES = ("student", "teacher", "labels", "temperature", "alpha")
SAID = {
    "student": "the student's logits", "teacher": "the teacher's logits", "labels": "labels",
    "temperature": "the temperature", "alpha": "alpha",
}  # fmt: skip
# Names by which arguments are known, from sure to less sure. `t` is the teacher beside an `s`; T is the temperature.
NAMES = {
    "temperature": (r"T", r"(?i:temp.*|tau|.*_temp(erature)?|kd_t)"),
    "teacher": (r"(?i:.*teacher.*|t_.*|z_?t|.*_t|tea.*|soft_?(targets?|labels?))", r"t"),
    "student": (r"(?i:.*student.*|s|s_.*|z_?s|.*_s|stu.*)", r"(?i:(model_)?outputs?|logits|preds?.*|y_?pred|input|z)"),
    "labels": (r"(?i:.*labels?|y|y_?true|gt|ground_?truth|hard_?targets?|classes)", r"(?i:targets?)"),
    "alpha": (
        r"(?i:.*alpha|(soft|hard|kd|ce|distill?(ation)?)_(weight|w|ratio|coef\w*)|lam(bda)?_?\w*)",
        r"(?i:weight|w|a)",
    ),
}
ADAPTER = "give an adapter: diagnose(lambda student, teacher, labels, temperature, alpha: …)"


@dataclass(frozen=True)
class Probe:
    """A loss and the names of its arguments by role; a role that is missing is fixed inside of it, or absent.

    guessed: whether student and teacher were told by their place alone.
    kept: other arguments, which are left at their defaults.
    dtype: of the logits that it is asked about; what comes back is float64.
    """

    function: Callable
    names: Mapping[str, str]
    guessed: bool = False
    kept: Mapping[str, object] = field(default_factory=dict)
    dtype: torch.dtype = torch.float64

    def __call__(
        self, student: Tensor, teacher: Tensor, labels: Tensor | None, temperature: float, alpha: float
    ) -> Tensor:
        """The loss as a scalar; of losses by example their mean, of terms by class the sum over classes."""
        logits = (student.to(self.dtype), teacher.to(self.dtype))
        given = dict(zip(ROLES, (*logits, labels, temperature, alpha), strict=True))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            returned = self.function(**{name: given[role] for role, name in self.names.items()})
        return _scalar(returned, student.shape)

    def gradients(
        self, student: Tensor, teacher: Tensor, labels: Tensor | None, temperature: float, alpha: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The loss, and its gradients in the student's and the teacher's logits, 0 where none flows."""
        leaves = student.clone().requires_grad_(), teacher.clone().requires_grad_()
        value = self(leaves[0] * 1, leaves[1] * 1, labels, temperature, alpha)  # * 1: may be changed in place
        if not value.requires_grad:
            return value.double(), torch.zeros_like(student), torch.zeros_like(teacher)
        grads = torch.autograd.grad(value, leaves, allow_unused=True, materialize_grads=True)
        return value.detach().double(), *grads

    @property
    def exchanged(self) -> "Probe":
        """The same loss, with the student for the teacher and the teacher for the student."""
        names = self.names
        return replace(self, names={**names, "student": names["teacher"], "teacher": names["student"]})

    @property
    def described(self) -> str:
        """Which argument was taken for what, where its name doesn't say so, and what must be fixed inside."""
        taken = ", ".join(f"{name} is {SAID[role]}" for role, name in self.names.items() if role not in name)
        missing = " and ".join(role for role in ("temperature", "alpha") if role not in self.names)
        kept = ", ".join(f"{name} is left at {value!r}" for name, value in self.kept.items())
        return "; ".join(part for part in (taken, missing and f"no argument for {missing}", kept) if part)


class Listener(TorchFunctionMode):
    """Keeps the arguments of each call of some functions of torch, while it is entered."""

    def __init__(self, *functions: Callable) -> None:
        super().__init__()
        self.functions = functions
        self.calls: list[tuple[tuple, dict]] = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function in self.functions:
            self.calls.append((args, kwargs or {}))
        return function(*args, **(kwargs or {}))


def probe(loss_fn: Callable) -> Probe:
    """Find out which argument of `loss_fn` is which, by its name and else by its place.

    Raises TypeError where it isn't callable, ValueError where an argument that must be given is of no known role.
    """
    if isinstance(loss_fn, type) and issubclass(loss_fn, nn.Module):
        loss_fn = loss_fn()
    loss_fn = getattr(loss_fn, "_orig_mod", loss_fn)  # a compiled module hides the signature of its own
    if not callable(loss_fn):
        raise TypeError(f"loss_fn must be a function or a module of logits, got {type(loss_fn).__name__}")
    try:
        parameters = inspect.signature(loss_fn.forward if isinstance(loss_fn, nn.Module) else loss_fn).parameters
    except ValueError as error:
        raise ValueError(f"loss_fn must have a signature that can be read, got {loss_fn!r}: {ADAPTER}") from error
    positional_only = [n for n, p in parameters.items() if p.kind is p.POSITIONAL_ONLY]
    parameters = {n: p for n, p in parameters.items() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
    names = _roles(parameters)
    if positional_only:
        raise ValueError(f"loss_fn must take its arguments by name, got positional-only {positional_only}: {ADAPTER}")
    unknown = [n for n, p in parameters.items() if p.default is p.empty and n not in names.values()]
    if unknown or not {"student", "teacher"} <= {*names}:
        raise ValueError(
            "loss_fn must take logits of student and teacher, and may take labels, temperature and alpha; "
            f"got ({', '.join(parameters)}), where {_missing(names, unknown)}: {ADAPTER}"
        )
    known = (re.fullmatch("|".join(NAMES[role]), names[role]) for role in ("student", "teacher"))
    kept = {n: p.default for n, p in parameters.items() if n not in names.values()}
    return Probe(loss_fn, names, not any(known), kept)


def _roles(parameters: Mapping[str, inspect.Parameter]) -> dict[str, str]:
    names: dict[str, str] = {}
    for certainty in (0, 1):
        for role, patterns in NAMES.items():
            if role == "alpha" and certainty and not {"student", "teacher"} <= {*names}:
                continue  # f(a, b): likely logits
            for name in parameters:
                if role not in names and name not in names.values() and re.fullmatch(patterns[certainty], name):
                    names[role] = name
    if "teacher" not in names and re.fullmatch(
        "(?i)targets?", names.get("labels", "")
    ):  # as in F.kl_div(input, target)
        names["teacher"] = names.pop("labels")
    required = [n for n, p in parameters.items() if p.default is p.empty and n not in names.values()]
    places = ROLES[:3] if {"student", "teacher"} & {*names} else ROLES  # where some are named, T and alpha would be
    if not {"student", "teacher"} <= {*names}:
        names |= dict(zip((role for role in places if role not in names), required, strict=False))
    return {role: names[role] for role in ROLES if role in names}


def _missing(names: Mapping[str, str], unknown: list[str]) -> str:
    if unknown:
        return f"{' and '.join(unknown)} isn't understood"
    return f"no argument for {' and '.join(SAID[role] for role in ROLES[:2] if role not in names)} is found"


def _scalar(returned: object, shape: torch.Size) -> Tensor:
    if isinstance(returned, Mapping):
        totals = [key for key in returned if key in ("loss", "total", "total_loss")] or [*returned]
        if len(totals) != 1:
            raise ValueError(
                f"loss_fn must return the loss, got a dict of {', '.join(map(str, returned))}: give an adapter that "
                "returns one of them"
            )
        returned = returned[totals[0]]
    if isinstance(returned, list | tuple) and returned:
        learnt = [index for index, x in enumerate(returned) if isinstance(x, Tensor) and x.requires_grad]
        if learnt and learnt[0] > 0:
            raise ValueError(f"loss_fn must return the loss first, got a gradient in value {learnt[0] + 1} alone")
        returned = returned[0]
    if isinstance(returned, float | int):
        returned = torch.tensor(float(returned), dtype=torch.float64)
    if not isinstance(returned, Tensor) or returned.is_complex():
        raise ValueError(f"loss_fn must return a tensor, got {type(returned).__name__}")
    rows = shape[:-1].numel()
    if returned.numel() == 1:
        return returned.reshape(())
    if returned.shape == shape or returned.numel() == rows:
        return returned.sum() / rows
    raise ValueError(
        f"loss_fn must return a scalar, or a value by example or by class, got {tuple(returned.shape)} for "
        f"logits {tuple(shape)}"
    )
