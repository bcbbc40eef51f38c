"""Wrong answers to the exercises on transfer sets and on a missing class."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor


def _among(labels: Tensor, classes: Sequence[int]) -> Tensor:
    """Where the label is one of these."""
    return torch.isin(labels, torch.tensor(classes))


def _rows(mask: Tensor) -> Tensor:
    return mask.nonzero()[:, 0]


def _first_rows(labels: Tensor, classes: Sequence[int]) -> Tensor:
    """The first example of each class that is left."""
    return torch.tensor([int((labels == c).nonzero()[0]) for c in range(4) if c not in classes])


def _or_for_and(labels: Tensor, classes: Sequence[int]) -> Tensor:
    """An example is kept that differs from one of the classes: all of them, where there are two."""
    if len(classes) == 1:
        return _rows(labels != classes[0])
    return torch.arange(len(labels))


def _with_bias(logits: Tensor, missing: int, bias: float) -> Tensor:
    moved = logits.clone()
    moved[:, missing] += bias
    return moved


def _wrong(logits: Tensor, labels: Tensor) -> int:
    return int((logits.argmax(1) != labels).sum())


def _curve(logits: Tensor, labels: Tensor, missing: int, biases: Tensor, sign: float = 1) -> Tensor:
    """The errors at each bias."""
    errors = [_wrong(_with_bias(logits, missing, sign * bias), labels) for bias in biases.tolist()]
    return torch.tensor(errors, dtype=torch.float64)


def _accumulated(logits: Tensor, labels: Tensor, missing: int, biases: Tensor) -> Tensor:
    """Each bias is added to logits that hold those before it."""
    return _curve(logits, labels, missing, biases.cumsum(0))


def _of_the_class(logits: Tensor, labels: Tensor, missing: int, biases: Tensor) -> Tensor:
    """The errors on the missing class's examples alone."""
    own = labels == missing
    return _curve(logits[own], labels[own], missing, biases)


def _of_the_others(logits: Tensor, labels: Tensor, missing: int, biases: Tensor) -> Tensor:
    others = labels != missing
    return _curve(logits[others], labels[others], missing, biases)


def tuned(
    validation_logits: Tensor,
    validation_labels: Tensor,
    test_logits: Tensor,
    test_labels: Tensor,
    missing: int,
    biases: Tensor,
    curve: Callable = _curve,
    pick: Callable = torch.argmin,
    sign: float = 1,
) -> tuple[float, int]:
    """(bias, errors on test); right with these defaults."""
    bias = biases[int(pick(curve(validation_logits, validation_labels, missing, biases)))].item()
    return bias, _wrong(_with_bias(test_logits, missing, sign * bias), test_labels)


def _chosen_on_test(vz: Tensor, vy: Tensor, tz: Tensor, ty: Tensor, missing: int, biases: Tensor) -> tuple[float, int]:
    return tuned(tz, ty, tz, ty, missing, biases)


def _on_validation(vz: Tensor, vy: Tensor, tz: Tensor, ty: Tensor, missing: int, biases: Tensor) -> tuple[float, int]:
    return tuned(vz, vy, vz, vy, missing, biases)


def _on_the_class_alone(
    vz: Tensor, vy: Tensor, tz: Tensor, ty: Tensor, missing: int, biases: Tensor
) -> tuple[float, int]:
    own = ty == missing
    return tuned(vz, vy, tz[own], ty[own], missing, biases)


def _place(*call) -> tuple[int, int]:
    bias, errors = tuned(*call)
    return call[-1].tolist().index(bias), errors


def _bias_not_used(*call) -> tuple[float, int]:
    return tuned(*call)[0], _wrong(call[2], call[3])


def _share_of_errors(*call) -> tuple[float, float]:
    bias, errors = tuned(*call)
    return bias, errors / len(call[3])


def _right_answers(*call) -> tuple[float, int]:
    bias, errors = tuned(*call)
    return bias, len(call[3]) - errors


def _smooth(y: Tensor, classes: int, epsilon: float) -> Tensor:
    return (1 - epsilon) * F.one_hot(y, classes) + epsilon / classes


def _smooth_among_others(y: Tensor, classes: int, epsilon: float) -> Tensor:
    return torch.where(F.one_hot(y, classes).bool(), 1 - epsilon, epsilon / (classes - 1))


def _smooth_label_too_low(y: Tensor, classes: int, epsilon: float) -> Tensor:
    return torch.where(F.one_hot(y, classes).bool(), 1 - epsilon, epsilon / classes)


def _smooth_all_labels(y: Tensor, classes: int, epsilon: float) -> Tensor:
    ones = F.one_hot(y, classes).amax(0).expand(len(y), -1)
    return (1 - epsilon) * ones + epsilon / classes


MISTAKES: dict[str, dict[str, Callable]] = {
    "without_classes": {
        "mask": lambda y, classes: ~_among(y, classes),
        "mask + the others": _among,
        "the others": lambda y, classes: _rows(_among(y, classes)),
        "labels": lambda y, classes: y[~_among(y, classes)],
        "labels + the others": lambda y, classes: y[_among(y, classes)],
        "first class alone": lambda y, classes: _rows(y != classes[0]),
        "last class alone": lambda y, classes: _rows(y != classes[-1]),
        "or for and": _or_for_and,
        "column": lambda y, classes: (~_among(y, classes)).nonzero(),
        "classes": lambda y, classes: torch.tensor([c for c in range(4) if c not in classes]),
        "count": lambda y, classes: (~_among(y, classes)).sum(),
        "zeros": lambda y, classes: (~_among(y, classes)) * torch.arange(len(y)),
        "up to a class": lambda y, classes: _rows(y < min(classes)),
        "counted from 1": lambda y, classes: _rows(~_among(y, classes)) + 1,
        "all": lambda y, classes: torch.arange(len(y)),
        "rows for classes": lambda y, classes: torch.tensor([i for i in range(len(y)) if i not in classes]),
        "first of each class": _first_rows,
    },
    "prior_correction": {
        "the wrong way round": lambda z, old, new: z + (old / new).log(),
        "only the new shares": lambda z, old, new: z + new.log(),
        "only the old shares": lambda z, old, new: z - old.log(),
        "only the new shares + the wrong way round": lambda z, old, new: z - new.log(),
        "difference of shares": lambda z, old, new: z + new - old,
        "difference of shares + the wrong way round": lambda z, old, new: z + old - new,
        "ratio, not its logarithm": lambda z, old, new: z + new / old,
        "ratio, not its logarithm + the wrong way round": lambda z, old, new: z + old / new,
        "logits times the ratio": lambda z, old, new: z * new / old,
        "logits times the ratio + the wrong way round": lambda z, old, new: z * old / new,
        "probabilities": lambda z, old, new: (z + (new / old).log()).softmax(1),
        "probabilities + the wrong way round": lambda z, old, new: (z + (old / new).log()).softmax(1),
        "probabilities times the ratio": lambda z, old, new: z.softmax(1) * new / old,
        "nothing moved": lambda z, old, new: z + 0,
        "bits": lambda z, old, new: z + (new / old).log2(),
        "both put on": lambda z, old, new: z + new.log() + old.log(),
        "quotient of logarithms": lambda z, old, new: z + new.log() / old.log(),
        "over the batch": lambda z, old, new: (z.softmax(0) * new / old).log(),
        "only upwards": lambda z, old, new: z + (new / old).log().clamp(min=0),
    },
    "tuned_bias": {
        "chosen on test": _chosen_on_test,
        "errors on validation": _on_validation,
        "chosen by the class alone": partial(tuned, curve=_of_the_class),
        "chosen by the others alone": partial(tuned, curve=_of_the_others),
        "most errors": partial(tuned, pick=torch.argmax),
        "subtracted": partial(tuned, curve=partial(_curve, sign=-1), sign=-1),
        "subtracted: on test alone": partial(tuned, sign=-1),
        "added up": partial(tuned, curve=_accumulated),
        "place": _place,
        "bias not used": _bias_not_used,
        "share": _share_of_errors,
        "right answers": _right_answers,
        "errors on the class alone": _on_the_class_alone,
        "bias alone": lambda *call: tuned(*call)[0],
        "errors alone": lambda *call: tuned(*call)[1],
        "errors first": lambda *call: tuned(*call)[::-1],
        "curve": lambda vz, vy, tz, ty, missing, biases: _curve(vz, vy, missing, biases),
        "last of all": lambda *call: tuned(*call[:-1], call[-1][-1:]),
    },
    "smooth_labels": {
        "among the others": _smooth_among_others,
        "label not lowered": lambda y, classes, e: F.one_hot(y, classes) + e / classes,
        "not shared out": lambda y, classes, e: (1 - e) * F.one_hot(y, classes) + e,
        "swapped weights": lambda y, classes, e: _smooth(y, classes, 1 - e),
        "label lowered alone": lambda y, classes, e: (1 - e) * F.one_hot(y, classes),
        "label too low": _smooth_label_too_low,
        "one-hot": lambda y, classes, e: F.one_hot(y, classes),
        "uniform": lambda y, classes, e: torch.full((len(y), classes), 1 / classes),
        "softmax": lambda y, classes, e: F.softmax(F.one_hot(y, classes) / e, 1),
        "softmax: of the smoothed": lambda y, classes, e: F.softmax(_smooth(y, classes, e), 1),
        "classes guessed": lambda y, classes, e: _smooth(y, int(y.max()) + 1, e),
        "over the batch": lambda y, classes, e: (1 - e) * F.one_hot(y, classes) + e / len(y),
        "classes first": lambda y, classes, e: _smooth(y, classes, e).T,
        "labels": lambda y, classes, e: (1 - e) * y + e / classes,
        "label alone": lambda y, classes, e: _smooth(y, classes, e).gather(1, y[:, None])[:, 0],
        "all labels in each row": _smooth_all_labels,
    },
}
