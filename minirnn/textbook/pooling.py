"""Pooling as a loop over windows. Read this first, then `minirnn.ops.pooling`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minirnn.textbook.elements import pair

Pair = int | tuple[int, int]


def max_pool2d(
    x: np.ndarray,
    *,
    kernel: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    ceil_mode: bool = False,
) -> np.ndarray:
    """The largest value under each window; what lies outside of the map is not looked at.

    Args:
        x: (N, C, H, W).
        kernel: height and width of the window; one number stands for both, here and below.
        stride: the step from window to window; None for the kernel's size.
        padding: how far windows reach over the map's edges.
        ceil_mode: whether a last window counts that lies over the map and its padding only in part.

    Returns:
        (N, C, H', W') with H' = floor((H + 2 padding - kernel) / stride) + 1; ceil with ceil_mode.
    """

    def largest(values: list[float], places: int) -> float:
        return max(values)

    return _pool(x, largest, kernel, stride, padding, ceil_mode)


def avg_pool2d(
    x: np.ndarray,
    *,
    kernel: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> np.ndarray:
    """The mean of each window; the padding around the map counts as zeros.

    Args:
        x: (N, C, H, W).
        kernel: as in `max_pool2d`.
        stride: as in `max_pool2d`.
        padding: as in `max_pool2d`.
        ceil_mode: as in `max_pool2d`.
        count_include_pad: False leaves the padding out of the mean.

    Returns:
        (N, C, H', W'), as in `max_pool2d`.
    """

    def mean(values: list[float], places: int) -> float:
        return sum(values) / (places if count_include_pad else len(values))

    return _pool(x, mean, kernel, stride, padding, ceil_mode)


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
    number: Callable[[list[float], int], float],
    kernel: Pair,
    stride: Pair | None,
    padding: Pair,
    ceil_mode: bool,
) -> np.ndarray:
    """`number` of what lies under each window: the map's values, and how many places with padding."""
    n, channels, height, width = x.shape
    (kernel_y, kernel_x), (pad_y, pad_x) = pair(kernel), pair(padding)
    stride_y, stride_x = pair(kernel if stride is None else stride)
    rows = _windows(height, kernel_y, stride_y, pad_y, ceil_mode)
    columns = _windows(width, kernel_x, stride_x, pad_x, ceil_mode)
    y = np.zeros((n, channels, rows, columns), x.dtype)
    for image, channel, i, j in np.ndindex(*y.shape):
        values, places = [], 0
        for u in range(kernel_y):
            for v in range(kernel_x):
                row, column = i * stride_y + u - pad_y, j * stride_x + v - pad_x
                if 0 <= row < height and 0 <= column < width:
                    values.append(x[image, channel, row, column])
                if row < height + pad_y and column < width + pad_x:
                    places += 1
        y[image, channel, i, j] = number(values, places)
    return y


def _windows(length: int, kernel: int, stride: int, padding: int, ceil_mode: bool) -> int:
    """How many windows stand along an axis."""
    left = length + 2 * padding - kernel
    if ceil_mode and left % stride and (left // stride + 1) * stride < length + padding:
        return (
            left // stride + 2
        )  # one more, which begins inside of the map or the padding before it
    return left // stride + 1
