"""A loss's formula as text and in LaTeX, from its parts."""

import re

from kdtutor.diagnosis.loss.formulas import Soft
from kdtutor.diagnosis.loss.parts import Dissection
from kdtutor.diagnosis.loss.recognition import Part

TIMES = (r"\,", " · ")  # in LaTeX, and in text
PLAIN = {
    "mse": (r"\lVert {s} - {t} \rVert^2", "|{s} - {t}|²"),
    "l1": (r"\lVert {s} - {t} \rVert_1", "|{s} - {t}|₁"),
    "smooth_l1": (r"\mathrm{{smoothL1}}({s}, {t})", "smoothL1({s}, {t})"),
    "cosine": (r"(1 - \cos({s}, {t}))", "(1 - cos({s}, {t}))"),
    "mse_p": (r"\lVert {s} - {t} \rVert^2", "|{s} - {t}|²"),
    "l1_p": (r"\lVert {s} - {t} \rVert_1", "|{s} - {t}|₁"),
    "mse_log": (r"\lVert \log {s} - \log {t} \rVert^2", "|log {s} - log {t}|²"),
    "symmetric": (
        r"\left(\mathrm{{KL}}({t} \Vert {s}) + \mathrm{{KL}}({s} \Vert {t})\right)",
        "(KL({t} ‖ {s}) + KL({s} ‖ {t}))",
    ),
    "jsd": (r"\mathrm{{JSD}}_{{{beta:g}}}({t}, {s})", "JSD({t}, {s}; beta = {beta:g})"),
    "skew": (r"\mathrm{{KL}}({t} \Vert {beta:g}\,{t} + {rest:g}\,{s})", "KL({t} ‖ {beta:g} {t} + {rest:g} {s})"),
}
HARD = {
    "ce": (r"\mathrm{{CE}}(y, {p})", "CE(y, {p})"),
    "twice": (r"\mathrm{{CE}}(y, \mathrm{{softmax}}({p}))", "CE(y, softmax({p}))"),
    "nll_p": (r"\left(-{p}(y)\right)", "(-{p}(y))"),
    "teacher": (r"\mathrm{{CE}}(y, {p})", "CE(y, {p})"),
    "brier": (r"\lVert {p} - \mathrm{{onehot}}(y) \rVert^2", "|{p} - onehot(y)|²"),
    "bce": (r"\mathrm{{BCE}}(y, {z})", "BCE(y, {z})"),
    "mse": (r"\lVert {z} - \mathrm{{onehot}}(y) \rVert^2", "|{z} - onehot(y)|²"),
}


RESTS = {  # with plus and with minus; w > 0
    "smoothing": ("w H(uniform, p_s)", "-w H(uniform, p_s)"),
    "entropy": ("-w H(p_s)", "w H(p_s)"),
    "square": ("w z_s^2", "-w z_s^2"),
}


def written(found: Dissection, swapped: bool = False) -> tuple[str, str]:
    """The formula in LaTeX and as text, a sum of terms; empty where the loss isn't known. swapped: what was taken for
    the student is the teacher."""
    if found.why or not (found.parts or found.flags & {"soft_without_student", "hard_without_gradient"}):
        return "", ""
    tex, text = [], []
    for part in found.parts:
        for out, index in ((tex, 0), (text, 1)):
            weight = _weight(part, found, index) if found.weights is None else "v_i" if part is found.hard else "w_i"
            out.append(weight + (TIMES[index] if weight else "") + _term(part, index))
    if "soft_without_student" in found.flags:
        tex.append(r"f(z_t)")
        text.append("f(z_t)")
    if "hard_without_gradient" in found.flags:
        tex.append(r"f(y, \arg\max z_s)")
        text.append("f(y, argmax z_s)")
    if found.rest in ("smoothing", "entropy", "square"):
        for out in (tex, text):
            out.append(RESTS[found.rest][found.share < 0])
    sums = [" + ".join(terms).replace("+ -", "- ") for terms in (tex, text)]
    return tuple(map(_exchanged, sums) if swapped else sums)


def _exchanged(formula: str) -> str:
    return re.sub(r"([pz])_([st])", lambda found: f"{found[1]}_{'t' if found[2] == 's' else 's'}", formula)


def _term(part: Part, text: int) -> str:
    form, s, t = part.form, _probabilities("s", part.ts, text), _probabilities("t", part.tt, text)
    z_s, z_t = _logits("s", part.ts, text), _logits("t", part.tt, text)
    if not isinstance(form, Soft):
        p, z = (t, z_t) if form.kernel == "teacher" else (s, z_s)
        return HARD[form.kernel][text].format(p=p, z=z)
    if form.kernel in PLAIN:
        if form.kernel in ("mse", "l1", "smooth_l1", "cosine"):
            s, t = z_s, z_t
        return PLAIN[form.kernel][text].format(s=s, t=t, beta=form.beta, rest=1 - form.beta)
    log, softmax, sure = (r"\log ", r"\mathrm{softmax}", r"\mathrm{onehot}(\arg\max z_t)") if not text else (
        "log ", "softmax", "onehot(argmax z_t)"
    )  # fmt: skip
    batch = (r"\mathrm{{batchwise}}({})", "{} over the batch")[text]

    def side(kind: str, p: str, z: str) -> str:
        return {"p": p, "log": log + p, "raw": z, "twice": f"{softmax}({p})", "batch": batch.format(p), "hard": sure}[
            kind
        ]

    (pa, za), (pq, zq) = ((t, z_t), (s, z_s)) if form.reverse else ((s, z_s), (t, z_t))
    if form.kernel != "kl_log" and form.a in ("log", "twice", "batch") and form.q in ("p", "twice", "batch", "hard"):
        q, a = side(form.q, pq, zq), side("p" if form.a == "log" else form.a, pa, za)
        if form.kernel == "ce":
            return f"H({q}, {a})"
        return f"KL({q} ‖ {a})" if text else rf"\mathrm{{KL}}({q} \Vert {a})"
    q, a = side(form.q, pq, zq), side(form.a, pa, za)
    total = ("\\sum_c", "sum")[text]
    if form.kernel == "ce":
        return rf"(-{total} {q} {a})"
    if form.kernel == "kl_log":
        return f"{total} exp({q}) ({q} - {a})" if text else rf"\sum_c e^{{{q}}} ({q} - {a})"
    return f"{total} {q} ({log}({q}) - {a})"


def _probabilities(side: str, temperature: str | float, text: int) -> str:
    name = _temperature(temperature)
    power = (
        "" if name == "1" else f"^{name}" if text and len(name) < 4 else f"^({name})" if text else f"^{{{_tex(name)}}}"
    )
    return f"p_{side}{power}"


def _logits(side: str, temperature: str | float, text: int) -> str:
    name = _temperature(temperature)
    return f"z_{side}" if name == "1" else f"z_{side} / {name if text else _tex(name)}"


def _temperature(temperature: str | float) -> str:
    return temperature if isinstance(temperature, str) else f"{temperature:.4g}"


def _tex(name: str) -> str:
    return name.replace("²", "^2")


def _weight(part: Part, found: Dissection, text: int) -> str:
    """The factor of a term, without 1 / B, which is the mean over the batch."""
    alpha = (r"\alpha", "alpha")[text]
    at, slope = (float(f"{number:.5g}") for number in (part.at, part.slope))
    t, hard = part.ts, found.hard
    squared = part is found.soft and isinstance(t, float) and t != 1  # a temperature that is fixed inside
    if squared and not slope and hard and not hard.slope and abs(at / t**2 + hard.at - 1) < 1e-3:
        weight = f"{at / t**2:.3g} · {t:g}²" if text else rf"{at / t**2:.3g} \cdot {t:g}^2"
    elif squared and at == 0 and abs(slope / t**2 - 1) < 1e-3:
        weight = f"{alpha} · {t:g}²" if text else rf"{alpha} \cdot {t:g}^2"
    elif not slope:
        weight = "" if at == 1 else f"{at:.4g}"
    elif at == 0:
        weight = {1: alpha, -1: f"-{alpha}"}.get(slope, f"{slope:.4g} {alpha}")
    elif slope == -at:
        weight = {1: "", -1: "-"}.get(at, f"{at:.4g} ") + f"(1 - {alpha})"
    else:
        size = "" if abs(slope) == 1 else f"{abs(slope):.4g} "
        weight = f"({at:.4g} {'+' if slope > 0 else '-'} {size}{alpha})"
    factors = [weight] if weight else []
    for name, exponent in (("T", part.power), ("C", part.classes), ("L", part.length + 1), ("B", part.batch + 1)):
        if exponent and not (name == "L" and part.length == -1):
            factors.append(_raised(name, exponent, text))
    return TIMES[text].join(factors)


def _raised(name: str, exponent: float, text: int) -> str:
    if exponent == 1:
        return name
    if text:
        return {2: f"{name}²", -1: f"1/{name}"}.get(exponent, f"{name}^{exponent:.3g}")
    return rf"{name}^{{{exponent:.3g}}}"
