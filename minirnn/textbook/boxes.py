"""Boxes as the papers define them, one box at a time. Read this first, then `minirnn.boxes`."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def area(boxes: np.ndarray) -> np.ndarray:
    """Width times height, with no +1 (Everingham et al., PASCAL VOC, 2010, section 4.2)."""
    result = np.zeros(len(boxes), dtype=boxes.dtype)
    for i, (x1, y1, x2, y2) in enumerate(boxes):
        if x2 > x1 and y2 > y1:
            result[i] = (x2 - x1) * (y2 - y1)
    return result


def intersection(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Area of the part that two boxes share (Everingham et al., 2010, section 4.2)."""
    result = np.zeros((len(a), len(b)), dtype=a.dtype)
    for i, (ax1, ay1, ax2, ay2) in enumerate(a):
        for j, (bx1, by1, bx2, by2) in enumerate(b):
            x1, y1 = max(ax1, bx1), max(ay1, by1)
            x2, y2 = min(ax2, bx2), min(ay2, by2)
            if x2 > x1 and y2 > y1:
                result[i, j] = (x2 - x1) * (y2 - y1)
    return result


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union; 0 where both have no area (Everingham et al., 2010, section 4.2)."""
    shared = intersection(a, b)
    area_a, area_b = area(a), area(b)
    result = np.zeros_like(shared)
    for i in range(len(a)):
        for j in range(len(b)):
            union = area_a[i] + area_b[j] - shared[i, j]
            if union > 0:
                result[i, j] = shared[i, j] / union
    return result


def crowd_iou(boxes: np.ndarray, crowds: np.ndarray) -> np.ndarray:
    """Part of each box that lies in each crowd region (COCO's evaluation, `iscrowd`)."""
    shared = intersection(boxes, crowds)
    own = area(boxes)
    result = np.zeros_like(shared)
    for i in range(len(boxes)):
        for j in range(len(crowds)):
            if own[i] > 0:
                result[i, j] = shared[i, j] / own[i]
    return result


def encode(
    anchors: np.ndarray, boxes: np.ndarray, weights: Sequence[float] = (1.0, 1.0, 1.0, 1.0)
) -> np.ndarray:
    """From an anchor to its box as four numbers (Ren et al., Faster R-CNN, 2015, equation 2)."""
    deltas = np.zeros_like(boxes)
    for i in range(len(anchors)):
        x_a, y_a, w_a, h_a = _centre_form(anchors[i])
        x, y, w, h = _centre_form(boxes[i])
        deltas[i, 0] = weights[0] * (x - x_a) / w_a
        deltas[i, 1] = weights[1] * (y - y_a) / h_a
        deltas[i, 2] = weights[2] * math.log(w / w_a)
        deltas[i, 3] = weights[3] * math.log(h / h_a)
    return deltas


def decode(
    anchors: np.ndarray,
    deltas: np.ndarray,
    weights: Sequence[float] = (1.0, 1.0, 1.0, 1.0),
    clamp: float = math.log(1000 / 16),
) -> np.ndarray:
    """From an anchor and four numbers (for each class) to a box (Ren et al., 2015, equation 2)."""
    boxes = np.zeros_like(deltas)
    for i in range(len(anchors)):
        x_a, y_a, w_a, h_a = _centre_form(anchors[i])
        for first in range(0, deltas.shape[1], 4):
            dx, dy, dw, dh = (deltas[i, first + k] / weights[k] for k in range(4))
            x, y = dx * w_a + x_a, dy * h_a + y_a
            w, h = w_a * math.exp(min(dw, clamp)), h_a * math.exp(min(dh, clamp))
            boxes[i, first : first + 4] = x - w / 2, y - h / 2, x + w / 2, y + h / 2
    return boxes


def clip(boxes: np.ndarray, height: float, width: float) -> np.ndarray:
    """Cut boxes off at the image's edge (Ren et al., 2015, section 3.3)."""
    clipped = np.zeros_like(boxes)
    for index in np.ndindex(*boxes.shape):
        limit = width if index[-1] % 2 == 0 else height  # x1 and x2, or y1 and y2
        clipped[index] = min(max(boxes[index], 0), limit)
    return clipped


def large_enough(boxes: np.ndarray, min_size: float) -> np.ndarray:
    """Which boxes have an area and both sides >= min_size (Ren et al., 2015, released code)."""
    result = np.zeros(len(boxes), dtype=bool)
    for i, (x1, y1, x2, y2) in enumerate(boxes):
        for side in (x2 - x1, y2 - y1):
            if side <= 0 or side < min_size:
                break
        else:
            result[i] = True
    return result


def nms(boxes: np.ndarray, scores: np.ndarray, iou_threshold: float) -> np.ndarray:
    """Greedy suppression (Felzenszwalb et al., Deformable Part Models, 2010, section 7.2)."""
    kept: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        for k in kept:
            if float(iou(boxes[i : i + 1], boxes[k : k + 1])[0, 0]) > iou_threshold:
                break
        else:
            kept.append(i)
    return np.array(kept, dtype=np.int64)


def batched_nms(
    boxes: np.ndarray, scores: np.ndarray, groups: np.ndarray, iou_threshold: float
) -> np.ndarray:
    """Suppression inside each class or level (Girshick et al., R-CNN, 2014, section 2.2)."""
    kept: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        for k in kept:
            overlap = float(iou(boxes[i : i + 1], boxes[k : k + 1])[0, 0])
            if groups[k] == groups[i] and overlap > iou_threshold:
                break
        else:
            kept.append(i)
    return np.array(kept, dtype=np.int64)


def from_xywh(boxes: np.ndarray) -> np.ndarray:
    """Left, top, width, height (COCO's annotation format) to x1, y1, x2, y2."""
    result = np.zeros_like(boxes)
    for i, (x, y, w, h) in enumerate(boxes):
        result[i] = x, y, x + w, y + h
    return result


def to_xywh(boxes: np.ndarray) -> np.ndarray:
    """Convert x1, y1, x2, y2 to left, top, width, height (COCO's annotation format)."""
    result = np.zeros_like(boxes)
    for i, (x1, y1, x2, y2) in enumerate(boxes):
        result[i] = x1, y1, x2 - x1, y2 - y1
    return result


def _centre_form(box: np.ndarray) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = box
    return (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1
