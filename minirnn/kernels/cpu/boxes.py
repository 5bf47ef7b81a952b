"""Tables of pairs of boxes in blocks that fit the cache, on all cores, with few steps for each pair."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from minirnn.boxes import geometry
from minirnn.boxes.match import BACKGROUND, decided, match
from minirnn.kernels.cpu.layout import on_host
from minirnn.kernels.cpu.walk import walk
from minirnn.kernels.table import kernel


@kernel(
    geometry.intersection,
    "cpu",
    reason="blocks that fit the cache, on all cores; two clips instead of maximum and minimum",
    applies=on_host,
)
def intersection_in_blocks(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """`minirnn.boxes.intersection`, (N, M)."""
    return _table(a, b, _shared)


@kernel(
    geometry.iou,
    "cpu",
    reason="blocks that fit the cache, on all cores; two clips instead of maximum and minimum",
    applies=on_host,
)
def iou_in_blocks(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """`minirnn.boxes.iou`, (N, M)."""
    return _table(a, b, iou_of_sides)


@kernel(
    match, "cpu", reason="a column of overlaps is read once, while it is in the cache, on all cores"
)
def match_in_blocks(
    quality: np.ndarray, low: float, high: float, *, force: bool = True
) -> np.ndarray:
    """`minirnn.boxes.match.match`."""
    matches = np.full(quality.shape[1], BACKGROUND, np.intp)
    if 0 in quality.shape:
        return matches
    best_of_truth = quality.max(axis=1)[:, None]

    def decide(part: slice) -> None:
        matches[part] = decided(quality[:, part], best_of_truth, low, high, force)

    walk(decide, quality.shape[1], numbers=len(quality))
    return matches


def sides_of(boxes: np.ndarray) -> np.ndarray:
    """x1, x2, y1, y2 and the area of each box, as rows (5, N); no x2 < x1, no y2 < y1 and no area of 0.

    One contiguous row per coordinate: a table of all pairs is made of them with few steps. Instead of 0
    an area is the least number above it, 1e-45 in float32. So no union is 0, since rounding never makes it
    smaller than what is shared, and two boxes without area have an IoU of 0 with no case of its own.
    """
    sides = np.empty((5, len(boxes)), boxes.dtype)
    starts, ends = sides[:4:2], sides[1:4:2]
    starts[...] = boxes[:, :2].T
    np.maximum(starts, boxes[:, 2:].T, out=ends)
    areas = np.multiply(ends[0] - starts[0], ends[1] - starts[1], out=sides[4])
    areas.clip(np.finfo(areas.dtype).smallest_subnormal, math.inf, out=areas)
    return sides


def _table(
    a: np.ndarray, b: np.ndarray, pairs: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> np.ndarray:
    """(N, M): `pairs`, which is symmetric, of all `sides_of` a and b, made in blocks and in one dtype."""
    if len(b) < len(a):  # long rows are quicker than many
        return _table(b, a, pairs).T
    dtype = np.result_type(a, b)
    of_a, of_b = (sides_of(boxes.astype(dtype, copy=False)) for boxes in (a, b))
    table = np.empty((len(a), len(b)), dtype)

    def columns(part: slice) -> None:
        table[:, part] = pairs(of_a, of_b[:, part])

    with row_by_row():
        walk(columns, len(b), numbers=len(a))
    return table


def _shared(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The areas (N, M) that boxes share, from `sides_of`.

    Both ends of b are brought into a, where they do not lie in it: what is between them then is the part
    that they share, and nothing if b lies beside a. `clip` does that with two numbers of `a` and a row
    of `b`, which is its fast way (see `row_by_row`). All starts and all ends make one row, since to begin
    a row takes as long as to clip four hundred numbers.
    """
    n, m = a.shape[1], b.shape[1]
    brought = np.empty((2, n, 2 * m), a.dtype)  # (x or y, N, starts and ends)
    b[:4].reshape(2, 1, 2 * m).clip(a[:4:2, :, None], a[1:4:2, :, None], out=brought)
    sides = brought[:, :, m:] - brought[:, :, :m]
    shared = sides[0]
    shared *= sides[1]
    return shared


def iou_of_sides(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The IoU (N, M) of boxes, from `sides_of`."""
    shared = _shared(a, b)
    union = a[4][:, None] + b[4]
    union -= shared
    shared /= union
    return shared


@contextmanager
def row_by_row() -> Iterator[None]:
    """Inside, NumPy makes tables row by row, from the arrays as they lie.

    Where rows have less than two or three thousand numbers it would first copy what is broadcast along
    them to buffers; and `clip` with a buffer of limits takes seven times as long as with two numbers.
    """
    with np.errstate():  # which gives the buffers their size back, too
        np.setbufsize(16)
        yield
