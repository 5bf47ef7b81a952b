"""Keypoints, one point and one cell at a time. Read this first, then `minirnn.heads.keypoint`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np


def keypoint_cells(keypoints: np.ndarray, boxes: np.ndarray, size: int) -> np.ndarray:
    """The cell of a size × size grid over the box that each labelled point is in.

    Args:
        keypoints: (R, P, 3) x, y in pixels, and visibility 0, 1, 2, of which 0 is "not labelled".
        boxes: (R, 4) x1, y1, x2, y2 in pixels.
        size: cells along each side.

    Returns:
        (R, P) row · size + column; -1 for a point that is not labelled or outside of its box.

    Source: He et al., Mask R-CNN (2017), section 5: a one-hot mask of one pixel.
    """
    cells = np.full(keypoints.shape[:2], -1, np.intp)
    for r, (x1, y1, x2, y2) in enumerate(boxes):
        for p, (x, y, visible) in enumerate(keypoints[r]):
            column = size - 1 if x == x2 else math.floor((x - x1) * (size / (x2 - x1)))
            row = size - 1 if y == y2 else math.floor((y - y1) * (size / (y2 - y1)))
            if visible > 0 and 0 <= column < size and 0 <= row < size:
                cells[r, p] = row * size + column
    return cells


def keypoint_loss(logits: np.ndarray, cells: np.ndarray) -> float:
    """How surprised each map is by its point's cell, on average over the points that have one.

        -log softmax(all cells of the map)[the point's cell]

    Args:
        logits: (R, P, M, M).
        cells: (R, P) from `keypoint_cells`.

    Returns:
        A number; 0 where no point has a cell.
    """
    surprises = []
    for r in range(cells.shape[0]):
        for p in range(cells.shape[1]):
            if cells[r, p] >= 0:
                z = logits[r, p].ravel() - logits[r, p].max()
                surprises.append(math.log(sum(math.exp(v) for v in z)) - z[cells[r, p]])
    return sum(surprises) / len(surprises) if surprises else 0.0


def keypoints_of_maps(logits: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Resize each map to its box in whole pixels, and take the middle of the largest pixel.

    Args:
        logits: (D, P, M, M).
        boxes: (D, 4) x1, y1, x2, y2 in pixels.

    Returns:
        (D, P, 3) x, y in pixels, and the logit there.
    """
    points = np.zeros((*logits.shape[:2], 3), logits.dtype)
    for d, (x1, y1, x2, y2) in enumerate(boxes):
        wide, high = max(x2 - x1, 1), max(y2 - y1, 1)
        columns, rows = math.ceil(wide), math.ceil(high)
        for p in range(logits.shape[1]):
            large = bicubic(logits[d, p], size=(rows, columns))
            best = (0, 0)
            for i in range(rows):
                for j in range(columns):
                    if large[i, j] > large[best]:
                        best = (i, j)
            x = x1 + (best[1] + 0.5) * (wide / columns)
            y = y1 + (best[0] + 0.5) * (high / rows)
            points[d, p] = x, y, large[best]
    return points


def bicubic(x: np.ndarray, *, size: Sequence[int]) -> np.ndarray:
    """Each output cell from the 16 input cells around it, weighted by their distance.

    Args:
        x: (…, H, W).
        size: (H', W').

    Returns:
        (…, H', W').

    Source: Keys, "Cubic convolution interpolation", 1981, with a = -0.75.
    """
    height, width = x.shape[-2:]
    y = np.zeros((*x.shape[:-2], *size), x.dtype)
    for i in range(size[0]):
        for j in range(size[1]):
            row, column = (i + 0.5) * height / size[0] - 0.5, (j + 0.5) * width / size[1] - 0.5
            for u in range(math.floor(row) - 1, math.floor(row) + 3):
                for v in range(math.floor(column) - 1, math.floor(column) + 3):
                    value = x[..., min(max(u, 0), height - 1), min(max(v, 0), width - 1)]
                    y[..., i, j] += _cubic(abs(row - u)) * _cubic(abs(column - v)) * value
    return y


def _cubic(d: float) -> float:
    a = -0.75
    if d <= 1:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1
    return a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a if d < 2 else 0.0


#: By how much annotators differ in placing a point, as a part of the object's size √area.
SIGMAS = {
    "nose": 0.026,
    "eye": 0.025,
    "ear": 0.035,
    "shoulder": 0.079,
    "elbow": 0.072,
    "wrist": 0.062,
    "hip": 0.107,
    "knee": 0.087,
    "ankle": 0.089,
}
#: COCO's 17 points: the nose, then left and right of each of the others.
POINTS = ("nose", *(name for name in list(SIGMAS)[1:] for _ in ("left", "right")))


def keypoint_similarity(
    detections: list[dict[str, Any]], truths: list[dict[str, Any]]
) -> np.ndarray:
    """Object keypoint similarity (OKS) of each detection with each true object.

        OKS = Σ exp(-dᵢ² / 2 s² kᵢ²) / n        over the n points that are labelled (visibility > 0)

    dᵢ is how far point i is from its place, s² the object's area, and kᵢ = 2 σᵢ. An object without a
    labelled point has no OKS; COCO then asks how far each point is outside of its box, which is made three
    times as wide and high.

    Args:
        detections: D of them, each with 17 `keypoints` x, y, … one after the other, in pixels.
        truths: G of them, each with `keypoints` x, y, visibility, `area` in square pixels, and `bbox` x, y,
            width, height.

    Returns:
        (D, G), each in 0…1.

    Source: https://cocodataset.org/#keypoints-eval, section 1.2; the case without labels is that of the
    COCO API.
    """
    similarity = np.zeros((len(detections), len(truths)))
    for i, detection in enumerate(detections):
        for j, truth in enumerate(truths):
            labelled = [p for p in range(17) if truth["keypoints"][3 * p + 2] > 0]
            terms = []
            for p in labelled or range(17):
                x, y = detection["keypoints"][3 * p : 3 * p + 2]
                if labelled:
                    dx, dy = x - truth["keypoints"][3 * p], y - truth["keypoints"][3 * p + 1]
                else:
                    left, top, width, height = truth["bbox"]
                    dx = max(left - width - x, x - (left + 2 * width), 0)
                    dy = max(top - height - y, y - (top + 2 * height), 0)
                k = 2 * SIGMAS[POINTS[p]]
                # So that an object of no area is not divided by 0.
                area = truth["area"] + np.spacing(1)
                terms.append(math.exp(-(dx**2 + dy**2) / (2 * area * k**2)))
            similarity[i, j] = sum(terms) / len(terms)
    return similarity
