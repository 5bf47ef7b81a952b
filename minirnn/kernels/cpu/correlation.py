"""The three products behind convolution, and which algorithm computes them.

With A the linear map of a convolution: `correlate` is A x, `spread` is Aᵀ dy, and `weight_gradient` is
the gradient of A's weights. Each is a matrix product of *patches*, what the kernel sees at each place
(see `kernels.cpu.columns`), with the weights, or Winograd's shorter way (`kernels.cpu.winograd`),
or, with stride 1 on a small map, the transpose of its transpose (`_stamp`).
All work on maps with their channels last, (N, H, W, C), so that a patch is made of a few contiguous
runs, and on kernels (kh, kw, C, O), "taps", which multiply a patch as they lie (see `kernels.cpu.layout`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minirnn.backend import Array, positive_part, xp_of
from minirnn.kernels.cpu import parallel, winograd
from minirnn.kernels.cpu.columns import Columns, by_plane
from minirnn.kernels.cpu.layout import cells_of, contiguous
from minirnn.kernels.cpu.passes import sum_of_rows

_STAMPS = 1 << 18  # numbers that are added up at a time: 1 MiB of float32
_FEW = 512  # places, for which it takes longer to bring kernels in order than to add up stamps
_ROWS = 1 << 19  # numbers that are read and written at a time where each is written once


@dataclass(frozen=True)
class Geometry:
    """Where the kernel stands: sizes of kernel and maps, (y, x) each."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    input: tuple[int, int]

    @property
    def output(self) -> tuple[int, int]:
        """Size of the output map: floor((in + 2·padding - dilation·(kernel - 1) - 1) / stride) + 1."""
        height, width = (
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, k, s, p, d in zip(
                self.input, self.kernel, self.stride, self.padding, self.dilation, strict=True
            )
        )
        return height, width

    @property
    def back(self) -> Geometry | None:
        """Where the kernel stands on the way back, if that is a convolution, too: with stride 1 it is
        one with the kernel turned by 180 degrees, and as much padding as the kernel reaches out."""
        (kh, kw), (py, px), (ey, ex) = self.kernel, self.padding, self.dilation
        padding = (ey * (kh - 1) - py, ex * (kw - 1) - px)
        if self.stride != (1, 1) or min(padding) < 0:
            return None
        return Geometry(self.kernel, (1, 1), padding, self.dilation, self.output)

    @property
    def is_pointwise(self) -> bool:
        """A 1×1 kernel without padding: one matrix product, and nothing to copy."""
        return self.kernel == (1, 1) and self.padding == (0, 0)


@dataclass(frozen=True)
class Finish:
    """What is done to a block of the result while it is in the cache: + bias, + residual, ReLU."""

    bias: Array | None
    residual: Array | None = None  # channels last
    relu: bool = False

    def __call__(self, block: Array, place: Any, out: Array) -> None:
        """Finish the block of the result that stands at `place`, and leave it in `out`.

        The block is used up. `out` may be the block itself.
        """
        xp = xp_of(block)
        residual = None if self.residual is None else self.residual[place]
        terms = [term for term in (self.bias, residual) if term is not None]
        last = None if self.relu or not terms else terms.pop()
        for term in terms:
            block += term
        # The last step writes to `out`, so that no walk is spent on copying.
        if self.relu:
            positive_part(block, out=out)
        elif last is not None:
            xp.add(block, last, out=out)
        elif out is not block:
            out[...] = block

    def over_rows(self) -> Finish:
        """The same where the places are not (image, row, column) but one long list."""
        if self.residual is None:
            return self
        rows = self.residual.reshape(-1, self.residual.shape[3])
        return Finish(self.bias, rows, self.relu)


_NOTHING = Finish(None)


def readable(maps: Array, geometry: Geometry) -> Array:
    """(N, C, H, W) → (N, H, W, C), lying as `correlate` and `weight_gradient` want to read it."""
    cells = maps.transpose(0, 2, 3, 1)
    return cells if by_plane(geometry, cells) else cells_of(maps)


def correlate(
    cells: Array,
    taps: Array,
    geometry: Geometry,
    finish: Finish = _NOTHING,
    *,
    turned: bool = False,
) -> Array:
    """y = A x, finished. This is the dispatch: which algorithm runs is decided here and nowhere else.

    Args:
        cells: (N, H, W, C).
        taps: the kernels, (kh, kw, C, O).
        geometry: where the kernel stands.
        finish: what is done to the result.
        turned: exchange inputs and outputs and turn the kernels by 180 degrees.

    Returns:
        (N, H', W', O).
    """
    if turned:
        taps = _turned(taps)
    if geometry.is_pointwise:
        sy, sx = geometry.stride
        return _pointwise(cells[:, ::sy, ::sx], taps[0, 0], finish)
    back, places = geometry.back, len(cells) * math.prod(geometry.output)
    if isinstance(cells, np.ndarray) and back is not None and places < _FEW:
        return _stamp(cells, _turned(taps), back, finish)
    taps = contiguous(taps, axis=2)
    if winograd.suits(cells, taps.shape[3], geometry):
        return winograd.correlate(cells, taps, geometry.padding, finish)
    return _correlate_by_columns(cells, taps.reshape(-1, taps.shape[3]), geometry, finish)


def _turned(taps: Array) -> Array:
    """(kh, kw, C, O) → (kh, kw, O, C), each kernel turned by 180 degrees; a view."""
    return taps[::-1, ::-1].transpose(0, 1, 3, 2)


def _pointwise(cells: Array, matrix: Array, finish: Finish) -> Array:
    xp = xp_of(cells)
    channels, outputs = matrix.shape
    rows = cells.reshape(-1, channels)
    y = xp.empty((len(rows), outputs), cells.dtype)
    finish = finish.over_rows()
    step = max(_ROWS // (channels + outputs), 256) if xp is np else len(rows)

    def work(start: int, stop: int) -> None:
        for first in range(start, stop, step):
            part = slice(first, min(first + step, stop))
            xp.matmul(rows[part], matrix, out=y[part])
            finish(y[part], part, y[part])

    if len(rows):
        # A thread costs as much as a million multiplications.
        _chunks(xp, work, len(rows), at_least=max((1 << 20) // (channels * outputs), 64))
    return y.reshape(*cells.shape[:3], outputs)


def _correlate_by_columns(cells: Array, matrix: Array, geometry: Geometry, finish: Finish) -> Array:
    columns = Columns(cells, geometry)
    y = columns.xp.empty((len(cells), *geometry.output, matrix.shape[1]), cells.dtype)

    def work(start: int, stop: int) -> None:
        for place, patches in columns.blocks(start, stop):
            block = y[place]
            columns.xp.matmul(patches, matrix, out=block.reshape(len(patches), -1))
            finish(block, (*place, slice(None)), block)

    _chunks(columns.xp, work, len(columns))
    return y


def spread(dy: Array, taps: Array, geometry: Geometry, finish: Finish = _NOTHING) -> Array:
    """dx = Aᵀ dy, finished: each output value stamped back over its patch, (N, H, W, C)."""
    if geometry.back is not None:
        return correlate(dy, taps, geometry.back, finish, turned=True)
    (kh, kw), (sy, sx) = geometry.kernel, geometry.stride
    if kh <= sy and kw <= sx and geometry.padding == (0, 0) and geometry.dilation == (1, 1):
        return _stamp_apart(dy, taps, geometry, finish)
    return _stamp(dy, taps, geometry, finish)


def _stamp_apart(dy: Array, taps: Array, geometry: Geometry, finish: Finish) -> Array:
    """`spread` where no place of dx is under two stamps: they are written, not added.

    One row of the kernel after the other. Where there are no gaps, its stamps side by side are whole rows
    of the result, and are copied there as they are finished.
    """
    xp = xp_of(dy)
    n, oh, ow, outputs = dy.shape
    (height, width), (kh, kw), (sy, sx) = geometry.input, geometry.kernel, geometry.stride
    channels = taps.shape[2]
    gaps = (height, width) != (oh * kh, ow * kw)
    dx = (xp.zeros if gaps else xp.empty)((n, height, width, channels), dy.dtype)
    images, step = _portions(xp, dy, _ROWS // max(ow * kw * channels, 1))
    places = [(slice(i, i + images), r) for i in range(0, n, images) for r in range(0, oh, step)]

    def work(start: int, stop: int) -> None:
        for chosen, first in places[start:stop]:
            last = min(first + step, oh)
            part = dy[chosen, first:last]
            for u in range(kh):
                rows = slice(first * sy + u, (last - 1) * sy + u + 1, sy)
                stamps = part.reshape(-1, outputs) @ taps[u].reshape(-1, outputs).T
                if gaps:
                    stamps = stamps.reshape(*part.shape[:3], kw, channels)
                    for v in range(kw):
                        dx[chosen, rows, v::sx][:, :, :ow] = stamps[:, :, :, v]
                else:
                    stamps = stamps.reshape(*part.shape[:2], width, channels)
                    finish(stamps, (chosen, rows), dx[chosen, rows])
            if gaps:
                rows = slice(first * sy, last * sy if last < oh else height)
                finish(dx[chosen, rows], (chosen, rows), dx[chosen, rows])

    _chunks(xp, work, len(places))
    return dx


def _portions(xp: Any, maps: Array, most: int) -> tuple[int, int]:
    """Cut (N, H, W, C) in portions of about `most` rows: how many images, how many rows of each.

    On a GPU: all at once.
    """
    n, height = maps.shape[:2]
    most = max(most, 1) if xp is np else max(n * height, 1)
    return max(most // max(height, 1), 1), min(most, max(height, 1))


def _stamp(dy: Array, taps: Array, geometry: Geometry, finish: Finish) -> Array:
    """`spread` where stamps overlap: they are added up on a map with room for the padding.

    One tap after the other, since BLAS then reads the weights as they lie, and a tap's stamps are as many
    numbers as dy has places: they are still in a cache when they are added.
    """
    xp = xp_of(dy)
    n, oh, ow, outputs = dy.shape
    (height, width), (kh, kw), (sy, sx) = geometry.input, geometry.kernel, geometry.stride
    (py, px), (ey, ex) = geometry.padding, geometry.dilation
    channels = taps.shape[2]
    dx = xp.empty((n, height, width, channels), dy.dtype)
    # Threads share out the channels: places are under several stamps.
    share = max(-(-channels // parallel.thread_count()) if xp is np else channels, 1)
    images, step = _portions(xp, dy, _STAMPS // max(share * ow, 1))
    places = [
        (slice(i, i + images), slice(c, c + share))
        for i in range(0, n, images)
        for c in range(0, channels, share)
    ]

    def stamp(images: slice, part: slice) -> None:
        goal = dx[images, :, :, part]
        size = (len(goal), height + 2 * py + sy, width + 2 * px + sx, goal.shape[3])
        large = xp.zeros(size, dy.dtype)
        for first in range(0, oh, step):
            rows = dy[images, first : first + step]
            long = rows.reshape(-1, outputs)
            for u in range(kh):
                for v in range(kw):
                    y0, x0 = first * sy + u * ey, v * ex
                    place = large[:, y0 : y0 + rows.shape[1] * sy : sy, x0 : x0 + ow * sx : sx]
                    place += (long @ taps[u, v, part].T).reshape(place.shape)
        goal[...] = large[:, py : py + height, px : px + width]

    def work(start: int, stop: int) -> None:
        for place in places[start:stop]:
            stamp(*place)

    _chunks(xp, work, len(places))
    finish(dx, (slice(None),), dx)
    return dx


def weight_gradient(cells: Array, dy: Array, geometry: Geometry) -> Array:
    """dw[u, v, c, o] = Σ_n Σ_i Σ_j dy[n, i, j, o] · x[n, i·s + u·d - p, j·s + v·d - p, c]."""
    xp = xp_of(cells, dy)
    outputs, channels = dy.shape[3], cells.shape[3]
    kh, kw = geometry.kernel
    if geometry.is_pointwise:
        sy, sx = geometry.stride
        rows = cells[:, ::sy, ::sx].reshape(-1, channels)
        gradients = dy.reshape(-1, outputs)
        if outputs < min(channels, 32):  # BLAS likes a very short side of the result in front
            return parallel.matmul(gradients.T, rows).T.reshape(1, 1, channels, outputs)
        return parallel.matmul(rows.T, gradients).reshape(1, 1, channels, outputs)
    if winograd.suits(cells, outputs, geometry):
        return winograd.weight_gradient(cells, dy, geometry.padding)

    columns = Columns(cells, geometry, least=512)
    partial: dict[int, Array] = {}

    def work(start: int, stop: int) -> None:
        total = None
        for place, patches in columns.blocks(start, stop):
            product = patches.T @ dy[place].reshape(-1, outputs)
            total = product if total is None else xp.add(total, product, out=total)
        partial[start] = total

    if not len(columns):
        return xp.zeros((kh, kw, channels, outputs), dy.dtype)
    _chunks(xp, work, len(columns))
    total = sum(partial[start] for start in sorted(partial))
    return total.reshape(kh, kw, channels, outputs)


def sum_of_places(dy: Array) -> Array:
    """(N, H, W, C) → (C,)."""
    xp = xp_of(dy)
    rows = dy.reshape(-1, dy.shape[3])
    if xp is not np:
        return rows.sum(axis=0)
    step = max(_ROWS // max(rows.shape[1], 1), 1)
    # Sums of blocks, and their sum: the rounding error grows with the square root of the length.
    sums = np.zeros((-(-len(rows) // step), rows.shape[1]), dy.dtype)

    def work(start: int, stop: int) -> None:
        for block in range(start, stop):
            sums[block] = sum_of_rows(rows[block * step : (block + 1) * step])

    parallel.for_chunks(work, len(sums))
    return sums.sum(axis=0)


def _chunks(xp: Any, work: Callable[[int, int], None], n: int, at_least: int = 1) -> None:
    """Threads on the host; on a GPU everything at once, since its library does the sharing out."""
    if xp is np:
        parallel.for_chunks(work, n, at_least=at_least)
    else:
        work(0, n)
