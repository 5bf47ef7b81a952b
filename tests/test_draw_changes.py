"""The picture of what a network is trained on."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from minirnn.draw import changes_figure
from minirnn.draw.changes import shapes_changed
from minirnn.draw.palette import GREY
from minirnn.errors import InputError
from minirnn.structures import Sample, Target


def test_each_row_has_its_name_and_its_samples():
    rows = shapes_changed(columns=2)
    picture = changes_figure(rows)
    names = [text.get_text() for axes in picture.axes for text in axes.texts]
    assert names == list(rows)
    assert sum(bool(axes.images) for axes in picture.axes) == 3 + 2 * (len(rows) - 1)
    assert all(len(sample.target.masks) for samples in rows.values() for sample in samples)


def test_what_is_set_aside_is_grey():
    masks = np.zeros((2, 40, 40), bool)
    masks[0, 5:15, 5:15] = masks[1, 25:35, 25:35] = True
    target = Target(
        np.array([[5, 5, 15, 15], [25, 25, 35, 35]], np.float32),
        np.array([1, 1]),
        masks,
        np.array([False, True]),
    )
    white = Sample(np.full((40, 40, 3), 255, np.uint8), target)
    (axes,) = changes_figure({"one": [white]}).axes
    shown = np.asarray(axes.images[0].get_array())
    grey = np.abs(shown / 255 - to_rgb(GREY)).max(axis=2) < 0.01
    half = len(shown) // 2
    assert grey[half:, half:].any()
    assert not grey[:half, :half].any()


def test_without_samples_there_is_nothing_to_draw():
    for rows in ({}, {"none": []}):
        with pytest.raises(InputError, match="rows has no samples"):
            changes_figure(rows)
