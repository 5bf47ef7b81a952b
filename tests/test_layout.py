"""Where maps lie in memory: the same numbers, whichever way they come and go."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirnn import layout
from minirnn.autograd.activation import relu
from minirnn.autograd.convolution import conv2d
from minirnn.autograd.pooling import max_pool2d
from minirnn.autograd.resize import nearest


@given(st.integers(0, 4), st.integers(1, 70), st.integers(1, 40), st.integers(1, 300))
def test_there_and_back(n, channels, height, width):
    maps = np.arange(n * channels * height * width, dtype=np.float32)
    maps = maps.reshape(n, channels, height, width)
    cells = layout.cells_of(maps)
    assert cells.flags.c_contiguous
    np.testing.assert_array_equal(cells, maps.transpose(0, 2, 3, 1))
    back = layout.maps_of(cells)
    np.testing.assert_array_equal(back, maps)
    assert n == 0 or np.may_share_memory(layout.cells_of(back), cells)  # no copy
    planes = layout.planes_of(back)
    assert planes.flags.c_contiguous
    np.testing.assert_array_equal(planes, maps)


@given(st.integers(1, 5), st.integers(1, 9), st.integers(1, 12), st.data())
def test_rows_of_images_cover_every_row_once(n, rows, most, data):
    start = data.draw(st.integers(0, n * rows))
    stop = data.draw(st.integers(start, n * rows))
    seen = np.zeros((n, rows), int)
    for images, part in layout.rows_of_images(start, stop, rows, most):
        assert images.stop - images.start == 1
        assert 0 < part.stop - part.start <= most
        seen[images, part] += 1
    np.testing.assert_array_equal(np.flatnonzero(seen), np.arange(start, stop))
    assert seen.max(initial=0) <= 1


@pytest.mark.parametrize(
    "operation",
    [
        lambda x: conv2d(x, np.ones((5, 4, 3, 3)), None, padding=1),
        lambda x: conv2d(x, np.ones((5, 4, 1, 1)), None),
        lambda x: max_pool2d(x, kernel=3, stride=2, padding=1),
        lambda x: nearest(x, size=(12, 14)),
        relu,
    ],
)
def test_operations_hand_on_channels_last(operation):
    planes = np.random.default_rng(0).standard_normal((2, 4, 6, 7))
    there = layout.maps_of(layout.cells_of(planes))
    np.testing.assert_array_equal(operation(there), operation(planes))
    assert operation(there).transpose(0, 2, 3, 1).flags.c_contiguous
