"""What both evaluations (pycocotools' and ours) need of their input, checked and put right on a copy.

Ground truth comes from many hands, and COCO's evaluation takes some slips without a word: an
annotation with id 0 counts as never found, one without "iscrowd" stops it, a box area is taken for
a mask's. The copies made here have none of that, and the caller's data stay as they are.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from minirnn.errors import InputError
from minirnn.masks import rle
from minirnn.masks.checks import are_finite, is_finite, is_whole
from minirnn.masks.polygons import segmentation_to_rle

_BOX_NUMBERS = ["AP", "AP50", "AP75", "APs", "APm", "APl"]
_BOX_NUMBERS += ["AR1", "AR10", "AR100", "ARs", "ARm", "ARl"]
_KEYPOINT_NUMBERS = ["AP", "AP50", "AP75", "APm", "APl", "AR", "AR50", "AR75", "ARm", "ARl"]
# COCO's numbers by name, in COCO's order: AP and AR at all IoU thresholds, at 0.5 and 0.75, for
# small, medium and large objects, with at most 1, 10, 100 detections an image.
NUMBERS = {"bbox": _BOX_NUMBERS, "segm": _BOX_NUMBERS, "keypoints": _KEYPOINT_NUMBERS}
FIELDS = {"bbox": "bbox", "segm": "segmentation", "keypoints": "keypoints"}
_KEYPOINT_VALUES = 3 * 17


def check_ground_truth(
    ground_truth: Mapping[str, Any],
    kinds: Sequence[str],
    image_ids: Collection[Any] | None = None,
) -> dict[str, Any]:
    """A copy of COCO ground truth that is safe to evaluate with, with masks as run lengths.

    Annotations are numbered from 1, "iscrowd", "area" and "num_keypoints" are filled in where they
    are missing.

    Args:
        ground_truth: COCO's JSON as a dict with "images", "annotations" and "categories".
        kinds: what will be evaluated, of "bbox", "segm" and "keypoints".
        image_ids: take only these images; None takes all.

    Raises:
        InputError: a kind is unknown; a part is missing or malformed; an annotation's image or
            category is not there; there is no annotation at all.
    """
    for kind in kinds:
        if kind not in NUMBERS:
            raise InputError(f"kind {kind!r} is unknown; it should be one of {', '.join(NUMBERS)}")
    for part in ("images", "annotations", "categories"):
        if not isinstance(ground_truth, Mapping) or not isinstance(ground_truth.get(part), list):
            raise InputError(f"the ground truth has no list {part!r}: it is not COCO's format")
    images = {_id(image, "id", "an image"): image for image in ground_truth["images"]}
    categories = {_id(c, "id", "a category"): c for c in ground_truth["categories"]}
    if len(images) < len(ground_truth["images"]):
        raise InputError("two images of the ground truth have the same id")
    if image_ids is not None:
        unknown = [i for i in image_ids if i not in images]
        if unknown:
            raise InputError(f"image {unknown[0]} is not in the ground truth")
    wanted = images if image_ids is None else {i: images[i] for i in image_ids}
    annotations = []
    for annotation in ground_truth["annotations"]:
        who = f"annotation {_id(annotation, 'id', 'an annotation')}"
        image_id = _id(annotation, "image_id", who)
        if image_id not in images:
            raise InputError(f"{who} is of image {image_id}, which is not in the ground truth")
        if _id(annotation, "category_id", who) not in categories:
            raise InputError(f"{who} is of category {annotation['category_id']}, which is unknown")
        if image_id in wanted:
            annotations.append(_repaired(annotation, images[image_id], kinds, who))
    if not annotations:
        raise InputError("there is no ground truth: the images have no annotation at all")
    for number, annotation in enumerate(annotations, start=1):
        annotation["id"] = number
    return {
        "info": {},
        "images": [dict(image) for image in wanted.values()],
        "categories": [dict(category) for category in categories.values()],
        "annotations": annotations,
    }


def check_results(
    results: Sequence[Mapping[str, Any]], truth: Mapping[str, Any], kind: str
) -> list[dict[str, Any]]:
    """Copies of the results with what one kind of evaluation needs, and nothing else.

    Nothing else, because pycocotools takes a result's area from its box as soon as it has one, so
    that small, medium and large masks would be told apart by their boxes.

    Args:
        results: dicts as `minirnn.evaluation.results.to_results` makes them.
        truth: what `check_ground_truth` returned.
        kind: "bbox", "segm" or "keypoints".

    Raises:
        InputError: a result is malformed, or of an image or a category that the ground truth does
            not have.
    """
    if isinstance(results, str | bytes | Mapping) or not isinstance(results, Sequence):
        raise InputError("the results are not a list, as COCO's result format is")
    images = {image["id"]: image for image in truth["images"]}
    categories = {category["id"] for category in truth["categories"]}
    checked = []
    for i, result in enumerate(results):
        who = f"result {i}"
        image_id, category_id = _id(result, "image_id", who), _id(result, "category_id", who)
        if image_id not in images:
            raise InputError(f"{who} is of image {image_id}, which is not in the ground truth")
        if category_id not in categories:
            raise InputError(
                f"{who} is of category {category_id}, which is not in the ground truth"
            )
        score = _get(result, "score", who)
        if not is_finite(score):
            raise InputError(f"{who} has score {score!r}; it should be a finite number")
        checked.append(
            {
                "image_id": image_id,
                "category_id": category_id,
                "score": float(score),
                FIELDS[kind]: _region(result, kind, images[image_id], who),
            }
        )
    return checked


def _repaired(
    annotation: Mapping[str, Any], image: Mapping[str, Any], kinds: Sequence[str], who: str
) -> dict[str, Any]:
    copy = dict(annotation)
    copy["iscrowd"] = int(bool(annotation.get("iscrowd", 0)))
    for kind in kinds:
        copy[FIELDS[kind]] = _region(annotation, kind, image, who)
    if "keypoints" in kinds:
        copy["bbox"] = _region(annotation, "bbox", image, who)
        visible = sum(v > 0 for v in copy["keypoints"][2::3])
        copy["num_keypoints"] = annotation.get("num_keypoints", visible)
    if "area" not in annotation:
        if "segmentation" in annotation:
            copy["area"] = float(rle.area(_region(annotation, "segm", image, who)))
        else:
            box = _region(annotation, "bbox", image, who)
            copy["area"] = box[2] * box[3]
    if not is_finite(copy["area"]):
        raise InputError(f"{who} has area {copy['area']!r}; it should be a finite number")
    return copy


def _region(owner: Mapping[str, Any], kind: str, image: Mapping[str, Any], who: str) -> Any:
    """The box, the mask as run lengths, or the keypoints of an annotation or a result."""
    region = _get(owner, FIELDS[kind], who)
    if kind == "segm":
        height, width = _get(image, "height", "an image"), _get(image, "width", "an image")
        return segmentation_to_rle(region, height, width, name=f"the segmentation of {who}")
    length = 4 if kind == "bbox" else _KEYPOINT_VALUES
    if not are_finite(region, count=length):
        raise InputError(f"{who} has {FIELDS[kind]} {region!r}; it should be {length} numbers")
    if kind == "bbox" and min(region[2:]) < 0:
        raise InputError(f"{who} has bbox {region!r}; its width and height should be 0 or more")
    return [float(value) for value in region]


def _get(owner: Any, key: str, who: str) -> Any:
    if not isinstance(owner, Mapping) or key not in owner:
        raise InputError(f"{who} has no {key!r}")
    return owner[key]


def _id(owner: Any, key: str, who: str) -> int | str:
    """An id: a whole number, as COCO's are, or a text."""
    value = _get(owner, key, who)
    if not isinstance(value, str) and not is_whole(value):
        raise InputError(f"{who} has {key} {value!r}; it should be a whole number")
    return value
