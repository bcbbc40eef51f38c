"""The formula of a loss as text: z for logits and p for probabilities, with _s and _t for student and teacher."""

import re

from kdtutor.diagnosis.loss.analysis import Analysis
from kdtutor.diagnosis.loss.decomposition import CONSTANT, NOTHING, Decomposition
from kdtutor.diagnosis.loss.forms import HARD_KERNELS, STUDENT_TERMS, Hard, other_method
from kdtutor.diagnosis.loss.terms import CLOSE, Temperature, Term

LOGARITHMS = ("log_softmax", "softmax_twice", "softmax_over_batch")  # inputs that are logarithms of distributions
DISTRIBUTIONS = ("softmax", "softmax_twice", "softmax_over_batch", "argmax")


def write_formula(analysis: Analysis) -> str:
    """The formula, a sum of terms and a mean over the batch; empty where it isn't known."""
    decomposition, symptoms = analysis.decomposition, analysis.symptoms
    if decomposition.why:
        return ""

    summands = []
    for term in decomposition.terms:
        factor = write_factor(term, decomposition)
        if decomposition.row_weights is not None:
            factor = "w_i" if term is decomposition.soft else "v_i"
        summands.append(" · ".join(filter(None, [factor, write_term(term)])))
    if symptoms.soft_without_student:
        summands.append("f(z_t)")
    if symptoms.hard_without_gradient:
        summands.append("f(y, argmax z_s)")
    if decomposition.remainder not in (NOTHING, CONSTANT) and summands:
        name = decomposition.remainder.removeprefix("-")
        _, text = STUDENT_TERMS[name]
        summands.append(decomposition.remainder.replace(name, text))

    formula = " + ".join(summands).replace("+ -", "- ")
    if analysis.exchanged:
        return re.sub("(?<=[pz]_)[st]", lambda model: {"s": "t", "t": "s"}[model[0]], formula)
    return formula


def write_term(term: Term) -> str:
    """A term without its factor."""
    form = term.form
    p_s, z_s = _symbols("s", term.student_temperature)
    p_t, z_t = _symbols("t", term.teacher_temperature)

    if isinstance(form, Hard):
        p, z = (p_t, z_t) if form.kernel == "teacher" else (p_s, z_s)
        _, text = HARD_KERNELS[form.kernel]
        if term.by_class:
            text = "class-weighted " + text
        return text.format(p=p, z=z)
    method = other_method(form)
    if method:
        s, t = (z_s, z_t) if form.input == "logits" else (p_s, p_t)
        return method[1].format(s=s, t=t, beta=form.beta, rest=1 - form.beta)
    if form.reverse:
        p_s, p_t, z_s, z_t = p_t, p_s, z_t, z_s

    if form.standardised:
        p_s, p_t = f"{p_s} of z-scores", f"{p_t} of z-scores"
    input, target = _side(form.input, p_s, z_s), _side(form.target, p_t, z_t)
    proper = form.input in LOGARITHMS and form.target in DISTRIBUTIONS
    if form.kernel == "kl_log_target":
        return f"sum exp({target}) ({target} - {input})"
    if proper:
        distribution = p_s if form.input == "log_softmax" else input
        return f"H({target}, {distribution})" if form.kernel == "ce" else f"KL({target} ‖ {distribution})"
    if form.kernel == "ce":
        return f"(-sum {target} {input})"
    return f"sum {target} (log ({target}) - {input})"


def _side(side: str, p: str, z: str) -> str:
    """One of `forms.INPUTS` or `forms.TARGETS`, of a model with these probabilities and logits."""
    texts = {
        "softmax": p, "log_softmax": f"log {p}", "logits": z, "softmax_twice": f"softmax({p})",
        "softmax_over_batch": f"{p} over the batch", "argmax": "onehot(argmax z_t)",
    }  # fmt: skip
    return texts[side]


def _symbols(model: str, temperature: Temperature) -> tuple[str, str]:
    """A model's probabilities and its logits at this temperature."""
    name = temperature if isinstance(temperature, str) else f"{temperature:.4g}"
    if name == "1":
        return f"p_{model}", f"z_{model}"
    exponent = name if len(name) < 4 else f"({name})"
    return f"p_{model}^{exponent}", f"z_{model} / {name}"


def write_factor(term: Term, decomposition: Decomposition) -> str:
    """The factor of a term, without 1 / B, which is the mean over the batch, and 1 / L."""
    factors = [
        _weight(term, decomposition), _power("T", term.temperature_power), _power("C", term.class_power),
        _power("L", term.length_power + 1), _power("B", term.batch_power + 1),
    ]  # fmt: skip
    return " · ".join(filter(None, factors))


def _weight(term: Term, decomposition: Decomposition) -> str:
    """The part of the factor that may hold alpha, and T² where the temperature is fixed inside."""
    intercept, slope = float(f"{term.intercept:.5g}"), float(f"{term.slope:.5g}")
    temperature, hard = term.student_temperature, decomposition.hard
    if term is decomposition.soft and term.temperature_is_fixed and temperature != 1:
        square = f"{temperature:g}²"
        share = intercept / temperature**2
        fixed = hard and not slope and not hard.slope
        if fixed and abs(share + hard.intercept - 1) < CLOSE:
            return f"{share:.3g} · {square}"
        if intercept == 0 and abs(slope / temperature**2 - 1) < CLOSE:
            return f"alpha · {square}"

    if slope == 0:
        return _factor(intercept)
    if intercept == 0:
        return _factor(slope, "alpha")
    if intercept == -slope:
        return _factor(intercept, "(1 - alpha)")
    sign = "+" if slope > 0 else "-"
    return f"({intercept:.4g} {sign} {_factor(abs(slope), 'alpha')})"


def _factor(number: float, symbol: str = "") -> str:
    """A number before a symbol; 1 isn't written."""
    if number == 1:
        return symbol
    if number == -1 and symbol:
        return f"-{symbol}"
    return f"{number:.4g} {symbol}".rstrip()


def _power(symbol: str, power: float) -> str:
    texts = {0: "", 1: symbol, 2: f"{symbol}²", -1: f"1/{symbol}"}
    return texts.get(power, f"{symbol}^{power:.3g}")
