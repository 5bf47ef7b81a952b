"""Pooling as a loop over windows. Read this first, then `minirnn.ops.pooling`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minirnn.textbook.elements import pair

Pair = int | tuple[int, int]


def max_pool2d(
    x: np.ndarray, *, kernel: Pair, stride: Pair | None = None, padding: Pair = 0
) -> np.ndarray:
    """The largest value under each window; what lies outside of the map is not looked at.

    Args:
        x: (N, C, H, W).
        kernel: height and width of the window; one number stands for both, here and below.
        stride: the step from window to window; None for the kernel's size.
        padding: how far windows reach over the map's edges.

    Returns:
        (N, C, H', W') with H' = floor((H + 2 padding - kernel) / stride) + 1.
    """
    return _pool(x, max, pair(kernel), pair(kernel if stride is None else stride), pair(padding))


def avg_pool2d(
    x: np.ndarray, *, kernel: Pair, stride: Pair | None = None, padding: Pair = 0
) -> np.ndarray:
    """The mean of each window; what lies outside of the map counts as 0.

    Args and result as in `max_pool2d`.
    """
    size = pair(kernel)[0] * pair(kernel)[1]

    def mean(values: list[float]) -> float:
        return sum(values) / size

    return _pool(x, mean, pair(kernel), pair(kernel if stride is None else stride), pair(padding))


def global_avg_pool2d(x: np.ndarray) -> np.ndarray:
    """The mean of each map: (N, C, H, W) → (N, C).

    Source: Lin et al., Network in network (2014), section 3.2.
    """
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


def _pool(
    x: np.ndarray,
    number: Callable[[list[float]], float],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
) -> np.ndarray:
    """`number` of the values of the map under each window."""
    n, channels, height, width = x.shape
    rows = (height + 2 * padding[0] - kernel[0]) // stride[0] + 1
    columns = (width + 2 * padding[1] - kernel[1]) // stride[1] + 1
    y = np.zeros((n, channels, rows, columns), x.dtype)
    for image, channel, i, j in np.ndindex(*y.shape):
        values = []
        for u in range(kernel[0]):
            for v in range(kernel[1]):
                row, column = i * stride[0] + u - padding[0], j * stride[1] + v - padding[1]
                if 0 <= row < height and 0 <= column < width:
                    values.append(x[image, channel, row, column])
        y[image, channel, i, j] = number(values)
    return y
