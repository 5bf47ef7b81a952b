"""Pooling as a loop over windows. Read this first, then `minirnn.ops.pooling`."""

from __future__ import annotations

import numpy as np


def max_pool2d(
    x: np.ndarray,
    *,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int] = (0, 0),
) -> np.ndarray:
    """The largest value under each window; what lies outside of the map is not looked at."""
    n, channels, height, width = x.shape
    rows = (height + 2 * padding[0] - kernel[0]) // stride[0] + 1
    columns = (width + 2 * padding[1] - kernel[1]) // stride[1] + 1
    y = np.zeros((n, channels, rows, columns), x.dtype)
    for image in range(n):
        for channel in range(channels):
            for i in range(rows):
                for j in range(columns):
                    values = _window(x[image, channel], i, j, kernel, stride, padding)
                    y[image, channel, i, j] = max(values)
    return y


def avg_pool2d(
    x: np.ndarray,
    *,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int] = (0, 0),
) -> np.ndarray:
    """The mean of each window; what lies outside of the map counts as 0."""
    n, channels, height, width = x.shape
    rows = (height + 2 * padding[0] - kernel[0]) // stride[0] + 1
    columns = (width + 2 * padding[1] - kernel[1]) // stride[1] + 1
    y = np.zeros((n, channels, rows, columns), x.dtype)
    for image in range(n):
        for channel in range(channels):
            for i in range(rows):
                for j in range(columns):
                    values = _window(x[image, channel], i, j, kernel, stride, padding)
                    y[image, channel, i, j] = sum(values) / (kernel[0] * kernel[1])
    return y


def global_avg_pool2d(x: np.ndarray) -> np.ndarray:
    """The mean of each map (Lin et al., Network in network, 2014, section 3.2)."""
    n, channels, height, width = x.shape
    y = np.zeros((n, channels), x.dtype)
    for image in range(n):
        for channel in range(channels):
            total = 0.0
            for row in range(height):
                for column in range(width):
                    total += x[image, channel, row, column]
            y[image, channel] = total / (height * width)
    return y


def _window(
    plane: np.ndarray,
    i: int,
    j: int,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
) -> list[float]:
    """The values of the map under window (i, j)."""
    values = []
    for u in range(kernel[0]):
        for v in range(kernel[1]):
            row, column = i * stride[0] + u - padding[0], j * stride[1] + v - padding[1]
            if 0 <= row < plane.shape[0] and 0 <= column < plane.shape[1]:
                values.append(plane[row, column])
    return values
