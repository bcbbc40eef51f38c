"""What notebooks 7 and 8 show of the records: every comparison exists and is fair, and tables say what it came to."""

import re

import matplotlib.pyplot as plt
import pytest

from kdtutor.course import diagrams
from kdtutor.course.evidence import decisions, ledger, lessons, picture
from kdtutor.course.evidence.rows import SMALL
from kdtutor.course.evidence.studies import STUDIES, small_student
from kdtutor.course.evidence.verdicts import Comparison

LESSONS = [
    lessons.INGREDIENTS,
    lessons.SAME_IMAGES,
    lessons.AT_ONE_RATE,
    lessons.EACH_ITS_OWN_RATE,
    lessons.WRONG_LABELS,
    lessons.WIDTHS,
    lessons.SHORT,
    lessons.calibration(),
    lessons.calibration("scaled_by"),
    lessons.TEN_TEACHERS,
    lessons.KINDS_OF_TEACHERS,
    lessons.NOTHING_NEW,
    lessons.ANOTHER_DOMAIN,
    lessons.OTHER_IMAGES,
    *(decision.evidence for decision in decisions.DECISIONS),
]
MISSING = Comparison(*SMALL, small_student.FEW, "learning from nobody")


@pytest.mark.parametrize("comparisons", LESSONS)
def test_each_lesson_has_differences_from_the_records(comparisons):
    assert {comparison.study for comparison in comparisons.values()} <= {*STUDIES}
    differences = lessons.differences(comparisons)
    assert differences
    for name, difference in differences.items():
        comparison = comparisons[name]
        parts = comparison.study, comparison.experiment, comparison.a, comparison.b, comparison.metric
        assert difference == ledger.compare(*parts)


def test_what_the_records_do_not_have_is_left_out():
    comparisons = {**lessons.INGREDIENTS, "nobody": MISSING}
    assert "nobody" not in lessons.differences(comparisons)
    assert small_student.SOFT in ledger.arms(*SMALL)
    assert MISSING.b not in ledger.arms(*SMALL)
    ax = picture.small_student({"teacher": small_student.SOFT, "nobody": MISSING.b}, ax=plt.subplots()[1])
    assert [text.get_text() for text in ax.get_yticklabels()] == ["teacher"]


def test_a_table_has_the_means_of_both_arms_and_their_difference():
    head, line, *_ = lessons.table(lessons.EACH_ITS_OWN_RATE, "length").splitlines()
    assert re.split("  +", head) == ["length", "labels, errors", "teacher, errors", "difference (95 % interval)"]
    name, a, b, difference, low, high = re.fullmatch(r"(.+?) +(\d+) +(\d+) +(\S+) \((\S+) to (\S+)\)", line).groups()
    assert name == "50 steps"
    assert int(difference) == pytest.approx(int(b) - int(a), abs=1)
    assert int(low) < int(difference) < int(high)


def test_an_arm_that_all_share_has_a_line_instead_of_a_column():
    head, first, *lines = lessons.table(lessons.WRONG_LABELS, "learning from").splitlines()
    assert re.split("  +", head) == ["learning from", "errors", "difference from labels (95 % interval)"]
    assert re.fullmatch(r"labels +\d+ *", first)
    assert len(lines) == len(lessons.WRONG_LABELS)


def test_calibration_errors_are_in_percent():
    table = lessons.table(lessons.calibration(), "student")
    mean = sum(row["calibration_error"] for row in ledger.results(*_first(lessons.calibration()))) / 10
    assert "labels, %" in table
    assert f" {100 * mean:.2f} " in table


def _first(comparisons):
    comparison = next(iter(comparisons.values()))
    return comparison.study, comparison.experiment, comparison.a


def test_each_decision_has_evidence_and_a_lesson():
    head, _, *lines = decisions.table().splitlines()
    assert head == "| your situation | what to do | evidence | lesson |"
    assert len(lines) == len(decisions.DECISIONS)
    for line in lines:
        _, _, evidence, lesson = line.strip("| ").split(" | ")
        assert re.search(r"[+-]?\d+ \([+-]?[\d.]+ to [+-]?[\d.]+\)", evidence)
        assert re.fullmatch(r"[78]\.\d", lesson)


def test_the_diagram_of_teachers_has_four_panels():
    panels = diagrams.who_teaches_whom()
    assert [ax.get_title() for ax in panels] == ["an ensemble", "a network like itself", "each other", "an assistant"]
    words = [[text.get_text() for text in ax.texts if text.get_text()] for ax in panels]
    assert sorted(words[0]) == ["student", "teacher", "teacher", "teacher"]
    assert sorted(words[3]) == ["assistant", "student", "teacher"]
