"""Convolutions against plain loops; their gradients are checked in test_gradients."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minirnn import kernels
from minirnn.autograd import Tensor
from minirnn.backend import to_host
from minirnn.kernels.cpu import correlation
from minirnn.ops import convolution as fast
from minirnn.textbook import convolution as textbook

seeds = st.integers(0, 2**32 - 1)
pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
rings = st.tuples(st.integers(0, 2), st.integers(0, 2))


@given(
    images=st.integers(0, 2),
    size=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    kernel=pairs,
    stride=pairs,
    padding=rings,
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    groups=st.integers(1, 2),
    bias=st.booleans(),
    seed=seeds,
)
@settings(max_examples=60, deadline=None)
def test_conv2d_equals_the_textbook(
    images: int,
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
    bias: bool,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((images, 2 * groups, *size))
    weight = rng.standard_normal((groups * 2, 2, *kernel))
    b = rng.standard_normal(groups * 2) if bias else None
    how = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    if any(r > n + 2 * p for r, n, p in zip(reach, size, padding, strict=True)):
        with pytest.raises(ValueError, match="larger than"):
            fast.conv2d(x, weight, b, **how)
        return
    expected = textbook.conv2d(x, weight, b, **how)
    np.testing.assert_allclose(fast.conv2d(x, weight, b, **how), expected, atol=1e-12)


@given(
    images=st.integers(0, 2),
    size=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    kernel=st.tuples(st.integers(2, 4), st.integers(2, 4)),
    stride=pairs,
    crop=st.integers(0, 1),
    dilation=pairs,
    groups=st.integers(1, 2),
    bias=st.booleans(),
    few=st.sampled_from([0, 512]),
    stamped=st.sampled_from([1, 40, 1 << 18]),
    seed=seeds,
)
@settings(max_examples=80, deadline=None)
def test_conv_transpose2d_equals_the_textbook(
    images: int,
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    crop: int,
    dilation: tuple[int, int],
    groups: int,
    bias: bool,
    few: int,
    stamped: int,
    seed: int,
) -> None:
    """Both ways to transposed, by stamps and by the turned kernels, and stamps in pieces of any size."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((images, 2, *size))
    weight = rng.standard_normal((2, 3, *kernel))
    b = rng.standard_normal(3 * groups) if bias else None
    padding = tuple(crop if n > 1 or k > 2 else 0 for n, k in zip(size, kernel, strict=True))
    extra = tuple(int(rng.integers(0, s)) for s in stride)
    how: Any = {"stride": stride, "padding": padding, "output_padding": extra}
    how |= {"dilation": dilation, "groups": groups}
    expected = textbook.conv_transpose2d(x, weight, b, **how)
    with mock.patch.multiple(correlation, _FEW=few, _STAMPS=stamped, _ROWS=stamped):
        result = fast.conv_transpose2d(x, weight, b, **how)
    np.testing.assert_allclose(result, expected, atol=1e-12)


@pytest.mark.parametrize("groups", [1, 3])
def test_transposed_convolution_and_its_gradients_are_torchs(groups: int) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(groups)
    for _ in range(20):
        stride, dilation = (tuple(int(n) for n in rng.integers(1, 4, 2)) for _ in range(2))
        padding = tuple(int(n) for n in rng.integers(0, 2, 2))
        how: Any = {"stride": stride, "dilation": dilation, "padding": padding, "groups": groups}
        how["output_padding"] = tuple(int(rng.integers(0, s)) for s in stride)
        shapes = ((2, 3, 4, 5), (3, 2, *rng.integers(2, 4, 2)), (2 * groups,))
        arrays = [rng.standard_normal(shape) for shape in shapes]
        ours = [Tensor(array, requires_grad=True) for array in arrays]
        theirs = [torch.tensor(array, requires_grad=True) for array in arrays]
        for plainly in (False, True):
            with kernels.plain() if plainly else nullcontext():
                y = fast.conv_transpose2d(*ours, **how)
                wanted = torch.nn.functional.conv_transpose2d(*theirs, **how)
                np.testing.assert_allclose(y.data, wanted.detach().numpy(), atol=1e-12)
                dy = rng.standard_normal(y.shape)
                y.backward(dy)
                wanted.backward(torch.tensor(dy))
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a.grad, b.grad.numpy(), atol=1e-11)


@given(st.tuples(st.integers(0, 4), st.integers(1, 4), st.integers(1, 4)), st.booleans(), seeds)
@settings(max_examples=30, deadline=None)
def test_linear_equals_the_textbook(sizes: tuple[int, int, int], bias: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, inputs, outputs = sizes
    x, weight = rng.standard_normal((rows, inputs)), rng.standard_normal((outputs, inputs))
    b = rng.standard_normal(outputs) if bias else None
    np.testing.assert_allclose(fast.linear(x, weight, b), textbook.linear(x, weight, b), atol=1e-12)


def test_transposed_convolution_is_the_transpose(xp: Any) -> None:
    """<conv(x), y> = <x, conv_transpose(y)>, which defines it."""
    rng = np.random.default_rng(0)
    how = {"stride": 2, "padding": 1}
    x, weight = rng.standard_normal((2, 3, 7, 9)), rng.standard_normal((4, 3, 3, 3))
    small = fast.conv2d(xp.asarray(x), xp.asarray(weight), None, **how)
    y = rng.standard_normal(small.shape)
    large = fast.conv_transpose2d(xp.asarray(y), xp.asarray(weight), None, **how)
    np.testing.assert_allclose((to_host(small) * y).sum(), (to_host(large) * x).sum())


def test_float32_winograd_equals_the_textbook() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 32, 6, 5)).astype(np.float32)
    weight = (rng.standard_normal((32, 32, 3, 3)) / 17).astype(np.float32)
    expected = textbook.conv2d(x[:, :, :, :], weight[:2], None, padding=(1, 1))
    result = fast.conv2d(x, weight, None, padding=1)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result[:, :2], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("x", "weight", "bias"),
    [
        ((1, 3, 5), (4, 3, 3, 3), None),
        ((1, 2, 5, 5), (4, 3, 3, 3), None),
        ((1, 3, 5, 5), (4, 3, 3, 3), (3,)),
    ],
)
def test_shapes_that_do_not_fit_are_named(x: tuple, weight: tuple, bias: tuple | None) -> None:
    b = None if bias is None else np.ones(bias)
    with pytest.raises(ValueError, match="conv2d"):
        fast.conv2d(np.ones(x), np.ones(weight), b)


@pytest.mark.parametrize(("stride", "extra"), [(1, 1), (2, (0, 2)), (2, -1)])
def test_output_padding_that_no_size_needs_is_named(stride: int, extra: Any) -> None:
    x, weight = np.ones((1, 2, 3, 3)), np.ones((2, 2, 3, 3))
    with pytest.raises(ValueError, match="output_padding"):
        fast.conv_transpose2d(x, weight, None, stride=stride, output_padding=extra)
