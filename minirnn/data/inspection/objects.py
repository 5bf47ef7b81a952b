"""What is wrong with annotations that training takes: boxes beside masks, areas, polygons, duplicates.

`minirnn.data.annotations` says which cannot be used at all; the ones here could.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from minirnn.boxes import iou
from minirnn.data.annotations import corners_of_box, is_line
from minirnn.masks import boxes_of_masks, decode, polygons_to_mask, rle, segmentation_to_rle

#: So far over the border, in pixels, annotators may be without being told.
OVERSHOOT = 2.0
#: Two boxes of one image with this IoU are one box, and masks with the second one mask.
SAME_BOX, SAME_MASK = 0.95, 0.9
_NO_AREA = 0.1  # square pixels


class Finding(NamedTuple):
    """The position of an annotation in its image, and what is wrong with it.

    `partner` is the position of the one of which it is the copy.
    """

    position: int
    reason: str
    detail: str
    partner: int | None = None


class ImageObjects(NamedTuple):
    """The annotations of one image, as they go to another process."""

    record: dict
    annotations: list[dict]
    has_masks: bool


def findings(image: ImageObjects) -> list[Finding]:
    """All that is wrong with the annotations of one image, which `CocoFile` has let pass."""
    height, width = image.record["height"], image.record["width"]
    found = []
    for position, annotation in enumerate(image.annotations):
        problems = [*_box(annotation, height, width)]
        problems += (_mask if image.has_masks else _area)(annotation, height, width)
        found += [Finding(position, *problem) for problem in problems]
    return found + list(_duplicates(image))


def _area(annotation: dict, height: int, width: int) -> Iterator[tuple[str, str]]:
    """An area without a mask may be that of a mask that was left out, and so be less than the box's."""
    _, _, w, h = annotation["bbox"]
    area = annotation.get("area", w * h)
    if not 0 < area <= 1.1 * w * h + 1:
        detail = f"area is {area:g}; its box has {w * h:g} square pixels"
        yield "area that is not the object's", detail


def _box(annotation: dict, height: int, width: int) -> Iterator[tuple[str, str]]:
    x, y, w, h = annotation["bbox"]
    over = max(-x, -y, x + w - width, y + h - height)
    if over > OVERSHOOT:
        yield (
            "box that leaves the image",
            f"bbox is {annotation['bbox']}, {over:g} pixels out of the image of {width} x {height}",
        )
    x1, y1, x2, y2 = corners_of_box(annotation["bbox"], height, width)
    if min(x2 - x1, y2 - y1) < 1:
        yield (
            "box thinner than a pixel",
            f"bbox is {annotation['bbox']}; {x2 - x1:.3g} x {y2 - y1:.3g} pixels of it are in the image",
        )


def _mask(annotation: dict, height: int, width: int) -> Iterator[tuple[str, str]]:
    segmentation = annotation["segmentation"]
    if isinstance(segmentation, list):
        yield from _polygons(segmentation, height, width)
        if annotation.get("iscrowd"):
            yield "crowd region given as polygons", "iscrowd is 1; COCO's own are run lengths"
    extent = extent_of(segmentation, height, width)
    if extent is None:  # and the polygons have been told
        return
    pixels = rle.area(segmentation_to_rle(segmentation, height, width))
    if not pixels:
        yield "mask without a pixel", f"it covers {_place(extent)} and no pixel"
        return
    box = corners_of_box(annotation["bbox"], height, width).astype(float)
    off = np.abs(box - extent)
    if (off > tolerance(extent, height, width)).any():
        yield (
            "box that is not its mask's",
            f"the box is {_place(box)}; the mask covers {_place(extent)}: {off.max():.3g} pixels off",
        )
    area = annotation.get("area")
    sides = (extent[2] - extent[0]) + (extent[3] - extent[1])
    # The outline cuts through pixels, which are counted whole: half of them may be off.
    # (Evaluation passes crowd regions over whatever their area, and COCO's own have another one.)
    off_area = area is not None and abs(area - pixels) > max(0.1 * pixels, sides)
    if off_area and not annotation.get("iscrowd"):
        yield "area that is not the object's", f"area is {area:g}; its mask has {pixels} pixels"


def tolerance(extent: np.ndarray, height: int, width: int) -> float:
    """How far a box may be from its mask's, in pixels: a twentieth of the object, at most a hundredth of
    the image, and never under 2.
    """
    side = max(extent[2] - extent[0], extent[3] - extent[1])
    return max(2.0, min(0.05 * side, 0.01 * max(height, width)))


def extent_of(segmentation: Any, height: int, width: int) -> np.ndarray | None:
    """The box around a mask, (4,) x1, y1, x2, y2 inside the image; None if there is nothing of it."""
    if isinstance(segmentation, dict):
        mask = decode(segmentation_to_rle(segmentation, height, width))
        return boxes_of_masks(mask[None])[0].astype(float) if mask.any() else None
    parts = [p for p in map(_points, segmentation) if not _fault(p, height, width)[0]]
    if not parts:
        return None
    points = np.concatenate(parts)
    box = np.concatenate([points.min(axis=0), points.max(axis=0)])
    return np.clip(box, 0, [width, height, width, height])


def _points(polygon: Sequence[float]) -> np.ndarray:
    return np.asarray(polygon, float).reshape(-1, 2)


def signed_area(points: np.ndarray) -> float:
    """The area inside a polygon (N, 2): negative if it goes round the other way (Gauss's formula)."""
    x, y = points.T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)


def _fault(points: np.ndarray, height: int, width: int) -> tuple[str, str]:
    """Why a polygon is of no use: reason and detail, or two empty texts."""
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    if right <= 0 or bottom <= 0 or left >= width or top >= height:
        place = _place(np.array([left, top, right, bottom]))
        return "polygon outside the image", f"it covers {place}; the image is {width} x {height}"
    if (right - left) * (bottom - top) < _NO_AREA or is_line(points):
        return "polygon of no area", f"its {len(points)} points are on one line, or in one place"
    return "", ""


def useless(polygon: Sequence[float], height: int, width: int) -> bool:
    """Whether nothing of a well-formed polygon is in the image."""
    return bool(_fault(_points(polygon), height, width)[0])


def _polygons(polygons: list, height: int, width: int) -> Iterator[tuple[str, str]]:
    for number, polygon in enumerate(polygons):
        points = _points(polygon)
        reason, detail = _fault(points, height, width)
        if reason:
            yield reason, f"polygon {number}: {detail}"
            continue
        over = max(*-points.min(axis=0), *(points.max(axis=0) - (width, height)))
        if over > OVERSHOOT:
            yield (
                "polygon that leaves the image",
                f"polygon {number} is {over:g} pixels out of the image of {width} x {height}",
            )
        elif crosses_itself(points):
            yield "polygon that crosses itself", f"polygon {number}, of {len(points)} points"


def crosses_itself(points: np.ndarray) -> bool:
    """Whether so much of a polygon is wound the other way round that its area is not what it covers.

    A bow tie has a signed area of 0. Small crossings, as hand-drawn outlines are full of, are no matter.
    """
    corner = points.min(axis=0)
    (width, height) = np.ceil(points.max(axis=0) - corner).astype(int) + 1
    filled = polygons_to_mask([(points - corner).ravel().tolist()], height, width).sum()
    sides = float(np.hypot(*(points - np.roll(points, 1, axis=0)).T).sum())
    return bool(filled - abs(signed_area(points)) > max(0.2 * filled, sides))


#: What follows for single boxes where all are written as corners.
OF_CORNERS = (
    "box that leaves the image",
    "box that is not its mask's",
    "area that is not the object's",
)


def written_as_corners(images: Sequence[ImageObjects]) -> str:
    """A sentence if the boxes are x1, y1, x2, y2 and not x, y, width, height; else "".

    That is so if many reach out of their images as they should be read, and all fit as corners.
    """
    boxes = [(a["bbox"], image.record) for image in images for a in image.annotations]
    if len(boxes) < 3:
        return ""
    values = np.array([box for box, _ in boxes], float)
    sizes = np.array([(record["width"], record["height"]) for _, record in boxes], float)
    over = (values[:, :2] + values[:, 2:] > sizes + OVERSHOOT).any(axis=1)
    fits = (values[:, 2:] > values[:, :2]) & (values[:, 2:] <= sizes + OVERSHOOT)
    if over.mean() < 0.25 or not fits.all():
        return ""
    return (
        f"{over.sum()} of {len(boxes)} boxes reach out of their images as x, y, width, height, and all fit "
        "as x1, y1, x2, y2"
    )


def _duplicates(image: ImageObjects) -> Iterator[Finding]:
    """Later annotations whose box (and mask) is that of an earlier one."""
    height, width = image.record["height"], image.record["width"]
    own = [i for i, a in enumerate(image.annotations) if not a.get("iscrowd")]
    if len(own) < 2:
        return
    boxes = np.array([corners_of_box(image.annotations[i]["bbox"], height, width) for i in own])
    for pair in np.argwhere(np.triu(iou(boxes, boxes) >= SAME_BOX, k=1)):
        first, second = (own[i] for i in pair)
        one, other = image.annotations[first], image.annotations[second]
        if image.has_masks and not _same_mask(one, other, height, width):
            continue
        if one["category_id"] == other["category_id"]:
            detail = f"it is annotation {one['id']} again: bbox {other['bbox']}"
            yield Finding(second, "duplicate annotation", detail, first)
        else:
            detail = (
                f"it has the place of annotation {one['id']}, which is of category "
                f"{one['category_id']}; it is of category {other['category_id']}"
            )
            yield Finding(second, "one box in two categories", detail, first)


def _same_mask(one: dict, other: dict, height: int, width: int) -> bool:
    a, b = (decode(segmentation_to_rle(x["segmentation"], height, width)) for x in (one, other))
    return bool((a & b).sum() >= SAME_MASK * (a | b).sum())


def _place(box: Any) -> str:
    x1, y1, x2, y2 = (float(value) for value in box)
    return f"x {x1:.4g} to {x2:.4g}, y {y1:.4g} to {y2:.4g}"
