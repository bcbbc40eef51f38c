"""How terms, one per class, become one number per row, and the wrong ways to do that."""

from collections.abc import Callable, Mapping
from functools import partial

from torch import Tensor

REDUCTIONS: dict[str, Callable] = {
    "": lambda terms: terms.sum(-1),
    "sum over the batch": lambda terms: terms.sum(),
    "mean over the batch": lambda terms: terms.sum(-1).mean(),
    "sum over the first axis": lambda terms: terms.sum(0),
    "mean over classes": lambda terms: terms.mean(-1),
    "one value per class": lambda terms: terms,
    "NaN replaced late": lambda terms: terms.sum(-1).nan_to_num(),
}


def reduced(terms: Mapping[str, Callable]) -> dict[str, Callable]:
    """Each of the terms with each reduction, but the right one of both ("")."""
    made = {}
    for reduction_name, reduction in REDUCTIONS.items():
        for term_name, term in terms.items():
            name = " + ".join(part for part in (term_name, reduction_name) if part)
            if reduction_name == "NaN replaced late":
                if "NaN" not in term_name:
                    continue  # there is none to be replaced
                name = name.replace("NaN at 0 + ", "")
            if name:
                made[name] = partial(_reduced, term, reduction)
    return made


def _reduced(term: Callable, reduction: Callable, *call: Tensor) -> Tensor:
    return reduction(term(*call))
