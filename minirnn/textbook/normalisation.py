"""Normalisations: take the mean off, divide by the spread; over which numbers is the difference.

    y = weight · (x - mean) / √(variance + ε) + bias

Read this first, then `minirnn.ops.normalisation`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np


def group_norm(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    add: np.ndarray | None = None,
    *,
    groups: int,
    eps: float = 1e-5,
    relu: bool = False,
) -> np.ndarray:
    """Mean and variance over a group of channels of one image, so that no other image matters.

    Args:
        x: (N, C, …).
        weight: (C,).
        bias: (C,).
        add: of x's shape, is added to the result; or None.
        groups: number of equal groups of neighbouring channels.
        eps: ε.
        relu: whether negative results become 0.

    Returns:
        Of x's shape.

    Source: Wu and He, Group normalization (2018), section 3.
    """
    members = x.shape[1] // groups
    y = np.zeros_like(x)
    for image in range(len(x)):
        for first in range(0, x.shape[1], members):
            mean, variance = _statistics(x[image, first : first + members].ravel().tolist())
            for channel in range(first, first + members):
                for place in np.ndindex(*x.shape[2:]):
                    at = (image, channel, *place)
                    value = weight[channel] * (x[at] - mean) / math.sqrt(variance + eps)
                    value += bias[channel]
                    if add is not None:
                        value += add[at]
                    y[at] = max(value, 0) if relu else value
    return y


def batch_norm(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    *,
    eps: float = 1e-5,
    observe: Callable[[np.ndarray, np.ndarray], None] | None = None,
) -> np.ndarray:
    """Mean and variance over one channel of all images of the batch.

    Args:
        x: (N, C, …).
        weight: (C,).
        bias: (C,).
        eps: ε.
        observe: is called with the means (C,) and variances (C,), for running averages; or None.

    Returns:
        Of x's shape.

    Source: Ioffe and Szegedy, Batch normalization (2015), algorithm 1.
    """
    means, variances = np.zeros_like(weight), np.zeros_like(weight)
    for channel in range(x.shape[1]):
        means[channel], variances[channel] = _statistics(x[:, channel].ravel().tolist())
    if observe is not None:
        observe(means, variances)
    return frozen_batch_norm(x, weight, bias, means, variances, eps=eps)


def frozen_batch_norm(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    mean: np.ndarray,
    variance: np.ndarray,
    *,
    eps: float = 1e-5,
) -> np.ndarray:
    """Mean and variance of each channel given: those of the data set it was trained on before.

    Args:
        x: (N, C, …).
        weight: (C,).
        bias: (C,).
        mean: (C,).
        variance: (C,).
        eps: ε.

    Returns:
        Of x's shape.

    Source: He et al., Deep residual learning (2016), appendix A: after pre-training the layers are "fixed
    during fine-tuning for object detection".
    """
    y = np.zeros_like(x)
    for place in np.ndindex(*x.shape):
        c = place[1]
        x_hat = (x[place] - mean[c]) / math.sqrt(variance[c] + eps)
        y[place] = weight[c] * x_hat + bias[c]
    return y


def layer_norm(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, *, eps: float = 1e-5
) -> np.ndarray:
    """Mean and variance over the last axis: over all features of one thing.

    Args:
        x: (…, D).
        weight: (D,).
        bias: (D,).
        eps: ε.

    Returns:
        Of x's shape.

    Source: Ba et al., Layer normalization (2016), section 3.
    """
    y = np.zeros_like(x)
    for row in np.ndindex(*x.shape[:-1]):
        mean, variance = _statistics(x[row].tolist())
        for d in range(x.shape[-1]):
            y[(*row, d)] = weight[d] * (x[(*row, d)] - mean) / math.sqrt(variance + eps) + bias[d]
    return y


def _statistics(values: list[float]) -> tuple[float, float]:
    """Mean and variance: the mean, then the mean of the squared distances from it; of nothing, 0."""
    if not values:
        return 0.0, 0.0
    mean = sum(values) / len(values)
    variance = sum((value - mean) ** 2 for value in values) / len(values)
    return mean, variance
