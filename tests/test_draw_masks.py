"""Pictures of masks: what is drawn is what paste and the run lengths say, and odd input is named."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.collections import PathCollection

from minirnn import draw
from minirnn.errors import InputError
from minirnn.masks import paste

GRID = np.array([[0.0, 0.4], [0.8, 1.0]])
BOX = np.array([1.4, 0.5, 7.4, 6.5])


def titles(figure):
    return [axes.get_title() for axes in figure.axes]


def test_paste_figure_puts_a_full_dot_on_each_pixel_of_the_mask():
    figure = draw.paste_figure(GRID, BOX, 8, 9)
    mask = paste(GRID[None], BOX[None], 8, 9)[0]
    full, empty = (c for c in figure.axes[1].collections if isinstance(c, PathCollection))
    y, x = np.nonzero(mask)
    np.testing.assert_array_equal(full.get_offsets(), np.stack([x, y], axis=1) + 0.5)
    assert len(empty.get_offsets()) == mask.size - mask.sum()
    assert titles(figure)[1] == f"the image: {mask.sum()} pixels are in the mask"
    assert [text.get_text() for text in figure.axes[0].texts] == ["0", "0.4", "0.8", "1"]


@pytest.mark.parametrize("box", [BOX + 100, BOX[[0, 1, 0, 3]], BOX * 40])
@pytest.mark.parametrize("value", [0.0, 0.7])
def test_paste_figure_of_boxes_that_are_empty_or_elsewhere(box, value):
    assert draw.paste_figure(np.full((3, 3), value), box, 5, 6).png()


def test_paste_ways_figure_counts_what_is_wrong():
    truth = np.zeros((20, 30), bool)
    truth[5:10, 5:15] = True
    moved = np.roll(truth, 1, axis=1)
    box = [5, 5, 15, 10]
    figure = draw.paste_ways_figure(truth, {"same": truth, "moved": moved}, box)
    assert titles(figure) == [
        "same\nIoU 1.000: 0 missed, 0 too much",
        "moved\nIoU 0.818: 5 missed, 5 too much",
    ]
    paint = figure.axes[1].images[1].get_array()
    assert (paint[..., 3] > 0).sum() == (truth | moved).sum()
    ground = np.zeros((20, 30, 3), np.uint8)
    nothing = np.zeros_like(truth)
    assert draw.paste_ways_figure(nothing, {"none": nothing}, box, image=ground).png()


def test_runs_figure_shows_the_counts():
    mask = np.array([[0, 1, 0], [0, 1, 1]], bool)
    figure = draw.runs_figure(mask)
    assert titles(figure) == ["read column by column, downwards", "[2, 2, 1, 1]"]
    assert [patch.get_width() for patch in figure.axes[1].patches] == [2, 2, 1, 1]
    for other in (np.ones((1, 1), bool), np.zeros((20, 20), bool)):
        assert draw.runs_figure(other).png()


def test_series_figure_draws_each_line():
    kind = {"title": "a", "across": "b", "up": "c"}
    figure = draw.series_figure([1, 2], {"one": [3, 4], "two": [5, 6]}, **kind, xscale="log")
    assert [line.get_ydata().tolist() for line in figure.axes[0].lines] == [[3, 4], [5, 6]]
    with pytest.raises(InputError, match="one has 1 values for 2 places"):
        draw.series_figure([1, 2], {"one": [3]}, **kind)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: draw.paste_figure(np.ones((2, 3)), BOX, 5, 5),
            r"probabilities has shape \(2, 3\)",
        ),
        (lambda: draw.paste_figure(GRID, BOX, 0, 5), "height and width are 0 and 5"),
        (lambda: draw.paste_ways_figure(np.ones((2, 2)), {}, BOX), "ways is empty"),
        (
            lambda: draw.paste_ways_figure(np.ones((2, 2)), {"a": np.ones((2, 3))}, BOX),
            r"truth has shape \(2, 2\) and a \(2, 3\)",
        ),
        (
            lambda: draw.paste_ways_figure(
                np.ones((2, 2)), {"a": np.ones((2, 2))}, BOX, image=np.zeros((3, 3, 3), np.uint8)
            ),
            r"image has shape \(3, 3, 3\)",
        ),
        (lambda: draw.runs_figure(np.ones((21, 20))), r"mask has shape \(21, 20\)"),
    ],
)
def test_what_does_not_fit_is_named(make, message):
    with pytest.raises(InputError, match=message):
        make()
