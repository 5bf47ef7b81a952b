"""Which images of COCO to take, and their part of the annotation file.

COCO is far from balanced: half of its images show a person, one in thirty a cat. Images are therefore drawn
one by one, each time one that shows the category of which the fewest have been drawn so far.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Sequence

from minirnn.data.annotations import Rejected, check_segmentation, corners_of_box
from minirnn.errors import InputError
from minirnn.fields import suggestion


def categories_named(content: dict, names: Sequence[str]) -> list[dict]:
    """The records of the categories with these names, in the file's order; no names: all.

    Raises:
        InputError: there is no such category; says which are close.
    """
    known = {record["name"]: record for record in content["categories"]}
    for name in names:
        if name not in known:
            hint = suggestion(name, known) or f"; there are {', '.join(known)}"
            raise InputError(f"categories: {name!r} is not one of COCO's{hint}")
    return [record for name, record in known.items() if not names or name in names]


def choose(content: dict, categories: Iterable[int], count: int, seed: int) -> list[int]:
    """Draw images so that each category is in about as many of them.

    The order in which a category's images come is that of a hash of seed and id: it depends on no
    library's random numbers, nor on the order in the file, and is the same everywhere and always.
    A longer choice begins with the shorter one. Crowd regions do not count as showing a category.

    Args:
        content: of an annotation file in COCO's format.
        categories: ids of categories. An image with several counts for each.
        count: how many images; fewer come if there are not so many.
        seed: decides the order.

    Returns:
        The images' ids, in the order drawn.
    """
    waiting: dict[int, deque[int]] = {category: deque() for category in sorted(categories)}
    shown: dict[int, set[int]] = defaultdict(set)
    for annotation in content["annotations"]:
        if annotation["category_id"] in waiting and _counts(annotation):
            shown[annotation["image_id"]].add(annotation["category_id"])
    for image_id in sorted(shown, key=lambda image_id: _lot(seed, image_id)):
        for category in shown[image_id]:
            waiting[category].append(image_id)
    drawn: dict[int, None] = {}
    counts = dict.fromkeys(waiting, 0)
    while waiting and len(drawn) < count:
        rarest = min(waiting, key=counts.__getitem__)
        if not waiting[rarest]:
            del waiting[rarest]
            continue
        image_id = waiting[rarest].popleft()
        if image_id not in drawn:
            drawn[image_id] = None
            for category in shown[image_id]:
                counts[category] += 1
    return list(drawn)


def images_of(content: dict, image_ids: Collection[int]) -> dict:
    """An annotation file with these images alone, and all that is annotated in them."""
    taken = set(image_ids)
    return {
        **content,
        "images": [record for record in content["images"] if record["id"] in taken],
        "annotations": [a for a in content["annotations"] if a["image_id"] in taken],
    }


def part_of(
    content: dict, image_ids: Collection[int], categories: Sequence[dict]
) -> tuple[dict, list[int]]:
    """An annotation file's part: these images, and their objects of these categories.

    Everything about the file, its licences and its images (licence, Flickr's address) stays. An object
    that training would stop at (a box without area, COCO's train2017 has some) is left out.

    Args:
        content: of an annotation file in COCO's format.
        image_ids: of the images.
        categories: records of the categories.

    Returns:
        The part, in the same format and order, and the ids of the annotations that were left out.
    """
    content = images_of(content, image_ids)
    images = {record["id"]: record for record in content["images"]}
    ids = {record["id"] for record in categories}
    annotations, left_out = [], []
    for annotation in content["annotations"]:
        if annotation["category_id"] in ids:
            if _usable(annotation, images[annotation["image_id"]]):
                annotations.append(annotation)
            else:
                left_out.append(annotation["id"])
    return {**content, "annotations": annotations, "categories": list(categories)}, left_out


def _counts(annotation: dict) -> bool:
    """Whether there is something to learn from: one object, with an area."""
    return not annotation.get("iscrowd") and min(annotation["bbox"][2:], default=0) > 0


def _usable(annotation: dict, image: dict) -> bool:
    size = image["height"], image["width"]
    if not annotation.get("segmentation"):
        return False
    try:
        box = corners_of_box(annotation.get("bbox"), *size)
        check_segmentation(annotation["segmentation"], box, *size)
    except Rejected:
        return False
    return True


def _lot(seed: int, image_id: int) -> bytes:
    return hashlib.sha256(f"{seed} {image_id}".encode()).digest()
