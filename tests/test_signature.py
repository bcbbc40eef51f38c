"""How `diagnose` calls losses that nobody wrote for it: which argument is which, what may come back, and what is left
as it was."""

# ruff: noqa: N803 (T is the temperature, as in the papers)

import functools
import re
import warnings

import pytest
import torch
import torch.nn.functional as F
from losses_zoo import kl, mutant
from torch import nn

import kdtutor as kd
from kdtutor.diagnosis import diagnose
from kdtutor.diagnosis.loss.signature import ROLES, read_signature

right = mutant()


def with_arguments(signature):
    """A loss of these arguments, which is called for its signature only."""
    scope = {}
    exec(f"def loss({signature}): ...", scope)
    return scope["loss"]


def roles(loss):
    return " ".join(read_signature(loss).names.get(role, "-") for role in ROLES)


# Student, teacher, labels, temperature, alpha, in this order.
SIGNATURES = {
    "student_logits, teacher_logits, labels, T, alpha": "student_logits teacher_logits labels T alpha",
    "student, teacher, labels=None, *, temperature=4.0, alpha=0.9": "student teacher labels temperature alpha",
    "s, t, y, T, alpha": "s t y T alpha",
    "s, t, T": "s t - T -",
    "t, s": "s t - - -",
    "z_s, z_t, y": "z_s z_t y - -",
    "zt, zs, y, tau": "zs zt y tau -",
    "y_s, y_t, target": "y_s y_t target - -",
    "logits_student, logits_teacher, target, temp": "logits_student logits_teacher target temp -",
    "outputs, labels, teacher_outputs, alpha, temperature": "outputs teacher_outputs labels temperature alpha",
    "outputs, teacher_outputs, targets, T=3, lambda_=0.5": "outputs teacher_outputs targets T lambda_",
    "y_pred_student, y_pred_teacher, y_true": "y_pred_student y_pred_teacher y_true - -",
    "y_pred, soft_labels, y_true": "y_pred soft_labels y_true - -",
    "logits, soft_targets, hard_targets, tau, weight": "logits soft_targets hard_targets tau weight",
    "y_true, y_pred, teacher_pred": "y_pred teacher_pred y_true - -",
    "pred, target": "pred target - - -",
    "input, target, reduction='mean'": "input target - - -",
    "a, b": "a b - - -",
    "first, second, third, fourth, fifth": "first second third fourth fifth",
    "student_out, teacher_out, gt, kd_temp=4.0, kd_alpha=0.5": "student_out teacher_out gt kd_temp kd_alpha",
    "stu_logits, tea_logits, label, *, T": "stu_logits tea_logits label T -",
}


@pytest.mark.parametrize("signature", SIGNATURES)
def test_arguments_are_told_by_name_and_else_by_place(signature):
    assert roles(with_arguments(signature)) == SIGNATURES[signature]


def test_what_it_took_for_what_is_said():
    taken = diagnose(lambda t, s, T: T**2 * kl(s, t, T)).taken
    assert "s is the student's logits" in taken
    assert "t is the teacher's logits" in taken
    assert "T is the temperature" in taken
    assert "no argument for alpha" in taken


@pytest.mark.parametrize(
    "signature",
    ["*args", "**kwargs", "*args, **kwargs", "", "student", "student, teacher, labels, temperature, alpha, epoch",
     "student, teacher, labels, temperature, alpha, *, features"],
)  # fmt: skip
def test_arguments_that_are_not_understood_are_named_and_an_adapter_is_asked_for(signature):
    with pytest.raises(ValueError, match="loss_fn must take logits of student and teacher") as caught:
        diagnose(with_arguments(signature))
    message = str(caught.value)
    assert "give an adapter: diagnose(lambda student, teacher, labels, temperature, alpha: …)" in message
    assert "\n" not in message
    for name in ("epoch", "features"):
        assert (f"{name} isn't understood" in message) == (name in signature)


@pytest.mark.parametrize("name", ["teacher_probs", "soft_labels", "soft_targets", "teacher_logits"])
def test_an_argument_that_is_to_hold_probabilities_is_not_called_a_mistake(name):
    scope = {"F": F}
    exec(f"def loss(student, {name}, y):\n    return F.cross_entropy(student, {name}.detach())", scope)
    diagnosis = diagnose(scope["loss"])
    assert [finding.name for finding in diagnosis.mistakes] == ["teacher_logits_raw"] * (name == "teacher_logits")
    assert diagnosis.known == (name == "teacher_logits")
    assert name == "teacher_logits" or diagnosis.why.startswith(f"{name} seems to want probabilities")


def test_arguments_by_place_alone_want_an_adapter():
    with pytest.raises(ValueError, match=r"positional-only \['s', 't'\].*adapter"):
        diagnose(with_arguments("s, t, /"))


@pytest.mark.parametrize("thing", [None, 3, "loss", torch.ones(2), nn.CrossEntropyLoss])
def test_what_cannot_be_asked_is_refused_in_a_sentence(thing):
    with pytest.raises((TypeError, ValueError), match="loss_fn must"):
        diagnose(3 if thing is nn.CrossEntropyLoss else thing)


@pytest.mark.parametrize(("name", "value"), [("alpha", "softly"), ("meant", ["nothing"])])
def test_bad_options_are_named(name, value):
    with pytest.raises(ValueError, match=f"{name} must .* got"):
        diagnose(right, **{name: value})


class Called:
    def __call__(self, student_logits, teacher_logits, labels, temperature=4.0, alpha=0.5):
        return right(student_logits, teacher_logits, labels, temperature, alpha)

    def method(self, student, teacher, labels, T, alpha):
        return right(student, teacher, labels, T, alpha)


class Module(nn.Module):
    def forward(self, student_logits, teacher_logits, labels, temperature=4.0, alpha=0.5):
        return right(student_logits, teacher_logits, labels, temperature, alpha)


def logged(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


WRAPPED = {
    "partial": functools.partial(right, alpha=0.3),
    "partial by place": functools.partial(lambda alpha, s, t, y: right(s, t, y, 4.0, alpha), 0.5),
    "decorated": logged(right),
    "lambda": lambda student, teacher, labels, T: right(student, teacher, labels, T, 0.5),
    "bound method": Called().method,
    "callable object": Called(),
    "module": Module(),
    "class of modules": Module,
    "keyword-only": lambda *, student, teacher, labels, T, alpha: right(student, teacher, labels, T, alpha),
    "dict": lambda s, t, y: {"loss": right(s, t, y, 4.0, 0.5), "soft": kl(s, t, 4.0)},
    "dict without loss": lambda s, t, y: {"total": right(s, t, y, 4.0, 0.5)},
    "tuple": lambda s, t, y: (right(s, t, y, 4.0, 0.5), kl(s, t, 4.0)),
    "shape (1,)": lambda s, t, y: right(s, t, y, 4.0, 0.5)[None],
    "by example": lambda s, t, y: right(s, t, y, 4.0, 0.5).expand(len(s)),
    "whole temperature": lambda s, t, y: right(s, t, y, 4, 0.5),
    "kdtutor's function": kd.distillation_loss,
    "kdtutor's module": kd.DistillationLoss(4.0, 0.9),
    "kdtutor's class": kd.DistillationLoss,
    "kdtutor's KL": kd.kl_divergence,
    "kdtutor's cross-entropy": kd.soft_cross_entropy,
    "torch's kl_div": lambda s, t: F.kl_div(s.log_softmax(-1), t.softmax(-1), reduction="batchmean"),
    "compiled": torch.compile(right),
    "compiled module": torch.compile(Module()),
}  # fmt: skip


@pytest.mark.parametrize("wrapping", WRAPPED)
def test_any_callable_of_logits_will_do(wrapping):
    diagnosis = diagnose(WRAPPED[wrapping])
    assert diagnosis.verdict == "No known mistake."
    assert re.search("KL|H", diagnosis.formula)


def test_a_compiled_loss_is_not_compiled_for_the_asking(monkeypatch):
    def compiler(*_):
        raise AssertionError("it was compiled")

    in_place = Module()
    in_place.compile(backend=compiler)
    for loss in (torch.compile(right, backend=compiler), torch.compile(Module(), backend=compiler), in_place):
        assert diagnose(loss).verdict == "No known mistake."


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_a_scripted_loss_wants_an_adapter():
    @torch.jit.script
    def scripted(s: torch.Tensor, t: torch.Tensor, T: float) -> torch.Tensor:
        return T * T * F.kl_div(F.log_softmax(s / T, -1), F.softmax(t / T, -1), reduction="batchmean")

    with pytest.raises(ValueError, match=r"signature that can be read.*adapter"):
        diagnose(scripted)
    assert diagnose(lambda s, t, T: scripted(s, t, T)).verdict == "No known mistake."


@pytest.mark.parametrize(
    "returned", [None, "0.5", torch.ones(7), torch.ones(2, 2), torch.ones((), dtype=torch.cfloat), (), {}]
)
def test_what_is_no_loss_is_refused(returned):
    with pytest.raises(ValueError, match="loss_fn must"):
        diagnose(lambda s, t: returned)


def test_an_error_of_the_loss_is_said_in_its_own_words():
    def loss(s, t, y):
        raise KeyError("the teacher is on holiday")

    with pytest.raises(
        ValueError, match=r"loss_fn must work on logits .*KeyError: 'the teacher is on holiday'"
    ) as caught:
        diagnose(loss)
    assert isinstance(caught.value.__cause__, KeyError)


@pytest.mark.parametrize("classes", [5, 10])
def test_a_loss_that_wants_float32_or_ten_classes_gets_them(classes):
    weight = torch.ones(classes)

    def loss(s, t, y, T, alpha):
        return right(s, t, y, T, alpha) + 0 * (s @ weight).sum()

    diagnosis = diagnose(loss)
    if classes == 10:
        assert (diagnosis.verdict, diagnosis.formula) == (
            "No known mistake.",
            "alpha · T² · KL(p_t^T ‖ p_s^T) + (1 - alpha) · CE(y, p_s)",
        )
    else:
        assert diagnosis.why.startswith("with other batches, classes, T or alpha it raises RuntimeError")


def test_a_dict_without_a_total_is_asked_back():
    parts = "loss_fn must return the loss, got a dict of kd, ce: give an adapter that returns one of them"
    with pytest.raises(ValueError, match=parts):
        diagnose(lambda s, t, y: {"kd": kl(s, t, 1), "ce": F.cross_entropy(s, y)})


def test_of_several_values_the_first_is_the_loss():
    def errors(s, y):
        return (s.argmax(1) != y).double().mean()

    assert diagnose(lambda s, t, y, T, alpha: (right(s, t, y, T, alpha), errors(s, y))).verdict == "No known mistake."
    with pytest.raises(ValueError, match="loss_fn must return the loss first, got a gradient in value 2 alone"):
        diagnose(lambda s, t, y, T, alpha: (errors(s, y), right(s, t, y, T, alpha)))


def test_an_argument_of_unknown_name_is_no_alpha():
    with pytest.raises(ValueError, match="epoch isn't understood"):
        diagnose(lambda student, teacher, labels, epoch, T: right(student, teacher, labels, T, epoch))


def test_arguments_that_keep_their_defaults_are_named():
    taken = diagnose(lambda s, t, y, T, alpha, gamma=0.5: right(s, t, y, T, alpha)).taken
    assert "gamma is left at 0.5" in taken


def test_a_loss_that_checks_its_alpha_is_asked_all_the_same():
    def loss(s, t, y, T, alpha):
        assert 0 < alpha < 1
        return right(s, t, y, T, alpha)

    assert diagnose(loss).verdict == "No known mistake."


def test_a_loss_that_checks_its_value_is_asked_all_the_same():
    def loss(s, t, y, T, alpha):
        value = mutant("underflow")(s, t, y, T, alpha)
        assert value.isfinite()
        return value

    assert diagnose(loss).known


def test_a_loss_of_so_many_classes_alone_is_said_to_be():
    def loss(s, t, y):
        return 0.5 * kl(s, t, 1.0) + 0.5 * F.cross_entropy(s, y, weight=torch.ones(5, dtype=s.dtype))

    try:
        diagnosis = diagnose(loss)
    except ValueError as error:
        assert "loss_fn must work on" in str(error)  # noqa: PT017 (either will do)
    else:
        assert not diagnosis.known


def test_a_loss_that_prints_or_warns_is_asked_all_the_same(capsys):
    def loss(s, t, y):
        print("step")
        warnings.warn("old", stacklevel=1)
        return right(s, t, y, 4.0, 0.5)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert diagnose(loss).verdict == "No known mistake."


def test_a_random_loss_is_known_for_random():
    diagnosis = diagnose(lambda s, t, y: right(F.dropout(s, 0.5), t, y, 4.0, 0.5))
    assert not diagnosis.known
    assert "another value each time" in diagnosis.why
    assert diagnosis.mistakes == ()


def test_nothing_is_left_changed():
    def state():
        return torch.get_rng_state().tolist(), torch.is_grad_enabled(), torch.get_default_dtype(), [*warnings.filters]

    module = Module()
    module.weight = nn.Parameter(torch.ones(()))
    torch.manual_seed(3)
    before = state()
    diagnose(module)
    diagnose(lambda s, t, y: right(F.dropout(s, 0.5), t, y, 4.0, 0.5))
    assert state() == before
    assert module.training
    assert module.weight.grad is None


def report(loss=right):
    return repr(diagnose(loss))


def test_reports_are_the_same_each_time_and_whatever_the_seed():
    first = report(mutant("reduction_mean", "t2_missing"))
    torch.manual_seed(11)
    assert report(mutant("reduction_mean", "t2_missing")) == first


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_the_callers_grad_mode_makes_no_difference(mode):
    expected = report()
    with mode():
        assert report() == expected


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_the_default_dtype_makes_no_difference(dtype):
    expected, old = report(), torch.get_default_dtype()
    try:
        torch.set_default_dtype(dtype)
        assert report() == expected
    finally:
        torch.set_default_dtype(old)


def test_deterministic_algorithms_and_anomaly_mode_make_no_difference():
    expected = report()
    with torch.autograd.set_detect_anomaly(True), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert report() == expected
