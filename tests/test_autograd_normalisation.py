"""Normalisations against plain loops, and at large means."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minirnn.autograd import Tensor
from minirnn.backend import to_host
from minirnn.ops import normalisation as fast
from minirnn.textbook import normalisation as textbook

seeds = st.integers(0, 2**32 - 1)


def drawn(seed: int, *shape: int, channels: int) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape) * rng.uniform(0.1, 10) + rng.uniform(-5, 5)
    return x, rng.standard_normal(channels), rng.standard_normal(channels)


@given(
    st.integers(0, 3), st.sampled_from([(2, 1), (4, 2), (6, 3), (3, 3)]), st.integers(1, 4), seeds
)
@settings(max_examples=40, deadline=None)
def test_group_norm_equals_the_textbook(
    n: int, sizes: tuple[int, int], side: int, seed: int
) -> None:
    channels, groups = sizes
    inputs = drawn(seed, n, channels, side, side + 1, channels=channels)
    expected = textbook.group_norm(*inputs, groups=groups, eps=1e-3)
    result = fast.group_norm(*inputs, groups=groups, eps=1e-3)
    np.testing.assert_allclose(result, expected, rtol=1e-9, atol=1e-9)


@given(st.integers(0, 3), st.integers(1, 3), st.integers(1, 4), seeds)
@settings(max_examples=30, deadline=None)
def test_batch_norms_equal_the_textbook(n: int, channels: int, side: int, seed: int) -> None:
    inputs = drawn(seed, n, channels, side, side + 1, channels=channels)
    expected = textbook.batch_norm(*inputs, eps=1e-3)
    np.testing.assert_allclose(fast.batch_norm(*inputs, eps=1e-3), expected, rtol=1e-9, atol=1e-9)
    rng = np.random.default_rng(seed)
    statistics = rng.standard_normal(channels), rng.uniform(0, 2, channels)
    expected = textbook.frozen_batch_norm(*inputs, *statistics, eps=1e-3)
    result = fast.frozen_batch_norm(*inputs, *statistics, eps=1e-3)
    np.testing.assert_allclose(result, expected, rtol=1e-9, atol=1e-9)


@given(st.integers(0, 4), st.integers(1, 6), seeds)
@settings(max_examples=30, deadline=None)
def test_layer_norm_equals_the_textbook(n: int, length: int, seed: int) -> None:
    inputs = drawn(seed, n, length, channels=length)
    expected = textbook.layer_norm(*inputs, eps=1e-3)
    np.testing.assert_allclose(fast.layer_norm(*inputs, eps=1e-3), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("shape", [(2, 4, 3, 3), (70, 8, 20, 20), (1, 4, 300, 200)])
def test_group_norm_has_mean_0_and_variance_1(shape: tuple[int, ...], xp: Any) -> None:
    """Also where the array is cut in blocks: more rows than one, and rows larger than a block."""
    channels = shape[1]
    x, _, _ = drawn(1, *shape, channels=channels)
    ones, zeros = xp.asarray(np.ones(channels)), xp.asarray(np.zeros(channels))
    y = to_host(fast.group_norm(xp.asarray(x), ones, zeros, groups=2, eps=0.0))
    groups = y.reshape(shape[0], 2, -1)
    np.testing.assert_allclose(groups.mean(axis=2), 0, atol=1e-10)
    np.testing.assert_allclose(groups.var(axis=2), 1, rtol=1e-10)


@given(seeds, st.floats(-100, 100), st.floats(0.1, 10))
@settings(max_examples=20, deadline=None)
def test_normalisations_forget_shift_and_scale(seed: int, shift: float, scale: float) -> None:
    x, weight, bias = drawn(seed, 3, 4, 3, 3, channels=4)
    for operation, how in ((fast.group_norm, {"groups": 2}), (fast.batch_norm, {})):
        y = operation(x, weight, bias, eps=0.0, **how)
        moved = operation(x * scale + shift, weight, bias, eps=0.0, **how)
        np.testing.assert_allclose(moved, y, atol=1e-6)


@pytest.mark.parametrize("name", ["group_norm", "batch_norm", "layer_norm"])
def test_a_large_mean_leaves_digits(name: str) -> None:
    """E[x²] - μ² in float32 would leave nothing of a variance of 1 beside a mean of 10,000."""
    rng = np.random.default_rng(0)
    shape = (4, 64) if name == "layer_norm" else (2, 4, 16, 16)
    channels = shape[-1] if name == "layer_norm" else 4
    x = (rng.standard_normal(shape) + 1e4).astype(np.float32)
    ones, zeros = np.ones(channels, np.float32), np.zeros(channels, np.float32)
    how = {"groups": 2} if name == "group_norm" else {}
    operation = getattr(fast, name)
    exact = operation(
        x.astype(np.float64), ones.astype(np.float64), zeros.astype(np.float64), **how
    )
    # The mean itself is only known to half a unit in the last place of 10,000: 5e-4.
    np.testing.assert_allclose(operation(x, ones, zeros, **how), exact, atol=4e-3)


def test_batch_norm_tells_its_statistics(xp: Any) -> None:
    x, weight, bias = drawn(0, 3, 2, 4, 5, channels=2)
    told: list[Any] = []
    fast.batch_norm(
        xp.asarray(x), xp.asarray(weight), xp.asarray(bias), observe=lambda *pair: told.append(pair)
    )
    ((mean, variance),) = told
    np.testing.assert_allclose(to_host(mean), x.mean(axis=(0, 2, 3)))
    np.testing.assert_allclose(to_host(variance), x.var(axis=(0, 2, 3)))


def test_frozen_means_frozen() -> None:
    x, weight, bias = drawn(0, 2, 3, 4, 4, channels=3)
    tensors = [Tensor(t, requires_grad=True) for t in (x, weight, bias, bias, weight**2)]
    fast.frozen_batch_norm(*tensors).sum().backward()
    assert tensors[0].grad is not None
    assert all(t.grad is None for t in tensors[1:])


def test_parameters_learn_where_the_input_needs_no_gradient() -> None:
    x, weight, bias = drawn(0, 2, 4, 3, 3, channels=4)
    w, b = Tensor(weight, requires_grad=True), Tensor(bias, requires_grad=True)
    y = fast.group_norm(Tensor(x), w, b, groups=2)
    y.sum().backward()
    np.testing.assert_allclose(b.grad, np.full(4, 2 * 9))
    assert w.grad is not None


def test_normalisations_refuse() -> None:
    x, ones = np.ones((2, 4, 3, 3)), np.ones(4)
    with pytest.raises(ValueError, match="cannot be cut into 3 groups"):
        fast.group_norm(x, ones, ones, groups=3)
    with pytest.raises(ValueError, match=r"group_norm: x has shape .* \(3,\)"):
        fast.group_norm(x, ones, np.ones(3), groups=2)
    with pytest.raises(ValueError, match="frozen_batch_norm"):
        fast.frozen_batch_norm(x, ones, ones, ones, np.ones(1))
    with pytest.raises(ValueError, match="batch_norm"):
        fast.batch_norm(np.ones(4), ones, ones)
    with pytest.raises(ValueError, match="layer_norm"):
        fast.layer_norm(x, ones, ones)
