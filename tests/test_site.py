"""What the site and the slides are made of, without building them: the slider's images, the table of the course, and
where a notebook is cut into slides. `tests/e2e` looks at the built pages."""

import base64
import io
import sys
from pathlib import Path

import pytest
import torch
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

import kdtutor as kd

SITE = Path(__file__).parent.parent / "notebooks" / "site"
README = """\
| notebook | question | time |
|---|---|---|
| [09 Small](notebooks/09_small.ipynb) | Is it small? | 5 s |
"""
PATH = Path("notebooks/09_small.ipynb")


@pytest.fixture(scope="module", autouse=True)
def folder_of_the_site():
    """Its modules aren't part of the package."""
    sys.path.insert(0, str(SITE))
    yield
    sys.path.remove(str(SITE))


def figure(width, height, color="white", tags=(), alt="A plot."):
    """A code cell that has drawn something."""
    png = io.BytesIO()
    Image.new("RGB", (width, height), color).save(png, format="png")
    data = {"image/png": base64.b64encode(png.getvalue()).decode()}
    metadata = {"tags": list(tags), "mystnb": {"image": {"alt": alt}}}
    return new_code_cell("draw()", outputs=[new_output("display_data", data)], metadata=metadata)


# The slider


def test_the_slider_takes_uncertain_images_first_and_only_right_ones():
    import slider

    logits = torch.full((6, 10), -9.0, dtype=torch.float64)
    labels = torch.tensor([3, 2, 2, 9, 2, 2])
    logits[0, 3] = 9.0  # sure
    logits[1, 2], logits[1, 7] = 1.0, 0.9  # a 2 that could be a 7
    logits[2, 7], logits[2, 2] = 1.0, 0.9  # wrong
    logits[3, 9], logits[3, 4] = 1.0, 0.5
    logits[4, 2], logits[4, 7] = 3.0, 0.0  # 95 % sure
    logits[5, 2], logits[5, 7] = 6.0, 0.0
    assert slider.chosen(kd.soften(logits, 1.0), labels) == [1, 3, 4, 0]


def test_the_slider_starts_on_an_uncertain_image_and_in_notebook_2_on_that_of_its_text():
    import slider

    data = kd.load("strokes")
    logits = kd.predict(kd.course.teachers.load_teacher("strokes")[0], data.validation).double()
    p = kd.soften(logits, 1.0)
    images = slider.chosen(p, data.validation.labels)
    assert kd.metrics.entropy(p[images]).diff().max() <= 0
    of_notebook = slider.most_like(p, data.validation.labels, 2, 7, above=0.9)
    assert of_notebook in images
    assert p[of_notebook, 2] > 0.9


# The table of the course


CARD = """\
# 9. Small

> **You will learn** what is small, and
> why $a | b$ ([as before](08_x.ipynb)).
>
> **Time** about 7 minutes to read, 5 s to run.
"""


def facts(*cells):
    import course_table

    return course_table.about(PATH, new_notebook(cells=[*cells]), README, None)


@pytest.mark.parametrize("badge", [[], [new_markdown_cell("[![Open in Colab](badge.svg)](address)")]])
def test_the_table_takes_outcome_and_time_from_a_notebooks_card(badge):
    one = facts(*badge, new_markdown_cell(CARD))
    assert one["outcome"] == "What is small, and why $a \\| b$ (as before)."
    assert (one["reading"], one["running"]) == (7, "5 s")


def test_without_a_card_the_table_has_the_readmes_question_and_counts():
    one = facts(new_markdown_cell("# 9. Small\n\n" + "word " * 800), new_code_cell("\n".join(["x = 1"] * 40)))
    assert (one["outcome"], one["reading"]) == ("Is it small?", 6)


def test_a_notebook_that_the_readme_lacks_is_named():
    import course_table

    with pytest.raises(ValueError, match=r"README\.md must have a row for 10_new\.ipynb"):
        course_table.about(Path("10_new.ipynb"), new_notebook(), README, None)


@pytest.mark.parametrize(
    ("cells", "color"),
    [
        ([("red", ())], "red"),
        ([("red", ()), ("lime", ()), ("blue", ())], "lime"),
        ([("red", ()), ("lime", ()), ("blue", ["thumbnail"])], "blue"),
    ],
)
def test_a_thumbnail_is_the_tagged_figure_or_the_second_or_the_only_one(cells, color):
    import course_table

    notebook = new_notebook(cells=[figure(960, 300, color, tags, alt=color) for color, tags in cells])
    png, alt = course_table.thumbnail(notebook)
    small = Image.open(io.BytesIO(png)).convert("RGB")
    assert alt == color
    assert small.size == (480, 150)
    assert small.getpixel((200, 100)) == Image.new("RGB", (1, 1), color).getpixel((0, 0))


def test_a_notebook_without_figures_has_no_thumbnail_and_a_line_in_the_table():
    import course_table

    assert course_table.thumbnail(new_notebook(cells=[new_markdown_cell(CARD)])) is None
    line = course_table.markdown([facts(new_markdown_cell(CARD))], {}).splitlines()[-1]
    assert line.startswith("|  | **[09 Small](notebooks/09_small.ipynb)**<br>What is small")
    assert line.endswith("| 7&nbsp;min | 5&nbsp;s |")


# Slides


def lecture(*cells):
    """(kind, source) of each of the slides' cells."""
    import slides

    return [(cell.metadata.slideshow.slide_type, cell.source) for cell in slides.slides(new_notebook(cells=[*cells]))]


def test_headings_begin_slides_and_code_and_its_output_follow():
    printed = new_code_cell("print(1)", outputs=[new_output("stream", text="1\n")])
    assert lecture(new_markdown_cell("# Title\nWords.\n\nMore."), printed, new_markdown_cell("## Next\n\nWords.")) == [
        ("slide", "# Title"),
        ("-", "Words."),
        ("-", "More."),
        ("fragment", "print(1)"),
        ("fragment", ""),
        ("slide", "## Next"),
        ("-", "Words."),
    ]


def test_what_is_hidden_has_no_slide():
    hidden = new_code_cell("check()", metadata={"tags": ["hide-input"]})
    assert lecture(new_markdown_cell("# Title"), hidden) == [("slide", "# Title")]


def test_where_a_slide_is_full_it_goes_on_below():
    kinds = [kind for kind, _ in lecture(new_markdown_cell("# Title"), figure(600, 300), figure(600, 300))]
    assert kinds == ["slide", "fragment", "fragment", "fragment", "subslide"]


def test_code_formulas_and_what_folds_stay_whole():
    import slides

    whole = ["```python\na = 1\n\n# b\nb = 2\n```", "$$a\n\nb$$", "<details>\n<summary>c</summary>\n\nd\n\n</details>"]
    assert slides.paragraphs("Words.\n\n" + "\n\n".join(whole)) == ["Words.", *whole]


def test_a_link_leads_to_other_slides_or_is_left_out():
    text = "[1](01_a.ipynb#b), [found](site/pages/claims.md), [paper](https://arxiv.org/abs/1), ![x](y.png)"
    ((_, shown),) = lecture(new_markdown_cell(text))
    assert shown == "[1](01_a.html), found, [paper](https://arxiv.org/abs/1), ![x](y.png)"


def test_the_page_of_slides_asks_no_other_host():
    import slides

    page = slides.html(new_notebook(cells=[new_markdown_cell("# Title\n\n$T$"), figure(600, 300, alt="A red square.")]))
    assert "<title>Title slides</title>" in page
    assert 'alt="A red square."' in page
    for needed in ("reveal.js/dist/reveal.js", "reveal.js/dist/theme/white.css", "tex-svg.js"):
        assert f'"{needed}"' in page
    assert "//unpkg.com" not in page
    assert "//cdnjs.cloudflare.com" not in page


def test_slides_need_a_title():
    import slides

    with pytest.raises(ValueError, match="notebook must have a heading of the first level, got none"):
        slides.title(new_notebook(cells=[new_markdown_cell("Words.")]))


def test_the_list_of_slides_names_each():
    import slides

    assert '<li><a href="01_a.html">1. A</a></li>' in slides.contents({"01_a.html": "1. A"})
