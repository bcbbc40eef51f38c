"""The ledger says what the notebooks measured, the whole of it, and nothing else."""

import json
import re

import nbformat
import pytest
from IPython.core.formatters import DisplayFormatter

from kdtutor.course.claims import CLAIMS, MIME, ClaimFinding, collect, finding, markdown
from kdtutor.statistics import Interval, PairedDifference, paired_difference

FEWER = PairedDifference(-30.0, Interval(-40.0, -20.0), 5, ("alone", "distilled"))
MORE = PairedDifference(30.0, Interval(20.0, 40.0), 5, ("alone", "distilled"))
UNSURE = PairedDifference(-3.0, Interval(-10.0, 4.0), 5, ("alone", "distilled"))


# Verdicts


@pytest.mark.parametrize(
    ("effect", "supports", "verdict"),
    [
        (FEWER, "lower", "holds"),
        (FEWER, "higher", "false here"),
        (MORE, "lower", "false here"),
        (MORE, "higher", "holds"),
        (UNSURE, "lower", "not seen here"),
        (UNSURE, "higher", "not seen here"),
        (paired_difference([1, 1, 1], [1, 1, 1]), "lower", "not seen here"),
        (PairedDifference(-1.0, Interval(-2.0, 0.0), 5), "lower", "not seen here"),  # 0 at its very end
        ("it smooths", True, "holds"),
        ("it doesn't", False, "false here"),
        ("nothing", None, "not seen here"),
        (UNSURE, True, "holds"),  # what the notebook has found by other means
        (FEWER, False, "false here"),
    ],
)
def test_the_interval_decides_or_else_the_notebook(effect, supports, verdict):
    assert finding("generalises", effect, supports) == ClaimFinding("generalises", verdict, str(effect))


@pytest.mark.parametrize(
    ("effect", "supports", "verdict"),
    [
        (FEWER, "lower", "holds here, but not for long"),
        ("it smooths", True, "holds here, but not for long"),
        (FEWER, "higher", "false here"),
        (UNSURE, "lower", "not seen here"),
        ("it doesn't", False, "false here"),
        ("nothing", None, "not seen here"),
    ],
)
def test_only_a_claim_that_holds_has_a_reservation(effect, supports, verdict):
    assert finding("smooths", effect, supports, but="not for long").verdict == verdict


@pytest.mark.parametrize("effect", [FEWER, "2 bits at T = 1, 3 bits at T = 4"], ids=str)
def test_what_was_compared_stands_in_front_of_the_effect(effect):
    assert finding("entropy", effect, True, context="On MNIST").effect == f"On MNIST: {effect}"
    assert finding("entropy", effect, True).effect == str(effect)


@pytest.mark.parametrize("claim", ["", "Generalises", "soft", CLAIMS["generalises"][0]])
def test_an_unknown_claim_is_refused(claim):
    message = f"claim must be one of {', '.join(CLAIMS)}, got {claim!r}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        finding(claim, FEWER, "lower")


REFUSED = "^supports must be 'lower' or 'higher' for a paired difference, or True, False or None, got "


@pytest.mark.parametrize(
    ("effect", "supports", "came"),
    [
        (FEWER, "fewer", "'fewer' for PairedDifference$"),
        (FEWER, "", "'' for PairedDifference$"),
        ("31 fewer errors", "lower", "'lower' for str$"),
        ("31 more errors", "higher", "'higher' for str$"),
    ],
)
def test_another_direction_or_one_of_a_sentence_is_refused(effect, supports, came):
    with pytest.raises(ValueError, match=REFUSED + came):
        finding("generalises", effect, supports)


def test_what_is_no_verdict_is_refused():
    with pytest.raises(ValueError, match=REFUSED):
        finding("generalises", "31 fewer errors", 0.5)


# In a notebook


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_finding_shows_the_claim_its_source_the_verdict_and_the_effect(claim):
    text, source = CLAIMS[claim]
    assert repr(finding(claim, FEWER, "lower", but="not for long")).splitlines() == [
        f"Claim:    {text} ({source}).",
        "Verdict:  holds here, but not for long.",
        f"Measured: {FEWER}.",
    ]


def shown(value):
    """A cell with this result, as IPython stores it."""
    data, metadata = DisplayFormatter().format(value)
    result = nbformat.v4.new_output("execute_result", data=data, metadata=metadata, execution_count=1)
    return nbformat.v4.new_code_cell("finding(...)", outputs=[result], execution_count=1)


def notebook(path, *cells):
    whole = nbformat.v4.new_notebook(cells=list(cells))
    nbformat.validate(whole)
    nbformat.write(whole, path)
    return path


def test_ipython_shows_a_finding_as_its_text_and_stores_it_as_data():
    found = finding("T squared", "T² makes up for\na factor of 16 | 15", True)
    (output,) = shown(found).outputs
    assert output.data["text/plain"] == repr(found)
    assert json.loads(json.dumps(output.data[MIME])) == vars(found)


def test_collect_reads_back_just_the_findings_in_their_order(tmp_path):
    first, second, third = finding("T squared", "ratio ½", True), finding("reverse", FEWER, "lower"), finding(*SEEN)
    stream = nbformat.v4.new_output("stream", text=f"{MIME}\n")
    one = notebook(
        tmp_path / "02_one.ipynb",
        nbformat.v4.new_markdown_cell(repr(first)),
        nbformat.v4.new_code_cell("1", outputs=[stream]),
        shown(first),
        shown(FEWER),
        nbformat.v4.new_code_cell("2"),
        shown(second),
    )
    none, other = notebook(tmp_path / "03_none.ipynb"), notebook(tmp_path / "01_other.ipynb", shown(third))
    assert collect([one, none, other]) == [
        {"notebook": "02_one.ipynb"} | vars(first),
        {"notebook": "02_one.ipynb"} | vars(second),
        {"notebook": "01_other.ipynb"} | vars(third),
    ]
    assert collect([]) == collect([none]) == []


SEEN = ("smooths", "4.3 bits at T = 8", True)


# As a table


def row(claim, effect="31 fewer errors", verdict="holds", notebook="05_name.ipynb"):
    return {"notebook": notebook, "claim": claim, "verdict": verdict, "effect": effect}


def cells(table):
    """The cells of each line, as GitHub divides them: at each | that isn't escaped."""
    lines = table.splitlines()
    assert all(line.startswith("| ") and line.endswith(" |") for line in (lines[0], *lines[2:]))
    assert re.fullmatch(r"(\|-+){5}\|", lines[1])
    return [re.split(r" (?<!\\)\| ", line[2:-2]) for line in (lines[0], *lines[2:])]


def test_the_table_has_one_finding_per_line_in_the_order_of_the_claims():
    head, *lines = cells(markdown(row(claim) for claim in reversed(CLAIMS)))
    assert head == ["claim", "source", "verdict", "measured", "notebook"]
    link = "[05](notebooks/05_name.ipynb)"
    assert lines == [[*texts, "**holds**", "31 fewer errors", link] for texts in CLAIMS.values()]


def test_links_lead_from_the_document_to_the_notebooks():
    _, line = cells(markdown([row("smooths")], notebooks="../../"))
    assert line[-1] == "[05](../../05_name.ipynb)"


def test_several_findings_on_a_claim_stay_in_their_order():
    rows = [row("reverse", "a"), row("smooths", "b"), row("reverse", "c", notebook="11_x.ipynb"), row("reverse", "d")]
    _, *lines = cells(markdown(rows))
    assert [(line[3], line[4][:4]) for line in lines] == [("b", "[05]"), ("a", "[05]"), ("c", "[11]"), ("d", "[05]")]


def test_a_table_of_nothing_is_its_head():
    assert len(cells(markdown([]))) == 1


@pytest.mark.parametrize(
    ("effect", "verdict"),
    [("p(c | x) moves", "holds"), ("|p - q| = 0.1", "holds"), ("| | |", "holds"), ("a", "holds here, but a | b")],
)
def test_a_line_in_a_cell_does_not_break_the_table(effect, verdict):
    for line in markdown([row("mimics", effect, verdict), row("mimics")]).splitlines():
        assert len(re.findall(r"(?<!\\)\|", line)) == 6


def test_what_a_notebook_stored_arrives_in_the_table(tmp_path):
    found = finding("few labels", FEWER, "lower", context="100 labels", but="not with 10,000")
    path = notebook(tmp_path / "07_few.ipynb", shown(found))
    assert cells(markdown(collect([path])))[1] == [
        *CLAIMS["few labels"],
        "**holds here**, but not with 10,000",
        f"100 labels: {FEWER}",
        "[07](notebooks/07_few.ipynb)",
    ]
