"""How two ways to train are compared here, so that neither side is favoured: the protocol of every comparison.

1. *Arms.* Each way to train is an arm. Its students differ from those of the other arms in nothing but the method.
2. *Choosing.* Each arm has a grid: learning rates, and where they are its own to choose lengths of training,
   temperatures and weights alpha. What counts are the validation errors of students of the choosing seeds. The search
   begins in the middle of the grid and goes along one axis at a time, step by step, as long as a step gains 1 % or
   more, until no axis moves. Where it reaches an end of an axis, the axis grows. So each side gets the learning rate
   that suits it, with worse ones on either side of it. In the end each arm tries what the other arms chose on the axes
   that they share, and walks on from there if that is better.
3. *Results.* New seeds, the same for all arms, are trained with what was chosen. With the same seed students of all
   arms start from the same weights and see the same images. Only now are the test images looked at, once.

Nothing here knows what a student is: an arm is a function from a seed and settings to logits, and the tests put arms
with known answers in.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from statistics import fmean
from typing import Any

from torch import Tensor

from kdtutor import metrics
from kdtutor.course.evidence.search import Choice, Settings, choose
from kdtutor.course.records import Records, Row, pack_wrong
from kdtutor.data import Dataset
from kdtutor.losses import kl_divergence

# Of one student: its logits on "validation" and on "test"; and under "teacher" those of its teacher on the test images,
# where agreement is of interest.
Trained = Mapping[str, Tensor]

LIMITS = {"lr": (1e-5, 10.0), "temperature": (0.5, 64.0), "alpha": (0.1, 1.0), "epochs": (1, 400)}
FEWEST_RATES = 3  # in the grid of each arm


@dataclass(frozen=True)
class Arm:
    """A way to train.

    Attributes:
        name: as in "*learning from labels* makes 12 fewer errors than …".
        train: train(seed, settings) -> for each of the settings one student trained with them, as its logits.
        grid: the values of each axis to begin with. An axis with a single value is given, not chosen.
        criterion: the validation metric that is lowest where the settings are best; see `measure`.
    """

    name: str
    train: Callable[[int, Sequence[Settings]], Sequence[Trained]]
    grid: Mapping[str, Sequence[float]]
    criterion: str = "validation_errors"


@dataclass(frozen=True)
class Experiment:
    """Arms to be compared in one situation, on the held-out images of `data`; `longest` bounds the epochs. Where a
    student takes minutes there are fewer `seeds`."""

    name: str
    data: Dataset
    arms: Sequence[Arm]
    longest: int = 400
    seeds: int = 10


@dataclass(frozen=True)
class Measurement:
    """What needs no choice: measure(seed) -> named numbers, such as the noise of gradients."""

    name: str
    measure: Callable[[int], Mapping[str, float]]


@dataclass(frozen=True)
class Plan:
    """Which seeds choose and which are compared, and whether axes grow."""

    choosers: Sequence[int] = (100, 101, 102)
    seeds: Sequence[int] = range(10)
    widen: bool = True


def run_experiment(experiment: Experiment, records: Records, plan: Plan) -> None:
    """Choose for each arm, then train the results' students: whatever isn't recorded yet."""
    check_fair(experiment, plan)
    first = {arm.name: _choose_for(arm, experiment, records, plan) for arm in experiment.arms}
    choices = {}
    for arm in experiment.arms:
        others = [_chosen(first[other.name], other.grid) for other in experiment.arms if other is not arm]
        choices[arm.name] = _choose_for(arm, experiment, records, plan, others)

    for seed in plan.seeds[: experiment.seeds]:
        for arm in experiment.arms:
            choice = choices[arm.name]
            key = {"experiment": experiment.name, "arm": arm.name, "seed": seed}
            row = records.find("result", **key) or records.add("result", _result(arm, experiment, choice), **key)
            if row["chosen"] != choice.settings:
                raise ValueError(
                    f"{records.path} must have results of what is chosen, {choice.settings}, got {row['chosen']} for "
                    f"{arm.name!r} in {experiment.name!r}: its records were made by another version; use another folder"
                )
    _finish(experiment.name, records)


def run_measurement(measurement: Measurement, records: Records, plan: Plan) -> None:
    """Measure with each seed of the results, unless it is recorded."""
    for seed in plan.seeds:
        key = {"experiment": measurement.name, "seed": seed}
        if records.find("measurement", **key) is None:
            records.add("measurement", lambda seed, **_: dict(measurement.measure(seed)), **key)
    _finish(measurement.name, records)


def _finish(name: str, records: Records) -> None:
    """Record that an experiment is whole: half an experiment isn't judged."""
    records("finished", lambda **_: {}, experiment=name)


def check_fair(experiment: Experiment, plan: Plan) -> None:
    """Raise ValueError where an arm is at a disadvantage: with too few learning rates of its own, with other rates or
    lengths to begin with than the first arm; or where the seeds that choose are among those that are compared."""
    shared = sorted({*plan.choosers} & {*plan.seeds})
    if shared:
        raise ValueError(f"the seeds that choose must not be among those that are compared, got {shared} in both")

    first = experiment.arms[0]
    for arm in experiment.arms:
        rates = sorted(arm.grid["lr"])
        if len(rates) < FEWEST_RATES:
            raise ValueError(
                f"each arm must have {FEWEST_RATES} learning rates or more to choose from, "
                f"got {rates} for {arm.name!r} in {experiment.name!r}"
            )
        for axis in ("lr", "epochs"):
            if sorted(arm.grid[axis]) != sorted(first.grid[axis]):
                raise ValueError(
                    f"all arms must begin with the same values of {axis}, got {list(arm.grid[axis])} for "
                    f"{arm.name!r} and {list(first.grid[axis])} for {first.name!r} in {experiment.name!r}"
                )


def _choose_for(
    arm: Arm, experiment: Experiment, records: Records, plan: Plan, others: Sequence[Settings] = ()
) -> Choice:
    """The choice for an arm, by the mean of its criterion over the choosing seeds; `others` were chosen for the other
    arms."""

    def loss(candidates: Sequence[Settings]) -> list[float]:
        key = {"experiment": experiment.name, "arm": arm.name}
        rows = [records.find("choice", **key, **settings) for settings in candidates]
        missing = [settings for settings, row in zip(candidates, rows, strict=True) if row is None]
        if missing:
            for settings, values in zip(missing, _values_by_seed(arm, experiment, plan, missing), strict=True):
                records.add("choice", lambda values=values, **_: {"validation": values}, **key, **settings)
            rows = [records.find("choice", **key, **settings) for settings in candidates]
        return [_mean_or_infinite(row["validation"]) for row in rows]

    limits = {**LIMITS, "epochs": (1, experiment.longest)}
    return choose(arm.grid, loss, limits, plan.widen, others)


def _chosen(choice: Choice, grid: Mapping[str, Sequence[float]]) -> Settings:
    """The settings that were chosen, without those that were given."""
    return {name: value for name, value in choice.settings.items() if len(grid[name]) > 1}


def _mean_or_infinite(values: Sequence[float | None]) -> float:
    """The mean over seeds; infinite if a student diverged."""
    finite = [value for value in values if value is not None]
    return fmean(finite) if len(finite) == len(values) else inf


def _values_by_seed(arm: Arm, experiment: Experiment, plan: Plan, candidates: Sequence[Settings]) -> list[list[Any]]:
    """The criterion of each candidate's students, one per choosing seed; None for one that diverged."""
    by_seed = []
    for seed in plan.choosers:
        students = arm.train(seed, candidates)
        by_seed.append([_criterion(student, experiment.data, arm.criterion) for student in students])
    return [list(values) for values in zip(*by_seed, strict=True)]


def _criterion(student: Trained, data: Dataset, criterion: str) -> float | None:
    logits = student["validation"]
    if not logits.isfinite().all():
        return None
    if criterion == "validation_disagreement":
        return 1e4 * (1 - metrics.agreement(logits, student["validation_teacher"]))
    return metrics.errors(logits, data.validation.labels)


def _result(arm: Arm, experiment: Experiment, choice: Choice) -> Callable[..., Row]:
    """Trains the student of one seed with the chosen settings and measures it."""

    def make(experiment: str, arm: str, seed: int) -> Row:
        (student,) = train(seed, [choice.settings])
        if not all(bool(logits.isfinite().all()) for logits in student.values()):
            raise FloatingPointError(f"the student of seed {seed} must not diverge, got NaN: {arm!r} of {experiment!r}")
        return {"chosen": choice.settings, "at_limit": choice.at_limit, **measure(student, data)}

    train, data = arm.train, experiment.data
    return make


def measure(student: Trained, data: Dataset) -> Row:
    """What is recorded of a student on the test images: errors (of 10,000), NLL and calibration error, the latter two
    also after temperature scaling, whose temperature is fitted on the validation images; which images are wrong; and
    how well it agrees with its teacher, where that is known."""
    logits, labels = student["test"], data.test.labels
    scale = metrics.best_temperature(student["validation"], data.validation.labels)
    row = {
        "errors": metrics.errors(logits, labels),
        "nll": metrics.nll(logits, labels),
        "calibration_error": metrics.calibration_error(logits, labels),
        "scaled_by": scale,
        "nll_scaled": metrics.nll(logits / scale, labels),
        "calibration_error_scaled": metrics.calibration_error(logits / scale, labels),
    }
    if "teacher" in student:
        teacher = student["teacher"]
        mistakes = metrics.wrong(teacher, labels)
        row["agreement"] = metrics.agreement(logits, teacher)
        row["agreement_on_mistakes"] = metrics.agreement(logits[mistakes], teacher[mistakes])
        row["kl"] = kl_divergence(logits, teacher, temperature=4.0).item()
    rounded = {name: round(value, 5) for name, value in row.items()}
    return {**rounded, "images": len(labels), "wrong": pack_wrong(metrics.wrong(logits, labels))}
