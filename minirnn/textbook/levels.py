"""Levels of a feature pyramid, one box at a time. Read this first, then `minirnn.roi.levels`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minirnn.textbook.elements import pair
from minirnn.textbook.roi_align import roi_align


def assign_levels(
    boxes: np.ndarray,
    *,
    lowest: int = 2,
    highest: int = 5,
    canonical_size: float = 224,
    canonical_level: int = 4,
    eps: float = 1e-6,
    rule: str = "floor",
) -> np.ndarray:
    """Large boxes to coarse maps, small ones to fine maps: one level for each doubling of the size.

        k = floor(canonical_level + log2(√(width · height) / canonical_size) + eps)

    Args:
        boxes: (R, 4) in pixels of the image.
        lowest: level of the finest map; the smaller k go there, and empty boxes.
        highest: level of the coarsest map; the larger k go there.
        canonical_size: side of a box of `canonical_level`, pixels.
        canonical_level: see there.
        eps: against the rounding error of the logarithm.
        rule: "floor", or "round" to the nearest whole number instead.

    Returns:
        (R,) k - lowest: 0 is the finest map.

    Source: Lin et al., Feature pyramid networks (2017), equation 1.
    """
    levels = np.zeros(len(boxes), dtype=np.int64)
    for i, (x1, y1, x2, y2) in enumerate(boxes):
        if x2 <= x1 or y2 <= y1:
            continue  # an empty box goes to the finest map
        size = math.sqrt((x2 - x1) * (y2 - y1))
        exact = canonical_level + math.log2(size / canonical_size) + eps
        level = math.floor(exact) if rule == "floor" else round(exact)
        levels[i] = min(max(level, lowest), highest) - lowest
    return levels


def pyramid_roi(
    *inputs: np.ndarray,
    operation: Callable = roi_align,
    output_size: int | tuple[int, int] = (7, 7),
    spatial_scales: Sequence[float] = (1 / 4, 1 / 8, 1 / 16, 1 / 32),
    lowest: int = 2,
    canonical_size: float = 224,
    canonical_level: int = 4,
    eps: float = 1e-6,
    rule: str = "floor",
    **settings: Any,
) -> np.ndarray:
    """Every box pooled on the map of its level.

    Args:
        inputs: the maps (N, C, H_k, W_k), finest first; then boxes (R, 4) in pixels of the image, and
            image_index (R,), the image that each box is in.
        operation: `roi_align`, `roi_warp` or `roi_pool`, of this textbook.
        output_size: bins, vertically and horizontally; one number for both.
        spatial_scales: cells per pixel of each map.
        lowest: level of the finest map.
        canonical_size: as in `assign_levels`.
        canonical_level: as in `assign_levels`.
        eps: as in `assign_levels`.
        rule: as in `assign_levels`.
        **settings: what else `operation` is to know.

    Returns:
        (R, C, output_size).

    Source: Lin et al., Feature pyramid networks (2017), section 4.2.
    """
    *maps, boxes, image_index = inputs
    levels = assign_levels(
        boxes,
        lowest=lowest,
        highest=lowest + len(maps) - 1,
        canonical_size=canonical_size,
        canonical_level=canonical_level,
        eps=eps,
        rule=rule,
    )
    pooled = np.zeros((len(boxes), maps[0].shape[1], *pair(output_size)), dtype=maps[0].dtype)
    for r, level in enumerate(levels):
        pooled[r] = operation(
            maps[level],
            boxes[r : r + 1],
            image_index[r : r + 1],
            output_size=output_size,
            spatial_scale=spatial_scales[level],
            **settings,
        )[0]
    return pooled
