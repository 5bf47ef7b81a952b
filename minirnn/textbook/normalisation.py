"""Normalisations as loops. Read this first, then `minirnn.ops.normalisation`."""

from __future__ import annotations

import math

import numpy as np


def _statistics(values: list[float]) -> tuple[float, float]:
    """Mean and variance: the mean, then the mean of the squared distances from it."""
    mean = sum(values) / len(values)
    variance = sum((value - mean) ** 2 for value in values) / len(values)
    return mean, variance


def group_norm(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, *, groups: int, eps: float = 1e-5
) -> np.ndarray:
    """Statistics over a group of channels of one image (Wu and He, Group normalization, 2018)."""
    n, channels, height, width = x.shape
    members = channels // groups
    y = np.zeros_like(x)
    for image in range(n):
        for group in range(groups):
            own = range(group * members, (group + 1) * members)
            mean, variance = _statistics([v for c in own for v in x[image, c].ravel().tolist()])
            for channel in own:
                for i in range(height):
                    for j in range(width):
                        x_hat = (x[image, channel, i, j] - mean) / math.sqrt(variance + eps)
                        y[image, channel, i, j] = weight[channel] * x_hat + bias[channel]
    return y


def batch_norm(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, *, eps: float = 1e-5
) -> np.ndarray:
    """Statistics over a channel of all images (Ioffe and Szegedy, Batch normalization, 2015)."""
    n, channels, height, width = x.shape
    y = np.zeros_like(x)
    for channel in range(channels):
        if n == 0:
            continue
        mean, variance = _statistics(x[:, channel].ravel().tolist())
        for image in range(n):
            for i in range(height):
                for j in range(width):
                    x_hat = (x[image, channel, i, j] - mean) / math.sqrt(variance + eps)
                    y[image, channel, i, j] = weight[channel] * x_hat + bias[channel]
    return y


def frozen_batch_norm(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    mean: np.ndarray,
    variance: np.ndarray,
    *,
    eps: float = 1e-5,
) -> np.ndarray:
    """Statistics given, of another data set (He et al., Deep residual learning, 2016)."""
    n, channels, height, width = x.shape
    y = np.zeros_like(x)
    for image in range(n):
        for c in range(channels):
            for i in range(height):
                for j in range(width):
                    x_hat = (x[image, c, i, j] - mean[c]) / math.sqrt(variance[c] + eps)
                    y[image, c, i, j] = weight[c] * x_hat + bias[c]
    return y


def layer_norm(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, *, eps: float = 1e-5
) -> np.ndarray:
    """Statistics over the values of one row, x being (N, D) (Ba et al., Layer normalization, 2016)."""
    n, length = x.shape
    y = np.zeros_like(x)
    for row in range(n):
        mean, variance = _statistics(x[row].tolist())
        for d in range(length):
            y[row, d] = weight[d] * (x[row, d] - mean) / math.sqrt(variance + eps) + bias[d]
    return y
