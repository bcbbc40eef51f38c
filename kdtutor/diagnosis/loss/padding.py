"""What a loss does with positions whose label is -100, which F.cross_entropy leaves out."""

from unittest.mock import patch

import torch
import torch.nn.functional as F

from kdtutor.diagnosis.loss.decomposition import Decomposition
from kdtutor.diagnosis.loss.observation import SEQUENCES, Observation, Output, observe, outputs, recorded_calls
from kdtutor.diagnosis.loss.signature import Loss

IGNORED = -100


def look_at_padding(loss: Loss, first: Observation, decomposition: Decomposition, flattens: bool) -> tuple[bool, bool]:
    """Whether the soft term runs over positions that the hard term leaves out, of a loss of sequences; and whether a
    soft term that labels mask is NaN where none is left. flattens: whether the loss flattens (B, L, C)."""
    if not loss.takes("labels") or not decomposition.soft:
        return False, False
    of_sequences = (flattens or len(first.shape) > 2) and not loss.dense  # pixels without a label may be distilled
    try:
        observation = observe(loss, SEQUENCES[0]) if of_sequences else first
        labels = observation.labels.clone()
        labels[:, 0] = IGNORED
        some, _ = _with_labels(loss, observation, labels)
        none_left, _ = _with_labels(loss, observation, torch.full_like(labels, IGNORED))
    except Exception:  # many losses take no such label
        return False, False

    at_ignored = some.gradient[:, 0]
    if decomposition.hard:
        return bool(of_sequences and at_ignored.isfinite().all() and at_ignored.any()), False
    masks = not at_ignored.any() and bool(some.gradient.any())
    return False, masks and not none_left.value.isfinite().all()


def expects_padding(loss: Loss, observation: Observation) -> bool:
    """Whether the loss says itself that labels hold what is to be ignored: by `ignore_index`, or a mask of its own."""
    keywords: list[set[str]] = []
    cross_entropy = F.cross_entropy

    def recording(*arguments, **named):  # a CallRecorder gets all keywords, with their defaults
        keywords.append({*named})
        return cross_entropy(*arguments, **named)

    with patch.object(F, "cross_entropy", recording):
        calls = recorded_calls(loss, observation, cross_entropy, recording)
    by_module = {"weight", "ignore_index", "reduction", "label_smoothing"}  # nn.CrossEntropyLoss gives all of them
    return not calls or any("ignore_index" in names and not by_module <= names for names in keywords)


def _with_labels(loss: Loss, observation: Observation, labels: torch.Tensor) -> tuple[Output, torch.Tensor]:
    return outputs(loss, observation.student, observation.teacher, labels, observation.temperature, observation.alpha)
