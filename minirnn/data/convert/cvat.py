"""CVAT: "COCO 1.0" (annotations/instances_default.json, images/default/) and "CVAT for images 1.1" (XML).

    <image name="a.jpg" width="640" height="480" subset="Train">
      <box label="cup" xtl="…" ytl="…" xbr="…" ybr="…" rotation="…" group_id="1"/>
      <polygon label="cup" points="x,y;x,y;…"/>  <ellipse label="cup" cx cy rx ry/>
      <mask label="cup" rle="off, on, off, …" left="…" top="…" width="…" height="…"/>

In the XML a mask's runs go row by row through its window (COCO's go by columns through the image). Shapes
of one label and one group are one object, as in CVAT's own COCO export, and a box beside their outlines is
a piece of it; attributes (occluded and others) are passed over. That export marks every mask made with the
brush as iscrowd=1, for which no network is trained: here it is one object.

Why not a library: `datumaro` reads both, but brings OpenCV, pandas and Arrow, wants an older Pillow than
minirnn is tested with, and keeps the crowds.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from minirnn.data.convert import cocojson
from minirnn.data.convert.found import (
    WHOLE,
    Found,
    Labelled,
    NoObject,
    Photo,
    Unusable,
    label_of,
    numbers,
    split_of,
)
from minirnn.data.convert.pictures import Pictures
from minirnn.data.convert.shapes import box_of, ellipse, placed, rectangle, union
from minirnn.data.convert.splits import splits_of_files
from minirnn.data.convert.walk import label_files
from minirnn.data.convert.xml import read_xml

FLAT = {
    "polyline": "a polyline has no area",
    "points": "points have no area",
}


def read(folder: Path, images: Path | None = None) -> Found:
    """Either export, whichever the folder holds."""
    found = Found("cvat")
    pictures = Pictures(folder, images)
    for file in label_files(folder, "annotations/instances_*.json"):
        subset = file.stem.removeprefix("instances_")
        top = file.parent.parent
        near = next((p for p in (top / "images" / subset, top / subset) if p.is_dir()), None)
        split = WHOLE if subset == "default" else split_of(subset)
        cocojson.read_file(file, split, found, pictures, near=near, crowds_are_masks=True)
    for file in label_files(folder, "*.xml"):
        root = read_xml(file)
        if root is None or root.tag != "annotations":
            found.leave(file, "the file", "it is not XML of CVAT's form (<annotations>)")
            continue
        _read_xml(root, file, found, pictures)
    if not found.photos and not found.left_out:  # JSON of its form under another name
        files = [file for file in label_files(folder, "*.json") if cocojson.is_coco(file)]
        for file, split in splits_of_files(files).items():
            cocojson.read_file(file, split, found, pictures, crowds_are_masks=True)
    return found


def is_coco_export(content: Any) -> bool:
    """Whether content of COCO's form is CVAT's: by its attributes, or since all of its objects are crowds.

    Such with keypoints is taken as COCO's, which it is.
    """
    annotations = [a for a in content["annotations"] if isinstance(a, dict)]
    if any("keypoints" in annotation for annotation in annotations):
        return False
    attributes = [annotation.get("attributes") for annotation in annotations]
    if any(isinstance(each, dict) and "occluded" in each for each in attributes):
        return True
    return bool(annotations) and all(a.get("iscrowd") == 1 for a in annotations)


def _read_xml(root: ElementTree.Element, file: Path, found: Found, pictures: Pictures) -> None:
    for label in root.iter("label"):
        name = (label.findtext("name") or "").strip()
        if label.findtext("parent"):
            continue  # a point of a skeleton
        if name and name not in found.categories:
            found.categories.append(name)
    for image in root.iter("image"):
        name, subset = image.get("name", ""), image.get("subset", "default")
        try:
            near = file.parent / "images" / subset
            there = os.path.isdir(near)  # false where `Path.is_dir` raises: a name that is too long
            path = pictures.find(name, near if there else file.parent / "images")
            height, width = (
                int(value) for value in numbers([image.get(k) for k in ("height", "width")])
            )
        except Unusable as problem:
            found.leave(file, f"image {name!r} with {len(image)} shapes", str(problem))
            continue
        split = WHOLE if subset == "default" else split_of(subset)
        photo = Photo(path, file, split, (height, width))
        photo.objects = _objects(image, photo, found)
        found.photos.append(photo)
    for track in root.iter("track"):
        found.leave(
            file,
            f"track {track.get('id')} ({track.get('label')!r})",
            "a track belongs to a video; export the task as 'CVAT for images' or 'COCO'",
        )


def _objects(image: ElementTree.Element, photo: Photo, found: Found) -> list[Labelled]:
    groups: dict[tuple, list[Labelled]] = {}
    for number, shape in enumerate(image, start=1):
        where = f"image {image.get('name')!r}, shape {number}"
        try:
            piece = _piece(shape, where, photo)
        except Unusable as problem:
            what = f"{where} ({shape.tag}, {shape.get('label')!r})"
            found.lose(photo, what, problem)
            continue
        group = shape.get("group_id", "0")
        key = (number,) if group == "0" else (piece.label, group)
        groups.setdefault(key, []).append(piece)
    return [_joined(pieces, photo, found) for pieces in groups.values()]


def _joined(pieces: list[Labelled], photo: Photo, found: Found) -> Labelled:
    if len(pieces) == 1:
        return pieces[0]
    outlines = [piece.outline for piece in pieces if piece.outline is not None]
    boxes = [piece for piece in pieces if piece.outline is None]
    label, where = pieces[0].label, " + ".join(piece.where for piece in pieces)
    if not outlines:
        x1, y1, x2, y2 = zip(*(piece.box for piece in boxes if piece.box), strict=True)
        return Labelled(label, where, box=(min(x1), min(y1), max(x2), max(y2)))
    assert photo.size is not None
    outline = drawn = union(outlines, photo.size)
    for piece in boxes:
        # Around the outlines, it is the box of the whole, as in CVAT's own export: filled, it would spoil
        # the mask, and the outlines say the same better. Elsewhere it is a piece of the object that was
        # drawn as a box; without it, the mask would teach that this piece is background.
        if _is_around(piece, drawn):
            reason = "it is the box around its group's outlines, which are taken"
            found.leave(photo.labels, f"{piece.where} (box, {label!r})", reason)
        elif piece.box:
            outline = union([outline, [rectangle(piece.box)]], photo.size)
    return Labelled(label, where, outline=outline)


def _is_around(piece: Labelled, outline: list[list[float]] | dict[str, Any]) -> bool:
    """Whether a box holds nine tenths or more of the box around an outline."""
    x1, y1, x2, y2 = box_of(outline)
    left, top, right, bottom = piece.box or (0, 0, 0, 0)
    width, height = min(x2, right) - max(x1, left), min(y2, bottom) - max(y1, top)
    return max(0, width) * max(0, height) >= 0.9 * (x2 - x1) * (y2 - y1)


def _piece(shape: ElementTree.Element, where: str, photo: Photo) -> Labelled:
    assert photo.size is not None
    if shape.tag == "tag":
        raise NoObject("a tag has no place")
    if shape.tag in FLAT:
        raise Unusable(FLAT[shape.tag])
    label, turn = label_of(shape.get("label")), numbers([shape.get("rotation", "0")])[0]
    if shape.tag == "box":
        x1, y1, x2, y2 = numbers([shape.get(key) for key in ("xtl", "ytl", "xbr", "ybr")])
        if turn:
            return Labelled(label, where, outline=[rectangle((x1, y1, x2, y2), turn)])
        return Labelled(label, where, box=(x1, y1, x2, y2))
    if shape.tag == "polygon":
        return Labelled(label, where, outline=[_points(shape.get("points", ""))])
    if shape.tag == "ellipse":
        x, y, rx, ry = numbers([shape.get(key) for key in ("cx", "cy", "rx", "ry")])
        return Labelled(label, where, outline=[ellipse(x, y, rx, ry, turn)])
    if shape.tag == "mask":
        left, top, width, height = (
            int(value)
            for value in numbers([shape.get(k) for k in ("left", "top", "width", "height")])
        )
        window = _rows(shape.get("rle", ""), height, width)
        return Labelled(label, where, outline=placed(window, left, top, photo.size))
    raise Unusable(f"a {shape.tag} cannot be used")


def _points(text: str) -> list[float]:
    pairs = [pair.split(",") for pair in text.split(";") if pair.strip()]
    if len(pairs) < 3 or any(len(pair) != 2 for pair in pairs):
        raise Unusable(f"a polygon of {len(pairs)} points; it needs three")
    return numbers([value for pair in pairs for value in pair])


def _rows(text: str, height: int, width: int) -> np.ndarray:
    """A window's mask (height, width) from runs that go row by row: off, on, off, …"""
    runs = numbers([value for value in text.split(",") if value.strip()])
    if height <= 0 or width <= 0 or min(runs, default=0) < 0 or sum(runs) != height * width:
        raise Unusable(f"its runs add up to {sum(runs):g} pixels in place of {width} x {height}")
    on = np.arange(len(runs)) % 2 == 1
    return np.repeat(on, np.array(runs, np.intp)).reshape(height, width)
