"""Boxes as the papers define them, one box at a time. Read this first, then `minirnn.boxes`."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def area(boxes: np.ndarray) -> np.ndarray:
    """Width times height, with no +1: (N, 4) → (N,); 0 where a side is not positive."""
    result = np.zeros(len(boxes), dtype=boxes.dtype)
    for i, (x1, y1, x2, y2) in enumerate(boxes):
        if x2 > x1 and y2 > y1:
            result[i] = (x2 - x1) * (y2 - y1)
    return result


def intersection(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Area of what two boxes share: from the larger left edge to the smaller right edge, and so on.

    (N, 4) and (M, 4) → (N, M), each of a with each of b.
    """
    result = np.zeros((len(a), len(b)), dtype=a.dtype)
    for i, (ax1, ay1, ax2, ay2) in enumerate(a):
        for j, (bx1, by1, bx2, by2) in enumerate(b):
            x1, y1 = max(ax1, bx1), max(ay1, by1)
            x2, y2 = min(ax2, bx2), min(ay2, by2)
            if x2 > x1 and y2 > y1:
                result[i, j] = (x2 - x1) * (y2 - y1)
    return result


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union: what two boxes share, as a part of what they cover together.

        iou = |a ∩ b| / (|a| + |b| - |a ∩ b|),   0 where both have no area

    (N, 4) and (M, 4) → (N, M).

    Source: Everingham et al., The PASCAL visual object classes challenge (2010), section 4.2.
    """
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
    """Part of each box that lies in each crowd region: |box ∩ crowd| / |box|.

    A crowd region has no end that a box could miss, so the union is not asked for.
    (N, 4) and (C, 4) → (N, C).

    Source: COCO's evaluation, on `iscrowd`.
    """
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
    """How to get from an anchor to its box, as four numbers that the network can predict.

        dx = (x - x_a) / w_a,   dy = (y - y_a) / h_a,   dw = log(w / w_a),   dh = log(h / h_a)

    with x, y the centre and w, h the sides, and each times its weight.

    Args:
        anchors: (N, 4) x1, y1, x2, y2.
        boxes: (N, 4), the box of each anchor.
        weights: of dx, dy, dw and dh.

    Returns:
        (N, 4).

    Source: Ren et al., Faster R-CNN (2015), equation 2.
    """
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
    """The way back from `encode`: move the anchor and stretch it.

        x = dx · w_a + x_a,   y = dy · h_a + y_a,   w = w_a · e^dw,   h = h_a · e^dh

    Args:
        anchors: (N, 4).
        deltas: (N, 4 · K): four numbers for each class, or only once.
        weights: what dx, dy, dw and dh are divided by first.
        clamp: dw and dh are cut off here, before e^dw becomes infinite.

    Returns:
        (N, 4 · K) boxes.

    Source: Ren et al., Faster R-CNN (2015), equation 2.
    """
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
    """Cut boxes (…, 4 · K) off at the edges of the image, 0…width and 0…height.

    Source: Ren et al., Faster R-CNN (2015), section 3.3.
    """
    clipped = np.zeros_like(boxes)
    for index in np.ndindex(*boxes.shape):
        limit = width if index[-1] % 2 == 0 else height  # x1 and x2, or y1 and y2
        clipped[index] = min(max(boxes[index], 0), limit)
    return clipped


def large_enough(boxes: np.ndarray, min_size: float) -> np.ndarray:
    """Which boxes (N, 4) have an area and both sides >= min_size, in pixels: (N,) bool.

    Source: the code released with Ren et al., Faster R-CNN (2015).
    """
    result = np.zeros(len(boxes), dtype=bool)
    for i, (x1, y1, x2, y2) in enumerate(boxes):
        for side in (x2 - x1, y2 - y1):
            if side <= 0 or side < min_size:
                break
        else:
            result[i] = True
    return result


def nms(boxes: np.ndarray, scores: np.ndarray, iou_threshold: float) -> np.ndarray:
    """Non-maximum suppression: a box goes if it overlaps one that is kept and scores more.

    Best first, each box is compared with those that were kept before it.

    Args:
        boxes: (N, 4).
        scores: (N,).
        iou_threshold: a box that overlaps a kept one more than this goes.

    Returns:
        (D,) indices of the kept boxes, by falling score; of equal scores the first comes first.

    Source: Felzenszwalb et al., Object detection with discriminatively trained part-based models
    (2010), section 7.2.
    """
    kept: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        for k in kept:
            if float(iou(boxes[i : i + 1], boxes[k : k + 1])[0, 0]) > iou_threshold:
                break
        else:
            kept.append(i)
    return np.array(kept, dtype=np.int64)


def batched_nms(
    boxes: np.ndarray,
    scores: np.ndarray,
    groups: np.ndarray,
    iou_threshold: float,
    at_most: int | None = None,
) -> np.ndarray:
    """`nms` inside each group (class or level): boxes of two groups never suppress each other.

    Args:
        boxes: (N, 4).
        scores: (N,).
        groups: (N,) integers.
        iou_threshold: a box that overlaps a better one of its group more than this goes.
        at_most: how many are kept, the best; None for all.

    Returns:
        (D,) indices of the kept boxes, by falling score.

    Source: Girshick et al., R-CNN (2014), section 2.2: "for each class independently".
    """
    kept: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        for k in kept:
            overlap = float(iou(boxes[i : i + 1], boxes[k : k + 1])[0, 0])
            if groups[k] == groups[i] and overlap > iou_threshold:
                break
        else:
            kept.append(i)
    return np.array(kept[:at_most], dtype=np.int64)


def from_xywh(boxes: np.ndarray) -> np.ndarray:
    """Left, top, width, height (the format of COCO's files) to x1, y1, x2, y2; both (N, 4)."""
    result = np.zeros_like(boxes)
    for i, (x, y, w, h) in enumerate(boxes):
        result[i] = x, y, x + w, y + h
    return result


def to_xywh(boxes: np.ndarray) -> np.ndarray:
    """x1, y1, x2, y2 to left, top, width, height (the format of COCO's files); both (N, 4)."""
    result = np.zeros_like(boxes)
    for i, (x1, y1, x2, y2) in enumerate(boxes):
        result[i] = x1, y1, x2 - x1, y2 - y1
    return result


def _centre_form(box: np.ndarray) -> tuple[float, float, float, float]:
    """Centre and sides: x, y, w, h."""
    x1, y1, x2, y2 = box.tolist()  # numbers of Python's, which are float64
    return (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1
