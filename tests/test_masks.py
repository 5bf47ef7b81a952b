"""Crop and paste: equal to the loops, exact where the answer is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minirnn import masks as fast
from minirnn.autograd.tensor import Tensor
from minirnn.backend import to_host
from minirnn.ops.roi_align import roi_align
from minirnn.textbook import masks as textbook

MODES = ("continuous", "legacy")


@st.composite
def drawn_boxes(draw, count, height, width):
    """Boxes inside, partly and wholly outside, of no area, and turned inside out."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scale = np.array([width, height])
    centre = rng.uniform(-0.3, 1.3, (count, 2)) * scale
    half = rng.uniform(0, 0.8, (count, 2)) * scale
    half[rng.random((count, 2)) < 0.1] = 0
    half[rng.random((count, 2)) < 0.05] *= -1
    boxes = np.concatenate([centre - half, centre + half], axis=1)
    # Whole and half pixels, where rounding and ties happen.
    rounded = rng.random(count) < 0.4
    boxes[rounded] = np.round(boxes[rounded] * 2) / 2
    return boxes.astype(draw(st.sampled_from([np.float32, np.float64])))


@st.composite
def crop_arguments(draw):
    height, width = draw(st.integers(1, 14)), draw(st.integers(1, 14))
    instances, count = draw(st.integers(1, 3)), draw(st.integers(0, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    masks = rng.random((instances, height, width)) < 0.6
    boxes = draw(drawn_boxes(count, height, width))
    return masks, boxes, rng.integers(0, instances, count), draw(st.integers(1, 5))


@settings(max_examples=150, deadline=None)
@given(crop_arguments(), st.booleans())
def test_crop_equals_the_loops(arguments, aligned):
    masks, boxes, gt_index, size = arguments
    expected = textbook.crop(masks, boxes, gt_index, size, aligned=aligned)
    result = fast.crop(masks, boxes, gt_index, size, aligned=aligned)
    assert result.dtype == boxes.dtype
    assert result.shape == (len(boxes), size, size)
    assert ((result >= 0) & (result <= 1)).all()
    np.testing.assert_allclose(result, expected, atol=1e-5 if boxes.dtype == np.float32 else 1e-12)


def test_crop_on_each_device(xp):
    rng = np.random.default_rng(0)
    masks = rng.random((3, 20, 30)) < 0.5
    boxes = rng.uniform(-5, 30, (6, 4))
    gt_index = rng.integers(0, 3, 6)
    result = fast.crop(xp.asarray(masks), xp.asarray(boxes), xp.asarray(gt_index), 7)
    expected = textbook.crop(masks, boxes, gt_index, 7)
    np.testing.assert_allclose(to_host(result), expected, atol=1e-12)


@pytest.mark.parametrize("aligned", [False, True])
def test_crop_is_roi_align_of_the_mask(aligned):
    rng = np.random.default_rng(5)
    masks = rng.random((3, 60, 90)) < 0.5
    boxes = rng.uniform(-10, 95, (20, 4))
    gt_index = rng.integers(0, 3, 20)
    pooled = roi_align(
        Tensor(masks[:, None].astype(float)),
        boxes,
        gt_index,
        output_size=14,
        spatial_scale=1.0,
        sampling_ratio=0,
        aligned=aligned,
        reduce="mean",
    )
    result = fast.crop(masks, boxes, gt_index, 14, aligned=aligned)
    np.testing.assert_allclose(result, pooled.data[:, 0], atol=1e-12)


@pytest.mark.parametrize("aligned", [False, True])
def test_crop_reads_a_ramp_exactly(aligned):
    """Bilinear reading of a linear ramp is the ramp: each cell gets its centre's coordinate."""
    ramp = np.broadcast_to(np.arange(40.0) / 40, (1, 30, 40))
    boxes = np.array([[3.3, 4.1, 30.7, 21.9]])
    result = fast.crop(ramp, boxes, np.array([0]), 8, aligned=aligned)
    centres = boxes[0, 0] + (np.arange(8) + 0.5) * (boxes[0, 2] - boxes[0, 0]) / 8
    expected = (centres - (0.5 if aligned else 0)) / 40
    np.testing.assert_allclose(result[0], np.broadcast_to(expected, (8, 8)), atol=1e-12)


def test_crop_follows_a_shift_by_whole_pixels():
    rng = np.random.default_rng(1)
    masks = np.zeros((1, 40, 40), bool)
    masks[0, 10:20, 8:22] = rng.random((10, 14)) < 0.5
    box = np.array([[7.3, 9.1, 23.2, 21.7]])
    moved = np.roll(masks, (5, -3), axis=(1, 2))
    np.testing.assert_allclose(
        fast.crop(masks, box, np.array([0])),
        fast.crop(moved, box + np.array([-3, 5, -3, 5]), np.array([0])),
        atol=1e-12,
    )


def test_trap_24_whole_mask_gives_ones():
    masks = np.ones((1, 37, 53), bool)
    box = np.array([[0, 0, 53, 37]], np.float32)
    for aligned in (False, True):
        target = fast.crop(masks, box, np.array([0]), aligned=aligned)
        np.testing.assert_allclose(target, 1, atol=1e-6)


def test_trap_24_mask_that_fills_its_box_is_not_eroded():
    """Where a box is all object, each cell must say "object" when it is rounded, up to its edges.

    Beyond the edge is no object, so that an edge's reading is at least 1/2, a corner's (1/2)².
    """
    for extent in (5, 14, 28, 41, 100):
        masks = np.zeros((1, 140, 140), bool)
        masks[0, 20 : 20 + extent, 20 : 20 + extent] = True
        box = np.array([[20, 20, 20 + extent, 20 + extent]], np.float64)
        target = fast.crop(masks, box, np.array([0]), aligned=True)
        assert (target[0, 14] >= 0.5).all(), extent
        assert (target[0, :, 14] >= 0.5).all(), extent
        assert (target >= 0.25).all(), extent
        assert target[0, 14, 14] == pytest.approx(1)


def test_trap_24_targets_are_not_rounded_down():
    """A cell half covered is 0.5, where a cast to int would make it 0."""
    masks = np.zeros((1, 8, 8), bool)
    masks[0, :, :3] = True
    target = fast.crop(masks, np.array([[0.0, 0, 8, 8]]), np.array([0]), 4, aligned=True)
    np.testing.assert_allclose(target[0], np.tile([1, 0.5, 0, 0], (4, 1)))


def test_trap_24_mask_of_one_pixel():
    masks = np.zeros((1, 9, 9), bool)
    masks[0, 4, 6] = True
    box = np.array([[6.0, 4, 7, 5]])
    for aligned in (False, True):
        target = fast.crop(masks, box, np.array([0]), aligned=aligned)
        assert np.isfinite(target).all()
        assert target.max() > 0.95
    assert (target >= 0.25).all()  # a corner cell is (1/2 + 1/56)² of the pixel


@pytest.mark.parametrize("seed", range(6))
def test_trap_24_crop_then_paste_keeps_the_mask(seed):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:120, :150] + 0.5
    cy, cx, a, b = rng.uniform([45, 50, 20, 20], [75, 100, 40, 45])
    turn = rng.uniform(0, np.pi)
    u = (x - cx) * np.cos(turn) + (y - cy) * np.sin(turn)
    v = (y - cy) * np.cos(turn) - (x - cx) * np.sin(turn)
    mask = (u / a) ** 2 + (v / b) ** 2 < 1
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    tight = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    box = np.array([tight], float) + rng.uniform(-3, 3, 4) * [1, 1, 1, 1]
    box[0, :2] = np.minimum(box[0, :2], tight[:2])
    box[0, 2:] = np.maximum(box[0, 2:], tight[2:])
    target = fast.crop(mask[None], box, np.array([0]), aligned=True)
    back = fast.paste(target, box, 120, 150)[0]
    assert (mask & back).sum() / (mask | back).sum() > 0.95


def test_crop_aligned_gives_zeros_for_a_box_of_no_area():
    masks = np.ones((1, 9, 9), bool)
    boxes = np.array([[3.0, 3, 3, 6], [5, 5, 4, 4]])
    index = np.array([0, 0])
    assert not fast.crop(masks, boxes, index, 4, aligned=True).any()
    # torchvision's way makes them a pixel wide.
    np.testing.assert_allclose(fast.crop(masks, boxes, index, 4), 1)


def test_crop_of_a_box_outside_is_zero_and_beyond_the_border_fades():
    masks = np.ones((1, 6, 6), bool)
    boxes = np.array([[-20.0, 0, -8, 6], [0, 7.5, 6, 20]])
    assert not fast.crop(masks, boxes, np.array([0, 0]), 4).any()


def test_trap_33_crop_of_nothing():
    masks = np.zeros((0, 10, 12), bool)
    boxes, index = np.zeros((0, 4), np.float32), np.zeros(0, np.int64)
    for module in (fast, textbook):
        result = module.crop(masks, boxes, index)
        assert result.shape == (0, 28, 28)
        assert result.dtype == np.float32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"masks": np.ones((5, 5), bool)}, r"masks has shape \(5, 5\)"),
        ({"masks": np.ones((2, 0, 5), bool)}, "H and W"),
        ({"boxes": np.ones((3, 5))}, r"boxes has shape \(3, 5\)"),
        ({"boxes": np.ones((3, 4), int)}, "dtype int64"),
        ({"boxes": np.full((3, 4), np.nan)}, "not finite"),
        ({"gt_index": np.zeros(2, int)}, r"gt_index has shape \(2,\)"),
        ({"gt_index": np.zeros(3)}, "whole numbers"),
        ({"gt_index": np.array([0, 1, 2])}, "there are 2 masks"),
        ({"gt_index": np.array([0, 1, -1])}, "there are 2 masks"),
        ({"size": 0}, "size is 0"),
    ],
)
def test_crop_refuses(change, message):
    arguments = {
        "masks": np.ones((2, 5, 5), bool),
        "boxes": np.array([[0.0, 0, 3, 3]] * 3),
        "gt_index": np.zeros(3, int),
        "size": 4,
    }
    fast.crop(**arguments)
    with pytest.raises(ValueError, match=message):
        fast.crop(**(arguments | change))


@st.composite
def paste_arguments(draw):
    height, width = draw(st.integers(1, 14)), draw(st.integers(1, 14))
    count, cells = draw(st.integers(0, 4)), draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    boxes = draw(drawn_boxes(count, height, width))
    probabilities = rng.random((count, cells, cells)).astype(boxes.dtype)
    return probabilities, boxes, height, width


@settings(max_examples=150, deadline=None)
@given(paste_arguments(), st.sampled_from(MODES), st.sampled_from([0.2, 0.5, 0.8]))
def test_paste_equals_the_loops(arguments, mode, threshold):
    """Between the loops at a threshold a little higher and a little lower: no tie decides."""
    result = fast.paste(*arguments, threshold=threshold, mode=mode)
    _, boxes, height, width = arguments
    assert result.shape == (len(boxes), height, width)
    assert result.dtype == bool
    slack = 1e-5 if boxes.dtype == np.float32 else 1e-12
    surely = textbook.paste(*arguments, threshold=threshold + slack, mode=mode)
    perhaps = textbook.paste(*arguments, threshold=threshold - slack, mode=mode)
    assert (surely <= result).all()
    assert (result <= perhaps).all()


@pytest.mark.parametrize("mode", MODES)
def test_paste_on_each_device(xp, mode):
    rng = np.random.default_rng(0)
    boxes = np.array([[2.3, 1.7, 12.1, 9.4], [-4, -3, 6, 5], [30, 30, 40, 40], [8.5, 2, 21, 13]])
    probabilities = rng.random((4, 7, 7))
    result = fast.paste(xp.asarray(probabilities), xp.asarray(boxes), 14, 18, mode=mode)
    expected = textbook.paste(probabilities, boxes, 14, 18, mode=mode)
    np.testing.assert_array_equal(to_host(result), expected)


def test_paste_many_masks_in_threads_equals_one_by_one():
    rng = np.random.default_rng(2)
    boxes = rng.uniform(-10, 90, (60, 4)).astype(np.float32)
    probabilities = rng.random((60, 28, 28), dtype=np.float32)
    for mode in MODES:
        together = fast.paste(probabilities, boxes, 70, 80, mode=mode)
        one_by_one = [
            fast.paste(probabilities[i : i + 1], boxes[i : i + 1], 70, 80, mode=mode)[0]
            for i in range(60)
        ]
        np.testing.assert_array_equal(together, one_by_one)


def test_paste_of_one_cell_a_pixel_is_the_mask_itself():
    rng = np.random.default_rng(3)
    probabilities = rng.random((1, 6, 6))
    result = fast.paste(probabilities, np.array([[4.0, 3, 10, 9]]), 12, 15)
    expected = np.zeros((12, 15), bool)
    expected[3:9, 4:10] = probabilities[0] >= 0.5
    np.testing.assert_array_equal(result[0], expected)


def test_paste_threshold_is_inclusive_in_continuous_and_exclusive_in_legacy():
    probabilities, box = np.full((1, 4, 4), 0.5), np.array([[2.0, 2, 6, 6]])
    assert fast.paste(probabilities, box, 8, 8)[0, 3:5, 3:5].all()
    assert not fast.paste(probabilities, box, 8, 8, mode="legacy").any()


def _disc(cells=28):
    y, x = np.mgrid[:cells, :cells] + 0.5 - cells / 2
    return (np.clip(cells * 0.4 - np.hypot(y, x), -0.5, 0.5) + 0.5)[None]


def _worst_shift_of_centre(mode):
    """How far the pasted disc's centre of mass gets from its box's, over sub-pixel positions."""
    shifts = []
    for dx in np.linspace(0, 1, 21):
        box = np.array([[20 + dx, 20.3, 121 + dx, 121.3]])
        mask = fast.paste(_disc(), box, 150, 150, mode=mode)[0]
        shifts.append((np.nonzero(mask)[1] + 0.5).mean() - (70.5 + dx))
    return float(np.abs(shifts).max())


def test_trap_25_pasting_follows_fractional_boxes():
    assert _worst_shift_of_centre("continuous") < 0.1
    assert _worst_shift_of_centre("legacy") > 0.3  # what rounding the box costs


def test_trap_25_area_follows_the_box():
    probabilities = _disc()
    for extent in np.linspace(30, 31, 6):
        box = np.array([[10.3, 10.6, 10.3 + extent, 10.6 + extent]])
        area = fast.paste(probabilities, box, 60, 60)[0].sum()
        assert area == pytest.approx(np.pi * (0.4 * extent) ** 2, rel=0.02)


def test_trap_25_legacy_known_answer():
    """One cell of probability 1: box 2…7 becomes -3…12, resized from 3 cells to 16 pixels."""
    box = np.array([[2.0, 2, 7, 7]])  # centre 4.5, half width 2.5 · 3 = 7.5: -3 to 12
    mask = fast.paste(np.ones((1, 1, 1)), box, 20, 20, mode="legacy")[0]
    u = np.clip((np.arange(-3, 13) + 3 + 0.5) * 3 / 16 - 0.5, 0, 2)
    weight = 1 - abs(u - 1)
    expected = np.zeros((20, 20), bool)
    expected[:13, :13] = np.outer(weight[3:], weight[3:]) > 0.5
    np.testing.assert_array_equal(mask, expected)
    assert mask.any()


def test_trap_26_box_at_negative_coordinates_keeps_its_visible_part():
    """Left half off, right half on; only the right half is in the image."""
    probabilities = np.zeros((1, 10, 10))
    probabilities[0, :, 5:] = 1
    box = np.array([[-20.0, -20, 20, 20]])
    for mode in MODES:
        mask = fast.paste(probabilities, box, 30, 30, mode=mode)[0]
        assert mask[:15, 2:15].all(), mode
        assert not mask[:, 22:].any(), mode
        mask = fast.paste(probabilities[:, :, ::-1].copy(), box, 30, 30, mode=mode)[0]
        assert not mask[:, 2:].any(), mode


@settings(max_examples=60, deadline=None)
@given(paste_arguments())
def test_trap_26_image_is_a_window_on_the_plane(arguments):
    """Pasting into the image equals pasting into a large canvas and cutting the image out."""
    probabilities, boxes, height, width = arguments
    canvas = fast.paste(
        probabilities.astype(float), boxes.astype(float) + 64, height + 128, width + 128
    )
    result = fast.paste(probabilities.astype(float), boxes.astype(float), height, width)
    cut = canvas[:, 64 : 64 + height, 64 : 64 + width]
    assert np.count_nonzero(result != cut) <= 1  # random probabilities: a tie is next to impossible


def test_boxes_far_outside_and_of_no_area_give_empty_masks():
    boxes = np.array(
        [[50.0, 0, 60, 9], [0, 50, 9, 60], [-9, 0, -2, 9], [0, -1e9, 9, -1e8], [-1e30, 1, -1e29, 2]]
    )
    flat = np.array([[2.0, 2, 2, 8], [2, 2, 8, 2], [6, 6, 3, 3]])
    for mode in MODES:
        assert not fast.paste(np.ones((5, 4, 4)), boxes, 20, 20, mode=mode).any()
    assert not fast.paste(np.ones((3, 4, 4)), flat, 20, 20).any()


def test_box_much_larger_than_the_image_covers_it():
    box = np.array([[-1e6, -1e6, 1e6, 1e6]], np.float32)
    for mode in MODES:
        assert fast.paste(np.ones((1, 28, 28), np.float32), box, 20, 30, mode=mode).all()


@pytest.mark.parametrize("mode", MODES)
def test_trap_33_paste_of_nothing(mode):
    for module in (fast, textbook):
        result = module.paste(np.zeros((0, 28, 28)), np.zeros((0, 4)), 12, 15, mode=mode)
        assert result.shape == (0, 12, 15)
        assert result.dtype == bool
    assert fast.paste(np.ones((1, 4, 4)), np.ones((1, 4)), 0, 5, mode=mode).shape == (1, 0, 5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mode": "nearest"}, "mode is 'nearest'"),
        ({"boxes": np.ones((2, 5))}, r"boxes has shape \(2, 5\)"),
        ({"boxes": np.array([[0, 0, np.inf, 1]] * 2)}, "not finite"),
        ({"mask_probabilities": np.ones((3, 4, 4))}, r"should be \(2, M, M\)"),
        ({"mask_probabilities": np.ones((2, 4, 5))}, r"should be \(2, M, M\)"),
        ({"mask_probabilities": np.ones((2, 0, 0))}, "M at least 1"),
        ({"mask_probabilities": np.ones((2, 4, 4), bool)}, "dtype bool"),
        ({"height": -1}, "negative"),
    ],
)
def test_paste_refuses(change, message):
    arguments = {
        "mask_probabilities": np.ones((2, 4, 4)),
        "boxes": np.array([[0.0, 0, 3, 3]] * 2),
        "height": 8,
        "width": 9,
    }
    fast.paste(**arguments)
    with pytest.raises(ValueError, match=message):
        fast.paste(**(arguments | change))
