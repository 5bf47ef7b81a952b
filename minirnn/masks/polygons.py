"""From an annotation's outline to a mask: everything that COCO calls a segmentation.

Polygons are filled by pycocotools, not here: which pixels an outline covers is COCO's own rule
(points are taken five to a pixel along each edge), and data sets are measured by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minirnn.errors import InputError
from minirnn.masks import rle
from minirnn.masks.checks import Misfit, check_pixels, polygon_of


def polygons_to_mask(
    polygons: Sequence[Sequence[float]], height: int, width: int, *, name: str = "polygons"
) -> np.ndarray:
    """The union of some filled polygons.

    Args:
        polygons: each a flat list x1, y1, x2, y2, … of at least three points, in pixels; points
            may lie outside the image. No polygons give an empty mask.
        height: of the image, in pixels.
        width: of the image, in pixels.
        name: what to call them in messages.

    Returns:
        (height, width) bool, on the host.

    Raises:
        InputError: a polygon has fewer than six numbers, an odd number of them, or something in
            it that is not a finite number, or far off; or the image is too large.
    """
    return rle.decode(_fill(polygons, height, width, name))


def segmentation_to_rle(
    segmentation: Any, height: int, width: int, *, name: str = "segmentation"
) -> dict[str, Any]:
    """A COCO segmentation in any of its forms as run lengths, checked.

    Args:
        segmentation: a list of polygons, or run lengths with counts as a list or as text.
        height: of the image, in pixels.
        width: of the image, in pixels.
        name: what to call it in messages, for example with the annotation's and the image's id.

    Returns:
        {"size": [height, width], "counts": str}.

    Raises:
        InputError: it is none of these, there are no polygons, a polygon or the run lengths are
            malformed, or they are for an image of another size (`Misfit`).
    """
    if isinstance(segmentation, Mapping):
        rows, columns, counts = rle.parse(segmentation, name=name)
        if (rows, columns) != (height, width):
            raise Misfit(
                f"{name} is for an image of size {rows} x {columns}; this one is {height} x {width}"
            )
        return {"size": [height, width], "counts": rle.pack(counts)}
    if isinstance(segmentation, Sequence) and len(segmentation) == 0:
        raise InputError(f"{name} is an empty list; it should hold at least one polygon")
    return _fill(segmentation, height, width, name)


def segmentation_to_mask(
    segmentation: Any, height: int, width: int, *, name: str = "segmentation"
) -> np.ndarray:
    """The mask of a COCO segmentation in any of its forms: (height, width) bool, on the host.

    Arguments and errors are those of `segmentation_to_rle`.
    """
    return rle.decode(segmentation_to_rle(segmentation, height, width, name=name))


def _fill(polygons: Any, height: int, width: int, name: str) -> dict[str, Any]:
    if isinstance(polygons, str | bytes) or not isinstance(polygons, Sequence):
        raise InputError(f"{name} is not a list of polygons")
    points = [polygon_of(polygon, f"{name}[{i}]") for i, polygon in enumerate(polygons)]
    if not points or height == 0 or width == 0:
        return rle.encode(np.zeros((height, width), dtype=bool))
    check_pixels(height, width, name)
    from pycocotools import mask as coco_mask

    counts = coco_mask.merge(coco_mask.frPyObjects(points, height, width))["counts"]
    return {"size": [height, width], "counts": counts.decode("ascii")}
