"""From masks to boxes."""

from __future__ import annotations

from minirnn.backend import Array, xp_of
from minirnn.errors import InputError


def boxes_of_masks(masks: Array) -> Array:
    """The smallest box around each mask: from the first pixel that is on to the end of the last.

        x1 = first column with a pixel, x2 = last column with a pixel + 1; y in the same way

    Pixel i covers [i, i + 1), so that a mask of one pixel has a box of width 1. (Detectron2's
    boxes of masks are the same; torchvision's `masks_to_boxes` has the last pixel's number itself as x2.)

    Args:
        masks: (N, H, W) bool.

    Returns:
        (N, 4) float32: x1, y1, x2, y2 in pixels; zeros for a mask without a pixel.

    Raises:
        InputError: masks is not (N, H, W).
    """
    if masks.ndim != 3:
        raise InputError(f"masks has shape {masks.shape}; it should be (N, H, W)")
    xp = xp_of(masks)
    height, width = masks.shape[1:]
    boxes = xp.zeros((len(masks), 4), xp.float32)
    if masks.size:
        columns, rows = (masks != 0).any(axis=1), (masks != 0).any(axis=2)
        # Where the first True is, from either side.
        boxes[:, 0], boxes[:, 2] = columns.argmax(axis=1), width - columns[:, ::-1].argmax(axis=1)
        boxes[:, 1], boxes[:, 3] = rows.argmax(axis=1), height - rows[:, ::-1].argmax(axis=1)
        boxes[~rows.any(axis=1)] = 0
    return boxes
