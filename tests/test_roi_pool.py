"""RoIPool: whole cells, maxima, and where their gradient goes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from roi_cases import (
    HARD_BOXES,
    all_different,
    bad_inputs,
    call_with,
    check_gradient,
    empty_shapes,
    roi_inputs,
)

from minirnn.autograd.tensor import Tensor
from minirnn.backend import to_host
from minirnn.errors import InputError
from minirnn.kernels.cpu.rectangles import Rectangles
from minirnn.ops.roi_pool import quantised, roi_pool
from minirnn.textbook import roi_pool as textbook


@settings(max_examples=100)
@given(roi_inputs())
def test_equals_the_textbook(case):
    features, boxes, image_index, keywords = case
    result = roi_pool(features, boxes, image_index, **keywords)
    np.testing.assert_array_equal(
        result, textbook.roi_pool(features, boxes, image_index, **keywords)
    )
    assert result.dtype == features.dtype


def test_equals_the_textbook_on_large_regions():
    # The first width whose float32 bins, as the reference has them, round past a whole cell is 57.
    features = np.random.default_rng(0).standard_normal((1, 2, 70, 130)).astype(np.float32)
    boxes = np.array([[0, 0, 56, 56], [5, 3, 118, 60], [1, 2, 121, 63], [0, 0, 129, 69]], "f4")
    arguments = (features, boxes, np.zeros(4, int))
    np.testing.assert_array_equal(
        roi_pool(*arguments, spatial_scale=1.0), textbook.roi_pool(*arguments, spatial_scale=1.0)
    )


def test_known_answer():
    features = np.arange(36.0).reshape(1, 1, 6, 6)
    # Columns 1 to 4 and lines 0 to 2: three lines in two bins share the middle one.
    result = roi_pool(
        features, np.array([[1.2, 0.4, 3.6, 2.4]]), np.array([0]), output_size=2, spatial_scale=1.0
    )
    np.testing.assert_array_equal(result[0, 0], [[8, 10], [14, 16]])


def test_halves_are_rounded_away_from_zero():
    boxes = np.array([[0.5, 1.5, 2.5, 3.5], [-0.5, -1.5, -2.5, 0.49999997]], np.float32)
    first, size = quantised(boxes, 1.0)
    np.testing.assert_array_equal(first, [[1, 2], [-1, -2]])
    np.testing.assert_array_equal(size, [[3, 3], [1, 3]])


def test_output_is_a_staircase_under_subpixel_shifts():
    features = np.random.default_rng(1).standard_normal((1, 4, 16, 16))
    box = np.array([[24.0, 32.0, 152.0, 136.0]])
    outputs = [
        roi_pool(features, box + shift, np.array([0]), spatial_scale=1 / 16)
        for shift in (-3.0, 0.0, 3.0, 9.0)
    ]
    np.testing.assert_array_equal(outputs[1], outputs[2])
    assert np.abs(outputs[1] - outputs[3]).max() > 0.5


def test_bins_outside_of_the_map_are_zero():
    features = np.full((1, 1, 4, 4), -5.0)
    result = roi_pool(
        features, np.array([[-4.0, 0.0, 3.0, 3.0]]), np.array([0]), output_size=2, spatial_scale=1.0
    )
    np.testing.assert_array_equal(result[0, 0], [[0, -5], [0, -5]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gradient_of_equal_cells_goes_to_the_first(dtype):
    features = np.zeros((1, 1, 5, 5), dtype)
    features[0, 0, 1, 0] = -0.0  # equal to the others, whatever its bits say
    _, (vjp, _, _) = roi_pool.raw(
        features, np.array([[0, 1, 4, 4]], dtype), np.array([0]), output_size=1, spatial_scale=1.0
    )
    expected = np.zeros((5, 5))
    expected[1, 0] = 3.0
    np.testing.assert_array_equal(vjp(np.full((1, 1, 1, 1), 3, dtype))[0, 0], expected)


@settings(max_examples=50)
@given(roi_inputs())
def test_gradient_reaches_the_first_of_the_largest_cells(case):
    features, boxes, image_index, keywords = case
    pooled, (vjp, _, _) = roi_pool.raw(features, boxes, image_index, **keywords)
    gradient = vjp(np.ones_like(pooled))
    # Lowering a cell by less than the gap between values changes the output only if that cell was
    # the single largest; raising it, only if it is among the largest.
    before = textbook.roi_pool(features, boxes, image_index, **keywords)
    for place in np.ndindex(features.shape):
        raised = features.copy()
        raised[place] += 0.5
        gained = (textbook.roi_pool(raised, boxes, image_index, **keywords) - before).sum() / 0.5
        assert 0 <= gradient[place] <= gained
    filled = textbook.roi_pool(np.ones_like(features), boxes, image_index, **keywords)
    assert gradient.sum() == filled.sum()


@settings(max_examples=40)
@given(st.integers(0, 2**16), st.integers(1, 40), st.integers(1, 40))
def test_rectangles_of_any_size(seed, height, width):
    rng = np.random.default_rng(seed)
    maps = rng.integers(-4, 5, (2, 3, height, width)).astype(rng.choice([np.float32, np.float64]))
    top, bottom = np.sort(rng.integers(0, height + 1, (2, 12)), axis=0)
    left, right = np.sort(rng.integers(0, width + 1, (2, 12)), axis=0)
    image = rng.integers(0, 2, 12)
    rectangles = Rectangles(image, top, bottom, left, right, maps.shape)
    cells = maps.transpose(0, 2, 3, 1).reshape(-1, 3)
    largest, places = rectangles.maximum(cells), rectangles.places(cells)
    filled = []
    for r in range(12):
        part = maps[image[r], :, top[r] : bottom[r], left[r] : right[r]]
        if part.size == 0:
            assert not largest[r].any()
            continue
        filled.append(r)
        for c in range(3):
            assert largest[r, c] == part[c].max()
            line, column = np.unravel_index(part[c].argmax(), part[c].shape)
            place = (image[r] * height + top[r] + line) * width + left[r] + column
            assert places[r, c] == place
    np.testing.assert_array_equal(rectangles.filled, filled)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_runs_on_every_array_library(xp, dtype):
    features = np.random.default_rng(2).standard_normal((2, 3, 9, 11)).astype(dtype)
    boxes, image_index = np.array(HARD_BOXES, dtype), np.arange(len(HARD_BOXES)) % 2
    settings_ = {"output_size": (3, 2), "spatial_scale": 0.25}
    expected, (expected_vjp, _, _) = roi_pool.raw(features, boxes, image_index, **settings_)
    output, (vjp, _, _) = roi_pool.raw(
        *(xp.asarray(a) for a in (features, boxes, image_index)), **settings_
    )
    np.testing.assert_array_equal(to_host(output), expected)
    gradient = to_host(vjp(output))
    assert gradient.dtype == dtype
    np.testing.assert_allclose(gradient, expected_vjp(expected), rtol=1e-6)


def test_trap_34_no_gradient_to_the_boxes():
    features = Tensor(np.random.default_rng(3).standard_normal((1, 2, 8, 8)), requires_grad=True)
    boxes = Tensor(np.array([[0.0, 0.0, 40.0, 50.0]]), requires_grad=True)
    roi_pool(features, boxes, np.array([0]), output_size=2, spatial_scale=0.1).backward(
        np.ones((1, 2, 2, 2))
    )
    assert boxes.grad is None
    assert features.grad.sum() == 8


def test_trap_40_gradient_away_from_ties():
    boxes = np.array(HARD_BOXES)
    check_gradient(
        roi_pool,
        all_different((2, 2, 7, 8)),
        boxes,
        np.arange(len(boxes)) % 2,
        output_size=(3, 2),
        spatial_scale=0.25,
    )


def test_nothing_to_pool():
    empty_shapes(roi_pool)


@pytest.mark.parametrize(("name", "changes"), bad_inputs())
def test_bad_input_is_named(name, changes):
    with pytest.raises(InputError, match=name):
        call_with(roi_pool, changes)
