"""RoIAlign: exact points, legacy and aligned, fixed and adaptive, mean and maximum."""

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
from minirnn.textbook import roi_align as textbook

KINDS = [
    {"aligned": aligned, "sampling_ratio": ratio, "reduce": reduce}
    for aligned in (False, True)
    for ratio in (0, 2)
    for reduce in ("mean", "max")
]


def ramp(height: int, width: int) -> np.ndarray:
    """A map whose value at every point is x + 100 y: cell (i, j) has its centre at j + ½, i + ½."""
    return ((np.arange(height)[:, None] + 0.5) * 100 + np.arange(width) + 0.5)[None, None]


@settings(max_examples=150)
@given(roi_inputs(), st.booleans(), st.integers(0, 3), st.sampled_from(["mean", "max"]))
def test_equals_the_textbook(case, aligned, sampling_ratio, reduce):
    features, boxes, image_index, keywords = case
    keywords |= {"aligned": aligned, "sampling_ratio": sampling_ratio, "reduce": reduce}
    result = roi_align(features, boxes, image_index, **keywords)
    expected = textbook.roi_align(features, boxes, image_index, **keywords)
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)
    assert result.dtype == features.dtype


@pytest.mark.parametrize("kind", KINDS)
def test_mean_is_linear_and_its_gradient_the_transpose(kind):
    """⟨dy, S x⟩ = ⟨Sᵀ dy, x⟩, with more channels than are worked on at once."""
    rng = np.random.default_rng(0)
    features = rng.standard_normal((2, 70, 13, 17))
    corner = rng.uniform(-20, 100, (40, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(-5, 120, (40, 2))], axis=1)
    output, (vjp, _, _) = roi_align.raw(
        features, boxes, rng.integers(0, 2, 40), output_size=(5, 3), spatial_scale=1 / 8, **kind
    )
    cotangent = rng.standard_normal(output.shape)
    # A maximum is linear too as long as the winners stay the same, as they do under scaling.
    assert (cotangent * output).sum() == pytest.approx((vjp(cotangent) * features).sum())


def test_constant_map_stays_constant():
    features = np.full((1, 1, 20, 20), 7.0, np.float32)
    boxes = np.array([[10, 10, 100, 90], [33.3, 21.7, 60.2, 99.1]], np.float32)
    for kind in KINDS:
        result = roi_align(features, boxes, np.zeros(2, int), spatial_scale=0.2, **kind)
        np.testing.assert_allclose(result, 7, rtol=1e-6)


def test_shift_by_one_stride_shifts_the_map():
    rng = np.random.default_rng(1)
    features = rng.standard_normal((1, 3, 16, 16))
    box = np.array([[33.0, 21.5, 90.2, 80.0]])
    moved = roi_align(
        np.roll(features, (1, 2), (2, 3)),
        box + np.array([16, 8, 16, 8]),
        np.array([0]),
        spatial_scale=1 / 8,
    )
    still = roi_align(features, box, np.array([0]), spatial_scale=1 / 8)
    np.testing.assert_allclose(moved, still, rtol=1e-10, atol=1e-12)


def test_output_is_continuous_under_subpixel_shifts():
    features = np.random.default_rng(2).standard_normal((1, 4, 16, 16))
    box = np.array([[24.0, 32.0, 152.0, 136.0]])
    outputs = np.stack(
        [
            roi_align(features, box + shift, np.array([0]), spatial_scale=1 / 16, aligned=True)
            for shift in np.arange(0, 32, 0.25)
        ]
    )
    # Between neighbours the slope is at most twice the largest value, per cell and direction.
    steps = np.abs(np.diff(outputs, axis=0)).max(axis=(1, 2, 3, 4))
    assert steps.max() <= 4 * np.abs(features).max() * 0.25 / 16
    assert steps.min() > 0


@pytest.mark.parametrize("kind", KINDS)
def test_runs_on_every_array_library(xp, kind):
    features = np.random.default_rng(3).standard_normal((2, 3, 9, 11)).astype(np.float32)
    boxes, image_index = np.array(HARD_BOXES, np.float32), np.arange(len(HARD_BOXES)) % 2
    settings_ = {"output_size": (3, 2), "spatial_scale": 0.25, **kind}
    expected, (expected_vjp, _, _) = roi_align.raw(features, boxes, image_index, **settings_)
    output, (vjp, _, _) = roi_align.raw(
        *(xp.asarray(a) for a in (features, boxes, image_index)), **settings_
    )
    np.testing.assert_allclose(to_host(output), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(to_host(vjp(output)), expected_vjp(expected), rtol=1e-5, atol=1e-5)


# --- traps -----------------------------------------------------------------------------------


def test_trap_01_half_a_cell_known_answers():
    """Region 1 … 3 of the 5 x 5 map 0 … 24, in 4 x 4 bins: 7.5 in the corner or, rightly, 4.5."""
    features = np.arange(25.0).reshape(1, 1, 5, 5)
    for sampling_ratio in (0, 2):
        legacy, aligned = (
            roi_align(
                features,
                np.array([[1.0, 1.0, 3.0, 3.0]]),
                np.array([0]),
                output_size=4,
                spatial_scale=1.0,
                sampling_ratio=sampling_ratio,
                aligned=aligned,
            )[0, 0]
            for aligned in (False, True)
        )
        lines, columns = np.mgrid[:4, :4] * 0.5
        np.testing.assert_allclose(legacy, 7.5 + 5 * lines + columns, rtol=1e-12)
        np.testing.assert_allclose(aligned, 4.5 + 5 * lines + columns, rtol=1e-12)


def test_trap_01_a_ramp_is_reproduced_exactly():
    box = np.array([[2.3, 1.9, 9.1, 7.7]])
    result = roi_align(
        ramp(10, 12), box, np.array([0]), output_size=(4, 5), spatial_scale=1.0, aligned=True
    )
    x = 2.3 + (np.arange(5) + 0.5) * (9.1 - 2.3) / 5
    y = 1.9 + (np.arange(4) + 0.5) * (7.7 - 1.9) / 4
    np.testing.assert_allclose(result[0, 0], y[:, None] * 100 + x, rtol=1e-12)


def test_trap_01_a_map_of_twice_the_resolution_gives_the_same():
    rng = np.random.default_rng(4)
    small = rng.standard_normal((1, 1, 30, 30))
    # Each cell becomes two, a quarter of a cell on either side of the old centre.
    large = small
    for axis in (2, 3):
        before, after = (np.roll(large, shift, axis) for shift in (1, -1))
        halves = np.stack([0.75 * large + 0.25 * before, 0.75 * large + 0.25 * after], axis + 1)
        large = halves.reshape(*large.shape[:axis], -1, *large.shape[axis + 1 :])
    box, arguments = np.array([[10.0, 10.0, 20.0, 20.0]]), {"output_size": 10}
    for aligned, same in ((True, True), (False, False)):
        first = roi_align(
            small, box, np.array([0]), spatial_scale=1.0, aligned=aligned, **arguments
        )
        second = roi_align(
            large, box, np.array([0]), spatial_scale=2.0, aligned=aligned, **arguments
        )
        assert (np.abs(first - second).max() < 1e-4) == same


def test_trap_02_legacy_regions_have_at_least_one_cell():
    features = ramp(8, 8)
    point, cell = (
        roi_align(features, np.array([box]), np.array([0]), output_size=2, spatial_scale=0.5)
        for box in ([6.0, 4.0, 6.5, 4.0], [6.0, 4.0, 8.0, 6.0])
    )
    np.testing.assert_array_equal(point, cell)


@pytest.mark.parametrize("reduce", ["mean", "max"])
@pytest.mark.parametrize("sampling_ratio", [0, 2])
@pytest.mark.parametrize("box", [[3.0, 4.0, 5.0, 4.0], [3.0, 4.0, 3.0, 8.0], [5.0, 6.0, 3.0, 4.0]])
def test_trap_02_aligned_empty_region_gives_zeros(box, sampling_ratio, reduce):
    features = np.random.default_rng(5).standard_normal((1, 2, 8, 8)) - 10
    output, (vjp, _, _) = roi_align.raw(
        features,
        np.array([box, [2.0, 2.0, 6.0, 6.0]]),
        np.array([0, 0]),
        output_size=3,
        spatial_scale=1.0,
        sampling_ratio=sampling_ratio,
        aligned=True,
        reduce=reduce,
    )
    assert not output[0].any()
    assert output[1].all()
    cotangent = np.zeros_like(output)
    cotangent[0] = 1
    assert not vjp(cotangent).any()


def test_trap_02_no_regions_and_no_images():
    empty_shapes(roi_align)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("kind", KINDS)
def test_trap_03_regions_partly_and_fully_outside(kind):
    features = np.random.default_rng(6).standard_normal((2, 2, 9, 11))
    boxes, image_index = np.array(HARD_BOXES), np.arange(len(HARD_BOXES)) % 2
    arguments = {"output_size": (3, 2), "spatial_scale": 0.25, **kind}
    result = roi_align(features, boxes, image_index, **arguments)
    np.testing.assert_allclose(
        result,
        textbook.roi_align(features, boxes, image_index, **arguments),
        rtol=1e-10,
        atol=1e-12,
    )
    assert not result[4:6].any()  # far outside
    assert result[:4].any(axis=(1, 2, 3)).all()


def test_trap_03_up_to_one_cell_outside_reads_the_border():
    features = np.full((1, 1, 4, 4), 3.0)
    # One point each, at x = -1, a little farther out, at x = W, and a little farther out.
    x = np.array([-1.0, -1.001, 4.0, 4.001])
    boxes = np.stack([x - 0.5, np.full(4, 1.0), x + 0.5, np.full(4, 2.0)], axis=1)
    result = roi_align(
        features, boxes, np.zeros(4, int), output_size=1, spatial_scale=1.0, sampling_ratio=1
    )
    np.testing.assert_array_equal(result.ravel(), [3, 0, 3, 0])


@pytest.mark.parametrize("aligned", [False, True])
def test_trap_04_adaptive_sampling_is_counted_for_each_region(aligned):
    rng = np.random.default_rng(7)
    features = rng.standard_normal((2, 3, 40, 50))
    # From a fraction of a cell to the whole map, together in one call.
    side = np.array([0.4, 3.0, 8.0, 8.1, 31.0, 64.0, 65.0, 150.0, 155.0])
    boxes = np.stack([side / 9, side / 7, side / 9 + side * 1.2, side / 7 + side], axis=1)
    image_index = np.arange(len(boxes)) % 2
    arguments = {"output_size": (2, 4), "spatial_scale": 0.25, "aligned": aligned}
    for reduce in ("mean", "max"):
        adaptive = {**arguments, "sampling_ratio": 0, "reduce": reduce}
        together = roi_align(features, boxes, image_index, **adaptive)
        np.testing.assert_allclose(
            together,
            textbook.roi_align(features, boxes, image_index, **adaptive),
            rtol=1e-10,
            atol=1e-12,
        )
    # 8 pixels are 2 cells, one for each of 2 bins; the last box has ceil(38.75 / 2) = 20.
    fixed = roi_align(features, boxes, image_index, **arguments, sampling_ratio=20)
    assert np.abs(adaptive_mean(features, boxes, image_index, arguments) - fixed).max() > 1e-3


def adaptive_mean(features, boxes, image_index, arguments):
    return roi_align(features, boxes, image_index, **arguments, sampling_ratio=0)


def test_trap_05_the_whole_map_at_its_own_size_is_the_map_itself():
    """`crop_and_resize` would stretch the outermost centres to the outermost edges."""
    features = np.random.default_rng(8).standard_normal((1, 2, 6, 9))
    result = roi_align(
        features,
        np.array([[0.0, 0.0, 9 * 16.0, 6 * 16.0]]),
        np.array([0]),
        output_size=(6, 9),
        spatial_scale=1 / 16,
        sampling_ratio=1,
        aligned=True,
    )
    np.testing.assert_allclose(result[0], features[0], rtol=1e-12)


def test_trap_34_no_gradient_to_the_boxes():
    features = Tensor(np.random.default_rng(9).standard_normal((1, 2, 8, 8)), requires_grad=True)
    boxes = Tensor(np.array([[0.0, 0.0, 40.0, 50.0]]), requires_grad=True)
    roi_align(features, boxes, np.array([0]), output_size=2, spatial_scale=0.1).backward(
        np.ones((1, 2, 2, 2))
    )
    assert boxes.grad is None
    assert features.grad.sum() == pytest.approx(8)


@pytest.mark.parametrize("kind", KINDS)
def test_trap_40_gradient_away_from_grid_lines(kind):
    boxes = np.array(HARD_BOXES)[[0, 1, 2, 3, 6, 7]]
    check_gradient(
        roi_align,
        all_different((2, 1, 5, 6)),
        boxes,
        np.arange(len(boxes)) % 2,
        output_size=(3, 2),
        spatial_scale=0.17,
        **kind,
    )


@pytest.mark.parametrize(
    ("name", "changes"),
    [*bad_inputs(), ("reduce", {"reduce": "sum"}), ("sampling_ratio", {"sampling_ratio": -1})],
)
def test_bad_input_is_named(name, changes):
    with pytest.raises(InputError, match=name):
        call_with(roi_align, changes)


def test_maps_without_channels_are_refused():
    with pytest.raises(InputError, match="at least 1 channel"):
        roi_align(
            np.zeros((1, 0, 4, 4)), np.array([[0.0, 0, 8, 8]]), np.array([0]), spatial_scale=0.25
        )
