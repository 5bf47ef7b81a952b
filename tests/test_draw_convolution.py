"""Pictures of convolutions and of a backbone: the numbers that they show are those of the library."""

from __future__ import annotations

import numpy as np
import pytest

from minirnn import draw
from minirnn.errors import InputError

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (6, 8, 3)).astype(np.uint8)
BOX = np.array([1.0, 1, 5, 5])


def test_a_convolution_shows_its_sum():
    x, kernel = np.arange(9).reshape(3, 3), np.array([[1, 0], [0, -2]])
    picture = draw.convolution_figure(x, kernel, (1, 0))
    assert picture.get_suptitle() == "3·1 + 7·(−2) = −11"
    values = [text.get_text() for text in picture.axes[2].texts]
    assert values == ["−8", "−9", "−11", "−12"]
    assert picture.png()


def test_a_convolution_with_padding_and_stride_shows_the_ring():
    picture = draw.convolution_figure(np.ones((3, 3)), np.ones((3, 3)), (1, 1), stride=2, padding=1)
    assert len(picture.axes[0].texts) == 25
    assert [text.get_text() for text in picture.axes[2].texts] == ["4"] * 4
    assert draw.convolution_figure(np.ones((1, 1)), np.zeros((1, 1)), (0, 0)).png()


def test_responses_have_zero_in_the_middle_of_their_scale():
    picture = draw.responses_figure(
        IMAGE, {"a": RNG.standard_normal((4, 6)), "b": np.zeros((1, 1))}
    )
    for axes in picture.axes[1:]:
        low, high = axes.images[0].get_clim()
        assert low == -high < 0
    assert picture.png()


def test_a_receptive_field_says_how_wide_it_is():
    fields = {"C2": BOX, "C3": np.array([-10.0, -10, 20, 20])}
    cells = {"C2": np.array([2.0, 2, 3, 3]), "C3": np.array([2.0, 2, 4, 4])}
    picture = draw.receptive_figure(IMAGE, fields, cells, {"C2": np.zeros((6, 8))})
    assert [axes.get_title() for axes in picture.axes] == [
        "C2: 4 pixels wide",
        "C3: 30 pixels wide",
    ]
    assert picture.png()


def test_channels_are_those_that_vary_most():
    maps = np.stack(
        [np.zeros((2, 3)), RNG.standard_normal((2, 3)), 9 * RNG.standard_normal((2, 3))]
    )
    picture = draw.channels_figure(IMAGE, {"C2": maps, "C3": maps[None, :1]}, count=2)
    titles = [axes.get_title() for axes in picture.axes]
    assert titles[:3] == ["picture", "C2, channel 2\n2×3 cells", "C2, channel 1\n2×3 cells"]
    assert titles[4] == "C3, channel 0\n2×3 cells"
    assert picture.png()


def test_depth_draws_each_stack():
    picture = draw.depth_figure({"plain": [1e-9, 1e-3, 1], "shortcut": [1.0]})
    np.testing.assert_array_equal(picture.axes[0].lines[0].get_xdata(), [0, 1, 2])
    assert picture.png()


@pytest.mark.parametrize(
    ("drawn", "said"),
    [
        (lambda: draw.convolution_figure(np.ones(3), np.ones((1, 1)), (0, 0)), "x has shape"),
        (lambda: draw.convolution_figure(np.ones((3, 3)), np.ones((3, 3)), (0, 1)), "place is"),
        (lambda: draw.convolution_figure(np.ones((2, 2)), np.ones((3, 3)), (0, 0)), "larger than"),
        (lambda: draw.responses_figure(IMAGE, {}), "responses is empty"),
        (lambda: draw.responses_figure(IMAGE, {"a": np.ones(3)}), "a: the map has shape"),
        (lambda: draw.receptive_figure(IMAGE, {"C2": BOX}, {}), "of the same maps"),
        (
            lambda: draw.receptive_figure(IMAGE, {"C2": BOX}, {"C2": BOX}, {"C2": np.ones((2, 2))}),
            r"gradients\['C2'\] has shape",
        ),
        (lambda: draw.channels_figure(IMAGE, {"C2": np.ones((2, 2))}), "C2 has shape"),
        (lambda: draw.channels_figure(IMAGE, {}), "give one of each"),
        (lambda: draw.depth_figure({"a": []}), "one number or more"),
    ],
)
def test_bad_input_is_refused_by_name(drawn, said):
    with pytest.raises(InputError, match=said):
        drawn()
