"""What the tests of the RoI operations share: drawn inputs, a gradient check, bad input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

# One RoI each: inside, fractional, over every border, far outside, without height, inside out.
HARD_BOXES = [
    [4.0, 4.0, 20.0, 28.0],
    [3.3, 5.7, 17.9, 12.2],
    [-9.0, -6.5, 11.0, 9.0],
    [20.0, 22.0, 70.0, 90.0],
    [500.0, 500.0, 600.0, 620.0],
    [-300.0, -200.0, -100.0, -50.0],
    [8.0, 12.0, 24.0, 12.0],
    [24.0, 24.0, 8.0, 4.0],
]


@st.composite
def roi_inputs(draw: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict]:
    """Features with ties; boxes on a grid of 1/8 pixel that may be outside, empty or inside out."""
    n, channels = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    features = rng.integers(-3, 4, (n, channels, height, width)).astype(dtype)
    scale = draw(st.sampled_from([1.0, 0.5, 0.25]))
    count = draw(st.integers(0, 4))
    farthest = int(8 * max(height, width) / scale)
    numbers = st.lists(
        st.integers(-farthest // 2, farthest + farthest // 2),
        min_size=4 * count,
        max_size=4 * count,
    )
    boxes = np.array(draw(numbers), dtype).reshape(count, 4) / 8
    image_index = rng.integers(0, n, count)
    bins = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    return features, boxes, image_index, {"output_size": bins, "spatial_scale": scale}


def all_different(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Float64 values in random order that lie 0.01 apart: no maximum changes hands by 1e-4."""
    values = np.arange(np.prod(shape)) * 0.01
    return np.random.default_rng(seed).permutation(values - values.mean()).reshape(shape)


def check_gradient(
    operation: Callable, features: np.ndarray, *rest: np.ndarray, **settings: Any
) -> None:
    """Compare the vjp under a random cotangent with central differences, cell by cell."""
    output, (vjp, *others) = operation.raw(features, *rest, **settings)
    assert others == [None] * len(rest)
    cotangent = np.random.default_rng(99).standard_normal(output.shape)
    given = cotangent.copy()
    result = vjp(cotangent)
    np.testing.assert_array_equal(cotangent, given)  # other operations may need it too
    assert result.shape == features.shape
    assert result.dtype == features.dtype
    step = 1e-4
    numerical = np.zeros_like(features)
    for place in np.ndindex(features.shape):
        change = np.zeros_like(features)
        change[place] = step
        difference = operation(features + change, *rest, **settings) - operation(
            features - change, *rest, **settings
        )
        numerical[place] = (difference * cotangent).sum() / (2 * step)
    assert np.abs(numerical).max() > 0.1  # a check of nothing but zeros would prove nothing
    np.testing.assert_allclose(result, numerical, rtol=1e-7, atol=1e-8)


def bad_inputs() -> list[tuple[str, dict]]:
    """Changes to a good call, and the argument that the error should name."""
    return [
        ("features", {"features": np.zeros((2, 3, 4))}),
        ("features", {"features": np.zeros((2, 3, 8, 8), int)}),
        ("features", {"features": np.zeros((2, 3, 0, 8))}),
        ("boxes", {"boxes": np.zeros((2, 5))}),
        ("boxes", {"boxes": np.zeros((2, 4), int)}),
        ("boxes", {"boxes": np.array([[0, 0, 4, np.nan], [0, 0, 4, 4]])}),
        ("image_index", {"image_index": np.zeros(3, int)}),
        ("image_index", {"image_index": np.zeros(2)}),
        ("image_index", {"image_index": np.array([0, 2])}),
        ("image_index", {"image_index": np.array([-1, 0])}),
        ("output_size", {"output_size": (0, 7)}),
    ]


def call_with(operation: Callable, changes: dict) -> Any:
    """A good call of an RoI operation, with the given arguments exchanged."""
    arguments = {
        "features": np.zeros((2, 3, 8, 8)),
        "boxes": np.array([[0.0, 0.0, 4.0, 4.0]] * 2),
        "image_index": np.array([0, 1]),
        "spatial_scale": 1.0,
    } | changes
    arrays = [arguments.pop(name) for name in ("features", "boxes", "image_index")]
    return operation(*arrays, **arguments)


def empty_shapes(operation: Callable) -> None:
    """No RoIs, and no images at all: empty output, gradient of zeros in the features' shape."""
    for images in (0, 2):
        features = np.ones((images, 3, 8, 8), np.float32)
        output, (vjp, _, _) = operation.raw(
            features,
            np.zeros((0, 4), np.float32),
            np.zeros(0, np.int64),
            output_size=(7, 5),
            spatial_scale=0.25,
        )
        assert output.shape == (0, 3, 7, 5)
        assert output.dtype == np.float32
        gradient = vjp(np.zeros((0, 3, 7, 5), np.float32))
        assert gradient.shape == features.shape
        assert not gradient.any()
