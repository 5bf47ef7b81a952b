"""From which probability on a pixel belongs to a mask: where the mask's expected IoU is largest."""

from __future__ import annotations

import numpy as np

from minirnn.backend import Array, xp_of
from minirnn.errors import InputError


def best_thresholds(mask_probabilities: Array) -> Array:
    """For each mask the threshold that gives the largest expected IoU with the truth.

    With a threshold of one half each pixel is answered as is likeliest for itself. A mask is judged as a
    whole, by its IoU, and then the answer differs. Where p is the probability of a pixel, pixels S are
    expected to have

        J(S) = sum of p in S / (size of S + sum of p outside of S)

    in common with the truth. This is the ratio of two expectations, of the intersection and of the union,
    and has a simple maximum; the expectation of the ratio has none. Of all S of one size, that of the
    largest p is best, so S is what lies above a threshold, and only as many thresholds as pixels are to be
    tried. One more pixel raises J if p / (1 - p) > J, that is from

        p = J / (1 + J)

    on: at one half for a network that is sure of all its pixels (J = 1), and at a third where it expects
    to get half of the mask right (J = 1/2). A network that is unsure draws masks that are too small with
    one half, since hardly any pixel is likelier in than out.

    Args:
        mask_probabilities: (D, H, W) float in [0, 1].

    Returns:
        (D,) thresholds, each the smallest probability that belongs to its mask, of the same type. A mask
        of zeros has 1: nothing belongs to it.

    Raises:
        InputError: the shape is wrong.

    Source: Nowozin, "Optimal decisions from probabilistic models: the intersection-over-union case",
    CVPR 2014.
    """
    if mask_probabilities.ndim != 3 or 0 in mask_probabilities.shape[1:]:
        raise InputError(
            f"mask_probabilities has shape {mask_probabilities.shape}; it should be (D, H, W), H, W ≥ 1"
        )
    xp = xp_of(mask_probabilities)
    cells = mask_probabilities.shape[1] * mask_probabilities.shape[2]
    falling = -xp.sort(-mask_probabilities.reshape(-1, cells), axis=1)
    inside = xp.cumsum(falling.astype(np.float64), axis=1)
    union = xp.arange(1, cells + 1) + inside[:, -1:] - inside
    best = xp.argmax(inside / union, axis=1)
    thresholds = falling[xp.arange(len(falling)), best]
    return xp.where(thresholds > 0, thresholds, xp.ones_like(thresholds))
