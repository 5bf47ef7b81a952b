"""The checkers of the notebooks: right answers pass, usual mistakes do not, and nothing is given away."""

from __future__ import annotations

import math

import numpy as np
import pytest
from matplotlib.figure import Figure

from minirnn import lessons
from minirnn.textbook import roi_pool as textbook


def cells_read(box, stride):
    return tuple(textbook.round_half_away(edge / stride) for edge in box)


def bilinear_weights(x, y):
    across, down = (x - 0.5) % 1, (y - 0.5) % 1
    return (
        (1 - down) * (1 - across),
        (1 - down) * across,
        down * (1 - across),
        down * across,
    )


def test_right_answers():
    assert lessons.check_cells_read(cells_read).right
    assert lessons.check_bilinear_weights(bilinear_weights).right
    for stride in (4, 16, 32):
        assert lessons.check_legacy_shift(stride / 2, stride).right
        assert lessons.check_drift(stride / 2, stride).right
    assert repr(lessons.check_drift(8, 16)) == "Right."


@pytest.mark.parametrize(
    "mistake",
    [
        lambda box, stride: [math.floor(edge / stride) for edge in box],
        lambda box, stride: [round(edge / stride) for edge in box],  # halves to even
        lambda box, stride: [
            *cells_read(box, stride)[:2],
            *(e - 1 for e in cells_read(box, stride)[2:]),
        ],
        lambda box, stride: cells_read(box, stride)[:3],
        lambda box, stride: "left",
        lambda box, stride: box / stride,
    ],
)
def test_mistakes_in_cells_read(mistake):
    verdict = lessons.check_cells_read(mistake)
    assert verdict.right is False
    assert repr(verdict).startswith("Not yet: for (")


@pytest.mark.parametrize(
    "mistake",
    [
        lambda x, y: bilinear_weights(x + 0.5, y + 0.5),  # centres at i
        lambda x, y: bilinear_weights(y, x),
        lambda x, y: bilinear_weights(x, y)[::-1],
    ],
)
def test_mistakes_in_bilinear_weights(mistake):
    assert lessons.check_bilinear_weights(mistake).right is False


def test_wrong_numbers_say_which_way_and_no_more():
    assert repr(lessons.check_legacy_shift(3, 32)) == "Not yet: 3 is too small."
    assert repr(lessons.check_drift(0, 16)) == "Not yet: 0 is too small."
    assert repr(lessons.check_drift(16, 16)) == "Not yet: 16 is too large."
    assert lessons.check_drift("eight", 16).right is False


def test_no_answer_yet():
    for verdict in (
        lessons.check_cells_read(lambda box, stride: ...),
        lessons.check_bilinear_weights(lambda x, y: None),
        lessons.check_legacy_shift(..., 32),
        lessons.check_drift(..., 16),
    ):
        assert verdict.right is None
        assert "Not answered yet" in repr(verdict)


def test_source_is_the_text_of_the_library():
    shown = lessons.source(textbook.round_half_away, textbook.roi_pool)
    text = shown._repr_markdown_()
    assert text.startswith("```python\ndef round_half_away(")
    assert text.endswith("return pooled\n```")
    assert repr(shown) == (
        "<source of minirnn.textbook.roi_pool.round_half_away, minirnn.textbook.roi_pool.roi_pool>"
    )


def test_picture_is_the_same_png_each_time():
    pngs = []
    for _ in range(2):
        figure = Figure(figsize=(2, 1))
        figure.subplots().plot(np.arange(3))
        pngs.append(lessons.Picture(figure, dpi=50)._repr_png_())
    assert pngs[0] == pngs[1]
    assert pngs[0].startswith(b"\x89PNG")
    assert b"Matplotlib" not in pngs[0]
    assert repr(lessons.Picture(figure)) == "<picture>"
