"""LabelMe: one JSON file for each photograph, with a list of shapes.

    {"imagePath": "..\\photos\\a.jpg", "imageHeight": …, "imageWidth": …, "imageData": null or base64,
     "shapes": [{"label": "cup", "points": [[x, y], …], "shape_type": "polygon", "group_id": null}, …]}

Shapes of one label and one group_id are one object in several pieces, as LabelMe's own tools have it.
A rectangle has two opposite corners in any order, a circle its middle and a point on it, a mask the two
corner pixels of its window (both inside) and a PNG in base64. Points and lines have no area: they are left
out by name. LabelMe draws on the photograph turned as EXIF says, and that is the size it writes.

Why not a library: `labelme2coco` brings OpenCV and shapely, takes group_id's pieces for objects of their
own and wants each picture at the very place that its file names; `supervision` leaves out circles and masks
and rounds polygons to whole pixels; LabelMe's own package is a Qt application.
"""

from __future__ import annotations

import base64
import io
import math
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from minirnn.data.convert.found import (
    Found,
    Labelled,
    NoObject,
    Photo,
    Unusable,
    label_of,
    numbers,
    read_json,
    stated_size,
)
from minirnn.data.convert.pictures import Pictures
from minirnn.data.convert.shapes import ellipse, placed, rectangle, union
from minirnn.data.convert.unlabelled import note_unlabelled
from minirnn.data.convert.walk import label_files
from minirnn.errors import InputError
from minirnn.masks.checks import MOST_PIXELS

#: Names that LabelMe's label lists have for "no object".
NO_OBJECT = {"_background_", "__ignore__"}
FLAT = {"point", "points", "line", "linestrip"}


def read(folder: Path, images: Path | None = None) -> Found:
    """All photographs of a folder, and of those below it, that have a LabelMe file."""
    found = Found("labelme")
    pictures = Pictures(folder, images)
    files = label_files(folder, "*.json")
    for file in files:
        try:
            content = read_json(file)
        except InputError as error:
            found.leave(file, "the file", str(error).removeprefix(f"{file}: "))
            continue
        if not is_labelme(content):
            found.leave(file, "the file", "it is not of LabelMe's form (no imagePath and shapes)")
            continue
        try:
            path = _picture(content, file, pictures)
            photo = Photo(
                path, file, size=stated_size(content.get("imageHeight"), content.get("imageWidth"))
            )
        except Unusable as problem:
            found.leave(file, f"all {len(content['shapes'])} shapes", str(problem))
            continue
        photo.objects = _objects(content["shapes"], photo, found)
        found.photos.append(photo)
    reason = "no LabelMe file names it, so it may not be labelled yet"
    note_unlabelled(pictures.all() if folder.is_dir() else [], files, found, reason)
    return found


def is_labelme(content: Any) -> bool:
    """Whether a JSON file's content is LabelMe's."""
    return (
        isinstance(content, dict)
        and "imagePath" in content
        and isinstance(content.get("shapes"), list)
    )


def _picture(content: dict, file: Path, pictures: Pictures) -> Path:
    name = content["imagePath"]
    if not isinstance(name, str):
        raise Unusable(f"its imagePath is {name!r}")
    try:
        return pictures.find(name, file.parent)
    except Unusable as problem:
        if content.get("imageData"):
            raise Unusable(
                f"{problem}. The file holds a copy of the picture (imageData); "
                "`labelme_export_json` of LabelMe writes it out"
            ) from None
        raise


def _objects(shapes: list, photo: Photo, found: Found) -> list[Labelled]:
    """The objects; pieces of one label and group become one."""
    groups: dict[tuple, list[Labelled]] = {}
    for number, shape in enumerate(shapes, start=1):
        where = f"shape {number}"
        try:
            if not isinstance(shape, dict):
                raise Unusable("it is no JSON object")
            piece = _piece(shape, where, photo)
        except Unusable as problem:
            name = shape.get("label") if isinstance(shape, dict) else None
            found.lose(photo, f"{where} ({name!r})", problem)
            continue
        group = shape.get("group_id")
        key = (number,) if group is None else (piece.label, str(group))
        groups.setdefault(key, []).append(piece)
    return [_joined(pieces, photo) for pieces in groups.values()]


def _piece(shape: dict, where: str, photo: Photo) -> Labelled:
    label = label_of(shape.get("label"))
    kind = shape.get("shape_type") or "polygon"
    points = shape.get("points")
    if not isinstance(kind, str):
        raise Unusable(f"its kind is {kind!r}")
    if label in NO_OBJECT:
        raise NoObject("the label stands for no object")
    if kind in FLAT:
        raise Unusable(f"a {kind} has no area; draw a polygon or a rectangle")
    if not isinstance(points, list) or not all(isinstance(p, list) and len(p) == 2 for p in points):
        raise Unusable("its points are no list of x, y")
    flat = numbers([value for point in points for value in point])
    xs, ys = flat[0::2], flat[1::2]
    if kind == "rectangle":
        if len(xs) not in (2, 4):
            raise Unusable(f"a rectangle of {len(xs)} points; it should have 2 corners")
        return Labelled(label, where, box=(min(xs), min(ys), max(xs), max(ys)))
    if kind == "circle":
        numbers(flat, 4)
        radius = math.hypot(xs[1] - xs[0], ys[1] - ys[0])
        return Labelled(label, where, outline=[ellipse(xs[0], ys[0], radius, radius)])
    if kind == "mask":
        return Labelled(label, where, outline=_mask(shape, numbers(flat, 4), photo))
    if kind not in ("polygon", "oriented_rectangle", "rotation"):
        raise Unusable(f"its kind {kind!r} is not known")
    if len(xs) < 3:
        raise Unusable(f"a {kind} of {len(xs)} points; it needs three")
    return Labelled(label, where, outline=[flat])


def _mask(shape: dict, corners: list[float], photo: Photo) -> dict[str, Any]:
    """The run lengths of a shape that is a mask."""
    if photo.size is None:
        raise Unusable("the file does not say the image's size, which its mask needs")
    left, top, right, bottom = (int(value) for value in corners)
    try:
        with Image.open(io.BytesIO(base64.b64decode(shape["mask"])), formats=["PNG"]) as image:
            if image.width * image.height >= MOST_PIXELS:
                raise Unusable("its mask is too large")
            window = np.asarray(image.convert("L")) > 0
    except (KeyError, TypeError, ValueError, OSError, SyntaxError) as error:
        raise Unusable(f"its mask cannot be read ({error})") from None
    if window.shape != (bottom - top + 1, right - left + 1):
        raise Unusable(
            f"its mask has {window.shape[1]} x {window.shape[0]} pixels; its points span "
            f"{right - left + 1} x {bottom - top + 1}"
        )
    return placed(window, left, top, photo.size)


def _joined(pieces: list[Labelled], photo: Photo) -> Labelled:
    if len(pieces) == 1:
        return pieces[0]
    where = " + ".join(piece.where for piece in pieces)
    boxes = [piece.box for piece in pieces if piece.box is not None]
    if len(boxes) == len(pieces):
        x1, y1, x2, y2 = zip(*boxes, strict=True)
        return Labelled(pieces[0].label, where, box=(min(x1), min(y1), max(x2), max(y2)))
    outlines = [p.outline if p.outline is not None else [rectangle(p.box)] for p in pieces]  # type: ignore
    return Labelled(pieces[0].label, where, outline=union(outlines, photo.size or (0, 0)))
