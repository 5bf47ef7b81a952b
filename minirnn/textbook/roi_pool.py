"""RoIPool as a loop over the bins. Read this first, then `minirnn.ops.roi_pool`."""

from __future__ import annotations

import math

import numpy as np

from minirnn.textbook.elements import pair


def round_half_away(value: float) -> int:
    """Round to the nearest whole number, halves away from zero, as C does."""
    return math.floor(value + 0.5) if value >= 0 else math.ceil(value - 0.5)


def roi_pool(
    features: np.ndarray,
    boxes: np.ndarray,
    image_index: np.ndarray,
    *,
    output_size: int | tuple[int, int] = (7, 7),
    spatial_scale: float,
) -> np.ndarray:
    """Round each region to whole cells, cut it into bins of whole cells, and take each bin's maximum.

    Args:
        features: (N, C, H, W).
        boxes: (R, 4), x1, y1, x2, y2 in pixels of the image.
        image_index: (R,), the image of each box.
        output_size: bins, vertically and horizontally; one number for both.
        spatial_scale: cells of the map per pixel of the image.

    Returns:
        (R, C, output_size).

    Source: Girshick, Fast R-CNN (2015), section 2.1.
    """
    _, channels, height, width = features.shape
    rows, columns = pair(output_size)
    pooled = np.zeros((len(boxes), channels, rows, columns), dtype=features.dtype)
    for r, box in enumerate(boxes):
        # Rounded to whole cells, and the last cell belongs to the region.
        left, top, right, bottom = (round_half_away(edge) for edge in box * spatial_scale)
        bin_width = boxes.dtype.type(max(right - left + 1, 1)) / columns
        bin_height = boxes.dtype.type(max(bottom - top + 1, 1)) / rows
        for i in range(rows):
            for j in range(columns):
                # The bins are rounded outwards to whole cells, and cut at the border of the map.
                y_from = max(top + math.floor(i * bin_height), 0)
                y_to = min(top + math.ceil((i + 1) * bin_height), height)
                x_from = max(left + math.floor(j * bin_width), 0)
                x_to = min(left + math.ceil((j + 1) * bin_width), width)
                if y_from >= y_to or x_from >= x_to:
                    continue  # nothing is left of this bin: it stays 0
                for c in range(channels):
                    cells = features[image_index[r], c, y_from:y_to, x_from:x_to]
                    pooled[r, c, i, j] = cells.max()
    return pooled
