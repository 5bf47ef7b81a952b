"""Boxes around masks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from minirnn.backend import to_host
from minirnn.errors import InputError
from minirnn.masks import boxes_of_masks


def by_hand(mask):
    """Pixel by pixel."""
    on = [(x, y) for y, row in enumerate(mask) for x, pixel in enumerate(row) if pixel]
    if not on:
        return [0, 0, 0, 0]
    xs, ys = zip(*on, strict=True)
    return [min(xs), min(ys), max(xs) + 1, max(ys) + 1]


@given(
    arrays(
        bool, array_shapes(min_dims=3, max_dims=3, min_side=0, max_side=6), elements=st.booleans()
    )
)
def test_as_counted_pixel_by_pixel(masks):
    boxes = boxes_of_masks(masks)
    assert boxes.shape == (len(masks), 4)
    assert boxes.dtype == np.float32
    assert boxes.tolist() == [by_hand(mask) for mask in masks]


def test_known_boxes_on_both_devices(xp):
    masks = np.zeros((3, 5, 7), bool)
    masks[0, 1:3, 2:6] = True
    masks[1, 4, 6] = True  # one pixel, in the corner
    boxes = boxes_of_masks(xp.asarray(masks))
    assert to_host(boxes).tolist() == [[2, 1, 6, 3], [6, 4, 7, 5], [0, 0, 0, 0]]


def test_agrees_with_the_box_of_cocos_own_program():
    coco_mask = pytest.importorskip("pycocotools.mask")
    rng = np.random.default_rng(0)
    masks = rng.random((20, 9, 11)) < 0.1
    boxes = coco_mask.toBbox(
        coco_mask.encode(np.asfortranarray(masks.transpose(1, 2, 0), np.uint8))
    )
    boxes[:, 2:] += boxes[:, :2]
    np.testing.assert_array_equal(boxes_of_masks(masks), boxes)


def test_one_mask_alone_is_refused():
    with pytest.raises(InputError, match=r"masks has shape \(4, 4\); it should be \(N, H, W\)"):
        boxes_of_masks(np.zeros((4, 4), bool))
