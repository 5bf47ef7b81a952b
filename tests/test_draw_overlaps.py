"""Pictures of matching: the table of overlaps, positives in their object's colour, and shares."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_hex

from minirnn import draw
from minirnn.errors import InputError
from minirnn.matching import BACKGROUND, IGNORE

IMAGE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
TRUTH = np.array([[0, 0, 20, 20], [30, 10, 50, 30]], float)
WHO = {"names": ("one", "two"), "colours": ("#d55e00", "#0072b2")}


def test_the_table_holds_the_overlaps_and_frames_the_best_of_each_row():
    anchors = np.array([[0, 0, 20, 10], [30, 10, 50, 30], [55, 35, 60, 40]], float)
    left, right = draw.overlaps_figure(IMAGE, anchors, TRUTH, **WHO).axes
    assert [text.get_text() for text in right.texts] == [
        "0.50", "0.00", "0.00", "0.00", "1.00", "0.00",
    ]  # fmt: skip
    frames = [(round(p.get_x() + 0.46), round(p.get_y() + 0.46)) for p in right.patches]
    assert frames == [(0, 0), (1, 1)]
    assert [to_hex(p.get_edgecolor()) for p in right.patches] == list(WHO["colours"])
    # The third anchor touches nothing: it has no best object.
    assert [round(float(line.get_xdata()[0])) for line in right.lines] == [0, 1]
    assert [text.get_text() for text in left.texts] == ["a", "b", "c"]


def test_tied_anchors_are_all_framed_and_an_object_that_nothing_touches_has_no_frame():
    anchors = np.array([[0, 0, 20, 10], [0, 10, 20, 20]], float)
    _, right = draw.overlaps_figure(IMAGE, anchors, TRUTH, **WHO).axes
    assert len(right.patches) == 2


def test_overlaps_of_what_cannot_be_drawn():
    for anchors, truth in (
        (np.zeros((0, 4)), TRUTH), (np.ones((13, 4)), TRUTH), (TRUTH, np.zeros((0, 4))),
    ):  # fmt: skip
        with pytest.raises(InputError, match="at least one object, and 1 to 12 anchors"):
            draw.overlaps_figure(IMAGE, anchors, truth, **WHO)
    with pytest.raises(InputError, match="2 objects and 1 names"):
        draw.overlaps_figure(IMAGE, TRUTH, TRUTH, names=("one",), colours=WHO["colours"])


def test_positives_have_their_objects_colour_and_the_titles_count():
    anchors = np.concatenate([TRUTH, TRUTH + 3, TRUTH + 8])
    matches = np.array([0, 1, 1, IGNORE, BACKGROUND, BACKGROUND])
    figure = draw.targets_figure(IMAGE, anchors, matches, TRUTH, colours=WHO["colours"])
    left, right = figure.axes
    assert left.get_title() == "positive: 3 of 6"
    assert right.get_title() == "left out: 1 of 6"
    colours = [to_hex(c) for c in left.collections[0].get_colors()]
    assert colours == [WHO["colours"][0], WHO["colours"][1], WHO["colours"][1]]
    assert figure.png()


def test_targets_of_nothing_and_of_too_much():
    none = draw.targets_figure(
        IMAGE, np.zeros((0, 4)), np.zeros(0, int), np.zeros((0, 4)), colours=()
    )
    assert none.axes[0].get_title() == "positive: 0 of 0"
    assert none.png()
    anchors = np.repeat(TRUTH, 50, axis=0)
    many = draw.targets_figure(
        IMAGE, anchors, np.zeros(100, int), TRUTH, colours=WHO["colours"], most=7
    )
    assert many.axes[0].get_title() == "positive: 100 of 100, 7 of them drawn"
    assert len(many.axes[0].collections[0].get_segments()) == 7
    with pytest.raises(InputError, match="matches has shape"):
        draw.targets_figure(IMAGE, anchors, np.zeros(3, int), TRUTH, colours=WHO["colours"])
    with pytest.raises(InputError, match="index of one of 2 objects"):
        draw.targets_figure(IMAGE, TRUTH, np.array([0, 2]), TRUTH, colours=WHO["colours"])


@given(st.lists(st.lists(st.integers(-2, 3), max_size=9), min_size=1, max_size=4))
def test_bars_are_as_long_as_their_part(groups):
    figure = draw.shares_figure({str(k): np.array(g, int) for k, g in enumerate(groups)})
    (axes,) = figure.axes
    widths = np.array([bar.get_width() for bar in axes.patches]).reshape(-1, 3)
    for width, group, text in zip(widths, groups, axes.texts, strict=True):
        wanted = [
            sum(m >= 0 for m in group), sum(m == IGNORE for m in group),
            sum(m == BACKGROUND for m in group),
        ]  # fmt: skip
        assert width.tolist() == pytest.approx([w / max(len(group), 1) for w in wanted])
        assert text.get_text() == (", ".join(
            f"{w} {name}"
            for w, name in zip(wanted, ("positive", "left out", "negative"), strict=True)
            if w
        ) or "none")  # fmt: skip


def test_no_groups_are_refused():
    with pytest.raises(InputError, match="at least one"):
        draw.shares_figure({})
