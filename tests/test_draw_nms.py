"""Pictures of suppression: who is kept and who drops whom, as `nms` has it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirnn import draw
from minirnn.boxes import nms
from minirnn.errors import InputError

BOXES = np.array([[28, 10, 68, 50], [10, 10, 50, 50], [18, 10, 58, 50], [60, 60, 80, 80.0]])
SCORES = np.array([0.7, 0.9, 0.8, 0.2])


def says(figure):
    return [label.get_text() for label in figure.axes[1].get_yticklabels()]


def test_nms_figure_says_who_is_kept_and_who_drops_whom():
    figure = draw.nms_figure(BOXES, SCORES, 0.5)
    assert says(figure) == ["A  kept", "B  dropped by A", "C  kept", "D  kept"]
    assert figure.axes[0].get_title() == "4 boxes, 3 kept at a threshold of 0.5"
    numbers = [text.get_text() for text in figure.axes[1].texts]
    assert numbers == ["0.67", "0.38", "0.60", "0.00", "0.00", "0.00"]
    bold = [text.get_text() for text in figure.axes[1].texts if text.get_weight() == "bold"]
    assert bold == ["0.67"]


@given(
    st.lists(st.lists(st.integers(0, 20), min_size=5, max_size=5), min_size=1, max_size=6),
    st.sampled_from([0.0, 0.3, 0.7, 1.0]),
)
def test_the_picture_agrees_with_nms(rows, threshold):
    rows = np.array(rows, float)
    boxes = np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:4]], axis=1)
    figure = draw.nms_figure(boxes, rows[:, 4], threshold)
    kept = sum(text.endswith("kept") for text in says(figure))
    assert kept == len(nms(boxes, rows[:, 4], threshold))
    assert f"{kept} kept" in figure.axes[0].get_title()


def test_nms_figure_over_an_image_with_objects():
    image = np.zeros((90, 90, 3), np.uint8)
    assert draw.nms_figure(BOXES, SCORES, 0.5, image=image, objects=BOXES[:1]).png()
    assert draw.nms_figure(BOXES[:1] * 0, SCORES[:1], 0.5).png()


def test_steps_figure_shows_counts_and_recalls():
    counts = {"all": 4000, "kept": 100, "none": 0}
    recall = {"all": 1.0, "kept": 0.75, "none": 0.0}
    figure = draw.steps_figure(counts, {"IoU 0.5": recall})
    left, right = figure.axes
    assert [text.get_text().strip() for text in left.texts] == ["4,000", "100", "0"]
    assert [patch.get_width() for patch in right.patches] == [1.0, 0.75, 0.0]
    assert figure.png()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: draw.nms_figure(BOXES, SCORES[:2], 0.5), r"scores \(2,\)"),
        (lambda: draw.nms_figure([], [], 0.5), "N from 1 to 10"),
        (lambda: draw.nms_figure(np.tile(BOXES, (3, 1)), np.tile(SCORES, 3), 0.5), "1 to 10"),
        (lambda: draw.steps_figure({}, {}), "at least one step"),
        (lambda: draw.steps_figure({"a": 1}, {"IoU": {"b": 1.0}}), r"IoU has the steps \['b'\]"),
    ],
)
def test_what_does_not_fit_is_named(make, message):
    with pytest.raises(InputError, match=message):
        make()
