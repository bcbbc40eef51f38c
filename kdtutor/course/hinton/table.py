"""The tables of the site's page on Hinton et al. 2015, section 3: the paper's errors beside ours, and what was chosen.

Public reproductions: the lowest errors of those that we know (none has seeds, a transfer set of 7s and 8s, or the whole
section; the one of 67 used a jittered transfer set and 1,000 epochs).
"""

from statistics import fmean

from kdtutor.course.hinton.choices import FULL, distilled_with
from kdtutor.course.hinton.paper import AXES, by_settings, is_of_first_round, students, tried
from kdtutor.course.records import Records, Row
from kdtutor.statistics import prediction_interval

# The paper's figures without correction, with the bias that is best on the test images, and with a fair one (none).
MISSING_CLASSES = {"without 3": (206, 109, None), "7 and 8": (4730, 1320, None)}
THREES_MISSED = (133, 14, None)
MARK = "¹"  # of the first round


def markdown(trainings: Records) -> str:
    """All tables. Lines whose students aren't trained yet are left out."""
    tables = [results(trainings), choices(trainings)]
    tables += [attempts(trainings, method) for method in ("at 20", "7 and 8")]
    return "\n\n".join(tables)


def results(trainings: Records) -> str:
    """The paper's errors, ours, what one more run of ours would make, and those of public reproductions."""
    teachers = trainings.rows("teacher")
    lines = [
        "| errors of 10,000 | paper | here, on average | one more run of ours, 95 % | public reproductions |",
        "|---|---|---|---|---|",
        _line(_marked("teacher 784-1200-1200-10, dropout, jitter", teachers), 67, _errors(teachers), "64 to 108"),
    ]
    for name, published, method, others in (
        ("student 784-800-800-10 alone", 146, "alone", "171, 181"),
        ("the same, distilled at T = 20, images not shifted", 74, "at 20", "67 to 134"),
        ("the same, T chosen", None, "any temperature", ""),
    ):
        rows = students(trainings, method)
        if rows:
            lines.append(_line(_marked(name, rows), published, _errors(rows), others))
    lines += _lines_on_missing_classes(trainings, "without 3", "no 3 in the transfer set")
    lines += _lines_on_missing_classes(trainings, "7 and 8", "only 7s and 8s in the transfer set")
    lines += _lines_on_widths(trainings)
    best = students(trainings, "best", "train")
    if best:
        lines.append(_line(_marked("best student 784-800-800-10 that we could distil", best), None, _errors(best)))
    return "\n".join(lines)


def choices(trainings: Records) -> str:
    """What was chosen for each method, and which of it lies at an end of what was tried."""
    lines = ["| students | alpha | T | learning rate | epochs | at the end of its axis |", "|---|---|---|---|---|---|"]
    for method, plan in FULL.methods.items():
        rows = students(trainings, method, plan.images[0])
        if rows:
            chosen = rows[0]["chosen"]
            cells = [_number(chosen.get(axis)) for axis in AXES]
            at_limit = ", ".join(rows[0].get("at_limit", []))
            lines.append(f"| {_marked(method, rows)} | {' | '.join(cells)} | {at_limit} |")
    return "\n".join(lines)


def attempts(trainings: Records, method: str) -> str:
    """The settings that were tried for a method, those with the fewest validation errors first."""
    rows = tried(trainings, method)
    choosers = _seeds(len({row["settings"]["seed"] for row in rows}))
    name = _marked(f"“{method}”", rows)
    lines = [
        f"| tried for {name}: alpha | T | learning rate | epochs | validation errors, {choosers} |",
        "|---|---|---|---|---|",
    ]
    for settings, errors in by_settings(rows):
        cells = [_number(settings.get(axis)) for axis in AXES]
        lines.append(f"| {' | '.join(cells)} | {errors:.0f} |")
    return "\n".join(lines)


def _lines_on_missing_classes(trainings: Records, transfer: str, name: str) -> list[str]:
    """Errors as they are; with the bias chosen on the test images, as in the paper; and with the bias chosen on
    validation images, which must be new to the students."""
    from_train = students(trainings, transfer, "train")
    like_the_papers = students(trainings, transfer) or from_train
    if not like_the_papers:
        return []

    on_test = [row["corrected"]["test"] for row in like_the_papers]
    on_validation = [row["corrected"]["validation"] for row in from_train]
    steps = (
        (name, like_the_papers, like_the_papers),
        ("… bias chosen on the test images, as in the paper", like_the_papers, on_test),
        ("… learnt from 55,000 images, bias chosen on the other 5,000", from_train, on_validation),
    )
    lines = []
    for place, (step, own, corrected) in enumerate(steps):
        lines.append(_line(_marked(step, own), MISSING_CLASSES[transfer][place], _errors(corrected)))
        if transfer == "without 3":
            on_threes = [row["test_wrong_threes"] for row in corrected]
            lines.append(_line("… of these on 3s", THREES_MISSED[place], on_threes))
    return lines


def _lines_on_widths(trainings: Records) -> list[str]:
    """Validation errors by T of the students that chose, at the learning rate that is best for each T."""
    published = {30: "T = 2.5 to 4 clearly the best", 300: "all T above 8 about the same"}
    lines = []
    for units, statement in published.items():
        rows = tried(trainings, distilled_with(units))
        if rows:
            fewest: dict[float, float] = {}
            for settings, errors in by_settings(rows):  # the fewest first
                fewest.setdefault(settings["temperature"], errors)
            cells = [f"T = {temperature:g}: {fewest[temperature]:.0f}" for temperature in sorted(fewest)]
            name = _marked(f"distilled students with two layers of {units}, validation errors", rows)
            lines.append(f"| {name} | {statement} | {', '.join(cells)} | | |")
    return lines


def _line(name: str, published: int | None, errors: list[float], others: str = "") -> str:
    """A line of the table: the mean of our errors, and whether the paper's figure is among what one more run of ours
    would make; `others` are public reproductions."""
    paper = "" if published is None else str(published)
    here = f"**{fmean(errors):.1f}** ({_seeds(len(errors))})"
    return f"| {name} | {paper} | {here} | {_one_more(errors, published)} | {others} |"


def _one_more(errors: list[float], published: int | None) -> str:
    """The errors of one more run, and whether the paper's figure is among them. Nothing while there is but one run."""
    if len(errors) < 2:
        return ""
    expected = prediction_interval(errors)
    text = f"{max(0, expected.low):.0f} to {expected.high:.0f}"
    if published is None:
        return text
    return f"{text}: {published} is {'inside' if published in expected else 'outside'}"


def _errors(rows: list[Row]) -> list[float]:
    return [row["test_errors"] for row in rows]


def _marked(name: str, rows: list[Row]) -> str:
    return f"{name} {MARK}" if rows and is_of_first_round(rows[0]) else name


def _seeds(count: int) -> str:
    return "1 seed" if count == 1 else f"{count} seeds"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"
