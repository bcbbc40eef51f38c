"""Each figure shows what it is given: counted and read back from Matplotlib."""

import math

import matplotlib.pyplot as plt
import pytest
import torch
from matplotlib.colors import to_rgba

from kdtutor import History, Table, plots
from kdtutor.course import diagrams
from kdtutor.statistics import Interval, PairedDifference, paired_difference


@pytest.fixture(autouse=True)
def course_style():
    with plt.style.context("kdtutor.course"):
        yield
    plt.close("all")


def labels(ax):
    return ax.get_xlabel(), ax.get_ylabel(), ax.get_title(loc="left")


def texts(labels):
    return [text.get_text() for text in labels]


IMAGES = torch.arange(5 * 4, dtype=torch.uint8).reshape(5, 1, 2, 2)


def test_the_style_is_found_and_draws_lines_that_differ_without_colour():
    styles = [(style["color"], str(style["linestyle"])) for style in plt.rcParams["axes.prop_cycle"]]
    assert len(styles) == 6
    assert len({color for color, _ in styles}) == len({line for _, line in styles}) == 6
    assert plt.rcParams["axes.titlelocation"] == "left"


def test_digits_are_images_in_rows_with_their_titles():
    axes = plots.digits(IMAGES, list("abcde"), columns=3, title="five")
    assert len(axes) == 6
    assert [len(ax.images) for ax in axes] == [1, 1, 1, 1, 1, 0]
    for ax, image, title in zip(axes, IMAGES, "abcde", strict=False):
        assert ax.images[0].get_array().tolist() == image[0].tolist()
        assert ax.get_title() == title
    assert not any(ax.axison for ax in axes)
    assert axes[0].figure.get_suptitle() == "five"


def test_digits_need_no_titles():
    axes = plots.digits(IMAGES)
    assert len(axes) == 10
    assert not any(ax.get_title() for ax in axes)


@pytest.mark.parametrize("log", [True, False])
def test_targets_are_bars_or_dots_below_each_image(log):
    rows = [{"hard": torch.eye(10)[i], "soft": torch.full((10,), 0.1 * (i + 1))} for i in range(2)]
    axes = plots.targets(IMAGES[:2], rows, title="two", log=log, titles=["label 3", "label 5"])
    assert len(axes) == 3 * 2
    for column, row in enumerate(rows):
        image, *bars = axes[column::2]
        assert image.images[0].get_array().tolist() == IMAGES[column, 0].tolist()
        for ax, target in zip(bars, row.values(), strict=True):
            shown = ax.lines[0].get_ydata() if log else [bar.get_height() for bar in ax.patches]
            assert list(shown) == pytest.approx(target.tolist())
            assert ax.get_xticks().tolist() == list(range(10))
            assert ax.get_yscale() == ("log" if log else "linear")
        assert bars[-1].get_xlabel() == "class"
    assert [ax.get_ylabel() for ax in axes[2::2]] == ["hard\nprobability", "soft\nprobability"]
    assert [ax.get_title() for ax in axes] == ["label 3", "label 5", "", "", "", ""]
    assert axes[0].figure.get_suptitle() == "two"


def test_targets_need_no_titles():
    axes = plots.targets(IMAGES[:1], [{"hard": torch.eye(10)[0]}])
    assert not any(ax.get_title() for ax in axes)


@pytest.mark.parametrize(("log", "scales"), [("", "linear linear"), ("x", "log linear"), ("xy", "log log")])
def test_lines_are_named_curves_over_one_x(log, scales):
    ax = plots.lines([1, 2, 4], {"a": [3, 2, 1], "b": torch.ones(3)}, "T", "bits", "falls", log=log, marker="o")
    assert {line.get_label(): line.get_xydata().tolist() for line in ax.lines} == {
        "a": [[1, 3], [2, 2], [4, 1]],
        "b": [[1, 1], [2, 1], [4, 1]],
    }
    assert f"{ax.get_xscale()} {ax.get_yscale()}" == scales
    assert {line.get_marker() for line in ax.lines} == {"o"}
    assert labels(ax) == ("T", "bits", "falls")
    assert texts(ax.get_legend().get_texts()) == ["a", "b"]


def test_lines_over_a_logarithm_name_their_markers_places():
    x = [0.5, 4, 2000]
    ax = plots.lines(x, {"a": [3, 2, 1]}, "T", "bits", "falls", log="x", marker="o")
    assert (list(ax.get_xticks()), texts(ax.get_xticklabels())) == (x, ["0.5", "4", "2000"])
    assert list(ax.get_xticks(minor=True)) == []


def test_without_markers_a_logarithm_has_plain_powers_of_ten():
    ax = plots.lines(range(1, 101), {"a": range(100)}, "T", "bits", "rises", log="x")
    assert {"1", "10", "100"} <= set(texts(ax.get_xticklabels()))


def test_one_line_needs_no_legend():
    assert plots.lines([1, 2], {"a": [3, 2]}, "x", "y", "title").get_legend() is None


def test_bars_stand_side_by_side_over_their_names():
    groups = {"alone": [1, 2, 3], "distilled": torch.tensor([4.0, 5.0, 6.0])}
    ax = plots.bars(groups, ["x", "y", "z"], "errors", "title", xlabel="width")
    heights = [bar.get_height() for bar in ax.patches]
    middles = [bar.get_x() + bar.get_width() / 2 for bar in ax.patches]
    assert heights == [1, 2, 3, 4, 5, 6]
    assert middles == pytest.approx([-0.2, 0.8, 1.8, 0.2, 1.2, 2.2])
    assert sum(bar.get_width() for bar in ax.patches) == pytest.approx(3 * 0.8)
    assert len({bar.get_hatch() for bar in ax.patches}) == 2
    assert texts(ax.get_xticklabels()) == ["x", "y", "z"]
    assert labels(ax) == ("width", "errors", "title")
    assert texts(ax.get_legend().get_texts()) == ["alone", "distilled"]


def test_one_group_of_bars_needs_no_legend():
    assert plots.bars({"p": [1.0, 2.0]}, ["a", "b"], "probability", "title").get_legend() is None


def test_a_heatmap_writes_its_numbers_and_leaves_nan_blank():
    values = torch.tensor([[0.0, 5.0, 10.0], [math.nan, 2.0, 3.0]])
    ax = plots.heatmap(values, "said", "is", "title", rows="ab", columns="xyz", form="{:.1f}")
    written = {text.get_position(): text.get_text() for text in ax.texts}
    assert written == {(0, 0): "0.0", (1, 0): "5.0", (2, 0): "10.0", (1, 1): "2.0", (2, 1): "3.0"}
    colours = {text.get_text(): text.get_color() for text in ax.texts}
    assert (colours["0.0"], colours["10.0"]) == ("black", "white")  # readable on light and dark
    assert (texts(ax.get_xticklabels()), texts(ax.get_yticklabels())) == (list("xyz"), list("ab"))
    assert labels(ax) == ("said", "is", "title")


def test_a_heatmap_has_the_colours_of_the_scale_that_is_given():
    ax = plots.heatmap(torch.tensor([[4.0, 6.0]]), "said", "is", "title", rows="a", columns="xy", vmin=0, vmax=6)
    assert ax.images[0].get_clim() == (0, 6)
    assert [text.get_color() for text in ax.texts] == ["white", "white"]


@pytest.mark.parametrize("shape", [(10, 9), (9, 10), (100,)])
def test_a_heatmap_of_another_shape_is_refused(shape):
    with pytest.raises(ValueError, match=r"values must be \(10 rows, 10 columns\), got \("):
        plots.heatmap(torch.zeros(shape), "x", "y", "title")


def test_a_sweep_is_a_map_of_means_with_its_settings_at_the_axes():
    rows = [
        {
            "seed": seed,
            "temperature": t,
            "alpha": a,
            "lr": 0.1,
            "epochs": 5,
            "diverged": False,
            "validation_errors": 10.0 * a + seed,
        }
        for a, t in ((0.0, None), (0.5, 1.0), (0.5, 4.0))
        for seed in (0, 2)
    ]
    ax = plots.sweep(Table(rows), "title", form="{:.1f}", vmin=-1, vmax=9)
    written = {text.get_position(): text.get_text() for text in ax.texts}
    assert written == {(0, 0): "1.0", (1, 0): "1.0", (0, 1): "6.0", (1, 1): "6.0"}
    assert (texts(ax.get_xticklabels()), texts(ax.get_yticklabels())) == (["1", "4"], ["0", "0.5"])
    assert labels(ax) == ("temperature", "alpha", "title")
    assert ax.images[0].get_clim() == (-1, 9)
    by_rate = plots.sweep(Table(rows), "title", rows="lr", columns="temperature", alpha=0.5)
    assert (texts(by_rate.get_yticklabels()), labels(by_rate)[1]) == (["0.1"], "lr")


def test_curves_are_validation_errors_by_epoch():
    runs = {"alone": History(validation_errors=[300.0, 200.0]), "distilled": History(validation_errors=[250.0, 150.0])}
    ax = plots.curves(runs, "learning")
    assert {line.get_label(): line.get_xydata().tolist() for line in ax.lines} == {
        "alone": [[1, 300], [2, 200]],
        "distilled": [[1, 250], [2, 150]],
    }
    assert len({line.get_marker() for line in ax.lines}) == 2
    assert labels(ax) == ("epoch", "validation errors per 10,000", "learning")
    assert texts(ax.get_legend().get_texts()) == ["alone", "distilled"]


def test_paired_joins_each_seed_and_shows_the_interval():
    a, b = [200.0, 210.0, 190.0], [180.0, 200.0, 185.0]
    difference = paired_difference(a, b)
    left, right = plots.paired(a, b, ("alone", "distilled"), difference, "seeds")
    assert [tuple(line.get_ydata()) for line in left.lines] == list(zip(a, b, strict=True))
    assert texts(left.get_xticklabels()) == ["alone", "distilled"]
    assert labels(left) == ("", "test errors of 10,000", "seeds")
    zero, mean, *_ = right.lines
    assert list(zero.get_ydata()) == [0, 0]
    assert mean.get_ydata() == pytest.approx([difference.mean])
    (bar,) = right.collections[0].get_segments()
    assert bar[:, 1] == pytest.approx([difference.interval.low, difference.interval.high])
    assert texts(right.get_xticklabels()) == ["distilled − alone:\nmean, 95 % interval"]
    assert labels(right) == ("", "difference in\ntest errors of 10,000", "")


DIFFERENCES = {
    "few labels": PairedDifference(-30.0, Interval(-45.0, -20.0), 5),
    "script": PairedDifference(2.0, Interval(-1.0, 4.0), 5),
    "reverse": PairedDifference(5.0, Interval(1.0, 9.0), 5),
}


def test_intervals_stand_one_below_the_other_filled_where_they_leave_0_out():
    ax = plots.intervals(DIFFERENCES, "errors of 10,000", "what helps")
    means, zero = {line.get_ydata()[0]: line for line in ax.lines if line.get_marker() == "o"}, ax.lines[-1]
    segments = {bar.get_segments()[0][0, 1]: bar.get_segments()[0] for bar in ax.collections}
    for i, difference in enumerate(DIFFERENCES.values()):
        assert means[i].get_xydata().tolist() == [[difference.mean, i]]
        assert segments[i].tolist() == [[difference.interval.low, i], [difference.interval.high, i]]
    assert [means[i].get_markerfacecolor() for i in range(3)] == ["C0", "white", "C0"]
    assert list(zero.get_xdata()) == [0, 0]
    assert dict(zip(ax.get_yticks(), texts(ax.get_yticklabels()), strict=True)) == dict(enumerate(DIFFERENCES))
    assert ax.yaxis_inverted()  # the first is at the top
    assert labels(ax) == ("errors of 10,000\n(95 % intervals; hollow: holds 0)", "", "what helps")
    assert ax.get_legend() is None


def test_each_interval_has_its_room_in_the_figure():
    one, three = (plots.intervals(some, "x", "title") for some in ({"script": DIFFERENCES["script"]}, DIFFERENCES))
    assert one.get_ylim() == (0.5, -0.5)
    assert three.get_ylim() == (2.5, -0.5)
    assert three.figure.get_figheight() > one.figure.get_figheight() + 0.5


SEEDS = {"alone": [[3.0, 1.0, 5.0], [2.0, 2.0, 2.0]], "distilled": [[2.0, 0.5, 0.5], [1.0, 4.0, 1.0]]}


def test_a_spread_is_a_line_of_means_in_a_band_from_the_lowest_to_the_highest_seed():
    ax = plots.spread([1, 4], SEEDS, "T", "errors", "by T")
    assert {line.get_label(): line.get_xydata().tolist() for line in ax.lines} == {
        "alone": [[1, 3], [4, 2]],
        "distilled": [[1, 1], [4, 2]],
    }
    corners = [{tuple(corner) for corner in band.get_paths()[0].vertices.tolist()} for band in ax.collections]
    assert corners == [{(1, 1), (1, 5), (4, 2)}, {(1, 0.5), (1, 2), (4, 1), (4, 4)}]
    for line, band in zip(ax.lines, ax.collections, strict=True):
        assert to_rgba(line.get_color())[:3] == tuple(band.get_facecolor()[0][:3])
        assert band.get_facecolor()[0][3] < 0.5  # both bands can be seen
    assert len({line.get_linestyle() for line in ax.lines}) == 2
    assert {line.get_marker() for line in ax.lines} == {"o"}
    assert labels(ax) == ("T", "errors", "by T")
    assert texts(ax.get_legend().get_texts()) == ["alone", "distilled"]


@pytest.mark.parametrize(("log", "scales"), [("", "linear linear"), ("x", "log linear"), ("y", "linear log")])
def test_a_spread_over_a_logarithm_has_plain_ticks(log, scales):
    ax = plots.spread([2.5, 40.0], SEEDS, "T", "errors", "by T", log=log)
    assert f"{ax.get_xscale()} {ax.get_yscale()}" == scales
    if log == "x":
        assert (list(ax.get_xticks()), texts(ax.get_xticklabels())) == ([2.5, 40.0], ["2.5", "40"])
    if log == "y":
        assert {"0.5", "1", "2", "5"} <= set(texts(ax.get_yticklabels()))
        assert list(ax.get_yticks(minor=True)) == []


def test_a_spread_in_axes_with_other_lines_has_bands_of_its_lines_colours():
    ax = plots.lines([1, 4], {"teacher": [1, 1]}, "T", "errors", "by T")
    plots.spread([1, 4], SEEDS, "T", "errors", "by T", ax=ax)
    colours = [to_rgba(line.get_color())[:3] for line in ax.lines[1:]]
    assert [tuple(band.get_facecolor()[0][:3]) for band in ax.collections] == colours


def test_a_spread_of_many_places_is_without_markers():
    many = range(1, 41)
    ax = plots.spread(many, {"alone": [[1.0, 2.0]] * 40, "distilled": [[3.0]] * 40}, "step", "errors", "by step")
    assert {line.get_marker() for line in ax.lines} == {"None"}
    assert all(line.get_xdata().tolist() == list(many) for line in ax.lines)


def test_dots_show_every_number_and_the_mean_of_each_group():
    ax = plots.dots({"alone": [200.0, 220.0, 240.0], "distilled": [130.0]}, "errors", "title")
    drawn = [(list(map(float, line.get_xdata())), list(line.get_ydata())) for line in ax.lines]
    assert drawn[:2] == [([200.0, 220.0, 240.0], [0, 0, 0]), ([220.0], [0])]
    assert drawn[2:] == [([130.0], [1]), ([130.0], [1])]
    assert texts(ax.get_yticklabels()) == ["alone", "distilled"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first group on top
    assert (ax.get_xlabel(), ax.get_title(loc="left") or ax.get_title()) == ("errors", "title")


def test_one_spread_needs_no_legend():
    assert plots.spread([1, 4], {"alone": SEEDS["alone"]}, "T", "errors", "by T").get_legend() is None


@pytest.mark.parametrize(
    "draw",
    [
        lambda ax: plots.lines([1, 2], {"a": [3, 2]}, "x", "y", "title", ax=ax),
        lambda ax: plots.bars({"p": [1.0, 2.0]}, ["a", "b"], "y", "title", ax=ax),
        lambda ax: plots.heatmap(torch.zeros(10, 10), "x", "y", "title", ax=ax),
        lambda ax: plots.curves({"a": History(validation_errors=[3.0, 2.0])}, "title", ax=ax),
        lambda ax: plots.intervals(DIFFERENCES, "x", "title", ax=ax),
        lambda ax: plots.dots({"a": [1.0, 2.0]}, "x", "title", ax=ax),
        lambda ax: plots.spread([1, 4], SEEDS, "x", "y", "title", ax=ax),
    ],
    ids=["lines", "bars", "heatmap", "curves", "intervals", "dots", "spread"],
)
def test_axes_that_are_given_are_drawn_into(draw):
    ax = plt.figure().subplots()
    assert draw(ax) is ax
    assert plt.get_fignums() == [ax.figure.number]


def test_paired_draws_into_given_axes():
    axes = plt.figure().subplots(1, 2)
    assert plots.paired([1, 2], [2, 4], ("a", "b"), paired_difference([1, 2], [2, 4]), "title", axes=axes) is axes


def test_the_diagram_of_distillation_ends_in_one_loss_where_there_are_two_terms():
    words = texts(diagrams.distillation().texts)
    assert {"image", "label $y$", "hard term\ncross-entropy", "soft term\nT² · KL divergence"} <= {*words}
    assert "loss L\nα · soft + (1 − α) · hard" in words
    soft_alone = texts(diagrams.distillation(hard_term=False).texts)
    assert "T² · KL divergence" in soft_alone
    assert not [word for word in soft_alone if "hard" in word or "label" in word]


def test_the_diagram_of_two_targets_names_what_makes_each():
    ax = diagrams.two_targets()
    words = [text.get_text() for text in ax.texts]
    assert {"image", "a person", "label", "teacher", "logits z", "softmax(z)"} <= {*words}
    assert len([word for word in words if word.startswith(("hard target", "soft target"))]) == 2


def test_the_poster_of_kl_div_shows_each_value_in_its_row_and_the_right_call_in_another_colour():
    values = dict(right=1.5, swapped=2.5, probabilities=-0.5, logs=math.nan, mean=0.15, log_of_softmax=math.inf)
    ax = diagrams.kl_div_poster(**values, by_hand=torch.tensor(0.25))
    shown = [text for text in ax.texts if text.get_weight() == "bold"][1:]  # the first is the title
    assert texts(shown) == ["1.500", "2.500", "-0.500", "nan", "0.150", "inf", "0.250"]
    calls = [text.get_text() for text in ax.texts if text.get_family() == ["monospace"]]
    assert calls[0] == 'F.kl_div(log_q, p, reduction="batchmean")'
    assert calls[1] == 'F.kl_div(log_p, q, reduction="batchmean")'
    assert len({text.get_color() for text in shown[1:]}) == 1
    assert shown[0].get_color() != shown[1].get_color()


def test_the_diagram_of_a_fair_comparison_says_which_images_each_step_uses():
    ax = plt.figure().subplots()
    assert diagrams.fair_comparison(ax=ax) is ax
    words = texts(ax.texts)
    assert [word for word in words if word[:2] in ("1.", "2.", "3.", "4.")] == [
        "1. check\nthe teacher", "2. tune\neach side", "3. train pairs\nof new seeds", "4. measure,\nonce",
    ]  # fmt: skip
    assert [word for word in words if word.endswith("images")][-1] == "test images"
