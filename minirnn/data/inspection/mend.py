"""What a repair does with one annotation or image record.

Each function changes the record in place and returns a sentence that says what was done, or None where
the record has to be left out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minirnn.data.annotations import Rejected, corners_of_box
from minirnn.data.inspection.clip import clip_polygon
from minirnn.data.inspection.objects import extent_of, useless
from minirnn.errors import InputError
from minirnn.masks import encode, rle, segmentation_to_mask, segmentation_to_rle
from minirnn.masks.checks import are_finite, polygon_of

Size = tuple[int, int]
Mend = Callable[[dict, Size], str | None]

#: Two sizes of the same picture have sides whose proportions differ by less than this.
_SAME_SHAPE = 0.02
#: What programs write for "no".
NO = ("", "false", "f", "no", "n", "none", "null")


def box_of_mask(annotation: dict, size: Size) -> str | None:
    """Take the box that the mask has."""
    try:
        extent = extent_of(_well_formed(annotation.get("segmentation"), size), *size)
    except InputError:
        return None
    if extent is None:
        return None
    x1, y1, x2, y2 = extent.round(2).tolist()
    if x2 - x1 < 1 or y2 - y1 < 1:
        return None
    before, annotation["bbox"] = annotation.get("bbox"), [x1, y1, _less(x2, x1), _less(y2, y1)]
    return f"its mask's box is taken: bbox {before} is {annotation['bbox']}"


def cut_box(annotation: dict, size: Size) -> str:
    """Cut the box at the image's border."""
    x1, y1, x2, y2 = corners_of_box(annotation["bbox"], *size).astype(float).round(3).tolist()
    before, annotation["bbox"] = annotation["bbox"], [x1, y1, _less(x2, x1), _less(y2, y1)]
    return f"cut at the border: bbox {before} is {annotation['bbox']}"


def cut_polygons(annotation: dict, size: Size) -> str:
    """Cut the polygons at the image's border."""
    cut = [clip_polygon(polygon, *size) for polygon in annotation["segmentation"]]
    annotation["segmentation"] = [polygon for polygon in cut if polygon]
    return "its polygons are cut at the border" + _then_area(annotation, size)


def only_useful_polygons(annotation: dict, size: Size) -> str:
    """Leave out polygons that have no inside in the image; without any left, it becomes a crowd region."""
    segmentation: Any = annotation.get("segmentation")
    left = _well_formed(segmentation, size)
    if not isinstance(left, list) or not left:
        return as_crowd(annotation, size)
    annotation["segmentation"] = left
    return (
        f"{len(segmentation) - len(left)} of {len(segmentation)} polygons are left out"
        + _then_area(annotation, size)
    )


def as_crowd(annotation: dict, size: Size) -> str:
    """Keep the object as a crowd region that fills its box: nothing is learned about it.

    Left out, it would be taught to be background.
    """
    x1, y1, x2, y2 = corners_of_box(annotation["bbox"], *size)
    mask = np.zeros(size, bool)
    mask[int(y1) : int(np.ceil(y2)), int(x1) : int(np.ceil(x2))] = True
    annotation |= {"segmentation": encode(mask), "iscrowd": 1, "area": int(mask.sum())}
    return "it stays as a crowd region over its box"


def new_area(annotation: dict, size: Size) -> str:
    """Compute the area: the mask's pixels, or the box's."""
    before = annotation.pop("area", None)
    if annotation.get("segmentation"):
        annotation["area"] = rle.area(segmentation_to_rle(annotation["segmentation"], *size))
    else:
        x1, y1, x2, y2 = corners_of_box(annotation.get("bbox"), *size).tolist()
        annotation["area"] = round((x2 - x1) * (y2 - y1), 2)
    return f"area {before} is {annotation['area']}"


def no_area(annotation: dict, size: Size) -> str:
    """Forget an area that is no number."""
    return f"area {annotation.pop('area', None)!r} is left out"


def crowd_by_truth(annotation: dict, size: Size) -> str:
    """Make iscrowd 0 or 1; of text what it says: "0", "false" and "" are 0.

    Taken for 1, an ordinary object would never be learned.
    """
    before = value = annotation["iscrowd"]
    if isinstance(value, str):
        text = value.strip().lower()
        try:
            value = float(text)
        except ValueError:
            value = text not in NO
    annotation["iscrowd"] = int(bool(value))
    return f"iscrowd {before!r} is {annotation['iscrowd']}"


def no_keypoints(annotation: dict, size: Size) -> str:
    """Forget keypoints that cannot be read."""
    annotation.pop("keypoints", None)
    annotation["num_keypoints"] = 0
    return "its keypoints are left out"


def to_size(image: dict, annotations: list[dict], size: Size) -> str | None:
    """Bring an image's record and its annotations to the size of the file, where it is certain how.

    If the two sizes are nearly one, or all annotations fit the file and the proportions differ, then the
    record was wrong. If annotations reach out of the file, fit the record, and the proportions are the
    same, then the picture was resized after it was annotated. Else either may be.
    """
    old, (height, width) = (image["height"], image["width"]), size
    shapes = old[1] / old[0], width / height
    same_shape = abs(shapes[0] / shapes[1] - 1) < _SAME_SHAPE
    nearly = all(abs(a / b - 1) < _SAME_SHAPE for a, b in zip(old, size, strict=True))
    text = f"{width} x {height}, the file's size"
    if _all_fit(annotations, size) and (nearly or not same_shape):
        image["height"], image["width"] = height, width
        return f"its size, {old[1]} x {old[0]}, is {text}"
    if _all_fit(annotations, old) and same_shape and not nearly and not _all_fit(annotations, size):
        for annotation in annotations:
            _scale(annotation, old, size)
        image["height"], image["width"] = height, width
        return f"its annotations are scaled from {old[1]} x {old[0]} to {text}"
    return None


def _all_fit(annotations: list[dict], size: Size) -> bool:
    """Whether every box and mask can be of an image of this size, give or take a pixel."""
    box: Any
    for annotation in annotations:
        box, segmentation = annotation.get("bbox"), annotation.get("segmentation")
        if not are_finite(box, count=4):
            continue  # says nothing, and is a fault of its own
        x, y, w, h = box
        if min(x, y) < -1 or x + w > size[1] + 1 or y + h > size[0] + 1:
            return False
        if isinstance(segmentation, dict) and segmentation.get("size") != list(size):
            return False
    return True


def _scale(annotation: dict, old: Size, new: Size) -> None:
    y, x = (b / a for a, b in zip(old, new, strict=True))
    if are_finite(annotation.get("bbox"), count=4):
        box = np.array(annotation["bbox"], float) * (x, y, x, y)
        annotation["bbox"] = box.round(2).tolist()
    segmentation = annotation.get("segmentation")
    if isinstance(segmentation, dict):
        mask = segmentation_to_mask(segmentation, *old)
        rows, columns = (np.arange(b) * a // b for a, b in zip(old, new, strict=True))
        annotation["segmentation"] = encode(mask[rows][:, columns])
    elif isinstance(segmentation, list):
        annotation["segmentation"] = [
            (np.array(polygon, float).reshape(-1, 2) * (x, y)).round(2).ravel().tolist()
            for polygon in _well_formed(segmentation, None)
        ]
    if are_finite([annotation.get("area")]):
        annotation["area"] = round(annotation["area"] * x * y, 2)
    points: Any = annotation.get("keypoints")
    if are_finite(points) and len(points) % 3 == 0:
        for i, factor in ((0, x), (1, y)):
            points[i::3] = [round(value * factor, 2) for value in points[i::3]]


def _well_formed(segmentation: Any, size: Size | None) -> Any:
    """Polygons that can be filled (with a size: have an inside there); run lengths as they are; else []."""
    if isinstance(segmentation, dict):
        return segmentation
    kept = []
    for polygon in segmentation if isinstance(segmentation, list) else []:
        try:
            points = polygon_of(polygon, "polygon")
        except InputError:
            continue
        if size is None or not useless(points, *size):
            kept.append(polygon)
    return kept


def _then_area(annotation: dict, size: Size) -> str:
    """The area that goes with a changed mask, as the end of a sentence."""
    return f"; {new_area(annotation, size)}" if "area" in annotation else ""


def _less(a: float, b: float) -> float:
    return round(a - b, 3)


def _first(*ways: Mend) -> Mend:
    """The first way that works."""

    def mend(annotation: dict, size: Size) -> str | None:
        for way in ways:
            try:
                if done := way(annotation, size):
                    return done
            except (Rejected, InputError):
                continue
        return None

    return mend


#: What is done with an annotation, by reason. Those that are not here are left out.
MENDS: dict[str, Mend] = {
    "iscrowd of unknown form": crowd_by_truth,
    "area of unknown form": _first(new_area, no_area),
    "keypoints of unknown form": no_keypoints,
    "box that is not four numbers": box_of_mask,
    "box of negative size": box_of_mask,
    "box of no area": box_of_mask,
    "box that does not fit the image": box_of_mask,
    "box outside the image": box_of_mask,
    "annotation without a mask": as_crowd,
    "mask of unknown form": only_useful_polygons,
    "mask of no area": as_crowd,
    "mask that does not fit the image": as_crowd,
    "mask outside its box": as_crowd,
    "mask that cannot be decoded": as_crowd,
    "box that leaves the image": cut_box,
    "box that is not its mask's": _first(box_of_mask, as_crowd),
    "area that is not the object's": new_area,
    "polygon of no area": only_useful_polygons,
    "polygon outside the image": only_useful_polygons,
    "polygon that leaves the image": cut_polygons,
    "mask without a pixel": as_crowd,
}
