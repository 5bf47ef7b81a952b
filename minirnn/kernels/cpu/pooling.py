"""Pooling in blocks that fit the cache, channels last, on all cores.

The map is read once per place in the window: all values that stand at the window's upper left form a map
of the output's size, and so do those at each other place. A maximum over windows is then the maximum of
those few maps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minirnn.backend import Array
from minirnn.kernels.cpu.layout import nchw_of, nhwc_of
from minirnn.kernels.cpu.walk import BLOCK, walk
from minirnn.kernels.table import kernel as register
from minirnn.ops.pooling import Pair, Windows, avg_pool2d, max_pool2d

_ROWS = 16  # rows of a block, at least, where the windows at its edge are computed twice


class _WindowRows(Windows):
    """The windows of a pooling, walked in blocks of rows."""

    def places_of(self, height: int) -> Iterator[tuple[Any, slice, slice]]:
        """For each place in the window, in reading order: the padded rows and columns it visits.

        Args:
            height: rows of windows.
        """
        (kh, kw), (sy, sx), width = self.kernel, self.stride, self.output[1]
        for u in range(kh):
            for v in range(kw):
                yield (
                    slice(None),
                    slice(u, u + (height - 1) * sy + 1, sy),
                    slice(v, v + (width - 1) * sx + 1, sx),
                )

    def seen(self, cells: Array, rows: slice, value: float) -> Array:
        """What some rows of windows see of (N, H, W, C), with a border of `value`."""
        (py, px), (height, width) = self.padding, self.input
        top = rows.start * self.stride[0] - py
        bottom = (rows.stop - 1) * self.stride[0] + self.kernel[0] - py
        first, last = max(top, 0), min(bottom, height)
        if px == 0 and (first, last) == (top, bottom):
            return cells[:, first:last]
        shape = (len(cells), bottom - top, width + 2 * px, cells.shape[3])
        padded = np.full(shape, value, cells.dtype)
        padded[:, first - top : last - top, px : px + width] = cells[:, first:last]
        return padded

    def run(self, cells: Array, work: Callable[[slice, slice], None]) -> None:
        """Call `work(images, rows)` for blocks of rows of windows, on all cores."""
        n, width, channels = len(cells), self.input[1], cells.shape[3]
        walk(work, n, self.output[0], numbers=self.stride[0] * width * channels)

    def spread(self, dx: Array, work: Callable[[slice, slice, Array], None]) -> None:
        """Fill `dx` (N, H, W, C) with what `work(images, rows, part)` adds to each part of it.

        `rows` are rows of windows, and `part` is zeros that stand for what they see. Windows overlap,
        so those at the edge of a block are computed twice, and each block keeps its own rows of dx.
        """
        (py, px), (height, width) = self.padding, self.input
        (kernel, _), (stride, _) = self.kernel, self.stride

        def fill(images: slice, rows: slice) -> None:
            start, stop = rows.start, rows.stop
            first = max(-(-(start + py - kernel + 1) // stride), 0)
            last = min((stop - 1 + py) // stride + 1, self.output[0])
            if last <= first:
                dx[images, start:stop] = 0
                return
            top, bottom = first * stride - py, (last - 1) * stride + kernel - py
            base, end = min(top, start), max(bottom, stop)
            shape = (len(dx[images]), end - base, self.padded[1], dx.shape[3])
            padded = np.zeros(shape, dx.dtype)
            work(images, slice(first, last), padded[:, top - base : bottom - base])
            dx[images, start:stop] = padded[:, start - base : stop - base, px : px + width]

        row = width * dx.shape[3]
        walk(fill, len(dx), height, numbers=row, most=max(BLOCK, _ROWS * row))


def _without_ceil(x: Array, *, ceil_mode: bool = False, **settings: Any) -> bool:
    return not ceil_mode


@register(
    max_pool2d, "cpu", reason="blocks of rows, channels last, on all cores", applies=_without_ceil
)
def max_pool2d_in_blocks(x: Array, **settings: Any) -> tuple[Array, Callable]:
    """`minirnn.ops.pooling.max_pool2d`, for ceil_mode=False."""
    windows = _WindowRows("max_pool2d", x.shape, **settings)
    cells = nhwc_of(x)
    y = np.empty((len(x), *windows.output, x.shape[1]), x.dtype)

    def forward(images: slice, rows: slice) -> None:
        source, out = windows.seen(cells[images], rows, -np.inf), y[images, rows]
        for number, place in enumerate(windows.places_of(out.shape[1])):
            if number == 0:
                out[...] = source[place]
            else:
                np.maximum(out, source[place], out=out)

    windows.run(cells, forward)

    def gradient(dy: Array) -> Array:
        dy = nhwc_of(dy)
        dx = np.empty(cells.shape, dy.dtype)

        def backward(images: slice, rows: slice, part: Array) -> None:
            source, best = windows.seen(cells[images], rows, -np.inf), y[images, rows]
            own = dy[images, rows]
            waiting = np.ones(best.shape, bool)  # windows whose maximum has not been met yet
            for place in windows.places_of(best.shape[1]):
                met = source[place] == best
                met &= waiting
                waiting ^= met
                part[place] += own * met

        windows.spread(dx, backward)
        return nchw_of(dx)

    return nchw_of(y), gradient


def _whole_kernel_counts(
    x: Array,
    *,
    padding: Pair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    **settings: Any,
) -> bool:
    return not ceil_mode and (count_include_pad or padding in (0, (0, 0)))


@register(
    avg_pool2d,
    "cpu",
    reason="blocks of rows, channels last, on all cores",
    applies=_whole_kernel_counts,
)
def avg_pool2d_in_blocks(
    x: Array, *, count_include_pad: bool = True, **settings: Any
) -> tuple[Array, Callable]:
    """`minirnn.ops.pooling.avg_pool2d` where each mean is over kh · kw values."""
    windows = _WindowRows("avg_pool2d", x.shape, **settings)
    cells = nhwc_of(x)
    y = np.zeros((len(x), *windows.output, x.shape[1]), x.dtype)
    share = windows.kernel[0] * windows.kernel[1]

    def forward(images: slice, rows: slice) -> None:
        source, out = windows.seen(cells[images], rows, 0), y[images, rows]
        for place in windows.places_of(out.shape[1]):
            out += source[place]
        out /= share

    windows.run(cells, forward)
    shape = cells.shape

    def gradient(dy: Array) -> Array:
        dy = nhwc_of(dy)
        dx = np.empty(shape, dy.dtype)

        def backward(images: slice, rows: slice, part: Array) -> None:
            own = dy[images, rows] / share
            for place in windows.places_of(own.shape[1]):
                part[place] += own

        windows.spread(dx, backward)
        return nchw_of(dx)

    return nchw_of(y), gradient
