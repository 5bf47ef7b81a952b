"""The objects of a picture: some of them, moved, joined to others, or set aside."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from minirnn.boxes import area
from minirnn.structures import Target


def set_aside(target: Target, before: Target, min_visible: float) -> Target:
    """Objects of which too little is left are neither objects nor background any longer.

    They become crowd regions: nothing is to be found there, and it is no mistake if something is. (To drop
    them would be to say that an arm that is left of a person is background.)

    Args:
        target: what is left.
        before: the same objects as they were.
        min_visible: the least share that has to be left, of the mask's pixels, or else of the box's area.
    """
    now, then = _extent(target), _extent(before)
    return replace(target, is_crowd=target.is_crowd | (now < min_visible * then))


def kept(target: Target, which: np.ndarray) -> Target:
    """The target with those objects alone for which `which` (G,) is True."""
    return replace(
        target,
        boxes=target.boxes[which],
        labels=target.labels[which],
        masks=None if target.masks is None else target.masks[which],
        is_crowd=target.is_crowd[which],
        keypoints=None if target.keypoints is None else target.keypoints[which],
    )


def shifted(target: Target, left: int, top: int) -> Target:
    """Boxes, keypoints and proposals moved to the right and down. Masks, whose arrays would have to grow,
    are left as they are.
    """
    corner = np.array([left, top] * 2, np.float32)
    keypoints = None if target.keypoints is None else target.keypoints.copy()
    if keypoints is not None:
        keypoints[..., :2] += corner[:2] * (keypoints[..., 2:] > 0)
    proposals = None if target.proposals is None else target.proposals + corner
    return replace(target, boxes=target.boxes + corner, keypoints=keypoints, proposals=proposals)


def joined(target: Target, further: Target) -> Target:
    """All objects of both, in this order; their boxes are proposals, too, where the first has such."""
    masks, keypoints, proposals = target.masks, target.keypoints, target.proposals
    return replace(
        target,
        boxes=np.concatenate([target.boxes, further.boxes]),
        labels=np.concatenate([target.labels, further.labels]),
        masks=None if masks is None else np.concatenate([masks, further.masks]),
        is_crowd=np.concatenate([target.is_crowd, further.is_crowd]),
        keypoints=None if keypoints is None else np.concatenate([keypoints, further.keypoints]),
        proposals=None if proposals is None else np.concatenate([proposals, further.boxes]),
    )


def _extent(target: Target) -> np.ndarray:
    """(G,): how many pixels the masks have, or else the boxes' areas."""
    if target.masks is not None:
        return np.count_nonzero(target.masks, axis=(1, 2))
    return area(target.boxes)
