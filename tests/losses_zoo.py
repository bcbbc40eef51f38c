"""Distillation losses as people write them, each with the mistakes that it shows: `CASES`, and `mutant`, which builds
one with the mistakes that are asked for.

Losses that are published are written from memory, as short as they can be said, and named after where they are from.
"""

# ruff: noqa: N803, N806 (T is the temperature, as in the papers)

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import kdtutor as kd


@dataclass(frozen=True)
class Case:
    """A loss, the mistakes in it (all of them), notes that must be there, and what its alpha is said to weigh."""

    loss: Callable
    mistakes: set[str]
    notes: set[str]
    alpha: str | None


CASES: dict[str, Case] = {}


def shows(*mistakes: str, notes: tuple[str, ...] = (), alpha: str | None = None) -> Callable:
    """Put a loss (or a class of modules) into CASES. Without a mistake it is right."""

    def put(loss: Callable) -> Callable:
        assert loss.__name__ not in CASES
        CASES[loss.__name__] = Case(loss, {*mistakes}, {*notes}, alpha)
        return loss

    return put


def kl(s: Tensor, t: Tensor, T: float, reduction: str = "batchmean") -> Tensor:
    return F.kl_div(F.log_softmax(s / T, -1), F.softmax(t / T, -1), reduction=reduction)


def mutant(*mistakes: str) -> Callable:
    """Hinton's loss of (s, t, y, T, alpha) with these mistakes, each done where a person would do it."""

    def loss(s, t, y, T, alpha):
        left = {*mistakes}

        def has(name):
            left.discard(name)
            return name in mistakes

        t = t if has("teacher_gradient") else t.detach()
        if has("student_teacher_swapped"):
            s, t = t, s
        ts, tt = (1 if has("temperature_teacher_only") else T), (1 if has("temperature_student_only") else T)
        if has("temperature_multiplied"):
            ts, tt = 1 / ts, 1 / tt
        if has("temperature_twice"):
            ts, tt = ts * T, tt * T
        if has("temperature_unused"):
            ts = tt = 1
        if has("temperature_differs"):
            tt = tt / 2
        dim = 0 if has("softmax_over_batch") else -1
        a, q = F.log_softmax(s / ts, dim), F.log_softmax(t / tt, dim)
        if has("soft_softmax_twice"):
            a, q = F.log_softmax(a.exp(), -1), F.log_softmax(q.exp(), -1)
        if has("underflow"):
            a = F.softmax(s / ts, dim).log()
        if has("student_probabilities"):
            a = a.exp()
        if has("student_logits_raw"):
            a = s / ts
        if has("detached"):
            a = a.detach()
        log_target = has("log_target_with_probabilities")
        if has("teacher_log_probabilities"):
            pass
        elif has("teacher_logits_raw"):
            q = t / tt
        elif has("reverse_kl"):  # written so that nothing underflows
            a, q, log_target = q, a, True
        elif has("kl_arguments_swapped"):
            a, q = q.exp(), a
        else:
            q = q.exp()
        if has("teacher_unused"):
            a, q = F.log_softmax(t / tt, dim), F.softmax(t / tt, dim)
        reduction = "mean" if has("reduction_mean") else "sum" if has("sum_with_mean") else "batchmean"
        soft = F.kl_div(a, q, reduction=reduction, log_target=log_target)
        if has("batch_twice"):
            soft = soft / len(s)
        if has("sign"):
            soft = -soft
        z = s / T if has("temperature_on_hard") else s
        if has("softmax_twice"):
            z = F.softmax(z, -1)
        hard = F.cross_entropy(t if has("hard_on_teacher") else z, y)
        if has("nll_of_probabilities"):
            hard = F.nll_loss(F.softmax(z, -1), y)
        if has("argmax"):
            hard = (s.argmax(-1) != y).double().mean()
        if has("t2_in_one_branch") and alpha == (0 if "alpha_swapped" in mistakes else 1):
            return soft
        factor = 1 if has("t2_missing") else T if has("t_for_t2") else T**3 if has("t_power") else T**2
        if has("t2_on_hard"):
            hard = T**2 * hard
        weights = (1 - alpha, alpha) if has("alpha_swapped") else (alpha, 1 - alpha)
        if has("alpha_on_both"):
            weights = alpha, alpha
        assert not left, left  # each is known here
        return weights[0] * factor * soft + weights[1] * hard

    return loss


def styles(loss: Callable, T: float = 3.0, alpha: float = 0.8) -> dict[str, Callable]:
    """A loss of (s, t, y, T, alpha) with its arguments named, ordered, preset and fixed as people do it."""

    def arguments(student_logits, teacher_logits, labels, temperature, alpha):
        return loss(student_logits, teacher_logits, labels, temperature, alpha)

    def defaults(logits, teacher_logits, targets, tau=T, lambd=alpha):
        return loss(logits, teacher_logits, targets, tau, lambd)

    def order(z_t, z_s, y, *, alpha, T):
        return loss(z_s, z_t, y, T, alpha)

    def alpha_inside(outputs, targets, teacher_outputs, T):
        return loss(outputs, teacher_outputs, targets, T, alpha)

    def temperature_inside(s_logits, t_logits, gt, weight=0.5):
        return loss(s_logits, t_logits, gt, T, weight)

    class Inside(nn.Module):
        def __init__(self):
            super().__init__()
            self.T, self.alpha = T, alpha

        def forward(self, y_pred, y_teacher, y_true):
            return loss(y_pred, y_teacher, y_true, self.T, self.alpha)

    return {
        "arguments": arguments, "defaults": defaults, "order": order, "alpha inside": alpha_inside,
        "temperature inside": temperature_inside, "both inside": Inside(),
    }  # fmt: skip


# Mistakes, in the words of those who made them.


@shows("kl_arguments_swapped")
def kl_with_target_first(student_logits, teacher_logits, labels, T=2.0, alpha=0.5):
    soft = F.kl_div(F.softmax(teacher_logits / T, 1), F.log_softmax(student_logits / T, 1), reduction="batchmean")
    return alpha * T**2 * soft + (1 - alpha) * F.cross_entropy(student_logits, labels)


@shows("kl_arguments_swapped")
class KLWithTargetFirst(nn.Module):
    def __init__(self):
        super().__init__()
        self.kl, self.ce = nn.KLDivLoss(reduction="batchmean"), nn.CrossEntropyLoss()

    def forward(self, student, teacher, labels):
        soft = self.kl(F.softmax(teacher / 4, -1), F.softmax(student / 4, -1))
        return 0.7 * 16 * soft + 0.3 * self.ce(student, labels)


@shows("kl_arguments_swapped")
def kl_of_bare_logits_with_target_first(s, t):
    return F.kl_div(t, s, reduction="batchmean")


@shows("reverse_kl", "underflow")  # F.kl_div's gradient in a target of 0 is NaN
def kl_with_logs_of_the_teacher_first(s, t, y, T, alpha):
    soft = F.kl_div(F.log_softmax(t / T, -1), F.softmax(s / T, -1), reduction="batchmean")
    return alpha * T**2 * soft + (1 - alpha) * F.cross_entropy(s, y)


@shows("reverse_kl")
def reverse_with_log_target(s, t, y):
    a, q = F.log_softmax(t / 5, -1), F.log_softmax(s / 5, -1)
    return 0.6 * 25 * F.kl_div(a, q, reduction="batchmean", log_target=True) + 0.4 * F.cross_entropy(s, y)


@shows("reverse_cross_entropy")
def reverse_without_entropy(s, t):
    return -(F.softmax(s, 1) * F.log_softmax(t, 1)).sum(1).mean()


@shows("reverse_kl")
def reverse_by_hand(s, t, T):
    p, log_p = F.softmax(s / T, 1), F.log_softmax(s / T, 1)
    return (p * (log_p - F.log_softmax(t / T, 1))).sum(1).mean() * T**2


@shows("reverse_kl")
class Reverse(nn.Module):
    kl = nn.KLDivLoss(reduction="batchmean", log_target=True)

    def forward(self, logits, teacher_logits, temperature=1.0):
        return temperature**2 * self.kl(
            (teacher_logits / temperature).log_softmax(-1), (logits / temperature).log_softmax(-1)
        )


@shows("student_teacher_swapped")
def arguments_in_the_wrong_order(student_logits, teacher_logits, labels, temperature, alpha):
    return kd.distillation_loss(teacher_logits, student_logits, labels, temperature=temperature, alpha=alpha)


@shows("student_teacher_swapped")
def wrong_one_detached(s, t, y, T):
    return T**2 * kl(t, s.detach(), T)


@shows("student_teacher_swapped")
def wrong_one_detached_beside_labels(s, t, y):
    return 0.5 * kl(t, s.detach(), 1.0) + 0.5 * F.cross_entropy(s, y)


@shows("student_probabilities")
class ProbabilitiesForStudent(nn.Module):
    def __init__(self, T=4.0):
        super().__init__()
        self.T, self.criterion = T, nn.KLDivLoss(reduction="batchmean")

    def forward(self, y_s, y_t):
        return self.T**2 * self.criterion(F.softmax(y_s / self.T, dim=1), F.softmax(y_t / self.T, dim=1))


@shows("student_probabilities")
def probabilities_for_student(outputs, labels, teacher_outputs, alpha, temperature):
    soft = nn.KLDivLoss(reduction="batchmean")(
        F.softmax(outputs / temperature, dim=1), F.softmax(teacher_outputs / temperature, dim=1)
    )
    return soft * (alpha * temperature * temperature) + F.cross_entropy(outputs, labels) * (1.0 - alpha)


@shows("student_probabilities", "underflow")
def probabilities_for_student_by_hand(s, t, T):
    p, q = (s / T).softmax(-1), (t / T).softmax(-1)
    return T * T * (q * (q.log() - p)).sum() / len(s)


@shows("student_logits_raw")
def logits_for_student(s, t, y):
    return 0.5 * 4 * F.kl_div(s / 2, F.softmax(t / 2, -1), reduction="batchmean") + 0.5 * F.cross_entropy(s, y)


@shows("teacher_log_probabilities")
def logs_for_teacher(s, t, y, T, alpha):
    soft = F.kl_div(F.log_softmax(s / T, -1), F.log_softmax(t / T, -1), reduction="batchmean")
    return alpha * T**2 * soft + (1 - alpha) * F.cross_entropy(s, y)


@shows("teacher_log_probabilities")
class LogsForTeacher(nn.Module):
    kl = nn.KLDivLoss(reduction="batchmean")

    def forward(self, student, teacher):
        return 9 * self.kl(F.log_softmax(student / 3, 1), F.log_softmax(teacher / 3, 1))


@shows("teacher_log_probabilities")
def logs_for_teacher_in_cross_entropy(s, t, T):
    return -T * T * (F.log_softmax(t / T, -1) * F.log_softmax(s / T, -1)).sum(-1).mean()


@shows("teacher_logits_raw")
def logits_for_teacher(student, teacher, labels, temperature, alpha):
    soft = F.kl_div(F.log_softmax(student / temperature, -1), teacher / temperature, reduction="batchmean")
    return alpha * temperature**2 * soft + (1 - alpha) * F.cross_entropy(student, labels)


@shows("teacher_logits_raw")
def cross_entropy_with_logits_as_target(s, t):
    return F.cross_entropy(s, t)


@shows("log_target_with_probabilities")
def log_target_by_mistake(s, t, T, alpha, y):
    soft = F.kl_div(F.log_softmax(s / T, -1), F.softmax(t / T, -1), reduction="batchmean", log_target=True)
    return alpha * T**2 * soft + (1 - alpha) * F.cross_entropy(s, y)


@shows("softmax_twice")
class SoftmaxBeforeCrossEntropy(nn.Module):
    def __init__(self):
        super().__init__()
        self.softmax, self.ce = nn.Softmax(dim=1), nn.CrossEntropyLoss()

    def forward(self, student, teacher, labels, T, alpha):
        return alpha * T**2 * kl(student, teacher, T) + (1 - alpha) * self.ce(self.softmax(student), labels)


@shows("softmax_twice")
def softmax_before_cross_entropy_alone(s, t, y):
    return F.cross_entropy(s.softmax(1), y)


@shows("softmax_twice")
def softmax_twice_in_the_soft_term(s, t, T):
    s, t = F.softmax(s / T, -1), F.softmax(t / T, -1)
    return T**2 * F.kl_div(F.log_softmax(s, -1), F.softmax(t, -1), reduction="batchmean")


@shows("softmax_twice")
def soft_cross_entropy_of_probabilities(s, t, y, alpha):
    soft = F.cross_entropy(F.softmax(s / 2, -1), F.softmax(t / 2, -1))
    return alpha * 4 * soft + (1 - alpha) * F.cross_entropy(s, y)


@shows("softmax_twice")
def teacher_already_softened(s, t, y, T, alpha):
    return alpha * T**2 * F.kl_div(
        F.log_softmax(s / T, -1), F.softmax(F.softmax(t / T, -1), -1), reduction="batchmean"
    ) + (1 - alpha) * F.cross_entropy(s, y)


@shows("softmax_over_batch")
def softmax_along_dim_0(s, t, y, T, alpha):
    soft = F.kl_div(F.log_softmax(s / T, dim=0), F.softmax(t / T, dim=0), reduction="batchmean")
    return alpha * T**2 * soft + (1 - alpha) * F.cross_entropy(s, y)


@shows("softmax_over_batch")
def teachers_softmax_along_dim_0(s, t):
    return F.kl_div(F.log_softmax(s, dim=1), F.softmax(t, dim=0), reduction="batchmean")


@shows("reduction_mean")
class DefaultKLDivLoss(nn.Module):
    def __init__(self, T=4, alpha=0.9):
        super().__init__()
        self.T, self.alpha, self.kl, self.ce = T, alpha, nn.KLDivLoss(), nn.CrossEntropyLoss()

    def forward(self, student, teacher, labels):
        soft = self.kl(F.log_softmax(student / self.T, 1), F.softmax(teacher / self.T, 1))
        return self.alpha * self.T**2 * soft + (1 - self.alpha) * self.ce(student, labels)


@shows("reduction_mean")
def mean_by_default(s, t, T, alpha, y):
    soft = F.kl_div(F.log_softmax(s / T, -1), F.softmax(t / T, -1))
    return T**2 * alpha * soft + (1 - alpha) * F.cross_entropy(s, y)


@shows("reduction_mean")
def mean_by_hand(s, t, y, T):
    soft = -(F.softmax(t / T, -1) * F.log_softmax(s / T, -1)).mean()
    return 0.5 * T**2 * soft + 0.5 * F.cross_entropy(s, y)


@shows("reduction_mean")
def mean_of_the_soft_term_alone(s, t, T=2.0):
    return T**2 * kl(s, t, T, "mean")


@shows("batchmean_on_sequences")
def batchmean_on_sequences(s, t, y, T, alpha):
    return alpha * T**2 * kl(s, t, T) + (1 - alpha) * F.cross_entropy(s.flatten(0, -2), y.flatten())


@shows("batchmean_on_sequences")
def batchmean_on_sequences_only(s, t, y):
    batch, length, classes = s.shape
    soft = kl(s, t, 2.0)
    return 0.5 * 4 * soft + 0.5 * F.cross_entropy(s.view(batch * length, classes), y.view(-1))


@shows(notes=["batchmean_on_sequences"])
def labels_that_are_missing(s, t, y, T, alpha):
    """Right on (B, C), and not known to be meant for more."""
    known = y >= 0
    return alpha * T**2 * kl(s, t, T) + (1 - alpha) * F.cross_entropy(s[known], y[known])


@shows("other_on_sequences")
def softmax_over_positions(s, t, y, T, alpha):
    """Right on (B, C), where dim 1 has the classes."""
    soft = F.kl_div(F.log_softmax(s / T, dim=1), F.softmax(t / T, dim=1), reduction="batchmean")
    return alpha * T**2 * soft + (1 - alpha) * F.cross_entropy(s.flatten(0, -2), y.flatten())


@shows(notes=["divided"])
def all_divided_by_t2(s, t, y, T, alpha):
    return alpha * kl(s, t, T) + (1 - alpha) * F.cross_entropy(s, y) / T**2


@shows("branch")
def another_term_at_t1(s, t, y, T, alpha):
    return alpha * (T**2 * kl(s, t, T) if T != 1 else F.mse_loss(s, t)) + (1 - alpha) * F.cross_entropy(s, y)


@shows("branch")
def t2_up_to_16(s, t, y, T, alpha):
    return alpha * min(T**2, 16) * kl(s, t, T) + (1 - alpha) * F.cross_entropy(s, y)


@shows(notes=["student_term"])
def a_reward_for_being_sure(s, t, y, T, alpha):
    log_p = s.log_softmax(-1)
    return alpha * T**2 * kl(s, t, T) + (1 - alpha) * F.cross_entropy(s, y) - 0.1 * (log_p.exp() * log_p).sum(-1).mean()


@shows("sum_with_mean")
def sum_beside_mean(s, t, y, T, alpha):
    return alpha * T**2 * kl(s, t, T, "sum") + (1 - alpha) * F.cross_entropy(s, y)


@shows("sum_with_mean")
def mean_beside_sum(s, t, y):
    return 0.3 * 49 * kl(s, t, 7) + 0.7 * F.cross_entropy(s, y, reduction="sum")


@shows("batch_twice")
def batch_twice(s, t, y, T, alpha):
    return alpha * T**2 * kl(s, t, T) / len(s) + (1 - alpha) * F.cross_entropy(s, y)


@shows("t2_missing")
def without_t2(s, t, y, T, alpha):
    return alpha * kl(s, t, T) + (1 - alpha) * F.cross_entropy(s, y)


@shows("t2_missing")
class WithoutT2(nn.Module):
    def __init__(self, temperature=4.0, alpha=0.5):
        super().__init__()
        self.temperature, self.alpha = temperature, alpha
        self.kl, self.ce = nn.KLDivLoss(reduction="batchmean"), nn.CrossEntropyLoss()

    def forward(self, student_logits, teacher_logits, labels):
        soft = self.kl(
            F.log_softmax(student_logits / self.temperature, -1), F.softmax(teacher_logits / self.temperature, -1)
        )
        return self.alpha * soft + (1 - self.alpha) * self.ce(student_logits, labels)


@shows("t2_missing")
def without_t2_and_weights(s, t, y):
    return F.cross_entropy(s / 4, F.softmax(t / 4, -1)) + F.cross_entropy(s, y)


@shows("t_for_t2")
def t_for_t2(s, t, y, T, alpha):
    return alpha * T * kl(s, t, T) + (1 - alpha) * F.cross_entropy(s, y)


@shows("t_power")
def divided_by_t2(s, t, y, T, alpha):
    return alpha * kl(s, t, T) / T**2 + (1 - alpha) * F.cross_entropy(s, y)


@shows("t2_on_hard")
def t2_around_both(s, t, y, T, alpha):
    return T**2 * (alpha * kl(s, t, T) + (1 - alpha) * F.cross_entropy(s, y))


@shows("t2_in_one_branch")
def t2_but_for_alpha_1(s, t, y, T, alpha):
    if alpha == 1:
        return kl(s, t, T)
    return alpha * T**2 * kl(s, t, T) + (1 - alpha) * F.cross_entropy(s, y)


@shows("t2_in_one_branch")
def t2_but_without_labels(student, teacher, labels=None, T=4.0, alpha=0.5):
    soft = kl(student, teacher, T)
    return soft if labels is None else alpha * T**2 * soft + (1 - alpha) * F.cross_entropy(student, labels)


@shows("branch")
def another_factor_at_alpha_1(s, t, y, T, alpha):
    if alpha == 1:
        return 3 * T**2 * kl(s, t, T)
    return alpha * T**2 * kl(s, t, T) + (1 - alpha) * F.cross_entropy(s, y)


@shows("temperature_teacher_only")
def teacher_only(s, t, y, T, alpha):
    soft = F.kl_div(F.log_softmax(s, -1), F.softmax(t / T, -1), reduction="batchmean")
    return alpha * T**2 * soft + (1 - alpha) * F.cross_entropy(s, y)


@shows("temperature_teacher_only")
def teacher_only_inside(s, t, y):
    return 0.5 * F.cross_entropy(s, F.softmax(t / 4, -1)) + 0.5 * F.cross_entropy(s, y)


@shows("temperature_student_only")
class StudentOnly(nn.Module):
    kl, ce = nn.KLDivLoss(reduction="batchmean"), nn.CrossEntropyLoss()

    def forward(self, student, teacher, labels, T):
        return 0.5 * T * T * self.kl(F.log_softmax(student / T, 1), F.softmax(teacher, 1)) + 0.5 * self.ce(
            student, labels
        )


@shows("temperature_student_only")
def student_only_soft_alone(s, t):
    return 9 * F.kl_div(F.log_softmax(s / 3, -1), F.softmax(t, -1), reduction="batchmean")


@shows("temperature_differs")
def two_temperatures(s, t, y):
    soft = F.kl_div(F.log_softmax(s / 2, -1), F.softmax(t / 5, -1), reduction="batchmean")
    return 0.5 * 4 * soft + 0.5 * F.cross_entropy(s, y)


@shows("temperature_multiplied")
def temperature_multiplied(s, t, y, T, alpha):
    return alpha * T**2 * kl(s, t, 1 / T) + (1 - alpha) * F.cross_entropy(s, y)


@shows("temperature_twice")
def temperature_twice(s, t, y, T, alpha):
    s_T, t_T = s / T, t / T
    return alpha * T**2 * kl(s_T, t_T, T) + (1 - alpha) * F.cross_entropy(s, y)


@shows("temperature_unused")
def temperature_unused(s, t, y, T=4.0, alpha=0.5):
    return alpha * kl(s, t, 1) + (1 - alpha) * F.cross_entropy(s, y)


@shows("temperature_on_hard")
def everything_by_t(s, t, y, T, alpha):
    s, t = s / T, t / T
    return alpha * T**2 * kl(s, t, 1) + (1 - alpha) * F.cross_entropy(s, y)


@shows("temperature_on_hard")
class EverythingByT(nn.Module):
    def forward(self, student, teacher, labels):
        student, teacher = student / 6, teacher / 6
        return 0.8 * 36 * kl(student, teacher, 1) + 0.2 * F.cross_entropy(student, labels)


@shows("nll_of_probabilities")
def nll_of_probabilities(s, t, y, T, alpha):
    return alpha * T**2 * kl(s, t, T) + (1 - alpha) * F.nll_loss(F.softmax(s, 1), y)


@shows("hard_on_teacher")
def hard_on_teacher(s, t, y, T, alpha):
    return alpha * T**2 * kl(s, t, T) + (1 - alpha) * F.cross_entropy(t, y)


@shows("argmax")
def predicted_classes_by_hand(s, t, y, T, alpha):
    return alpha * T**2 * kl(s, t, T) + (1 - alpha) * (s.argmax(1) != y).float().mean()


@shows("argmax")
def predicted_classes_as_numbers(s, t, y):
    return 0.5 * 4 * kl(s, t, 2) + 0.5 * F.mse_loss(s.argmax(1).double(), y.double())


@shows("alpha_swapped", alpha="soft")
def alpha_of_the_hard_term(s, t, y, T, alpha):
    return (1 - alpha) * T**2 * kl(s, t, T) + alpha * F.cross_entropy(s, y)


@shows("alpha_swapped", alpha="hard")
def alpha_of_the_soft_term(s, t, y, alpha):
    return alpha * 9 * kl(s, t, 3) + (1 - alpha) * F.cross_entropy(s, y)


@shows("alpha_swapped")
def soft_weight_of_the_hard_term(s, t, y, T, soft_weight):
    return (1 - soft_weight) * T**2 * kl(s, t, T) + soft_weight * F.cross_entropy(s, y)


@shows("alpha_on_both")
def alpha_on_both(s, t, y, T, alpha):
    return alpha * T**2 * kl(s, t, T) + alpha * F.cross_entropy(s, y)


@shows("teacher_with_itself")
def teacher_with_itself(s, t, y, T, alpha):
    soft = F.kl_div(F.log_softmax(t / T, -1), F.softmax(t / T, -1).detach() + 0, reduction="batchmean")
    entropy = -(F.softmax(t / T, -1) * F.log_softmax(t / T, -1)).sum(-1).mean()
    return alpha * T**2 * (soft + entropy) + (1 - alpha) * F.cross_entropy(s, y)


@shows("teacher_unused")
def teacher_with_itself_by_kl(s, t, y, T, alpha):
    return alpha * T**2 * kl(t, t, T) + (1 - alpha) * F.cross_entropy(s, y)


@shows("teacher_unused", "underflow")  # F.kl_div's gradient in a target of 0 is NaN
def student_with_itself(s, t, y):
    return 0.9 * 16 * kl(s, s, 4) + 0.1 * F.cross_entropy(s, y)


@shows("no_gradient")
def student_detached(s, t, y, T, alpha):
    return mutant()(s.detach(), t, y, T, alpha)


@shows("no_gradient")
@torch.no_grad()
def under_no_grad(s, t, y):
    return mutant()(s, t, y, 4.0, 0.5)


@shows("no_gradient")
def as_a_number(s, t, y, T):
    return mutant()(s, t, y, T, 0.5).item()


# These train the teacher alone, and nothing says that the two are swapped: a distance is the same from either side.


@shows("no_gradient", notes=("other_term", "teacher_gradient"))
def only_the_teacher_learns_by_mse(student, teacher, labels):
    return F.mse_loss(student.detach(), teacher)


@shows("no_gradient", notes=("other_term", "teacher_gradient"))
def only_the_teacher_learns_by_l1(a, b):
    return F.l1_loss(a.detach(), b)


@shows("no_gradient", notes=("other_term", "teacher_gradient"))
def only_the_teacher_learns_by_kl_both_ways(student, teacher, T):
    return T**2 * kl_both_ways(student.detach(), teacher, T)


@shows("no_gradient", notes=("other_term", "teacher_gradient"))
def only_the_teacher_learns_by_jsd(student, teacher):
    return jsd(student.detach(), teacher, 0.5)


@shows("no_gradient", notes=("other_term", "teacher_gradient"))
def only_the_teacher_learns_by_cosine(student, teacher):
    return (1 - F.cosine_similarity(teacher, student.detach())).mean()


@shows("no_gradient", notes=("teacher_gradient",))
def only_the_teacher_learns_by_kl(student, teacher):
    return kl(student.detach(), teacher, 1.0)


@shows("detached")
def soft_under_no_grad(s, t, y, T, alpha):
    with torch.no_grad():
        soft = kl(s, t, T)
    return alpha * T**2 * soft + (1 - alpha) * F.cross_entropy(s, y)


@shows("detached")
def hard_term_detached(s, t, y, T, alpha):
    return alpha * T**2 * kl(s, t, T) + (1 - alpha) * F.cross_entropy(s.detach(), y)


@shows("sign")
def cross_entropy_without_its_minus(s, t, y, T, alpha):
    soft = (F.softmax(t / T, -1) * F.log_softmax(s / T, -1)).sum(-1).mean()
    return alpha * T**2 * soft + (1 - alpha) * F.cross_entropy(s, y)


@shows("sign")
def log_likelihood_without_its_minus(s, t, y):
    return 0.5 * 16 * kl(s, t, 4.0) + 0.5 * F.log_softmax(s, -1).gather(1, y[:, None]).mean()


@shows("sign")
def negative_kl(s, t, T):
    return -(T**2) * kl(s, t, T)


@shows("in_place")
def divided_in_place(s, t, y, T, alpha):
    hard = F.cross_entropy(s.clone(), y)
    t /= T
    return alpha * T**2 * kl(s / T, t, 1) + (1 - alpha) * hard


@shows("nan")
def infinite_weight(s, t, y):
    return math.inf * kl(s, t, 4) + F.cross_entropy(s, y)


@shows("nan")
def log_of_logits(s, t, y, T, alpha):
    return alpha * (F.softmax(t / T, -1) * s.log()).sum(-1).mean() + (1 - alpha) * F.cross_entropy(s, y)


@shows("underflow")
def log_of_softmax(s, t, y, T, alpha):
    soft = F.kl_div(torch.log(F.softmax(s / T, 1)), F.softmax(t / T, 1), reduction="batchmean")
    return alpha * T**2 * soft + (1 - alpha) * F.cross_entropy(s, y)


@shows("underflow")
def pytorch_tutorial(student_logits, teacher_logits, labels):
    soft_targets, soft_prob = F.softmax(teacher_logits / 2, -1), F.log_softmax(student_logits / 2, -1)
    soft = torch.sum(soft_targets * (soft_targets.log() - soft_prob)) / soft_prob.size()[0] * 2**2
    return 0.25 * soft + 0.75 * F.cross_entropy(student_logits, labels)


@shows("underflow")
def log_of_a_ratio(s, t, T):
    p, q = F.softmax(t / T, -1), F.softmax(s / T, -1)
    return T**2 * (p * torch.log(p / q)).sum(-1).mean()


@shows("underflow")  # torch.distributions says infinity where the student's probability is 0
def by_distributions(s, t, y, T, alpha):
    teacher, student = (torch.distributions.Categorical(logits=z / T) for z in (t, s))
    soft = torch.distributions.kl_divergence(teacher, student).mean()
    return alpha * T**2 * soft + (1 - alpha) * F.cross_entropy(s, y)


# Published losses that show one.


@shows("reduction_mean")
def haitongli(student, teacher, labels, temperature, alpha):
    params = SimpleNamespace(alpha=alpha, temperature=temperature)

    def loss_fn_kd(outputs, labels, teacher_outputs, params):
        alpha, T = params.alpha, params.temperature
        return nn.KLDivLoss()(F.log_softmax(outputs / T, dim=1), F.softmax(teacher_outputs / T, dim=1)) * (
            alpha * T * T
        ) + F.cross_entropy(outputs, labels) * (1.0 - alpha)

    return loss_fn_kd(student, labels, teacher, params)


class KDLoss(nn.KLDivLoss):
    """torchdistill's, without its dictionaries."""

    def __init__(self, temperature, alpha=None, beta=None, reduction="batchmean"):
        super().__init__(reduction=reduction)
        self.temperature, self.alpha, self.beta = temperature, alpha, 1 - alpha if beta is None else beta
        self.cross_entropy_loss = nn.CrossEntropyLoss(reduction="mean" if reduction == "batchmean" else reduction)

    def forward(self, student_logits, teacher_logits, targets=None):
        soft = super().forward(
            torch.log_softmax(student_logits / self.temperature, dim=1),
            torch.softmax(teacher_logits / self.temperature, dim=1),
        )
        if self.alpha is None or self.alpha == 0 or targets is None:
            return soft
        hard = self.cross_entropy_loss(student_logits, targets)
        return self.alpha * hard + self.beta * (self.temperature**2) * soft


@shows("t2_in_one_branch")
def torchdistill(student, teacher, labels, temperature, alpha):
    return KDLoss(temperature, alpha)(student, teacher, labels)


class DeiT(nn.Module):
    """Its DistillationLoss, given the teacher's logits: log_target, and a sum over batch and classes that is divided
    by both."""

    def __init__(self, distillation_type="soft", alpha=0.5, tau=1.0):
        super().__init__()
        self.distillation_type, self.alpha, self.tau = distillation_type, alpha, tau

    def forward(self, student, teacher, labels):
        outputs = outputs_kd = student
        base_loss = F.cross_entropy(outputs, labels)
        if self.distillation_type == "none":
            return base_loss
        if self.distillation_type == "soft":
            T = self.tau
            distillation_loss = (
                F.kl_div(
                    F.log_softmax(outputs_kd / T, dim=1),
                    F.log_softmax(teacher / T, dim=1),
                    reduction="sum",
                    log_target=True,
                )
                * (T * T)
                / outputs_kd.numel()
            )
        elif self.distillation_type == "hard":
            distillation_loss = F.cross_entropy(outputs_kd, teacher.argmax(dim=1))
        return base_loss * (1 - self.alpha) + distillation_loss * self.alpha


@shows("reduction_mean")
def deit_soft_divides_by_the_classes(student, teacher, labels, tau, alpha):
    return DeiT("soft", alpha, tau)(student, teacher, labels)


@shows("softmax_twice", "temperature_on_hard", notes=("other_term",))
class KDLib(nn.Module):
    def __init__(self, temp=20.0, distil_weight=0.5):
        super().__init__()
        self.temp, self.distil_weight, self.loss_fn = temp, distil_weight, nn.MSELoss()

    def forward(self, y_pred_student, y_pred_teacher, y_true):
        soft_teacher_out = F.softmax(y_pred_teacher / self.temp, dim=1)
        soft_student_out = F.softmax(y_pred_student / self.temp, dim=1)
        loss = (1 - self.distil_weight) * F.cross_entropy(soft_student_out, y_true)
        loss += (self.distil_weight * self.temp * self.temp) * self.loss_fn(soft_teacher_out, soft_student_out)
        return loss


@shows("t2_missing")
def intel_distiller_has_no_t2(student_logits, teacher_logits, labels, temperature):
    soft_log_probs = F.log_softmax(student_logits / temperature, dim=1)
    soft_targets = F.softmax(teacher_logits / temperature, dim=1)
    distillation_loss = F.kl_div(soft_log_probs, soft_targets.detach(), reduction="sum") / soft_targets.shape[0]
    return 0.3 * F.cross_entropy(student_logits, labels) + 0.7 * distillation_loss


@shows("reduction_mean", alpha="hard")
def old_vit_pytorch(student_logits, teacher_logits, labels, temperature, alpha):
    distill_loss = F.kl_div(
        F.log_softmax(student_logits / temperature, dim=-1),
        F.softmax(teacher_logits / temperature, dim=-1).detach(),
    )
    return F.cross_entropy(student_logits, labels) * alpha + distill_loss * temperature**2 * (1 - alpha)


# What follows is right.


@shows()
def hinton(student_logits, teacher_logits, labels, temperature, alpha):
    return mutant()(student_logits, teacher_logits, labels, temperature, alpha)


@shows()
def by_log_target(s, t, y, T, alpha):
    soft = F.kl_div(F.log_softmax(s / T, -1), F.log_softmax(t / T, -1), reduction="batchmean", log_target=True)
    return alpha * T**2 * soft + (1 - alpha) * F.cross_entropy(s, y)


@shows()
def by_hand(s, t, y, T, alpha):
    log_p, log_q = F.log_softmax(t / T, 1), F.log_softmax(s / T, 1)
    soft = (log_p.exp() * (log_p - log_q)).sum(1).mean()
    hard = -F.log_softmax(s, 1).gather(1, y[:, None]).mean()
    return alpha * T**2 * soft + (1 - alpha) * hard


@shows()
def sum_by_batch_size(s, t, y, T, alpha):
    return alpha * T**2 * kl(s, t, T, "sum") / s.size(0) + (1 - alpha) * F.cross_entropy(s, y)


@shows()
def reduction_none(s, t, y, T, alpha):
    return alpha * T**2 * kl(s, t, T, "none").sum(1).mean() + (1 - alpha) * F.cross_entropy(s, y)


@shows()
def mean_times_classes(s, t, y, T, alpha):
    return alpha * T**2 * s.shape[1] * kl(s, t, T, "mean") + (1 - alpha) * F.cross_entropy(s, y)


@shows(notes=("soft_cross_entropy",))
def by_einsum(s, t, y, T, alpha):
    soft = -torch.einsum("bc,bc->b", F.softmax(t / T, -1), F.log_softmax(s / T, -1)).mean()
    return alpha * T**2 * soft + (1 - alpha) * F.cross_entropy(s, y)


@shows(notes=("soft_cross_entropy",))
def by_cross_entropy_with_probabilities(s, t, y):
    return 0.7 * 16 * F.cross_entropy(s / 4, F.softmax(t / 4, -1)) + 0.3 * F.cross_entropy(s, y)


@shows()
def by_logsumexp(s, t, y, T, alpha):
    a, b = s / T, t / T
    a, b = a - a.logsumexp(-1, keepdim=True), b - b.logsumexp(-1, keepdim=True)
    return alpha * T**2 * (b.exp() * (b - a)).sum(-1).mean() + (1 - alpha) * F.cross_entropy(s, y)


@shows()
class Members(nn.Module):
    def __init__(self, T=4.0, alpha=0.9):
        super().__init__()
        self.T, self.alpha = T, alpha
        self.ce, self.kl, self.log_softmax, self.softmax = (
            nn.CrossEntropyLoss(), nn.KLDivLoss(reduction="batchmean"), nn.LogSoftmax(1), nn.Softmax(1),
        )  # fmt: skip

    def forward(self, student_logits, teacher_logits, labels):
        soft = self.kl(self.log_softmax(student_logits / self.T), self.softmax(teacher_logits / self.T))
        return self.alpha * self.T**2 * soft + (1 - self.alpha) * self.ce(student_logits, labels)


@shows()
class LearntTemperature(nn.Module):
    def __init__(self):
        super().__init__()
        self.T = nn.Parameter(torch.tensor(3.0))

    def forward(self, s, t, y):
        return 0.5 * self.T**2 * kl(s, t, self.T) + 0.5 * F.cross_entropy(s, y)


@shows()
class TemperatureInABuffer(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("T", torch.tensor(2.5, dtype=torch.float64))

    def forward(self, student, teacher, target):
        return 0.5 * self.T**2 * kl(student, teacher.detach(), self.T) + 0.5 * F.cross_entropy(student, target)


@shows(notes=("teacher_ignored",))
def alpha_0_inside(s, t, y):
    return mutant()(s, t, y, 4.0, 0.0)


@shows()
def alpha_1_inside(s, t, y):
    return mutant()(s, t, y, 4.0, 1.0)


@shows(notes=("alpha_swapped",))
def alpha_of_the_hard_term_undeclared(s, t, y, T, alpha):
    return mutant("alpha_swapped")(s, t, y, T, alpha)


@shows(alpha="hard")
def alpha_of_the_hard_term_declared(s, t, y, T, alpha):
    return mutant("alpha_swapped")(s, t, y, T, alpha)


@shows()
def hard_weight(s, t, y, T, hard_weight):
    return mutant("alpha_swapped")(s, t, y, T, hard_weight)


@shows()
def soft_alone(s, t, T):
    return T**2 * kl(s, t, T)


@shows(notes=("t2_left_to_you",))
def soft_alone_without_t2(s, t, T):
    return kl(s, t, T)


@shows(notes=("sharpened",))
def soft_alone_sharpened(s, t):
    return kl(s, t, 0.5) / 4


@shows(notes=("other_term",))
def mse_of_logits(s, t):
    return F.mse_loss(s, t)


@shows(notes=("other_term",))
def mse_of_logits_and_cross_entropy(s, t, y, alpha):
    return alpha * F.mse_loss(s, t) + (1 - alpha) * F.cross_entropy(s, y)


@shows(notes=("other_term",))
def mse_of_probabilities(s, t, T):
    return T**2 * F.mse_loss(F.softmax(s / T, -1), F.softmax(t / T, -1))


@shows(notes=("other_term",))
def l1_of_logits(s, t, y):
    return F.l1_loss(s, t) + F.cross_entropy(s, y)


@shows(notes=("other_term",))
def smooth_l1_of_logits(s, t):
    return F.smooth_l1_loss(s, t)


@shows(notes=("other_term",))
def cosine(s, t, y):
    return (1 - F.cosine_similarity(s, t)).mean() + F.cross_entropy(s, y)


def kl_both_ways(s: Tensor, t: Tensor, T: float) -> Tensor:
    s, t = F.log_softmax(s / T, -1), F.log_softmax(t / T, -1)
    return sum(F.kl_div(a, b, reduction="batchmean", log_target=True) for a, b in ((s, t), (t, s)))


@shows(notes=("other_term",))
def symmetric(s, t, T):
    return T**2 * kl_both_ways(s, t, T) / 2


def jsd(s: Tensor, t: Tensor, beta: float, T: float = 1.0) -> Tensor:
    s, t = F.log_softmax(s / T, -1), F.log_softmax(t / T, -1)
    m = torch.logsumexp(torch.stack([t + math.log(beta), s + math.log(1 - beta)]), 0)
    to_t, to_s = (F.kl_div(m, p, reduction="batchmean", log_target=True) for p in (t, s))
    return beta * to_t + (1 - beta) * to_s


@shows(notes=("other_term",))
def jensen_shannon(s, t):
    return jsd(s, t, 0.5)


@shows(notes=("other_term",))
def jensen_shannon_01(s, t, y, T, alpha):
    return alpha * T**2 * jsd(s, t, 0.1, T) + (1 - alpha) * F.cross_entropy(s, y)


@shows(notes=("other_term",))
def jensen_shannon_037(s, t):
    return jsd(s, t, 0.37, 2.0)


@shows(notes=("other_term",))
def skewed_kl(s, t, y):
    t, s1 = F.log_softmax(t, -1), F.log_softmax(s, -1)
    m = torch.logsumexp(torch.stack([t + math.log(0.1), s1 + math.log(0.9)]), 0)
    return F.kl_div(m, t, reduction="batchmean", log_target=True) + F.cross_entropy(s, y)


@shows(notes=("sum",))
def both_summed(s, t, y, T, alpha):
    return alpha * T**2 * kl(s, t, T, "sum") + (1 - alpha) * F.cross_entropy(s, y, reduction="sum")


@shows()
def by_example(s, t, y, T, alpha):
    return alpha * T**2 * kl(s, t, T, "none").sum(1) + (1 - alpha) * F.cross_entropy(s, y, reduction="none")


@shows(notes=("t2_left_to_you",))
def by_example_and_class(s, t, T):
    return kl(s, t, T, "none")


@shows(notes=("weighted",))
def weighted_by_the_teachers_confidence(s, t, y, T, alpha):
    weight = F.softmax(t, -1).amax(-1).detach()
    soft = (weight * kl(s, t, T, "none").sum(-1)).mean()
    return alpha * T**2 * soft + (1 - alpha) * F.cross_entropy(s, y)


@shows(notes=("weighted",))
def weighted_where_the_teacher_is_right(s, t, y):
    right = (t.argmax(-1) == y).double()
    soft = (right * kl(s, t, 4.0, "none").sum(-1)).mean()
    return 0.5 * 16 * soft + 0.5 * F.cross_entropy(s, y)


@shows(notes=("class_weights",))
def weighted_by_class(s, t, y):
    weight = torch.arange(1.0, 1 + s.shape[1], dtype=s.dtype)
    return 0.5 * 16 * kl(s, t, 4.0) + 0.5 * F.cross_entropy(s, y, weight=weight)


@shows(notes=("label_smoothing",))
def smoothed_labels(s, t, y, T, alpha):
    return alpha * T**2 * kl(s, t, T) + (1 - alpha) * F.cross_entropy(s, y, label_smoothing=0.1)


@shows(notes=("student_term",))
def with_entropy(s, t, y):
    penalty = (F.softmax(s, -1) * F.log_softmax(s, -1)).sum(-1).mean()
    return 0.5 * 16 * kl(s, t, 4) + 0.5 * F.cross_entropy(s, y) + 0.1 * penalty


@shows(notes=("student_term",))
def with_squares(s, t, y, T, alpha):
    return mutant()(s, t, y, T, alpha) + 0.01 * s.square().sum(-1).mean()


@shows(notes=("clamped",))
def with_epsilon(s, t, y, T, alpha):
    p, q = F.softmax(t / T, -1), F.softmax(s / T, -1)
    soft = (p * ((p + 1e-8).log() - (q + 1e-8).log())).sum(-1).mean()
    return alpha * T**2 * soft + (1 - alpha) * F.cross_entropy(s, y)


@shows()
def temperature_1(s, t, y):
    return 0.5 * kl(s, t, 1) + 0.5 * F.cross_entropy(s, y)


@shows()
def in_float32(s, t, y, T, alpha):
    return mutant()(s.float(), t.float(), y, T, alpha)


@shows()
def in_float32_by_to(student, teacher, labels):
    return mutant()(student.to(torch.float32), teacher.to(torch.float32), labels, 3.7, 0.9)


@shows(notes=("teacher_gradient",))
def teacher_not_detached(s, t, y, T, alpha):
    return mutant("teacher_gradient")(s, t, y, T, alpha)


@shows()
def teacher_without_gradient(s, t, y, T, alpha):
    with torch.no_grad():
        soft_targets = F.softmax(t / T, -1)
    soft = F.kl_div(F.log_softmax(s / T, -1), soft_targets, reduction="batchmean")
    return alpha * T**2 * soft + (1 - alpha) * F.cross_entropy(s, y)


@shows(notes=("hard_targets",))
def hard_targets_alone(s, t):
    return F.cross_entropy(s, t.argmax(-1))


@shows(notes=("other_hard",))
def hard_term_by_bce(s, t, y, T, alpha):
    one_hot = F.one_hot(y, s.shape[-1]).to(s.dtype)
    hard = F.binary_cross_entropy_with_logits(s, one_hot, reduction="sum") / len(s)
    return alpha * T**2 * kl(s, t, T) + (1 - alpha) * hard


@shows(notes=("other_hard",))
def hard_term_by_brier(s, t, y):
    hard = (s.softmax(-1) - F.one_hot(y, s.shape[-1])).square().sum(-1).mean()
    return 0.5 * 16 * kl(s, t, 4) + 0.5 * hard


@shows(notes=("constant_factor",))
def with_a_constant(s, t, y, T, alpha):
    return alpha * 5 * T**2 * kl(s, t, T) + (1 - alpha) * 5 * F.cross_entropy(s, y)


@shows(notes=("alpha_unused",))
def alpha_unused(s, t, y, T, alpha):
    return 0.5 * T**2 * kl(s, t, T) + 0.5 * F.cross_entropy(s, y)


@shows()
def weight_on_the_soft_term_alone(s, t, y, T, alpha):
    return F.cross_entropy(s, y) + alpha * T**2 * kl(s, t, T)


@shows()
def sequences(s, t, y, T, alpha):
    s, t, y = s.flatten(0, -2), t.flatten(0, -2), y.flatten()
    return mutant()(s, t, y, T, alpha)


@shows()
def sequences_only(student_logits, teacher_logits, labels):
    batch, length, classes = student_logits.shape
    s, t = student_logits.view(batch * length, classes), teacher_logits.view(batch * length, classes)
    return 0.5 * 4 * kl(s, t, 2.0) + 0.5 * F.cross_entropy(s, labels.view(-1))


@shows()
def kdtutor_function(student_logits, teacher_logits, labels, temperature, alpha):
    return kd.distillation_loss(student_logits, teacher_logits, labels, temperature=temperature, alpha=alpha)


# Published losses that are right.


@shows(notes=("hard_targets",))
class DeiTHard(DeiT):
    def __init__(self):
        super().__init__("hard")


@shows(notes=("teacher_ignored",))
class DeiTNone(DeiT):
    def __init__(self):
        super().__init__("none")


@shows()
def vit_pytorch(student_logits, teacher_logits, labels, temperature, alpha):
    loss = F.cross_entropy(student_logits, labels)
    distill_loss = F.kl_div(
        F.log_softmax(student_logits / temperature, dim=-1),
        F.softmax(teacher_logits / temperature, dim=-1).detach(),
        reduction="batchmean",
    )
    distill_loss *= temperature**2
    return loss * (1 - alpha) + distill_loss * alpha


@shows()
class HuggingFaceTrainer(nn.Module):
    def __init__(self, temperature=5.0, lambda_param=0.5):
        super().__init__()
        self.loss_function = nn.KLDivLoss(reduction="batchmean")
        self.temperature, self.lambda_param = temperature, lambda_param

    def forward(self, student, teacher, labels):
        soft_teacher = F.softmax(teacher / self.temperature, dim=-1)
        soft_student = F.log_softmax(student / self.temperature, dim=-1)
        distillation_loss = self.loss_function(soft_student, soft_teacher) * (self.temperature**2)
        target = F.cross_entropy(student, labels)
        return (1.0 - self.lambda_param) * target + self.lambda_param * distillation_loss


def generalized_jsd_loss(student_logits, teacher_logits, labels=None, beta=0.5, temperature=1.0):
    """TRL's of GKD; labels are but a mask."""
    s, t = F.log_softmax(student_logits / temperature, -1), F.log_softmax(teacher_logits / temperature, -1)
    if beta == 0:
        divergence = F.kl_div(s, t, reduction="none", log_target=True)
    elif beta == 1:
        divergence = F.kl_div(t, s, reduction="none", log_target=True)
    else:
        beta = torch.tensor(beta, dtype=s.dtype)
        m = torch.logsumexp(torch.stack([s + torch.log1p(-beta), t + torch.log(beta)]), dim=0)
        kl_teacher = F.kl_div(m, t, reduction="none", log_target=True)
        kl_student = F.kl_div(m, s, reduction="none", log_target=True)
        divergence = beta * kl_teacher + (1 - beta) * kl_student
    if labels is None:
        return divergence.sum() / divergence.shape[:-1].numel()
    mask = labels != -100
    return divergence[mask].sum() / mask.sum()


@shows("nan_without_tokens", notes=("other_term",))
def trl_gkd(student_logits, teacher_logits, labels=None, beta=0.5, temperature=1.0):
    return generalized_jsd_loss(student_logits, teacher_logits, labels, beta, temperature)


@shows("reverse_kl", "nan_without_tokens")
def trl_gkd_at_beta_1(student_logits, teacher_logits, labels=None, temperature=1.0):
    return generalized_jsd_loss(student_logits, teacher_logits, labels, 1, temperature)


@shows(notes=("clamped",), alpha="hard")
def keras(student_predictions, teacher_predictions, y, temperature, alpha):
    p = F.softmax(teacher_predictions / temperature, dim=1).clamp(1e-7, 1)
    q = F.softmax(student_predictions / temperature, dim=1).clamp(1e-7, 1)
    distillation_loss = (p * torch.log(p / q)).sum(-1).mean() * temperature**2
    return alpha * F.cross_entropy(student_predictions, y) + (1 - alpha) * distillation_loss


@shows(notes=("weights",))
def labml(student_logits, teacher_logits, labels):
    soft = nn.KLDivLoss(reduction="batchmean")(
        F.log_softmax(student_logits / 5.0, dim=-1), F.softmax(teacher_logits / 5.0, dim=-1)
    )
    return 100.0 * soft + 0.5 * nn.CrossEntropyLoss()(student_logits, labels)


@shows(notes=("standardised",))
def standardised(s, t, y, T, alpha):
    """Logit standardisation: z-scores, then KL."""

    def z(x):
        return (x - x.mean(-1, keepdim=True)) / x.std(-1, keepdim=True)

    return alpha * T**2 * kl(z(s), z(t), T) + (1 - alpha) * F.cross_entropy(s, y)


@shows("underflow", notes=("other_hard",))  # p.log() of a softmax
def focal(s, t, y, T, alpha):
    p = F.softmax(s, -1).gather(1, y[:, None]).squeeze(1)
    return alpha * T**2 * kl(s, t, T) + (1 - alpha) * (-((1 - p) ** 2) * p.log()).mean()


@shows(notes=("mixture_jumps",))
def jsd_with_other_ends(s, t, beta):
    if beta in (0, 1):
        return kl(s, t, 1.0) if beta == 0 else kl(t, s, 1.0)
    p, q = s.softmax(-1), t.softmax(-1)
    m = beta * q + (1 - beta) * p
    return (beta * q * (q / m).log() + (1 - beta) * p * (p / m).log()).sum(-1).mean()


@shows(notes=("mean_by_shape",))
def divided_by_shape(s, t, T):
    return kl(s, t, T, "sum") * T**2 / (s.shape[0] * s.shape[1])


@shows("soft_on_padding")
def padding_distilled(s, t, y, T, alpha):
    s, t = s.reshape(-1, s.shape[-1]), t.reshape(-1, t.shape[-1])
    return alpha * T**2 * kl(s, t, T) + (1 - alpha) * F.cross_entropy(s, y.reshape(-1), ignore_index=-100)


# What no formula here fits, and no mistake is to be claimed of.


def dkd(s, t, y, T, alpha):
    """Decoupled KD: the target class against the rest, and the rest among itself."""
    mask = F.one_hot(y, s.shape[-1]).bool()
    p, q = F.softmax(t / T, -1), F.softmax(s / T, -1)
    b_t, b_s = (torch.stack([(x * mask).sum(1), (x * ~mask).sum(1)], 1) for x in (p, q))
    tckd = F.kl_div(b_s.log(), b_t, reduction="batchmean")
    nckd = F.kl_div(
        F.log_softmax(s / T - 1000.0 * mask, -1), F.softmax(t / T - 1000.0 * mask, -1), reduction="batchmean"
    )
    return F.cross_entropy(s, y) + T**2 * (alpha * tckd + 8 * nckd)


def dist(s, t, y, T):
    """DIST: one minus the correlation, by example and by class."""

    def correlation(a, b):
        return F.cosine_similarity(a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True))

    p, q = F.softmax(s / T, -1), F.softmax(t / T, -1)
    apart = (1 - correlation(p, q)).mean() + (1 - correlation(p.T, q.T)).mean()
    return F.cross_entropy(s, y) + 2 * T**2 * apart


def rkd(s, t):
    """Relational KD: distances between examples, over their mean."""

    def distances(x):
        d = torch.cdist(x, x) + torch.eye(len(x), dtype=x.dtype)
        return d / d.mean().detach()

    return F.smooth_l1_loss(distances(s), distances(t))


def nonsense(s, t, y, T, alpha):
    return (alpha * s.sinh() * t.cos()).sum() / T + F.cross_entropy(s.sin() * 3, y)


def cross_term(s, t, y):
    return (s * t).mean() * F.cross_entropy(s, y)


def half_of_the_classes(s, t, y, T, alpha):
    return alpha * T**2 * kl(s[:, :3], t[:, :3], T) + (1 - alpha) * F.cross_entropy(s, y)


def temperature_by_example(s, t, y):
    T = 1 + t.std(-1, keepdim=True)
    return 0.5 * (T.squeeze(1) ** 2 * kl(s, t, T, "none").sum(1)).mean() + 0.5 * F.cross_entropy(s, y)


def random_noise(s, t, y):
    return F.mse_loss(s + 0.1 * torch.randn_like(s), t) + F.cross_entropy(s, y)


def constant(s, t, y):
    return torch.ones((), requires_grad=True)


def alpha_squared(s, t, y, T, alpha):
    return alpha**2 * T**2 * kl(s, t, T) + (1 - alpha) * F.cross_entropy(s, y)


UNKNOWN = {
    loss.__name__: loss
    for loss in (
        dkd, dist, rkd, nonsense, cross_term, half_of_the_classes, temperature_by_example,
        random_noise, constant, alpha_squared,
    )
}  # fmt: skip
