"""Matching and sampling as the papers define them, one anchor at a time."""

from __future__ import annotations

import numpy as np

BELOW = -1
BETWEEN = -2


def match(quality: np.ndarray, low: float, high: float, *, force: bool = True) -> np.ndarray:
    """Positives, negatives and the rest by IoU (Ren et al., Faster R-CNN, 2015, section 3.1.2)."""
    n_truths, n_anchors = quality.shape
    matches = np.full(n_anchors, BELOW, dtype=np.int64)
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
            matches[a] = BETWEEN
    return matches


def ignore_crowds(matches: np.ndarray, crowd_overlap: np.ndarray, threshold: float) -> np.ndarray:
    """No negatives on crowd regions (Lin et al., Microsoft COCO, 2014, on `iscrowd`)."""
    result = matches.copy()
    for a in range(len(matches)):
        for overlap in crowd_overlap[a]:
            if matches[a] < 0 and overlap >= threshold:
                result[a] = BETWEEN
    return result


def sample(
    matches: np.ndarray, count: int, positive_fraction: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A mini-batch with a limited part of positives (Ren et al., 2015, section 3.1.3)."""
    all_positives = [a for a in range(len(matches)) if matches[a] >= 0]
    all_negatives = [a for a in range(len(matches)) if matches[a] == BELOW]
    n_positives = min(len(all_positives), int(count * positive_fraction))
    n_negatives = min(len(all_negatives), count - n_positives)
    positives = rng.choice(all_positives, n_positives, replace=False, shuffle=False)
    negatives = rng.choice(all_negatives, n_negatives, replace=False, shuffle=False)
    return (
        np.array(sorted(positives), dtype=np.int64),
        np.array(sorted(negatives), dtype=np.int64),
    )


def _best_of_some_truth(quality: np.ndarray, anchor: int) -> bool:
    return any(row[anchor] > 0 and row[anchor] == max(row) for row in quality)
