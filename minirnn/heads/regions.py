"""Which proposals the heads learn from, and which object each is to find.

A proposal with an IoU of at least 0.5 with an object is a lesson about that object; the others are
lessons about background. Most are background, so only `count` are drawn, up to a quarter of them
objects. Source: Girshick, "Fast R-CNN", 2015, section 2.3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minirnn import matching
from minirnn.backend import Array, to_host, xp_of
from minirnn.structures import Target


@dataclass(frozen=True)
class RegionSampler:
    """The settings of `sample_rois`, under the names of its arguments."""

    count: int = 512
    positive_fraction: float = 0.25
    threshold: float = 0.5
    crowd_overlap: float = 0.5

    def __call__(self, proposals: Array, target: Target, rng: np.random.Generator) -> SampledRois:
        """Draw the regions of one image, see `sample_rois`."""
        return sample_rois(proposals, target, rng, **vars(self))


@dataclass
class SampledRois:
    """The regions of one image that the heads are trained on.

    Attributes:
        boxes: (S, 4) regions, positives first. Constants: no gradient goes back into them.
        labels: (S,) intp, the class to predict, 0 for background.
        matched: (S,) intp, index of the object in the image's target; 0 where there is none.
        positives: how many of the regions, counted from the first, are objects.
    """

    boxes: Array
    labels: Array
    matched: Array
    positives: int


def roi_targets(
    proposals: Array, target: Target, *, threshold: float = 0.5, crowd_overlap: float = 0.5
) -> Array:
    """The object that each proposal is to find.

    Args:
        proposals: (P, 4).
        target: the image's ground truth.
        threshold: IoU from which a proposal is positive.
        crowd_overlap: a negative with this share of its area in a crowd region is left out.

    Returns:
        (P,) intp: index of the object in target.boxes, matching.BACKGROUND or matching.IGNORE.
    """
    return matching.match_boxes(
        proposals, target, threshold, threshold, crowd_overlap=crowd_overlap
    )


def sample_rois(
    proposals: Array,
    target: Target,
    rng: np.random.Generator,
    *,
    count: int = 512,
    positive_fraction: float = 0.25,
    threshold: float = 0.5,
    crowd_overlap: float = 0.5,
) -> SampledRois:
    """Draw the regions of one image for training.

    The objects' own boxes are added to the proposals, so that there is something to learn from the
    first step on, while proposals are still random.

    Args:
        proposals: (P, 4), from the RPN.
        target: the image's ground truth.
        rng: draws which proposals; on the host, so that CPU and GPU draw alike.
        count: number of regions.
        positive_fraction: share of objects among them, at most.
        threshold: IoU from which a proposal is positive.
        crowd_overlap: as in `roi_targets`.
    """
    xp = xp_of(proposals)
    objects = xp.asarray(np.flatnonzero(~to_host(target.is_crowd)), dtype=np.intp)
    boxes = xp.concatenate([proposals, target.boxes[objects].astype(proposals.dtype)])
    matches = roi_targets(boxes, target, threshold=threshold, crowd_overlap=crowd_overlap)
    positives, negatives = matching.sample(matches, count, positive_fraction, rng)
    chosen = xp.concatenate([positives, negatives])
    matched = xp.maximum(matches[chosen], 0)
    is_object = xp.arange(len(chosen)) < len(positives)
    if len(target.labels):
        labels = xp.where(is_object, target.labels[matched], 0)
    else:
        labels = xp.zeros(len(chosen), xp.intp)
    return SampledRois(boxes[chosen], labels, matched, len(positives))
