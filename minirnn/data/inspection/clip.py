"""A polygon cut at the border of the image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def clip_polygon(polygon: Sequence[float], height: int, width: int) -> list[float]:
    """What of a polygon x1, y1, x2, y2, … lies in the image; an empty list for nothing.

    The polygon is cut along one side of the image after the other. Going round it, a point inside stays,
    and where an edge crosses the side, the crossing becomes a point.

    Args:
        polygon: flat, three points or more.
        height: of the image, in pixels.
        width: of the image, in pixels.

    Source: Sutherland, Hodgman, "Reentrant polygon clipping", 1974.
    """
    points = np.asarray(polygon, float).reshape(-1, 2)
    for axis, limit, sign in ((0, 0, 1), (0, width, -1), (1, 0, 1), (1, height, -1)):
        kept = []
        for here, there in zip(points, np.roll(points, -1, axis=0), strict=True):
            inside, next_inside = (sign * (p[axis] - limit) >= 0 for p in (here, there))
            if inside:
                kept.append(here)
            if inside != next_inside:
                share = (limit - here[axis]) / (there[axis] - here[axis])
                crossing = here + share * (there - here)
                crossing[axis] = limit
                kept.append(crossing)
        points = np.array(kept).reshape(-1, 2)
        if len(points) < 3:
            return []
    return points.ravel().round(2).tolist()
