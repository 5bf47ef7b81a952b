"""Resizing maps: every output value is a weighted mean of a few input values.

Rows and columns are treated alike and one after the other, so a resize is two small matrices, and
its gradient the same two transposed:

    Y = R X Cᵀ        dX = Rᵀ dY C        R: (H', H), C: (W', W)

Both functions follow the rules of `torch.nn.functional.interpolate`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minirnn.autograd.tensor import differentiable
from minirnn.backend import Array, xp_of
from minirnn.kernels.cpu.layout import cells_of, in_rows, maps_of
from minirnn.kernels.cpu.parallel import BLOCK, in_blocks


@differentiable
def nearest(x: Array, *, size: Sequence[int]) -> tuple[Array, Callable]:
    """Each output cell copies one input cell.

        y[n, c, i, j] = x[n, c, ⌊i · H / H'⌋, ⌊j · W / W'⌋]

    Twice the size is what a feature pyramid asks for, and has a way of its own: each value becomes a
    2×2 square, and the gradient is the sum over the square.

    Args:
        x: (N, C, H, W).
        size: (H', W').

    Returns:
        (N, C, H', W').

    Raises:
        ValueError: x is not (N, C, H, W), or a side is 0.
    """
    xp = xp_of(x)
    height, width = _check("nearest", x.shape, size)
    if (height, width) == (2 * x.shape[2], 2 * x.shape[3]):
        return _double(x), _halve
    rows, columns = (
        _nearest_index(n, m) for n, m in zip(x.shape[2:], (height, width), strict=True)
    )
    y = maps_of(cells_of(x)[:, xp.asarray(rows)][:, :, xp.asarray(columns)])

    before = x.shape[2:]

    def gradient(dy: Array) -> Array:
        row_map, column_map = (
            xp.asarray((index[:, None] == np.arange(n)).astype(dy.dtype))
            for index, n in zip((rows, columns), before, strict=True)
        )
        return _apply(row_map.T, dy, column_map.T)

    return y, gradient


def _nearest_index(before: int, after: int) -> np.ndarray:
    return np.arange(after) * before // after


def _double(x: Array) -> Array:
    xp, cells = xp_of(x), cells_of(x)
    n, height, width, channels = cells.shape
    y = xp.empty((n, height, 2, width, 2, channels), x.dtype)

    def work(images: slice, rows: slice) -> None:
        y[images, rows] = cells[images, rows, None, :, None]

    in_rows(xp, work, n, height, max(BLOCK // max(4 * width * channels, 1), 1))
    return maps_of(y.reshape(n, 2 * height, 2 * width, channels))


def _halve(dy: Array) -> Array:
    xp, cells = xp_of(dy), cells_of(dy)
    n, height, width, channels = cells.shape
    squares = cells.reshape(n, height // 2, 2, width // 2, 2, channels)
    dx = xp.empty((n, height // 2, width // 2, channels), dy.dtype)

    def work(images: slice, rows: slice) -> None:
        part, out = squares[images, rows], dx[images, rows]
        xp.add(part[:, :, 0, :, 0], part[:, :, 0, :, 1], out=out)
        out += part[:, :, 1, :, 0]
        out += part[:, :, 1, :, 1]

    in_rows(xp, work, n, height // 2, max(BLOCK // max(2 * width * channels, 1), 1))
    return maps_of(dx)


@differentiable
def bilinear(
    x: Array, *, size: Sequence[int], align_corners: bool = False
) -> tuple[Array, Callable]:
    """Each output cell reads between the four input cells around it.

    An output cell's centre falls at the place s of the input's cells,

        s = max((i + ½) · H / H' - ½, 0)            (pixels are squares; the outer edges coincide)
        s = i · (H - 1) / (H' - 1)                  (align_corners: the outer centres coincide)

    and reads (1 - t) · x[⌊s⌋] + t · x[⌊s⌋ + 1] with t = s - ⌊s⌋; behind the last cell, the last cell.

    Args:
        x: (N, C, H, W).
        size: (H', W').
        align_corners: which of the two.

    Returns:
        (N, C, H', W').

    Raises:
        ValueError: x is not (N, C, H, W), or a side is 0.
    """
    xp = xp_of(x)
    sizes = zip(x.shape[2:], _check("bilinear", x.shape, size), strict=True)
    rows, columns = (_read_places(n, m, align_corners, x.dtype) for n, m in sizes)

    def backward(dy: Array) -> Array:
        matrices = [
            xp.asarray(_as_matrix(places, n).astype(x.dtype))
            for places, n in zip((rows, columns), x.shape[2:], strict=True)
        ]
        return _apply(matrices[0].T, dy, matrices[1].T)

    return _read(x, rows, columns), backward


Places = tuple[np.ndarray, np.ndarray, np.ndarray]


def _read_places(before: int, after: int, align_corners: bool, dtype: Any) -> Places:
    """⌊s⌋, ⌊s⌋ + 1 and t of each output cell, along one axis.

    For float32 the places are rounded to float32, as torch does: a place near 1000 then has three
    digits behind the point, and public weights were trained on images that were read there.
    """
    cell = np.arange(after)
    if align_corners:
        place = cell * ((before - 1) / max(after - 1, 1))
    else:
        scale = dtype.type(before) / dtype.type(after)
        place = np.maximum((cell + 0.5) * float(scale) - 0.5, 0).astype(dtype).astype(np.float64)
    low = np.minimum(np.floor(place).astype(np.int64), before - 1)
    return low, np.minimum(low + 1, before - 1), place - low


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


def _check(name: str, shape: tuple[int, ...], size: Any) -> tuple[int, int]:
    if len(shape) != 4 or 0 in shape[2:]:
        raise ValueError(
            f"{name}: x has shape {shape}; it should be (N, C, H, W), H and W at least 1"
        )
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"{name}: size is {size}; it should be (height, width), both at least 1")
    return int(size[0]), int(size[1])
