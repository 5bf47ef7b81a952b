"""Gradients of depthwise convolution for any stride: sums of shifted rows, on blocks laid into the cache.

The gradient of the input is one such sum for each remainder of y / stride and x / stride: with stride 2,
even rows see only every second element of the kernel, and odd rows the others. For that of the weights,
even and odd columns are sorted into two maps, each seen with stride 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from minirnn.backend import Array
from minirnn.kernels.cpu.depthwise_sums import Where
from minirnn.kernels.cpu.walk import BLOCK, walk

_ROWS = 16  # of a block at least: the rows above and below that its kernels see are laid out twice
_WEIGHTS = 1 << 15  # numbers of the repeated weights: 128 KiB of float32


def transposed(dy: Array, taps: Array, where: Where, shape: tuple[int, ...]) -> Array:
    """dx[y, x, c] = Σ w[u, v, c] · dy[i, j, c] over u, v, i, j with i·s + u·d - p = y, and x likewise."""
    dx = np.empty(shape, dy.dtype)

    def work(images: slice, rows: slice) -> None:
        part, source = dx[images, rows], dy[images]
        for of_y in _remainders(rows, 0, len(taps), where):
            for of_x in _remainders(slice(0, shape[2]), 1, taps.shape[1], where):
                out = part[:, of_y.goal, of_x.goal]
                own = taps[of_y.taps, of_x.taps]
                if not own.size:
                    out[...] = 0
                    continue
                sum_of = out if where.stride[1] == 1 else np.empty(out.shape, out.dtype)
                seen, steps = _cut(source, of_y.span, of_x.span), (of_y.step, of_x.step)
                _slide(seen, own, steps, sum_of)
                if sum_of is not out:
                    out[...] = sum_of

    _by_rows(work, dx)
    return dx


class _Remainder(NamedTuple):
    """The places of one axis of dx that see the same elements of the kernel.

    Attributes:
        goal: the places, counted from the block's first.
        taps: the elements, the last first.
        span: what they see of dy, first and last + 1.
        step: from one element to the next in dy.
    """

    goal: slice
    taps: slice
    span: tuple[int, int]
    step: int


def _remainders(places: slice, axis: int, kernel: int, where: Where) -> Iterator[_Remainder]:
    s, d, p = where.stride[axis], where.dilation[axis], where.padding[axis][0]
    for offset in range(min(s, places.stop - places.start)):
        y = places.start + offset
        own = [u for u in range(kernel) if (y + p - u * d) % s == 0]
        goal = slice(offset, None, s)
        if not own:
            yield _Remainder(goal, slice(0, 0), (0, 0), 1)
            continue
        between = own[1] - own[0] if len(own) > 1 else 1
        step = between * d // s if len(own) > 1 else 1
        first, count = (y + p - own[-1] * d) // s, len(range(y, places.stop, s))
        stop = own[0] - between
        taps = slice(own[-1], stop if stop >= 0 else None, -between)
        yield _Remainder(goal, taps, (first, first + count + (len(own) - 1) * step), step)


def weight_gradient(cells: Array, dy: Array, kernel: tuple[int, ...], where: Where) -> Array:
    """dw[u, v, c] = Σ_n Σ_i Σ_j dy[n, i, j, c] · x[n, i·s + u·d - p, j·s + v·d - p, c]."""
    parts: dict[tuple[int, int], Array] = {}
    channels = dy.shape[3]

    def work(images: slice, rows: slice) -> None:
        part, own = _seen(cells[images], rows, kernel, where), _joined(dy[images, rows])
        total = np.zeros((*kernel, channels), dy.dtype)
        for plane, columns, step in _planes(part, kernel[1], where.stride[1], where.dilation[1]):
            goal = total[:, columns]
            steps = where.dilation[0], step
            x = _windows(plane, goal.shape[:2], where.stride[0], steps, dy[images, rows])
            for run in _runs(goal.shape, own.shape[2]):
                by_place = np.einsum("uvnij,nij->uvj", x[..., run], own[..., run])
                goal += by_place.reshape(*goal.shape[:2], -1, channels).sum(axis=2)
        parts[images.start, rows.start] = total

    _by_rows(work, dy)
    zero = np.zeros((*kernel, channels), dy.dtype)
    return sum((parts[place] for place in sorted(parts)), zero)  # always in the same order


def _by_rows(work: Callable[[slice, slice], None], maps: Array) -> None:
    """Call `work(images, rows)` for blocks of rows of (N, H, W, C), on all cores."""
    row = maps.shape[2] * maps.shape[3]
    walk(work, *maps.shape[:2], numbers=row, most=max(BLOCK, _ROWS * row))


def _slide(part: Array, taps: Array, dilation: tuple[int, int], out: Array) -> None:
    """out[i, j, c] = Σ_u Σ_v w[u, v, c] · part[i + u·d, j + v·d, c]: nothing lies outside of `part`."""
    y = _joined(out)
    x = _windows(part, taps.shape[:2], 1, dilation, out)
    runs = _runs(taps.shape, y.shape[2])
    # The weights of a place, for each place of a run.
    wide = np.tile(taps, (1, 1, (runs[0].stop - runs[0].start) // taps.shape[2]))
    for run in runs:
        each = wide[..., : run.stop - run.start]
        np.einsum("uvnij,uvj->nij", x[..., run], each, out=y[..., run])


def _planes(
    part: Array, kernel: int, stride: int, dilation: int
) -> Iterator[tuple[Array, slice, int]]:
    """The columns of (n, h, w, C) sorted by what is left of x / stride, each with what sees them.

    Yields:
        a map that is seen with stride 1, the columns of the kernel that see it, and the distance that they
        have there.
    """
    if stride == 1:
        yield part, slice(None), dilation
        return
    for first in range(min(stride, kernel)):
        start, left = divmod(first * dilation, stride)
        seen_before = any((v * dilation - left) % stride == 0 for v in range(first))
        if seen_before:
            continue
        between = next(n for n in range(1, stride + 1) if n * dilation % stride == 0)
        plane = np.ascontiguousarray(part[:, :, left::stride][:, :, start:])
        yield plane, slice(first, None, between), between * dilation // stride


def _windows(
    part: Array, kernel: tuple[int, ...], stride: int, dilation: tuple[int, int], maps: Array
) -> Array:
    """(n, h, w, C) → (kh, kw, n, H', W'·C) for maps (n, H', W', C): what each element of the kernel sees.

    It is a view. The stride is that of rows; places of a row lie side by side.
    """
    of_n, of_y, of_x, of_c = part.strides
    steps = (dilation[0] * of_y, dilation[1] * of_x, of_n, stride * of_y, of_c)
    n, height, width, channels = maps.shape
    shape = (kernel[0], kernel[1], n, height, width * channels)
    return np.lib.stride_tricks.as_strided(part, shape, steps, writeable=False)


def _runs(taps: tuple[int, ...], length: int) -> list[slice]:
    """Parts of a row's W·C numbers, whole places, of which the first is the longest.

    Args:
        taps: (kh, kw, C), whose weights are repeated for each place.
        length: W·C.
    """
    step = max(_WEIGHTS // (taps[0] * taps[1] * taps[2]), 1) * taps[2]
    return [slice(i, min(i + step, length)) for i in range(0, length, step)]


def _joined(maps: Array) -> Array:
    """(…, W, C) → (…, W·C), of places that lie side by side; a view."""
    shape = (*maps.shape[:-2], maps.shape[-2] * maps.shape[-1])
    steps = (*maps.strides[:-2], maps.itemsize)
    return np.lib.stride_tricks.as_strided(maps, shape, steps)


def _seen(cells: Array, rows: slice, kernel: tuple[int, ...], where: Where) -> Array:
    """What the kernels see of (n, H, W, C) for some rows of the output."""
    spans = []
    for axis, part in enumerate((rows, slice(0, where.output[1]))):
        first = part.start * where.stride[axis] - where.padding[axis][0]
        last = (part.stop - 1) * where.stride[axis] - where.padding[axis][0]
        spans.append((first, last + where.dilation[axis] * (kernel[axis] - 1) + 1))
    return _cut(cells, *spans)


def _cut(cells: Array, rows: tuple[int, int], columns: tuple[int, int]) -> Array:
    """The rows and columns (first, last + 1) of (n, H, W, C); what lies outside of the map is 0."""
    height, width = cells.shape[1:3]
    (top, bottom), (left, right) = rows, columns
    y, x = slice(max(top, 0), min(bottom, height)), slice(max(left, 0), min(right, width))
    if (y.start, y.stop, x.start, x.stop) == (top, bottom, left, right):
        return cells[:, y, x]
    part = np.zeros((len(cells), bottom - top, right - left, cells.shape[3]), cells.dtype)
    if y.start < y.stop and x.start < x.stop:
        inside = slice(y.start - top, y.stop - top), slice(x.start - left, x.stop - left)
        part[:, inside[0], inside[1]] = cells[:, y, x]
    return part
