"""Matching and sampling: who learns what, and who takes part."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minirnn import matching as fast
from minirnn.anchors import base_anchors, grid_anchors
from minirnn.backend import to_host
from minirnn.boxes import crowd_iou, iou
from minirnn.errors import InputError
from minirnn.matching import BACKGROUND, IGNORE
from minirnn.textbook import matching as textbook


@st.composite
def tables(draw, max_rows=4, max_columns=8):
    """Overlaps in steps of 1/10, so that ties, zeros and values on a threshold are common."""
    shape = draw(st.integers(0, max_rows)), draw(st.integers(0, max_columns))
    values = draw(
        st.lists(st.integers(0, 10), min_size=shape[0] * shape[1], max_size=shape[0] * shape[1])
    )
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    touched = draw(st.lists(st.booleans(), min_size=shape[0], max_size=shape[0]))
    table = np.array(values).reshape(shape) / 10
    return (table * np.array(touched).reshape(-1, 1)).astype(dtype)  # some rows are all zero


@settings(max_examples=150, deadline=None)
@given(tables(), st.sampled_from([(0.3, 0.7), (0.5, 0.5), (0.0, 1.0)]), st.booleans())
def test_match_equals_the_textbook(quality, thresholds, force):
    matches = fast.match(quality, *thresholds, force=force)
    assert matches.dtype == np.int64
    np.testing.assert_array_equal(matches, textbook.match(quality, *thresholds, force=force))


@settings(max_examples=100, deadline=None)
@given(tables(), st.sampled_from([0.1, 0.5, 1.0]), st.integers(0, 2**32 - 1))
def test_ignore_crowds_equals_the_textbook(table, threshold, seed):
    overlap = table.T
    matches = np.random.default_rng(seed).integers(-2, 2, len(overlap))
    before = matches.copy()
    result = fast.ignore_crowds(matches, overlap, threshold)
    assert result.dtype == np.int64
    np.testing.assert_array_equal(result, textbook.ignore_crowds(matches, overlap, threshold))
    np.testing.assert_array_equal(matches, before)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(-2, 3), max_size=40),
    st.integers(0, 20),
    st.sampled_from([0.0, 0.25, 0.5, 1.0]),
    st.integers(0, 2**32 - 1),
)
def test_sample_equals_the_textbook(values, count, fraction, seed):
    matches = np.array(values, dtype=np.int64)
    drawn = fast.sample(matches, count, fraction, np.random.default_rng(seed))
    expected = textbook.sample(matches, count, fraction, np.random.default_rng(seed))
    for indices, wanted in zip(drawn, expected, strict=True):
        assert indices.dtype == np.int64
        np.testing.assert_array_equal(indices, wanted)


def test_known_matches_on_the_device(xp):
    quality = np.array(
        [
            [0.80, 0.10, 0.50, 0.29, 0.70, 0.00],
            [0.10, 0.20, 0.40, 0.30, 0.70, 0.00],
        ],
        dtype=np.float32,
    )
    # A value on a threshold belongs to the side above it; of equal truths the first is taken.
    expected = [0, BACKGROUND, IGNORE, IGNORE, 0, BACKGROUND]
    device = xp.asarray(quality)
    matches = fast.match(device, 0.3, 0.7, force=False)
    assert type(matches) is type(device)
    np.testing.assert_array_equal(to_host(matches), expected)
    np.testing.assert_array_equal(to_host(fast.match(device, 0.3, 0.7)), expected)

    crowd = xp.asarray(np.array([[1.0], [0.6], [0.4], [0.5], [0.9], [0.1]], dtype=np.float32))
    result = fast.ignore_crowds(matches, crowd, 0.5)
    assert type(result) is type(device)
    np.testing.assert_array_equal(to_host(result), [0, IGNORE, IGNORE, IGNORE, 0, BACKGROUND])


def test_sample_on_the_device_draws_what_the_host_draws(xp):
    matches = np.random.default_rng(3).integers(-2, 3, 500)
    device = xp.asarray(matches)
    drawn = fast.sample(device, 64, 0.25, np.random.default_rng(7))
    wanted = textbook.sample(matches, 64, 0.25, np.random.default_rng(7))
    for indices, expected in zip(drawn, wanted, strict=True):
        assert type(indices) is type(device)
        np.testing.assert_array_equal(to_host(indices), expected)


def test_trap_15_a_truth_that_overlaps_nothing_forces_nothing():
    anchors = grid_anchors(base_anchors(16, (1.0,)), 8, 8, 8, 8, dtype=np.float64)
    good = [10.0, 10.0, 24.0, 24.0]
    far_away = [500.0, 500.0, 520.0, 520.0]
    no_area = [30.0, 30.0, 30.0, 40.0]
    alone = fast.match(iou(np.array([good]), anchors), 0.3, 0.7)
    assert (alone >= 0).any()
    with_bad = fast.match(iou(np.array([good, far_away, no_area]), anchors), 0.3, 0.7)
    np.testing.assert_array_equal(with_bad, alone)
    only_bad = fast.match(iou(np.array([far_away, no_area]), anchors), 0.3, 0.7)
    assert (only_bad == BACKGROUND).all()


def test_trap_16_all_anchors_that_tie_for_a_truth_are_forced():
    # A truth right between four anchors, below the threshold for each: as it is symmetric, so must
    # be what it matches. In both precisions, or two devices would train on different sets.
    for dtype in (np.float32, np.float64):
        anchors = grid_anchors(base_anchors(16, (1.0,)), 6, 6, 8, 8, 0.5, dtype=dtype)
        truth = np.array([[16.0, 16.0, 32.0, 32.0]], dtype=dtype)
        quality = iou(truth, anchors)
        assert quality.max() < 0.7
        matches = fast.match(quality, 0.3, 0.7)
        forced = np.flatnonzero(matches == 0)
        np.testing.assert_array_equal(forced, [2 * 6 + 2, 2 * 6 + 3, 3 * 6 + 2, 3 * 6 + 3])
        grid = matches.reshape(6, 6)
        np.testing.assert_array_equal(grid, grid[::-1])
        np.testing.assert_array_equal(grid, grid[:, ::-1])
        np.testing.assert_array_equal(grid, grid.T)
        assert not (fast.match(quality, 0.3, 0.7, force=False) >= 0).any()


def test_trap_17_a_forced_anchor_keeps_its_own_best_truth():
    # Anchor 0 is the best that truth 1 has, but overlaps truth 0 more.
    quality = np.array([[0.6, 0.8], [0.4, 0.1]])
    np.testing.assert_array_equal(fast.match(quality, 0.3, 0.7), [0, 0])
    np.testing.assert_array_equal(fast.match(quality, 0.3, 0.7, force=False), [IGNORE, 0])
    # Also from below the lower threshold.
    quality = np.array([[0.25, 0.8], [0.2, 0.1]])
    np.testing.assert_array_equal(fast.match(quality, 0.3, 0.7), [0, 0])


def test_trap_18_sampling_keeps_forced_positives_and_draws_each_negative_once():
    rng = np.random.default_rng(18)
    quality = rng.uniform(0, 0.25, (3, 400))  # all below the lower threshold: forced ones only
    matches = fast.match(quality, 0.3, 0.7)
    forced = np.flatnonzero(matches >= 0)
    assert len(forced) == 3
    for _ in range(20):
        positives, negatives = fast.sample(matches, 256, 0.5, rng)
        np.testing.assert_array_equal(positives, forced)
        assert len(negatives) == 253
        assert (np.diff(negatives) > 0).all()  # rising, so that none is there twice
        assert not np.isin(negatives, forced).any()


def test_sample_counts_are_exact():
    rng = np.random.default_rng(0)
    plenty = np.repeat([2, BACKGROUND, IGNORE], 1000)
    positives, negatives = fast.sample(plenty, 101, 0.25, rng)
    assert (len(positives), len(negatives)) == (25, 76)
    assert (plenty[positives] >= 0).all()
    assert (plenty[negatives] == BACKGROUND).all()
    assert (np.diff(positives) > 0).all()
    # Too few of either kind: all of them, and IGNORE never fills the gap.
    few = np.array([0, BACKGROUND, IGNORE, IGNORE, BACKGROUND, 1])
    positives, negatives = fast.sample(few, 10, 0.5, rng)
    np.testing.assert_array_equal(positives, [0, 5])
    np.testing.assert_array_equal(negatives, [1, 4])
    # Too few negatives do not bring in more positives than their part.
    positives, negatives = fast.sample(np.array([0, 0, 0, 0, 0, BACKGROUND]), 4, 0.5, rng)
    assert (len(positives), len(negatives)) == (2, 1)


def test_sample_draws_every_candidate_alike():
    matches = np.array([0] * 10 + [BACKGROUND] * 10)
    rng = np.random.default_rng(5)
    seen = np.zeros(20)
    for _ in range(2000):
        for indices in fast.sample(matches, 8, 0.5, rng):
            seen[indices] += 1
    # 2000 · 4 / 10 = 800 each; the standard deviation is 22.
    assert np.abs(seen - 800).max() < 110


def test_same_seed_same_draw():
    matches = np.repeat([0, BACKGROUND], 500)
    first, again, other = (
        fast.sample(matches, 64, 0.5, np.random.default_rng(s)) for s in (1, 1, 2)
    )
    for a, b, c in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert not np.array_equal(a, c)


def test_trap_27_an_anchor_on_a_crowd_is_neither_positive_nor_negative():
    truth = np.array([[0.0, 0.0, 20.0, 20.0]])
    crowd = np.array([[40.0, 0.0, 140.0, 60.0]])
    anchors = np.array(
        [
            [0.0, 0.0, 20.0, 20.0],  # on the object
            [50.0, 10.0, 70.0, 30.0],  # wholly on the crowd; its IoU with it is only 1/15
            [0.0, 80.0, 20.0, 100.0],  # on nothing
            [30.0, 0.0, 50.0, 20.0],  # half on the crowd
            [40.0, 0.0, 140.0, 60.0],  # the crowd's own box
        ]
    )
    matches = fast.match(iou(truth, anchors), 0.3, 0.7)
    np.testing.assert_array_equal(matches, [0, BACKGROUND, BACKGROUND, BACKGROUND, BACKGROUND])
    overlap = crowd_iou(anchors, crowd)
    result = fast.ignore_crowds(matches, overlap, 0.5)
    np.testing.assert_array_equal(result, [0, IGNORE, BACKGROUND, IGNORE, IGNORE])
    result = fast.ignore_crowds(matches, overlap, 0.6)
    np.testing.assert_array_equal(result, [0, IGNORE, BACKGROUND, BACKGROUND, IGNORE])
    # A positive stays one where a crowd reaches over its object.
    over_all = np.array([[0.0, 0.0, 200.0, 200.0]])
    result = fast.ignore_crowds(matches, crowd_iou(anchors, over_all), 0.5)
    np.testing.assert_array_equal(result, [0, IGNORE, IGNORE, IGNORE, IGNORE])


def test_nothing_to_match(xp):
    no_truth = fast.match(xp.zeros((0, 5), dtype=np.float32), 0.3, 0.7)
    np.testing.assert_array_equal(to_host(no_truth), [BACKGROUND] * 5)
    assert no_truth.dtype == np.int64
    assert fast.match(xp.zeros((3, 0), dtype=np.float32), 0.3, 0.7).shape == (0,)
    assert fast.match(xp.zeros((0, 0), dtype=np.float32), 0.3, 0.7).shape == (0,)
    no_crowd = fast.ignore_crowds(no_truth, xp.zeros((5, 0), dtype=np.float32), 0.5)
    np.testing.assert_array_equal(to_host(no_crowd), [BACKGROUND] * 5)
    none = xp.zeros(0, dtype=np.int64)
    assert fast.ignore_crowds(none, xp.zeros((0, 2), dtype=np.float32), 0.5).shape == (0,)
    for matches, count in ((none, 8), (no_truth, 0)):
        positives, negatives = fast.sample(matches, count, 0.5, np.random.default_rng(0))
        assert positives.shape == negatives.shape == (0,)
        assert positives.dtype == negatives.dtype == np.int64
    positives, negatives = fast.sample(no_truth, 3, 0.5, np.random.default_rng(0))
    assert (len(positives), len(negatives)) == (0, 3)


MATCHES = np.array([0, BACKGROUND, IGNORE])
RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: fast.match(np.zeros(3), 0.3, 0.7),
            r"quality has shape \(3,\); it should be \(G, A\)",
        ),
        (lambda: fast.match(np.zeros((1, 3)), 0.7, 0.3), "low is 0.7 and high is 0.3"),
        (
            lambda: fast.ignore_crowds(MATCHES[None], np.zeros((1, 1)), 0.5),
            r"matches has shape \(1, 3\)",
        ),
        (
            lambda: fast.ignore_crowds(MATCHES / 1.0, np.zeros((3, 1)), 0.5),
            "matches .* dtype float64",
        ),
        (
            lambda: fast.ignore_crowds(MATCHES, np.zeros((1, 3)), 0.5),
            r"crowd_overlap has shape \(1, 3\)",
        ),
        (lambda: fast.ignore_crowds(MATCHES, np.zeros(3), 0.5), r"crowd_overlap has shape \(3,\)"),
        (lambda: fast.ignore_crowds(MATCHES, np.zeros((3, 1)), 0), "threshold is 0"),
        (lambda: fast.sample(MATCHES[None], 4, 0.5, RNG), r"matches has shape \(1, 3\)"),
        (lambda: fast.sample(MATCHES, -1, 0.5, RNG), "count is -1"),
        (lambda: fast.sample(MATCHES, 4, 1.5, RNG), "positive_fraction is 1.5"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(InputError, match=message):
        call()
