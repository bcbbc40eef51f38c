"""The ledger says what the notebooks measured, the whole of it, and nothing else."""

import json
import re

import nbformat
import pytest
from IPython.core.formatters import DisplayFormatter

from kdtutor.course.claims import CLAIMS, MIME, PAPERS, ClaimFinding, Summary, collect, derived, markdown, measured
from kdtutor.course.meanings import MEANINGS
from kdtutor.statistics import Interval

ABOVE = Interval(0.2, 0.9)


# Verdicts


@pytest.mark.parametrize(
    ("low", "high", "promised", "verdict"),
    [
        (0.2, 0.9, "higher", "holds"),
        (0.2, 0.9, "lower", "fails"),
        (-0.9, -0.2, "lower", "holds"),
        (-0.9, -0.2, "higher", "fails"),
        (-0.1, 0.9, "higher", "undecided"),
        (0.0, 0.9, "higher", "undecided"),
        (-0.9, 0.0, "lower", "undecided"),
    ],
)
def test_the_interval_decides(low, high, promised, verdict):
    found = measured("T squared", "a ratio", Interval(low, high), promised, than=0.0)
    assert found == ClaimFinding("T squared", verdict, "a ratio")


def test_a_number_may_be_compared_with_another_than_0():
    assert measured("variance", "a ratio", ABOVE, "lower", than=1.0).verdict == "holds"
    assert measured("variance", "a ratio", ABOVE, "lower", than=0.5).verdict == "undecided"


def test_a_formula_holds_and_says_that_it_is_derived():
    assert derived("smooths", "dH/dT >= 0") == ClaimFinding("smooths", "holds", "derived: dH/dT >= 0")


@pytest.mark.parametrize("claim", ["", "Generalises", "soft", CLAIMS["generalises"][0]])
def test_an_unknown_claim_is_refused(claim):
    names = ", ".join(CLAIMS)
    message = f"^{re.escape(f'claim must be one of {names}, got {claim!r}')}$"
    with pytest.raises(ValueError, match=message):
        derived(claim, "a formula")
    with pytest.raises(ValueError, match=message):
        measured(claim, "a ratio", ABOVE, "higher", than=0.0)


def test_another_direction_is_refused():
    with pytest.raises(ValueError, match=r"^promised must be 'higher' or 'lower', got 'fewer'$"):
        measured("variance", "a ratio", ABOVE, "fewer", than=0.0)


# In a notebook


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_finding_as_text_has_the_claim_its_source_the_verdict_and_the_effect(claim):
    text, source = CLAIMS[claim]
    shown = " ".join(str(ClaimFinding(claim, "holds", "31 fewer")).split())
    assert shown == f"Claim: {text} ({source}). Verdict: holds. Measured: 31 fewer."


def test_a_finding_as_text_has_what_else_there_is():
    found = ClaimFinding("reverse", "fails", "48 more", beside="at T = 1: 50 more", elsewhere="fails", tuned="lr 0.03")
    heads = re.findall("^([A-Z][A-Za-z ]+):", str(found), re.MULTILINE)
    assert heads == ["Claim", "Verdict", "Measured", "Beside", "On USPS", "Tuned"]


def shown(value):
    """A cell with this result, as IPython stores it."""
    data, metadata = DisplayFormatter().format(value)
    result = nbformat.v4.new_output("execute_result", data=data, metadata=metadata, execution_count=1)
    return nbformat.v4.new_code_cell("derived(...)", outputs=[result], execution_count=1)


def notebook(path, *cells):
    whole = nbformat.v4.new_notebook(cells=list(cells))
    nbformat.validate(whole)
    nbformat.write(whole, path)
    return path


def test_ipython_shows_a_summary_as_a_table_and_stores_it_as_data():
    first = measured("T squared", "T² makes up for a factor of 16 | 15", ABOVE, "higher", than=0.0)
    second = ClaimFinding("reverse", "fails", "48 more", tuned="lr 0.03")
    (output,) = shown(Summary(first, second)).outputs
    assert output.data["text/plain"] == f"{first}\n\n{second}"
    assert json.loads(json.dumps(output.data[MIME])) == [vars(first), vars(second)]
    head, one, two = [
        re.split(r" (?<!\\)\| ", line[2:-2]) for line in output.data["text/markdown"].splitlines() if "---" not in line
    ]
    assert head == ["claim", "verdict", "measured"]
    assert one == [CLAIMS["T squared"][0], "**holds**", r"T² makes up for a factor of 16 \| 15"]
    assert two == [CLAIMS["reverse"][0], "**fails**", "48 more"]


def test_collect_reads_back_just_the_findings_in_their_order(tmp_path):
    first, third = derived("T squared", "ratio ½"), derived("smooths", "4.3 bits at T = 8")
    second = ClaimFinding("reverse", "fails", "48 more", beside="50 more", elsewhere="not run", tuned="lr 0.03")
    stream = nbformat.v4.new_output("stream", text=f"{MIME}\n")
    one = notebook(
        tmp_path / "02_one.ipynb",
        nbformat.v4.new_markdown_cell(str(first)),
        nbformat.v4.new_code_cell("1", outputs=[stream]),
        shown(ABOVE),
        nbformat.v4.new_code_cell("2"),
        shown(Summary(first, second)),
    )
    none, other = notebook(tmp_path / "03_none.ipynb"), notebook(tmp_path / "01_other.ipynb", shown(Summary(third)))
    assert collect([one, none, other]) == [
        {"notebook": "02_one.ipynb"} | vars(first),
        {"notebook": "02_one.ipynb"} | vars(second),
        {"notebook": "01_other.ipynb"} | vars(third),
    ]
    assert collect([]) == collect([none]) == []


# As a page


def row(claim, effect="errors -31 (-40 to -22)", verdict="holds", notebook="05_name.ipynb"):
    return {
        "notebook": notebook,
        "claim": claim,
        "verdict": verdict,
        "effect": effect,
        "beside": "",
        "elsewhere": "holds: errors -5",
        "tuned": "lr 0.01",
    }


def lines_of(page):
    """The cells of the table's lines, as GitHub divides them at each | that isn't escaped; and the items below it."""
    table, _, details = page.partition("\n\n")
    lines = table.splitlines()
    assert all(line.startswith("| ") and line.endswith(" |") for line in (lines[0], *lines[2:]))
    assert re.fullmatch(r"(\|-+){4}\|", lines[1])
    return [re.split(r" (?<!\\)\| ", line[2:-2]) for line in (lines[0], *lines[2:])], details.splitlines()


def test_the_page_has_a_line_and_an_item_for_each_finding_in_the_order_of_the_claims():
    findings = [row(claim, verdict=verdict) for claim, verdict in reversed(MEANINGS) if verdict == "holds"]
    (head, *lines), items = lines_of(markdown(findings))
    assert head == ["claim", "verdict", "measured", "USPS"]
    ordered = [claim for claim in CLAIMS if (claim, "holds") in MEANINGS]
    for claim, line, item in zip(ordered, lines, items, strict=True):
        text, source = CLAIMS[claim]
        meaning = f"{MEANINGS[claim, 'holds']} errors -31 (-40 to -22).".strip()
        assert line == [text, "**holds**", meaning, "holds: errors -5"]
        assert item.startswith(f"- **{text}.** Source: ")
        assert re.sub(r"\[(.+?)\]\(https:.+?\)", r"\1", item).endswith(
            f"Source: {source}. [Notebook 5](notebooks/05_name.ipynb). Chosen: lr 0.01."
        )


def test_links_lead_from_the_document_to_the_notebooks():
    assert "[Notebook 5](../../05_name.ipynb)" in markdown([row("smooths")], notebooks="../../")


def test_what_no_notebook_shows_has_no_link():
    assert "Notebook" not in markdown([row("smooths", notebook="")])


def test_a_verdict_without_a_sentence_in_plain_words_is_refused():
    with pytest.raises(KeyError):
        markdown([row("smooths", verdict="fails")])


def test_every_meaning_belongs_to_a_claim_and_a_verdict():
    verdicts = {"holds", "fails", "no difference", "undecided"}
    assert {claim for claim, _ in MEANINGS} == {*CLAIMS}
    assert {verdict for _, verdict in MEANINGS} <= verdicts


def test_papers_are_linked():
    assert "[Hinton et al. 2015](https://arxiv.org/abs/1503.02531)" in markdown([row("missing class")])
    named = " ".join(source for _, source in CLAIMS.values())
    assert all(paper in named for paper in PAPERS)


def test_a_page_of_nothing_is_its_head():
    (_, *lines), items = lines_of(markdown([]))
    assert lines == items == []


@pytest.mark.parametrize("effect", ["p(c | x) moves", "|p - q| = 0.1", "| | |"])
def test_a_line_in_a_cell_does_not_break_the_table(effect):
    table = markdown([row("mimics", effect), row("mimics")]).partition("\n\n")[0]
    for line in table.splitlines():
        assert len(re.findall(r"(?<!\\)\|", line)) == 5


def test_what_stands_beside_is_told_apart():
    assert markdown([row("smooths") | {"beside": "at T = 1: 3 more"}]).endswith("Beside the verdict: at T = 1: 3 more.")


def test_what_a_notebook_stored_arrives_on_the_page(tmp_path):
    found = ClaimFinding("few labels", "holds", "errors -154", elsewhere="undecided: errors -3", tuned="lr 0.01")
    path = notebook(tmp_path / "07_few.ipynb", shown(Summary(found)))
    (_, line), (item,) = lines_of(markdown(collect([path])))
    assert line[0] == CLAIMS["few labels"][0]
    assert line[2].endswith(" errors -154.")
    assert "[Notebook 7](notebooks/07_few.ipynb)" in item
