"""From what people draw (rectangles, circles, turned boxes, several pieces) to boxes and outlines.

Coordinates are in pixels, and pixel i covers [i, i + 1). A polygon is flat: x, y, x, y, …
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minirnn.data.convert.found import Unusable
from minirnn.masks import boxes_of_masks, decode, encode, polygons_to_mask
from minirnn.masks.checks import MOST_PIXELS

#: How far a circle's polygon may lie from it, in pixels.
CIRCLE_ERROR = 0.1


def rectangle(
    box: Sequence[float], turn: float = 0.0, about: Sequence[float] | None = None
) -> list[float]:
    """The four corners of a box x1, y1, x2, y2.

    Args:
        box: in pixels.
        turn: in degrees, clockwise as it is seen (y goes down).
        about: the point x, y that it is turned about; None is the box's middle.
    """
    x1, y1, x2, y2 = box
    corners = [x1, y1, x2, y1, x2, y2, x1, y2]
    return turned(corners, turn, about or ((x1 + x2) / 2, (y1 + y2) / 2)) if turn else corners


def ellipse(x: float, y: float, rx: float, ry: float, turn: float = 0.0) -> list[float]:
    """An ellipse about x, y with half axes rx and ry as a polygon, `CIRCLE_ERROR` away at most.

    The chord of a circle of radius r over an angle of 2a lies r(1 - cos a) inside of it, which gives the
    number of points. They lie on the ellipse, so that its box is exact where an axis is upright.
    """
    r = max(abs(rx), abs(ry), CIRCLE_ERROR)
    half = math.acos(max(0.0, 1 - CIRCLE_ERROR / r))
    count = 4 * max(3, math.ceil(math.pi / half / 4))  # a point at each end of both axes
    angles = 2 * math.pi * np.arange(count) / count
    points = np.stack([x + rx * np.cos(angles), y + ry * np.sin(angles)], axis=1)
    return turned(points.ravel().tolist(), turn, (x, y)) if turn else points.ravel().tolist()


def turned(polygon: Sequence[float], degrees: float, about: Sequence[float]) -> list[float]:
    """A polygon turned clockwise, as it is seen, about a point."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    points = np.reshape(polygon, (-1, 2)) - about
    return (points @ np.array([[c, s], [-s, c]]) + about).ravel().tolist()


def box_of(outline: list[list[float]] | dict[str, Any]) -> tuple[float, float, float, float]:
    """The box around polygons, or around the pixels of run lengths."""
    if isinstance(outline, dict):
        x1, y1, x2, y2 = boxes_of_masks(decode(outline)[None])[0].tolist()
    else:
        xs, ys = [x for p in outline for x in p[0::2]], [y for p in outline for y in p[1::2]]
        x1, y1, x2, y2 = min(xs), min(ys), max(xs), max(ys)
    return x1, y1, x2, y2


def union(
    outlines: Sequence[list[list[float]] | dict[str, Any]], size: tuple[int, int]
) -> list[list[float]] | dict[str, Any]:
    """Several pieces as one outline: all polygons, or run lengths where one of them has such.

    Args:
        outlines: at least one.
        size: (height, width) of the image.
    """
    polygons = [polygon for each in outlines if isinstance(each, list) for polygon in each]
    runs = [each for each in outlines if isinstance(each, dict)]
    if not runs:
        return polygons
    mask = polygons_to_mask(polygons, *size)
    for each in runs:
        mask |= decode(each)
    return encode(mask)


def placed(window: np.ndarray, left: int, top: int, size: tuple[int, int]) -> dict[str, Any]:
    """The run lengths of a mask that is known in a window only; what lies outside the image is cut off.

    Args:
        window: (h, w) bool.
        left: the column of the window's first pixel.
        top: its row.
        size: (height, width) of the image.

    Raises:
        Unusable: no mask is made for an image that large.
    """
    if size[0] * size[1] >= MOST_PIXELS:
        raise Unusable(f"it is in an image of {size[1]} x {size[0]} pixels, which is too large")
    mask = np.zeros(size, bool)
    rows = slice(max(0, top), max(0, min(size[0], top + window.shape[0])))
    columns = slice(max(0, left), max(0, min(size[1], left + window.shape[1])))
    mask[rows, columns] = window[
        rows.start - top : rows.stop - top, columns.start - left : columns.stop - left
    ]
    return encode(mask)
