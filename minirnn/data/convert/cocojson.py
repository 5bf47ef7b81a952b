"""COCO's JSON as tools export it: the format is right, its place, ids and names are not.

Used by the readers of CVAT, Roboflow and Label Studio, and for any such file by itself (`--format coco`).
Category ids are given anew, by name: one file counts from 0, another has its names in another order.

Why not a library: every library that reads COCO (`supervision`, `datumaro`, `labelformat`, pycocotools)
wants the images at one fixed place, and none says which annotations it left out.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from minirnn.data.convert.found import (
    Found,
    Labelled,
    Photo,
    Unusable,
    numbers,
    read_json,
    stated_size,
)
from minirnn.data.convert.pictures import Pictures
from minirnn.data.convert.splits import splits_of_files
from minirnn.data.convert.walk import label_files
from minirnn.errors import InputError


def read(folder: Path, images: Path | None = None) -> Found:
    """Every file of COCO's form in a folder and below."""
    found = Found("coco")
    pictures = Pictures(folder, images)
    files = [file for file in label_files(folder, "*.json") if is_coco(file)]
    for file, split in splits_of_files(files).items():
        read_file(file, split, found, pictures)
    return found


def is_coco(file: Path) -> bool:
    """Whether a file is JSON of COCO's form."""
    try:
        content = read_json(file)
    except InputError:
        return False
    return is_coco_content(content)


def is_coco_content(content: Any) -> bool:
    """Whether a JSON file's content is of COCO's form."""
    return isinstance(content, dict) and all(
        isinstance(content.get(key), list) for key in ("images", "annotations", "categories")
    )


def has_crowds(file: Path) -> bool:
    """Whether an object in a file of COCO's form is marked as a crowd."""
    if not is_coco(file):
        return False
    annotations = read_json(file)["annotations"]
    return any(isinstance(each, dict) and each.get("iscrowd") == 1 for each in annotations)


def read_file(
    file: Path,
    split: str,
    found: Found,
    pictures: Pictures,
    *,
    near: Path | None = None,
    crowds_are_masks: bool = False,
) -> None:
    """Add what a file has to `found`.

    Args:
        file: of COCO's form.
        split: where its photographs belong.
        found: gets categories, photographs, and what is left out.
        pictures: where to look for them.
        near: where to look for them first; None is the file's folder.
        crowds_are_masks: the tool marks every mask that is no polygon as a crowd.
    """
    content = read_json(file)
    if not is_coco_content(content):
        found.leave(file, "the file", "it has no lists of images, annotations and categories")
        return
    names = _categories(file, content, found)
    photos: dict[Any, Photo | None] = {}
    for position, record in enumerate(content["images"]):
        try:
            photo = _photo(record, file, split, pictures, near or file.parent)
            if record["id"] in photos:
                raise Unusable(f"image id {record['id']} is there twice")
        except Unusable as problem:
            name = record.get("file_name") if isinstance(record, dict) else position
            found.leave(file, f"image {name!r}", str(problem))
            if isinstance(record, dict) and _is_key(record.get("id")):
                photos.setdefault(record["id"], None)
            continue
        photos[record["id"]] = photo
        found.photos.append(photo)
    crowds = _annotations(content, file, names, photos, found, crowds_are_masks)
    if crowds:
        found.notes.append(
            f"{file.name}: masks that are marked as crowds, as the tool marks each made with a brush, "
            f"and are taken as one object each: {crowds}"
        )


def _is_key(value: Any) -> bool:
    return isinstance(value, int | str)


def _categories(file: Path, content: dict, found: Found) -> dict[Any, str]:
    """The categories' names by id; a root that only groups others is no category.

    Roboflow puts one first: id 0, without annotations, the supercategory of all others.
    """
    records = [
        r for r in content["categories"] if isinstance(r, dict) and isinstance(r.get("name"), str)
    ]
    records = [r for r in records if _is_key(r.get("id"))]
    used = {
        a.get("category_id")
        for a in content["annotations"]
        if isinstance(a, dict) and _is_key(a.get("category_id"))
    }
    parents = {str(r.get("supercategory")) for r in records if r.get("supercategory") != r["name"]}
    names = {}
    for record in records:
        name = record["name"].strip()
        if record["name"] in parents and record["id"] not in used and len(records) > 1:
            note = f"{name!r} only groups the other categories, and is none itself"
            if note not in found.notes:
                found.notes.append(note)
            continue
        names[record["id"]] = name
        if name not in found.categories:
            found.categories.append(name)
    return names


def _photo(record: Any, file: Path, split: str, pictures: Pictures, near: Path) -> Photo:
    if not isinstance(record, dict) or not _is_key(record.get("id")):
        raise Unusable("the image has no id")
    if not isinstance(record.get("file_name"), str):
        raise Unusable("the image has no file_name")
    path = pictures.find(record["file_name"], near)
    return Photo(path, file, split, stated_size(record.get("height"), record.get("width")))


def _annotations(
    content: dict,
    file: Path,
    names: dict[Any, str],
    photos: dict[Any, Photo | None],
    found: Found,
    crowds_are_masks: bool,
) -> int:
    """Add the objects to their photographs; how many crowds were taken as objects."""
    crowds, lost = 0, Counter[Any]()
    for position, annotation in enumerate(content["annotations"]):
        what, photo = f"annotation number {position}", None
        try:
            if not isinstance(annotation, dict):
                raise Unusable("it is no JSON object")
            what = f"annotation {annotation.get('id', position)}"
            key = annotation.get("image_id")
            if not _is_key(key) or key not in photos:
                raise Unusable(f"there is no image {key!r}")
            if (photo := photos[key]) is None:
                lost[key] += 1
                continue
            labelled = _labelled(annotation, what, names)
        except Unusable as problem:
            if photo is None:
                found.leave(file, what, str(problem))
            else:
                found.lose(photo, what, problem)
            continue
        if labelled.crowd and crowds_are_masks:
            labelled.crowd = False
            crowds += 1
        photo.objects.append(labelled)
    for key, count in lost.items():
        found.leave(file, f"{count} annotations of image {key}", "their image is left out")
    return crowds


def _labelled(annotation: dict, what: str, names: dict[Any, str]) -> Labelled:
    category = annotation.get("category_id")
    if not _is_key(category) or category not in names:
        raise Unusable(f"category {category!r} is not in the file's list")
    box, outline = None, annotation.get("segmentation")
    if annotation.get("bbox"):
        x, y, width, height = numbers(annotation["bbox"], 4)
        box = (x, y, x + width, y + height)
    if not isinstance(outline, list | dict) or not outline or outline == [[]]:
        outline = None  # a box only
    if box is None and outline is None:
        raise Unusable("it has neither box nor outline")
    return Labelled(names[category], what, box, outline, crowd=annotation.get("iscrowd") == 1)
