"""What an annotation in COCO's format may look like: checks for one box, mask or set of keypoints.

Each check raises `Rejected` with a short reason (what skipped annotations are counted by) and a
sentence that says what is there and what should be.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minirnn.errors import InputError
from minirnn.masks import rle
from minirnn.masks.checks import Misfit, are_finite, is_whole, polygon_of, size_of


class Rejected(Exception):
    """An annotation or image that cannot be used, and why."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def is_id(value: Any) -> bool:
    """COCO's ids are whole numbers (True is not a number here)."""
    return is_whole(value)


def corners_of_box(bbox: Any, height: int, width: int) -> np.ndarray:
    """COCO's x, y, width, height as x1, y1, x2, y2, clipped to the image.

    Returns:
        (4,) float32, in pixels of the image, with x2 > x1 and y2 > y1.

    Raises:
        Rejected: not four finite numbers; a width or height ≤ 0; nothing of it in the image, or far
            more than the image.
    """
    if not are_finite(bbox, count=4):
        raise Rejected(
            "box that is not four numbers",
            f"bbox is {bbox!r}; it should be four finite numbers x, y, width, height",
        )
    x, y, w, h = bbox
    if w < 0 or h < 0:
        raise Rejected(
            "box of negative size", f"bbox is {bbox}; its width and height should be positive"
        )
    # In float32, as the box will be used: a width of 1e-6 at x = 600 is no width at all.
    box = np.array([x, y, x + w, y + h], np.float32)
    if box[2] <= box[0] or box[3] <= box[1]:
        raise Rejected("box of no area", f"bbox is {bbox}; its width and height should be above 0")
    # Annotators overshoot the border, at times by much. Ten images away, it is no box of this image.
    if min(box[0] / width, box[1] / height) < -10 or max(box[2] / width, box[3] / height) > 11:
        raise Rejected(
            "box that does not fit the image",
            f"bbox is {bbox}; the image is {width} x {height} pixels",
        )
    box[0::2] = np.clip(box[0::2], 0, width)
    box[1::2] = np.clip(box[1::2], 0, height)
    if box[2] <= box[0] or box[3] <= box[1]:
        raise Rejected(
            "box outside the image",
            f"bbox is {bbox}; nothing of it is in the image of {width} x {height} pixels",
        )
    return box


def check_segmentation(segmentation: Any, box: np.ndarray, height: int, width: int) -> None:
    """The parts of a mask that can be checked without filling it: form, size, and place.

    Args:
        segmentation: a list of polygons [x, y, x, y, …] or {"size": [height, width], "counts": …}.
        box: (4,) x1, y1, x2, y2, which the mask has to touch.
        height: of the image, in pixels.
        width: of the image, in pixels.

    Raises:
        Rejected: the form is neither of COCO's, or the mask cannot belong to this image or box.
    """
    if isinstance(segmentation, dict):
        _check_runs(segmentation, height, width)
    elif isinstance(segmentation, list):
        _check_polygons(segmentation, box, height, width)
    else:
        raise Rejected(
            "mask of unknown form",
            f"segmentation is {_short(segmentation)}; it should be polygons or run lengths",
        )


def _check_runs(segmentation: dict, height: int, width: int) -> None:
    try:
        size = size_of(segmentation.get("size"), "the segmentation")
        if size != (height, width):
            raise Misfit(
                f"the segmentation's size is {list(size)}; the image's is [{height}, {width}]"
            )
        if not isinstance(segmentation.get("counts"), str):  # text is read with its image
            rle.parse(segmentation, name="the segmentation")
    except Misfit as error:
        raise Rejected("mask that does not fit the image", str(error)) from error
    except InputError as error:
        raise Rejected("mask of unknown form", str(error)) from error


def _check_polygons(polygons: list, box: np.ndarray, height: int, width: int) -> None:
    try:
        polygons = [polygon_of(polygon, f"polygon {i}") for i, polygon in enumerate(polygons)]
    except InputError as error:
        raise Rejected("mask of unknown form", str(error)) from error
    if all(is_line(np.reshape(polygon, (-1, 2))) for polygon in polygons):
        raise Rejected(
            "mask of no area",
            f"segmentation is {_short(polygons)}: all points of a polygon are on one line",
        )
    left, right = min(min(p[0::2]) for p in polygons), max(max(p[0::2]) for p in polygons)
    top, bottom = min(min(p[1::2]) for p in polygons), max(max(p[1::2]) for p in polygons)
    place = f"the polygons cover x {left:g} to {right:g}, y {top:g} to {bottom:g}"
    # Annotators overshoot the border by some pixels. A whole image away, it is another image's.
    if left < -width or right > 2 * width or top < -height or bottom > 2 * height:
        raise Rejected(
            "mask that does not fit the image", f"{place}; the image is {width} x {height} pixels"
        )
    x1, y1, x2, y2 = (float(value) for value in box)
    if left > x2 or right < x1 or top > y2 or bottom < y1:
        raise Rejected(
            "mask outside its box", f"{place}; the box is x {x1:g} to {x2:g}, y {y1:g} to {y2:g}"
        )


def is_line(points: np.ndarray) -> bool:
    """Whether all points (N, 2) are within a hundredth of a pixel of one line, or in one place."""
    return bool(np.linalg.svd(points - points.mean(axis=0), compute_uv=False)[1] < 0.01)


def check_filled(mask: np.ndarray, box: np.ndarray) -> None:
    """A mask from run lengths must have a pixel in its box.

    Polygons thinner than a pixel fill none, and are let pass; see `check_segmentation`.

    Args:
        mask: (H, W) bool.
        box: (4,) x1, y1, x2, y2.

    Raises:
        Rejected: it has none.
    """
    x1, y1 = np.floor(box[:2]).astype(int)
    x2, y2 = np.ceil(box[2:]).astype(int)
    if not mask[y1:y2, x1:x2].any():
        x1f, y1f, x2f, y2f = (float(value) for value in box)
        raise Rejected(
            "mask outside its box",
            f"the mask has {int(mask.sum())} pixels, none of them in its box, "
            f"x {x1f:g} to {x2f:g}, y {y1f:g} to {y2f:g}",
        )


def keypoints_of(values: Any, count: int) -> np.ndarray:
    """COCO's flat list x, y, visibility, x, y, … as (P, 3) float32; no list is P unlabelled points.

    Coordinates are numbers of pixels, as in COCO: x = 3 means the middle of pixel column 3.

    Raises:
        Rejected: the list has another length, or visibilities other than 0, 1, 2.
    """
    if values is None:
        return np.zeros((count, 3), np.float32)
    if not are_finite(values, count=3 * count):
        raise Rejected(
            "keypoints of unknown form",
            f"keypoints are {_short(values)}; they should be {count} times x, y, visibility",
        )
    if not set(values[2::3]) <= {0, 1, 2}:
        raise Rejected(
            "keypoints of unknown form",
            f"keypoints have visibilities {sorted(set(values[2::3]))}; they should be 0, 1 or 2",
        )
    return np.array(values, np.float32).reshape(count, 3)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
