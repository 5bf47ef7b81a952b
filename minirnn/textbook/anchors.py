"""Anchors as the papers define them, one at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def base_anchors(
    size: float | Sequence[float],
    aspect_ratios: Sequence[float],
    *,
    rounded: bool = False,
    cell: float | None = None,
) -> np.ndarray:
    """Boxes of area size² and height / width = ratio (Ren et al., Faster R-CNN, 2015, 3.1.1).

    With `cell`, the box of area cell² is rounded, width first, and then made larger.
    """
    sizes = [size] if isinstance(size, (int, float)) else list(size)
    anchors = []
    for ratio in aspect_ratios:
        for s in sizes:
            if cell is None:
                w, h = s / math.sqrt(ratio), s * math.sqrt(ratio)
            else:
                w = round(cell / math.sqrt(ratio))
                h = round(w * ratio)
                w, h = w * s / cell, h * s / cell
            anchor = [-w / 2, -h / 2, w / 2, h / 2]
            anchors.append([round(c) for c in anchor] if rounded else anchor)
    return np.array(anchors, dtype=np.float64)


def grid_anchors(
    base: np.ndarray,
    height: int,
    width: int,
    stride_y: float,
    stride_x: float,
    offset: float = 0.0,
) -> np.ndarray:
    """The base anchors at every cell of a feature map (Ren et al., 2015, section 3.1.1)."""
    anchors = []
    for y in range(height):
        for x in range(width):
            for x1, y1, x2, y2 in base:
                dx, dy = (x + offset) * stride_x, (y + offset) * stride_y
                anchors.append([x1 + dx, y1 + dy, x2 + dx, y2 + dy])
    return np.array(anchors, dtype=np.float64).reshape(-1, 4)


def pyramid_anchors(
    image_size: tuple[int, int],
    feature_sizes: Sequence[tuple[int, int]],
    sizes: Sequence[float | Sequence[float]],
    aspect_ratios: Sequence[float],
    *,
    rounded: bool = False,
    offset: float = 0.0,
    integer_strides: bool = False,
    cell_rounded: bool = False,
) -> list[np.ndarray]:
    """One anchor size for each pyramid level (Lin et al., FPN, 2017, section 4.1).

    With `integer_strides` the spacing is image // map. Otherwise it is the number of times that
    the image must be halved, rounding up, to become the map: 2 for each time.
    """
    levels = []
    for (height, width), size in zip(feature_sizes, sizes, strict=True):
        if integer_strides:
            stride_y, stride_x = image_size[0] // height, image_size[1] // width
        else:
            stride_y = stride_x = 1
            h, w = image_size
            while (h, w) != (height, width):
                if (h, w) == (1, 1):
                    raise ValueError(f"halving {image_size} does not lead to {(height, width)}")
                h, w = (h + 1) // 2, (w + 1) // 2
                stride_y = stride_x = 2 * stride_x
        cell = stride_x if cell_rounded else None
        base = base_anchors(size, aspect_ratios, rounded=rounded, cell=cell)
        levels.append(grid_anchors(base, height, width, stride_y, stride_x, offset))
    return levels


def inside_image(
    anchors: np.ndarray, height: float, width: float, margin: float = 0.0
) -> np.ndarray:
    """Which anchors do not cross the image's boundary (Ren et al., 2015, section 3.3)."""
    result = np.zeros(len(anchors), dtype=bool)
    for i, (x1, y1, x2, y2) in enumerate(anchors):
        crosses = x1 < -margin or y1 < -margin or x2 > width + margin or y2 > height + margin
        result[i] = not crosses
    return result
