"""Resizing in blocks that fit the cache, on all cores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minirnn.backend import Array, xp_of
from minirnn.kernels.cpu.layout import in_rows, nchw_of, nhwc_of
from minirnn.kernels.cpu.parallel import BLOCK, in_blocks
from minirnn.kernels.table import kernel
from minirnn.ops.interpolation import nearest_index, neighbours, resize_positions
from minirnn.ops.resize import bilinear, nearest


def _sized(x: Array, *, size: Sequence[int], **settings: Any) -> bool:
    """Whether there is something to resize; the plain form says what is wrong otherwise."""
    return x.ndim == 4 and 0 not in x.shape[2:] and len(size) == 2 and min(size) >= 1


@kernel(
    nearest, "cpu", reason="channels last; twice the size is a copy to 2×2 squares", applies=_sized
)
def nearest_in_blocks(x: Array, *, size: Sequence[int]) -> tuple[Array, Callable]:
    """`minirnn.ops.resize.nearest`; twice the size is what a feature pyramid asks for."""
    xp = xp_of(x)
    height, width = size
    if (height, width) == (2 * x.shape[2], 2 * x.shape[3]):
        return _double(x), _halve
    rows, columns = (nearest_index(n, m) for n, m in zip(x.shape[2:], (height, width), strict=True))
    y = nchw_of(nhwc_of(x)[:, xp.asarray(rows)][:, :, xp.asarray(columns)])

    before = x.shape[2:]

    def gradient(dy: Array) -> Array:
        row_map, column_map = (
            xp.asarray((index[:, None] == np.arange(n)).astype(dy.dtype))
            for index, n in zip((rows, columns), before, strict=True)
        )
        return _apply(row_map.T, dy, column_map.T)

    return y, gradient


def _double(x: Array) -> Array:
    xp, cells = xp_of(x), nhwc_of(x)
    n, height, width, channels = cells.shape
    y = xp.empty((n, height, 2, width, 2, channels), x.dtype)

    def work(images: slice, rows: slice) -> None:
        y[images, rows] = cells[images, rows, None, :, None]

    in_rows(xp, work, n, height, max(BLOCK // max(4 * width * channels, 1), 1))
    return nchw_of(y.reshape(n, 2 * height, 2 * width, channels))


def _halve(dy: Array) -> Array:
    xp, cells = xp_of(dy), nhwc_of(dy)
    n, height, width, channels = cells.shape
    squares = cells.reshape(n, height // 2, 2, width // 2, 2, channels)
    dx = xp.empty((n, height // 2, width // 2, channels), dy.dtype)

    def work(images: slice, rows: slice) -> None:
        part, out = squares[images, rows], dx[images, rows]
        xp.add(part[:, :, 0, :, 0], part[:, :, 0, :, 1], out=out)
        out += part[:, :, 1, :, 0]
        out += part[:, :, 1, :, 1]

    in_rows(xp, work, n, height // 2, max(BLOCK // max(2 * width * channels, 1), 1))
    return nchw_of(dx)


@kernel(bilinear, "cpu", reason="two cells for each reading, not a matrix product", applies=_sized)
def bilinear_in_blocks(
    x: Array, *, size: Sequence[int], align_corners: bool = False
) -> tuple[Array, Callable]:
    """`minirnn.ops.resize.bilinear`."""
    xp = xp_of(x)
    sizes = zip(x.shape[2:], size, strict=True)
    rows, columns = (
        neighbours(resize_positions(n, m, align_corners, x.dtype), n) for n, m in sizes
    )

    def backward(dy: Array) -> Array:
        matrices = [
            xp.asarray(_as_matrix(places, n).astype(x.dtype))
            for places, n in zip((rows, columns), x.shape[2:], strict=True)
        ]
        return _apply(matrices[0].T, dy, matrices[1].T)

    return _read(x, rows, columns), backward


Places = tuple[np.ndarray, np.ndarray, np.ndarray]


def _read(x: Array, rows: Places, columns: Places) -> Array:
    """Between four cells each: first along x in the rows that are needed, then along y."""
    xp, (n, channels) = xp_of(x), x.shape[:2]
    left, right, tx = (xp.asarray(part) for part in columns)
    upper, lower, ty = rows
    tx, ty = tx.astype(x.dtype), xp.asarray(ty.astype(x.dtype))[:, None]
    y = xp.empty((n, channels, len(upper), len(left)), x.dtype)

    def between(a: Array, b: Array, t: Array, out: Array) -> None:
        xp.multiply(a, 1 - t, out=out)
        out += b * t

    def work(start: int, stop: int) -> None:
        first = int(upper[start])
        near = x[:, :, first : int(lower[stop - 1]) + 1]
        across = xp.empty((*near.shape[:3], len(left)), x.dtype)
        between(near.take(left, axis=3), near.take(right, axis=3), tx, across)
        above, below = (xp.asarray(part[start:stop] - first) for part in (upper, lower))
        t = ty[start:stop]
        between(across.take(above, axis=2), across.take(below, axis=2), t, y[:, :, start:stop])

    in_blocks(xp, work, len(upper), n * channels * len(left))
    return y


def _as_matrix(places: Places, before: int) -> np.ndarray:
    """(after, before): row i holds the weights that output cell i gives to the input cells."""
    low, high, t = places
    cell = np.arange(len(low))
    matrix = np.zeros((len(low), before))
    matrix[cell, low] += 1 - t
    matrix[cell, high] += t
    return matrix


def _apply(rows: Array, x: Array, columns: Array) -> Array:
    """R X Cᵀ for every plane of (N, C, H, W), the cheaper product first."""
    (after_y, before_y), (after_x, before_x) = rows.shape, columns.shape
    planes = x.reshape(-1, before_y, before_x)
    y = xp_of(x).empty((len(planes), after_y, after_x), x.dtype)

    def work(start: int, stop: int) -> None:
        part = planes[start:stop]
        if after_y * before_x <= before_y * after_x:
            y[start:stop] = (rows @ part) @ columns.T
        else:
            y[start:stop] = rows @ (part @ columns.T)

    in_blocks(xp_of(x), work, len(planes), before_y * before_x)
    return y.reshape(*x.shape[:2], after_y, after_x)
