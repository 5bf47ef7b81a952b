"""Pictures of a detection's way back, and of how far an object got."""

import numpy as np
import pytest

from minirnn.draw import chain_figure, gates_figure
from minirnn.draw.palette import ORANGE
from minirnn.errors import InputError

IMAGE = np.full((40, 50, 3), 90, np.uint8)
BOX = np.array([5.0, 6, 25, 30])


def test_a_chain_shows_all_its_links():
    shares = {"background": 0.1, "cat": 0.9}
    picture = chain_figure(
        IMAGE, BOX, region=BOX + 2, anchor=BOX + 4, rivals=[BOX + 1, BOX - 1], probabilities=shares
    )
    assert len(picture.axes[0].collections) == 4  # rivals, anchor, region, detection
    assert [round(bar.get_width(), 2) for bar in picture.axes[1].patches] == [0.1, 0.9]
    names = [text.get_text() for text in picture.legends[0].texts]
    assert names == ["detection", "region that was read", "suppressed by it", "its anchor"]


def test_a_chain_without_anchor_rivals_and_probabilities():
    picture = chain_figure(IMAGE, BOX, region=BOX)
    assert len(picture.axes[0].collections) == 2
    assert not picture.axes[1].get_visible()
    assert picture.png()


def test_the_gate_where_it_was_lost_is_marked():
    picture = gates_figure(IMAGE, BOX, {"anchor": 0.6, "class": 0.0}, lost="class", nearest=BOX + 3)
    labels = picture.axes[1].get_yticklabels()
    assert [label.get_color() for label in labels] == ["black", ORANGE]
    assert picture.axes[1].get_title() == "lost at: class"
    assert gates_figure(IMAGE, BOX, {"anchor": 0.6}).axes[1].get_title() == "found"


def test_bad_input_is_named():
    with pytest.raises(InputError, match="lost is 'head'; it should be one of anchor"):
        gates_figure(IMAGE, BOX, {"anchor": 0.6}, lost="head")
    with pytest.raises(InputError, match="region"):
        chain_figure(IMAGE, BOX, region=BOX[:3])
    with pytest.raises(InputError, match="image"):
        gates_figure(IMAGE[..., 0], BOX, {})
