"""pycocotools: run lengths, overlaps of regions, and COCO's average precision."""

from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import Callable
from typing import Any

import numpy as np
from pycocotools import mask as coco_masks
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from minirnn.verify.references import Skip


def _xywh(boxes: np.ndarray) -> np.ndarray:
    return np.hstack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]])


def _some(function: Callable) -> Callable:
    """Ask a function of two sets of regions only where neither is empty."""

    def compared(detections: Any, truths: Any) -> Any:
        if not len(detections) or not len(truths):
            raise Skip("gives a list for nothing")
        return function(detections, truths)

    return compared


def _iou(crowd: bool) -> Callable:
    return _some(lambda a, b: coco_masks.iou(_xywh(a), _xywh(b), np.full(len(b), crowd, np.uint8)))


def _regions(field: str) -> Callable:
    """The overlaps of annotations with the truth, by their boxes or masks."""
    return _some(
        lambda found, truths: coco_masks.iou(
            *([region[field] for region in regions] for regions in (found, truths)),
            [truth["iscrowd"] for truth in truths],
        )
    )


def _keypoint_similarity(detections: Any, truths: Any) -> Any:
    evaluation = COCOeval(iouType="keypoints")
    evaluation._gts[1, 1], evaluation._dts[1, 1] = truths, detections
    return evaluation.computeOks(1, 1)


def _encode(mask: np.ndarray) -> Any:
    return coco_masks.encode(np.asfortranarray(mask, np.uint8))


def _average_precision(truth: Any, results: Any, kind: str) -> np.ndarray:
    if not results:
        raise Skip("refuses an empty list of results")
    with contextlib.redirect_stdout(io.StringIO()):  # it prints a table of its own
        coco = COCO()
        coco.dataset = {"info": {}, **copy.deepcopy(truth)}
        coco.createIndex()
        # It takes a detection's area from the first of box, mask and keypoints that it has.
        own = ("image_id", "category_id", "score", {"segm": "segmentation"}.get(kind, kind))
        found = [{key: copy.deepcopy(result[key]) for key in own} for result in results]
        evaluation = COCOeval(coco, coco.loadRes(found), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return np.asarray(evaluation.stats)


FUNCTIONS: dict[str, Callable] = {
    "box_iou": _iou(crowd=False),
    "crowd_iou": _iou(crowd=True),
    "coco_box_iou": _regions("bbox"),
    "coco_mask_iou": _regions("segmentation"),
    "keypoint_similarity": _some(_keypoint_similarity),
    "rle_encode": _encode,
    "rle_decode": lambda rle: coco_masks.decode(rle).astype(bool),
    "rle_area": lambda rle: coco_masks.area(rle).astype(np.int64),
    "average_precision": _average_precision,
}
