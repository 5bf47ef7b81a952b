"""Targets, losses and decoding of the box head and the mask head, one region at a time.

Labels are 1…K, and 0 is background. In the network's columns background is the first (it then has deltas
and a mask, which nobody uses), or with `background_last` the last (it then has none).

Read this first, then `minirnn.heads`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minirnn.structures import Target
from minirnn.textbook import boxes as box_ops
from minirnn.textbook.activation import log_softmax, sigmoid
from minirnn.textbook.losses import binary_cross_entropy_with_logits, smooth_l1
from minirnn.textbook.matching import BACKGROUND, IGNORE


def roi_targets(
    proposals: np.ndarray, target: Target, *, threshold: float = 0.5, crowd_overlap: float = 0.5
) -> np.ndarray:
    """The object that each proposal is to find: the one with the largest IoU, if it is large enough.

    Args:
        proposals: (P, 4).
        target: the image's objects and crowd regions.
        threshold: smallest IoU with an object.
        crowd_overlap: a proposal without an object, of which such a part lies in a crowd, is ignored.

    Returns:
        (P,) the object's number in target.boxes, BACKGROUND or IGNORE.

    Source: Girshick, Fast R-CNN (2015), section 2.3.
    """
    overlap = box_ops.iou(target.boxes, proposals)
    share = box_ops.crowd_iou(proposals, target.boxes)
    matches = np.full(len(proposals), BACKGROUND, np.int64)
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
            matches[p] = IGNORE
    return matches


def box_losses(
    logits: np.ndarray,
    deltas: np.ndarray,
    sampled: Sequence[Any],
    targets: Sequence[Target],
    *,
    weights: Sequence[float] = (10.0, 10.0, 5.0, 5.0),
    beta: float = 1 / 9,
    background_last: bool = False,
) -> tuple[float, float]:
    """What is in each region, and where does it end? Both means are over all regions of all images.

        L_class = mean of -log softmax(logits)[label]
        L_box   = mean of smooth-L1(deltas[label], encode(region, object)); background gives 0

    Args:
        logits: (R, K + 1).
        deltas: (R, 4 · (K + 1)), or (R, 4 · K) with background last.
        sampled: of each image its regions, together R: boxes (S, 4), labels (S,), matched (S,), the
            number of each region's object in the image's target, and positives, the number of
            regions that have one. These come first.
        targets: of each image.
        weights: of the box code.
        beta: where smooth-L1 turns from square to straight.
        background_last: see the top of this file.

    Returns:
        L_class and L_box; both 0 for no regions.

    Source: Girshick, Fast R-CNN (2015), equations 1 to 3.
    """
    classification, regression, r = 0.0, 0.0, 0
    for rois, target in zip(sampled, targets, strict=True):
        for i, label in enumerate(rois.labels):
            column = label
            if background_last:
                column = label - 1 if label > 0 else logits.shape[1] - 1
            classification -= log_softmax(logits[r])[column]
            if i < rois.positives:
                region, truth = rois.boxes[i : i + 1], target.boxes[rois.matched[i]]
                goal = box_ops.encode(region, truth[None], weights)[0]
                own = deltas[r, 4 * column : 4 * column + 4]
                regression += float(smooth_l1(own, goal, beta=beta, reduction="sum"))
            r += 1
    return classification / max(r, 1), regression / max(r, 1)


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
    """From scores and deltas of an image's proposals to its detections.

    Each proposal is a candidate for each class, with a box of its own. Class by class, candidates that
    overlap a better one go.

    Args:
        probabilities: (P, K + 1), softmax over the classes.
        deltas: (P, 4 · (K + 1)), or (P, 4 · K) with background last.
        proposals: (P, 4).
        image_size: (height, width) without padding.
        score_threshold: candidates have more than this.
        nms_iou: candidates of one class that overlap more are duplicates.
        max_detections: how many come out at most.
        min_side: smallest width and height, pixels.
        weights: of the box code.
        background_last: see the top of this file.

    Returns:
        boxes (D, 4), labels (D,) and scores (D,), by falling score.

    Source: Girshick, Fast R-CNN (2015), section 2.4.
    """
    found = []
    for p in range(len(proposals)):
        for label in range(1, probabilities.shape[1]):
            column = label - 1 if background_last else label
            delta = deltas[p : p + 1, 4 * column : 4 * column + 4]
            box = box_ops.clip(box_ops.decode(proposals[p : p + 1], delta, weights), *image_size)
            score = probabilities[p, column]
            if score > score_threshold and box_ops.large_enough(box, min_side)[0]:
                found.append((box[0], label, score))
    boxes = np.array([f[0] for f in found], deltas.dtype).reshape(-1, 4)
    labels = np.array([f[1] for f in found], np.int64)
    scores = np.array([f[2] for f in found], probabilities.dtype)
    keep = box_ops.batched_nms(boxes, scores, labels, nms_iou, max_detections)
    return boxes[keep], labels[keep], scores[keep]


def mask_loss(
    logits: np.ndarray, masks: np.ndarray, labels: np.ndarray, *, background_last: bool = False
) -> float:
    """Binary cross-entropy of each pixel, in the map of the region's true class only; the mean.

    Args:
        logits: (P, K + 1, M, M), or (P, K, M, M) with background last.
        masks: (P, M, M), the targets, 0…1.
        labels: (P,) in 1…K.
        background_last: see the top of this file.

    Returns:
        A number; 0 for no regions.

    Source: He et al., Mask R-CNN (2017), section 3.
    """
    total = 0.0
    for p, label in enumerate(labels):
        own = logits[p, label - 1 if background_last else label]
        total += float(binary_cross_entropy_with_logits(own, masks[p], reduction="sum"))
    return total / masks.size if masks.size else 0.0


def mask_probabilities(
    logits: np.ndarray, labels: np.ndarray, *, background_last: bool = False
) -> np.ndarray:
    """The sigmoid of each detection's map of its own class: classes do not compete for pixels.

    Args:
        logits: (D, K + 1, M, M), or (D, K, M, M) with background last.
        labels: (D,) in 1…K.
        background_last: see the top of this file.

    Returns:
        (D, M, M) in 0…1.

    Source: He et al., Mask R-CNN (2017), section 3.
    """
    result = np.zeros((len(labels), *logits.shape[2:]), logits.dtype)
    for d, label in enumerate(labels):
        result[d] = sigmoid(logits[d, label - 1 if background_last else label])
    return result
