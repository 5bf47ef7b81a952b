"""Non-maximum suppression: of boxes that overlap much, only the one with the best score stays."""

from __future__ import annotations

import numpy as np

from minirnn.backend import Array, by_falling_score, to_host, xp_of
from minirnn.boxes.checks import require_batched_nms_input, require_nms_input
from minirnn.boxes.geometry import iou
from minirnn.kernels.table import operation


@operation(check=require_nms_input)
def nms(boxes: Array, scores: Array, iou_threshold: float) -> Array:
    """Greedy non-maximum suppression: keep the best box, drop what overlaps it, and go on.

    Boxes are visited by falling score (of equal scores, the lower index first). A box is kept
    unless its IoU with a box kept before is greater than the threshold; equal is not enough.

    The table of all overlaps is made where the boxes are. Whether a box is kept depends on those before
    it, so the loop that reads the table runs on the host.

    Args:
        boxes: (N, 4) float, pixels.
        scores: (N,) float.
        iou_threshold: in [0, 1].

    Returns:
        (D,) intp, indices of the kept boxes by falling score.

    Raises:
        InputError: a shape or dtype does not fit, or the threshold is outside [0, 1].

    Source: Felzenszwalb et al., Object Detection with Discriminatively Trained Part-Based Models
    (2010), section 7.2; Ren et al. (2015), section 3.3.
    """
    order = xp_of(boxes, scores).asarray(by_falling_score(to_host(scores)), dtype=np.intp)
    ranked = boxes[order]
    overlaps = to_host(iou(ranked, ranked) > rounded_down(iou_threshold, boxes.dtype))
    kept, dropped = [], np.zeros(len(order), bool)
    for i in range(len(order)):
        if not dropped[i]:
            kept.append(i)
            dropped |= overlaps[i]
    return order[xp_of(order).asarray(kept, dtype=np.intp)]


@operation(check=require_batched_nms_input)
def batched_nms(
    boxes: Array, scores: Array, groups: Array, iou_threshold: float, at_most: int | None = None
) -> Array:
    """NMS inside each group: boxes of different classes or levels never suppress each other.

    The groups are suppressed one by one. Shifting every group to a place of its own and suppressing once
    is a common shortcut, but the shifted float32 coordinates are rounded, and a box whose IoU is
    near the threshold would then be kept or dropped depending on its group's number.

    Args:
        boxes: (N, 4) float, pixels.
        scores: (N,) float.
        groups: (N,) integers, any values.
        iou_threshold: in [0, 1].
        at_most: stop when so many are kept; None for all.

    Returns:
        (D,) intp, indices of the kept boxes of all groups together, by falling score.

    Raises:
        InputError: a shape or dtype does not fit, the threshold is outside [0, 1], or at_most is
            negative.
    """
    xp = xp_of(boxes, scores, groups)
    kept = xp.zeros(len(boxes), bool)
    for group in np.unique(to_host(groups)).tolist():
        (members,) = xp.nonzero(groups == group)
        kept[members[nms(boxes[members], scores[members], iou_threshold)]] = True
    order = xp.asarray(by_falling_score(to_host(scores)), dtype=np.intp)
    return order[kept[order]][:at_most]


def rounded_down(threshold: float, dtype: np.dtype) -> np.floating:
    """The largest number of `dtype` that is <= threshold, so that > means what it says.

    The float32 nearest to 0.3 is a little larger than 0.3. An IoU of just that value is greater
    than the threshold, and would be missed by comparing with the rounded threshold.
    """
    nearest = dtype.type(threshold)
    return np.nextafter(nearest, dtype.type(-1)) if float(nearest) > threshold else nearest
