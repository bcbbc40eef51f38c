"""The exercises: right answers pass, each known mistake is recognised by its own sentence, and nothing else is."""

import copy
import math
import re
from functools import partial
from itertools import combinations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdtutor.course import exercises
from kdtutor.course.answers import same
from kdtutor.course.exercises import EXERCISES, words
from kdtutor.course.exercises.calls import CALLS
from kdtutor.course.exercises.mistakes.comparing import interval
from kdtutor.course.exercises.mistakes.divergences import kl_from
from kdtutor.course.exercises.mistakes.losses import distillation_loss, loss_of
from kdtutor.course.exercises.mistakes.training import distill_step
from kdtutor.course.exercises.outcomes import outcome_of, right_outcomes
from kdtutor.course.exercises.patterns import PATTERNS
from kdtutor.course.exercises.recognition import LOSSES, MISTAKES
from kdtutor.course.exercises.words import _read, as_continuation, as_sentence, mistake_sentence

ALL_MISTAKES = [(name, mistake) for name in MISTAKES for mistake in MISTAKES[name]]


@pytest.fixture
def verdict(capsys):
    def check(name, solution):
        assert exercises.check(name, solution) is None
        heading, _, verdict = capsys.readouterr().out.rstrip("\n").partition(": ")
        assert heading == name
        return verdict

    return check


def values(name, function):
    return [outcome_of(function, call).values for call in CALLS[name]]


def test_words_calls_mistakes_and_right_answers_go_together():
    assert [*EXERCISES] == [*CALLS]
    for name, exercise in EXERCISES.items():
        as_code = {part for mistake in MISTAKES[name] for part in mistake.partition(":")[0].split(" + ")}
        assert as_code | {*PATTERNS.get(name, {})} == {*exercise.mistakes}, name
    assert all(len(right_outcomes(name)) == len(CALLS[name]) for name in EXERCISES)


def test_each_mistake_has_a_sentence_of_its_own():
    for exercise in EXERCISES.values():
        sentences = [*exercise.mistakes.values()]
        assert len({*sentences}) == len(sentences)
        assert not [sentence for sentence in sentences if sentence.endswith(".")]


SECTION = """# Words

## soften, notebook 2

- Hint: divide by T.
- More: before exp.
- Next: try T = 1.

| mistake | what it is |
|---|---|
| times T | multiplied by T |
"""


def test_a_section_is_three_lines_and_a_table():
    assert _read(SECTION) == {
        "soften": words.Exercise(2, "divide by T.", "before exp.", "try T = 1.", {"times T": "multiplied by T"})
    }


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (", notebook 2", "", "words.md must have sections with headings like '## name, notebook 1', got '## soften'"),
        (
            "- More",
            "- Less",
            "words.md must have one line each of Hint, More and Next, in this order, below '## soften, notebook 2'",
        ),
        (
            "- Hint",
            "- Next",
            "words.md must have one line each of Hint, More and Next, in this order, below '## soften, notebook 2'",
        ),
        ("|", "", "words.md must have a table of mistakes below '## soften, notebook 2'"),
    ],
)
def test_a_malformed_section_is_named(old, new, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        _read(SECTION.replace(old, new))


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")
@pytest.mark.parametrize(("name", "mistake"), ALL_MISTAKES)
def test_a_mistake_is_recognised_by_name(name, mistake, verdict):
    told = verdict(name, MISTAKES[name][mistake]).splitlines()
    assert told[0].lower().startswith(f"not yet. {mistake_sentence(name, mistake)}".lower())
    assert told[1] == f'Hint: {EXERCISES[name].hint} More: exercises.hint("{name}")'
    assert len(told) == 2


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")
@pytest.mark.parametrize("name", EXERCISES)
def test_mistakes_differ_from_the_right_answer_and_from_each_other(name):
    made = {mistake: values(name, function) for mistake, function in MISTAKES[name].items()}
    wanted = [outcome.values for outcome in right_outcomes(name)]
    assert [mistake for mistake in made if same(made[mistake], wanted)] == []
    assert [(one, other) for one, other in combinations(made, 2) if same(made[one], made[other])] == []


def autograd_step(student, teacher, images, labels, temperature, alpha, lr):
    """A right step that leaves no gradients behind."""
    mode = teacher.training
    with torch.no_grad():
        teacher_logits = teacher.eval()(images)
    teacher.train(mode)
    value = distillation_loss(student(images), teacher_logits, labels, temperature, alpha)
    gradients = torch.autograd.grad(value, [*student.parameters()])
    for parameter, gradient in zip(student.parameters(), gradients, strict=True):
        parameter.data -= lr * gradient
    return value


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("distill_step", distill_step),
        ("distill_step", autograd_step),
        ("distillation_loss", distillation_loss),
        ("kl_from_logits", kl_from),
        ("paired_interval", lambda a, b: list(map(float, interval(a, b)))),
        ("paired_interval", lambda a, b: np.array([float(end) for end in interval(a, b)])),
        ("one_hot", lambda y, classes: torch.eye(classes)[y].tolist()),
        ("soften", lambda z, temperature: F.softmax(z / temperature, -1).numpy()),
        ("soften", lambda z, temperature: F.softmax(z / temperature, -1).requires_grad_()),
        ("kl", lambda p, q: (torch.xlogy(p, p) - torch.xlogy(p, q)).sum(-1)),
        ("agreement", lambda s, t: (s.argmax(1) == t.argmax(1)).float().mean().item()),
        ("ensemble_logits", lambda z: z.softmax(-1).sum(0).log()),
        ("ensemble_logits", lambda z: z.log_softmax(-1).logsumexp(0)),
        ("prior_correction", lambda z, old, new: (z.softmax(1) * new / old).log()),
    ],
)
def test_other_right_ways_are_correct_too(name, right, verdict):
    assert verdict(name, right).startswith("correct, in ")


def test_right_says_so_and_gives_one_thing_to_try(verdict):
    assert verdict("soften", lambda z, temperature: F.softmax(z / temperature, -1)) == (
        f"correct, in 5 of 5 calls.\nNext: {EXERCISES['soften'].next}"
    )


@pytest.mark.parametrize("name", EXERCISES)
def test_a_stub_is_not_filled_in(name, verdict):
    assert verdict(name, lambda *arguments: ...) == (
        f'not filled in yet. Put your code where `...` stands; exercises.hint("{name}") helps.'
    )


@pytest.mark.parametrize("name", EXERCISES)
@pytest.mark.parametrize("returned", [None, "text", {}, math.nan, 1j, (..., ...), [[1], [2, 3]], nn.ReLU()], ids=str)
def test_nonsense_is_told_not_thrown(name, returned, verdict):
    told = verdict(name, lambda *arguments: returned)
    assert told.startswith("not yet. ")
    assert len(told.splitlines()) == 2


@pytest.mark.parametrize("name", EXERCISES)
def test_an_error_is_told_not_thrown(name, verdict):
    def broken(*arguments):
        raise IndexError("too many\nindices" + 1000 * "!")

    told = verdict(name, broken).splitlines()[0]
    assert ": it raises IndexError: too many indices!!" in told
    assert len(told) < 400


def twice_backward():
    loss = weight().exp().sum()
    loss.backward()
    loss.backward()


def weight():
    return torch.ones(3, requires_grad=True)


@pytest.mark.parametrize(
    ("careless", "meaning"),
    [
        (lambda: weight().add_(1), "put the update under `with torch.no_grad():`"),
        (lambda: torch.ones(()).backward(), "`backward` finds no way back to the weights"),
        (twice_backward, "once is enough"),
        (lambda: (weight() * 2).backward(), "the mean over the batch is missing"),
        (lambda: 0.1 * weight().grad, "something here is None"),
        (lambda: weight().grad.zero_(), "something here is None"),
        (lambda: weight().numpy(), "stay with torch"),
        (lambda: weight() if weight() > 0 else 0, "decide number by number"),
        (lambda: max(np.ones(3), np.zeros(3)), "decide number by number"),
        (lambda: math.log(torch.ones(3)), "take one number"),
        (lambda: torch.ones(3).item(), "take one number"),
        (lambda: torch.ones(2, 3) / torch.ones(2), "`keepdim=True`"),
        (lambda: torch.ones(2, 3) @ torch.ones(2, 3), "`keepdim=True`"),
        (lambda: torch.ones(3).sum(1), "the classes are always the last one"),
        (lambda: torch.zeros(3, 4).scatter_(1, torch.tensor([0, 1, 2]), 1.0), "labels[:, None]"),
        (lambda: torch.ones(3).gather(0, torch.ones(3)), "an index must be a whole number"),
        (lambda: torch.ones(3)[torch.ones(3)], "an index must be a whole number"),
        (lambda: [1.0] - [2.0], "torch.tensor(...) makes a tensor of it"),
        (lambda: [1.0].mean(), "torch.tensor(...) makes a tensor of it"),
        (lambda: torch.tensor([True]).mean(), "`.float()` or `.double()` first"),
        (lambda: math.log(0), "the logarithm or the root of a number that has none"),
        (lambda: math.sqrt(-1), "the logarithm or the root of a number that has none"),
        (lambda: 1 / 0, "divided by 0"),
        (lambda: not_defined, "was the cell that defines it run"),  # noqa: F821
        (lambda: torch.ones(3).long().div_(2), "make a floating-point tensor first"),
    ],
)
def test_what_an_error_means_is_told(careless, meaning, verdict):
    assert meaning in verdict("soften", lambda z, temperature: careless()).splitlines()[0]


def test_an_interrupt_is_thrown(verdict):
    def stopped(*arguments):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verdict("soften", stopped)


@pytest.mark.parametrize(
    ("name", "solution", "sentence"),
    [
        ("soften", lambda z, temperature: 2 * F.softmax(z / temperature, -1),
         "In all calls that differ: this is the right value times 2."),
        ("soften", lambda z, temperature: F.softmax(z / temperature, -1) + 0j,
         "For z = [2.0, 1.0, 0.0], temperature = 1: this is complex: real numbers are wanted."),
        ("soften", lambda z, temperature: F.softmax(z / temperature, -1)[..., None],
         "For z = [2.0, 1.0, 0.0], temperature = 1: the values are right, but the shape is (3, 1), (3,) is wanted: "
         "an axis of length 1 too many or too few."),
        ("soften", lambda z, temperature: z.div_(temperature).softmax(-1),
         "The values are right, but it changes z in place: the caller still needs it as it was."),
        ("one_hot", lambda y, classes: F.one_hot(y, classes),
         "The values are right, but in torch.int64: floating point is wanted, as losses take it."),
        ("one_hot", lambda y, classes: F.one_hot(y, classes).bool(),
         "The values are right, but in torch.bool: numbers are wanted."),
        ("kl_from_logits", lambda s, t, temperature: 3.0,
         "For s (6, 4), t (6, 4), temperature = 2: this is 3, the right value is 1.252."),
        ("soften", lambda z: z,
         "For argument 1 = [2.0, 1.0, 0.0], argument 2 = 1: it raises TypeError: <lambda>() takes 1 positional "
         "argument but 2 were given. That means: the function is called with the arguments of the stub, by position: "
         "keep them and their order."),
        ("kl", lambda p, q: None,
         "For p = [0.7, 0.2, 0.1, 0.0], q = [0.25, 0.25, 0.25, 0.25]: this is None: is a `return` missing?"),
    ],
)  # fmt: skip
def test_what_is_no_known_mistake_is_told_in_a_sentence(name, solution, sentence, verdict):
    assert verdict(name, solution).splitlines()[0] == f"not yet. {sentence}"


@pytest.mark.parametrize(
    ("name", "solution", "told"),
    [
        ("soften", lambda z, temperature: (z / temperature).exp() / (z / temperature).exp().sum(),
         "For z = [2000.0, 1000.0], temperature = 1, where exp overflows: 2 of 2 values came out nan"),
        ("entropy", lambda p: 2 * (p * torch.log2(1 / p)).sum(-1),
         "For p = [0.7, 0.2, 0.1, 0.0]: this came out nan"),
        ("entropy", lambda p: torch.special.entr(p).sum(-1) / math.log(2) if len(p) == 4 else p.sum(0),
         "For p (5, 10): the shape is (10,), (5,) is wanted"),
        ("one_hot", lambda y, classes: torch.eye(classes)[y] * (2 + (torch.arange(classes) if classes == 3 else 0)),
         "For y = [2, 0, 1], classes = 3: these probabilities must sum to 1"),
        ("kl", lambda p, q: torch.where(p > 0, p * (p / q).log(), 0).sum(-1) * (1 if p.dim() == 1 else 3),
         "For p (5, 10), q (5, 10): this is the right value times 3; 4 of 5 calls come out right."),
        ("paired_interval", lambda a, b: tuple(np.float64(end) + (end < 0) for end in interval(a, b)),
         "For a = [200, 210, 190], b = [180, 200, 185]: this is ("),
    ],
)  # fmt: skip
def test_a_sentence_stands_with_the_call_of_which_it_is_told(name, solution, told, verdict):
    said = verdict(name, solution).splitlines()[0]
    assert said.startswith(f"not yet. {told}")
    assert "np.float64" not in said


ONE_NUMBER = [name for name in LOSSES if name != "decoupled_kl"]


def under_no_grad(loss):
    return torch.no_grad()(loss)


@pytest.mark.parametrize("name", ONE_NUMBER)
@pytest.mark.parametrize(
    "trap",
    [
        under_no_grad,
        lambda loss: lambda *call: loss(*call).item(),
        lambda loss: lambda *call: loss(*call).detach(),
        lambda loss: lambda s, *rest: loss(s.detach(), *rest),
        lambda loss: lambda s, *rest: torch.tensor(loss(torch.from_numpy(s.numpy()), *rest).numpy()),
        lambda loss: lambda s, *rest: loss(s.detach(), *rest) + 0 * s.sum(),
    ],
)
def test_a_loss_that_trains_nothing_is_not_correct(name, trap, verdict):
    told = "the student gets no gradient (.item(), .detach(), numpy or no_grad): it would train nothing."
    assert verdict(name, trap(LOSSES[name])).startswith(f"not yet. The values are right, but {told}\nHint")


def test_a_loss_of_which_one_part_trains_nothing_is_not_correct(verdict):
    for loss in (
        loss_of(lambda s, t, temperature: kl_from(s, t, temperature).item()),
        loss_of(hard=lambda s, y, temperature: F.cross_entropy(s.detach(), y)),
    ):
        assert verdict("distillation_loss", loss).startswith(
            "not yet. The values are right, but not the student's gradient"
        )


@pytest.mark.parametrize("name", ONE_NUMBER)
def test_a_loss_is_right_under_no_grad_and_in_single_precision(name, verdict):
    def single(student, teacher, *rest):
        return LOSSES[name](student.float(), teacher.float(), *rest)

    with torch.no_grad():
        assert verdict(name, single).startswith("correct")
        assert "no gradient" in verdict(name, lambda *call: LOSSES[name](*call).item())


def test_a_part_that_trains_nothing_is_not_correct(verdict):
    def half(student, teacher, labels):
        first, second = LOSSES["decoupled_kl"](student, teacher, labels)
        return first, second.item()

    assert "not the student's gradient: is a part detached" in verdict("decoupled_kl", half)


def test_a_gradient_that_is_nan_is_told(verdict):
    def masked(student, teacher, labels):
        first, _ = LOSSES["decoupled_kl"](student, teacher, labels)
        own = F.one_hot(labels, student.shape[1]).bool()
        q = F.softmax(student.masked_fill(own, -torch.inf), 1)
        p = F.softmax(teacher.masked_fill(own, -torch.inf), 1)
        return first, torch.where(own, 0, p * (p / q).log()).sum(1).mean()

    assert verdict("decoupled_kl", masked).startswith(
        "not yet. The values are right, but the student's gradient is NaN"
    )


def step_then(change):
    def stepped(student, teacher, *rest):
        value = distill_step(student, teacher, *rest)
        change(student, teacher)
        return value

    return stepped


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda student, teacher: [p.data.mul_(2) for p in student.parameters()],
            "the student's weights aren't where one",
        ),
        (lambda student, teacher: [p.data.mul_(2) for p in teacher.parameters()], "the teacher's weights have moved"),
        (lambda student, teacher: [m.eval() for m in (student, teacher)], "the student is left in eval mode"),
    ],
)
def test_what_a_step_leaves_behind_is_told(change, told, verdict):
    assert f"the value is right, but {told}" in verdict("distill_step", step_then(change))


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")
@pytest.mark.parametrize(
    ("soft", "told"),
    [
        (partial(kl_from, reduction="mean"), ("reduction", "T²")),
        (lambda s, t, temperature: kl_from(t, s, temperature), ("T²",)),
    ],
)
def test_a_pair_of_mistakes_in_the_loss_is_diagnosed(soft, told, verdict):
    pytest.importorskip("kdtutor.diagnosis")
    said = verdict("distillation_loss", loss_of(soft, power=0)).splitlines()[0]
    assert "; and " in said
    assert all(word in said for word in told)


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")
@pytest.mark.parametrize(
    ("name", "solution", "told", "untold"),
    [
        ("kl_from_logits", lambda s, t, temperature: kl_from(t, s, temperature, "mean"),
         "; and the soft term is divided by B · C", "T²"),
        ("kl_from_logits", lambda s, t, temperature: temperature**3 * kl_from(s, t, temperature),
         "For s (6, 4), t (6, 4), temperature = 2: this is", "power"),
        ("distillation_loss", lambda *call: 6 * LOSSES["distillation_loss"](*call),
         "In all calls that differ: this is the right value times 6, the batch size.", "; and "),
    ],
)  # fmt: skip
def test_what_diagnose_knows_of_a_loss_is_told(name, solution, told, untold, verdict):
    pytest.importorskip("kdtutor.diagnosis")
    said = verdict(name, solution).splitlines()[0]
    assert told in said
    assert untold not in said


@pytest.mark.parametrize(
    ("text", "alone", "inside"),
    [
        ("right, but late", "Right, but late.", "right, but late"),
        ("a factor T is missing", "A factor T is missing.", "a factor T is missing"),
        ("A factor", "A factor.", "a factor"),
        ("The soft term", "The soft term.", "the soft term"),
        ("alpha, swapped", "alpha, swapped.", "alpha, swapped"),
        ("z is multiplied", "z is multiplied.", "z is multiplied"),
        ("T² is left out", "T² is left out.", "T² is left out"),
        ("T isn't used", "T isn't used.", "T isn't used"),
        ("KL(p ‖ q)?", "KL(p ‖ q)?", "KL(p ‖ q)?"),
        ("F.kl_div gets", "F.kl_div gets.", "F.kl_div gets"),
        ("p_s - p_t", "p_s - p_t.", "p_s - p_t"),
        ("`reduction` is", "`reduction` is.", "`reduction` is"),
    ],
)
def test_a_sentence_begins_with_a_capital_and_goes_on_without(text, alone, inside):
    assert (as_sentence(text), as_continuation(text)) == (alone, inside)


@pytest.mark.parametrize(
    ("name", "mistake", "solution"),
    [
        ("one_hot", "labels forgotten", lambda y, classes: torch.eye(len(y), classes)),
        ("kl_from_logits", "with T", lambda s, t, temperature: temperature * kl_from(s, t, temperature)),
        ("paired_interval", "normal quantile", partial(interval, quantile=lambda n: 1.96)),
        ("paired_interval", "normal quantile", partial(interval, quantile=lambda n: 2.0)),
        ("ensemble_logits", "mean logits", lambda z: z.sum(0)),
        ("ensemble_logits", "log before the mean", lambda z: z.log_softmax(-1).sum(0)),
        ("ensemble_logits", "not normalised", lambda z: z.logsumexp(0)),
        ("ensemble_logits", "not normalised", lambda z: z.exp().mean(0).log()),
    ],
)
def test_forms_of_a_mistake_have_its_sentence(name, mistake, solution, verdict):
    assert verdict(name, solution).lower().startswith(f"not yet. {mistake_sentence(name, mistake)}".lower())


@pytest.mark.parametrize("least", [1e-6, 1e-10, 1e-11, 1e-20])
def test_a_small_number_added_before_the_logarithm_is_a_clamp(least, verdict):
    said = verdict("log_soften", lambda z, temperature: (F.softmax(z / temperature, -1) + least).log())
    assert said.startswith("not yet. A clamp or a small number added")


def test_raw_logits_of_the_teacher_are_known_by_their_nan(verdict):
    said = verdict("kl_from_logits", lambda s, t, T: F.kl_div(F.log_softmax(s / T, -1), t / T, reduction="batchmean"))  # noqa: N803
    assert said.startswith("not yet. It is NaN throughout, as it is when F.kl_div is given the teacher's log-prob")


def test_prints_are_held_back_and_counted(verdict):
    def chatty(z, temperature):
        print("here\nand there")
        return F.softmax(z / temperature, -1)

    assert verdict("soften", chatty).splitlines()[-1] == "(Your function printed 10 lines, beginning 'here'.)"


def contents(name):
    """Copies of all arguments of an exercise's calls; a model as its weights and its mode."""
    arguments = [argument for call in CALLS[name] for argument in call]
    return copy.deepcopy([(a.state_dict(), a.training) if isinstance(a, nn.Module) else a for a in arguments])


def scramble(value):
    if isinstance(value, Tensor):
        value.zero_()
    elif isinstance(value, nn.Module):
        for parameter in value.parameters():
            parameter.detach().zero_()
            parameter.grad = None
        value.eval()
    elif isinstance(value, list):
        value.clear()


@pytest.mark.parametrize("name", EXERCISES)
def test_what_a_solution_does_to_its_arguments_stays_with_it(name, verdict):
    before = contents(name)
    verdict(name, lambda *arguments: [scramble(argument) for argument in arguments])
    torch.testing.assert_close(contents(name), before, rtol=0, atol=0)


def test_a_check_leaves_the_random_state_alone(verdict):
    before = torch.get_rng_state()
    verdict("distill_step", MISTAKES["distill_step"]["teacher asked in train mode"])
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", EXERCISES)
def test_a_hint_says_more(name, capsys):
    exercises.hint(name)
    assert capsys.readouterr().out == f"{name}: {EXERCISES[name].hint}\n{EXERCISES[name].more}\n"


@pytest.mark.parametrize("ask", [exercises.hint, exercises.solution, lambda name: exercises.check(name, len)])
def test_an_unknown_name_is_refused(ask):
    with pytest.raises(ValueError, match=r"name must be one of one_hot, entropy, .*, got 'sotfen'$"):
        ask("sotfen")


def test_a_value_is_no_solution():
    with pytest.raises(TypeError, match=r"^solution must be a function, got dtype torch.float32$"):
        exercises.check("soften", torch.ones(3))
