"""Pictures of anchors and of the sizes that none fits: what they show is what the library makes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirnn import draw
from minirnn.anchors import base_anchors, pyramid_anchors
from minirnn.boxes import iou
from minirnn.draw.coverage import best_overlap
from minirnn.errors import InputError

SIZES, STRIDES, RATIOS = (32, 64), (8, 16), (0.5, 1, 2)


def texts(axes):
    return [text.get_text() for text in axes.texts]


@given(
    st.tuples(st.floats(4, 200), st.floats(4, 200)),
    st.tuples(st.floats(160, 352), st.floats(160, 352)),
    st.sampled_from([0.0, 0.5]),
)
def test_the_best_overlap_is_that_with_all_anchors(side, place, offset):
    anchors = pyramid_anchors(
        (512, 512), [(64, 64), (32, 32)], SIZES, RATIOS, offset=offset, dtype=float
    )
    x, y, w, h = *place, *side
    box = np.array([[x - w / 2, y - h / 2, x + w / 2, y + h / 2]])
    true = iou(box, np.concatenate(anchors)).max()
    found = best_overlap(
        [side], [place], sizes=SIZES, strides=STRIDES, ratios=RATIOS, offset=offset
    )
    assert found.shape == (1, 1)
    assert found[0, 0] == pytest.approx(true, abs=1e-9)


def test_shapes_are_titled_with_their_sides():
    figure = draw.shapes_figure(base_anchors(32, (1, 4)))
    assert [axes.get_title() for axes in figure.axes] == [
        "all of one place",
        "32.0 wide, 32.0 high\narea 1024",
        "16.0 wide, 64.0 high\narea 1024",
    ]
    assert figure.png()
    for wrong in (np.zeros((0, 4)), np.zeros((8, 4)), np.zeros((2, 5))):
        with pytest.raises(InputError, match="base"):
            draw.shapes_figure(wrong)


def test_numbers_go_along_the_rows_with_all_shapes_of_a_cell_together():
    axes = draw.numbering_figure(2, 3, 2).axes[0]
    where = {text.get_text(): text.get_position() for text in axes.texts}
    assert len(where) == 12
    assert where["0"] == (0.25, 0.5)
    assert where["1"] == (0.75, 0.5)
    assert where["9"] == (1.75, 1.5)
    assert draw.numbering_figure(1, 1, 1).png()
    for wrong in ((0, 3, 2), (9, 9, 3)):
        with pytest.raises(InputError, match="1 to 60"):
            draw.numbering_figure(*wrong)


def test_a_size_between_two_anchors_glows_and_an_object_is_marked_where_it_is():
    boxes = np.array([[10, 10, 42, 42], [0, 0, 45, 45]], float)
    figure = draw.coverage_figure(
        SIZES, STRIDES, RATIOS, boxes=boxes, names=("fits", "gap"), colours=("red", "blue")
    )
    axes = figure.axes[0]
    assert [line.get_xydata().tolist() for line in axes.lines] == [[[32, 32]], [[45, 45]]]
    assert texts(axes) == ["fits", "gap"]
    mesh = axes.collections[0]
    values = np.asarray(mesh.get_array()).reshape(73, 73)
    side = np.geomspace(32 / 2**1.5, 64 * 2**0.75, 73)
    at = [int(np.abs(np.log(side / s)).argmin()) for s in (32, 45)]
    assert values[at[0], at[0]] > 0.75
    assert values[at[1], at[1]] < 0.55
    assert figure.png()


def test_coverage_of_no_boxes_and_of_one_level():
    assert draw.coverage_figure((32,), (8,), (1,)).png()
    with pytest.raises(InputError, match="2 sizes and 1 strides"):
        draw.coverage_figure((32, 64), (8,), (1,))
    with pytest.raises(InputError, match="1 boxes and 0 colours"):
        draw.coverage_figure((32,), (8,), (1,), boxes=np.ones((1, 4)))


def test_squares_have_a_line_for_each_setting():
    settings = {"one": (SIZES, STRIDES, RATIOS), "dense": (SIZES, (4, 8), RATIOS)}
    figure = draw.squares_figure(settings)
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels == ["one", "dense"]
    assert figure.png()
    for wrong in ({}, dict.fromkeys("abcd", (SIZES, STRIDES, RATIOS))):
        with pytest.raises(InputError, match="1 to 3"):
            draw.squares_figure(wrong)


@pytest.mark.parametrize("shape", [(300, 400, 3), (301, 300, 3), (1, 1, 3)])
def test_paper_is_pale_and_grey_and_of_few_shades(shape):
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    pale = draw.paper(image)
    assert pale.shape == shape
    assert pale.dtype == np.uint8
    assert (pale[..., :1] == pale).all()
    assert len(np.unique(pale)) <= 10
    assert pale.min() >= 100
    with pytest.raises(InputError, match="image"):
        draw.paper(image[..., 0])


def test_paper_keeps_black_and_white_apart():
    image = np.zeros((4, 4, 3), np.uint8)
    image[:2] = 255
    pale = draw.paper(image, fade=0)
    assert (pale[:2] == 255).all()
    assert (pale[2:] == 0).all()
