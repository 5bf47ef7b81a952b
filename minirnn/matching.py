"""Matching: which ground truth each anchor or proposal should learn, and which of them are used.

A match is one integer for each anchor: 0 or more is the index of its ground truth (a positive),
BACKGROUND makes it a negative, and IGNORE leaves it out of training.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minirnn import boxes as box_ops
from minirnn.backend import Array, to_host, xp_of
from minirnn.boxes.match import BACKGROUND, IGNORE, match
from minirnn.errors import InputError
from minirnn.structures import Target


def ignore_crowds(matches: Array, crowd_overlap: Array, threshold: float) -> Array:
    """Leave out the anchors that are no positives but lie on a crowd.

    A crowd region has no box for each of its objects, so it can teach nothing positive (keep it
    out of the `quality` given to `match`). But it is no background either: an anchor on it may sit
    exactly on one of the objects. Negatives there become IGNORE.

    Args:
        matches: (A,) from `match`.
        crowd_overlap: (A, C), part of each anchor inside each crowd region (`boxes.crowd_iou`).
        threshold: from this overlap on an anchor is on a crowd; > 0.

    Returns:
        (A,) intp, a new array.

    Raises:
        InputError: the shapes do not fit, or the threshold is not > 0.
    """
    xp = xp_of(matches, crowd_overlap)
    _require_matches(matches)
    if crowd_overlap.ndim != 2 or crowd_overlap.shape[0] != matches.shape[0]:
        raise InputError(
            f"crowd_overlap has shape {tuple(crowd_overlap.shape)}; "
            f"it should be ({matches.shape[0]}, C), one row for each of matches"
        )
    if not threshold > 0:
        raise InputError(f"threshold is {threshold}; it should be > 0, or all anchors are ignored")
    on_crowd = (crowd_overlap >= threshold).any(axis=1)
    return xp.where((matches < 0) & on_crowd, IGNORE, matches)


def match_boxes(
    boxes: Array,
    target: Target,
    low: float,
    high: float,
    *,
    force: bool = False,
    crowd_overlap: float = 0.5,
) -> Array:
    """The object that each anchor or proposal is to find: `match` by IoU, and crowds left out.

    Args:
        boxes: (A, 4), anchors or proposals.
        target: the image's ground truth; crowd regions are matched with nothing.
        low: as in `match`.
        high: as in `match`.
        force: as in `match`.
        crowd_overlap: as the threshold in `ignore_crowds`.

    Returns:
        (A,): index of the object in target.boxes, BACKGROUND or IGNORE.
    """
    xp, crowd = xp_of(boxes), to_host(target.is_crowd)
    objects = xp.asarray(np.flatnonzero(~crowd), dtype=np.intp)
    matches = match(box_ops.iou(target.boxes[objects], boxes), low, high, force=force)
    if len(objects):  # from an index among the objects to one among all that target holds
        matches = xp.where(matches >= 0, objects[xp.maximum(matches, 0)], matches)
    if len(objects) < len(target.boxes):
        crowds = xp.asarray(np.flatnonzero(crowd), dtype=np.intp)
        share = box_ops.crowd_iou(boxes, target.boxes[crowds])
        matches = ignore_crowds(matches, share, crowd_overlap)
    return matches


@dataclass(frozen=True)
class Matcher:
    """The settings of `match_boxes`.

    Attributes:
        low: below this IoU a box is background.
        high: from this IoU on it is an object.
        force: the boxes that overlap some object best are positives too, see `match`.
        crowd_overlap: background with this share of its area in a crowd region is left out.
    """

    low: float
    high: float
    force: bool = False
    crowd_overlap: float = 0.5

    def __call__(self, boxes: Array, target: Target) -> Array:
        """(A, 4) → (A,), see `match_boxes`."""
        return match_boxes(
            boxes, target, self.low, self.high, force=self.force, crowd_overlap=self.crowd_overlap
        )


@dataclass(frozen=True)
class Sampler:
    """The settings of `sample`.

    Attributes:
        count: positives and negatives of an image together.
        positive_fraction: share of positives, at most.
    """

    count: int
    positive_fraction: float

    def __call__(self, matches: Array, rng: np.random.Generator) -> tuple[Array, Array]:
        """(A,) → positives (P,) and negatives (Q,), see `sample`."""
        return sample(matches, self.count, self.positive_fraction, rng)


def sample(
    matches: Array, count: int, positive_fraction: float, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Draw the anchors that one training step uses, with a limited share of positives.

    Nearly all anchors are negatives; taking all would drown the positives. At most
    floor(count · positive_fraction) positives are drawn, and negatives fill up to `count`, or as
    far as there are any. Each is drawn once at most; IGNORE is never drawn.

    The drawing is done on the host for matches on a GPU too, so that both devices pick the same.

    Args:
        matches: (A,) from `match`.
        count: positives and negatives together.
        positive_fraction: in [0, 1].
        rng: source of the draw.

    Returns:
        positives (P,), negatives (Q,): intp indices into matches, rising; P + Q <= count.

    Raises:
        InputError: matches is not (A,), count is negative or the fraction is outside [0, 1].

    Source: Ren et al. (2015), section 3.1.3.
    """
    xp = xp_of(matches)
    _require_matches(matches)
    if count < 0:
        raise InputError(f"count is {count}; it should be >= 0")
    if not 0 <= positive_fraction <= 1:
        raise InputError(f"positive_fraction is {positive_fraction}; it should be in [0, 1]")
    on_host = to_host(matches)
    positives = _draw(np.flatnonzero(on_host >= 0), int(count * positive_fraction), rng)
    negatives = _draw(np.flatnonzero(on_host == BACKGROUND), count - len(positives), rng)
    return xp.asarray(positives), xp.asarray(negatives)


def _draw(candidates: np.ndarray, at_most: int, rng: np.random.Generator) -> np.ndarray:
    n = min(len(candidates), at_most)
    drawn = rng.choice(candidates, n, replace=False, shuffle=False)
    return np.sort(drawn).astype(np.intp, copy=False)


def _require_matches(matches: Array) -> None:
    if matches.ndim != 1 or matches.dtype.kind != "i":
        raise InputError(
            f"matches has shape {tuple(matches.shape)} and dtype {matches.dtype}; "
            "it should be (A,), signed integers"
        )
