"""Boxes: area, overlap, code and suppression."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minirnn import boxes as fast
from minirnn.backend import to_host
from minirnn.errors import InputError
from minirnn.kernels.cpu import nms as nms_kernel
from minirnn.textbook import boxes as textbook

DTYPES = (np.float32, np.float64)


@st.composite
def box_arrays(draw, min_count=0, max_count=8, min_side=-2):
    """Boxes on a coarse grid (ties, touching and equal boxes), some empty or turned inside out.

    With a step of 1/8 pixel areas and overlaps are exact, so that even `>` must agree bit for bit.
    """
    n = draw(st.integers(min_count, max_count))
    corner = draw(st.lists(st.integers(-20, 90), min_size=2 * n, max_size=2 * n))
    side = draw(st.lists(st.integers(min_side, 60), min_size=2 * n, max_size=2 * n))
    corner, side = np.array(corner).reshape(n, 2), np.array(side).reshape(n, 2)
    dtype = draw(st.sampled_from(DTYPES))
    return (np.concatenate([corner, corner + side], axis=1) / 8).astype(dtype)


@st.composite
def scored_boxes(draw, max_count=12):
    boxes = draw(box_arrays(max_count=max_count))
    scores = draw(st.lists(st.integers(0, 5), min_size=len(boxes), max_size=len(boxes)))
    groups = draw(st.lists(st.integers(-1, 1), min_size=len(boxes), max_size=len(boxes)))
    return boxes, np.array(scores, dtype=boxes.dtype) / 5, np.array(groups, dtype=np.int64)


def random_boxes(rng, n, dtype=np.float32, extent=200.0):
    corner = rng.uniform(0, extent, (n, 2))
    return np.concatenate([corner, corner + rng.uniform(4, 80, (n, 2))], axis=1).astype(dtype)


# --- area and overlap ------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(box_arrays(), box_arrays())
def test_area_and_overlaps_equal_the_textbook(a, b):
    b = b.astype(a.dtype)
    for name, arguments in (
        ("area", (a,)),
        ("intersection", (a, b)),
        ("iou", (a, b)),
        ("crowd_iou", (a, b)),
    ):
        result = getattr(fast, name)(*arguments)
        expected = getattr(textbook, name)(*arguments)
        assert result.dtype == a.dtype
        np.testing.assert_array_equal(result, expected, err_msg=name)


@settings(max_examples=60, deadline=None)
@given(box_arrays(max_count=6), box_arrays(max_count=6), st.integers(-3, 3), st.integers(-50, 50))
def test_iou_is_symmetric_bounded_and_blind_to_shift_and_scale(a, b, power, shift):
    b = b.astype(a.dtype)
    overlap = fast.iou(a, b)
    assert (overlap >= 0).all()
    assert (overlap <= 1).all()
    np.testing.assert_array_equal(overlap, fast.iou(b, a).T)
    scale = a.dtype.type(2.0**power)
    np.testing.assert_array_equal(overlap, fast.iou(a * scale, b * scale))
    np.testing.assert_array_equal(overlap, fast.iou(a + shift, b + shift))


@pytest.mark.parametrize("function", [fast.iou, fast.intersection])
def test_tables_of_different_dtypes_and_lengths(xp, function):
    """More rows than columns, or fewer; float32 beside float64 gives float64."""
    rng = np.random.default_rng(0)
    a, b = np.sort(rng.uniform(0, 9, (4, 4)), axis=1), np.sort(rng.uniform(0, 9, (40, 4)), axis=1)
    a[0], b[:5] = a[0, [2, 1, 0, 3]], b[:5, [2, 3, 0, 1]]  # turned inside out
    a = a.astype(np.float32)
    expected = getattr(textbook, function.__name__)(a.astype(np.float64), b)
    assert (expected > 0).mean() > 0.1
    for one, other, table in ((a, b, expected), (b, a, expected.T)):
        found = function(xp.asarray(one), xp.asarray(other))
        assert found.dtype == np.float64
        np.testing.assert_allclose(to_host(found), table, rtol=1e-12)


def test_tables_leave_numpy_as_it_was():
    before = np.getbufsize(), np.geterr()
    boxes = np.ones((5, 4), np.float32)
    fast.iou(boxes, boxes)
    fast.nms(boxes, np.ones(5, np.float32), 0.5)
    assert (np.getbufsize(), np.geterr()) == before


def test_iou_of_random_float32_boxes_never_passes_one():
    rng = np.random.default_rng(0)
    boxes = random_boxes(rng, 300)
    nearly = np.nextafter(boxes, np.float32(1e9))
    for other in (boxes, nearly):
        overlap = fast.iou(boxes, other)
        assert overlap.max() <= 1
        assert overlap.diagonal().min() > 0.999


def test_known_overlaps(xp):
    a = xp.asarray(np.array([[0, 0, 10, 10], [0, 0, 4, 4]], dtype=np.float32))
    b = xp.asarray(np.array([[5, 0, 15, 10], [10, 0, 20, 10], [0, 0, 10, 10]], dtype=np.float32))
    np.testing.assert_array_equal(to_host(fast.area(a)), [100, 16])
    np.testing.assert_array_equal(to_host(fast.intersection(a, b)), [[50, 0, 100], [0, 0, 16]])
    expected = np.array([[50 / 150, 0, 1], [0, 0, 0.16]], dtype=np.float32)
    np.testing.assert_array_equal(to_host(fast.iou(a, b)), expected)
    np.testing.assert_array_equal(to_host(fast.crowd_iou(a, b)), [[0.5, 0, 1], [0, 0, 1]])


def test_trap_06_no_plus_one_in_widths():
    # One pixel is [0, 1) x [0, 1): with the +1 of old VOC code these would be 4, 1/7 and a shift
    # between the axes under a mirror.
    pixel = np.array([[0.0, 0.0, 1.0, 1.0]])
    neighbour = np.array([[1.0, 0.0, 2.0, 1.0]])
    assert fast.area(pixel) == 1
    assert fast.iou(pixel, neighbour) == 0

    rng = np.random.default_rng(6)
    size = 256.0
    a, b = (np.round(random_boxes(rng, 20, np.float64)) for _ in range(2))
    for first, second in ((0, 2), (1, 3)):  # mirrored in x, mirrored in y
        flipped_a, flipped_b = a.copy(), b.copy()
        for boxes, flipped in ((a, flipped_a), (b, flipped_b)):
            flipped[:, first], flipped[:, second] = size - boxes[:, second], size - boxes[:, first]
        np.testing.assert_array_equal(fast.area(flipped_a), fast.area(a))
        np.testing.assert_array_equal(fast.iou(flipped_a, flipped_b), fast.iou(a, b))
        mirrored = fast.encode(a, b)
        mirrored[:, first] *= -1
        np.testing.assert_allclose(fast.encode(flipped_a, flipped_b), mirrored, atol=1e-12)
    shift = fast.encode(pixel, neighbour)
    np.testing.assert_array_equal(shift, [[1, 0, 0, 0]])  # one width to the right, same size
    np.testing.assert_array_equal(fast.to_xywh(neighbour), [[1, 0, 1, 1]])


@pytest.mark.parametrize("dtype", DTYPES)
def test_trap_31_boxes_without_area_never_give_nan(dtype):
    point = [5, 5, 5, 5]
    line = [0, 5, 10, 5]
    inside_out = [10, 10, 2, 2]  # what COCO's x, y, w, h looks like when read as x1, y1, x2, y2
    proper = [0, 0, 10, 10]
    boxes = np.array([point, line, inside_out, proper], dtype=dtype)
    np.testing.assert_array_equal(fast.area(boxes), [0, 0, 0, 100])
    expected = np.zeros((4, 4))
    expected[3, 3] = 1
    np.testing.assert_array_equal(fast.iou(boxes, boxes), expected)
    np.testing.assert_array_equal(fast.crowd_iou(boxes, boxes), expected)
    kept = fast.nms(boxes, np.array([4, 3, 2, 1], dtype=dtype), 0.0)
    np.testing.assert_array_equal(kept, [0, 1, 2, 3])
    for row in boxes[:3]:
        with pytest.raises(InputError, match=r"boxes has a box without area: row 0 is"):
            fast.encode(boxes[3:], row[None])
        with pytest.raises(InputError, match=r"anchors has a box without area: row 0 is"):
            fast.encode(row[None], boxes[3:])


# --- encode and decode -----------------------------------------------------------------------

WEIGHTS = ((1.0, 1.0, 1.0, 1.0), (10.0, 10.0, 5.0, 5.0))


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from(WEIGHTS))
def test_encode_equals_the_textbook(data, weights):
    anchors = data.draw(box_arrays(min_side=1))
    n = len(anchors)
    boxes = data.draw(box_arrays(n, n, min_side=1)).astype(anchors.dtype)
    deltas = fast.encode(anchors, boxes, weights)
    assert deltas.dtype == anchors.dtype
    rtol = 1e-5 if anchors.dtype == np.float32 else 1e-12
    np.testing.assert_allclose(deltas, textbook.encode(anchors, boxes, weights), rtol, rtol)


@settings(max_examples=60, deadline=None)
@given(box_arrays(), st.integers(1, 3), st.sampled_from(WEIGHTS), st.integers(0, 2**32 - 1))
def test_decode_equals_the_textbook(anchors, classes, weights, seed):
    deltas = np.random.default_rng(seed).normal(0, 4, (len(anchors), 4 * classes))
    deltas = deltas.astype(anchors.dtype)
    boxes = fast.decode(anchors, deltas, weights)
    assert boxes.dtype == anchors.dtype
    assert boxes.shape == deltas.shape
    rtol = 1e-4 if anchors.dtype == np.float32 else 1e-10
    np.testing.assert_allclose(boxes, textbook.decode(anchors, deltas, weights), rtol, 10 * rtol)


@pytest.mark.parametrize("weights", WEIGHTS)
def test_trap_13_decode_undoes_encode_with_the_same_weights(xp, weights):
    rng = np.random.default_rng(13)
    anchors, boxes = (random_boxes(rng, 50, np.float64) for _ in range(2))
    deltas = fast.encode(xp.asarray(anchors), xp.asarray(boxes), weights)
    again = to_host(fast.decode(xp.asarray(anchors), deltas, weights))
    np.testing.assert_allclose(again, boxes, atol=1e-10)
    # With the other place's weights (the RPN's on the box head, or vice versa) it must not.
    other = WEIGHTS[1 - WEIGHTS.index(weights)]
    wrong = to_host(fast.decode(xp.asarray(anchors), deltas, other))
    assert np.abs(wrong - boxes).max() > 5
    # And the weights mean: how many times larger the code is.
    plain = to_host(fast.encode(xp.asarray(anchors), xp.asarray(boxes)))
    np.testing.assert_allclose(to_host(deltas), plain * np.array(weights), rtol=1e-12)


def test_known_codes(xp):
    anchor = xp.asarray(np.array([[0, 0, 10, 20]], dtype=np.float64))
    box = xp.asarray(np.array([[10, 0, 30, 20]], dtype=np.float64))  # 1.5 widths right, twice wide
    deltas = to_host(fast.encode(anchor, box))
    np.testing.assert_allclose(deltas, [[1.5, 0, np.log(2), 0]], atol=1e-15)
    both = xp.asarray(np.array([[0, 0, 0, 0, 0, 0.5, np.log(3), 0]]))  # two classes
    boxes = to_host(fast.decode(anchor, both))
    np.testing.assert_allclose(boxes, [[0, 0, 10, 20, -10, 10, 20, 30]], atol=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
def test_trap_14_a_wild_delta_stays_finite(dtype):
    anchors = np.array([[0, 0, 16, 16]], dtype=dtype)
    wild = np.array([[0, 0, 1e4, 1e4]], dtype=dtype)
    boxes = fast.decode(anchors, wild)
    np.testing.assert_allclose(boxes, [[-492, -492, 508, 508]], rtol=1e-5)  # 16 · 1000 / 16
    assert np.isfinite(fast.decode(anchors, -wild)).all()
    tighter = fast.decode(anchors, wild, clamp=np.log(2))
    np.testing.assert_allclose(tighter, [[-8, -8, 24, 24]], rtol=1e-5)
    # The clamp is on the log-growth, after the weights: 4 / 5 is far from it.
    weighted = fast.decode(anchors, np.array([[0, 0, 4, 0]], dtype=dtype), (1.0, 1.0, 5.0, 5.0))
    np.testing.assert_allclose(weighted[0, 2] - weighted[0, 0], 16 * np.exp(0.8), rtol=1e-5)


# --- clip, sizes and COCO's form -------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(box_arrays(), st.integers(1, 12), st.integers(1, 12), st.sampled_from([0, 0.125, 1, 3]))
def test_clip_and_sizes_equal_the_textbook(boxes, height, width, min_size):
    clipped = fast.clip(boxes, height, width)
    np.testing.assert_array_equal(clipped, textbook.clip(boxes, height, width))
    np.testing.assert_array_equal(fast.clip(clipped, height, width), clipped)
    for array in (boxes, clipped):
        mask = fast.large_enough(array, min_size)
        assert mask.dtype == bool
        np.testing.assert_array_equal(mask, textbook.large_enough(array, min_size))
    for name in ("from_xywh", "to_xywh"):
        result = getattr(fast, name)(boxes)
        assert result.dtype == boxes.dtype
        np.testing.assert_array_equal(result, getattr(textbook, name)(boxes))
    np.testing.assert_array_equal(fast.from_xywh(fast.to_xywh(boxes)), boxes)


def test_clip_takes_any_leading_axes_and_leaves_its_input_alone(xp):
    host = np.array([[[-5, -5, 30, 30], [3, 4, 5, 6]]], dtype=np.float32)
    boxes = xp.asarray(host)
    clipped = to_host(fast.clip(boxes, 10, 20))
    np.testing.assert_array_equal(clipped, [[[0, 0, 20, 10], [3, 4, 5, 6]]])
    np.testing.assert_array_equal(to_host(boxes), host)
    np.testing.assert_array_equal(clipped, textbook.clip(host, 10, 20))


def test_known_sizes(xp):
    boxes = xp.asarray(np.array([[0, 0, 2, 9], [0, 0, 9, 1.9], [3, 3, 3, 8]], dtype=np.float32))
    np.testing.assert_array_equal(to_host(fast.large_enough(boxes, 2)), [True, False, False])
    # A threshold of 0 still refuses the box that clipping left without area.
    np.testing.assert_array_equal(to_host(fast.large_enough(boxes, 0)), [True, True, False])
    broken = xp.asarray(np.array([[0, 0, np.nan, 9]], dtype=np.float32))
    assert not to_host(fast.large_enough(broken, 0)).any()
    xywh = to_host(fast.to_xywh(boxes))
    np.testing.assert_array_equal(xywh[2], [3, 3, 0, 5])
    np.testing.assert_array_equal(to_host(fast.from_xywh(fast.to_xywh(boxes))), to_host(boxes))


# --- suppression -----------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(scored_boxes(), st.sampled_from([0.0, 0.2, 0.5, 0.7, 1.0]), st.integers(0, 40))
def test_nms_equals_the_textbook(inputs, threshold, at_most):
    boxes, scores, groups = inputs
    kept = fast.nms(boxes, scores, threshold)
    assert kept.dtype == np.int64
    np.testing.assert_array_equal(kept, textbook.nms(boxes, scores, threshold))
    kept = fast.batched_nms(boxes, scores, groups, threshold)
    assert kept.dtype == np.int64
    expected = textbook.batched_nms(boxes, scores, groups, threshold)
    np.testing.assert_array_equal(kept, expected)
    best = fast.batched_nms(boxes, scores, groups, threshold, at_most)
    np.testing.assert_array_equal(best, expected[:at_most])


@pytest.mark.parametrize("threshold", [0.3, 0.7])
@pytest.mark.parametrize("small", [False, True])
def test_nms_over_several_blocks_equals_the_textbook(xp, threshold, small, monkeypatch):
    if small:  # several blocks, cut in columns
        for name, size in (("_BLOCK", 16), ("_COLUMNS", 20)):
            monkeypatch.setattr(nms_kernel, name, size)
    rng = np.random.default_rng(1)
    boxes = random_boxes(rng, 300, extent=120.0)
    scores = rng.integers(0, 60, 300).astype(np.float32)  # many ties
    groups = rng.integers(0, 2, 300)
    device = [xp.asarray(array) for array in (boxes, scores, groups)]
    kept = fast.nms(*device[:2], threshold)
    assert type(kept) is type(device[0])
    expected = textbook.nms(boxes, scores, threshold)
    assert 64 < len(expected) < 290  # several blocks are kept, and something is suppressed
    np.testing.assert_array_equal(to_host(kept), expected)
    expected = textbook.batched_nms(boxes, scores, groups, threshold)
    np.testing.assert_array_equal(to_host(fast.batched_nms(*device, threshold)), expected)
    for at_most in (0, 1, 20, len(expected) - 1, len(expected), 300, 1000):
        best = fast.batched_nms(*device, threshold, at_most)
        np.testing.assert_array_equal(to_host(best), expected[:at_most])


def test_the_best_are_found_behind_many_that_are_suppressed():
    """Ninety boxes in one place with the highest scores, and ten elsewhere: who stops early is wrong."""
    boxes = np.concatenate(
        [np.tile([[0, 0, 10, 10]], (90, 1)), 50 * np.arange(1, 11)[:, None] + [0, 0, 9, 9]]
    )
    scores = np.linspace(1, 0.1, 100).astype(np.float32)
    kept = fast.batched_nms(boxes.astype(np.float32), scores, np.zeros(100, int), 0.5, 5)
    np.testing.assert_array_equal(kept, [0, 90, 91, 92, 93])


@settings(max_examples=60, deadline=None)
@given(scored_boxes(), st.sampled_from([0.2, 0.5, 0.7]))
def test_nms_keeps_the_best_and_is_idempotent(inputs, threshold):
    boxes, scores, _ = inputs
    kept = fast.nms(boxes, scores, threshold)
    assert (np.diff(scores[kept]) <= 0).all()
    if len(boxes):
        assert kept[0] == scores.argmax()
    np.testing.assert_array_equal(
        fast.nms(boxes[kept], scores[kept], threshold), np.arange(len(kept))
    )
    overlap = fast.iou(boxes, boxes)
    assert (np.triu(overlap[np.ix_(kept, kept)], 1) <= threshold).all()
    dropped = np.setdiff1d(np.arange(len(boxes)), kept)
    assert (overlap[np.ix_(dropped, kept)].max(axis=1, initial=-1) > threshold).all()


def test_nms_of_a_chain_keeps_every_second_box():
    # Each box overlaps only its neighbours: the second is dropped, and so cannot drop the third.
    start = np.arange(200) * 4.0
    boxes = np.stack([start, 0 * start, start + 10, 0 * start + 10], axis=1)
    scores = np.linspace(1, 0.5, 200)
    np.testing.assert_array_equal(fast.nms(boxes, scores, 0.4), np.arange(0, 200, 2))


def test_of_equal_scores_the_lower_index_wins():
    boxes = np.tile(np.array([[0, 0, 10, 10]], dtype=np.float32), (100, 1))
    scores = np.zeros(100, dtype=np.float32)
    np.testing.assert_array_equal(fast.nms(boxes, scores, 0.5), [0])
    np.testing.assert_array_equal(fast.nms(boxes, scores, 1.0), np.arange(100))


def test_only_more_than_the_threshold_suppresses():
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 5]], dtype=np.float32)  # IoU exactly 0.5
    scores = np.array([1, 0.5], dtype=np.float32)
    np.testing.assert_array_equal(fast.nms(boxes, scores, 0.5), [0, 1])
    np.testing.assert_array_equal(fast.nms(boxes, scores, np.nextafter(0.5, 0)), [0])


def test_the_threshold_is_not_rounded_to_float32():
    # The IoU is 3 / 10 in float32, a little more than the 0.3 that was asked for.
    boxes = np.array([[0, 0, 10, 1], [0, 0, 3, 1]], dtype=np.float32)
    scores = np.array([1, 0.5], dtype=np.float32)
    assert float(fast.iou(boxes[:1], boxes[1:])[0, 0]) > 0.3
    np.testing.assert_array_equal(fast.nms(boxes, scores, 0.3), [0])
    np.testing.assert_array_equal(textbook.nms(boxes, scores, 0.3), [0])
    # 7 / 10 in float32 is a little less than 0.7.
    boxes[1, 2] = 7
    np.testing.assert_array_equal(fast.nms(boxes, scores, 0.7), [0, 1])
    np.testing.assert_array_equal(textbook.nms(boxes, scores, 0.7), [0, 1])


def test_trap_21_suppression_of_one_group_does_not_depend_on_the_others():
    # A batch of several images (or levels, or classes) must give what each gives on its own.
    rng = np.random.default_rng(21)
    n, n_groups = 400, 5
    boxes = random_boxes(rng, n, extent=60.0)
    scores = rng.random(n, dtype=np.float32)
    groups = rng.integers(0, n_groups, n) * 1000 - 2000
    kept = fast.batched_nms(boxes, scores, groups, 0.5)
    assert (np.diff(scores[kept]) <= 0).all()
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group)
        alone = members[fast.nms(boxes[members], scores[members], 0.5)]
        assert len(alone) < len(members)
        np.testing.assert_array_equal(kept[groups[kept] == group], alone)
    twice = fast.batched_nms(
        np.concatenate([boxes, boxes]),
        np.concatenate([scores, scores]),
        np.repeat([0, 1], n),
        0.5,
    )
    once = fast.nms(boxes, scores, 0.5)
    np.testing.assert_array_equal(twice[twice < n], once)
    np.testing.assert_array_equal(twice[twice >= n] - n, once)


def test_batched_nms_is_exact_next_to_the_threshold():
    # The IoU is a hair more than 1/2. Moved to the place of group 90, 8 - 2^-19 would be rounded to
    # 8 in float32, and the IoU to 1/2, which suppresses nothing.
    boxes = np.array([[0, 0, 8 - 2.0**-19, 8], [0, 0, 4, 8]], dtype=np.float32)
    scores = np.array([1, 0.5], dtype=np.float32)
    for group in (0, 90):
        kept = fast.batched_nms(boxes, scores, np.full(2, group), 0.5)
        np.testing.assert_array_equal(kept, [0])


# --- empty and bad input ---------------------------------------------------------------------


def test_no_boxes_give_empty_results_of_the_right_shape(xp):
    none = xp.zeros((0, 4), dtype=np.float32)
    two = xp.asarray(np.array([[0, 0, 1, 1], [0, 0, 2, 2]], dtype=np.float32))
    scores, groups = xp.zeros(0, dtype=np.float32), xp.zeros(0, dtype=np.int64)
    for result, shape in (
        (fast.area(none), (0,)),
        (fast.intersection(none, two), (0, 2)),
        (fast.iou(two, none), (2, 0)),
        (fast.iou(none, none), (0, 0)),
        (fast.crowd_iou(two, none), (2, 0)),
        (fast.crowd_iou(none, two), (0, 2)),
        (fast.encode(none, none), (0, 4)),
        (fast.decode(none, none), (0, 4)),
        (fast.decode(none, xp.zeros((0, 8), dtype=np.float32)), (0, 8)),
        (fast.clip(none, 5, 5), (0, 4)),
        (fast.large_enough(none, 1), (0,)),
        (fast.nms(none, scores, 0.5), (0,)),
        (fast.batched_nms(none, scores, groups, 0.5), (0,)),
        (fast.from_xywh(none), (0, 4)),
        (fast.to_xywh(none), (0, 4)),
    ):
        assert result.shape == shape
    assert fast.nms(none, scores, 0.5).dtype == np.int64
    assert fast.batched_nms(none, scores, groups, 0.5).dtype == np.int64


GOOD = np.array([[0, 0, 4, 4], [1, 1, 5, 5]], dtype=np.float32)
SCORES = np.array([0.5, 0.4], dtype=np.float32)
GROUPS = np.array([0, 1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fast.area(GOOD[0]), r"boxes has shape \(4,\); it should be \(N, 4\)"),
        (lambda: fast.area(GOOD[:, :3]), r"boxes has shape \(2, 3\)"),
        (lambda: fast.area(GOOD.astype(np.int64)), "boxes has dtype int64"),
        (lambda: fast.intersection(GOOD, GOOD.T), r"b has shape \(4, 2\)"),
        (lambda: fast.iou(GOOD.T, GOOD), r"a has shape \(4, 2\)"),
        (lambda: fast.crowd_iou(GOOD, GOOD[0]), r"crowds has shape \(4,\)"),
        (lambda: fast.crowd_iou(GOOD[0], GOOD), r"boxes has shape \(4,\)"),
        (lambda: fast.encode(GOOD, GOOD[:1]), r"boxes has shape \(1, 4\); it should be \(2, 4\)"),
        (lambda: fast.encode(GOOD[0], GOOD), r"anchors has shape \(4,\)"),
        (lambda: fast.encode(GOOD, GOOD, (1.0, 1.0)), r"weights is \(1.0, 1.0\)"),
        (lambda: fast.encode(GOOD, GOOD, (1.0, 1.0, 0.0, 1.0)), "weights is"),
        (lambda: fast.decode(GOOD, GOOD[:, :3]), r"deltas has shape \(2, 3\)"),
        (lambda: fast.decode(GOOD, GOOD[:1]), r"deltas has shape \(1, 4\)"),
        (lambda: fast.decode(GOOD, GOOD[:, :0]), r"deltas has shape \(2, 0\)"),
        (lambda: fast.decode(GOOD[:, 1:], GOOD), r"anchors has shape \(2, 3\)"),
        (lambda: fast.decode(GOOD, GOOD, (1.0, -1.0, 1.0, 1.0)), "weights is"),
        (lambda: fast.clip(GOOD.T, 5, 5), r"boxes has shape \(4, 2\); it should be \(..., 4\)"),
        (lambda: fast.clip(GOOD.astype(int), 5, 5), "boxes has dtype int64"),
        (lambda: fast.clip(GOOD, 0, 5), "height and width are 0 and 5"),
        (lambda: fast.large_enough(GOOD[0], 1), r"boxes has shape \(4,\)"),
        (lambda: fast.large_enough(GOOD, -1), "min_size is -1"),
        (lambda: fast.nms(GOOD[0], SCORES, 0.5), r"boxes has shape \(4,\)"),
        (lambda: fast.nms(GOOD, SCORES[:1], 0.5), r"scores has shape \(1,\); it should be \(2,\)"),
        (lambda: fast.nms(GOOD, GROUPS, 0.5), "scores has dtype int64"),
        (lambda: fast.nms(GOOD, SCORES, 1.5), "iou_threshold is 1.5"),
        (lambda: fast.nms(GOOD, SCORES, float("nan")), "iou_threshold is nan"),
        (lambda: fast.batched_nms(GOOD, SCORES, GROUPS[:1], 0.5), r"groups has shape \(1,\)"),
        (lambda: fast.batched_nms(GOOD, SCORES, SCORES, 0.5), "groups has .* dtype float32"),
        (lambda: fast.batched_nms(GOOD, SCORES, GROUPS, -0.1), "iou_threshold is -0.1"),
        (lambda: fast.batched_nms(GOOD, SCORES, GROUPS, 0.5, -1), "at_most is -1"),
        (lambda: fast.from_xywh(GOOD[0]), r"boxes has shape \(4,\)"),
        (lambda: fast.to_xywh(GOOD[0]), r"boxes has shape \(4,\)"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(InputError, match=message):
        call()
