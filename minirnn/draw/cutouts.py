"""Single objects, cut out of a photo: by their box, or along their outline."""

from __future__ import annotations

import numpy as np

from minirnn.errors import InputError


def crop(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The part of a photo in a box: every pixel that the box touches, one at least.

    Args:
        image: (H, W, C) of any kind.
        box: (4,) x1, y1, x2, y2 in pixels; what lies outside the photo is not there.

    Returns:
        (h, w, C), a view.

    Raises:
        InputError: a corner is no finite number.
    """
    if not np.isfinite(box).all():
        raise InputError(f"box is {np.asarray(box).tolist()}; it should be four finite numbers")
    (top, bottom), (left, right) = (
        _pixels(box[1], box[3], image.shape[0]),
        _pixels(box[0], box[2], image.shape[1]),
    )
    return image[top:bottom, left:right]


def cutout(image: np.ndarray, box: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """An object without its surroundings: RGBA, with the mask as alpha, as large as box and mask need.

    The colours under transparent pixels are those of the photo, so that the outline can still be moved.

    Args:
        image: (H, W, 3) uint8 RGB.
        box: (4,) x1, y1, x2, y2 in pixels.
        mask: (H, W) bool.

    Returns:
        (h, w, 4) uint8, 255 in the last channel where the mask is.

    Raises:
        InputError: a corner is no finite number, or the mask is not of the photo's size.
    """
    if mask.shape != image.shape[:2]:
        raise InputError(f"mask has shape {mask.shape}; the image has {image.shape[:2]}")
    layers = np.dstack([image, np.where(mask, 255, 0).astype(np.uint8)])
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if len(rows):  # a mask may reach a pixel over the box that it was found in
        around = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
        box = np.concatenate([np.minimum(box[:2], around[:2]), np.maximum(box[2:], around[2:])])
    return crop(layers, box)


def _pixels(start: float, end: float, size: int) -> tuple[int, int]:
    """The pixels from start to end of a side of `size` pixels, one at least."""
    first = min(max(int(np.floor(start)), 0), size - 1)
    return first, max(min(int(np.ceil(end)), size), first + 1)
