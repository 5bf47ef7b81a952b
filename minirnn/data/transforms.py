"""Augmentation: a picture changed for training, and its boxes, masks and keypoints with it.

In continuous coordinates a picture of width W reaches from 0 to W, and flipping takes x to W - x.
That is what happens to boxes. COCO's keypoints are numbers of pixels: the first is 0, the last
W - 1, and flipping takes x to W - 1 - x. Cropping takes x to x - left for both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from minirnn.data.people import KEYPOINTS
from minirnn.errors import InputError
from minirnn.masks import boxes_of_masks
from minirnn.structures import Sample


def horizontal_flip(sample: Sample, keypoint_names: Sequence[str] = KEYPOINTS) -> Sample:
    """The picture in a mirror: right becomes left.

    A mirrored person's left hand looks like a right hand, so `left_…` and `right_…` keypoints
    change places. Keypoints that are not labelled (visibility 0) stay at 0, 0.

    Args:
        sample: left as it is; the result has its own picture, boxes, masks and keypoints.
        keypoint_names: the names of the P keypoints, if the sample has any.

    Returns:
        A new sample of the same shapes and types.

    Raises:
        ValueError: the sample has another number of keypoints than there are names.
    """
    target = sample.target
    keypoints = target.keypoints
    if keypoints is not None:
        if keypoints.shape[1:] != (len(keypoint_names), 3):
            raise ValueError(
                f"keypoints has shape {keypoints.shape}; it should be (G, {len(keypoint_names)}, 3)"
            )
        keypoints = keypoints[:, _other_side(keypoint_names)]
    return _flipped(sample, axis=1, keypoints=keypoints)


def vertical_flip(sample: Sample) -> Sample:
    """The picture upside down, as on water; left stays left."""
    keypoints = sample.target.keypoints
    return _flipped(sample, axis=0, keypoints=None if keypoints is None else keypoints.copy())


def crop(sample: Sample, window: tuple[int, int, int, int]) -> Sample:
    """What a window shows of the picture.

    Boxes, masks and given proposals are cut off at its edges. A keypoint outside is not labelled any
    longer (0, 0, visibility 0). An object that the window cuts is only what is left of it: with a mask,
    its box is drawn in to the mask's pixels in the window. Objects of which nothing is left are dropped,
    and so are such proposals.

    Args:
        sample: left as it is; the result has arrays of its own.
        window: left, top, right, bottom in whole pixels; pixel columns left … right - 1 are kept.

    Raises:
        InputError: the window has no pixels or reaches beyond the picture.
    """
    left, top, right, bottom = window
    height, width = sample.image.shape[:2]
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise InputError(
            f"window is {window}; it should be left < right and top < bottom within {width} × {height}"
        )
    target = sample.target
    rows, columns = slice(top, bottom), slice(left, right)
    boxes = _in_window(target.boxes, window)
    masks = None if target.masks is None else target.masks[:, rows, columns].copy()
    if masks is not None:
        outside = (target.boxes < [left, top, left, top]) | (target.boxes > [right, bottom] * 2)
        cut = outside.any(axis=1)
        seen = boxes_of_masks(masks[cut])
        boxes[cut, :2] = np.maximum(boxes[cut, :2], seen[:, :2])
        boxes[cut, 2:] = np.minimum(boxes[cut, 2:], seen[:, 2:])
    left_over = _has_area(boxes)
    proposals = None if target.proposals is None else _in_window(target.proposals, window)
    return Sample(
        sample.image[rows, columns].copy(),
        replace(
            target,
            boxes=boxes[left_over],
            labels=target.labels[left_over],
            masks=None if masks is None else masks[left_over],
            is_crowd=target.is_crowd[left_over],
            keypoints=(
                None
                if target.keypoints is None
                else _points_in_window(target.keypoints[left_over], window)
            ),
            proposals=None if proposals is None else proposals[_has_area(proposals)],
        ),
    )


def random_crop(sample: Sample, rng: np.random.Generator, least: float = 0.5) -> Sample:
    """A random window of the picture, see `crop`; each side is drawn from `least` of it to all of it.

    Raises:
        InputError: least is not more than 0 and at most 1.
    """
    if not 0 < least <= 1:
        raise InputError(f"least is {least}; it should be more than 0 and at most 1")
    spans = []
    for side in sample.image.shape[1::-1]:
        length = max(round(side * rng.uniform(least, 1)), 1)
        start = int(rng.integers(side - length + 1))
        spans.append((start, start + length))
    (left, right), (top, bottom) = spans
    return crop(sample, (left, top, right, bottom))


def _flipped(sample: Sample, axis: int, keypoints: np.ndarray | None) -> Sample:
    """Flip image axis 0 (rows) or 1 (columns); `keypoints` is changed in place."""
    length = sample.image.shape[axis]
    low = 1 - axis  # the box's column with the lower coordinate: x1 is 0, y1 is 1
    masks, proposals = sample.target.masks, sample.target.proposals
    boxes = _mirrored(sample.target.boxes, length, low)
    if masks is not None:
        masks = np.flip(masks, axis + 1).copy()
    if keypoints is not None:
        labelled = keypoints[:, :, 2] > 0
        keypoints[:, :, low] = np.where(
            labelled, length - 1 - keypoints[:, :, low], keypoints[:, :, low]
        )
    return Sample(
        np.flip(sample.image, axis).copy(),
        replace(
            sample.target,
            boxes=boxes,
            masks=masks,
            keypoints=keypoints,
            proposals=None if proposals is None else _mirrored(proposals, length, low),
        ),
    )


def _mirrored(boxes: np.ndarray, length: int, low: int) -> np.ndarray:
    """Boxes (N, 4) in a picture of `length` flipped along the axis whose columns are low, low + 2."""
    boxes = boxes.copy()
    boxes[:, [low, low + 2]] = length - boxes[:, [low + 2, low]]
    return boxes


def _in_window(boxes: np.ndarray, window: tuple[int, int, int, int]) -> np.ndarray:
    """Boxes (N, 4) cut off at a window's edges, in its coordinates."""
    left, top, right, bottom = window
    low = np.array([left, top] * 2, boxes.dtype)
    return np.clip(boxes, low, np.array([right, bottom] * 2, boxes.dtype)) - low


def _has_area(boxes: np.ndarray) -> np.ndarray:
    """(N,) bool: which boxes are wider and higher than 0."""
    return np.asarray((boxes[:, 2:] > boxes[:, :2]).all(axis=1))


def _points_in_window(keypoints: np.ndarray, window: tuple[int, int, int, int]) -> np.ndarray:
    """Keypoints (N, P, 3) in a window's coordinates; all 0 where their pixel is not in it."""
    moved = keypoints.copy()
    moved[..., :2] -= np.array(window[:2], keypoints.dtype)
    middle = moved[..., :2] + 0.5
    size = [window[2] - window[0], window[3] - window[1]]
    inside = ((middle >= 0) & (middle < size)).all(axis=2) & (moved[..., 2] > 0)
    return moved * inside[..., None]


def _other_side(names: Sequence[str]) -> list[int]:
    """For each name the position of its opposite: left_eye's of right_eye, nose's of nose."""
    opposite = {"left": "right", "right": "left"}
    position = {name: i for i, name in enumerate(names)}
    swapped = []
    for name in names:
        side, _, rest = name.partition("_")
        swapped.append(position.get(f"{opposite[side]}_{rest}" if side in opposite else name))
    return [i if other is None else other for i, other in enumerate(swapped)]
