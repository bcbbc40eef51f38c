"""The experiments, by what they ask. A study is a function from `Digits` to experiments, whose records share a file."""

from collections.abc import Callable, Sequence

from kdtutor.course.evidence.digits import Digits
from kdtutor.course.evidence.protocol import Experiment, Measurement
from kdtutor.course.evidence.studies import (
    all_labels,
    few_labels,
    generations,
    gradients,
    small_student,
    teachers,
    transfer,
)

Study = Callable[[Digits], Sequence[Experiment | Measurement]]

# The name of a study is that of the file with its records. In the order of their time, shortest first.
STUDIES: dict[str, Study] = {
    "noise": gradients.noise,
    "stable-rates": gradients.stable_rates,
    "one-rate": few_labels.one_rate,
    "generations": generations.generations,
    "teachers": teachers.kinds_of_teachers,
    "fidelity": teachers.fidelity,
    "wrong-labels": teachers.wrong_labels,
    "ensembles": teachers.ensembles,
    "assistant": generations.assistant,
    "tasks": generations.tasks,
    "transfer-sets": transfer.transfer_sets,
    "domains": transfer.domains,
    "few-labels": few_labels.few_labels,
    "views": few_labels.views,
    "script": all_labels.script,
    "missing-class": transfer.missing_class,
    "all-labels": all_labels.standard,
    "small-student": small_student.small_student,
    "widths": all_labels.widths,
}
