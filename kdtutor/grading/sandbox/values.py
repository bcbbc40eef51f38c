"""Python values as trees of JSON: what the worker answers with, and how the grader reads it.

Only plain data comes out of the sandbox: numbers, texts, lists, tensors, torch.nn's networks, and functions as numbers
to call them by. Reading a tree makes no object of a class that the sender could have written.
"""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kdtutor.data import Dataset, Split
from kdtutor.grading.sandbox.messages import DTYPES, Tensors
from kdtutor.models import Ensemble
from kdtutor.results import History

Tree = Any  # None, bool, int, float, str, or a list [kind, …]
PLAIN = (bool, int, float, str)
SEQUENCES = {list: "list", tuple: "tuple", set: "set", torch.Size: "tuple"}
SEQUENCE_TYPES = {"list": list, "tuple": tuple, "set": set}
RECORD_CLASSES = {"Dataset": Dataset, "History": History, "Split": Split}
OWN_ATTRIBUTES = {*vars(nn.Module())} - {"training"}  # every module has them: they are never sent as settings
MAX_DOC_CHARACTERS = 2000  # of a function's docstring
MAX_DEFAULT_CHARACTERS = 99  # of a default value that is shown by its repr


def encode(value: Any, tensors: Tensors, number_of: Callable[[object], int]) -> Tree:
    """A tree for the value; its tensors are added to `tensors`, its functions numbered by `number_of`.

    TypeError for what isn't plain: an instance of a student's own class could pretend to be anything.
    """
    kind = type(value)
    if value is None or kind in PLAIN:
        return value
    if value is ...:
        return ["..."]
    if kind in SEQUENCES:
        return [SEQUENCES[kind], [encode(part, tensors, number_of) for part in value]]
    if kind is dict:
        items = []
        for key, part in value.items():
            items.append([encode(key, tensors, number_of), encode(part, tensors, number_of)])
        return ["dict", items]
    if kind in (torch.dtype, torch.device):
        return [kind.__name__, str(value).removeprefix("torch.")]  # "float32"; "cpu"
    if RECORD_CLASSES.get(kind.__name__) is kind:
        return ["record", kind.__name__, _encode_named(vars(value), tensors, number_of)]
    if inspect.isroutine(value) or inspect.isclass(value):
        doc = str(value.__doc__ or "")[:MAX_DOC_CHARACTERS]
        return ["function", number_of(value), str(value.__name__), doc, _signature(value)]
    return _encode_numbers(value, tensors, number_of)


def _encode_numbers(value: Any, tensors: Tensors, number_of: Callable[[object], int]) -> Tree:
    """What holds numbers: tensors, arrays, networks."""
    kind = type(value)
    if kind is nn.Parameter:
        return ["parameter", tensors.add(value.detach()), value.requires_grad]
    if isinstance(value, Tensor):
        return ["tensor", tensors.add(value)]
    if kind is np.ndarray and value.dtype != object:
        return ["array", tensors.add(torch.from_numpy(np.ascontiguousarray(value)))]
    if isinstance(value, np.generic):
        return encode(value.item(), tensors, number_of)
    if isinstance(value, nn.Module):
        return _encode_module(value, tensors, number_of)
    raise TypeError(
        f"an object of class {kind.__name__} can't be handed to the tests: only plain values and torch.nn's networks"
    )


def _encode_named(values: dict[str, object], tensors: Tensors, number_of: Callable[[object], int]) -> dict[str, Tree]:
    trees = {}
    for name, value in values.items():
        trees[name] = encode(value, tensors, number_of)
    return trees


def _encode_module(module: nn.Module, tensors: Tensors, number_of: Callable[[object], int]) -> Tree:
    """["module", class, settings, parameters, buffers, modules]."""
    name = type(module).__name__
    if _module_class(name) is not type(module):
        raise TypeError(
            f"a network of class {name} can't be handed to the tests, only those that are made of torch.nn's own"
        )

    settings = {key: value for key, value in vars(module).items() if key not in OWN_ATTRIBUTES}
    before = len(tensors)
    encoded_settings = _encode_named(settings, tensors, number_of)
    if len(tensors) > before:
        raise TypeError(f"a network with {name} can't be handed to the tests")

    return [
        "module",
        name,
        encoded_settings,
        _encode_named(module._parameters, tensors, number_of),
        _encode_named(module._buffers, tensors, number_of),
        _encode_named(module._modules, tensors, number_of),
    ]


def _module_class(name: str) -> type[nn.Module] | None:
    """The class of this name, if it is one of torch.nn's or the course's ensemble."""
    if name == "Ensemble":
        return Ensemble
    cls = getattr(nn, name, None)
    if inspect.isclass(cls) and issubclass(cls, nn.Module):
        return cls
    return None


def _signature(function: Callable) -> Tree:
    """For each parameter [name, kind, whether it has a default, the default]; None where there is no signature."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    described = []
    for parameter in parameters:
        default = parameter.default
        has_default = default is not parameter.empty
        if default is not None and type(default) not in PLAIN:
            default = repr(default)[:MAX_DEFAULT_CHARACTERS]
        described.append([parameter.name, int(parameter.kind), has_default, default])
    return described


def decode(tree: Tree, tensors: list[Tensor], make_function: Callable[..., Callable]) -> object:
    """The value of a tree; `make_function` gets what follows "function" in it. Any exception means that the tree isn't
    as `encode` makes it."""
    if not isinstance(tree, list):
        return tree
    kind, *rest = tree
    match kind:
        case "...":
            return ...
        case "list" | "tuple" | "set":
            return SEQUENCE_TYPES[kind](decode(part, tensors, make_function) for part in rest[0])
        case "dict":
            mapping = {}
            for key, part in rest[0]:
                mapping[decode(key, tensors, make_function)] = decode(part, tensors, make_function)
            return mapping
        case "tensor":
            return tensors[rest[0]]
        case "parameter":
            return nn.Parameter(tensors[rest[0]], requires_grad=rest[1])
        case "array":
            return tensors[rest[0]].detach().numpy()
        case "dtype":
            return DTYPES[rest[0]]
        case "device":
            return torch.device(rest[0])
        case "record":
            return RECORD_CLASSES[rest[0]](**_decode_named(rest[1], tensors, make_function))
        case "module":
            return _decode_module(*rest, tensors, make_function)
        case "function":
            return make_function(*rest)
    raise ValueError(f"no such kind: {kind!r}")


def _decode_named(trees: dict[str, Tree], tensors: list[Tensor], make_function: Callable) -> dict[str, Any]:
    values = {}
    for name, tree in trees.items():
        values[name] = decode(tree, tensors, make_function)
    return values


def _decode_module(
    name: str, settings: dict, parameters: dict, buffers: dict, modules: dict, tensors: list, make_function: Callable
) -> nn.Module:
    cls = _module_class(name)
    module = cls.__new__(cls)
    nn.Module.__init__(module)
    for key, tree in settings.items():
        if key in OWN_ATTRIBUTES or callable(getattr(cls, key, None)):  # such as `forward`
            raise ValueError(f"{key} isn't a network's setting")
        module.__dict__[key] = decode(tree, [], _no_function)
    for key, value in _decode_named(parameters, tensors, make_function).items():
        module.register_parameter(key, value)
    for key, value in _decode_named(buffers, tensors, make_function).items():
        module.register_buffer(key, value)
    for key, value in _decode_named(modules, tensors, make_function).items():
        module.add_module(key, value)
    return module


def _no_function(*_: object) -> None:
    """A function among a network's settings, such as an initialiser, is left out."""
