"""Resizing as a loop over output cells. Read this first, then `minirnn.ops.resize`."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def nearest(x: np.ndarray, *, size: Sequence[int]) -> np.ndarray:
    """Each output cell copies the input cell in which its upper left corner lies.

        y[i, j] = x[⌊i · H / H'⌋, ⌊j · W / W'⌋]

    Args:
        x: (N, C, H, W).
        size: (H', W').

    Returns:
        (N, C, H', W').
    """
    n, channels, height, width = x.shape
    y = np.zeros((n, channels, *size), x.dtype)
    for i in range(size[0]):
        for j in range(size[1]):
            y[:, :, i, j] = x[:, :, i * height // size[0], j * width // size[1]]
    return y


def bilinear(x: np.ndarray, *, size: Sequence[int], align_corners: bool = False) -> np.ndarray:
    """Each output cell reads between four input cells, by its distance from their centres.

    The centre of output row i stands at row (i + ½) · H / H' - ½ of the input; columns likewise.

    Args:
        x: (N, C, H, W).
        size: (H', W').
        align_corners: it stands at i · (H - 1) / (H' - 1) instead, so that the corners' centres meet.

    Returns:
        (N, C, H', W').
    """
    n, channels, height, width = x.shape
    y = np.zeros((n, channels, *size), x.dtype)
    for i in range(size[0]):
        for j in range(size[1]):
            if align_corners:  # the centres of the outermost cells stay where they are
                row = i * (height - 1) / (size[0] - 1) if size[0] > 1 else 0
                column = j * (width - 1) / (size[1] - 1) if size[1] > 1 else 0
            else:  # the outer edges stay where they are
                row = max((i + 0.5) * height / size[0] - 0.5, 0)
                column = max((j + 0.5) * width / size[1] - 0.5, 0)
            top, left = min(math.floor(row), height - 1), min(math.floor(column), width - 1)
            bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
            down, across = row - top, column - left
            y[:, :, i, j] = (
                x[:, :, top, left] * (1 - down) * (1 - across)
                + x[:, :, top, right] * (1 - down) * across
                + x[:, :, bottom, left] * down * (1 - across)
                + x[:, :, bottom, right] * down * across
            )
    return y
