"""Depthwise convolution as it is defined, for any stride: sums of shifted rows, where nothing is copied.

Channels last, a row of the map is one run of numbers. Shifted by an element of the kernel and multiplied
with that element's weights, which are repeated for a few places, runs are added up by `np.einsum`, which
multiplies and adds in one step.

With a stride s along x, s places of a row are taken as one place with s·C channels, so that there are long
runs again: the kernel then stands at every such place. What it gives for the s parts is added up last.

No border of zeros is laid around the map: a result at the border sees fewer elements of the kernel, and is
summed over those alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache, partial
from itertools import product
from typing import NamedTuple

import numpy as np

from minirnn.backend import Array
from minirnn.kernels.cpu.correlation import Epilogue
from minirnn.kernels.cpu.walk import walk
from minirnn.ops.checks import Sides

_RUN = 2048  # numbers that `np.einsum` walks over at a time; for fewer, beginning takes too long
_BLOCK = (
    1 << 18
)  # sums that are worked on at a time; of larger blocks, what they are made of leaves the cache


class Where(NamedTuple):
    """Where the kernels stand; (y, x) each."""

    stride: tuple[int, int]
    padding: Sides
    dilation: tuple[int, int]
    output: tuple[int, int]

    def back(self, kernel: tuple[int, ...], shape: tuple[int, ...]) -> Where | None:
        """Where the turned kernels stand on the way back, with stride 1; None where that does not go."""
        reach = [d * (k - 1) for d, k in zip(self.dilation, kernel, strict=True)]
        (top, bottom), (left, right) = self.padding
        padding = (reach[0] - top, reach[0] - bottom), (reach[1] - left, reach[1] - right)
        if self.stride != (1, 1) or min(min(each) for each in padding) < 0:
            return None
        return Where((1, 1), padding, self.dilation, (shape[0], shape[1]))


class Span(NamedTuple):
    """Neighbouring results of one axis that see the same elements of the kernel inside of the map."""

    results: slice
    taps: slice


@lru_cache(maxsize=256)
def spans(
    results: int, length: int, kernel: int, stride: int, dilation: int, padding: int
) -> list[Span]:
    """All results of an axis, sorted by which elements of the kernel lie inside of the map.

    Args:
        results: how many there are.
        length: of the map.
        kernel: its elements.
        stride: from one result to the next.
        dilation: from one element to the next.
        padding: zeros before the map.
    """
    found: list[Span] = []
    for i in range(results):
        first = i * stride - padding
        start = min(max(-(first // dilation), 0), kernel)
        stop = max(min(-(-(length - first) // dilation), kernel), start)
        taps = slice(start, stop)
        if found and found[-1].taps == taps:
            found[-1] = Span(slice(found[-1].results.start, i + 1), taps)
        else:
            found.append(Span(slice(i, i + 1), taps))
    return found


def correlate(cells: Array, taps: Array, where: Where, epilogue: Epilogue) -> Array:
    """y[i, j, c] = Σ_u Σ_v w[u, v, c] · x[i·s + u·d - p, j·s + v·d - p, c], with the epilogue done.

    Args:
        cells: (N, H, W, C).
        taps: (kh, kw, C).
        where: stride, padding, dilation, and the size of the result.
        epilogue: what is done to the result.
    """
    (height, width), (kh, kw, channels) = cells.shape[1:3], taps.shape
    (sy, sx), (dy, dx), ((top, _), (left, _)) = where.stride, where.dilation, where.padding
    columns = -(-kw // sx) * sx if dx == 1 else kw
    of_y = spans(where.output[0], height, kh, sy, dy, top)
    of_x = spans(where.output[1], width, columns, sx, dx, left)
    inner = [each for each in of_x if dx == 1 and each.taps == slice(0, columns)]
    wide = [_Wide(taps, sx, each.results) for each in inner]
    y = np.empty((len(cells), *where.output, channels), cells.dtype)
    joined = y.reshape(*y.shape[:2], y.shape[2] * channels)
    after = _over_rows(epilogue, where.output[1])

    def seen(images: slice, row: Span, column: Span) -> Array:
        """The map from what the first of some results sees on."""
        first = row.results.start * sy - top + row.taps.start * dy
        return cells[images, first:, column.results.start * sx - left + column.taps.start * dx :]

    def border(images: slice, rows: slice) -> None:
        for row, column in product(_within(of_y, rows), of_x):
            if column in inner:
                continue
            out = y[images, row.results, column.results]
            own = taps[row.taps, column.taps]
            if own.size:
                _sum(seen(images, row, column), own, where, out)
            else:
                out[...] = 0

    def work(images: slice, rows: slice) -> None:
        border(images, rows)
        for start in range(rows.start, rows.stop, step):
            part = slice(start, min(start + step, rows.stop))
            for row, (column, each) in product(_within(of_y, part), zip(inner, wide, strict=True)):
                out = y[images, row.results, column.results]
                each.sum(seen(images, row, column), row.taps, (dy, sy), out)
            after(joined[images, part], (images, part), joined[images, part])

    numbers = where.output[1] * channels * sx
    step = max(_BLOCK // numbers, 4)
    for image in range(len(cells)):
        walk(partial(work, slice(image, image + 1)), y.shape[1], numbers=numbers, most=None)
    return y


def repeats(places: int, channels: int) -> int:
    """How many places of a row are walked over at a time: long runs, if possible none that is shorter."""
    most = max(_RUN // channels, 1)
    whole = max(n for n in range(1, most + 1) if places % n == 0)
    return whole if 2 * whole > most else min(most, places)


def _within(all_spans: Sequence[Span], part: slice) -> Iterator[Span]:
    """What of the spans lies within a part of their axis."""
    for results, taps in all_spans:
        start, stop = max(results.start, part.start), min(results.stop, part.stop)
        if start < stop:
            yield Span(slice(start, stop), taps)


def _over_rows(epilogue: Epilogue, width: int) -> Epilogue:
    """The same for rows (N, H', W'·C): it is quicker over few long runs than over many short ones."""
    bias, residual = epilogue.bias, epilogue.residual
    if bias is not None:
        bias = np.tile(bias, width)
    if residual is not None:
        residual = residual.reshape(*residual.shape[:2], residual.shape[2] * residual.shape[3])
    return Epilogue(bias, residual, epilogue.relu, epilogue.relu6)


def _sum(seen: Array, taps: Array, where: Where, out: Array) -> None:
    """The sums (n, i, j, C) of what the kernel sees from the first place of `seen` on, place by place."""
    of_n, of_y, of_x, of_c = seen.strides
    (sy, sx), (dy, dx) = where.stride, where.dilation
    strides = dy * of_y, dx * of_x, of_n, sy * of_y, sx * of_x, of_c
    shape = (*taps.shape[:2], *out.shape)
    windows = np.lib.stride_tricks.as_strided(seen, shape, strides, writeable=False)
    np.einsum("uvnijc,uvc->nijc", windows, taps, out=out)


class _Wide:
    """The kernel over places of s·C channels: its columns, and zeros up to a multiple of s."""

    def __init__(self, taps: Array, stride: int, results: slice) -> None:
        kh, kw, channels = taps.shape
        self.stride = stride
        wide = np.zeros((kh, -(-kw // stride) * stride, channels), taps.dtype)
        wide[:, :kw] = taps
        weights = wide.reshape(kh, -1, stride * channels)
        self.repeat = repeats(results.stop - results.start, stride * channels)
        self.weights = np.tile(weights, (1, 1, self.repeat))

    def sum(self, seen: Array, us: slice, steps: tuple[int, int], out: Array) -> None:
        """The sums (n, i, j, C) of what the kernel sees from the first place of `seen` on.

        Args:
            seen: (n, h, w, C).
            us: rows of the kernel.
            steps: from one row of the kernel to the next, and from one row of results to the next.
            out: the result.
        """
        (n, rows, places, channels), s = out.shape, self.stride
        of_n, of_y, of_x, of_c = seen.strides
        if s == 1:
            sums, strides = out, out.strides
        else:
            sums = np.empty((n, rows, places, s * channels), out.dtype)
            strides = sums.strides
        weights = self.weights[us]
        whole = places - places % self.repeat
        for start, stop in ((0, whole), (whole, places)):
            if start == stop:
                continue
            length = min(self.repeat, stop - start)
            shape = n, rows, (stop - start) // length, length * s * channels
            windows = np.lib.stride_tricks.as_strided(
                seen[:, :, start * s :],
                (*weights.shape[:2], *shape),
                (
                    *(steps[0] * of_y, s * of_x),
                    *(of_n, steps[1] * of_y, length * s * of_x, of_c),
                ),
                writeable=False,
            )
            total = np.lib.stride_tricks.as_strided(
                sums[:, :, start:], shape, (*strides[:2], length * strides[2], strides[3])
            )
            each = weights[:, :, : shape[3]]
            np.einsum("uvnirj,uvj->nirj", windows, each, out=total)
        if s > 1:
            parts = sums.reshape(n, rows, places, s, channels)
            np.add(parts[:, :, :, 0], parts[:, :, :, 1], out=out)
            for part in range(2, s):
                out += parts[:, :, :, part]
