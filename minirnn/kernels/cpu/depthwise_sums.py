"""Depthwise convolution as it is defined, for any stride: sums of shifted rows, where nothing is copied.

Channels last, a place of the map is one run of C numbers. What the kernel sees is a view of the map, and
`np.einsum` multiplies it with the weights and adds it up in one step, for many rows in one call. It goes
over a row of the result once for each row of the kernel, and place by place: a sum stays in the nearest
cache while all columns of the kernel are added to it.

With stride 1 the places of a row lie side by side, and so do those that they see. A few of them are taken
as one run then, with the weights repeated, since beginning a run costs as much as some sixty numbers.

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
_BLOCK = 1 << 18  # sums at a time: bias and ReLU are done to a block while it is in the cache


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
    y = np.empty((len(cells), *where.output, channels), cells.dtype)
    if not y.size:
        return y
    of_y = spans(where.output[0], height, kh, sy, dy, top)
    of_x = spans(where.output[1], width, kw, sx, dx, left)
    inner = max(of_x, key=_length)
    repeat = repeats(_length(inner), channels) if sx == 1 else 1
    wide = np.tile(taps, (1, 1, repeat)) if repeat > 1 else taps
    joined = y.reshape(*y.shape[:2], y.shape[2] * channels)
    after = _over_rows(epilogue, where.output[1])

    def fill(images: slice, row: Span, column: Span, weights: Array) -> None:
        out = y[images, row.results, column.results]
        own = weights[row.taps, column.taps]
        first = row.results.start * sy - top + row.taps.start * dy
        seen = cells[images, first:, column.results.start * sx - left + column.taps.start * dx :]
        if own.size:
            _sum(seen, own, where, out)
        else:
            out[...] = 0

    def work(images: slice, rows: slice) -> None:
        for row, column in product(_within(of_y, rows), of_x):
            if column is not inner:
                fill(images, row, column, taps)
        for start in range(rows.start, rows.stop, step):
            part = slice(start, min(start + step, rows.stop))
            for row in _within(of_y, part):
                fill(images, row, inner, wide)
            after(joined[images, part], (images, part), joined[images, part])

    numbers = where.output[1] * channels
    step = max(_BLOCK // numbers, 1)
    for image in range(len(cells)):
        walk(partial(work, slice(image, image + 1)), y.shape[1], numbers=numbers, most=None)
    return y


def _length(span: Span) -> int:
    return span.results.stop - span.results.start


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
    """The sums of what the kernel sees from the first place of `seen` on.

    Args:
        seen: (n, h, w, C).
        taps: (kh, kw, r·C), the weights repeated for r places.
        where: stride and dilation.
        out: the result, (n, i, j, C).
    """
    of_n, of_y, of_x, of_c = seen.strides
    (sy, sx), (dy, dx) = where.stride, where.dilation
    (n, rows, places, channels), repeat = out.shape, taps.shape[2] // out.shape[3]
    whole = places - places % repeat
    for start, stop in ((0, whole), (whole, places)):
        if start == stop:
            continue
        length = min(repeat, stop - start)
        shape = n, rows, (stop - start) // length, length * channels
        windows = np.lib.stride_tricks.as_strided(
            seen[:, :, start * sx :],
            (*taps.shape[:2], *shape),
            (dy * of_y, dx * of_x, of_n, sy * of_y, length * sx * of_x, of_c),
            writeable=False,
        )
        strides = *out.strides[:2], length * out.strides[2], out.strides[3]
        total = np.lib.stride_tricks.as_strided(out[:, :, start:], shape, strides)
        np.einsum("uvnijc,uvc->nijc", windows, taps[:, :, : shape[3]], out=total)
