"""Cross-entropy whose examples are weighted by their class, as F.cross_entropy(weight=...) weights them.

What the labels change in a row's gradient is v (p - y) - v' (p - y'), C equations for the two weights; they count as
class weights if they depend on the labels alone.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from kdtutor.diagnosis.loss.observation import Observation, Output

SAME = 1e-5  # relative


def weights_by_row(observation: Observation) -> Tensor | None:
    """The factors of cross-entropy in each row, (D, rows), if the labels explain them; None if they don't."""
    classes = observation.shape[-1]
    student = observation.student.reshape(-1, classes)
    before, after = (
        student.softmax(-1) - F.one_hot(labels.flatten(), classes)
        for labels in (observation.labels, observation.other_labels)
    )
    changes = observation.by_labels.gradient.reshape(-1, classes)
    columns = torch.stack([before, -after], -1)
    weights = torch.linalg.lstsq(columns, changes.unsqueeze(-1)).solution.squeeze(-1)  # (rows, 2)

    missing = (columns @ weights.unsqueeze(-1)).squeeze(-1) - changes
    if missing.abs().max() > SAME * changes.abs().max() or not (weights > 0).all():
        return None
    draws = len(observation.student)
    weights = weights.reshape(draws, -1, 2)
    labels = torch.stack([observation.labels, observation.other_labels], -1).reshape(draws, -1, 2)
    return weights[..., 0] if _by_class(weights, labels, classes) else None


def _by_class(weights: Tensor, labels: Tensor, classes: int) -> bool:
    """Whether log w = (a number for the label) + (a number for the draw): (D, rows, 2) each."""
    draws, rows, _ = weights.shape
    logarithms = weights.log().permute(0, 2, 1).reshape(-1, 1)  # each draw has two sets of labels
    of_class = F.one_hot(labels.permute(0, 2, 1).reshape(-1), classes)
    of_draw = torch.eye(2 * draws, dtype=weights.dtype).repeat_interleave(rows, 0)
    table = torch.cat([of_class.to(weights.dtype), of_draw], 1)
    solution = torch.linalg.lstsq(table, logarithms, driver="gelsd").solution
    return bool((table @ solution - logarithms).abs().max() < 1e-4)


def total_weight(observation: Observation) -> float | None:
    """The sum of the rows' weights, if it is one number whatever the labels are: then it is a weighted mean."""
    weights = weights_by_row(observation)
    if weights is None:
        return None
    totals = weights.sum(1)
    return float(totals.mean()) if (totals - totals[0]).abs().max() < 1e-4 * totals[0] else None


def weighted_cross_entropy(observation: Observation) -> Output:
    """The weighted term's value and gradient, with the weights that the labels' change shows; 0 if there are none."""
    weights = weights_by_row(observation)
    draws, classes = len(observation.student), observation.shape[-1]
    if weights is None:
        return Output(torch.zeros(draws, dtype=torch.float64), torch.zeros_like(observation.student))
    student = observation.student.reshape(draws, -1, classes)
    hot = F.one_hot(observation.labels.reshape(draws, -1), classes)
    value = (weights * -(hot * student.log_softmax(-1)).sum(-1)).sum(1)
    gradient = weights.unsqueeze(-1) * (student.softmax(-1) - hot)
    return Output(value, gradient.reshape(observation.student.shape))
