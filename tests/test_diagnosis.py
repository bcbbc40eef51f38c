"""`diagnose` on a zoo of losses: each mistake is called by its name, nothing right is called wrong, and what isn't
known is said not to be."""

# ruff: noqa: N803 (T is the temperature, as in the papers)

import re
import time
from itertools import combinations

import pytest
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from losses_zoo import CASES, UNKNOWN, kl, mutant, styles

from kdtutor.diagnosis import diagnose
from kdtutor.diagnosis.loss.catalogue import MISTAKES
from kdtutor.diagnosis.loss.dissection import dissect
from kdtutor.diagnosis.loss.formulas import Hard, Soft
from kdtutor.diagnosis.loss.notes import NOTES
from kdtutor.diagnosis.loss.parts import left_over, small
from kdtutor.diagnosis.loss.probe import probe
from kdtutor.diagnosis.loss.recognition import Part, see


def named(findings):
    return {finding.name for finding in findings}


DIAGNOSES, SECONDS = {}, {}


def diagnosed(name):
    """The diagnosis of a loss of the zoo, asked for once."""
    if name not in DIAGNOSES:
        begun = time.perf_counter()
        loss, alpha = (CASES[name].loss, CASES[name].alpha) if name in CASES else (UNKNOWN[name], None)
        DIAGNOSES[name] = diagnose(loss, alpha=alpha)
        SECONDS[name] = time.perf_counter() - begun
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
    "other_on_sequences",
}] + [*ALIASES]  # fmt: skip
# What can't be seen where a number is fixed inside. With T = 3, z / T² is z / 9: for that T² = 9 is T in place of T².
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
    assert named(diagnose(styles(mutant(mistake))[style], alpha="soft").mistakes) == expected


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
    ("reverse_kl", "underflow"): {"underflow"},  # a note, there
    ("teacher_log_probabilities", "argmax"): {"argmax"},  # the value is NaN, and argmax shows in the value alone
    ("teacher_log_probabilities", "underflow"): {"underflow"},  # NaN it is for all logits
    ("argmax", "sum_with_mean"): {"sum_with_mean"},  # a term without a gradient has no balance with another
}
PAIRS = [pair for pair in combinations(PAIRED, 2) if pair not in EXCLUSIVE]


@pytest.mark.parametrize("pair", PAIRS, ids="+".join)
def test_of_two_mistakes_both_are_named(pair):
    assert named(diagnose(mutant(*pair), alpha="soft").mistakes) == {*pair} - HIDDEN.get(pair, set())


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
    assert named(diagnose(mutant(*mistakes), alpha="soft").mistakes) == {*mistakes}


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
    found = {x.name: x for name in (*CASES, *UNKNOWN) for x in (*diagnosed(name).mistakes, *diagnosed(name).notes)}
    for finding in found.values():
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
    diagnosis = diagnose(mutant(mistake), alpha="soft")
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


KERNELS = (
    Soft("kl"), Soft("ce"), Soft("kl", reverse=True), Soft("mse"), Soft("mse_p"), Soft("symmetric"), Soft("cosine"),
    Soft("kl", a="p"), Soft("kl", a="raw"), Soft("kl", q="log"), Soft("ce", q="log"), Soft("kl", "twice", "twice"),
    Soft("kl_log"), Soft("ce", q="hard"),
)  # fmt: skip
TEMPERATURES = st.one_of(st.sampled_from([1.0, 2.0, 4.0, 20.0]), st.floats(0.5, 50).map(lambda x: float(f"{x:.4g}")))


@st.composite
def losses(draw):
    """A loss of terms that are drawn at random, as the parts that it consists of."""
    form = draw(
        st.one_of(
            st.sampled_from(KERNELS), st.builds(Soft, st.sampled_from(["jsd", "skew"]), beta=st.floats(0.02, 0.98))
        )
    )
    inside = draw(st.booleans())
    temperature = st.just(draw(TEMPERATURES)) if inside else st.just("T")
    one = 1.0 if inside else "1"
    side = st.one_of(temperature, temperature, st.just(one))
    soft = Part(
        form, draw(side), draw(side), batch=draw(st.sampled_from([-1, -1, -1, 0, -2])),
        classes=draw(st.sampled_from([0, 0, -1])), power=0 if inside else draw(st.sampled_from([2, 2, 0, 1, -2])),
        at=draw(st.floats(0.05, 20)), slope=0.0,
    )  # fmt: skip
    kernel = draw(st.sampled_from(["", "ce", "ce", "twice", "nll_p", "brier", "bce"]))
    x = draw(side)
    hard = Part(Hard(kernel), x, x, at=draw(st.floats(0.05, 2)), slope=0.0) if kernel else None
    return [part for part in (soft, hard) if part], inside


def loss_of(parts, inside):
    """The loss that consists of these parts, in lines of its own: torch's sums, its weights, its temperatures."""

    def whole(s, t, y, T):
        total = 0.0
        for part in parts:
            ts, tt = (x if not isinstance(x, str) else T if x == "T" else 1.0 for x in (part.ts, part.tt))
            arguments = (s, t, ts, tt) if isinstance(part.form, Soft) else (s, t, y, ts)
            factor = part.at * T**part.power * s.shape[0] ** part.batch * s.shape[1] ** part.classes
            total = total + factor * part.form(*arguments)
        return total

    return (lambda s, t, y: whole(s, t, y, 1.0)) if inside else whole


@settings(deadline=None, max_examples=20, derandomize=True)
@given(losses())
def test_a_formula_that_is_claimed_holds_on_inputs_of_any_size(drawn):
    asked = probe(loss_of(*drawn))
    found = dissect(asked)
    if found.why:
        return
    for shape, temperature, seed in (((9, 4), 3.3, 17), ((2, 11), 0.8, 18)):
        seen = see(asked, shape, temperature=temperature, seed=seed)
        left = left_over(found, seen)
        if found.rest == "constant":
            left = left[0] * 0, left[1]
        assert found.rest in ("nothing", "constant")
        assert small(left, seen, tolerance=1e-4)


@settings(deadline=None, max_examples=15, derandomize=True)
@given(temperature=TEMPERATURES, alpha=st.floats(0.02, 0.98), kernel=st.sampled_from(["kl", "ce", "reverse"]))
def test_a_known_form_is_known_at_any_temperature_and_weight(temperature, alpha, kernel):
    form = Soft("kl", reverse=True) if kernel == "reverse" else Soft(kernel)

    def loss(s, t, y):
        return alpha * temperature**2 * form(s, t, temperature, temperature) / len(s) + (1 - alpha) * F.cross_entropy(
            s, y
        )

    found = dissect(probe(loss))
    assert not found.why
    assert found.soft.form == form
    assert found.soft.ts == found.soft.tt == pytest.approx(temperature, rel=1e-4)
    assert found.soft.at == pytest.approx(alpha * temperature**2, rel=1e-3)
    assert found.hard.at == pytest.approx(1 - alpha, rel=1e-3)


def test_no_loss_of_the_zoo_takes_long():
    for name in (*CASES, *UNKNOWN):
        diagnosed(name)
    slowest = max(SECONDS, key=SECONDS.get)
    assert SECONDS[slowest] < 10, slowest


def test_a_report_is_the_same_the_second_time():
    for name in ("hinton", "jensen_shannon_037", "pytorch_tutorial", "divided_in_place"):
        assert repr(diagnose(CASES[name].loss)) == repr(diagnosed(name))
