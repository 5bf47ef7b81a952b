"""Pictures of the feature pyramid: the sums are right, each object has the cells of its level."""

from __future__ import annotations

import numpy as np
import pytest

from minirnn import draw
from minirnn.errors import InputError

IMAGE = np.full((64, 96, 3), 120, np.uint8)


def titles(figure):
    return [axes.get_title() for axes in figure.axes]


def test_maps_figure_lays_every_map_over_the_image():
    flat, deep = np.arange(6.0).reshape(2, 3), np.stack([np.ones((4, 6)), -3 * np.ones((4, 6))])
    figure = draw.maps_figure(
        {"one": flat, "two": deep, "three": deep[None]}, size=(64, 96), boxes=[[8, 8, 40, 30]], columns=2
    )  # fmt: skip
    assert titles(figure)[:3] == [
        "one\n2 × 3 cells", "two\n4 × 6 cells", "three\n4 × 6 cells"
    ]  # fmt: skip
    for axes in figure.axes[:3]:
        assert axes.images[0].get_extent() == [0, 96, 64, 0]
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), flat)
    np.testing.assert_array_equal(figure.axes[1].images[0].get_array(), np.full((4, 6), 2.0))
    assert draw.maps_figure({"one cell": np.zeros((1, 1))}, size=(8, 8)).png()


@pytest.mark.parametrize("size", [(4, 4), (5, 3), (1, 1)])
def test_top_down_figure_adds(size):
    own = np.arange(np.prod(size)).reshape(size)
    above = np.arange(10, 10 + np.prod([(n + 1) // 2 for n in size])).reshape(
        [(n + 1) // 2 for n in size]
    )
    figure = draw.top_down_figure(own, above)
    texts = [float(text.get_text()) for text in figure.axes[3].texts]
    expected = [
        own[i, j] + above[i // 2, j // 2] for i in range(size[0]) for j in range(size[1])
    ]  # fmt: skip
    assert texts == expected


def test_box_cells_figure_counts_the_cells_of_each_box():
    boxes = np.array([[0, 0, 32, 16], [10.0, 10, 90, 60]])
    figure = draw.box_cells_figure(IMAGE, boxes, [0, 2], names=["small", "large"])
    assert titles(figure) == [
        "small\n32 × 16 pixels\nP2: 8 × 4 cells",
        "large\n80 × 50 pixels\nP4: 5 × 3 cells",
    ]
    assert draw.box_cells_figure(IMAGE, boxes[:1] * 0, [3], names=[]).png()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: draw.maps_figure({}, size=(4, 4)), "maps is empty"),
        (lambda: draw.maps_figure({"C2": np.ones(3)}, size=(4, 4)), r"C2 has shape \(3,\)"),
        (lambda: draw.top_down_figure(np.ones((13, 13)), np.ones((7, 7))), "lateral has shape"),
        (lambda: draw.top_down_figure(np.ones((2, 2)), np.ones(1)), r"above has shape \(1,\)"),
        (
            lambda: draw.box_cells_figure(IMAGE, [[0, 0, 1, 1]], [0, 1]),
            r"levels has shape \(2,\)",
        ),
        (lambda: draw.box_cells_figure(IMAGE, [], []), "at least one"),
    ],
)
def test_what_does_not_fit_is_named(make, message):
    with pytest.raises(InputError, match=message):
        make()
