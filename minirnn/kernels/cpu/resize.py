"""Resizing in blocks that fit the cache, on all cores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minirnn.backend import Array
from minirnn.kernels.cpu.layout import nchw_of, nhwc_of
from minirnn.kernels.cpu.walk import walk
from minirnn.kernels.table import kernel
from minirnn.ops.interpolation import bilinear_weights, nearest_index, neighbours, resize_positions
from minirnn.ops.resize import bilinear, nearest

_FEW = 4  # channels: colours of a picture


@kernel(nearest, "cpu", reason="channels last; twice the size is a copy to 2×2 squares")
def nearest_in_blocks(x: Array, *, size: Sequence[int]) -> tuple[Array, Callable]:
    """`minirnn.ops.resize.nearest`; twice the size is what a feature pyramid asks for."""
    height, width = size
    if (height, width) == (2 * x.shape[2], 2 * x.shape[3]):
        return _double(x), _halve
    rows, columns = (nearest_index(n, m) for n, m in zip(x.shape[2:], (height, width), strict=True))
    y = nchw_of(nhwc_of(x)[:, rows][:, :, columns])

    before = x.shape[2:]

    def gradient(dy: Array) -> Array:
        row_map, column_map = (
            (index[:, None] == np.arange(n)).astype(dy.dtype)
            for index, n in zip((rows, columns), before, strict=True)
        )
        return _apply(row_map.T, dy, column_map.T)

    return y, gradient


def _double(x: Array) -> Array:
    cells = nhwc_of(x)
    n, height, width, channels = cells.shape
    y = np.empty((n, height, 2, width, 2, channels), x.dtype)

    def work(images: slice, rows: slice) -> None:
        y[images, rows] = cells[images, rows, None, :, None]

    walk(work, n, height, numbers=4 * width * channels)
    return nchw_of(y.reshape(n, 2 * height, 2 * width, channels))


def _halve(dy: Array) -> Array:
    cells = nhwc_of(dy)
    n, height, width, channels = cells.shape
    squares = cells.reshape(n, height // 2, 2, width // 2, 2, channels)
    dx = np.empty((n, height // 2, width // 2, channels), dy.dtype)

    def work(images: slice, rows: slice) -> None:
        part, out = squares[images, rows], dx[images, rows]
        np.add(part[:, :, 0, :, 0], part[:, :, 0, :, 1], out=out)
        out += part[:, :, 1, :, 0]
        out += part[:, :, 1, :, 1]

    walk(work, n, height // 2, numbers=2 * width * channels)
    return nchw_of(dx)


def _picture(x: Array, **settings: Any) -> bool:
    """Whether there are few channels, as in a picture: with many, the plain form is as quick."""
    return x.shape[1] <= _FEW


@kernel(
    bilinear,
    "cpu",
    reason="pictures: only the rows that are read, a few at a time, while they are in the cache",
    applies=_picture,
)
def bilinear_in_blocks(
    x: Array, *, size: Sequence[int], align_corners: bool = False
) -> tuple[Array, Callable]:
    """`minirnn.ops.resize.bilinear`: along x in the rows that are needed, then along y."""
    rows, columns = (
        resize_positions(n, m, align_corners, x.dtype)
        for n, m in zip(x.shape[2:], size, strict=True)
    )
    left, right, tx = neighbours(columns, x.shape[3])
    upper, lower, ty = neighbours(rows, x.shape[2])
    tx, ty = tx.astype(x.dtype), ty.astype(x.dtype)[:, None]
    y = np.empty((*x.shape[:2], len(upper), len(left)), x.dtype)

    def between(a: Array, b: Array, t: Array, out: Array) -> None:
        np.multiply(a, 1 - t, out=out)
        out += b * t

    def work(part: slice) -> None:
        first = int(upper[part.start])
        near = x[:, :, first : int(lower[part.stop - 1]) + 1]
        across = np.empty((*near.shape[:3], len(left)), x.dtype)
        between(near.take(left, axis=3), near.take(right, axis=3), tx, across)
        above, below = upper[part] - first, lower[part] - first
        between(across.take(above, axis=2), across.take(below, axis=2), ty[part], y[:, :, part])

    walk(work, len(upper), numbers=len(x) * x.shape[1] * len(left))

    def gradient(dy: Array) -> Array:
        row_weights, column_weights = (
            bilinear_weights(at.clip(0, n - 1), n).astype(x.dtype)
            for at, n in zip((rows, columns), x.shape[2:], strict=True)
        )
        return _apply(row_weights.T, dy, column_weights.T)

    return y, gradient


def _apply(rows: Array, x: Array, columns: Array) -> Array:
    """R X Cᵀ for every plane of (N, C, H, W), the cheaper product first."""
    (after_y, before_y), (after_x, before_x) = rows.shape, columns.shape
    planes = x.reshape(-1, before_y, before_x)
    y = np.empty((len(planes), after_y, after_x), x.dtype)

    def work(part: slice) -> None:
        if after_y * before_x <= before_y * after_x:
            y[part] = (rows @ planes[part]) @ columns.T
        else:
            y[part] = rows @ (planes[part] @ columns.T)

    walk(work, len(planes), numbers=before_y * before_x)
    return y.reshape(*x.shape[:2], after_y, after_x)
