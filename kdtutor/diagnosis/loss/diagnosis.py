"""What formula does this loss compute, and which known mistakes is it?

    print(diagnose(my_loss))

A loss is asked, not read: it is called on small inputs of our choice in float64, and what it returns, values and
gradients, is compared with the terms of which losses are made. `check_run` looks at what lies outside of the loss.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import torch

from kdtutor._device import seeded
from kdtutor.diagnosis.findings import Report
from kdtutor.diagnosis.loss.catalogue import MISTAKES, finding
from kdtutor.diagnosis.loss.dissection import dissect
from kdtutor.diagnosis.loss.naming import names
from kdtutor.diagnosis.loss.notation import written
from kdtutor.diagnosis.loss.notes import NOTES
from kdtutor.diagnosis.loss.parts import Dissection
from kdtutor.diagnosis.loss.probe import Probe, probe


@dataclass(frozen=True, repr=False)
class Diagnosis(Report):
    """What `diagnose` says of a loss.

    Attributes:
        mistakes: what is wrong.
        notes: what is right if it is meant so.
        formula: the loss as text, a mean over the batch; empty where it isn't known.
        why: why the formula can't be told, in a few words; empty where it can.
        taken: which argument was taken for what.
    """

    formula: str
    why: str
    taken: str

    @property
    def known(self) -> bool:
        """Whether a formula was found that gives the loss's values and gradients on inputs it wasn't made from."""
        return not self.why

    @property
    def verdict(self) -> str:
        """The mistakes by name in a sentence, or that there is none that is known, or "I can't tell"."""
        names = ", ".join(mistake.name for mistake in self.mistakes)
        if self.known:
            return f"Mistakes: {names}." if names else "No known mistake."
        unknown = f"I can't tell which formula this is: {self.why}."
        return f"{unknown} Wrong in any case: {names}." if names else unknown

    def lines_above(self, code: str) -> list[str]:
        lines = [self.verdict]
        if self.formula:
            lines.append(f"It computes {code}{self.formula}{code}")
        if self.taken:
            lines.append(f"({self.taken})")
        return lines


def diagnose(loss_fn: Callable, *, alpha: str | None = None, meant: Collection[str] = ()) -> Diagnosis:
    """Find the formula of a distillation loss, and the known mistakes in it.

    Args:
        loss_fn: a function or module of the student's and the teacher's logits (B, C), and labels (B,), temperature
            and alpha if it takes them. Which argument is which is told by its name, else by its place in this order;
            a temperature or alpha that is fixed inside is found, too. Of several values that it returns the
            first counts, of a dict its loss, total or total_loss. For other interfaces give an adapter,
            `lambda student, teacher, labels, temperature, alpha: …`.
        alpha: "soft" or "hard", the term that alpha is to weigh; None takes either.
        meant: names of findings that are as you mean them ("reverse_kl", "sum"): they become notes.

    What fits no known formula is "I can't tell". Raises TypeError for what can't be called, and ValueError where
    arguments aren't understood, or the loss fails on logits (6, 5), (6, 10) and (2, 3, 5), in float64 and float32.
    """
    if alpha not in (None, "soft", "hard"):
        raise ValueError(f'alpha must be "soft", "hard" or None, got {alpha!r}')
    if unknown := {*meant} - {*MISTAKES, *NOTES}:
        every = ", ".join((*MISTAKES, *NOTES))
        raise ValueError(f"meant must hold names of findings ({every}), got {sorted(unknown)}")
    asked = probe(loss_fn)
    eager = torch.compiler.set_stance("force_eager")  # a compiled loss would be compiled anew for each shape
    calm = torch.autograd.set_detect_anomaly(False)
    with eager, calm, torch.inference_mode(False), torch.enable_grad(), seeded(0):
        found, swapped = dissect(asked), False
        if found.why and "nan" not in found.flags:
            other = dissect(asked.exchanged)
            if not other.why and not (other.soft and other.soft.form.reverse):
                found, swapped = other, not asked.guessed
                asked = asked.exchanged if asked.guessed else asked
    _look_for_probabilities(found, asked)
    words = _words(found, asked)
    mistakes, notes = {}, {}
    if swapped:
        mistakes["student_teacher_swapped"] = finding("student_teacher_swapped", **words)
    for name, more in names(found, asked, alpha):
        if swapped and name in ("teacher_gradient", "no_gradient"):
            continue  # said of the other one
        sure = more.pop("sure", name not in NOTES)
        (mistakes if sure and name not in meant else notes).setdefault(name, finding(name, **words, **more))
    _, formula = written(found, swapped)
    return Diagnosis((*mistakes.values(),), (*notes.values(),), formula, found.why, asked.described)


def _look_for_probabilities(found: Dissection, asked: Probe) -> None:
    """An argument that asks for probabilities by its name, and uses what it gets as such, was asked the wrong way."""
    soft = found.soft
    for role, side in (("student", soft and soft.form.a), ("teacher", soft and soft.form.q)):
        name = asked.names[role]
        if side == "raw" and re.search("prob|soft|log_?p", name):
            found.why = (
                f"{name} seems to want probabilities, or their logarithms, and was given logits; ask about "
                "lambda student, teacher, …: loss(…) with (teacher / T).softmax(-1) in its place"
            )
            found.soft = found.hard = None
            found.flags -= {"nan", "clamped", "underflow"}  # of such a question only


def _words(found: Dissection, asked: Probe) -> dict[str, Any]:
    """The loss's own names for its arguments, and its own temperature where that is fixed inside."""
    words, soft, hard = {short: asked.names.get(role, short) for short, role in _SHORT.items()}, found.soft, found.hard
    if soft and not isinstance(soft.ts, str):
        words["T"] = f"{max(soft.ts, soft.tt):.4g}"
    if "alpha" not in asked.names and hard and 0 < hard.at < 1:
        words["alpha"] = f"{1 - hard.at:.4g}"
    return words


_SHORT = {"s": "student", "t": "teacher", "y": "labels", "T": "temperature", "alpha": "alpha"}
