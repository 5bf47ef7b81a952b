"""Where maps lie in memory: the same numbers, whichever way they come and go."""

from unittest import mock

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from minirnn.backend import to_host
from minirnn.kernels.cpu import im2col, layout
from minirnn.kernels.cpu.correlation import Geometry
from minirnn.nn import Conv2d, Linear
from minirnn.ops.activation import relu
from minirnn.ops.convolution import conv2d, conv_transpose2d, linear
from minirnn.ops.pooling import max_pool2d
from minirnn.ops.resize import nearest
from minirnn.training.optimiser import SGD


@given(st.integers(0, 4), st.integers(1, 70), st.integers(1, 40), st.integers(1, 300))
def test_there_and_back(n, channels, height, width):
    maps = np.arange(n * channels * height * width, dtype=np.float32)
    maps = maps.reshape(n, channels, height, width)
    cells = layout.nhwc_of(maps)
    assert cells.flags.c_contiguous
    np.testing.assert_array_equal(cells, maps.transpose(0, 2, 3, 1))
    back = layout.nchw_of(cells)
    np.testing.assert_array_equal(back, maps)
    assert n == 0 or np.may_share_memory(layout.nhwc_of(back), cells)  # no copy
    planes = layout.planes_of(back)
    assert planes.flags.c_contiguous
    np.testing.assert_array_equal(planes, maps)


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
    there = layout.nchw_of(layout.nhwc_of(planes))
    np.testing.assert_array_equal(operation(there), operation(planes))
    assert operation(there).transpose(0, 2, 3, 1).flags.c_contiguous


#: Operations on maps, given a library's maker of arrays.
OPERATIONS = {
    "3x3": lambda x, array: conv2d(x, array(np.ones((5, 4, 3, 3))), None, padding=1),
    "1x1": lambda x, array: conv2d(x, array(np.ones((5, 4, 1, 1))), None),
    "transposed": lambda x, array: conv_transpose2d(
        x, array(np.ones((4, 5, 2, 2))), None, stride=2
    ),
    "pooling": lambda x, array: max_pool2d(x, kernel=3, stride=2, padding=1),
    "nearest": lambda x, array: nearest(x, size=(12, 14)),
    "relu": lambda x, array: relu(x),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_any_order_in_memory_is_taken_on_every_device(name, xp):
    planes = xp.asarray(np.random.default_rng(0).standard_normal((2, 4, 6, 7)))
    there = xp.ascontiguousarray(planes.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    assert not there.flags.c_contiguous
    found, expected = (OPERATIONS[name](maps, xp.asarray) for maps in (there, planes))
    np.testing.assert_allclose(to_host(found), to_host(expected), atol=1e-12)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 4), st.integers(1, 4))
def test_weights_there_and_back(outputs, channels, height, width):
    for shape in ((outputs, channels, height, width), (outputs, channels)):
        weight = np.random.default_rng(0).standard_normal(shape)
        taps = layout.hwio_of(weight)
        assert taps.flags.c_contiguous
        assert taps.shape == (*shape[2:], channels, outputs)
        back = layout.oihw_of(taps)
        np.testing.assert_array_equal(back, weight)
        assert np.may_share_memory(layout.hwio_of(back), taps)  # no copy


@pytest.mark.parametrize(
    ("operation", "x", "weight"),
    [
        (lambda x, w: conv2d.raw(x, w, None, padding=1), (2, 4, 6, 7), (5, 4, 3, 3)),
        (lambda x, w: conv2d.raw(x, w, None, stride=2), (2, 4, 6, 7), (5, 4, 3, 3)),
        (lambda x, w: conv2d.raw(x, w, None), (2, 4, 6, 7), (3, 4, 1, 1)),
        (lambda x, w: conv2d.raw(x, w, None), (2, 4, 6, 7), (5, 4, 1, 1)),
        (lambda x, w: conv2d.raw(x, w, None, padding=1), (2, 32, 16, 16), (32, 32, 3, 3)),
        (lambda x, w: conv_transpose2d.raw(x, w, None, stride=2), (2, 4, 6, 7), (4, 5, 2, 2)),
        (lambda x, w: linear.raw(x, w, None), (9, 4), (5, 4)),
    ],
)
def test_gradients_of_weights_lie_like_the_weights(operation, x, weight):
    rng = np.random.default_rng(0)
    x = rng.standard_normal(x).astype(np.float32)
    plain = rng.standard_normal(weight).astype(np.float32)
    laid = layout.oihw_of(layout.hwio_of(plain))
    (y, vjps), (same, others) = operation(x, plain), operation(x, laid)
    np.testing.assert_array_equal(y, same)
    for vjp, other in zip(vjps[:2], others[:2], strict=True):
        np.testing.assert_array_equal(vjp(y), other(same))
    if weight[:2] != (3, 4):  # few outputs: turning so small a gradient is the optimiser's work
        assert others[1](same).strides == laid.strides


@given(
    st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(1, 12), st.integers(38, 80)),
    st.tuples(st.integers(1, 4), st.integers(1, 5)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.integers(0, 2), st.integers(0, 3)),
    st.tuples(st.integers(1, 2), st.integers(1, 2)),
)
def test_patches_of_planes_are_those_of_places(shape, kernel, stride, padding, dilation):
    """Copied in runs of a row or of a patch, with every stride, ring and gap between taps."""
    geometry = Geometry(kernel, stride, padding, dilation, shape[2:])
    assume(min(geometry.output) >= 1)
    maps = np.random.default_rng(0).standard_normal(shape)
    found = []
    for short in (32, 0):
        with mock.patch.object(im2col, "_SHORT", short):
            patches = im2col.Patches(maps.transpose(0, 2, 3, 1), geometry)
            found.append([np.array(p) for _, p in patches.blocks(slice(None))])
            assert patches.by_plane == (kernel[1] * shape[1] < short <= geometry.output[1])
    for plane, place in zip(*found, strict=True):
        np.testing.assert_array_equal(plane, place)


def test_a_model_keeps_the_order_inside_and_hands_out_the_usual_one():
    rng = np.random.default_rng(0)
    for layer in (Conv2d(4, 5, 3, rng=rng), Linear(4, 5, rng=rng)):
        optimiser = SGD(layer, 0.9, 0.1)
        layer.weight.grad = layout.oihw_of(layout.hwio_of(layer.weight.data))
        optimiser.step(0.1)
        state, velocities = layer.state_dict(), optimiser.state_dict()
        for array in (*state.values(), *velocities.values()):
            assert array.flags.c_contiguous
        for _ in range(2):
            assert layout.hwio_of(layer.weight.data).base is not None  # a view, no copy
            np.testing.assert_array_equal(layer.weight.data, state["weight"])
            layer.load_state_dict(state)
            optimiser.load_state_dict(velocities)
            layer.astype(np.float32)
            layer.weight.grad = layer.weight.data
        state["weight"][...] = 0  # a copy
        assert layer.weight.data.any()
