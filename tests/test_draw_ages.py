"""How often pixels are computed anew, and where the work of each age goes."""

import numpy as np
import pytest

from minirnn.draw import ages_figure, recomputed_figure
from minirnn.errors import InputError


def test_passes_are_counted_for_each_pixel():
    boxes = np.array([[0.0, 0, 4, 4], [2, 2, 8, 8], [2.5, 2.5, 2.5, 9]])  # the last has no area
    picture = recomputed_figure(np.zeros((8, 10, 3), np.uint8), boxes)
    times = picture.axes[1].images[0].get_array()
    expected = np.zeros((8, 10))
    expected[:4, :4] += 1
    expected[2:, 2:8] += 1
    np.testing.assert_array_equal(times, expected)
    assert "the mean is 0.7" in picture.axes[1].get_title()


def test_totals_are_written_at_the_bars():
    work = {"first": {"body": 2e9, "head": 1e9}, "second": {"body": 1e9, "mask": 0.25e9}}
    picture = ages_figure(work)
    assert [text.get_text().strip() for text in picture.axes[0].texts] == ["3.00", "1.25"]
    names = [text.get_text() for text in picture.axes[0].get_legend().get_texts()]
    assert names == ["body", "head", "mask"]


def test_bad_input_is_named():
    with pytest.raises(InputError, match="work is empty"):
        ages_figure({})
    with pytest.raises(InputError, match="proposals"):
        recomputed_figure(np.zeros((8, 10, 3), np.uint8), np.zeros((2, 3)))
