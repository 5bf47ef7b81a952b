"""RoIAlign as a loop over the points. Read this first, then `minirnn.ops.roi_align`."""

from __future__ import annotations

import math

import numpy as np

from minirnn.textbook.elements import pair


def bilinear(feature_map: np.ndarray, y: float, x: float) -> np.ndarray:
    """Read a map (C, H, W) between its cells; cell i covers [i, i + 1), its centre is at i + 1/2.

    Up to one cell beyond the outermost centres, the border's cell is read; farther out, 0.
    """
    _, height, width = feature_map.shape
    y, x = y - 0.5, x - 0.5  # counted from the centre of cell 0
    if y < -1 or y > height or x < -1 or x > width:
        return np.zeros_like(feature_map[:, 0, 0])
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = math.floor(y), math.floor(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    down, across = y - top, x - left  # 0 at the upper left neighbour, 1 at the lower right
    return (
        feature_map[:, top, left] * (1 - down) * (1 - across)
        + feature_map[:, top, right] * (1 - down) * across
        + feature_map[:, bottom, left] * down * (1 - across)
        + feature_map[:, bottom, right] * down * across
    )


def roi_align(
    features: np.ndarray,
    boxes: np.ndarray,
    image_index: np.ndarray,
    *,
    output_size: int | tuple[int, int] = (7, 7),
    spatial_scale: float,
    sampling_ratio: int = 2,
    aligned: bool = False,
    reduce: str = "mean",
) -> np.ndarray:
    """Cut each region into bins, read the map at a few points in each bin, and take their mean.

    Args:
        features: (N, C, H, W).
        boxes: (R, 4), x1, y1, x2, y2 in pixels of the image.
        image_index: (R,), the image of each box.
        output_size: bins, vertically and horizontally; one number for both.
        spatial_scale: cells of the map per pixel of the image.
        sampling_ratio: points per bin and axis; 0 for as many as the bin has cells.
        aligned: in the box itself, or half a cell to its lower right (torchvision's first way, which
            takes the centre of cell i to be at i).
        reduce: "mean" of the points, or "max".

    Returns:
        (R, C, output_size).

    Source: He et al., Mask R-CNN (2017), section 3, "RoIAlign".
    """
    rows, columns = pair(output_size)
    pooled = np.zeros((len(boxes), features.shape[1], rows, columns), dtype=features.dtype)
    for r, box in enumerate(boxes):
        # Nothing is rounded.
        left, top, right, bottom = box * spatial_scale + (0 if aligned else 0.5)
        width, height = right - left, bottom - top
        if not aligned:
            width, height = np.maximum([width, height], 1)  # at least one cell
        if width <= 0 or height <= 0:
            continue  # an empty region has no points: it stays 0
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
