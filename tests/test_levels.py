"""Levels of the feature pyramid, and pooling over several maps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minirnn.autograd.tensor import Tensor
from minirnn.backend import to_host
from minirnn.errors import InputError
from minirnn.ops.roi_align import roi_align
from minirnn.ops.roi_pool import roi_pool
from minirnn.ops.roi_warp import roi_warp
from minirnn.roi.levels import assign_levels, pyramid_roi
from minirnn.textbook import levels as textbook
from minirnn.textbook import roi_align as textbook_align
from minirnn.textbook import roi_pool as textbook_pool
from minirnn.textbook import roi_warp as textbook_warp

OPERATIONS = {
    "roi_align": (roi_align, textbook_align.roi_align),
    "roi_pool": (roi_pool, textbook_pool.roi_pool),
    "roi_warp": (roi_warp, textbook_warp.roi_warp),
}


def square(side: float, dtype: type = np.float64) -> np.ndarray:
    return np.array([[10, 20, 10 + side, 20 + side]], dtype)


def pyramid(rng: np.random.Generator, images: int = 2, channels: int = 3) -> list[np.ndarray]:
    return [rng.standard_normal((images, channels, 64 // 2**k, 96 // 2**k)) for k in range(4)]


def boxes_on_all_levels(rng: np.random.Generator, n: int) -> np.ndarray:
    side = np.exp(rng.uniform(np.log(4), np.log(600), (n, 2)))
    side[:4] = np.array([[40], [150], [300], [500]])
    corner = rng.uniform(-20, 300, (n, 2))
    return np.concatenate([corner, corner + side], axis=1)


@settings(max_examples=100)
@given(
    st.lists(st.tuples(*[st.integers(-40, 4000)] * 4), max_size=8),
    st.sampled_from([np.float32, np.float64]),
    st.integers(1, 3),
    st.integers(0, 4),
)
def test_assign_levels_equals_the_textbook(corners, dtype, lowest, above):
    boxes = np.array(corners, dtype).reshape(-1, 4)
    result = assign_levels(boxes, lowest=lowest, highest=lowest + above)
    assert result.dtype == np.int64
    np.testing.assert_array_equal(
        result, textbook.assign_levels(boxes, lowest=lowest, highest=lowest + above)
    )


def test_a_wide_box_counts_by_its_area():
    assert assign_levels(np.array([[0.0, 0.0, 896.0, 56.0]])) == assign_levels(square(224))


def test_empty_boxes_go_to_the_finest_map():
    boxes = np.array([[5, 5, 5, 900], [5, 5, 5, 5], [900, 900, 5, 5]], np.float32)
    np.testing.assert_array_equal(assign_levels(boxes), [0, 0, 0])
    assert assign_levels(boxes[:0]).shape == (0,)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("side", "below"), [(112, 0), (224, 1), (448, 2)])
def test_trap_12_floor_and_not_round_at_powers_of_two(side, below, dtype):
    assert assign_levels(square(side - 1e-3, dtype)) == below
    assert assign_levels(square(side, dtype)) == below + 1
    assert assign_levels(square(side + 1e-3, dtype)) == below + 1
    # round() would go up from 2^(k + 1/2) on already.
    assert assign_levels(square(side * 1.9, dtype)) == below + 1


def test_trap_12_eps_lifts_a_side_that_rounding_has_shortened():
    # In float32, 1000.1 + 224 - 1000.1 can be 223.99994; such a box should not fall a level.
    shortened = square(224 - 1e-4)
    assert assign_levels(shortened) == assign_levels(square(224)) == 2
    assert assign_levels(shortened, eps=0) == 1


@pytest.mark.parametrize("name", OPERATIONS)
def test_pyramid_roi_equals_the_textbook(name):
    fast, plain = OPERATIONS[name]
    rng = np.random.default_rng(1)
    maps, boxes = pyramid(rng), boxes_on_all_levels(rng, 20)
    image_index = rng.integers(0, 2, 20)
    assert set(assign_levels(boxes)) == {0, 1, 2, 3}
    result = pyramid_roi(*maps, boxes, image_index, operation=fast, output_size=(3, 2))
    expected = textbook.pyramid_roi(*maps, boxes, image_index, operation=plain, output_size=(3, 2))
    np.testing.assert_allclose(result, expected, rtol=1e-10, atol=1e-12)


def test_pyramid_roi_hands_its_settings_on():
    rng = np.random.default_rng(2)
    maps, boxes = pyramid(rng)[:2], boxes_on_all_levels(rng, 12)
    kind = {
        "output_size": (2, 2),
        "spatial_scales": (1 / 4, 1 / 8),
        "canonical_size": 100.0,
        "canonical_level": 3,
        "aligned": True,
        "sampling_ratio": 3,
    }
    image_index = rng.integers(0, 2, 12)
    np.testing.assert_allclose(
        pyramid_roi(*maps, boxes, image_index, **kind),
        textbook.pyramid_roi(*maps, boxes, image_index, **kind),
        rtol=1e-10,
        atol=1e-12,
    )


def test_pyramid_gradient_of_each_map():
    rng = np.random.default_rng(3)
    maps, boxes = pyramid(rng), boxes_on_all_levels(rng, 20)
    boxes = boxes[assign_levels(boxes) != 2]
    image_index = rng.integers(0, 2, len(boxes))
    tensors = [Tensor(features, requires_grad=True) for features in maps]
    output = pyramid_roi(*tensors, boxes, image_index, output_size=2)
    cotangent = rng.standard_normal(output.shape)
    output.backward(cotangent)
    for k, features in enumerate(maps):
        direction = rng.standard_normal(features.shape)
        forth, back = (
            pyramid_roi(*maps[:k], moved, *maps[k + 1 :], boxes, image_index, output_size=2)
            for moved in (features + 1e-3 * direction, features - 1e-3 * direction)
        )
        slope = ((forth - back) * cotangent).sum() / 2e-3
        assert (tensors[k].grad * direction).sum() == pytest.approx(slope, rel=1e-8, abs=1e-9)
        assert tensors[k].grad.any() == (k != 2)


def test_trap_34_no_gradient_to_the_boxes():
    rng = np.random.default_rng(4)
    tensors = [Tensor(features, requires_grad=True) for features in pyramid(rng)]
    boxes = Tensor(boxes_on_all_levels(rng, 5), requires_grad=True)
    pyramid_roi(*tensors, boxes, np.zeros(5, int), output_size=2).backward(np.ones((5, 3, 2, 2)))
    assert boxes.grad is None


def test_no_boxes():
    maps = pyramid(np.random.default_rng(5))
    output, vjps = pyramid_roi.raw(*maps, np.zeros((0, 4)), np.zeros(0, int), output_size=(7, 5))
    assert output.shape == (0, 3, 7, 5)
    for features, vjp in zip(maps, vjps, strict=False):
        np.testing.assert_array_equal(vjp(output), np.zeros_like(features))


def test_runs_on_every_array_library(xp):
    rng = np.random.default_rng(6)
    maps = [features.astype(np.float32) for features in pyramid(rng)]
    boxes, image_index = boxes_on_all_levels(rng, 12).astype(np.float32), rng.integers(0, 2, 12)
    expected, expected_vjps = pyramid_roi.raw(*maps, boxes, image_index, output_size=2)
    output, vjps = pyramid_roi.raw(
        *(xp.asarray(a) for a in (*maps, boxes, image_index)), output_size=2
    )
    np.testing.assert_array_equal(to_host(assign_levels(xp.asarray(boxes))), assign_levels(boxes))
    np.testing.assert_allclose(to_host(output), expected, rtol=1e-5, atol=1e-5)
    for vjp, expected_vjp in zip(vjps[:4], expected_vjps, strict=False):
        np.testing.assert_allclose(
            to_host(vjp(output)), expected_vjp(expected), rtol=1e-5, atol=1e-5
        )


def test_bad_input_is_named():
    maps = pyramid(np.random.default_rng(7))
    with pytest.raises(InputError, match="boxes has shape"):
        assign_levels(np.zeros((3, 5)))
    with pytest.raises(InputError, match="lowest is 5"):
        assign_levels(np.zeros((3, 4)), lowest=5, highest=2)
    with pytest.raises(InputError, match="spatial_scales has 4 numbers for 3 maps"):
        pyramid_roi(*maps[:3], np.zeros((0, 4)), np.zeros(0, int))
    with pytest.raises(InputError, match="map 1 has shape"):
        pyramid_roi(
            maps[0], maps[1][:, :1], np.zeros((0, 4)), np.zeros(0, int), spatial_scales=(1, 0.5)
        )
