"""Resizing maps: every output value is a weighted mean of a few input values.

Rows and columns are treated alike and one after the other. A resize is linear, so it is two small
matrices, and its gradient the same two transposed:

    Y = R X Cᵀ        dX = Rᵀ dY C        R: (H', H), C: (W', W)

Forward, only the few cells that have a weight are picked.

Both functions follow the rules of `torch.nn.functional.interpolate`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minirnn.autograd.tensor import differentiable
from minirnn.backend import Array, xp_of
from minirnn.errors import InputError
from minirnn.ops.interpolation import bilinear_weights, nearest_index, neighbours, resize_positions


def _check(x: Array, *, size: Sequence[int], **_: Any) -> None:
    if x.ndim != 4 or 0 in x.shape[2:]:
        raise InputError(
            f"resize: x has shape {x.shape}; it should be (N, C, H, W), H and W at least 1"
        )
    if len(size) != 2 or min(size) < 1:
        raise InputError(f"resize: size is {size}; it should be (height, width), both at least 1")


@differentiable(check=_check)
def nearest(x: Array, *, size: Sequence[int]) -> tuple[Array, Callable]:
    """Each output cell copies one input cell.

        y[n, c, i, j] = x[n, c, ⌊i · H / H'⌋, ⌊j · W / W'⌋]

    Args:
        x: (N, C, H, W).
        size: (H', W').

    Returns:
        (N, C, H', W').

    Raises:
        InputError: x is not (N, C, H, W), or a side is 0.
    """
    xp, before = xp_of(x), x.shape[2:]
    rows, columns = (nearest_index(n, m) for n, m in zip(before, size, strict=True))
    y = x[:, :, xp.asarray(rows)[:, None], xp.asarray(columns)]

    def gradient(dy: Array) -> Array:
        row_map, column_map = (
            xp.asarray((index[:, None] == np.arange(n)).astype(dy.dtype))
            for index, n in zip((rows, columns), before, strict=True)
        )
        return row_map.T @ dy @ column_map

    return y, gradient


@differentiable(check=_check)
def bilinear(
    x: Array, *, size: Sequence[int], align_corners: bool = False
) -> tuple[Array, Callable]:
    """Each output cell reads between the four input cells around it.

    An output cell's centre falls at the place s of the input's cells,

        s = max((i + ½) · H / H' - ½, 0)            (pixels are squares; the outer edges coincide)
        s = i · (H - 1) / (H' - 1)                  (align_corners: the outer centres coincide)

    and reads (1 - t) · x[⌊s⌋] + t · x[⌊s⌋ + 1] with t = s - ⌊s⌋; beyond the last cell, the last cell.

    Args:
        x: (N, C, H, W).
        size: (H', W').
        align_corners: which of the two.

    Returns:
        (N, C, H', W').

    Raises:
        InputError: x is not (N, C, H, W), or a side is 0.
    """
    xp = xp_of(x)
    sizes = zip(x.shape[2:], size, strict=True)
    rows, columns = (resize_positions(n, m, align_corners, x.dtype) for n, m in sizes)
    left, right, tx = (xp.asarray(part) for part in neighbours(columns, x.shape[3]))
    upper, lower, ty = (xp.asarray(part) for part in neighbours(rows, x.shape[2]))
    tx, ty = tx.astype(x.dtype), ty.astype(x.dtype)[:, None]
    across = x[..., left] * (1 - tx) + x[..., right] * tx
    y = across[:, :, upper] * (1 - ty) + across[:, :, lower] * ty

    def gradient(dy: Array) -> Array:
        row_weights, column_weights = (
            xp.asarray(bilinear_weights(at.clip(0, n - 1), n).astype(x.dtype))
            for at, n in zip((rows, columns), x.shape[2:], strict=True)
        )
        return row_weights.T @ dy @ column_weights

    return y, gradient
