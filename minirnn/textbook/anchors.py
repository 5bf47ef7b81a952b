"""Anchors as the papers define them, one at a time. Read this first, then `minirnn.anchors`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np


def base_anchors(
    size: float | Sequence[float],
    aspect_ratios: Sequence[float],
    *,
    rounded: bool = False,
    cell: float | None = None,
) -> np.ndarray:
    """Boxes around the origin, of area size² and height / width = ratio.

    From w · h = size² and h / w = ratio follow w = size / √ratio and h = size · √ratio.

    Args:
        size: square root of the area, pixels; or several.
        aspect_ratios: height / width.
        rounded: whether the corners are rounded to whole pixels.
        cell: the anchor of this size is rounded to whole pixels, width first, and then scaled to
            `size`; None for no such rounding.

    Returns:
        (A, 4) x1, y1, x2, y2: for each ratio, each size.

    Source: Ren et al., Faster R-CNN (2015), section 3.1.1.
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
    dtype: Any = np.float32,
) -> np.ndarray:
    """The base anchors at every cell of a feature map, row by row.

    Those of cell (y, x) stand around the point ((x + offset) · stride_x, (y + offset) · stride_y).

    Args:
        base: (A, 4) around the origin, pixels.
        height: of the map, cells.
        width: of the map, cells.
        stride_y: pixels from a cell to the next below it.
        stride_x: pixels from a cell to the next at its right.
        offset: where in its cell an anchor's centre is: 0 upper left corner, 0.5 middle.
        dtype: of the result.

    Returns:
        (height · width · A, 4), in the order y, x, anchor.

    Source: Ren et al., Faster R-CNN (2015), section 3.1.1.
    """
    anchors = []
    for y in range(height):
        for x in range(width):
            for x1, y1, x2, y2 in base:
                dx, dy = (x + offset) * stride_x, (y + offset) * stride_y
                anchors.append([x1 + dx, y1 + dy, x2 + dx, y2 + dy])
    return np.array(anchors, dtype=dtype).reshape(-1, 4)


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
    dtype: Any = np.float32,
) -> list[np.ndarray]:
    """The anchors of every pyramid level: each level has a size of its own.

    How many pixels lie between two cells: 2 for each time that the image must be halved, rounding
    up, to become the map. With `integer_strides` it is image // map, which is not quite the same.

    Args:
        image_size: height and width with padding, pixels.
        feature_sizes: height and width of each map, cells.
        sizes: anchor size of each level, or several; pixels.
        aspect_ratios: height / width, on all levels.
        rounded: as in `base_anchors`.
        offset: as in `grid_anchors`.
        integer_strides: see above.
        cell_rounded: whether `base_anchors` gets the spacing as `cell`.
        dtype: of the result.

    Returns:
        For each level (height · width · A, 4).

    Source: Lin et al., Feature pyramid networks (2017), section 4.1.
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
        levels.append(grid_anchors(base, height, width, stride_y, stride_x, offset, dtype))
    return levels


def inside_image(
    anchors: np.ndarray, height: float, width: float, margin: float = 0.0
) -> np.ndarray:
    """Which anchors (N, 4) do not cross the image's boundary by more than `margin` pixels: (N,) bool.

    Source: Ren et al., Faster R-CNN (2015), section 3.3.
    """
    result = np.zeros(len(anchors), dtype=bool)
    for i, (x1, y1, x2, y2) in enumerate(anchors):
        crosses = x1 < -margin or y1 < -margin or x2 > width + margin or y2 > height + margin
        result[i] = not crosses
    return result
