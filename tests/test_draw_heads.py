"""Pictures of the heads: what they show is what the heads said."""

from __future__ import annotations

import numpy as np
import pytest

from minirnn.draw import heads as draw
from minirnn.errors import InputError

IMAGE = np.full((30, 40, 3), 180, np.uint8)
BOX = np.array([5.0, 5, 25, 25])
NAMES = ["circle", "square"]


def titles(figure):
    return [axes.get_title() for axes in figure.axes]


def test_the_verdict_shows_each_class_with_its_probability():
    figure = draw.region_verdict_figure(IMAGE, BOX, [BOX, BOX + 2], [0.1, 0.7, 0.2], NAMES)
    bars = figure.axes[1].patches
    assert [bar.get_width() for bar in bars] == pytest.approx([0.1, 0.7, 0.2])
    assert len(figure.axes[0].collections) == 2
    assert figure.png()


def test_masks_are_counted_from_one_half_on():
    full, half = np.ones((2, 4, 4)), np.full((2, 4, 4), 0.5)
    half[1, :2] = 0.2
    figure = draw.class_masks_figure({"sigmoid": full, "softmax": half}, NAMES, label=2)
    assert titles(figure)[:4] == [
        "circle: 16 cells",
        "square: 16 cells",
        "circle: 16 cells",
        "square: 8 cells",
    ]
    assert figure.axes[1].spines["left"].get_linewidth() == 4
    assert figure.png()


def test_targets_stand_below_their_regions():
    mask = np.zeros((30, 40), bool)
    mask[8:20, 8:20] = True
    targets = np.stack([np.ones((7, 7)), np.zeros((7, 7))])
    figure = draw.region_targets_figure(IMAGE, mask, np.stack([BOX, BOX + 3]), targets)
    assert titles(figure)[2:] == ["mean 1.00", "mean 0.00"]
    # An object of which nothing is to be seen has no outline.
    assert draw.region_targets_figure(IMAGE, ~mask & mask, [BOX], targets[:1]).png()


def test_a_point_has_its_cell_or_none():
    points = np.array([[6.0, 6, 2], [30, 6, 2], [7, 7, 0]])
    figure = draw.keypoint_cells_figure(IMAGE, BOX, points, [0, -1, -1], 4, ["nose", "ear", "eye"])
    (patch,) = figure.axes[0].patches
    assert (patch.get_x(), patch.get_y(), patch.get_width()) == (5, 5, 5)
    assert [t.get_text() for t in figure.axes[0].texts] == ["nose\n(0, 0)"]
    assert titles(figure)[1] == "nose from near"
    nothing = draw.keypoint_cells_figure(IMAGE, BOX, points[2:], [-1], 4, ["eye"])
    assert titles(nothing)[1] == "no point has a cell"
    assert figure.png()


def test_what_does_not_fit_is_refused_by_name():
    with pytest.raises(InputError, match="2 boxes, 2 names and 2 probabilities"):
        draw.region_verdict_figure(IMAGE, BOX, [BOX, BOX], [0.5, 0.5], NAMES)
    with pytest.raises(InputError, match="rows have shapes"):
        draw.class_masks_figure({"sigmoid": np.ones((3, 4, 4))}, NAMES)
    with pytest.raises(InputError, match="rows have shapes"):
        draw.class_masks_figure({}, NAMES)
    with pytest.raises(InputError, match="there are 1 regions"):
        draw.region_targets_figure(IMAGE, np.ones((30, 40)), [BOX], np.ones((2, 7, 7)))
    with pytest.raises(InputError, match="1 points, 2 cells"):
        draw.keypoint_cells_figure(IMAGE, BOX, np.ones((1, 3)), [0, 1], 4, ["nose"])
