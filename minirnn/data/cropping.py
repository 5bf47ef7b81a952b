"""Augmentation: a window of a picture, and its boxes, masks and keypoints with it.

A window takes x to x - left, boxes and keypoints alike.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from minirnn.data.objects import kept, set_aside
from minirnn.errors import InputError
from minirnn.masks import boxes_of_masks
from minirnn.structures import Sample


def crop(sample: Sample, window: tuple[int, int, int, int], min_visible: float = 0.0) -> Sample:
    """What a window shows of the picture.

    Boxes, masks and given proposals are cut off at its edges. A keypoint outside is not labelled any
    longer (0, 0, visibility 0). An object that the window cuts is only what is left of it: with a mask,
    its box is drawn in to the mask's pixels in the window. Objects of which nothing is left are dropped,
    and so are such proposals.

    Args:
        sample: left as it is; the result has arrays of its own.
        window: left, top, right, bottom in whole pixels; pixel columns left … right - 1 are kept.
        min_visible: objects of which less than this share is left (of the mask's pixels, or else of the
            box's area) are set aside, see `set_aside`.

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
    proposals = None if target.proposals is None else _in_window(target.proposals, window)
    seen_target = replace(
        target,
        boxes=boxes,
        masks=masks,
        keypoints=(
            None if target.keypoints is None else _points_in_window(target.keypoints, window)
        ),
        proposals=None if proposals is None else proposals[_has_area(proposals)],
    )
    if min_visible:
        seen_target = set_aside(seen_target, target, min_visible)
    return Sample(sample.image[rows, columns].copy(), kept(seen_target, _has_area(boxes)))


def random_crop(
    sample: Sample,
    rng: np.random.Generator,
    least: float = 0.5,
    *,
    focus: float = 0.0,
    min_visible: float = 0.0,
) -> Sample:
    """A random window of the picture, see `crop`; each side is drawn from `least` of it to all of it.

    Args:
        sample: left as it is.
        rng: draws the window.
        least: share of each side.
        focus: probability that the window is laid where an object is (each that is no crowd as likely as
            the others): it holds all of the object's box, or as much as it can. Else it is laid anywhere.
        min_visible: see `crop`.

    Raises:
        InputError: least is not more than 0 and at most 1.
    """
    if not 0 < least <= 1:
        raise InputError(f"least is {least}; it should be more than 0 and at most 1")
    shown = the_object_to_show(sample, rng, focus)
    spans = []
    for axis, side in enumerate(sample.image.shape[1::-1]):
        length = max(round(side * rng.uniform(least, 1)), 1)
        start = start_of_window(side, length, rng, None if shown is None else shown[axis::2])
        spans.append((start, start + length))
    (left, right), (top, bottom) = spans
    return crop(sample, (left, top, right, bottom), min_visible)


def the_object_to_show(sample: Sample, rng: np.random.Generator, focus: float) -> np.ndarray | None:
    """The box (4,) of an object that is drawn; None with probability 1 - focus, or without objects."""
    if not focus or rng.random() >= focus:
        return None
    boxes = sample.target.boxes[~sample.target.is_crowd]
    return boxes[rng.integers(len(boxes))] if len(boxes) else None


def start_of_window(
    side: int, length: int, rng: np.random.Generator, span: np.ndarray | None = None
) -> int:
    """Where a window of so many pixels begins on a side of the picture: at random.

    Args:
        side: of the picture, in pixels.
        length: of the window, at most `side`.
        rng: draws the place.
        span: (2,) an object's first and last coordinate on this side: the window holds it, or lies within
            it where it is longer than the window; None for anywhere.
    """
    first, last = 0, side - length
    if span is not None:
        ends = sorted((int(np.floor(span[0])), int(np.ceil(span[1])) - length))
        first, last = (min(max(end, 0), side - length) for end in ends)
    return int(rng.integers(first, last + 1))


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
