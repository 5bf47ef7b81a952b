"""Scaling and normalising an image, one pixel at a time. Read this first, then `minirnn.transform`."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def scaled_size(height: int, width: int, min_size: int, max_size: int) -> tuple[int, int]:
    """(height, width) scaled: the shorter side to min_size, but the longer to max_size at most.

    No side gets less than a pixel.

    Source: Lin et al., Feature pyramid networks (2017), section 5.
    """
    scale = min_size / min(height, width)
    if scale * max(height, width) > max_size:
        scale = max_size / max(height, width)
    return max(math.floor(height * scale), 1), max(math.floor(width * scale), 1)


def normalise(image: np.ndarray, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """Each pixel of each channel becomes (x / 255 - mean) / std: (H, W, 3) uint8 → (3, H, W) float32."""
    height, width, channels = image.shape
    planes = np.zeros((channels, height, width), np.float32)
    for c in range(channels):
        for y in range(height):
            for x in range(width):
                planes[c, y, x] = (image[y, x, c] / 255 - mean[c]) / std[c]
    return planes


def scale_boxes(boxes: np.ndarray, size: tuple[int, int], new_size: tuple[int, int]) -> np.ndarray:
    """Boxes (N, 4) of an image of `size` (height, width) in the image scaled to `new_size`.

    x is multiplied by the ratio of the widths, y by that of the heights.
    """
    result = np.zeros_like(boxes)
    for i, (x1, y1, x2, y2) in enumerate(boxes):
        sy, sx = new_size[0] / size[0], new_size[1] / size[1]
        result[i] = x1 * sx, y1 * sy, x2 * sx, y2 * sy
    return result


def scale_keypoints(
    keypoints: np.ndarray, size: tuple[int, int], new_size: tuple[int, int]
) -> np.ndarray:
    """Keypoints (G, P, 3) likewise: x by the ratio of the widths, y by that of the heights."""
    result = np.array(keypoints)
    for g in range(keypoints.shape[0]):
        for p in range(keypoints.shape[1]):
            result[g, p, 0] = keypoints[g, p, 0] * new_size[1] / size[1]
            result[g, p, 1] = keypoints[g, p, 1] * new_size[0] / size[0]
    return result


def scale_masks(masks: np.ndarray, new_size: tuple[int, int]) -> np.ndarray:
    """Masks (G, H, W) → (G, *new_size): each new pixel is the old one under its upper left corner."""
    count, height, width = masks.shape
    result = np.zeros((count, *new_size), masks.dtype)
    for i in range(count):
        for y in range(new_size[0]):
            for x in range(new_size[1]):
                result[i, y, x] = masks[i, y * height // new_size[0], x * width // new_size[1]]
    return result
