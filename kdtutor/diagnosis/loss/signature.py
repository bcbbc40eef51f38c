"""Which argument of a loss is which, and calls to it.

Arguments are told by their names, from sure ones to less sure ones, and what is left by its place. The result is a
`Loss`, which everything after this module calls alike, whatever the arguments are named and the function returns.
"""

import inspect
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from kdtutor.diagnosis.loss.returned import as_scalar, first_tensor

DESCRIPTIONS = {
    "student": "the student's logits", "teacher": "the teacher's logits", "labels": "labels",
    "temperature": "the temperature", "alpha": "alpha",
}  # fmt: skip
ROLES = tuple(DESCRIPTIONS)
# Names of arguments, sure ones first. `t` is the teacher beside an `s`; T isn't.
NAMES = (
    ("temperature", r"T"),
    ("teacher", r"(?i:.*teacher.*|t_.*|z_?t|.*_t|tea.*|soft_?(targets?|labels?))"),
    ("student", r"(?i:.*student.*|s|s_.*|z_?s|.*_s|stu.*)"),
    ("labels", r"(?i:.*labels?|.*label_?ids|y|y_?true|gt|ground_?truth|hard_?targets?|classes)"),
    ("alpha", r"(?i:.*alpha|(soft|hard|kd|ce|distill?(ation)?)_(weight|w|ratio|coef\w*)|lam(bda)?_?\w*)"),
    ("temperature", r"(?i:temp.*|tau|.*_temp(erature)?|kd_t)"),
    ("teacher", r"t"),
    ("student", r"(?i:(model_)?outputs?|logits|preds?.*|y_?pred|input|z)"),
    ("labels", r"(?i:targets?)"),
)
MASK = r"(?i:.*mask)"
TEMPERATURE = r"(?i:t|temp.*|tau.*|.*_(temp(erature)?|tau))"
WEIGHT = r"(?i:beta|gamma|lamb?da?\w*|\w*weight|w_\w+|\w+_(w|coef\w*|ratio))"  # of a term, or a share of a mixture
SETTINGS = r"(?i:h?params?|args|cfg|conf(ig)?|opts?|options|hyper_?param\w*)"  # objects that hold T and alpha
ALPHA_BESIDE_LOGITS = r"(?i:weight|w|a)"  # alone, in f(a, b), `a` is likely the student's logits
ADAPTER = "give an adapter: diagnose(lambda student, teacher, labels, temperature, alpha: …)"


class Settings:
    """Stands for an object of settings: its attributes are the temperature and alpha, by their names."""

    def __init__(self, temperature: float, alpha: float, asked: set[str]) -> None:
        self._numbers = {"temperature": temperature, "alpha": alpha}
        self._asked = asked  # the roles that were asked for

    def __getattr__(self, name: str) -> float:
        role = "temperature" if re.fullmatch(TEMPERATURE, name) else "alpha"
        if role == "alpha" and not re.fullmatch(dict(NAMES)["alpha"], name):
            raise AttributeError(name)
        self._asked.add(role)
        return self._numbers[role]

    __getitem__ = __getattr__


@dataclass(frozen=True)
class Loss:
    """A loss function and the names of its arguments by role; a role that is missing is fixed inside it, or absent."""

    function: Callable
    names: Mapping[str, str]
    told_by_place: bool  # whether student and teacher were told by their places alone
    defaults: Mapping[str, object]  # other arguments, which keep their defaults
    dtype: torch.dtype = torch.float64  # of the logits that it is given; what comes back is float64
    extra: Mapping[str, str] = field(default_factory=dict)  # further arguments: "temperature", "mask", "settings"
    constants: Mapping[str, float] = field(default_factory=dict)  # arguments that must be given and are kept fixed
    guessed_alpha: bool = False  # whether alpha may be a number of another kind, as the beta of a mixture
    asked: set[str] = field(default_factory=set, compare=False)  # what was read of an object of settings
    mask_dtype: torch.dtype = torch.int64
    dense: bool = False  # whether logits (B, L, C) are given to it as (B, C, L, 1), as those of pixels

    def __call__(
        self, student: Tensor, teacher: Tensor, labels: Tensor | None, temperature: float, alpha: float
    ) -> Tensor:
        """The loss as a scalar: of losses by example their mean, of terms by class the sum over classes."""
        inputs = {
            "student": student.to(self.dtype), "teacher": teacher.to(self.dtype), "labels": labels,
            "temperature": temperature, "alpha": alpha,
        }  # fmt: skip
        if self.dense:
            inputs["student"], inputs["teacher"] = (
                inputs[x].movedim(-1, 1).unsqueeze(-1) for x in ("student", "teacher")
            )
            inputs["labels"] = None if labels is None else labels.unsqueeze(-1)
        mask = torch.ones(student.shape[:-1], dtype=self.mask_dtype)
        inputs["mask"] = mask.unsqueeze(-1) if self.dense else mask
        inputs["settings"] = Settings(temperature, alpha, self.asked)
        arguments = {name: inputs[role] for role, name in self.names.items()}
        arguments |= {name: inputs[role] for name, role in self.extra.items()}
        arguments |= self.constants
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            returned = self.function(**arguments)
        return as_scalar(first_tensor(returned), inputs["student"].shape if self.dense else student.shape, self.dense)

    def takes(self, role: str) -> bool:
        return role in self.names or role in self.asked

    def with_alpha_fixed(self) -> "Loss":
        """The same loss with the argument that was taken for alpha kept at a number that says what it is."""
        names = {role: name for role, name in self.names.items() if role != "alpha"}
        return replace(self, names=names, constants={**self.constants, self.names["alpha"]: 0.3}, guessed_alpha=False)

    @property
    def exchanged(self) -> "Loss":
        """The same loss, with the student for the teacher and the teacher for the student."""
        names = dict(self.names)
        names["student"], names["teacher"] = names["teacher"], names["student"]
        return replace(self, names=names)

    @property
    def described(self) -> str:
        """Which argument was taken for what, where its name doesn't say so, and what must be fixed inside."""
        taken = [f"{name} is {DESCRIPTIONS[role]}" for role, name in self.names.items() if role not in name]
        missing = [role for role in ("temperature", "alpha") if not self.takes(role)]
        words = {"temperature": "the temperature, too", "mask": "a mask of ones", "settings": "temperature and alpha"}
        taken += [f"{name} is {words[role]}" for name, role in self.extra.items()]
        kept = [f"{name} is left at {default!r}" for name, default in self.defaults.items()]
        kept += [f"{name} is set to {number:g}" for name, number in self.constants.items()]

        clauses = [", ".join(taken), ", ".join(kept)]
        if missing:
            clauses.insert(1, f"no argument for {' and '.join(missing)}")
        return "; ".join(filter(None, clauses))


def read_signature(loss_fn: Callable) -> Loss:
    """Find out which argument of `loss_fn` is which, by its name and else by its place.

    Raises TypeError where it isn't callable, ValueError where an argument that must be given is of no known role.
    """
    if isinstance(loss_fn, type) and issubclass(loss_fn, nn.Module):
        loss_fn = loss_fn()
    loss_fn = getattr(loss_fn, "_orig_mod", loss_fn)  # a compiled module hides its own signature
    if not callable(loss_fn):
        raise TypeError(f"loss_fn must be a function or a module of logits, got {type(loss_fn).__name__}")

    parameters = _parameters(loss_fn)
    names = _roles(parameters)
    extra, guessed_alpha = _further_roles(parameters, names)
    unknown = [name for name in _required(parameters, names) if name not in extra]
    missing = [DESCRIPTIONS[role] for role in ("student", "teacher") if role not in names]
    if unknown or missing:
        problem = f"no argument for {' and '.join(missing)} is found"
        if unknown:
            problem = f"{' and '.join(unknown)} isn't understood; zeros will do for hidden states"
        raise ValueError(
            "loss_fn must take logits of student and teacher, and may take labels, temperature and alpha; "
            f"got ({', '.join(parameters)}), where {problem}: {ADAPTER}"
        )

    by_name = [re.fullmatch(pattern, names[role]) for role, pattern in NAMES if role in ("student", "teacher")]
    taken = {*names.values(), *extra}
    defaults = {name: p.default for name, p in parameters.items() if name not in taken}
    return Loss(
        loss_fn, names, told_by_place=not any(by_name), defaults=defaults, extra=extra, guessed_alpha=guessed_alpha
    )


def _further_roles(parameters: Mapping[str, inspect.Parameter], names: dict[str, str]) -> tuple[dict[str, str], bool]:
    """Further arguments by name, as `Loss.extra`; and whether one that must be given was added to `names` as alpha."""
    extra: dict[str, str] = {}
    for name in parameters:
        free = name not in names.values()
        if free and "temperature" in names and re.fullmatch(TEMPERATURE, name):
            extra[name] = "temperature"
    guessed_alpha = False
    for name in _required(parameters, names):
        if name in extra:
            continue
        if re.fullmatch(MASK, name):
            extra[name] = "mask"
        elif re.fullmatch(SETTINGS, name):
            extra[name] = "settings"
        elif re.fullmatch(WEIGHT, name) and "alpha" not in names:
            names["alpha"] = name
            guessed_alpha = True
    return extra, guessed_alpha


def _parameters(loss_fn: Callable) -> dict[str, inspect.Parameter]:
    """The parameters that can be given by name."""
    function = loss_fn.forward if isinstance(loss_fn, nn.Module) else loss_fn
    try:
        parameters = inspect.signature(function).parameters
    except ValueError as error:
        raise ValueError(f"loss_fn must have a signature that can be read, got {loss_fn!r}: {ADAPTER}") from error

    positional_only = [name for name, p in parameters.items() if p.kind is p.POSITIONAL_ONLY]
    if positional_only:
        raise ValueError(f"loss_fn must take its arguments by name, got positional-only {positional_only}: {ADAPTER}")
    return {name: p for name, p in parameters.items() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}


def _roles(parameters: Mapping[str, inspect.Parameter]) -> dict[str, str]:
    """The name of the argument that has each role, in the order of ROLES."""
    names: dict[str, str] = {}

    def look_for(role: str, pattern: str) -> None:
        free = [name for name in parameters if name not in names.values() and re.fullmatch(pattern, name)]
        if role in ("student", "teacher"):
            free = [name for name in free if not re.fullmatch(f"{MASK}|.*_temp(erature)?|.*_weight", name)]
            free.sort(key=lambda name: bool(re.search("hidden|feat|atten", name)))  # logits first
        if free and role not in names:
            names[role] = free[0]

    for role, pattern in NAMES:
        look_for(role, pattern)
    if "student" in names and "teacher" in names:
        look_for("alpha", ALPHA_BESIDE_LOGITS)

    # In F.kl_div(input, target) the target is the teacher.
    if "teacher" not in names and re.fullmatch("(?i)targets?", names.get("labels", "")):
        names["teacher"] = names.pop("labels")

    if "student" not in names or "teacher" not in names:
        # Where one of the two has a name that is known, T and alpha would have one, too.
        by_place = ROLES[:3] if "student" in names or "teacher" in names else ROLES
        free = [role for role in by_place if role not in names]
        places = [x for x in _required(parameters, names) if not re.fullmatch(f"{MASK}|{SETTINGS}", x)]
        names.update(zip(free, places, strict=False))
    return {role: names[role] for role in ROLES if role in names}


def _required(parameters: Mapping[str, inspect.Parameter], names: Mapping[str, str]) -> list[str]:
    """The arguments that must be given and have no role yet."""
    return [name for name, p in parameters.items() if p.default is p.empty and name not in names.values()]
