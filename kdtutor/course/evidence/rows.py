"""Which experiments each claim rests on, and what the claim promises of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from kdtutor.course.evidence.studies import (
    all_labels,
    few_labels,
    generations,
    small_student,
    teachers,
    transfer,
)
from kdtutor.course.evidence.verdicts import MARGIN, Comparison


@dataclass(frozen=True)
class Evidence:
    """What a claim rests on.

    Attributes:
        decides: the comparisons that decide about it; all of them must hold.
        beside: further ones, which are reported with it and decide nothing.
    """

    decides: Sequence[Comparison]
    beside: Sequence[Comparison] = ()


TWO_LAYERS = ("few-labels", "1,000 labels, 784-100-100-10")
ONE_LAYER = ("few-labels", "1,000 labels, 784-50-10")
ALL = ("all-labels", all_labels.STANDARD)
TEACHERS = ("teachers", "teachers of 3,000 labels")
GENERATIONS = ("generations", "2,000 labels, 784-50-10")
NOISE = ("noise", "noise of gradients")
STABLE = ("stable-rates", "largest stable learning rate")
DOMAINS = ("domains", "a teacher of one data set, students of another")
ENSEMBLES = ("ensembles", "ten teachers")
REVERSE = ("generations", "2,000 labels, 784-10-10 teaches 784-100-10")
WRONG = ("wrong-labels", "3,000 labels, 40 % wrong")
ONE_RATE = ("one-rate", "20 views of 1,000 labels, one learning rate for both")
SMALL = ("small-student", "a small convolutional student")
# Units in each of two layers, and epochs.
BESIDE_CAPACITY = ((5, 3), (5, 10), (5, 30), (30, 3), (30, 30), (100, 3), (100, 30))


def views(steps: int) -> tuple[str, str]:
    """Study and experiment with 20 views of 1,000 labels, for this many steps."""
    return "views", f"20 views of 1,000 labels, {steps:,} steps"


def width(units: int, epochs: int, metric: str = "errors") -> Comparison:
    """Teacher against labels, for a student of two layers of `units`, with all labels."""
    name = all_labels.capacity_name(units, epochs)
    study = "all-labels" if name == all_labels.STANDARD else "widths"
    return Comparison(study, name, all_labels.LABELS, all_labels.TEACHER, metric=metric)


def _calibration(study: str, experiment: str, a: str, b: str) -> Comparison:
    return Comparison(study, experiment, a, b, metric="calibration_error", margin=0.001)


def _probabilities(experiment: tuple[str, str], a: str, b: str, but: str = "") -> list[Comparison]:
    """NLL and calibration error, as they are and after temperature scaling, without the one that decides."""
    comparisons = []
    for metric, margin in (("nll", 0.002), ("calibration_error", 0.001)):
        for name in (metric, f"{metric}_scaled"):
            if name != but:
                comparisons.append(Comparison(*experiment, a, b, metric=name, margin=margin))
    return comparisons


def _evidence() -> dict[str, Evidence]:
    """By claim of `claims.CLAIMS`."""
    f, a, t, g, x, s = few_labels, all_labels, teachers, generations, transfer, small_student
    return {
        "generalises": Evidence(
            # the teacher has seen shifted images, so labels on shifted images are the fair control
            [Comparison(*ALL, a.LABELS, a.TEACHER), Comparison(*ALL, a.LABELS_SHIFTED, a.TEACHER)],
            [Comparison(*ALL, a.LABELS, a.WIDE)],
        ),
        "few labels": Evidence(
            [Comparison(*TWO_LAYERS, f.LABELS, f.TEACHER)],
            [
                Comparison(*TWO_LAYERS, f.LABELS, f.SAME_LABELS),
                Comparison(*ONE_LAYER, f.LABELS, f.TEACHER),
                *_probabilities(TWO_LAYERS, f.LABELS, f.TEACHER),
            ],
        ),
        "mimics": Evidence(
            [
                Comparison(*ALL, a.LABELS, a.TEACHER, "higher", "agreement", margin=0.001),
                Comparison(*ALL, a.LABELS, a.TEACHER, "lower", "kl", margin=0.005),
            ],
            [Comparison(*ALL, a.LABELS, a.TEACHER, "higher", "agreement_on_mistakes", margin=0.01)],
        ),
        "less noise": Evidence(
            [
                Comparison(*NOISE, "fresh, labels", "fresh, T = 20", margin=0.1, logarithm=math.e),
                Comparison(
                    *NOISE, "after two epochs, labels", "after two epochs, T = 20", margin=0.1, logarithm=math.e
                ),
            ],
            [
                Comparison(*NOISE, "fresh, labels", "fresh, T = 1", margin=0.1, logarithm=math.e),
                Comparison(*NOISE, "after two epochs, labels", "after two epochs, T = 4", margin=0.1, logarithm=math.e),
            ],
        ),
        "higher rate": Evidence(
            [
                Comparison(*STABLE, "labels", "T = 4", "higher", margin=0.5, logarithm=2),
                Comparison(*STABLE, "labels", "T = 20", "higher", margin=0.5, logarithm=2),
            ],
            [
                Comparison(*STABLE, "labels", "T = 4, without T²", "higher", margin=0.5, logarithm=2),
                Comparison(*STABLE, "labels", "T = 20, without T²", "higher", margin=0.5, logarithm=2),
            ],
        ),
        "wrong labels": Evidence(
            [Comparison(*WRONG, t.LABELS, t.STOPPED)],
            [Comparison(*WRONG, t.LABELS, t.TO_THE_END)],
        ),
        "capacity": Evidence(
            [width(30, 10), width(100, 10)],
            [
                *(width(units, epochs) for units, epochs in BESIDE_CAPACITY),
                Comparison(*ALL, a.LABELS, a.WIDE),
            ],
        ),
        "missing class": Evidence(
            [Comparison("missing-class", "no 3 in the transfer set", x.LABELS, x.ABOVE_1)],
        ),
        "other transfer set": Evidence(
            [Comparison("transfer-sets", "transfer sets of 4,000 images", x.OWN, x.OTHER, "same")],
            [
                Comparison("transfer-sets", "transfer sets of 4,000 images", x.OTHER, x.SHUFFLED),
                Comparison("transfer-sets", "transfer sets of 4,000 images", x.OTHER, x.NOISE),
            ],
        ),
        "ensemble": Evidence(
            [Comparison(*ENSEMBLES, t.ONE, t.TEN_OF_SAME)],
            [
                Comparison(*ENSEMBLES, t.ONE, t.TEN),
                Comparison(*ENSEMBLES, t.ONE_OF_ALL, t.TEN),
            ],
        ),
        "reverse": Evidence([Comparison(*REVERSE, t.LABELS, g.SMALL)]),
        "domain": Evidence(
            [Comparison(*DOMAINS, x.FEW, x.UNLABELLED)],
            [
                Comparison(*DOMAINS, x.MANY, x.UNLABELLED),
                Comparison(*DOMAINS, x.UNLABELLED, x.WITH_FEW),
                Comparison(*DOMAINS, x.UNLABELLED, x.FROM_HOME),
            ],
        ),
        "multi-task": Evidence(
            [Comparison("tasks", "a second task", g.ONE_TASK, g.TWO_TASKS, "same", margin=3 * MARGIN)]
        ),
        "why smooth": Evidence(
            [Comparison("missing-class", "no 3 in the transfer set", x.AT_1, x.ABOVE_1)],
            [Comparison(*ALL, a.AT_1, a.TEACHER)],
        ),
        "faster": Evidence(
            [Comparison(*views(200), f.LABELS, f.TEACHER)],
            [Comparison(*views(50), f.LABELS, f.TEACHER), Comparison(*views(800), f.LABELS, f.TEACHER)],
        ),
        "script": Evidence(
            [Comparison("script", "the article's script, 784-128-10, 5 epochs", a.LABELS, a.SCRIPT)],
            _probabilities(("script", "the article's script, 784-128-10, 5 epochs"), a.LABELS, a.SCRIPT),
        ),
        "patience": Evidence(
            [Comparison(*views(2800), f.LABELS, f.TEACHER), Comparison(*views(2800), f.FIXED, f.TEACHER)],
            [Comparison(*views(steps), f.LABELS, f.TEACHER) for steps in few_labels.STEPS[:-1]],
        ),
        "smoothed teacher": Evidence([Comparison(*TEACHERS, t.UNITS_100, t.SMOOTHED, "higher")]),
        "better teacher": Evidence(
            [Comparison(*TEACHERS, t.UNITS_100, t.UNITS_300)],
            [Comparison(*TEACHERS, t.UNITS_10, t.UNITS_100)],
        ),
        "early-stopped teacher": Evidence([Comparison(*TEACHERS, t.UNITS_100, t.STOPPED)]),
        "calibration": Evidence(
            [
                _calibration(*ALL, a.LABELS, a.TEACHER),
                _calibration("widths", a.capacity_name(30, 10), a.LABELS, a.TEACHER),
                _calibration(*TWO_LAYERS, f.LABELS, f.TEACHER),
            ],
            [
                *_probabilities(ALL, a.LABELS, a.TEACHER, but="calibration_error"),
                *_probabilities(ALL, a.LABELS, a.WIDE),
                *_probabilities(TWO_LAYERS, f.LABELS, f.TEACHER, but="calibration_error"),
            ],
        ),
        "fidelity": Evidence(
            [Comparison("fidelity", "fidelity, 3,000 labels", t.FOR_ERRORS, t.FOR_AGREEMENT, "same")],
            [
                Comparison(
                    "fidelity",
                    "fidelity, 3,000 labels",
                    t.FOR_ERRORS,
                    t.FOR_AGREEMENT,
                    "higher",
                    "agreement",
                    margin=0.001,
                )
            ],
        ),
        "born again": Evidence([Comparison(*GENERATIONS, t.LABELS, g.GENERATION_1)]),
        "mutual": Evidence([Comparison(*GENERATIONS, t.LABELS, g.MUTUAL)]),
        "assistant": Evidence([Comparison("assistant", "an assistant for 784-15-10", g.DIRECT, g.ASSISTED)]),
        "small student": Evidence(
            [Comparison(*SMALL, s.FEW_SHIFTED, s.SOFT)],
            [
                Comparison(*SMALL, s.FEW, s.FEW_SHIFTED),
                Comparison(*SMALL, s.HARD, s.SOFT),
                Comparison(*SMALL, s.FEW_SHIFTED, s.SOFT_OF_SAME),
                Comparison(*SMALL, s.ALL, s.SOFT),
                Comparison(*SMALL, s.ALL_SHIFTED, s.SOFT_SHIFTED),
            ],
        ),
        "one rate": Evidence(
            [
                Comparison(
                    *ONE_RATE,
                    "difference at 0.001",
                    "difference at 0.01",
                    "different",
                )
            ]
        ),
    }


EVIDENCE = _evidence()
