"""Bicubic resizing of a map: a smooth curve through four cells along each axis.

Keypoints are read where a heat map is largest. Between cells, a curve may peak higher than at any of
them, which straight lines (`resize.bilinear`) never do.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minirnn.backend import Array, xp_of
from minirnn.errors import InputError

# a below: the slope of the weight at a distance of one cell, as torch and OpenCV have it.
_A = -0.75


def bicubic(x: Array, *, size: Sequence[int]) -> Array:
    """Each output cell is a weighted mean of 4 × 4 input cells around its centre.

        s = (i + ½) · H / H' - ½,    d = |s - j| to cell j
        weight  (a + 2) d³ - (a + 3) d² + 1         d ≤ 1          a = -0.75
                a d³ - 5a d² + 8a d - 4a            1 < d < 2

    Beyond the border, the border's cell is read. It is linear, hence two matrices, Y = R X Cᵀ. No
    gradient: it is used where detections are read, not in training.

    Args:
        x: (..., H, W).
        size: (H', W').

    Returns:
        (..., H', W').

    Raises:
        InputError: x has fewer than two axes, size is not two numbers, or a side is 0.

    Source: Keys, "Cubic convolution interpolation", 1981; the rules are those of
    `torch.nn.functional.interpolate(mode="bicubic")`.
    """
    if x.ndim < 2 or 0 in x.shape[-2:] or len(size) != 2 or min(size) < 1:
        raise InputError(
            f"bicubic: x has shape {x.shape} and size is {size}; they should be (..., H, W) and "
            "(H', W'), no side 0"
        )
    xp = xp_of(x)
    rows, columns = (
        xp.asarray(_weights(n, m, x.dtype)) for n, m in zip(x.shape[-2:], size, strict=True)
    )
    return rows @ x @ columns.T


def _weights(before: int, after: int, dtype: np.dtype) -> np.ndarray:
    """(after, before): what each output cell takes of each input cell along one axis."""
    # In the map's own precision, as torch does.
    cell = np.arange(after, dtype=dtype)
    at = (cell + dtype.type(0.5)) * (dtype.type(before) / dtype.type(after)) - dtype.type(0.5)
    first = np.floor(at).astype(np.intp) - 1
    matrix = np.zeros((after, before), dtype)
    for k in range(4):
        d = np.abs(at - (first + k)).astype(dtype)
        near = ((_A + 2) * d - (_A + 3)) * d * d + 1
        far = ((_A * d - 5 * _A) * d + 8 * _A) * d - 4 * _A
        column = np.clip(first + k, 0, before - 1)
        np.add.at(matrix, (np.arange(after), column), np.where(d <= 1, near, far).astype(dtype))
    return matrix
