"""The temperature slider: what it draws, and that moving it draws anew."""

import matplotlib.pyplot as plt
import pytest
import torch

from kdtutor.course import sliders

IMAGE = torch.arange(16, dtype=torch.uint8).reshape(1, 4, 4)
LOGITS = torch.tensor([3.0, 1.0, 0.0, -2.0], dtype=torch.float64)


@pytest.fixture(autouse=True)
def no_figure_stays_open():
    before = plt.get_fignums()
    yield
    assert plt.get_fignums() == before


def test_the_bars_are_the_softened_probabilities():
    figure = sliders.soft_target(IMAGE, LOGITS, 2.0)
    left, right = figure.axes
    assert left.images[0].get_array().tolist() == IMAGE[0].tolist()
    assert [bar.get_height() for bar in right.patches] == pytest.approx(torch.softmax(LOGITS / 2, dim=0).tolist())
    assert right.get_title() == "T = 2.00, entropy 1.53 bits"
    plt.close(figure)


def test_moving_the_slider_draws_anew_and_moving_it_back_draws_the_same():
    slider, picture = sliders.temperature(IMAGE, LOGITS).children
    assert slider.value == 3.0
    before = picture.value
    slider.value = 10.0
    assert picture.value != before
    slider.value = 3.0
    assert picture.value == before
