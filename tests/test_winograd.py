"""Winograd's convolution against the plain sum, and how exact it is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minirnn.kernels.cpu import winograd
from minirnn.kernels.cpu.correlation import Geometry
from minirnn.kernels.cpu.layout import hwio_of, nchw_of, nhwc_of, oihw_of
from minirnn.ops.convolution import conv2d


def _case(n, channels, outputs, height, width, padding, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, channels, height, width)).astype(np.float32)
    w = rng.standard_normal((outputs, channels, 3, 3)).astype(np.float32)
    b = rng.standard_normal(outputs).astype(np.float32)
    return x, w, b, padding


def _run(x, w, b, padding, dtype):
    y, (to_x, to_w, _) = conv2d.raw(
        x.astype(dtype), w.astype(dtype), b.astype(dtype), padding=padding
    )
    dy = np.random.default_rng(1).standard_normal(y.shape).astype(dtype)
    return y, to_x(dy), to_w(dy)


def _add(bias):
    def epilogue(block, place, out):
        out[...] = block + bias

    return epilogue


def _error(a, b):
    return float(np.abs(a - b).max() / np.abs(b).max())


@given(
    st.integers(1, 5), st.integers(4, 21), st.integers(4, 21), st.integers(0, 2), st.integers(0, 99)
)
@settings(max_examples=15)
def test_equals_float64_on_any_size(n, height, width, padding, seed):
    case = _case(n, 40, 33, height + 2, width + 2, padding, seed)
    direct = _run(*case, np.float64)
    cells = nhwc_of(case[0])
    tiles = winograd.correlate(cells, hwio_of(case[1]), (padding, padding), _add(case[2]))
    assert _error(nchw_of(tiles), direct[0]) < 3e-5
    dy = np.random.default_rng(1).standard_normal(direct[0].shape).astype(np.float32)
    gradient = winograd.weight_gradient(cells, nhwc_of(dy), (padding, padding))
    assert _error(oihw_of(gradient), direct[2]) < 3e-5
    turned = hwio_of(case[1])[::-1, ::-1].transpose(0, 1, 3, 2)
    back = winograd.correlate(nhwc_of(dy), turned, (2 - padding, 2 - padding), _add(0))
    assert _error(nchw_of(back), direct[1]) < 3e-5


def test_large_maps_are_cut_into_blocks():
    case = _case(1, 32, 32, 50, 1030, 1)
    tiles = winograd.correlate(nhwc_of(case[0]), hwio_of(case[1]), (1, 1), _add(case[2]))
    assert _error(nchw_of(tiles), _run(*case, np.float64)[0]) < 3e-5


def test_dispatch_and_switch():
    x, w, b, padding = _case(2, 256, 256, 32, 32, 1)
    geometry = Geometry((3, 3), (1, 1), (1, 1), (1, 1), (32, 32))
    assert winograd.suits(nhwc_of(x), 256, geometry)
    assert not winograd.suits(nhwc_of(x.astype(np.float64)), 256, geometry)
    fast = conv2d(x, w, b, padding=padding)
    with winograd.exact():
        assert not winograd.suits(nhwc_of(x), 256, geometry)
        plain = conv2d(x, w, b, padding=padding)
    assert winograd.suits(nhwc_of(x), 256, geometry)
    true = conv2d(x.astype(np.float64), w.astype(np.float64), b.astype(np.float64), padding=padding)
    assert _error(plain, true) < _error(fast, true) < 40 * _error(plain, true) < 1e-4


@pytest.mark.parametrize("channels", [64, 256, 512])
def test_costs_what_the_docstring_says(channels):
    x, w, _, padding = _case(1, channels, channels, 32, 32, 1)
    true = conv2d(x.astype(np.float64), w.astype(np.float64), None, padding=padding)
    fast = conv2d(x, w, None, padding=padding)
    with winograd.exact():
        plain = conv2d(x, w, None, padding=padding)
    assert 3e-6 < _error(fast, true) < 2e-5
    assert _error(plain, true) < 1e-6


@pytest.mark.parametrize("stride", [2])
def test_strides_are_not_done_here(stride):
    x = np.zeros((1, 64, 32, 32), np.float32)
    geometry = Geometry((3, 3), (stride, stride), (1, 1), (1, 1), (32, 32))
    assert not winograd.suits(nhwc_of(x), 64, geometry)


def test_repeats_bit_for_bit():
    case = _case(3, 64, 64, 20, 20, 1)
    first, second = _run(*case, np.float32), _run(*case, np.float32)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
