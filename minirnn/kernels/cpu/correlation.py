"""The three products behind convolution, and which algorithm computes them.

With A the linear map of a convolution: `correlate` is A x, `transposed` is Aᵀ dy, and `weight_gradient` is
the gradient of A's weights. Each is a matrix product of *patches*, what the kernel sees at each place
(see `kernels.cpu.im2col`), with the weights, or Winograd's shorter way (`kernels.cpu.winograd`),
or, with stride 1 on a small map, products added where they belong (`_col2im`); `algorithm` decides.
All work on maps with their channels last, (N, H, W, C), so that a patch is made of a few contiguous
runs, and on kernels (kh, kw, C, O), "taps", which multiply a patch as they lie (see `kernels.cpu.layout`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from minirnn.backend import Array, positive_part
from minirnn.kernels.cpu import winograd
from minirnn.kernels.cpu.im2col import Patches, by_plane
from minirnn.kernels.cpu.layout import contiguous, nhwc_of
from minirnn.kernels.cpu.matmul import matmul, multiply
from minirnn.kernels.cpu.passes import sum_of_rows
from minirnn.kernels.cpu.walk import blocks, steps_of, walk
from minirnn.kernels.threads import thread_count

_STAMPS = 1 << 18  # numbers that are added up at a time: 1 MiB of float32
_FEW = 512  # output places; with fewer, rearranging the kernels takes longer than adding up stamps
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
class Epilogue:
    """What is done to a block of the result while it is in the cache: + bias, + residual, ReLU(6)."""

    bias: Array | None
    residual: Array | None = None  # channels last
    relu: bool = False
    relu6: bool = False

    def __call__(self, block: Array, place: Any, out: Array) -> None:
        """Do this to the block of the result that stands at `place`, and leave it in `out`.

        The block may be overwritten. `out` may be the block itself.
        """
        residual = None if self.residual is None else self.residual[place]
        terms = [term for term in (self.bias, residual) if term is not None]
        last = None if self.relu or self.relu6 or not terms else terms.pop()
        for term in terms:
            block += term
        # The last step writes to `out`, so that no walk is spent on copying.
        if self.relu6:
            block.clip(0, 6, out=out)
        elif self.relu:
            positive_part(block, out=out)
        elif last is not None:
            np.add(block, last, out=out)
        elif out is not block:
            out[...] = block

    def over_rows(self) -> Epilogue:
        """The same where the places are not (image, row, column) but one long list."""
        if self.residual is None:
            return self
        rows = self.residual.reshape(-1, self.residual.shape[3])
        return Epilogue(self.bias, rows, self.relu, self.relu6)


_NOTHING = Epilogue(None)


def readable(maps: Array, geometry: Geometry) -> Array:
    """(N, C, H, W) → (N, H, W, C), lying as `correlate` and `weight_gradient` want to read it."""
    cells = maps.transpose(0, 2, 3, 1)
    return cells if by_plane(geometry, cells) else nhwc_of(maps)


def algorithm(product: str, maps: Array, outputs: int, geometry: Geometry) -> str:
    """Which algorithm computes one of the three products: decided here and nowhere else.

    Args:
        product: "forward" (A x), "transposed" (Aᵀ dy) or "weight" (dw).
        maps: what is read, (N, H, W, C): x, or dy for "transposed".
        outputs: channels of the result.
        geometry: of the convolution A.

    Returns:
        "pointwise": one matrix product of the map as it lies.
        "turned": Aᵀ is a convolution itself, with the kernel turned; how to do that is asked as "forward".
        "added": col2im, each value's stamp (the kernel times the value) added to the result.
        "written": the same where no two stamps meet: they are copied.
        "winograd" or "im2col".
    """
    if product == "transposed":
        if geometry.back is not None:
            return "turned"
        (kh, kw), (sy, sx) = geometry.kernel, geometry.stride
        apart = kh <= sy and kw <= sx and geometry.padding == (0, 0)
        return "written" if apart and geometry.dilation == (1, 1) else "added"
    if geometry.is_pointwise:
        return "pointwise"
    places = len(maps) * math.prod(geometry.output)
    if product == "forward" and geometry.back is not None and places < _FEW:
        return "added"
    return "winograd" if winograd.suits(maps, outputs, geometry) else "im2col"


def correlate(
    cells: Array,
    taps: Array,
    geometry: Geometry,
    epilogue: Epilogue = _NOTHING,
    *,
    turned: bool = False,
) -> Array:
    """y = A x, with the epilogue done.

    Args:
        cells: (N, H, W, C).
        taps: the kernels, (kh, kw, C, O).
        geometry: where the kernel stands.
        epilogue: what is done to the result.
        turned: exchange inputs and outputs and turn the kernels by 180 degrees.

    Returns:
        (N, H', W', O).
    """
    if turned:
        taps = _turned(taps)
    way = algorithm("forward", cells, taps.shape[3], geometry)
    if way == "pointwise":
        sy, sx = geometry.stride
        return _pointwise(cells[:, ::sy, ::sx], taps[0, 0], epilogue)
    if way == "added" and geometry.back is not None:
        return _col2im(cells, _turned(taps), geometry.back, epilogue)
    taps = contiguous(taps, axis=2)
    if way == "winograd":
        return winograd.correlate(cells, taps, geometry.padding, epilogue)
    return _correlate_by_columns(cells, taps.reshape(-1, taps.shape[3]), geometry, epilogue)


def _turned(taps: Array) -> Array:
    """(kh, kw, C, O) → (kh, kw, O, C), each kernel turned by 180 degrees; a view."""
    return taps[::-1, ::-1].transpose(0, 1, 3, 2)


def _pointwise(cells: Array, matrix: Array, epilogue: Epilogue) -> Array:
    channels, outputs = matrix.shape
    rows = cells.reshape(-1, channels)
    y = np.empty((len(rows), outputs), cells.dtype)
    epilogue = epilogue.over_rows()

    def work(part: slice) -> None:
        multiply(rows[part], matrix, out=y[part])
        epilogue(y[part], part, y[part])

    row = channels + outputs
    # A thread costs as much as a million multiplications.
    least = row * max((1 << 20) // (channels * outputs), 64)
    walk(work, len(rows), numbers=row, most=max(_ROWS, 256 * row), least=least)
    return y.reshape(*cells.shape[:3], outputs)


def _correlate_by_columns(
    cells: Array, matrix: Array, geometry: Geometry, epilogue: Epilogue
) -> Array:
    columns = Patches(cells, geometry)
    y = np.empty((len(cells), *geometry.output, matrix.shape[1]), cells.dtype)

    def work(part: slice) -> None:
        for place, patches in columns.blocks(part):
            block = y[place]
            multiply(patches, matrix, out=block.reshape(len(patches), -1))
            epilogue(block, (*place, slice(None)), block)

    walk(work, len(columns), most=None, least=1)
    return y


def transposed(dy: Array, taps: Array, geometry: Geometry, epilogue: Epilogue = _NOTHING) -> Array:
    """dx = Aᵀ dy, finished: each output value stamped back over its patch, (N, H, W, C)."""
    way = algorithm("transposed", dy, taps.shape[2], geometry)
    if way == "turned" and geometry.back is not None:
        return correlate(dy, taps, geometry.back, epilogue, turned=True)
    return (_written if way == "written" else _col2im)(dy, taps, geometry, epilogue)


def _written(dy: Array, taps: Array, geometry: Geometry, epilogue: Epilogue) -> Array:
    """`transposed` where no place of dx is under two stamps: they are written, not added.

    One row of the kernel after the other. Where there are no gaps, its stamps side by side are whole rows
    of the result, and are copied there as they are finished.
    """
    n, oh, ow, outputs = dy.shape
    (height, width), (kh, kw), (sy, sx) = geometry.input, geometry.kernel, geometry.stride
    channels = taps.shape[2]
    gaps = (height, width) != (oh * kh, ow * kw)
    dx = (np.zeros if gaps else np.empty)((n, height, width, channels), dy.dtype)

    def work(chosen: slice, of_dy: slice) -> None:
        first, last = of_dy.start, of_dy.stop
        part = dy[chosen, of_dy]
        for u in range(kh):
            rows = slice(first * sy + u, (last - 1) * sy + u + 1, sy)
            stamps = part.reshape(-1, outputs) @ taps[u].reshape(-1, outputs).T
            if gaps:
                stamps = stamps.reshape(*part.shape[:3], kw, channels)
                for v in range(kw):
                    dx[chosen, rows, v::sx][:, :, :ow] = stamps[:, :, :, v]
            else:
                stamps = stamps.reshape(*part.shape[:2], width, channels)
                epilogue(stamps, (chosen, rows), dx[chosen, rows])
        if gaps:
            rows = slice(first * sy, last * sy if last < oh else height)
            epilogue(dx[chosen, rows], (chosen, rows), dx[chosen, rows])

    walk(work, n, oh, numbers=ow * kw * channels, most=_ROWS)
    return dx


def _col2im(dy: Array, taps: Array, geometry: Geometry, epilogue: Epilogue) -> Array:
    """`transposed` where stamps overlap: they are added up on a map with room for the padding.

    One tap after the other, since BLAS then reads the weights as they lie, and a tap's stamps are as many
    numbers as dy has places: they are still in a cache when they are added.
    """
    n, oh, ow, outputs = dy.shape
    (height, width), (kh, kw), (sy, sx) = geometry.input, geometry.kernel, geometry.stride
    (py, px), (ey, ex) = geometry.padding, geometry.dilation
    channels = taps.shape[2]
    dx = np.empty((n, height, width, channels), dy.dtype)
    # Threads share out the channels: places are under several stamps.
    share = -(-channels // thread_count())
    images, step = steps_of((n, oh), _STAMPS // max(share * ow, 1))
    places = blocks((n, channels), (images, share))

    def stamp(images: slice, part: slice) -> None:
        goal = dx[images, :, :, part]
        size = (len(goal), height + 2 * py + sy, width + 2 * px + sx, goal.shape[3])
        large = np.zeros(size, dy.dtype)
        for (of_dy,) in blocks((oh,), (step,)):
            rows, first = dy[images, of_dy], of_dy.start
            long = rows.reshape(-1, outputs)
            for u in range(kh):
                for v in range(kw):
                    y0, x0 = first * sy + u * ey, v * ex
                    place = large[:, y0 : y0 + rows.shape[1] * sy : sy, x0 : x0 + ow * sx : sx]
                    place += (long @ taps[u, v, part].T).reshape(place.shape)
        goal[...] = large[:, py : py + height, px : px + width]

    def work(part: slice) -> None:
        for place in places[part]:
            stamp(*place)

    walk(work, len(places), most=None, least=1)
    epilogue(dx, (slice(None),), dx)
    return dx


def weight_gradient(cells: Array, dy: Array, geometry: Geometry) -> Array:
    """dw[u, v, c, o] = Σ_n Σ_i Σ_j dy[n, i, j, o] · x[n, i·s + u·d - p, j·s + v·d - p, c]."""
    outputs, channels = dy.shape[3], cells.shape[3]
    kh, kw = geometry.kernel
    way = algorithm("weight", cells, outputs, geometry)
    if way == "pointwise":
        sy, sx = geometry.stride
        rows = cells[:, ::sy, ::sx].reshape(-1, channels)
        gradients = dy.reshape(-1, outputs)
        if outputs < min(channels, 32):  # BLAS is faster with a very short side as rows
            return matmul(gradients.T, rows).T.reshape(1, 1, channels, outputs)
        return matmul(rows.T, gradients).reshape(1, 1, channels, outputs)
    if way == "winograd":
        return winograd.weight_gradient(cells, dy, geometry.padding)

    columns = Patches(cells, geometry, least=512)
    partial: dict[int, Array] = {}

    def work(part: slice) -> None:
        total = None
        for place, patches in columns.blocks(part):
            product = patches.T @ dy[place].reshape(-1, outputs)
            total = product if total is None else np.add(total, product, out=total)
        partial[part.start] = total

    if not len(columns):
        return np.zeros((kh, kw, channels, outputs), dy.dtype)
    walk(work, len(columns), most=None, least=1)
    total = sum(partial[start] for start in sorted(partial))
    return total.reshape(kh, kw, channels, outputs)


def sum_of_places(dy: Array) -> Array:
    """(N, H, W, C) → (C,)."""
    rows = dy.reshape(-1, dy.shape[3])
    # Sums of blocks, and their sum: rounding errors stay smaller than in one long sum.
    sums: dict[int, Array] = {}

    def work(part: slice) -> None:
        sums[part.start] = sum_of_rows(rows[part])

    walk(work, len(rows), numbers=rows.shape[1], most=_ROWS)
    return sum((sums[start] for start in sorted(sums)), np.zeros(rows.shape[1], dy.dtype))
