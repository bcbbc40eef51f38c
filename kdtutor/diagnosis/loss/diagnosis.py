"""What formula does this loss compute, and which known mistakes is it?

    print(diagnose(my_loss))

A loss isn't read but called, on small inputs of our choice in float64; what it returns, values and gradients, is
compared with the terms of which losses are made. One pass follows another, each in a module of its own:

    signature      which argument is which
    observation    values and gradients on random logits; how they change with another teacher, with other labels
    symptoms       what can be said at once: NaN, randomness, gradients that are missing
    recognition    which soft and which hard term (`forms`, `terms`) explain these changes
    decomposition  with which of them least of the loss remains
    factors        where each term's factor comes from: reduction, T², alpha; and whether new inputs bear it out
    edges          what happens at alpha 0 and 1, without labels, on sequences, for logits far apart
    mistakes       what is wrong with that (and in `weights`, with alpha and T²), in the words of findings.md
    formula        what it computes
    diagnosis      the report

From observation to edges they are called by `analysis.analyse`, the others here. `check_run` looks at what lies outside
the loss.
"""

import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch

from kdtutor._device import seeded
from kdtutor.diagnosis.findings import Report
from kdtutor.diagnosis.loss.analysis import Analysis, analyse
from kdtutor.diagnosis.loss.catalogue import MISTAKES, NOTES, POLICY, Findings
from kdtutor.diagnosis.loss.decomposition import Decomposition
from kdtutor.diagnosis.loss.edges import Edges
from kdtutor.diagnosis.loss.formula import write_formula
from kdtutor.diagnosis.loss.mistakes import find_mistakes
from kdtutor.diagnosis.loss.signature import Loss, read_signature


@dataclass(frozen=True, repr=False)
class Diagnosis(Report):
    """What `diagnose` says of a loss.

    Attributes:
        mistakes: what is wrong.
        notes: what is right if it is meant so.
        formula: the loss as text, a mean over the batch; empty where it isn't known.
        why: why the formula can't be told, in a few words; empty where it can.
        taken: which argument was taken for what.
        doubt: what of a known formula can't be judged, in a few words; empty where all can.
        to_be_meant: notes that are mistakes where Hinton's loss is meant.
    """

    formula: str
    why: str
    taken: str
    doubt: str = ""
    to_be_meant: tuple[str, ...] = ()

    @property
    def known(self) -> bool:
        """Whether a formula was found that gives the loss's values and gradients on inputs it wasn't made from."""
        return not self.why

    @property
    def verdict(self) -> str:
        """The mistakes by name in a sentence, or that there is none that is known, or "I can't tell"."""
        names = ", ".join(mistake.name for mistake in self.mistakes)
        if self.known:
            if names:
                return f"Mistakes: {names}."
            if self.doubt:
                return f"I can't tell whether its weights are right: {self.doubt}."
            if any(note.name == "mean_by_shape" for note in self.notes):
                return "No known mistake on logits (B, L, C); on (B, C) it is reduction_mean."
            condition = f", if {' and '.join(self.to_be_meant)} is meant" if self.to_be_meant else ""
            return f"No known mistake{condition}."
        unknown = f"I can't tell which formula this is: {self.why}."
        return f"{unknown} Wrong in any case: {names}." if names else unknown

    def lines_above(self, code: str) -> list[str]:
        lines = [self.verdict]
        if self.formula:
            lines.append(f"It computes {code}{self.formula}{code}")
        if self.taken:
            lines.append(f"({self.taken})")
        return lines


def diagnose(
    loss_fn: Callable, *, alpha: str | None = None, meant: Collection[str] = (), strict: bool = False
) -> Diagnosis:
    """Find the formula of a distillation loss, and the known mistakes in it.

    Args:
        loss_fn: a function or module of the student's and the teacher's logits (B, C), and labels (B,), temperature
            and alpha if it takes them. Which argument is which is told by its name, else by its place in this order;
            a temperature or alpha that is fixed inside is found, too. Of several values that it returns the
            first counts, of a dict its loss, total or total_loss. For other interfaces give an adapter,
            `lambda student, teacher, labels, temperature, alpha: …`.
        alpha: "soft" or "hard", the term that alpha is to weigh; None takes either.
        meant: names of findings that are as you mean them ("sum", "t2_missing"): they become notes.
        strict: whether Hinton's loss is meant, so that reverse KL and two temperatures are mistakes and not notes.

    What fits no known formula is "I can't tell". Raises TypeError for what can't be called, and ValueError where
    arguments aren't understood, or the loss fails on logits (6, 5), (6, 10) and (2, 3, 5), in float64 and float32.
    """
    if alpha not in (None, "soft", "hard"):
        raise ValueError(f'alpha must be "soft", "hard" or None, got {alpha!r}')
    if unknown := {*meant} - {*MISTAKES, *NOTES}:
        names = ", ".join((*MISTAKES, *NOTES))
        raise ValueError(f"meant must hold names of findings ({names}), got {sorted(unknown)}")

    with _undisturbed():
        analysis = _analyse_either_way(read_signature(loss_fn))
        if analysis.decomposition.why and analysis.loss.guessed_alpha:
            analysis = _analyse_either_way(analysis.loss.with_alpha_fixed())
    loss = analysis.loss.exchanged if analysis.exchanged else analysis.loss  # as its arguments are named
    analysis = _unless_it_wants_probabilities(analysis, loss)

    findings = Findings(_words(analysis, loss), {*meant} if strict else {*meant, *POLICY})
    find_mistakes(analysis, alpha, findings)
    mistakes, notes = tuple(findings.mistakes.values()), tuple(findings.notes.values())
    to_be_meant = tuple(note.name for note in notes if note.name in POLICY and note.name not in meant)
    doubt = ""
    if analysis.decomposition.row_weights is not None:
        doubt = "its examples count differently, for a reason that isn't known"
    formula, why = write_formula(analysis), analysis.decomposition.why
    return Diagnosis(mistakes, notes, formula, why, loss.described, doubt, to_be_meant)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """The caller's modes and random states set aside; a compiled loss isn't compiled anew for each shape."""
    eager = torch.compiler.set_stance("force_eager")
    no_anomalies = torch.autograd.set_detect_anomaly(False)
    with eager, no_anomalies, torch.inference_mode(False), torch.enable_grad(), seeded(0):
        yield


def _analyse_either_way(loss: Loss) -> Analysis:
    """The analysis of the loss; or, where only that makes sense, with student and teacher exchanged.

    That some formula fits the exchanged loss isn't enough: the teacher must be trained where the student should be.
    Where student and teacher were told by their places alone, exchanging them is but another guess.
    """
    analysis = analyse(loss)
    unknown = analysis.decomposition.why and not analysis.symptoms.nan
    guess_again = unknown and loss.told_by_place
    if not (analysis.swapped or guess_again or (unknown and analysis.trains_teacher_instead)):
        return analysis

    other = analyse(loss.exchanged)
    soft = other.decomposition.soft
    if other.decomposition.why or other.symptoms.soft_without_student or not soft or soft.form.reverse:
        return analysis
    return replace(other, exchanged=not loss.told_by_place)


def _unless_it_wants_probabilities(analysis: Analysis, loss: Loss) -> Analysis:
    """The analysis; or, where an argument's name asks for probabilities and the loss was given logits, that it can't
    be told: it was asked the wrong way."""
    soft = analysis.decomposition.soft
    if not soft:
        return analysis
    for role, side in (("student", soft.form.input), ("teacher", soft.form.target)):
        name = loss.names[role]
        if side == "logits" and re.search("prob|soft|log_?p", name):
            why = (
                f"{name} seems to want probabilities, or their logarithms, and was given logits; ask about "
                "lambda student, teacher, …: loss(…) with (teacher / T).softmax(-1) instead"
            )
            symptoms = replace(analysis.symptoms, nan=False)
            return replace(analysis, symptoms=symptoms, decomposition=Decomposition(why=why), edges=Edges())
    return analysis


def _words(analysis: Analysis, loss: Loss) -> dict[str, str]:
    """The loss's own names for its arguments, and its own numbers where temperature and alpha are fixed inside."""
    words = {}
    for symbol, role in (("s", "student"), ("t", "teacher"), ("y", "labels"), ("T", "temperature"), ("alpha", "alpha")):
        words[symbol] = loss.names.get(role, symbol)

    soft, hard = analysis.decomposition.soft, analysis.decomposition.hard
    if soft and not loss.takes("temperature"):
        words["T"] = f"{max(soft.temperatures):.4g}"
    if hard and not loss.takes("alpha") and 0 < hard.intercept < 1:
        words["alpha"] = f"{1 - hard.intercept:.4g}"
    return words
