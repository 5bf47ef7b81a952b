"""Whether two lists of detections are the same, up to what rounding does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

#: A partner has the same label, and is as near as this: pixels, and probability. Two libraries that
#: resize an image a rounding error apart stay well within; another object does not.
NEAR_BOX, NEAR_SCORE = 1.0, 0.01
#: The share of the detections that must have a partner. Not all: those at the end of the list may swap
#: places with some that did not make it.
LEAST_SHARE = 0.95
#: What is tolerated of the differences between partners, relative: boxes to the image's longer side.
TOLERANCE = 1e-3


def partners(
    ours: Any,
    boxes: np.ndarray,
    labels: np.ndarray,
    scores: np.ndarray,
    *,
    near_box: float,
    near_score: float,
) -> np.ndarray:
    """For each detection of another library, ours that is the same; each of ours is taken once.

    Rounding may swap two in the lists that are nearly equally likely.

    Args:
        ours: `Detections` of an image, D of them.
        boxes: theirs, (E, 4).
        labels: theirs, (E,).
        scores: theirs, (E,).
        near_box: how far apart, in pixels, two coordinates of the same detection may be.
        near_score: how far apart their scores may be.

    Returns:
        (E,) indices of ours: of the same label, with box and score as near as asked, and of several
        the one whose box is nearest; -1 where there is none.
    """
    free = np.ones(len(ours.boxes), bool)
    found = np.full(len(boxes), -1)
    for k in range(len(boxes)):
        apart = np.abs(ours.boxes - boxes[k]).max(axis=1, initial=0)
        near = (apart <= near_box) & (np.abs(ours.scores - scores[k]) <= near_score)
        places = np.flatnonzero(near & free & (ours.labels == labels[k]))
        if len(places):
            found[k] = places[apart[places].argmin()]
            free[found[k]] = False
    return found


@dataclass
class Agreement:
    """How the detections of some images of one size compare.

    Attributes:
        ours: number of our detections.
        theirs: number of theirs.
        partners: how many have a partner.
        box: largest difference of a coordinate between partners, pixels.
        score: largest difference of a score between partners.
        pixels: share of the partners' mask pixels that differ, in the worst image.
        longer_side: of the image, pixels.
    """

    ours: int = 0
    theirs: int = 0
    partners: int = 0
    box: float = 0.0
    score: float = 0.0
    pixels: float = 0.0
    longer_side: int = 1

    @property
    def difference(self) -> float:
        """The larger of box / longer_side and score; infinite if too many have no partner."""
        most = max(self.ours, self.theirs)
        if most and self.partners < LEAST_SHARE * most:
            return float("inf")
        return max(self.box / self.longer_side, self.score)

    def sentence(self) -> str:
        """The agreement in words."""
        return (
            f"{self.partners} of {max(self.ours, self.theirs)} detections have a partner with the same "
            f"label; boxes differ by up to {self.box:.1e} px, scores by {self.score:.1e}, "
            f"{self.pixels:.1e} of the mask pixels"
        )

    def add(self, ours: Any, theirs: Mapping[str, np.ndarray]) -> None:
        """Find the partner of each detection of an image, and how far apart the two are.

        Args:
            ours: `Detections` of the image.
            theirs: arrays "boxes", "labels", "scores" and "masks" (D, 1, H, W) of probabilities.
        """
        boxes, scores = theirs["boxes"], theirs["scores"]
        places = partners(
            ours, boxes, theirs["labels"], scores, near_box=NEAR_BOX, near_score=NEAR_SCORE
        )
        rows = np.flatnonzero(places >= 0)
        own = places[rows]
        self.ours += len(ours.boxes)
        self.theirs += len(boxes)
        self.partners += len(rows)
        self.box = max(self.box, float(np.abs(ours.boxes[own] - boxes[rows]).max(initial=0)))
        self.score = max(self.score, float(np.abs(ours.scores[own] - scores[rows]).max(initial=0)))
        if ours.masks is not None:
            masks, other = ours.masks[own], theirs["masks"][rows, 0] > 0.5
            wrong = int((masks != other).sum()) / max(int((masks | other).sum()), 1)
            self.pixels = max(self.pixels, wrong)
        self.longer_side = max(theirs["masks"].shape[-2:])


def agreement(ours: Sequence[Any], theirs: Sequence[Mapping[str, np.ndarray]]) -> Agreement:
    """How all images together compare; arguments as in `Agreement.add`, for each image."""
    found = Agreement()
    for pair in zip(ours, theirs, strict=True):
        found.add(*pair)
    return found
