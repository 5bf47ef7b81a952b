"""RoIWarp as a loop over the points. Read this first, then `minirnn.ops.roi_warp`."""

from __future__ import annotations

import math

import numpy as np

from minirnn.textbook.elements import pair
from minirnn.textbook.roi_align import bilinear
from minirnn.textbook.roi_pool import round_half_away


def roi_warp(
    features: np.ndarray,
    boxes: np.ndarray,
    image_index: np.ndarray,
    *,
    output_size: int | tuple[int, int] = (7, 7),
    spatial_scale: float,
    sampling_ratio: int = 2,
    reduce: str = "mean",
) -> np.ndarray:
    """Round each region to whole cells as RoIPool does, then read it between the cells as RoIAlign does.

    Args:
        features: (N, C, H, W).
        boxes: (R, 4), x1, y1, x2, y2 in pixels of the image.
        image_index: (R,), the image of each box.
        output_size: bins, vertically and horizontally; one number for both.
        spatial_scale: cells of the map per pixel of the image.
        sampling_ratio: points per bin and axis; 0 for as many as the bin has cells.
        reduce: "mean" of the points, or "max".

    Returns:
        (R, C, output_size).

    Source: Dai et al., Instance-aware semantic segmentation via multi-task network cascades (2016),
    section 3.2.
    """
    rows, columns = pair(output_size)
    pooled = np.zeros((len(boxes), features.shape[1], rows, columns), dtype=features.dtype)
    for r, box in enumerate(boxes):
        # Rounded to whole cells as in RoIPool; the last cell belongs to the region.
        left, top, right, bottom = (round_half_away(edge) for edge in box * spatial_scale)
        width = boxes.dtype.type(max(right - left + 1, 1))
        height = boxes.dtype.type(max(bottom - top + 1, 1))
        bin_height, bin_width = height / rows, width / columns
        points_y = sampling_ratio or math.ceil(bin_height)
        points_x = sampling_ratio or math.ceil(bin_width)
        for i in range(rows):
            for j in range(columns):
                values = []
                for u in range(points_y):
                    for v in range(points_x):
                        y = top + i * bin_height + (u + 0.5) * bin_height / points_y
                        x = left + j * bin_width + (v + 0.5) * bin_width / points_x
                        values.append(bilinear(features[image_index[r]], y, x))
                pooled[r, :, i, j] = np.mean(values, 0) if reduce == "mean" else np.max(values, 0)
    return pooled
