"""Pooling and resizing against plain loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from minirnn.autograd import Tensor
from minirnn.backend import to_host
from minirnn.ops import pooling, resize
from minirnn.textbook import pooling as textbook_pooling
from minirnn.textbook import resize as textbook_resize

seeds = st.integers(0, 2**32 - 1)
sides = st.integers(1, 8)


@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d"])
@given(
    images=st.integers(0, 2),
    size=st.tuples(sides, sides),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    ceil_mode=st.booleans(),
    seed=seeds,
)
@settings(max_examples=50, deadline=None)
def test_pooling_equals_the_textbook(
    name: str,
    images: int,
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    ceil_mode: bool,
    seed: int,
) -> None:
    assume(all(2 * p <= k for p, k in zip(padding, kernel, strict=True)))
    x = np.random.default_rng(seed).standard_normal((images, 2, *size))
    how: dict[str, Any] = {"kernel": kernel, "stride": stride, "padding": padding}
    how["ceil_mode"] = ceil_mode
    if name == "avg_pool2d":
        how["count_include_pad"] = bool(seed % 2)
    # With ceil_mode a window may reach over the map's end, by less than a stride.
    over = [s - 1 if ceil_mode else 0 for s in stride]
    if any(k > n + 2 * p + o for k, n, p, o in zip(kernel, size, padding, over, strict=True)):
        with pytest.raises(ValueError, match="larger than"):
            getattr(pooling, name)(x, **how)
        return
    expected = getattr(textbook_pooling, name)(x, **how)
    np.testing.assert_allclose(getattr(pooling, name)(x, **how), expected, atol=1e-13)


def test_global_pooling_equals_the_textbook(xp: Any) -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5))
    expected = textbook_pooling.global_avg_pool2d(x)
    result = pooling.global_avg_pool2d(xp.asarray(x))
    np.testing.assert_allclose(to_host(result), expected, atol=1e-13)


@given(st.integers(1, 9), st.integers(1, 9), seeds)
@settings(max_examples=30, deadline=None)
def test_kernel_one_is_subsampling(height: int, width: int, seed: int) -> None:
    x = np.random.default_rng(seed).standard_normal((2, 3, height, width))
    tensor = Tensor(x, requires_grad=True)
    y = pooling.max_pool2d(tensor, kernel=1, stride=2, padding=0)
    np.testing.assert_array_equal(y.data, x[:, :, ::2, ::2])
    y.backward(y.data)
    expected = np.zeros_like(x)
    expected[:, :, ::2, ::2] = y.data
    np.testing.assert_array_equal(tensor.grad, expected)


def test_of_equal_values_the_first_gets_the_gradient(xp: Any) -> None:
    x = Tensor(xp.asarray(np.zeros((1, 1, 4, 4))), requires_grad=True)
    pooling.max_pool2d(x, kernel=2).sum().backward()
    expected = np.zeros((4, 4))
    expected[::2, ::2] = 1
    np.testing.assert_array_equal(to_host(x.grad)[0, 0], expected)


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_max_pooling_hands_every_gradient_on_exactly_once(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = Tensor(rng.integers(0, 3, (2, 2, 7, 6)).astype(np.float64), requires_grad=True)  # many ties
    y = pooling.max_pool2d(x, kernel=3, stride=2, padding=1)
    dy = rng.standard_normal(y.shape)
    y.backward(dy)
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.sum(axis=(2, 3)), dy.sum(axis=(2, 3)))


def test_padding_never_wins() -> None:
    x = np.full((1, 1, 4, 4), -5.0)
    np.testing.assert_array_equal(
        pooling.max_pool2d(x, kernel=3, stride=2, padding=1), np.full((1, 1, 2, 2), -5.0)
    )


@pytest.mark.parametrize(
    ("x", "how", "message"),
    [
        ((1, 4, 4), {"kernel": 2}, r"shape \(1, 4, 4\)"),
        ((1, 1, 4, 4), {"kernel": 0}, "at least 1"),
        ((1, 1, 4, 4), {"kernel": 2, "stride": 0}, "at least 1"),
        ((1, 1, 4, 4), {"kernel": 2, "padding": 2}, "half of kernel"),
        ((1, 1, 4, 4), {"kernel": 5}, "larger than the map"),
    ],
)
def test_pooling_refuses(x: tuple, how: dict, message: str) -> None:
    for operation in (pooling.max_pool2d, pooling.avg_pool2d):
        with pytest.raises(ValueError, match=message):
            operation(np.ones(x), **how)


@given(
    images=st.integers(0, 2), size=st.tuples(sides, sides), new=st.tuples(sides, sides), seed=seeds
)
@settings(max_examples=60, deadline=None)
def test_nearest_equals_the_textbook(
    images: int, size: tuple[int, int], new: tuple[int, int], seed: int
) -> None:
    x = np.random.default_rng(seed).standard_normal((images, 2, *size))
    for target in (new, (2 * size[0], 2 * size[1])):
        expected = textbook_resize.nearest(x, size=target)
        np.testing.assert_array_equal(resize.nearest(x, size=target), expected)


@given(
    images=st.integers(0, 2),
    size=st.tuples(sides, sides),
    new=st.tuples(sides, sides),
    corners=st.booleans(),
    seed=seeds,
)
@settings(max_examples=60, deadline=None)
def test_bilinear_equals_the_textbook(
    images: int, size: tuple[int, int], new: tuple[int, int], corners: bool, seed: int
) -> None:
    x = np.random.default_rng(seed).standard_normal((images, 2, *size))
    expected = textbook_resize.bilinear(x, size=new, align_corners=corners)
    result = resize.bilinear(x, size=new, align_corners=corners)
    np.testing.assert_allclose(result, expected, atol=1e-12)


def test_bilinear_known_answer() -> None:
    """What torch.nn.functional.interpolate documents: 2 cells to 4, both ways."""
    x = np.array([0.0, 4.0]).reshape(1, 1, 1, 2)
    result = resize.bilinear(x, size=(1, 4))
    np.testing.assert_allclose(result.ravel(), [0, 1, 3, 4])
    result = resize.bilinear(x, size=(1, 4), align_corners=True)
    np.testing.assert_allclose(result.ravel(), [0, 4 / 3, 8 / 3, 4])


@given(st.tuples(sides, sides), st.tuples(sides, sides), st.booleans())
@settings(max_examples=40, deadline=None)
def test_resizing_keeps_a_constant_map(
    size: tuple[int, int], new: tuple[int, int], corners: bool
) -> None:
    x = np.full((1, 1, *size), 3.0)
    np.testing.assert_array_equal(resize.nearest(x, size=new), np.full((1, 1, *new), 3.0))
    result = resize.bilinear(x, size=new, align_corners=corners)
    np.testing.assert_allclose(result, np.full((1, 1, *new), 3.0))


def test_resizing_on_every_library(xp: Any) -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 5, 4)).astype(np.float32)
    for operation, how in (
        (resize.nearest, {"size": (10, 8)}),
        (resize.nearest, {"size": (7, 3)}),
        (resize.bilinear, {"size": (7, 9)}),
    ):
        result = operation(xp.asarray(x), **how)
        assert result.dtype == np.float32
        np.testing.assert_allclose(to_host(result), operation(x, **how), rtol=1e-6)


@pytest.mark.parametrize("operation", [resize.nearest, resize.bilinear])
def test_resizing_refuses(operation: Any) -> None:
    with pytest.raises(ValueError, match=r"shape \(3, 4\)"):
        operation(np.ones((3, 4)), size=(2, 2))
    with pytest.raises(ValueError, match=r"size is \(0, 2\)"):
        operation(np.ones((1, 1, 3, 4)), size=(0, 2))


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize("include", [False, True])
def test_padding_and_last_windows_as_torch_counts_them(ceil_mode: bool, include: bool) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(3)
    for _ in range(40):
        kernel = tuple(int(n) for n in rng.integers(1, 5, 2))
        stride = tuple(int(n) for n in rng.integers(1, 5, 2))
        padding = tuple(int(rng.integers(0, k // 2 + 1)) for k in kernel)
        x = rng.standard_normal((2, 3, *rng.integers(4, 12, 2)))
        settings: dict[str, Any] = {"stride": stride, "padding": padding, "ceil_mode": ceil_mode}
        for ours, theirs, more in (
            (pooling.max_pool2d, torch.nn.functional.max_pool2d, {}),
            (pooling.avg_pool2d, torch.nn.functional.avg_pool2d, {"count_include_pad": include}),
        ):
            a = Tensor(x, requires_grad=True)
            b = torch.tensor(x, requires_grad=True)
            y, wanted = (
                ours(a, kernel=kernel, **settings, **more),
                theirs(b, kernel, **settings, **more),
            )
            np.testing.assert_allclose(y.data, wanted.detach().numpy(), rtol=1e-12, atol=1e-14)
            dy = rng.standard_normal(y.shape)
            y.backward(dy)
            wanted.backward(torch.tensor(dy))
            np.testing.assert_allclose(a.grad, b.grad.numpy(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("padding", [(1, 1, 1, 1), (1,), (), "same"])
@pytest.mark.parametrize("operation", [pooling.max_pool2d, pooling.avg_pool2d])
def test_padding_of_each_side_is_refused(operation: Any, padding: Any) -> None:
    with pytest.raises(ValueError, match="should be one number or two"):
        operation(np.ones((1, 1, 5, 5)), kernel=3, padding=padding)
