"""Arithmetic, shapes, reductions and activations against NumPy and the plain loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from minirnn.autograd import Tensor
from minirnn.ops import activation as fast
from minirnn.ops import arithmetic, reduction, shape
from minirnn.textbook import activation as textbook
from minirnn.textbook.arithmetic import matmul as textbook_matmul

numbers = st.floats(-50, 50, width=32)
matrices = arrays(
    np.float64, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=5), elements=numbers
)


@pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh"])
@given(x=matrices)
@settings(max_examples=40, deadline=None)
def test_activations_equal_the_textbook(name: str, x: np.ndarray) -> None:
    expected = getattr(textbook, name)(x)
    np.testing.assert_allclose(getattr(fast, name)(x), expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@given(x=matrices)
@settings(max_examples=40, deadline=None)
def test_softmax_equals_the_textbook(name: str, x: np.ndarray) -> None:
    expected = getattr(textbook, name)(x, axis=1)
    result = getattr(fast, name)(x, axis=1)
    np.testing.assert_allclose(result, expected, rtol=1e-10, atol=1e-13)
    np.testing.assert_array_equal(getattr(fast, name)(x.T.copy(), axis=0), result.T)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nothing_overflows(dtype: Any) -> None:
    x = np.array([-1e4, -100, 0, 100, 1e4], dtype)
    np.testing.assert_allclose(fast.sigmoid(x), [0, 0, 0.5, 1, 1], atol=1e-30)
    assert fast.sigmoid(np.array([-50], dtype))[0] == pytest.approx(np.exp(-50), rel=1e-5)
    for function in (fast.softmax, fast.log_softmax):
        tensor = Tensor(x, requires_grad=True)
        function(tensor).sum().backward()
        assert np.isfinite(function(x)).all()
        assert np.isfinite(tensor.grad).all()
    assert fast.log_softmax(x)[0] == -2e4  # log(softmax(x)) would be log(0)


@given(x=matrices, shift=numbers)
@settings(max_examples=30, deadline=None)
def test_softmax_is_a_distribution_that_ignores_shifts(x: np.ndarray, shift: float) -> None:
    y = fast.softmax(x, axis=1)
    np.testing.assert_allclose(y.sum(axis=1), 1)
    np.testing.assert_allclose(fast.softmax(x + shift, axis=1), y, rtol=1e-9, atol=1e-12)


def test_relu_of_what_is_not_contiguous(xp: Any) -> None:
    from minirnn.backend import to_host

    host = np.random.default_rng(0).standard_normal((3, 4, 5))
    x = Tensor(xp.asarray(host).transpose(2, 0, 1), requires_grad=True)
    y = fast.relu(x)
    np.testing.assert_array_equal(to_host(y.data), np.maximum(host.transpose(2, 0, 1), 0))
    dy = xp.asarray(np.arange(60.0).reshape(4, 5, 3)).transpose(1, 2, 0)
    y.backward(dy)
    expected = to_host(dy) * (host.transpose(2, 0, 1) > 0)
    np.testing.assert_array_equal(to_host(x.grad), expected)
    assert fast.relu(np.float32(-2)) == 0  # a single number, as a NumPy reduction leaves it


def test_relu_of_a_large_array_in_pieces() -> None:
    x = np.random.default_rng(0).standard_normal((3, 70_001)).astype(np.float32)
    tensor = Tensor(x, requires_grad=True)
    y = fast.relu(tensor)
    np.testing.assert_array_equal(y.data, np.maximum(x, 0))
    y.backward(x)
    np.testing.assert_array_equal(tensor.grad, np.maximum(x, 0))


@given(
    st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 4)), st.integers(0, 2**32 - 1)
)
@settings(max_examples=30, deadline=None)
def test_matmul_equals_the_textbook(sizes: tuple[int, int, int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal(sizes[:2]), rng.standard_normal(sizes[1:])
    np.testing.assert_allclose(arithmetic.matmul(a, b), textbook_matmul(a, b), atol=1e-12)


def test_elementwise_operations_are_numpys() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.uniform(0.5, 2, (3, 4)), rng.uniform(0.5, 2, 4)
    for name in ("add", "subtract", "multiply", "divide", "maximum", "minimum"):
        np.testing.assert_array_equal(getattr(arithmetic, name)(a, b), getattr(np, name)(a, b))
    for name in ("negative", "exp", "log", "sqrt", "absolute"):
        np.testing.assert_array_equal(getattr(arithmetic, name)(a), getattr(np, name)(a))
    np.testing.assert_array_equal(arithmetic.power(a, exponent=1.5), a**1.5)
    np.testing.assert_array_equal(arithmetic.clip(a, low=0.7, high=1.1), np.clip(a, 0.7, 1.1))
    np.testing.assert_array_equal(arithmetic.where(a > 1, a, b), np.where(a > 1, a, b))


def test_power_zero_at_zero() -> None:
    x = Tensor(np.array([0.0, -1.0]), requires_grad=True)
    (x**0).sum().backward()
    np.testing.assert_array_equal(x.grad, [0, 0])
    x.grad = None
    (x**1).sum().backward()
    np.testing.assert_array_equal(x.grad, [1, 1])


def test_where_takes_numbers_without_widening(xp: Any) -> None:
    x = Tensor(xp.asarray(np.ones(3, np.float32)), requires_grad=True)
    condition = xp.asarray(np.array([True, False, True]))
    for y in (arithmetic.where(condition, x, 0.0), arithmetic.where(condition, -1.5, x)):
        assert y.dtype == np.float32


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_take_adds_up_what_is_taken_twice(data: Any) -> None:
    rows = data.draw(st.integers(1, 5))
    index = np.array(data.draw(st.lists(st.integers(-rows, rows - 1), max_size=8)), np.int64)
    x = Tensor(np.zeros((rows, 2)), requires_grad=True)
    y = x[index]
    dy = np.arange(2.0 * len(index)).reshape(-1, 2)
    y.backward(dy)
    expected = np.zeros((rows, 2))
    for i, gradient in zip(index, dy, strict=True):
        expected[i] += gradient
    np.testing.assert_allclose(x.grad, expected)


def test_take_with_a_list_and_a_scalar(xp: Any) -> None:
    from minirnn.backend import to_host

    x = Tensor(xp.asarray(np.arange(6.0).reshape(3, 2)), requires_grad=True)
    (x[[0, 0, 2]].sum() + x[1, 1]).backward()
    np.testing.assert_array_equal(to_host(x.grad), [[2, 2], [0, 1], [1, 1]])


def test_joining_is_numpys() -> None:
    a, b = np.arange(6.0).reshape(2, 3), -np.arange(6.0).reshape(2, 3)
    for axis in (0, 1, -1):
        result = shape.concatenate(a, b, axis=axis)
        np.testing.assert_array_equal(result, np.concatenate([a, b], axis=axis))
        np.testing.assert_array_equal(shape.stack(a, b, axis=axis), np.stack([a, b], axis=axis))
    np.testing.assert_array_equal(
        shape.pad(a, widths=[(1, 0), (0, 2)]), np.pad(a, [(1, 0), (0, 2)])
    )
    assert shape.flatten(np.zeros((0, 3, 4))).shape == (0, 12)


@given(arrays(np.float64, array_shapes(max_dims=3, max_side=4), elements=numbers), st.data())
@settings(max_examples=60, deadline=None)
def test_reductions_are_numpys(x: np.ndarray, data: Any) -> None:
    axes = data.draw(st.one_of(st.none(), st.integers(-x.ndim, x.ndim - 1)))
    keep = data.draw(st.booleans())
    for name in ("sum", "mean", "max"):
        result = getattr(reduction, name)(x, axis=axes, keepdims=keep)
        expected = getattr(np, name)(x, axis=axes, keepdims=keep)
        np.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-12)


def test_trap_33_mean_of_nothing_is_zero() -> None:
    x = Tensor(np.zeros((0, 3), np.float32), requires_grad=True)
    y = x.mean()
    assert float(y) == 0
    y.backward()
    assert x.grad is not None
    assert x.grad.shape == (0, 3)
    np.testing.assert_array_equal(reduction.mean(np.zeros((0, 3)), axis=0), np.zeros(3))
