"""Pictures of the RoI operations: they show the right numbers, and refuse what does not fit."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from minirnn.draw import roi as draw
from minirnn.errors import InputError

BOX = np.array([37.0, 22.0, 122.0, 101.0])


def texts(figure: Figure) -> str:
    figure.draw_without_rendering()
    return " | ".join(
        text.get_text()
        for axes in figure.axes
        for text in [axes.title, axes.xaxis.label, axes.yaxis.label, *axes.texts]
    )


def test_region_read():
    pool, warp, align = (draw.region_read(name, BOX[None], 1 / 16) for name in draw.OPERATIONS)
    np.testing.assert_array_equal(pool, [[2, 1, 9, 7]])
    np.testing.assert_array_equal(warp, pool)
    np.testing.assert_allclose(align, BOX[None] / 16)
    with pytest.raises(InputError, match="operation is 'RoIPlane'"):
        draw.region_read("RoIPlane", BOX[None], 1 / 16)


def test_regions_figure_tells_the_overlap():
    figure = draw.regions_figure(BOX, 1 / 16, (8, 10))
    assert "RoIPool: IoU 0.62 |" in texts(figure)
    assert "RoIAlign: IoU 1.00 |" in texts(figure)
    # The weights of RoIAlign's upper left bin: squares whose areas sum to that of the largest, over
    # its weight. All weights sum to 1.
    squares = [p for p in figure.axes[2].patches if p.get_alpha() == 0.6]
    areas = np.array([p.get_width() * p.get_height() for p in squares])
    assert len(areas) == 9
    assert areas.max() == pytest.approx(0.94**2)
    with pytest.raises(InputError, match="box has shape"):
        draw.regions_figure(BOX[None], 1 / 16, (8, 10))


def test_shift_figure_draws_each_curve():
    shifts = np.arange(0, 40, 0.5)
    figure = draw.shift_figure(
        shifts, {"RoIPool": shifts // 16, "RoIAlign": shifts / 16}, stride=16
    )
    lines = figure.axes[0].lines
    np.testing.assert_array_equal(lines[0].get_ydata(), shifts // 16)
    assert [line.get_xdata()[0] for line in lines[2:]] == [0, 16, 32]
    with pytest.raises(InputError, match="RoIPool: output has shape"):
        draw.shift_figure(shifts, {"RoIPool": shifts[1:]}, stride=16)


def test_half_cell_figure_shows_both_answers():
    legacy = np.arange(16.0).reshape(4, 4) + 7.5
    box = np.array([1.0, 1, 3, 3])
    figure = draw.half_cell_figure(np.arange(25.0).reshape(5, 5), box, legacy, legacy - 3)
    assert " 7.5 " in texts(figure)
    assert " 4.5 " in texts(figure)
    with pytest.raises(InputError, match="legacy has shape"):
        draw.half_cell_figure(np.zeros((5, 5)), box, legacy, legacy[:3])


def test_overlap_figure_names_the_strides():
    figure = draw.overlap_figure([32, 64], {4: [0.7, 0.8], 8: [0.5, 0.7]})
    assert "stride 4 | stride 8" in texts(figure)
    with pytest.raises(InputError, match="stride 4 has 1 values for 2 sizes"):
        draw.overlap_figure([32, 64], {4: [0.7]})


def test_footprint_figure_counts_cells():
    gradient = np.zeros((8, 10))
    gradient[2, 3:5] = [0.5, -1]
    figure = draw.footprint_figure({"RoIPool": gradient, "RoIAlign": gradient + 1}, BOX, 1 / 16)
    assert "RoIPool: 2 cells" in texts(figure)
    assert "RoIAlign: 79 cells" in texts(figure)
    with pytest.raises(InputError, match="gradients have shapes"):
        draw.footprint_figure({"RoIPool": gradient, "RoIAlign": gradient[1:]}, BOX, 1 / 16)
