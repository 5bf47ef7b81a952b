"""The region proposal network's stages, one anchor at a time (Ren et al., Faster R-CNN, 2015)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from minirnn.data.sample import Target
from minirnn.textbook import boxes as box_ops
from minirnn.textbook.matching import BELOW, BETWEEN


def flatten(
    logits: Sequence[np.ndarray], deltas: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Level by level, row by row, pixel by pixel, anchor by anchor (FPN, 2017, section 4.1)."""
    flat_logits, flat_deltas = [], []
    for image in range(len(logits[0])):
        image_logits, image_deltas = [], []
        for level_logits, level_deltas in zip(logits, deltas, strict=True):
            _, anchors, height, width = level_logits.shape
            for y in range(height):
                for x in range(width):
                    for a in range(anchors):
                        image_logits.append(level_logits[image, a, y, x])
                        image_deltas.append(
                            [level_deltas[image, 4 * a + k, y, x] for k in range(4)]
                        )
        flat_logits.append(image_logits)
        flat_deltas.append(image_deltas)
    return np.array(flat_logits), np.array(flat_deltas)


def rpn_targets(
    anchors: np.ndarray,
    target: Target,
    image_size: tuple[int, int],
    *,
    foreground_iou: float = 0.7,
    background_iou: float = 0.3,
    crowd_overlap: float = 0.5,
    drop_outside: bool = False,
) -> np.ndarray:
    """Positive, negative or neither, for each anchor (section 3.1.2)."""
    objects = [g for g in range(len(target.boxes)) if not target.is_crowd[g]]
    crowds = [g for g in range(len(target.boxes)) if target.is_crowd[g]]
    overlap = box_ops.iou(target.boxes, anchors)
    share = box_ops.crowd_iou(anchors, target.boxes)
    matches = np.full(len(anchors), BELOW, np.int64)
    for a in range(len(anchors)):
        best = max(objects, key=lambda g: overlap[g, a], default=None)
        if best is not None:
            forced = any(0 < overlap[g, a] == overlap[g].max() for g in objects)
            if overlap[best, a] >= foreground_iou or forced:
                matches[a] = best
            elif overlap[best, a] >= background_iou:
                matches[a] = BETWEEN
        if matches[a] < 0 and any(share[a, g] >= crowd_overlap for g in crowds):
            matches[a] = BETWEEN
        x1, y1, x2, y2 = anchors[a]
        if drop_outside and not (
            x1 >= 0 and y1 >= 0 and x2 <= image_size[1] and y2 <= image_size[0]
        ):
            matches[a] = BETWEEN
    return matches


def rpn_losses(
    logits: np.ndarray,
    deltas: np.ndarray,
    anchors: np.ndarray,
    targets: Sequence[Target],
    matches: Sequence[np.ndarray],
    sampled: Sequence[tuple[np.ndarray, np.ndarray]],
    *,
    weights: Sequence[float] = (1.0, 1.0, 1.0, 1.0),
    beta: float = 1 / 9,
) -> tuple[float, float]:
    """Equation 1, with the means taken over the sampled anchors of all images."""
    objectness, box, count = 0.0, 0.0, 0
    for image, (target, match, (positives, negatives)) in enumerate(
        zip(targets, matches, sampled, strict=True)
    ):
        for a in positives:
            objectness += math.log1p(math.exp(-logits[image, a]))
            goal = box_ops.encode(
                anchors[a : a + 1], target.boxes[match[a] : match[a] + 1], weights
            )
            box += sum(smooth_l1(deltas[image, a, k] - goal[0, k], beta) for k in range(4))
        for a in negatives:
            objectness += math.log1p(math.exp(logits[image, a]))
        count += len(positives) + len(negatives)
    return (objectness / count, box / count) if count else (0.0, 0.0)


def smooth_l1(difference: float, beta: float) -> float:
    """Square near 0, straight beyond beta (Girshick, Fast R-CNN, 2015, equation 3)."""
    size = abs(float(difference))
    return size - beta / 2 if size >= beta else size**2 / (2 * beta)


def proposals_of_image(
    logits: np.ndarray,
    deltas: np.ndarray,
    anchors: np.ndarray,
    level_sizes: Sequence[int],
    image_size: tuple[int, int],
    *,
    pre_nms: int,
    post_nms: int,
    nms_iou: float = 0.7,
    min_side: float = 1e-3,
    score_threshold: float = 0.0,
    weights: Sequence[float] = (1.0, 1.0, 1.0, 1.0),
) -> tuple[np.ndarray, np.ndarray]:
    """The best of each level, decoded, clipped and thinned out (section 3.3)."""
    candidates, start = [], 0
    for level, size in enumerate(level_sizes):
        best = sorted(range(start, start + size), key=lambda a: -logits[a])[:pre_nms]
        for a in best:
            box = box_ops.decode(anchors[a : a + 1], deltas[a : a + 1], weights)
            box = box_ops.clip(box, *image_size)
            probability = 1 / (1 + math.exp(-logits[a]))
            if box_ops.large_enough(box, min_side)[0] and probability >= score_threshold:
                candidates.append((box[0], logits[a], level))
        start += size
    boxes = np.array([c[0] for c in candidates], anchors.dtype).reshape(-1, 4)
    scores = np.array([c[1] for c in candidates], logits.dtype)
    levels = np.array([c[2] for c in candidates], np.int64)
    keep = box_ops.batched_nms(boxes, scores, levels, nms_iou)[:post_nms]
    return boxes[keep], scores[keep]
