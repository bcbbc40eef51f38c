"""Mistakes in the weights of the two terms: alpha, T², constant factors, signs."""

from collections.abc import Iterator

from kdtutor.diagnosis.loss.parts import Dissection
from kdtutor.diagnosis.loss.probe import Probe
from kdtutor.diagnosis.loss.recognition import Part

Named = Iterator[tuple[str, dict]]
DIVERGENCES = ("kl", "kl_log", "ce")


def weights(found: Dissection, probe: Probe, alpha: str | None) -> Named:
    """What is wrong, or worth a note, in how the terms are weighed; `alpha` as in `naming.names`."""
    soft, hard, flags = found.soft, found.hard, found.flags
    spare = hard and (hard.slope or abs(hard.at - 1) > 1e-3) and found.rest != "smoothing"
    if "no_teacher" in flags and hard and "nan" not in flags:
        yield ("teacher_unused" if spare else "teacher_ignored"), {}
    if not soft:
        return
    negative = [
        term
        for term, part in (("soft", soft), ("hard", hard))
        if part and part.flows and max(part.weight(0.3), part.weight(0.8)) < 0
    ]
    yield from (("sign", {"term": term}) for term in negative)
    if "alpha" in probe.names and not any(part.slope for part in found.parts):
        yield "alpha_unused", {}
    if hard and soft.slope and hard.slope and not negative:
        yield from _meaning(soft, hard, probe.names["alpha"], alpha)
    elif soft.slope < 0 and alpha == "soft" and not negative:
        yield "alpha_swapped", {"sure": True}
    teacher_only = soft.ts == "1" or soft.ts == 1 != soft.tt  # then the gradient doesn't shrink with T
    if soft.form.kernel in DIVERGENCES and soft.form.q not in ("hard", "raw") and not (teacher_only or negative):
        yield from _squares(soft, hard, alone=not (hard or "hard_without_gradient" in flags))


def _meaning(soft: Part, hard: Part, name: str, alpha: str | None) -> Named:
    if abs(soft.slope / _scale(soft) - hard.slope / _scale(hard)) < 1e-3:
        yield "alpha_on_both", {}
        return
    for meaning, words in {"soft": ("soft", "kd", "dist"), "hard": ("hard", "ce")}.items():
        if alpha is None and any(word in name.lower() for word in words):
            alpha = meaning
    if soft.slope < 0 < hard.slope and alpha != "hard":
        yield "alpha_swapped", {"sure": alpha == "soft"}
    if hard.slope < 0 < soft.slope and alpha == "hard":
        yield "alpha_swapped", {"sure": True}


def _scale(part: Part) -> float:
    """The largest weight that alpha can give."""
    return max(abs(part.at), abs(part.at + part.slope)) or 1.0


def _squares(soft: Part, hard: Part | None, alone: bool) -> Named:
    """Whether T² stands where it belongs."""
    if isinstance(soft.ts, str):
        if hard and hard.power and soft.power - hard.power == 2:
            yield "divided", {}
        else:
            yield from _power(soft.power, alone=alone)
            if hard and hard.power == 2:
                yield "t2_on_hard", {}
        if soft.slope and abs(_scale(soft) - 1) > 1e-3:
            yield "constant_factor", _constant(_scale(soft), hard)
        return
    t = soft.ts
    if soft.slope:  # the temperature is fixed inside, alpha isn't
        factor = _scale(soft)
        power = next((p for p in (2, 0, 1) if abs(factor / t**p - 1) < 1e-3), None)
        if power is not None:
            yield from _power(power, alone=alone)
        else:
            yield "constant_factor", _constant(factor / t**2, hard)
        if hard and t != 1 and abs(_scale(hard) / t**2 - 1) < 1e-3:
            yield "t2_on_hard", {}
        return
    if not hard:
        power = next((p for p in (2, 0, 1) if abs(soft.at / t**p - 1) < 1e-3), 2)
        yield from _power(power, alone=True) if alone else ()
        return
    for power, other, name in ((2, 0, ""), (0, 0, "t2_missing"), (1, 0, "t_for_t2"), (2, 2, "t2_on_hard")):
        if abs(soft.at / t**power + hard.at / t**other - 1) < 1e-3:
            if name:
                yield name, {}
            return
    if t != 1 and abs(soft.at - hard.at) < 1e-3:
        yield "t2_missing", {}
    elif abs(soft.at / t**2 - hard.at) > 1e-3:
        share = soft.at / t**2 / (soft.at / t**2 + hard.at)
        yield "weights", {"soft": f"{soft.at:.4g}", "hard": f"{hard.at:.4g}", "share": f"{share:.3g}"}


def _constant(factor: float, hard: Part | None) -> dict:
    common = not hard or abs(_scale(hard) - factor) < 1e-3
    effect = "It acts as a learning rate." if common else f"The soft term counts {factor:.4g} times as much."
    return {"factor": f"{factor:.4g}", "effect": effect}


def _power(power: float, alone: bool) -> Named:
    if power == 2:
        return
    if alone:
        yield "t2_left_to_you", {}
    elif power == 0:
        yield "t2_missing", {}
    else:
        yield ("t_for_t2" if power == 1 else "t_power"), {"power": f"{power:g}"}
