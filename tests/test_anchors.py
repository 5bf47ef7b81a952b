"""Anchors: shapes, places, order."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minirnn import anchors as fast
from minirnn.backend import to_host
from minirnn.errors import InputError
from minirnn.textbook import anchors as textbook

RATIOS = (0.5, 1.0, 2.0)
LEVELS = (2, 3, 4, 5, 6)
SIZES = (32.0, 64.0, 128.0, 256.0, 512.0)

ratio_lists = st.lists(st.sampled_from([0.25, 0.5, 1.0, 1.7, 2.0, 3.0]), min_size=1, max_size=3)
size_values = st.one_of(
    st.floats(1, 600), st.lists(st.floats(1, 600), min_size=1, max_size=3).map(tuple)
)


def feature_sizes(height, width, levels=LEVELS):
    """What padded stride-2 layers make of an image: ceil(n / 2^level) cells."""
    return [(math.ceil(height / 2**k), math.ceil(width / 2**k)) for k in levels]


def centres(anchors):
    return (anchors[:, :2] + anchors[:, 2:]) / 2


@settings(max_examples=100, deadline=None)
@given(size_values, ratio_lists, st.booleans())
def test_base_anchors_equal_the_textbook(size, ratios, rounded):
    base = fast.base_anchors(size, ratios, rounded=rounded)
    expected = textbook.base_anchors(size, ratios, rounded=rounded)
    assert base.dtype == np.float64
    np.testing.assert_array_equal(base, expected)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 4),
    st.integers(0, 4),
    st.sampled_from([4.0, 8.0, 61.0]),
    st.sampled_from([4.0, 16.0]),
    st.sampled_from([0.0, 0.5]),
    st.sampled_from([np.float32, np.float64]),
)
def test_grid_anchors_equal_the_textbook(height, width, stride_y, stride_x, offset, dtype):
    base = fast.base_anchors((16, 40), RATIOS)
    grid = fast.grid_anchors(base, height, width, stride_y, stride_x, offset, dtype=dtype)
    expected = textbook.grid_anchors(base, height, width, stride_y, stride_x, offset, dtype)
    assert grid.dtype == dtype
    assert grid.shape == (height * width * 6, 4)
    np.testing.assert_allclose(grid, expected, rtol=1e-6 if dtype == np.float32 else 1e-13)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(3, 70),
    st.integers(3, 70),
    st.booleans(),
    st.booleans(),
    st.sampled_from([0.0, 0.5]),
)
def test_pyramid_anchors_equal_the_textbook(height, width, rounded, integer_strides, offset):
    maps = feature_sizes(height, width, levels=(0, 2, 4))
    settings_ = {"rounded": rounded, "offset": offset, "integer_strides": integer_strides}
    sizes = (8.0, (16.0, 20.0), 32.0)
    levels = fast.pyramid_anchors((height, width), maps, sizes, RATIOS, **settings_)
    expected = textbook.pyramid_anchors((height, width), maps, sizes, RATIOS, **settings_)
    assert len(levels) == 3
    for level, wanted in zip(levels, expected, strict=True):
        np.testing.assert_allclose(level, wanted, rtol=1e-5, atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(*[st.integers(-8, 24)] * 4), max_size=6),
    st.sampled_from([0, 3, math.inf]),
)
def test_inside_image_equals_the_textbook(rows, margin):
    anchors = np.array(rows, dtype=np.float32).reshape(-1, 4)
    inside = fast.inside_image(anchors, 16, 20, margin)
    assert inside.dtype == bool
    np.testing.assert_array_equal(inside, textbook.inside_image(anchors, 16, 20, margin))


def test_all_on_the_device(xp):
    base = fast.base_anchors(32, RATIOS)
    grid = fast.grid_anchors(base, 2, 3, 8, 4, 0.5, xp=xp)
    assert type(grid) is type(xp.zeros(1))
    assert grid.dtype == np.float32
    np.testing.assert_allclose(
        to_host(grid), textbook.grid_anchors(base, 2, 3, 8, 4, 0.5), rtol=1e-6
    )
    levels = fast.pyramid_anchors((64, 96), feature_sizes(64, 96), SIZES, RATIOS, xp=xp)
    wanted = textbook.pyramid_anchors((64, 96), feature_sizes(64, 96), SIZES, RATIOS)
    for level, expected in zip(levels, wanted, strict=True):
        assert type(level) is type(grid)
        np.testing.assert_allclose(to_host(level), expected, rtol=1e-5)
        inside = fast.inside_image(level, 64, 96)
        np.testing.assert_array_equal(
            to_host(inside), textbook.inside_image(to_host(level), 64, 96)
        )


def test_known_anchors():
    # Size 16: 16 x 16 at ratio 1, twice as high as wide at ratio 4 (8 x 32).
    base = fast.base_anchors(16, (1.0, 4.0))
    np.testing.assert_array_equal(base, [[-8, -8, 8, 8], [-4, -16, 4, 16]])
    # Ratio first, then size: torchvision's order of the RPN's channels.
    base = fast.base_anchors((16, 32), (1.0, 4.0))
    np.testing.assert_array_equal(base[:, 3], [8, 16, 16, 32])
    grid = fast.grid_anchors(base[:1], 1, 2, 4, 4, 0.5)
    np.testing.assert_array_equal(grid, [[-6, -6, 10, 10], [-2, -6, 14, 10]])


def test_trap_07_rounding_changes_the_area():
    for size in SIZES:
        exact = fast.base_anchors(size, RATIOS)
        area = (exact[:, 2] - exact[:, 0]) * (exact[:, 3] - exact[:, 1])
        np.testing.assert_allclose(area, size**2, rtol=1e-12)
    # The table that torchvision's weights were trained with; 33 shows that a half goes to even.
    rounded = fast.base_anchors((32, 33), RATIOS, rounded=True)
    expected = [
        [-23, -11, 23, 11],
        [-23, -12, 23, 12],
        [-16, -16, 16, 16],
        [-16, -16, 16, 16],
        [-11, -23, 11, 23],
        [-12, -23, 12, 23],
    ]
    np.testing.assert_array_equal(rounded, expected)
    assert 46 * 22 / 32**2 < 0.99
    levels = fast.pyramid_anchors((64, 64), [(1, 1)], [32], RATIOS, rounded=True)
    np.testing.assert_array_equal(levels[0], rounded[::2])


def test_trap_08_with_offset_half_a_mirrored_image_has_the_mirrored_anchors():
    def as_set(anchors):
        return {tuple(row) for row in anchors.tolist()}

    base = fast.base_anchors((16, 48), (0.25, 1.0, 4.0))
    height, width, stride = 3, 5, 8
    for offset, symmetric in ((0.5, True), (0.0, False)):
        anchors = fast.grid_anchors(base, height, width, stride, stride, offset)
        mirrored_x, mirrored_y = anchors.copy(), anchors.copy()
        mirrored_x[:, [0, 2]] = width * stride - anchors[:, [2, 0]]
        mirrored_y[:, [1, 3]] = height * stride - anchors[:, [3, 1]]
        assert (as_set(mirrored_x) == as_set(anchors)) == symmetric
        assert (as_set(mirrored_y) == as_set(anchors)) == symmetric


@pytest.mark.parametrize("image", [(800, 1216), (800, 1333), (773, 651), (97, 65), (33, 129)])
def test_trap_09_spacing_is_a_power_of_two_on_any_image_size(image):
    maps = feature_sizes(*image)
    levels = fast.pyramid_anchors(image, maps, SIZES, (1.0,), dtype=np.float64)
    for k, anchors, (height, width) in zip(LEVELS, levels, maps, strict=True):
        places = centres(anchors).reshape(height, width, 2)
        np.testing.assert_array_equal(np.diff(places[..., 0], axis=1), 2**k)
        np.testing.assert_array_equal(np.diff(places[..., 1], axis=0), 2**k)


def test_trap_09_integer_strides_are_kept_for_torchvision_weights():
    maps = [(13, 19)]
    (anchors,) = fast.pyramid_anchors((800, 1216), maps, [512], (1.0,), integer_strides=True)
    places = centres(anchors).reshape(13, 19, 2)
    assert (np.diff(places[..., 1], axis=0) == 61).all()  # 800 // 13
    assert (np.diff(places[..., 0], axis=1) == 64).all()  # 1216 // 19
    # The last row of anchors stands 36 pixels above its cells.
    (even,) = fast.pyramid_anchors((800, 1216), maps, [512], (1.0,))
    assert centres(even)[-1, 1] - centres(anchors)[-1, 1] == 12 * 3


def test_strides_of_maps_that_were_made_by_rounding_down():
    # Layers without padding make floor(n / 2) of n cells: 100 -> 50 -> 25 -> 12, at stride 8.
    (anchors,) = fast.pyramid_anchors((100, 100), [(12, 12)], [16], (1.0,))
    assert centres(anchors)[1, 0] == 8


def test_trap_10_a_ratio_of_two_is_a_tall_box():
    wide, square, tall = fast.base_anchors(32, RATIOS)
    for anchor, ratio in ((wide, 0.5), (square, 1.0), (tall, 2.0)):
        height, width = anchor[3] - anchor[1], anchor[2] - anchor[0]
        assert height / width == pytest.approx(ratio)


def test_trap_11_anchor_order_is_that_of_the_convolution_output():
    # Mark one output (level, channel, y, x), put the outputs in the order in which the RPN reads
    # them, and see whether the mark stands at the anchor of that place and shape.
    image = (64, 96)
    maps = feature_sizes(*image, levels=(3, 4))
    levels = fast.pyramid_anchors(image, maps, [16, 32], RATIOS, offset=0.5)
    anchors = np.concatenate(levels)
    for level, channel, y, x in [
        (0, 0, 0, 0),
        (0, 2, 7, 3),
        (0, 1, 2, 11),
        (1, 0, 3, 5),
        (1, 2, 1, 4),
    ]:
        outputs = [np.zeros((1, 3, h, w)) for h, w in maps]
        outputs[level][0, channel, y, x] = 1
        flat = np.concatenate([o.transpose(0, 2, 3, 1).reshape(1, -1) for o in outputs], axis=1)
        assert flat.shape[1] == len(anchors)
        x1, y1, x2, y2 = anchors[flat[0].argmax()]
        stride, size = (8, 16) if level == 0 else (16, 32)
        assert ((x1 + x2) / 2, (y1 + y2) / 2) == ((x + 0.5) * stride, (y + 0.5) * stride)
        assert (y2 - y1) / (x2 - x1) == pytest.approx(RATIOS[channel])
        assert (y2 - y1) * (x2 - x1) == pytest.approx(size**2)


def test_trap_19_anchors_over_the_edge_can_be_dropped_or_kept():
    anchors = np.array(
        [[0, 0, 20, 10], [-1, 0, 9, 9], [0, -1, 9, 9], [5, 5, 21, 9], [5, 5, 9, 11]],
        dtype=np.float32,
    )
    np.testing.assert_array_equal(
        fast.inside_image(anchors, 10, 20), [True, False, False, False, False]
    )
    assert fast.inside_image(anchors, 10, 20, margin=1).all()
    assert fast.inside_image(anchors, 10, 20, margin=math.inf).all()
    levels = fast.pyramid_anchors((64, 64), feature_sizes(64, 64), SIZES, RATIOS)
    inside = fast.inside_image(np.concatenate(levels), 64, 64)
    assert 0 < inside.sum() < len(inside)


def test_empty_maps_and_no_levels(xp):
    assert fast.grid_anchors(fast.base_anchors(8, RATIOS), 0, 5, 4, 4, xp=xp).shape == (0, 4)
    assert fast.pyramid_anchors((64, 64), [], [], RATIOS, xp=xp) == []
    assert fast.inside_image(xp.zeros((0, 4), dtype=np.float32), 5, 5).shape == (0,)


BASE = np.array([[-8.0, -8.0, 8.0, 8.0]])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fast.base_anchors(0, RATIOS), r"size is \[0.0\]"),
        (lambda: fast.base_anchors((), RATIOS), r"size is \[\]"),
        (lambda: fast.base_anchors(32, ()), r"aspect_ratios is \[\]"),
        (lambda: fast.base_anchors(32, (1.0, -2.0)), "aspect_ratios is"),
        (lambda: fast.base_anchors(32, (1.0, math.nan)), "aspect_ratios is"),
        (lambda: fast.grid_anchors(BASE[0], 2, 2, 4, 4), r"base has shape \(4,\)"),
        (lambda: fast.grid_anchors(BASE, -1, 2, 4, 4), "height and width are -1 and 2"),
        (lambda: fast.grid_anchors(BASE, 2, 2, 4, 0), "stride_y and stride_x are 4 and 0"),
        (
            lambda: fast.pyramid_anchors((64, 64), [(8, 8), (4, 4)], [32], RATIOS),
            "sizes has 1 entries; it should have 2",
        ),
        (
            lambda: fast.pyramid_anchors((64, 64), [(8, 65)], [32], RATIOS),
            r"feature_sizes has \(8, 65\)",
        ),
        (
            lambda: fast.pyramid_anchors((64, 64), [(0, 8)], [32], RATIOS, integer_strides=True),
            r"feature_sizes has \(0, 8\)",
        ),
        (lambda: fast.inside_image(BASE[0], 5, 5), r"anchors has shape \(4,\)"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(InputError, match=message):
        call()
