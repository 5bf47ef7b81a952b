"""Whether two lists of detections are the same, up to what rounding does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from minirnn.verify.partners import partners

#: A partner has the same label, and is as near as this: pixels, and probability. Two libraries that
#: resize an image a rounding error apart stay well within; another object does not.
NEAR_BOX, NEAR_SCORE = 1.0, 0.01
#: Detections at the end of the list may swap places with some that did not make it.
LEAST_SHARE = 0.95
#: What is tolerated of the differences between partners, relative: boxes to the image's longer side.
TOLERANCE = 1e-3


@dataclass
class Agreement:
    """How two lists of detections compare.

    Attributes:
        ours: number of our detections.
        theirs: number of theirs.
        partners: how many have a partner.
        box: largest difference of a coordinate between partners, pixels.
        score: largest difference of a score between partners.
        pixels: share of the partners' mask pixels that differ.
        longer_side: of the image, pixels.
    """

    ours: int
    theirs: int
    partners: int
    box: float
    score: float
    pixels: float
    longer_side: int

    @property
    def difference(self) -> float:
        """The larger of the relative differences; infinite if too many have no partner."""
        most = max(self.ours, self.theirs)
        if most and self.partners < LEAST_SHARE * most:
            return float("inf")
        return max(self.box / self.longer_side, self.score)

    def sentence(self) -> str:
        """For a person."""
        return (
            f"{self.partners} of {max(self.ours, self.theirs)} detections have a partner with the same "
            f"label; boxes differ by up to {self.box:.1e} px, scores by {self.score:.1e}, "
            f"{self.pixels:.1e} of the mask pixels"
        )


def agreement(ours: Any, theirs: dict[str, np.ndarray]) -> Agreement:
    """Find each detection's partner, and how far apart the two are.

    Args:
        ours: `Detections` of an image.
        theirs: arrays "boxes", "labels", "scores" and "masks" (D, 1, H, W) of probabilities.
    """
    boxes, scores = theirs["boxes"], theirs["scores"]
    places = partners(
        ours, boxes, theirs["labels"], scores, near_box=NEAR_BOX, near_score=NEAR_SCORE
    )
    rows = np.flatnonzero(places >= 0)
    matched = places[rows]
    box = np.abs(ours.boxes[matched] - boxes[rows]).max(initial=0)
    score = np.abs(ours.scores[matched] - scores[rows]).max(initial=0)
    wrong = pixels = 0
    if ours.masks is not None:
        for j, k in zip(matched, rows, strict=True):
            mask = theirs["masks"][k, 0] > 0.5
            wrong += int((mask != ours.masks[j]).sum())
            pixels += int((mask | ours.masks[j]).sum())
    side = max(theirs["masks"].shape[-2:]) if "masks" in theirs else 1
    return Agreement(
        ours=len(ours.boxes),
        theirs=len(boxes),
        partners=len(rows),
        box=float(box),
        score=float(score),
        pixels=wrong / max(pixels, 1),
        longer_side=side,
    )


def together(parts: list[Agreement]) -> Agreement:
    """The agreements of several images of one size as one: sums, and the largest differences."""
    return Agreement(
        sum(p.ours for p in parts),
        sum(p.theirs for p in parts),
        sum(p.partners for p in parts),
        max(p.box for p in parts),
        max(p.score for p in parts),
        max(p.pixels for p in parts),
        parts[0].longer_side,
    )
