"""Levels of a feature pyramid, one box at a time. Read this first, then `minirnn.roi.levels`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

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
    """One level per doubling of a box's size, 0 the finest (Lin et al., FPN, 2017, equation 1)."""
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
    output_size: tuple[int, int] = (7, 7),
    spatial_scales: Sequence[float] = (1 / 4, 1 / 8, 1 / 16, 1 / 32),
    lowest: int = 2,
    canonical_size: float = 224,
    canonical_level: int = 4,
    eps: float = 1e-6,
    rule: str = "floor",
    **settings: Any,
) -> np.ndarray:
    """Every box pooled on the map of its level (Lin et al., FPN, 2017, section 4.2)."""
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
    pooled = np.zeros((len(boxes), maps[0].shape[1], *output_size), dtype=maps[0].dtype)
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
