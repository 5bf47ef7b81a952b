"""Which of our detections is which of theirs: rounding may swap two that are nearly equally likely."""

from __future__ import annotations

from typing import Any

import numpy as np


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

    Args:
        ours: `Detections` of an image, D of them.
        boxes: theirs, (E, 4).
        labels: theirs, (E,).
        scores: theirs, (E,).
        near_box: how far apart, in pixels, two coordinates of the same detection may be.
        near_score: the same of scores.

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
