"""Pictures of pixels and boxes: what they show is where it should be."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from minirnn import draw, lessons
from minirnn.draw.palette import OBJECTS
from minirnn.errors import InputError

IMAGE = np.random.default_rng(0).integers(0, 256, (6, 8, 3)).astype(np.uint8)


def texts(picture):
    return [text.get_text() for axes in picture.axes for text in [*axes.texts, axes.title]]


def test_subjects_have_their_names_and_sizes():
    subject = lessons.scene()
    picture = draw.subjects_figure(subject)
    assert picture.png()
    assert {*subject.names, "128 rows, 128 columns"} <= set(texts(picture))


def test_a_subject_without_objects_or_of_one_pixel_is_drawn():
    nothing = SimpleNamespace(
        image=IMAGE[:1, :1], boxes=np.zeros((0, 4)), names=(), colours=(), masks=None
    )
    whole = SimpleNamespace(
        image=IMAGE, boxes=np.array([[0, 0, 8, 6.0]]), names=("all",), colours=OBJECTS[:1],
        masks=np.ones((1, 6, 8), bool),
    )  # fmt: skip
    assert draw.subjects_figure(nothing, whole).png()


def test_names_at_one_place_do_not_cover_each_other():
    boxes = np.array([[10.0, 40, 90, 90], [10, 40, 30, 60]])
    subject = SimpleNamespace(
        image=np.zeros((100, 100, 3), np.uint8), boxes=boxes, names=("large", "small"),
        colours=OBJECTS[:2], masks=None,
    )  # fmt: skip
    picture = draw.subjects_figure(subject)
    places = {text.get_text(): text.get_position()[0] for text in picture.axes[0].texts}
    assert places == {"small": 10, "large": 90}


def test_pixels_have_edges_at_whole_numbers_and_centres_at_halves():
    mask = np.zeros((6, 8), bool)
    mask[2, 3] = True
    picture = draw.pixels_figure(IMAGE, (1, 2, 5, 4), mask=mask, box=np.array([3.0, 2, 4, 3]))
    axes = picture.axes[0]
    upright = [line.get_xdata()[0] for line in axes.lines if len(set(line.get_xdata())) == 1]
    assert upright[:5] == [1, 2, 3, 4, 5]
    (marks,) = [line for line in axes.lines if line.get_marker() == "o"]
    assert marks.get_xydata().tolist() == [[3.5, 2.5]]
    assert picture.png()


def test_the_overlap_is_told():
    assert "12 / (16 + 16 − 12) = 0.6" in texts(
        draw.iou_figure(np.array([1, 1, 5, 5]), np.array([2, 1, 6, 5]))
    )
    apart = draw.iou_figure(np.array([0, 0, 1, 1]), np.array([400, 3, 500.5, 4]))
    assert any(text.endswith("= 0") for text in texts(apart))
    assert apart.png()
    assert draw.iou_figure(np.zeros(4), np.zeros(4)).png()


@pytest.mark.parametrize("after", [1, 4, 9])
def test_a_resize_reads_within_the_row(after):
    right, wrong = draw.resize_figure(IMAGE[0], after).axes
    reads = [[line.get_xdata()[0] for line in axes.lines if line.get_marker() == "v"]
             for axes in (right, wrong)]  # fmt: skip
    np.testing.assert_allclose(reads[0], (np.arange(after) + 0.5) / after)
    np.testing.assert_allclose(reads[1], np.arange(after) / after + 0.5 / 8)


@pytest.mark.parametrize(
    ("drawn", "said"),
    [
        (lambda: draw.subjects_figure(), "subjects is empty"),
        (lambda: draw.subjects_figure(SimpleNamespace(
            image=IMAGE, boxes=np.zeros((1, 4)), names=(), colours=(), masks=None)), "0 names"),
        (lambda: draw.pixels_figure(IMAGE, (0, 0, 9, 2)), "window is"),
        (lambda: draw.pixels_figure(IMAGE, (0, 0, 2, 2), mask=np.ones((2, 2))), "mask has shape"),
        (lambda: draw.iou_figure(np.zeros(3), np.zeros(3)), r"should be \(N, 4\)"),
        (lambda: draw.resize_figure(IMAGE, 3), "row has shape"),
        (lambda: draw.resize_figure(IMAGE[0], 0), "after is 0"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_by_name(drawn, said):
    with pytest.raises(InputError, match=said):
        drawn()
