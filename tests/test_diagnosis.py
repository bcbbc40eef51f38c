"""`diagnose` on a zoo of losses: each mistake is called by its name, nothing right is called wrong, and what isn't
known is said not to be."""

# ruff: noqa: N803 (T is the temperature, as in the papers)

import re
import time
from dataclasses import replace
from itertools import combinations

import pytest
import torch.nn.functional as F
from hypothesis import example, given, settings
from hypothesis import strategies as st
from losses_zoo import CASES, UNKNOWN, kl, mutant, styles

from kdtutor.diagnosis import diagnose
from kdtutor.diagnosis.loss.analysis import analyse
from kdtutor.diagnosis.loss.catalogue import MISTAKES, NOTES
from kdtutor.diagnosis.loss.decomposition import CONSTANT, NOTHING
from kdtutor.diagnosis.loss.forms import (
    COSINE,
    JENSEN_SHANNON,
    MSE,
    MSE_OF_PROBABILITIES,
    SKEWED,
    SYMMETRIC,
    Hard,
    Soft,
)
from kdtutor.diagnosis.loss.observation import Output, negligible, observe
from kdtutor.diagnosis.loss.signature import read_signature
from kdtutor.diagnosis.loss.terms import Term, in_numbers


def named(findings):
    return {finding.name for finding in findings}


DIAGNOSES, SECONDS = {}, {}


def diagnosed(name):
    """The diagnosis of a loss of the zoo, asked for once."""
    if name not in DIAGNOSES:
        begun = time.process_time()
        loss, alpha = (CASES[name].loss, CASES[name].alpha) if name in CASES else (UNKNOWN[name], None)
        DIAGNOSES[name] = diagnose(loss, alpha=alpha, strict=True)
        SECONDS[name] = time.process_time() - begun
    return DIAGNOSES[name]


# Where mistakes are seen and the formula isn't: no gradient, NaN throughout, or labels and teacher in one term.
UNSEEN_FORMULAS = {"student_detached", "under_no_grad", "as_a_number", "infinite_weight", "log_of_logits"}
UNSEEN_FORMULAS |= {"kl_with_target_first", "hard_on_teacher"}


@pytest.mark.parametrize("name", CASES)
def test_a_loss_shows_its_mistakes_and_no_others(name):
    case, diagnosis = CASES[name], diagnosed(name)
    assert named(diagnosis.mistakes) == case.mistakes
    assert named(diagnosis.notes) >= case.notes
    if name not in UNSEEN_FORMULAS:
        assert diagnosis.known
        assert diagnosis.formula


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_is_not_known_is_said_not_to_be(name):
    diagnosis = diagnosed(name)
    assert not diagnosis.known
    assert diagnosis.formula == ""
    assert diagnosis.verdict.startswith("I can't tell which formula this is: ")
    assert named(diagnosis.mistakes) == ({"no_gradient"} if name == "constant" else set())


# `mutant`'s names where they aren't the catalogue's own.
ALIASES = {"soft_softmax_twice": "softmax_twice"}
SINGLE = [name for name in MISTAKES if name not in {
    "temperature_differs", "no_gradient", "in_place", "nan", "branch", "teacher_with_itself", "batchmean_on_sequences",
    "other_on_sequences", "reverse_cross_entropy", "soft_on_padding", "nan_without_tokens",
}] + [*ALIASES]  # fmt: skip
# What can't be seen where a number is fixed inside. With T = 3, z / T² is z / 9: for that T² = 9 is T instead of T².
UNSEEN = {
    "temperature inside": {"temperature_multiplied", "temperature_unused", "t_power"},
    "alpha inside": {"alpha_swapped", "alpha_on_both", "t2_in_one_branch"},
}
UNSEEN["both inside"] = UNSEEN["temperature inside"] | UNSEEN["alpha inside"]


@pytest.mark.parametrize("style", ["order", "temperature inside", "both inside"])
@pytest.mark.parametrize("mistake", SINGLE)
def test_a_mistake_is_named_in_any_style(mistake, style):
    expected = {ALIASES.get(mistake, mistake)} - UNSEEN.get(style, set())
    if mistake == "temperature_twice" and style in ("temperature inside", "both inside"):
        expected = {"t_for_t2"}
    assert named(diagnose(styles(mutant(mistake))[style], alpha="soft", strict=True).mistakes) == expected


@pytest.mark.parametrize("style", styles(mutant()))
def test_hintons_loss_is_right_in_any_style(style):
    diagnosis = diagnose(styles(mutant())[style], alpha="soft")
    assert (diagnosis.verdict, diagnosis.notes) == ("No known mistake.", ())
    assert diagnosis.formula == {
        "alpha inside": "0.8 · T² · KL(p_t^T ‖ p_s^T) + 0.2 · CE(y, p_s)",
        "both inside": "0.8 · 3² · KL(p_t^3 ‖ p_s^3) + 0.2 · CE(y, p_s)",
        "temperature inside": "alpha · 3² · KL(p_t^3 ‖ p_s^3) + (1 - alpha) · CE(y, p_s)",
    }.get(style, "alpha · T² · KL(p_t^T ‖ p_s^T) + (1 - alpha) · CE(y, p_s)")


PAIRED = (
    "reduction_mean", "t2_missing", "softmax_twice", "temperature_on_hard", "temperature_teacher_only",
    "temperature_student_only", "alpha_swapped", "reverse_kl", "student_probabilities", "teacher_log_probabilities",
    "argmax", "underflow", "t2_in_one_branch", "sum_with_mean",
)  # fmt: skip
# Not two mistakes: the one leaves no place for the other.
EXCLUSIVE = {
    ("reduction_mean", "sum_with_mean"),
    ("t2_missing", "t2_in_one_branch"),
    ("temperature_teacher_only", "temperature_student_only"),
    ("reverse_kl", "student_probabilities"),  # that is kl_arguments_swapped
    ("reverse_kl", "teacher_log_probabilities"),  # and so is that
    ("student_probabilities", "underflow"),  # no logarithm is taken
    ("softmax_twice", "argmax"),  # the classes are the same
    ("temperature_on_hard", "argmax"),
}
# What isn't there to be seen.
HIDDEN = {
    ("t2_missing", "temperature_teacher_only"): {"t2_missing"},  # the student at T = 1 has gradients that don't shrink
    ("teacher_log_probabilities", "argmax"): {"argmax"},  # the value is NaN, and argmax shows in the value alone
    ("teacher_log_probabilities", "underflow"): {"underflow"},  # NaN it is for all logits
    ("argmax", "sum_with_mean"): {"sum_with_mean"},  # a term without a gradient has no balance with another
}
PAIRS = [pair for pair in combinations(PAIRED, 2) if pair not in EXCLUSIVE]


@pytest.mark.parametrize("pair", PAIRS, ids="+".join)
def test_of_two_mistakes_both_are_named(pair):
    assert named(diagnose(mutant(*pair), alpha="soft", strict=True).mistakes) == {*pair} - HIDDEN.get(pair, set())


@pytest.mark.parametrize(
    "mistakes",
    [
        ("reduction_mean", "t2_missing", "alpha_swapped"),
        ("reduction_mean", "softmax_twice", "temperature_on_hard"),
        ("student_probabilities", "reduction_mean", "temperature_student_only"),
        ("reverse_kl", "t2_missing", "sum_with_mean"),
        ("teacher_log_probabilities", "softmax_twice", "t2_missing"),
        ("temperature_teacher_only", "argmax", "reduction_mean"),
        ("reduction_mean", "t2_missing", "alpha_swapped", "softmax_twice", "underflow"),
    ],
    ids="+".join,
)
def test_of_several_mistakes_all_are_named(mistakes):
    assert named(diagnose(mutant(*mistakes), alpha="soft", strict=True).mistakes) == {*mistakes}


@pytest.mark.parametrize("temperature", [0.5, 0.7, 0.95, 1, 2, 3.7, 6.66, 13, 20, 39.38, 50])
def test_a_temperature_that_is_fixed_inside_is_found(temperature):
    diagnosis = diagnose(lambda s, t, y: mutant("t2_missing")(s, t, y, temperature, 0.7))
    assert named(diagnosis.mistakes) == ({"t2_missing"} if temperature != 1 else set())
    power = "" if temperature == 1 else f"^{temperature:g}" if len(f"{temperature:g}") < 4 else f"^({temperature:g})"
    assert f"KL(p_t{power} ‖ p_s{power})" in diagnosis.formula


def test_all_that_the_catalogue_holds_is_reached_by_a_loss_of_the_zoo():
    reached = set().union(*(named((*diagnosed(name).mistakes, *diagnosed(name).notes)) for name in CASES))
    assert reached == {*MISTAKES, *NOTES}


def test_all_sentences_are_whole():
    findings = {x.name: x for name in (*CASES, *UNKNOWN) for x in (*diagnosed(name).mistakes, *diagnosed(name).notes)}
    for finding in findings.values():
        for text in (finding.what, finding.effect):
            assert re.fullmatch(r"[^{}\n]*[.:]", text), text
        assert not re.search(r"[{}]", finding.fix), finding.fix
        assert bool(finding.fix) == (finding.name in MISTAKES)


@pytest.mark.parametrize("name", CASES)
def test_a_report_shows_the_formula_and_every_finding(name):
    diagnosis = diagnosed(name)
    text, markdown = repr(diagnosis), diagnosis._repr_markdown_()
    assert text.startswith(diagnosis.verdict)
    assert f"**{diagnosis.verdict}**" in markdown
    assert diagnosis.formula in text
    assert f"`{diagnosis.formula}`" in markdown or not diagnosis.formula
    assert bool(diagnosis.formula) <= diagnosis.known
    for finding in (*diagnosis.mistakes, *diagnosis.notes):
        assert finding.name in text
        assert finding.what in " ".join(text.split())  # long lines are broken
        assert finding.what in markdown
        assert finding.fix in markdown


LINES = {
    "soft": 'soft = F.kl_div(F.log_softmax(s / T, dim=-1), F.softmax(t / T, dim=-1), reduction="batchmean")',
    "hard": "hard = F.cross_entropy(s, y)",
    "loss": "loss = alpha * T**2 * soft + (1 - alpha) * hard",
}


@pytest.mark.parametrize("mistake", [name for name in SINGLE if name not in ALIASES])
def test_the_line_to_write_instead_is_right(mistake):
    diagnosis = diagnose(mutant(mistake), alpha="soft", strict=True)
    (finding,) = (x for x in diagnosis.mistakes if x.name == mistake)
    target = finding.fix.split(" = ")[0]
    if target not in LINES:  # a line for the place where the loss is called
        assert finding.fix.startswith("s = student(inputs)")
        return
    scope = {"F": F}
    body = "\n    ".join((LINES | {target: finding.fix}).values())
    exec(f"def corrected(s, t, y, T, alpha):\n    t = t.detach()\n    {body}\n    return loss", scope)
    corrected = diagnose(scope["corrected"], alpha="soft")
    assert (corrected.mistakes, corrected.notes) == ((), ())


def test_the_lines_to_write_instead_have_the_names_of_the_loss():
    def loss(outputs, targets, teacher_outputs, tau, lambd):
        return lambd * kl(outputs, teacher_outputs, tau, "mean") + (1 - lambd) * F.cross_entropy(outputs / tau, targets)

    fixes = {finding.name: finding.fix for finding in diagnose(loss).mistakes}
    assert fixes == {
        "reduction_mean": "soft = F.kl_div(F.log_softmax(outputs / tau, dim=-1), "
        'F.softmax(teacher_outputs / tau, dim=-1), reduction="batchmean")',
        "t2_missing": "loss = lambd * tau**2 * soft + (1 - lambd) * hard",
        "temperature_on_hard": "hard = F.cross_entropy(outputs, targets)",
    }


@pytest.mark.parametrize("name", ["reduction_mean", "reverse_kl", "alpha_swapped"])
def test_what_is_meant_becomes_a_note(name):
    diagnosis = diagnose(mutant(name), alpha="soft", meant=[name])
    assert diagnosis.verdict == "No known mistake."
    assert name in named(diagnosis.notes)


FORMS = (
    Soft("kl"), Soft("ce"), Soft("kl", reverse=True), MSE, MSE_OF_PROBABILITIES, SYMMETRIC, COSINE,
    Soft("kl", input="softmax"), Soft("kl", input="logits"), Soft("kl", target="log_softmax"),
    Soft("ce", target="log_softmax"), Soft("kl", "softmax_twice", "softmax_twice"), Soft("kl_log_target"),
    Soft("ce", target="argmax"), replace(JENSEN_SHANNON, beta=0.37), replace(SKEWED, beta=0.96),
)  # fmt: skip
HARD_KERNELS = ("", "ce", "softmax_twice", "nll_p", "brier", "bce")
MIXTURES = st.sampled_from([JENSEN_SHANNON, SKEWED])
TEMPERATURES = st.one_of(st.sampled_from([1.0, 2.0, 4.0, 20.0]), st.floats(0.5, 50).map(lambda x: float(f"{x:.4g}")))


def composed(form, hard_kernel, temperatures, batch_power=-1, class_power=0, temperature_power=2, weights=(0.7, 0.3)):
    """The terms of a loss; the hard one, if there is one, at the student's temperature. "T" is an argument of it, a
    number is fixed inside."""
    terms = [
        Term(
            form, *temperatures, batch_power=batch_power, class_power=class_power,
            temperature_power=temperature_power if "T" in temperatures else 0, intercept=weights[0],
        )
    ]  # fmt: skip
    if hard_kernel:
        terms.append(Term(Hard(hard_kernel), temperatures[0], temperatures[0], intercept=weights[1]))
    return terms


def loss_of(terms):
    """The loss that consists of these terms, in lines of its own: torch's sums, its weights, its temperatures."""

    def whole(s, t, y, T):
        total = 0.0
        for term in terms:
            ts, tt = (in_numbers(temperature, T) for temperature in term.temperatures)
            arguments = (s / ts, t / tt) if isinstance(term.form, Soft) else (s / ts, t / ts, y)
            factor = term.intercept * T**term.temperature_power
            factor *= s.shape[0] ** term.batch_power * s.shape[1] ** term.class_power
            total = total + factor * term.form(*arguments)
        return total

    if any("T" in term.temperatures for term in terms):
        return whole
    return lambda s, t, y: whole(s, t, y, 1.0)


def check_on_other_sizes(loss):
    """If a formula is claimed for the loss, it holds for other batches, classes, temperatures and inputs."""
    analysis = analyse(read_signature(loss))
    decomposition = analysis.decomposition
    if decomposition.why:
        return
    assert decomposition.remainder in (NOTHING, CONSTANT)
    for shape, temperature, seed in (((9, 4), 3.3, 17), ((2, 11), 0.8, 18)):
        observation = observe(analysis.loss, shape, temperature=temperature, seed=seed)
        value, gradient = decomposition.left_over(observation)
        if decomposition.remainder == CONSTANT:
            value = value * 0
        assert negligible(Output(value, gradient), observation, tolerance=1e-4)


# Each form, each hard term, each reduction and each power of T, in ever other company.
BATCH_POWERS, CLASS_POWERS, POWERS_OF_T = (-1, 0, -2), (0, -1), (2, 0, 1, -2)
SIDES = (("T", "T"), (4.0, 4.0), ("T", 1.0), (1.0, "T"), (2.0, 1.0), (1.0, 1.0), (1.0, 20.0))


@pytest.mark.parametrize("number", range(len(FORMS)))
def test_a_formula_that_is_claimed_holds_on_inputs_of_any_size(number):
    def choice(values):
        return values[number % len(values)]

    check_on_other_sizes(
        loss_of(
            composed(
                FORMS[number], choice(HARD_KERNELS[::-1]), choice(SIDES), choice(BATCH_POWERS), choice(CLASS_POWERS),
                choice(POWERS_OF_T), (choice((0.7, 0.05, 20.0, 1.0)), choice((0.3, 2.0, 0.05))),
            )
        )
    )  # fmt: skip


@settings(deadline=None, max_examples=4, derandomize=True)
@given(
    form=st.sampled_from(FORMS)
    | st.builds(replace, st.sampled_from([JENSEN_SHANNON, SKEWED]), beta=st.floats(0.02, 0.98)),
    hard_kernel=st.sampled_from(HARD_KERNELS),
    temperature=TEMPERATURES,
    weights=st.tuples(st.floats(0.05, 20), st.floats(0.05, 2)),
)
def test_a_formula_with_odd_numbers_holds_if_it_is_claimed(form, hard_kernel, temperature, weights):
    check_on_other_sizes(loss_of(composed(form, hard_kernel, (temperature, temperature), weights=weights)))


@settings(deadline=None, max_examples=3, derandomize=True)
@given(temperature=TEMPERATURES, alpha=st.floats(0.02, 0.98), form=st.sampled_from(FORMS[:3]))
@example(temperature=0.5137, alpha=0.02, form=Soft("ce"))
@example(temperature=49.21, alpha=0.98, form=Soft("kl"))
@example(temperature=4.0, alpha=0.5, form=Soft("kl", reverse=True))
def test_a_known_form_is_known_at_any_temperature_and_weight(temperature, alpha, form):
    def loss(s, t, y):
        soft = temperature**2 * form(s / temperature, t / temperature) / len(s)
        return alpha * soft + (1 - alpha) * F.cross_entropy(s, y)

    decomposition = analyse(read_signature(loss)).decomposition
    assert not decomposition.why
    assert decomposition.soft.form == form
    assert decomposition.soft.temperatures == pytest.approx((temperature, temperature), rel=1e-4)
    assert decomposition.soft.intercept == pytest.approx(alpha * temperature**2, rel=1e-3)
    assert decomposition.hard.intercept == pytest.approx(1 - alpha, rel=1e-3)


def test_no_loss_of_the_zoo_takes_long():
    for name in (*CASES, *UNKNOWN):
        diagnosed(name)
    slowest = max(SECONDS, key=SECONDS.get)
    assert SECONDS[slowest] < 10, slowest


def test_a_report_is_the_same_the_second_time():
    for name in ("hinton", "jensen_shannon_037", "pytorch_tutorial", "divided_in_place"):
        assert repr(diagnose(CASES[name].loss, strict=True)) == repr(diagnosed(name))
