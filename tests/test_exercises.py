"""The exercises' checks: right solutions pass, and the mistakes that people make are seen."""

import copy
import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdtutor import exercises
from kdtutor.exercises import EXERCISES


@pytest.fixture
def verdict(capsys):
    def check(name, solution):
        exercises.check(name, solution)
        heading, _, verdict = capsys.readouterr().out.rstrip("\n").partition(": ")
        assert heading == name
        return verdict

    return check


def kl_from(student, teacher, temperature, reduction="batchmean"):
    """KL by F.kl_div, of logits."""
    logs, target = F.log_softmax(student / temperature, -1), F.softmax(teacher / temperature, -1)
    return F.kl_div(logs, target, reduction=reduction)


def combine(soft, hard=lambda s, y, t: F.cross_entropy(s, y), swapped=False):
    """A distillation loss of a soft term f(s, t, T), already scaled, and a hard one f(s, y, T)."""

    def loss(s, t, y, temperature, alpha):
        weight = 1 - alpha if swapped else alpha
        return weight * soft(s, t, temperature) + (1 - weight) * hard(s, y, temperature)

    return loss


def scaled_kl(s, t, temperature):
    return temperature**2 * kl_from(s, t, temperature)


def gap(s, t, temperature):
    return F.softmax(s / temperature, -1) - F.softmax(t / temperature, -1)


def interval(a, b, quantile=4.3027, ddof=1):
    """Mean and interval of b - a; 4.3027 is t's 97.5 % quantile for 3 pairs."""
    d = torch.tensor(b, dtype=torch.float64) - torch.tensor(a, dtype=torch.float64)
    half = quantile * d.std(correction=ddof) / len(d) ** 0.5
    return d.mean(), d.mean() - half, d.mean() + half


def step(
    student, teacher, images, labels, temperature, alpha, lr, *, asked="eval", left="as it came", of="student", sign=-1
):
    """A step of distillation with the teacher asked and left in some mode, which moves the parameters of some model."""
    came = teacher.training
    teacher.train(asked == "train")
    answers = teacher(images)
    teacher.train({"train": True, "eval": False}.get(left, came))
    kept = answers if of == "both" else answers.detach()
    soft = temperature**2 * kl_from(student(images), kept, temperature)
    loss = alpha * soft + (1 - alpha) * F.cross_entropy(student(images), labels)
    loss.backward()
    moved = {"student": [student], "both": [student, teacher], "none": []}[of]
    with torch.no_grad():
        for parameter in nn.ModuleList(moved).parameters():
            parameter += sign * lr * (0 if parameter.grad is None else parameter.grad)
    return loss.item()


MISTAKES = {
    "one_hot": {
        "classes guessed from the labels": lambda y, classes: F.one_hot(y),
        "classes first": lambda y, classes: F.one_hot(y, classes).T,
        "off by one": lambda y, classes: F.one_hot((y + 1) % classes, classes),
    },
    "entropy": {
        "nats": lambda p: torch.special.entr(p).sum(-1),
        "NaN at 0": lambda p: -(p * p.log2()).sum(-1),
        "sign": lambda p: (p * (p + 1e-12).log2()).sum(-1),
        "summed over the batch": lambda p: torch.special.entr(p).sum() / math.log(2),
    },
    "look_alikes": {
        "itself allowed": lambda p, y: torch.stack([p[y == c].mean(0) for c in range(4)]).argmax(1),
        "columns": lambda p, y: torch.stack([p[y == c].mean(0) for c in range(4)]).fill_diagonal_(-1).argmax(0),
        "labels forgotten": lambda p, y: p.mean(0).expand(4, 4).clone().fill_diagonal_(-1).argmax(1),
    },
    "soften": {
        "times T": lambda z, temperature: F.softmax(z * temperature, -1),
        "T forgotten": lambda z, temperature: F.softmax(z, -1),
        "over the batch": lambda z, temperature: F.softmax(z / temperature, 0),
        "overflow": lambda z, temperature: (z / temperature).exp() / (z / temperature).exp().sum(-1, keepdim=True),
        "softmax twice": lambda z, temperature: F.softmax(F.softmax(z, -1) / temperature, -1),
    },
    "log_soften": {
        "underflow": lambda z, temperature: F.softmax(z / temperature, -1).log(),
        "clamped": lambda z, temperature: F.softmax(z / temperature, -1).clamp(min=1e-12).log(),
        "T forgotten": lambda z, temperature: F.log_softmax(z, -1),
        "T outside": lambda z, temperature: F.log_softmax(z, -1) / temperature,
    },
    "temperature_for": {
        "nats": lambda z, bits: exercises.temperature_for(z, bits / math.log(2)),
        "inverse": lambda z, bits: 1 / exercises.temperature_for(z, bits),
        "coarse": lambda z, bits: round(exercises.temperature_for(z, bits), 1),
    },
    "kl": {
        "other direction": lambda p, q: (q * (q / p).log()).sum(-1),
        "NaN at 0": lambda p, q: (p * (p / q).log()).sum(-1),
        "bits": lambda p, q: torch.where(p > 0, p * (p / q).log2(), 0).sum(-1),
        "mean over classes": lambda p, q: torch.where(p > 0, p * (p / q).log(), 0).mean(-1),
        "F.kl_div in the order of the formula": lambda p, q: F.kl_div(p, q, reduction="sum"),
    },
    "kl_from_logits": {
        "mean": partial(kl_from, reduction="mean"),
        "sum": partial(kl_from, reduction="sum"),
        "swapped": lambda s, t, temperature: kl_from(t, s, temperature),
        "with T²": scaled_kl,
        "probabilities": lambda s, t, temperature: F.kl_div(
            F.softmax(s / temperature, -1), F.softmax(t / temperature, -1), reduction="batchmean"
        ),
        "both as logs": lambda s, t, temperature: F.kl_div(
            F.log_softmax(s / temperature, -1), F.log_softmax(t / temperature, -1), reduction="batchmean"
        ),
        "T on the teacher alone": lambda s, t, temperature: kl_from(s, t / temperature, 1),
    },
    "jensen_shannon": {
        "not halved": lambda p, q: 2 * exercises.jensen_shannon(p, q),
        "mean of both KLs": lambda p, q: (exercises.kl(p, q) + exercises.kl(q, p)) / 2,
        "one side": lambda p, q: exercises.kl(p, (p + q) / 2),
        "its root": lambda p, q: exercises.jensen_shannon(p, q).sqrt(),
    },
    "distillation_loss": {
        "without T²": combine(kl_from),
        "T for T²": combine(lambda s, t, temperature: temperature * kl_from(s, t, temperature)),
        "mean": combine(lambda s, t, temperature: temperature**2 * kl_from(s, t, temperature, "mean")),
        "swapped models": combine(lambda s, t, temperature: scaled_kl(t, s, temperature)),
        "swapped weights": combine(scaled_kl, swapped=True),
        "T on the hard term": combine(scaled_kl, lambda s, y, temperature: F.cross_entropy(s / temperature, y)),
        "softmax twice": combine(scaled_kl, lambda s, y, temperature: F.cross_entropy(F.softmax(s, -1), y)),
        "teacher at T = 1": combine(lambda s, t, temperature: temperature**2 * kl_from(s / temperature, t, 1)),
        "teacher with itself": combine(lambda s, t, temperature: scaled_kl(t, t, temperature)),
    },
    "soft_gradient": {
        "sign": lambda s, t, temperature: -temperature * gap(s, t, temperature) / len(s),
        "batch forgotten": lambda s, t, temperature: temperature * gap(s, t, temperature),
        "without T²": lambda s, t, temperature: gap(s, t, temperature) / temperature / len(s),
        "T² for T": lambda s, t, temperature: temperature**2 * gap(s, t, temperature) / len(s),
        "large-T limit": lambda s, t, temperature: (s - t) / s.numel(),
    },
    "distill_step": {
        "teacher asked in train mode": partial(step, asked="train"),
        "teacher put into train mode and left there": partial(step, asked="train", left="train"),
        "teacher left in eval mode": partial(step, left="eval"),
        "student not updated": partial(step, of="none"),
        "teacher updated too": partial(step, of="both"),
        "uphill": partial(step, sign=1),
    },
    "agreement": {
        "count": lambda s, t: (s.argmax(-1) == t.argmax(-1)).sum(),
        "percent": lambda s, t: 100 * (s.argmax(-1) == t.argmax(-1)).double().mean(),
        "over the batch": lambda s, t: (s.argmax(0) == t.argmax(0)).double().mean(),
        "equal logits": lambda s, t: (s == t).double().mean(),
    },
    "prior_correction": {
        "the wrong way round": lambda z, old, new: z + (old / new).log(),
        "only the new shares": lambda z, old, new: z + new.log(),
        "shares, not their logarithms": lambda z, old, new: z + new - old,
        "probabilities": lambda z, old, new: (z + (new / old).log()).softmax(1),
    },
    "relative_noise": {
        "of one coordinate": lambda g: g.var(0, correction=0).mean() / g.mean(0).square().sum(),
        "not squared": lambda g: (g - g.mean(0)).norm(dim=1).mean() / g.mean(0).norm(),
        "upside down": lambda g: g.mean(0).square().sum() / (g - g.mean(0)).square().sum(1).mean(),
        "N - 1": lambda g: g.var(0).sum() / g.mean(0).square().sum(),
    },
    "ensemble_logits": {
        "mean logits": lambda z: z.mean(0),
        "probabilities": lambda z: z.softmax(-1).mean(0),
        "log before the mean": lambda z: z.log_softmax(-1).mean(0),
        "over examples": lambda z: z.softmax(-1).mean(1).log(),
    },
    "paired_interval": {
        "a - b": lambda a, b: interval(b, a),
        "normal quantile": partial(interval, quantile=1.96),
        "biased deviation": partial(interval, ddof=0),
        "mean alone": lambda a, b: interval(a, b)[0],
    },
}


def test_every_exercise_has_its_mistakes():
    assert MISTAKES.keys() == EXERCISES.keys()


@pytest.mark.parametrize("name", EXERCISES)
def test_the_reference_is_correct(name, verdict):
    assert verdict(name, EXERCISES[name].reference).startswith("correct, ")


def test_other_right_ways_are_correct_too(verdict):
    assert verdict("distill_step", step).startswith("correct")
    assert verdict("distillation_loss", combine(scaled_kl)).startswith("correct")
    assert verdict("kl_from_logits", kl_from).startswith("correct")
    assert verdict("paired_interval", lambda a, b: list(map(float, interval(a, b)))).startswith("correct")
    assert verdict("one_hot", lambda y, classes: torch.eye(classes)[y].long()).startswith("correct")


@pytest.mark.parametrize("name", EXERCISES)
def test_a_stub_is_not_filled_in(name, verdict):
    assert verdict(name, lambda *arguments: ...) == "not filled in yet."


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")
@pytest.mark.parametrize(("name", "mistake"), [(name, mistake) for name in MISTAKES for mistake in MISTAKES[name]])
def test_a_mistake_is_seen(name, mistake, verdict):
    assert verdict(name, MISTAKES[name][mistake]).startswith("not yet. For (")


@pytest.mark.parametrize("name", EXERCISES)
@pytest.mark.parametrize("returned", [None, "text", {}, math.nan, (..., ...)], ids=str)
def test_nonsense_is_told_not_thrown(name, returned, verdict):
    assert verdict(name, lambda *arguments: returned).startswith("not yet. For (")


@pytest.mark.parametrize("name", EXERCISES)
def test_an_error_is_told_not_thrown(name, verdict):
    def broken(*arguments):
        raise IndexError("too many indices")

    assert "it raises IndexError: too many indices" in verdict(name, broken)


def test_an_interrupt_is_thrown(verdict):
    def stopped(*arguments):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verdict("soften", stopped)


def test_verdicts_say_what_came_and_what_was_wanted(verdict):
    assert verdict("soften", lambda z, temperature: z) == (
        "not yet. For ([2.0, 1.0, 0.0], 1) it returns [2.0, 1.0, 0.0], the reference [0.6652, 0.2447, 0.09]."
    )
    assert "leaves a model's weights, or its train or eval mode" in verdict("distill_step", partial(step, of="none"))
    assert "leaves a model's weights, or its train or eval mode" in verdict("distill_step", partial(step, left="eval"))


def test_a_verdict_on_tensors_of_one_shape_tells_them_apart(verdict):
    said = verdict("soft_gradient", MISTAKES["soft_gradient"]["sign"])
    given, wanted = said.rstrip(".").partition("it returns ")[2].split(", the reference ")
    assert given != wanted


def contents(name):
    """Copies of all arguments of an exercise's calls; a model as its weights and its mode."""
    arguments = [argument for call in EXERCISES[name].calls for argument in call]
    return copy.deepcopy([(a.state_dict(), a.training) if isinstance(a, nn.Module) else a for a in arguments])


def scramble(value):
    if isinstance(value, Tensor):
        value.zero_()
    elif isinstance(value, nn.Module):
        for parameter in value.parameters():
            parameter.detach().zero_()
        value.eval()
    elif isinstance(value, list):
        value.clear()


@pytest.mark.parametrize("name", EXERCISES)
def test_what_a_solution_does_to_its_arguments_stays_with_it(name, verdict):
    before = contents(name)
    verdict(name, lambda *arguments: [scramble(argument) for argument in arguments])
    torch.testing.assert_close(contents(name), before, rtol=0, atol=0)


def test_a_solution_may_work_in_place(verdict):
    assert verdict("soften", lambda z, temperature: z.div_(temperature).softmax(-1)).startswith("correct")


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match=r"name must be one of one_hot, entropy, .*, got 'sotfen'$"):
        exercises.check("sotfen", lambda *arguments: ...)
