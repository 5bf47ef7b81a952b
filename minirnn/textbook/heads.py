"""Targets, losses and decoding of the heads, one region at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from minirnn.data.sample import Target
from minirnn.textbook import boxes as box_ops
from minirnn.textbook.matching import BELOW, BETWEEN
from minirnn.textbook.rpn import smooth_l1


def roi_targets(
    proposals: np.ndarray, target: Target, *, threshold: float = 0.5, crowd_overlap: float = 0.5
) -> np.ndarray:
    """The object of each proposal (Girshick, Fast R-CNN, 2015, section 2.3)."""
    overlap = box_ops.iou(target.boxes, proposals)
    share = box_ops.crowd_iou(proposals, target.boxes)
    matches = np.full(len(proposals), BELOW, np.int64)
    for p in range(len(proposals)):
        best = None
        for g in range(len(target.boxes)):
            if not target.is_crowd[g] and (best is None or overlap[g, p] > overlap[best, p]):
                best = g
        if best is not None and overlap[best, p] >= threshold:
            matches[p] = best
        elif any(
            target.is_crowd[g] and share[p, g] >= crowd_overlap for g in range(len(target.boxes))
        ):
            matches[p] = BETWEEN
    return matches


def box_losses(
    logits: np.ndarray,
    deltas: np.ndarray,
    regions: np.ndarray,
    labels: np.ndarray,
    matched_boxes: np.ndarray,
    *,
    weights: Sequence[float] = (10.0, 10.0, 5.0, 5.0),
    beta: float = 1 / 9,
    background_last: bool = False,
) -> tuple[float, float]:
    """Equations 1 to 3 of Fast R-CNN, with the mean over all regions."""
    classification = regression = 0.0
    for r, label in enumerate(labels):
        shifted = logits[r] - logits[r].max()
        column = label
        if background_last:
            column = label - 1 if label > 0 else len(shifted) - 1
        classification -= shifted[column] - math.log(sum(math.exp(z) for z in shifted))
        if label > 0:
            goal = box_ops.encode(regions[r : r + 1], matched_boxes[r : r + 1], weights)[0]
            own = deltas[r, 4 * column : 4 * column + 4]
            regression += sum(smooth_l1(own[k] - goal[k], beta) for k in range(4))
    return classification / max(len(labels), 1), regression / max(len(labels), 1)


def detections_of_image(
    probabilities: np.ndarray,
    deltas: np.ndarray,
    proposals: np.ndarray,
    image_size: tuple[int, int],
    *,
    score_threshold: float = 0.05,
    nms_iou: float = 0.5,
    max_detections: int = 100,
    min_side: float = 1e-2,
    weights: Sequence[float] = (10.0, 10.0, 5.0, 5.0),
    background_last: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Candidates of every class, thinned out class by class (Fast R-CNN, section 2.4)."""
    found = []
    for p in range(len(proposals)):
        for label in range(1, probabilities.shape[1]):
            column = label - 1 if background_last else label
            delta = deltas[p : p + 1, 4 * column : 4 * column + 4]
            box = box_ops.clip(box_ops.decode(proposals[p : p + 1], delta, weights), *image_size)
            score = probabilities[p, column]
            if score > score_threshold and box_ops.large_enough(box, min_side)[0]:
                found.append((box[0], label, score))
    boxes = np.array([f[0] for f in found], proposals.dtype).reshape(-1, 4)
    labels = np.array([f[1] for f in found], np.int64)
    scores = np.array([f[2] for f in found], probabilities.dtype)
    keep = box_ops.batched_nms(boxes, scores, labels, nms_iou)[:max_detections]
    return boxes[keep], labels[keep], scores[keep]


def mask_loss(
    logits: np.ndarray, masks: np.ndarray, labels: np.ndarray, *, background_last: bool = False
) -> float:
    """Binary cross-entropy of each pixel of the true class's mask (Mask R-CNN, 2017, section 3)."""
    total, count = 0.0, 0
    for p, label in enumerate(labels):
        for y in range(masks.shape[1]):
            for x in range(masks.shape[2]):
                own = label - 1 if background_last else label
                z, t = float(logits[p, own, y, x]), float(masks[p, y, x])
                total += math.log1p(math.exp(-abs(z))) + max(z, 0) - z * t
                count += 1
    return total / count if count else 0.0


def mask_probabilities(
    logits: np.ndarray, labels: np.ndarray, *, background_last: bool = False
) -> np.ndarray:
    """The sigmoid of each detection's own class (Mask R-CNN, section 3)."""
    result = np.zeros((len(labels), *logits.shape[2:]), logits.dtype)
    for d, label in enumerate(labels):
        own = label - 1 if background_last else label
        for y in range(logits.shape[2]):
            for x in range(logits.shape[3]):
                result[d, y, x] = 1 / (1 + math.exp(-logits[d, own, y, x]))
    return result
