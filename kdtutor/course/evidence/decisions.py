"""Which recipe for which situation: the table at the end of notebook 8, each line with the evidence behind it."""

from collections.abc import Mapping
from dataclasses import dataclass

from kdtutor.course.evidence import lessons
from kdtutor.course.evidence.rows import ALL, DOMAINS, width
from kdtutor.course.evidence.studies import all_labels as a
from kdtutor.course.evidence.studies import transfer as x
from kdtutor.course.evidence.verdicts import Comparison


@dataclass(frozen=True)
class Decision:
    """A line of the table of decisions: in which situation to do what, by which comparisons, and the lesson."""

    situation: str
    advice: str
    evidence: Mapping[str, Comparison]
    lesson: str


DECISIONS = [
    Decision(
        "Few labels, many images without, a good teacher",
        "Ask the teacher about all images, and train on its probabilities. Its hard answers do nearly as well.",
        {
            "teacher instead of shifted labels": lessons.INGREDIENTS["10,000 answers, teacher of 55,000 labels"],
            "probabilities instead of hard answers": lessons.INGREDIENTS["probabilities, not hard answers"],
        },
        "7.1",
    ),
    Decision(
        "Few labels, no other images",
        "Train the network that does best with them, however large, and distil it.",
        {"teacher of the same labels": lessons.SAME_IMAGES["convolutional teacher of the same 1,000"]},
        "7.2",
    ),
    Decision(
        "Two methods to compare",
        "Give each its own learning rate, with worse ones on either side, and several paired seeds.",
        {
            "teacher instead of labels, both at 0.001": lessons.AT_ONE_RATE["both at 0.001"],
            "both at 0.01": lessons.AT_ONE_RATE["both at 0.01"],
        },
        "7.3",
    ),
    Decision(
        "Labels that are partly wrong",
        "Stop a teacher where its errors on clean validation images are fewest, and learn from its answers.",
        {"teacher stopped early instead of labels": lessons.WRONG_LABELS["teacher stopped early"]},
        "7.4",
    ),
    Decision(
        "All labels, and a teacher at hand",
        "Expect a modest gain, and ask first what augmentation does by itself.",
        {
            "teacher instead of labels": width(100, 10),
            "shifted images, labels": Comparison(*ALL, a.LABELS, a.LABELS_SHIFTED),
        },
        "7.5",
    ),
    Decision(
        "A student of very few units",
        "Make it wider, or train it longer, before you look for a better teacher.",
        {"teacher instead of labels, 30 units": width(30, 10), "5 units": width(5, 10)},
        "7.5",
    ),
    Decision(
        "Somebody relies on the probabilities",
        "Scale the temperature on validation images, distilled or not.",
        {
            f"after scaling, {name}": comparison
            for name, comparison in lessons.calibration("calibration_error_scaled").items()
            if "all labels" in name
        },
        "7.6",
    ),
    Decision(
        "Data in several places that can't be put together",
        "Train one teacher in each place, and average their answers.",
        {
            "ten such teachers instead of one": lessons.TEN_TEACHERS["ten teachers of 800 labels each"],
            "one teacher of all the data": lessons.TEN_TEACHERS["one teacher of all 8,000 labels"],
        },
        "8.1",
    ),
    Decision(
        "Several teachers of the same data",
        "One will do: don't expect much from their average.",
        {"ten teachers instead of one": lessons.TEN_TEACHERS["ten teachers of the same 800 labels"]},
        "8.1",
    ),
    Decision(
        "A choice of teachers",
        "Take the one with the fewest validation errors, trained to the end.",
        {
            "300 units instead of 100": lessons.KINDS_OF_TEACHERS["300 units"],
            "stopped early": lessons.KINDS_OF_TEACHERS["100 units, stopped early"],
        },
        "8.2",
    ),
    Decision(
        "No teacher that knows more than the student",
        "Spend the time on the student's learning rate and length of training.",
        {
            name: lessons.NOTHING_NEW[name]
            for name in ("a teacher like the student", "a second student", "a teacher of 10 units")
        },
        "8.3",
    ),
    Decision(
        "A student that works on other images than the teacher's",
        "Ask the teacher about *those* images.",
        {
            "teacher instead of 100 labels": lessons.ANOTHER_DOMAIN["teacher, no label"],
            "its own images instead of the student's": Comparison(*DOMAINS, x.UNLABELLED, x.FROM_HOME),
        },
        "8.4",
    ),
]


def table() -> str:
    """The table of decisions in Markdown. What is compared is a difference in errors of 10,000, with its 95 % interval;
    of calibration errors it is one in percent."""
    lines = ["| your situation | what to do | evidence | lesson |", "|---|---|---|---|"]
    for decision in DECISIONS:
        evidence = []
        for name, seen in lessons.seen_in_records(decision.evidence).items():
            unit = " %" if lessons.UNITS[seen.comparison.metric][1] == "%" else ""
            evidence.append(f"{name}: {lessons.in_words(seen)}{unit}")
        lines.append(f"| {decision.situation} | {decision.advice} | {'<br>'.join(evidence)} | {decision.lesson} |")
    return "\n".join(lines)
