"""Matching and sampling as the papers define them, one anchor at a time.

A match is one number for each anchor: 0 or more is the number of its object, BACKGROUND says that it is
to learn that nothing is there, IGNORE that it is to learn nothing.

Read this first, then `minirnn.matching`.
"""

from __future__ import annotations

import numpy as np

BACKGROUND = -1
IGNORE = -2


def match(quality: np.ndarray, low: float, high: float, *, force: bool = True) -> np.ndarray:
    """Give each anchor the object that it overlaps best, if it overlaps it well enough.

    Args:
        quality: (G, A), IoU of each object with each anchor.
        low: below it an anchor is background.
        high: from it on an anchor has the object. Between the two it is ignored.
        force: an anchor that overlaps some object best of all anchors has an object in any case.

    Returns:
        (A,) number of the object, BACKGROUND or IGNORE. Of equal objects the first.

    Source: Ren et al., Faster R-CNN (2015), section 3.1.2.
    """
    n_truths, n_anchors = quality.shape
    matches = np.full(n_anchors, BACKGROUND, dtype=np.int64)
    for a in range(n_anchors):
        best = None
        for g in range(n_truths):
            if best is None or quality[g, a] > quality[best, a]:
                best = g
        if best is None:
            continue
        if quality[best, a] >= high or (force and _best_of_some_truth(quality, a)):
            matches[a] = best
        elif quality[best, a] >= low:
            matches[a] = IGNORE
    return matches


def ignore_crowds(matches: np.ndarray, crowd_overlap: np.ndarray, threshold: float) -> np.ndarray:
    """No background on crowd regions, where there may be an object that has no box.

    Args:
        matches: (A,) from `match`.
        crowd_overlap: (A, C), part of each anchor that lies in each crowd region.
        threshold: from this part on, an anchor without an object is ignored.

    Returns:
        (A,), a new array.

    Source: Lin et al., Microsoft COCO (2014), on `iscrowd`.
    """
    result = matches.copy()
    for a in range(len(matches)):
        for overlap in crowd_overlap[a]:
            if matches[a] < 0 and overlap >= threshold:
                result[a] = IGNORE
    return result


def sample(
    matches: np.ndarray, count: int, positive_fraction: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the anchors that one step learns from, so that background does not drown the objects.

    Args:
        matches: (A,) from `match`.
        count: how many, together.
        positive_fraction: part of them that may have an object; background fills up.
        rng: source of the draw.

    Returns:
        Positives (P,) and negatives (Q,): numbers of anchors, rising; P + Q ≤ count.

    Source: Ren et al., Faster R-CNN (2015), section 3.1.3.
    """
    all_positives = [a for a in range(len(matches)) if matches[a] >= 0]
    all_negatives = [a for a in range(len(matches)) if matches[a] == BACKGROUND]
    n_positives = min(len(all_positives), int(count * positive_fraction))
    n_negatives = min(len(all_negatives), count - n_positives)
    positives = rng.choice(all_positives, n_positives, replace=False, shuffle=False)
    negatives = rng.choice(all_negatives, n_negatives, replace=False, shuffle=False)
    return (
        np.array(sorted(positives), dtype=np.int64),
        np.array(sorted(negatives), dtype=np.int64),
    )


def _best_of_some_truth(quality: np.ndarray, anchor: int) -> bool:
    """Whether no anchor overlaps some object more than this one does, and it does at all."""
    return any(row[anchor] > 0 and row[anchor] == max(row) for row in quality)
