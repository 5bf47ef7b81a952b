"""The region proposal network's stages, one anchor at a time. Then read `minirnn.proposals.rpn`.

Source: Ren et al., Faster R-CNN (2015).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minirnn.structures import Target
from minirnn.textbook import boxes as box_ops
from minirnn.textbook.activation import sigmoid_of_number
from minirnn.textbook.losses import binary_cross_entropy_with_logits, smooth_l1
from minirnn.textbook.matching import BACKGROUND, IGNORE


def flatten(
    logits: Sequence[np.ndarray], deltas: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """The head's maps in the order of the anchors: level by level, row by row, cell by cell.

    Args:
        logits: of each level (N, A, H, W), for A anchors in a cell.
        deltas: of each level (N, 4 · A, H, W), the four of an anchor one after the other.

    Returns:
        (N, ΣHWA) and (N, ΣHWA, 4).

    Source: Lin et al., Feature pyramid networks (2017), section 4.1.
    """
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
    """What each anchor is to learn: the object that it stands on, background, or nothing.

    Args:
        anchors: (A, 4).
        target: the image's objects and crowd regions.
        image_size: (height, width) without padding.
        foreground_iou: from it on an anchor has the object. So has one that overlaps an object best.
        background_iou: below it an anchor is background. Between the two it is ignored.
        crowd_overlap: an anchor without an object, of which such a part lies in a crowd, is ignored.
        drop_outside: anchors that reach out of the image are ignored.

    Returns:
        (A,) the object's number in target.boxes, BACKGROUND or IGNORE.

    Source: section 3.1.2.
    """
    objects = [g for g in range(len(target.boxes)) if not target.is_crowd[g]]
    crowds = [g for g in range(len(target.boxes)) if target.is_crowd[g]]
    overlap = box_ops.iou(target.boxes, anchors)
    share = box_ops.crowd_iou(anchors, target.boxes)
    matches = np.full(len(anchors), BACKGROUND, np.int64)
    for a in range(len(anchors)):
        best = max(objects, key=lambda g: overlap[g, a], default=None)
        if best is not None:
            forced = any(0 < overlap[g, a] == overlap[g].max() for g in objects)
            if overlap[best, a] >= foreground_iou or forced:
                matches[a] = best
            elif overlap[best, a] >= background_iou:
                matches[a] = IGNORE
        if matches[a] < 0 and any(share[a, g] >= crowd_overlap for g in crowds):
            matches[a] = IGNORE
        x1, y1, x2, y2 = anchors[a]
        if drop_outside and not (
            x1 >= 0 and y1 >= 0 and x2 <= image_size[1] and y2 <= image_size[0]
        ):
            matches[a] = IGNORE
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
    """Is there an object at each sampled anchor, and where? Both means are over all sampled anchors.

        L_objectness = mean of the binary cross-entropy of the logit
        L_box        = mean of smooth-L1(delta, encode(anchor, object)); background gives 0

    Args:
        logits: (N, A).
        deltas: (N, A, 4).
        anchors: (A, 4).
        targets: of each image.
        matches: of each image (A,), from `rpn_targets`.
        sampled: of each image (positives, negatives), numbers of anchors.
        weights: of the box code.
        beta: where smooth-L1 turns from square to straight.

    Returns:
        Objectness loss and box loss.

    Source: equation 1.
    """
    objectness, box, count = 0.0, 0.0, 0
    yes, no = np.ones(1), np.zeros(1)
    for image, (target, match, (positives, negatives)) in enumerate(
        zip(targets, matches, sampled, strict=True)
    ):
        for a in positives:
            own = logits[image, a : a + 1]
            objectness += float(binary_cross_entropy_with_logits(own, yes))
            truth = target.boxes[match[a] : match[a] + 1]
            goal = box_ops.encode(anchors[a : a + 1], truth, weights)[0]
            box += float(smooth_l1(deltas[image, a], goal, beta=beta, reduction="sum"))
        for a in negatives:
            own = logits[image, a : a + 1]
            objectness += float(binary_cross_entropy_with_logits(own, no))
        count += len(positives) + len(negatives)
    return (objectness / count, box / count) if count else (0.0, 0.0)


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
    """The best moved anchors of an image: the best of each level, decoded, clipped and thinned out.

    Args:
        logits: (A,).
        deltas: (A, 4).
        anchors: (A, 4).
        level_sizes: number of anchors on each level.
        image_size: (height, width) without padding.
        pre_nms: how many of each level, the best, go into the suppression.
        post_nms: how many come out, of all levels together.
        nms_iou: boxes of one level that overlap more are duplicates.
        min_side: smallest width and height, pixels.
        score_threshold: smallest probability of an object.
        weights: of the box code.

    Returns:
        boxes (P, 4) and their logits (P,), by falling logit.

    Source: section 3.3; level by level: Lin et al., Feature pyramid networks (2017), section 4.1.
    """
    candidates, start = [], 0
    for level, size in enumerate(level_sizes):
        best = sorted(range(start, start + size), key=lambda a: -logits[a])[:pre_nms]
        for a in best:
            box = box_ops.decode(anchors[a : a + 1], deltas[a : a + 1], weights)
            box = box_ops.clip(box, *image_size)
            probability = sigmoid_of_number(logits[a])
            if box_ops.large_enough(box, min_side)[0] and probability >= score_threshold:
                candidates.append((box[0], logits[a], level))
        start += size
    boxes = np.array([c[0] for c in candidates], deltas.dtype).reshape(-1, 4)
    scores = np.array([c[1] for c in candidates], logits.dtype)
    levels = np.array([c[2] for c in candidates], np.int64)
    keep = box_ops.batched_nms(boxes, scores, levels, nms_iou, post_nms)
    return boxes[keep], scores[keep]
