"""From what a reader found to a folder in COCO's layout that training takes as it is.

Every photograph is opened and every object checked as `CocoDataset` checks it; what would stop a training
is left out by name. The folder is written beside its place and put there when it is whole.
"""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from minirnn.data.annotations import Rejected, check_filled, check_segmentation, corners_of_box
from minirnn.data.convert.found import Found, Labelled, LeftOut, Photo
from minirnn.data.convert.shapes import box_of, rectangle
from minirnn.data.convert.splits import is_folder_name
from minirnn.data.convert.summary import Summary
from minirnn.data.convert.walk import MARK
from minirnn.data.new_set import copy_all, new_folder, unused_name
from minirnn.errors import InputError
from minirnn.images import check_image, image_size
from minirnn.masks import rle, segmentation_to_mask, segmentation_to_rle
from minirnn.progress import Bar


def write(
    found: Found,
    folder: Path,
    *,
    link: bool = False,
    boxes_only: bool = False,
    progress: bool = True,
) -> Summary:
    """Write annotations/instances_SPLIT.json and SPLIT/ with the photographs.

    Args:
        found: what a reader found; its `left_out` is taken over.
        folder: must not be there, or be empty.
        link: make hard links to the photographs in place of copies.
        boxes_only: leave outlines away.
        progress: show a bar.

    Raises:
        InputError: the folder holds something, nothing can be used, a split's name is none for a folder, or
            the disk does not take links.
        OSError: a file cannot be written.
    """
    for split in {photo.split for photo in found.photos}:
        if not is_folder_name(split):
            raise InputError(
                f"split {split!r} cannot be a folder's name; give it another in the tool"
            )
    summary = Summary(found.form, folder, left_out=list(found.left_out), notes=list(found.notes))
    photos = _usable(found, summary, boxes_only, progress)
    if not any(photo.objects for photo in photos):
        first = f", the first: {summary.left_out[0]}" if summary.left_out else ""
        raise InputError(
            f"{found.form}: nothing can be used: {len(photos)} photographs without an object, "
            f"{len(summary.left_out)} things left out{first}"
        )
    _fill_boxes(photos, found, summary, boxes_only)
    names = list(dict.fromkeys([*found.categories, *(o.label for p in photos for o in p.objects)]))
    ids = {name: number for number, name in enumerate(names, start=1)}
    summary.categories = {name: {} for name in names}
    by_case = Counter(name.lower() for name in names)
    for name in names:
        if by_case[name.lower()] > 1:
            summary.notes.append(f"category {name!r} has the name of another in other letters")
    with new_folder(folder) as unfinished:
        (unfinished / "annotations").mkdir()
        for split in dict.fromkeys(photo.split for photo in photos):
            mine = [photo for photo in photos if photo.split == split]
            content = _content(mine, ids, summary, split)
            copies = [record["file_name"] for record in content["images"]]
            files = list(zip([photo.path for photo in mine], copies, strict=True))
            copy_all(files, unfinished / split, link=link, progress=progress)
            path = unfinished / "annotations" / f"instances_{split}.json"
            path.write_text(json.dumps(content), encoding="utf-8")
    return summary


def _usable(found: Found, summary: Summary, boxes_only: bool, progress: bool) -> list[Photo]:
    """The photographs that can be opened, with their size, and of their objects those that fit."""
    with (
        ThreadPoolExecutor() as pool,
        Bar(total=len(found.photos), unit=" images", desc="reading", disable=not progress) as bar,
    ):
        problems = []
        for problem in pool.map(_open, found.photos):
            problems.append(problem)
            bar.update()
    photos: list[Photo] = []
    labels: dict[Path, Path] = {}
    emptied: list[LeftOut] = []
    for photo, problem in zip(found.photos, problems, strict=True):
        if photo.path in labels:
            problem = f"it has its labels from {labels[photo.path]} already"
        bare = photo.objects and all(labelled.outline is None for labelled in photo.objects)
        if problem is None and bare and found.only_outlined and not boxes_only:
            problem = "its objects have boxes only, others have outlines; --boxes-only takes it"
        if problem is not None:
            file = photo.labels if photo.labels.is_file() else photo.path
            what = f"the picture {photo.path.name} with its {len(photo.objects)} objects"
            summary.left_out.append(LeftOut(file, what, problem))
            continue
        drawn = photo.lost + len(photo.objects)
        photo.objects = [o for o in photo.objects if _fits(o, photo, summary, boxes_only)]
        if drawn and not photo.objects:
            reason = f"all that is drawn on it ({drawn}) is left out; it would teach that it shows nothing"
            emptied.append(LeftOut(photo.labels, f"the picture {photo.path.name}", reason))
            continue
        labels[photo.path] = photo.labels
        photos.append(photo)
    _name_emptied(emptied, summary)
    return photos


def _name_emptied(emptied: list[LeftOut], summary: Summary) -> None:
    """Photographs all of whose objects are left out stay out: what they show would count as background."""
    summary.left_out += emptied
    names = [each.what.removeprefix("the picture ") for each in emptied]
    if names:
        shown = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
        summary.notes.append(
            f"photographs left out with all of their objects: {len(names)} ({shown}). Without the objects "
            "they would teach that they show none"
        )


def _open(photo: Photo) -> str | None:
    """Open a photograph and set its size; what is wrong with it, if anything."""
    try:
        photo.size = photo.size or image_size(photo.path)
        check_image(photo.path, size=photo.size)
    except InputError as error:
        return str(error).removeprefix(f"{photo.path}: ")
    return None


def _fits(labelled: Labelled, photo: Photo, summary: Summary, boxes_only: bool) -> bool:
    """Whether an object can be trained on; sets its box where it has only an outline."""
    assert photo.size is not None
    try:
        if isinstance(labelled.outline, list):
            labelled.outline = _whole_polygons(labelled, photo, summary)
        if labelled.outline is not None:
            segmentation_to_rle(labelled.outline, *photo.size, name="its outline")
            labelled.box = labelled.box or box_of(labelled.outline)
        if labelled.box is None:
            raise Rejected("no box", "nothing of it can be used")
        x1, y1, x2, y2 = labelled.box
        box = corners_of_box([x1, y1, x2 - x1, y2 - y1], *photo.size)
        if labelled.outline is not None and not boxes_only:
            check_segmentation(labelled.outline, box, *photo.size)
            if isinstance(labelled.outline, dict):
                check_filled(segmentation_to_mask(labelled.outline, *photo.size), box)
    except (Rejected, InputError) as problem:
        reason = f"{problem.reason}: " if isinstance(problem, Rejected) else ""
        what = f"{labelled.where} ({labelled.label!r})"
        summary.left_out.append(LeftOut(photo.labels, what, f"{reason}{problem}"))
        return False
    return True


def _whole_polygons(labelled: Labelled, photo: Photo, summary: Summary) -> list | None:
    """The polygons with three points or more; pieces with fewer are named."""
    assert isinstance(labelled.outline, list)
    whole = [p for p in labelled.outline if not isinstance(p, list) or len(p) >= 6]
    if len(whole) < len(labelled.outline) and (whole or labelled.box):
        what = (
            f"{len(labelled.outline) - len(whole)} pieces of {labelled.where} ({labelled.label!r})"
        )
        summary.left_out.append(LeftOut(photo.labels, what, "a piece with fewer than three points"))
    return whole or (None if labelled.box else labelled.outline)


def _fill_boxes(photos: list[Photo], found: Found, summary: Summary, boxes_only: bool) -> None:
    """A set has outlines for all of its objects or for none, since training takes it so."""
    objects = [(photo, labelled) for photo in photos for labelled in photo.objects]
    summary.has_masks = not boxes_only and any(o.outline is not None for _, o in objects)
    for photo, labelled in objects:
        if not summary.has_masks:
            labelled.outline = None
        elif labelled.outline is None:
            assert labelled.box is not None
            labelled.outline = [rectangle(labelled.box)]
            summary.boxes_filled[str(photo.labels)] += 1


def _content(
    photos: list[Photo], ids: dict[str, int], summary: Summary, split: str
) -> dict[str, Any]:
    """A split's annotation file; counts into the summary."""
    images: list[dict] = []
    annotations: list[dict] = []
    used: set[str] = set()
    for number, photo in enumerate(photos, start=1):
        assert photo.size is not None
        name = unused_name(photo.path, used)
        images.append(
            {"id": number, "file_name": name, "height": photo.size[0], "width": photo.size[1]}
        )
        for labelled in photo.objects:
            annotations.append(
                {"id": len(annotations) + 1, "image_id": number, "category_id": ids[labelled.label]}
                | _annotation(labelled, photo.size)
            )
            counts = summary.categories[labelled.label]
            counts[split] = counts.get(split, 0) + 1
    summary.splits[split] = {
        "images": len(images),
        "without_objects": sum(not photo.objects for photo in photos),
        "objects": len(annotations),
    }
    return {
        "info": {"description": f"{MARK} from {summary.form}"},
        "licenses": [],
        "images": images,
        "annotations": annotations,
        "categories": [{"id": i, "name": name, "supercategory": ""} for name, i in ids.items()],
    }


def _annotation(labelled: Labelled, size: tuple[int, int]) -> dict[str, Any]:
    assert labelled.box is not None
    x1, y1, x2, y2 = (round(float(value), 3) for value in labelled.box)
    result = {
        "bbox": [x1, y1, round(x2 - x1, 3), round(y2 - y1, 3)],
        "area": round((x2 - x1) * (y2 - y1), 3),
        "iscrowd": int(labelled.crowd),
    }
    if labelled.outline is not None:
        runs = segmentation_to_rle(labelled.outline, *size)
        outline = labelled.outline
        if isinstance(outline, list):
            outline = [[round(float(value), 3) for value in polygon] for polygon in outline]
        result |= {
            "segmentation": runs if isinstance(outline, dict) else outline,
            "area": rle.area(runs),
        }
    return result
