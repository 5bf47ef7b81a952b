"""Pictures of the box code and its loss: the numbers drawn are those of the library."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minirnn import draw
from minirnn.boxes import encode
from minirnn.errors import InputError
from minirnn.ops.losses import smooth_l1

ANCHOR = np.array([40.0, 40, 80, 80])
BOXES = np.array([[40.0, 40, 80, 80], [60, 30, 100, 70], [20, 20, 100, 100]])


def test_the_bars_are_the_code():
    figure = draw.code_figure(ANCHOR, BOXES, titles=("same", "moved"))
    above, below = figure.axes[:3], figure.axes[3:]
    assert [axes.get_title() for axes in above] == ["same", "moved", ""]
    codes = encode(np.repeat(ANCHOR[None], 3, axis=0), BOXES)
    for axes, code in zip(below, codes, strict=True):
        assert [bar.get_width() for bar in axes.patches] == pytest.approx(code.tolist())
    assert [text.get_text() for text in below[1].texts] == ["+0.50", "-0.25", "0", "0"]
    assert figure.png()


@given(st.floats(-200, 200), st.floats(0.5, 300), st.floats(0.5, 300))
@settings(max_examples=6, deadline=None)
def test_a_code_of_any_box_is_drawn(shift, width, height):
    box = np.array([[shift, shift, shift + width, shift + height]])
    assert draw.code_figure(ANCHOR, box).png()


def test_codes_that_cannot_be_drawn():
    for wrong in (np.zeros((0, 4)), np.repeat(BOXES, 3, axis=0)):
        with pytest.raises(InputError, match="1 to 6"):
            draw.code_figure(ANCHOR, wrong)
    with pytest.raises(InputError, match="without area"):
        draw.code_figure(ANCHOR, np.array([[10.0, 10, 10, 20]]))


def test_pixels_at_the_left_and_codes_at_the_right():
    who = {"names": ("one", "two"), "colours": ("#d55e00", "#0072b2")}
    anchors = np.array([[0.0, 0, 10, 10], [0, 0, 100, 100]])
    boxes = np.array([[5.0, 0, 25, 10], [50, 0, 250, 100]])  # the same, ten times as large
    figure = draw.pixels_and_codes_figure(anchors, boxes, **who)
    left, right = (
        [line.get_ydata() for line in axes.lines if len(line.get_ydata()) == 4]
        for axes in figure.axes
    )
    np.testing.assert_allclose(left, [[10, 0, 10, 0], [100, 0, 100, 0]])
    np.testing.assert_allclose(right, [[1, 0, np.log(2), 0]] * 2)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["one", "two"]
    assert figure.png()


def test_no_objects_and_lists_that_do_not_fit():
    none = np.zeros((0, 4))
    assert draw.pixels_and_codes_figure(none, none, names=(), colours=()).png()
    with pytest.raises(InputError, match="3 boxes"):
        draw.pixels_and_codes_figure(BOXES[:2], BOXES, names="ab", colours=("r", "b"))


def test_the_curves_are_the_librarys_loss_and_its_slope():
    figure = draw.smooth_l1_figure((1.0, 0.25))
    left, right = figure.axes
    for beta, number in ((1.0, 0), (0.25, 1)):
        curves = [line for line in left.lines if f"β = {beta:.3g}" in line.get_label()]
        d, loss = curves[0].get_data()
        true = smooth_l1(d, np.zeros_like(d), beta=beta, reduction="none")
        np.testing.assert_allclose(loss, true)
        slopes = [line for line in right.lines if len(line.get_xdata()) == len(d)]
        _, slope = slopes[2 + number].get_data()
        steps = np.diff(true) / np.diff(d)
        assert np.abs(steps - (slope[1:] + slope[:-1]) / 2).max() < 0.03
    assert figure.png()
    for wrong in ((), (0.0,), (1, 2, 3, 4)):
        with pytest.raises(InputError, match="1 to 3"):
            draw.smooth_l1_figure(wrong)
