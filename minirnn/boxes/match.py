"""Matching by overlap: which ground truth each anchor or proposal should learn, if any.

A match is one integer for each anchor: 0 or more is the index of its ground truth (a positive),
BACKGROUND makes it a negative, and IGNORE leaves it out of training.
"""

from __future__ import annotations

from typing import Any

from minirnn.backend import Array, xp_of
from minirnn.errors import InputError
from minirnn.kernels.table import operation

BACKGROUND = -1
IGNORE = -2


def _check(quality: Array, low: float, high: float, **_: Any) -> None:
    if quality.ndim != 2:
        raise InputError(f"quality has shape {tuple(quality.shape)}; it should be (G, A)")
    if not low <= high:
        raise InputError(f"low is {low} and high is {high}; low should be <= high")


@operation(check=_check)
def match(quality: Array, low: float, high: float, *, force: bool = True) -> Array:
    """Give each anchor the ground truth that it overlaps best, if the overlap is good enough.

    With q the anchor's best IoU: q >= high is a positive, q < low a negative, and between the two
    it is neither. An object of an odd size or shape may have no anchor at `high`. So that it is
    learnt too, `force` also makes positives of the anchors that overlap it best: all of them where
    several are equal, and none where the best overlap is 0 (every anchor would be equal then).
    A forced anchor is given *its own* best ground truth, which need not be the one that forced it.

    Args:
        quality: (G, A), IoU of each ground truth with each anchor.
        low: below it an anchor is a negative.
        high: from it on an anchor is a positive.
        force: see above. The RPN does it, the box head does not.

    Returns:
        (A,) intp: index of a ground truth, BACKGROUND or IGNORE. Of equal ground truths the first.

    Raises:
        InputError: quality is not (G, A), or low > high.

    Source: Ren et al., Faster R-CNN (2015), section 3.1.2.
    """
    xp = xp_of(quality)
    if 0 in quality.shape:
        return xp.full(quality.shape[1], BACKGROUND, dtype=xp.intp)
    return decided(quality, quality.max(axis=1)[:, None], low, high, force)


def decided(quality: Array, best_of_truth: Array, low: float, high: float, force: bool) -> Array:
    """`match` of some anchors (G, A), given the best overlap (G, 1) that each ground truth has with any."""
    xp, best = xp_of(quality), quality.max(axis=0)
    positive = best >= high
    if force:
        # Exact equality is safe: both sides are the same numbers, not computed twice.
        positive |= ((quality == best_of_truth) & (best_of_truth > 0)).any(axis=0)
    nothing = xp.where(best < low, BACKGROUND, IGNORE)
    return xp.where(positive, quality.argmax(axis=0), nothing)
