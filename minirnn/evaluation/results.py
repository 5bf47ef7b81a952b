"""Detections as COCO writes them down: a list of dicts, one for each detection."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minirnn.backend import to_host
from minirnn.errors import InputError
from minirnn.files import write_whole
from minirnn.masks import rle
from minirnn.structures import Detections


def to_results(
    detections: Detections,
    image_id: int,
    label_to_category: Mapping[int, int] | Sequence[int],
) -> list[dict[str, Any]]:
    """One image's detections in COCO's result format.

    Args:
        detections: D detections, in pixels of the image as it is in the data set.
        image_id: the image's id there.
        label_to_category: the data set's category id of each label 1…K (which may have gaps).

    Returns:
        D dicts with image_id, category_id, bbox [x, y, width, height], score; segmentation (run
        lengths) where there are masks; keypoints [x, y, score, …] where there are keypoints. Plain
        Python values in full precision, ready for JSON.

    Raises:
        InputError: a label has no category.
    """
    boxes = to_host(detections.boxes).astype(np.float64).reshape(-1, 4)
    labels, scores = to_host(detections.labels), to_host(detections.scores)
    masks = None if detections.masks is None else rle.encode_many(detections.masks)
    keypoints = None if detections.keypoints is None else to_host(detections.keypoints)
    results = []
    for i, (x1, y1, x2, y2) in enumerate(boxes.tolist()):
        result: dict[str, Any] = {
            "image_id": int(image_id),
            "category_id": _category_of(int(labels[i]), label_to_category, image_id),
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "score": float(scores[i]),
        }
        if masks is not None:
            result["segmentation"] = masks[i]
        if keypoints is not None:
            result["keypoints"] = keypoints[i].astype(np.float64).reshape(-1).tolist()
        results.append(result)
    return results


def write_results(path: str | os.PathLike[str], results: Sequence[Mapping[str, Any]]) -> None:
    """Write a result file that pycocotools loads; it appears whole or not at all.

    Args:
        path: of the JSON file; its folder is created if need be.
        results: what `to_results` gave, of all images together.

    Raises:
        InputError: a number among them is not finite or something is no number or text (JSON has no
            word for it), or the file cannot be written.
    """
    path = Path(path)
    try:
        text = json.dumps(list(results), allow_nan=False, default=_as_python)
    except ValueError:
        raise InputError(f"{path}: the results hold a number that is not finite") from None
    except TypeError as error:
        raise InputError(f"{path}: {error}") from None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from error


def _as_python(value: Any) -> Any:
    """NumPy's numbers and arrays as Python's, which JSON has words for."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"the results hold {value!r}, which is nothing that JSON can hold")


def _category_of(
    label: int, label_to_category: Mapping[int, int] | Sequence[int], image_id: int
) -> int:
    # Label 0 is background, and in a sequence a negative index would quietly count from the end.
    if label >= 1:
        try:
            return int(label_to_category[label])
        except (KeyError, IndexError):
            pass
    raise InputError(f"image {image_id}: label {label} has no category")
