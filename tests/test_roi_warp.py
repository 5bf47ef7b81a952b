"""RoIWarp: a rounded region, sampled bilinearly."""

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
from minirnn.ops.roi_align import roi_align
from minirnn.ops.roi_warp import roi_warp
from minirnn.textbook import roi_warp as textbook


@settings(max_examples=100)
@given(roi_inputs(), st.integers(0, 3), st.sampled_from(["mean", "max"]))
def test_equals_the_textbook(case, sampling_ratio, reduce):
    features, boxes, image_index, keywords = case
    keywords |= {"sampling_ratio": sampling_ratio, "reduce": reduce}
    result = roi_warp(features, boxes, image_index, **keywords)
    expected = textbook.roi_warp(features, boxes, image_index, **keywords)
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)
    assert result.dtype == features.dtype


def test_known_answer_on_a_ramp():
    # Columns 1 to 4 are read: from 1 to 5, in two bins whose centres are 2 and 4.
    features = np.broadcast_to(np.arange(8) + 0.5, (1, 1, 8, 8))
    box = np.array([[1.2, 1.0, 4.4, 5.0]])
    result = roi_warp(features, box, np.array([0]), output_size=2, spatial_scale=1.0)
    np.testing.assert_allclose(result[0, 0], [[2, 4], [2, 4]], rtol=1e-12)


def test_rounding_is_all_that_separates_it_from_roi_align():
    features = np.random.default_rng(0).standard_normal((1, 3, 12, 12))
    box = np.array([[17.0, 35.0, 70.0, 90.0]])  # stride 8: cells 2 … 9 and 4 … 11
    whole = np.array([[16.0, 32.0, 80.0, 96.0]])
    warped = roi_warp(features, box, np.array([0]), spatial_scale=1 / 8)
    same = roi_align(features, whole, np.array([0]), spatial_scale=1 / 8, aligned=True)
    exact = roi_align(features, box, np.array([0]), spatial_scale=1 / 8, aligned=True)
    np.testing.assert_allclose(warped, same, rtol=1e-12)
    assert np.abs(warped - exact).max() > 0.1


def test_output_is_a_staircase_under_subpixel_shifts():
    features = np.random.default_rng(1).standard_normal((1, 4, 16, 16))
    box = np.array([[24.0, 32.0, 152.0, 136.0]])
    near, far = (
        roi_warp(features, box + shift, np.array([0]), spatial_scale=1 / 16) for shift in (3.0, 9.0)
    )
    here = roi_warp(features, box, np.array([0]), spatial_scale=1 / 16)
    np.testing.assert_array_equal(here, near)
    assert np.abs(here - far).max() > 0.1


@pytest.mark.parametrize("reduce", ["mean", "max"])
def test_runs_on_every_array_library(xp, reduce):
    features = np.random.default_rng(2).standard_normal((2, 3, 9, 11)).astype(np.float32)
    boxes, image_index = np.array(HARD_BOXES, np.float32), np.arange(len(HARD_BOXES)) % 2
    settings_ = {"output_size": (3, 2), "spatial_scale": 0.25, "reduce": reduce}
    expected, (expected_vjp, _, _) = roi_warp.raw(features, boxes, image_index, **settings_)
    output, (vjp, _, _) = roi_warp.raw(
        *(xp.asarray(a) for a in (features, boxes, image_index)), **settings_
    )
    np.testing.assert_allclose(to_host(output), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(to_host(vjp(output)), expected_vjp(expected), rtol=1e-5, atol=1e-5)


def test_trap_34_no_gradient_to_the_boxes():
    features = Tensor(np.random.default_rng(3).standard_normal((1, 2, 8, 8)), requires_grad=True)
    boxes = Tensor(np.array([[0.0, 0.0, 40.0, 50.0]]), requires_grad=True)
    roi_warp(features, boxes, np.array([0]), output_size=2, spatial_scale=0.1).backward(
        np.ones((1, 2, 2, 2))
    )
    assert boxes.grad is None
    assert features.grad.sum() == pytest.approx(8)


@pytest.mark.parametrize("reduce", ["mean", "max"])
def test_trap_40_gradient_away_from_ties(reduce):
    boxes = np.array(HARD_BOXES)
    check_gradient(
        roi_warp,
        all_different((2, 2, 7, 8)),
        boxes,
        np.arange(len(boxes)) % 2,
        output_size=(3, 2),
        spatial_scale=0.23,
        sampling_ratio=3,
        reduce=reduce,
    )


def test_nothing_to_warp():
    empty_shapes(roi_warp)


@pytest.mark.parametrize(("name", "changes"), [*bad_inputs(), ("reduce", {"reduce": "median"})])
def test_bad_input_is_named(name, changes):
    with pytest.raises(InputError, match=name):
        call_with(roi_warp, changes)
