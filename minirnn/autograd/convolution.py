"""Convolution, transposed convolution and the fully connected layer, all as matrix products.

One idea carries the file. A convolution is linear, so there is a linear map A (made of the weights)
with y = A x. Training needs three products with it, and transposed convolution needs the same three
in other places:

    forward            y  = A x          `_correlate`       transposed convolution's input gradient
    gradient of input  dx = Aᵀ dy        `_spread`          transposed convolution's forward
    gradient of weight dw = dy ⊗ x       `_weight_gradient` the same, with x and dy exchanged

Each is a matrix product of the weights with *columns*: the patches that the kernel sees, one patch a
column (im2col; Chellapilla et al., "High performance convolutional neural networks for document
processing", 2006). The columns are made for a few rows of the image at a time, so that they are
still in the processor's cache when they are multiplied.

`minirnn.textbook.convolution` has the same three functions as plain loops.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minirnn import parallel
from minirnn.autograd import winograd
from minirnn.autograd.tensor import differentiable
from minirnn.backend import Array, xp_of

_CACHE_ELEMENTS = 1 << 17  # columns of one block: 512 KiB of float32, half of a usual L2 cache


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
    def is_pointwise(self) -> bool:
        """A 1×1 kernel without padding: one matrix product, and nothing to copy."""
        return self.kernel == (1, 1) and self.padding == (0, 0)


@differentiable
def conv2d(
    x: Array,
    weight: Array,
    bias: Array | None,
    *,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
) -> tuple[Array, tuple]:
    """Slide a kernel over a map and take the inner product with the patch under it.

        y[n, o, i, j] = b[o] + Σ_c Σ_u Σ_v  w[o, c, u, v] · x[n, c, i·s + u·d - p, j·s + v·d - p]

    (a cross-correlation, as everywhere in deep learning; outside of the map, x is 0.)

    Args:
        x: (N, C, H, W).
        weight: (O, C / groups, kh, kw).
        bias: (O,) or None.
        stride: s, step between patches; a number or (y, x), like the next two.
        padding: p, rings of zeros around the map.
        dilation: d, distance between the kernel's taps.
        groups: the channels are cut into so many groups that do not see each other.

    Returns:
        (N, O, H', W') with H' = floor((H + 2p - d(kh - 1) - 1) / s) + 1.

    Raises:
        ValueError: shapes do not fit together, or the kernel is larger than the padded map.
    """
    _check_conv("conv2d", x, weight, bias, x.shape[1] // max(groups, 1), weight.shape[0], groups)
    geometry = Geometry(
        weight.shape[2:], _pair(stride), _pair(padding), _pair(dilation), x.shape[2:]
    )
    if min(geometry.output) < 1:
        raise ValueError(
            f"conv2d: kernel {geometry.kernel} with dilation {geometry.dilation} is larger than "
            f"the map {geometry.input} with padding {geometry.padding}"
        )
    if groups == 1:
        y = _correlate(x, weight, bias, geometry)
        return y, (
            lambda dy: _spread(dy, weight, None, geometry),
            lambda dy: _weight_gradient(x, dy, geometry),
            None if bias is None else lambda dy: dy.sum(axis=(0, 2, 3)),
        )

    xp = xp_of(x)
    parts = [(xi, wi) for xi, wi in zip(_cut(x, groups), _cut(weight, groups, 0), strict=True)]
    y = xp.concatenate([_correlate(xi, wi, None, geometry) for xi, wi in parts], axis=1)
    if bias is not None:
        y += bias[:, None, None]

    def to_x(dy: Array) -> Array:
        pairs = zip(_cut(dy, groups), parts, strict=True)
        return xp.concatenate([_spread(dyi, wi, None, geometry) for dyi, (_, wi) in pairs], axis=1)

    def to_weight(dy: Array) -> Array:
        pairs = zip(_cut(dy, groups), parts, strict=True)
        return xp.concatenate([_weight_gradient(xi, dyi, geometry) for dyi, (xi, _) in pairs])

    return y, (to_x, to_weight, None if bias is None else lambda dy: dy.sum(axis=(0, 2, 3)))


@differentiable
def conv_transpose2d(
    x: Array,
    weight: Array,
    bias: Array | None,
    *,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    output_padding: int | tuple[int, int] = 0,
) -> tuple[Array, tuple]:
    """Stamp the kernel, times the value, onto a larger map: the transpose of a convolution.

        y[n, o, i·s + u - p, j·s + v - p] += w[c, o, u, v] · x[n, c, i, j]

    Args:
        x: (N, C, H, W).
        weight: (C, O, kh, kw): first axis is the input's channels.
        bias: (O,) or None.
        stride: s, step between stamps.
        padding: p, rings that are cut off the result.
        output_padding: rows and columns added at the bottom and right, where several sizes fit.

    Returns:
        (N, O, (H - 1)·s - 2p + kh + output_padding, …).

    Raises:
        ValueError: shapes do not fit together.
    """
    _check_conv("conv_transpose2d", x, weight, bias, weight.shape[0], weight.shape[1], 1)
    stride, padding, extra = _pair(stride), _pair(padding), _pair(output_padding)
    kernel = weight.shape[2:]
    height, width = (
        (n - 1) * s - 2 * p + k + e
        for n, s, p, k, e in zip(x.shape[2:], stride, padding, kernel, extra, strict=True)
    )
    # The convolution that this one is the transpose of goes from the large map to the small one.
    geometry = Geometry(kernel, stride, padding, (1, 1), (height, width))
    y = _spread(x, weight, bias, geometry)
    return y, (
        lambda dy: _correlate(dy, weight, None, geometry),
        lambda dy: _weight_gradient(dy, x, geometry),
        None if bias is None else lambda dy: dy.sum(axis=(0, 2, 3)),
    )


@differentiable
def linear(x: Array, weight: Array, bias: Array | None) -> tuple[Array, tuple]:
    """A fully connected layer: y = x wᵀ + b.

    Args:
        x: (N, I).
        weight: (O, I).
        bias: (O,) or None.

    Returns:
        (N, O).

    Raises:
        ValueError: x is not (N, I) for weight's I.
    """
    if x.ndim != 2 or x.shape[1] != weight.shape[1]:
        raise ValueError(f"linear: x has shape {x.shape}; it should be (N, {weight.shape[1]})")
    y = parallel.matmul(x, weight.T)
    if bias is not None:
        y += bias
    return y, (
        lambda dy: parallel.matmul(dy, weight),
        lambda dy: parallel.matmul(dy.T, x),
        None if bias is None else lambda dy: dy.sum(axis=0),
    )


def _correlate(x: Array, weight: Array, bias: Array | None, geometry: Geometry) -> Array:
    """y = A x. This is the dispatch: which algorithm runs is decided here and nowhere else."""
    if geometry.is_pointwise:
        sy, sx = geometry.stride
        return _pointwise(x[:, :, ::sy, ::sx], weight[:, :, 0, 0], bias)
    if winograd.suits(x, len(weight), geometry):
        return winograd.correlate(x, weight, bias, geometry.padding)
    return _correlate_by_columns(x, weight, bias, geometry)


def _spread(dy: Array, weight: Array, bias: Array | None, geometry: Geometry) -> Array:
    """dx = Aᵀ dy, and `bias` added: each output value stamped back over its patch."""
    xp = xp_of(dy)
    n, channels, (kh, kw) = dy.shape[0], weight.shape[1], geometry.kernel
    (ey, ex), (py, px) = geometry.dilation, geometry.padding
    reach = (ey * (kh - 1) - py, ex * (kw - 1) - px)
    if geometry.stride == (1, 1) and min(reach) >= 0:
        # With stride 1 the transpose is a convolution itself, with the kernel turned by 180 degrees.
        turned = weight[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)
        back = Geometry(geometry.kernel, (1, 1), reach, geometry.dilation, dy.shape[2:])
        return _correlate(dy, xp.ascontiguousarray(turned), bias, back)

    (height, width), (oh, ow) = geometry.input, dy.shape[2:]
    sy, sx = geometry.stride
    dx = xp.empty((n, channels, height, width), dy.dtype)
    matrix = weight.reshape(len(weight), -1).T  # (C·kh·kw, O)

    def work(start: int, stop: int) -> None:
        for i in range(start, stop):
            part = slice(i * step, min((i + 1) * step, n))
            rows = dy[part].reshape(len(dy[part]), dy.shape[1], oh * ow)
            patches = (matrix @ rows).reshape(len(rows), channels, kh, kw, oh, ow)
            if (
                (kh, kw) == (sy, sx)
                and (py, px) == (0, 0)
                and (height, width) == (oh * sy, ow * sx)
            ):
                # Stamps that touch but do not overlap: a rearrangement.
                tiles = patches.transpose(0, 1, 4, 2, 5, 3)
                dx[part].reshape(len(rows), channels, oh, sy, ow, sx)[...] = tiles
                continue
            large = xp.zeros(
                (len(rows), channels, height + 2 * py + sy, width + 2 * px + sx), dy.dtype
            )
            for u in range(kh):
                for v in range(kw):
                    y0, x0 = u * ey, v * ex
                    large[:, :, y0 : y0 + oh * sy : sy, x0 : x0 + ow * sx : sx] += patches[
                        :, :, u, v
                    ]
            dx[part] = large[:, :, py : py + height, px : px + width]

    step = 1 if xp is np else max(n, 1)
    _chunks(xp, work, -(-n // step))
    if bias is not None:
        dx += bias[:, None, None]
    return dx


def _weight_gradient(x: Array, dy: Array, geometry: Geometry) -> Array:
    """dw[o, c, u, v] = Σ_n Σ_i Σ_j dy[n, o, i, j] · x[n, c, i·s + u·d - p, …]."""
    xp = xp_of(x, dy)
    outputs, channels = dy.shape[1], x.shape[1]
    shape = (outputs, channels, *geometry.kernel)
    if geometry.is_pointwise:
        sy, sx = geometry.stride
        places = dy.shape[2] * dy.shape[3]
        columns = x[:, :, ::sy, ::sx].reshape(len(x), channels, places)
        rows = dy.reshape(len(dy), outputs, places)
        return _sum_of_products(xp, rows, columns).reshape(shape)
    if winograd.suits(x, outputs, geometry, least_tiles=64):
        return winograd.weight_gradient(x, dy, geometry.padding)

    blocks = _Blocks(x, geometry)
    partial: dict[int, Array] = {}

    def work(start: int, stop: int) -> None:
        total = xp.zeros((outputs, channels * int(np.prod(geometry.kernel))), dy.dtype)
        spare = xp.empty_like(total)
        for images, rows, columns in blocks.columns(start, stop):
            gradient = blocks.widened(dy[images, :, rows])
            if len(gradient) == 1:
                total += xp.matmul(gradient[0], columns[0].T, out=spare)
            else:
                total += xp.matmul(gradient, columns.transpose(0, 2, 1)).sum(axis=0)
        partial[start] = total

    _chunks(xp, work, len(blocks))
    if not partial:
        return xp.zeros(shape, dy.dtype)
    return sum(partial[start] for start in sorted(partial)).reshape(shape)


def _pointwise(x: Array, weight: Array, bias: Array | None) -> Array:
    xp = xp_of(x)
    n, channels, height, width = x.shape
    flat = x.reshape(n, channels, height * width)
    y = xp.empty((n, len(weight), height * width), x.dtype)

    def by_image(start: int, stop: int) -> None:
        for i in range(start, stop):
            np.matmul(weight, flat[i], out=y[i])
            if bias is not None:
                y[i] += bias[:, None]

    def by_column(start: int, stop: int) -> None:
        xp.matmul(weight, flat[:, :, start:stop], out=y[:, :, start:stop])
        if bias is not None:
            y[:, :, start:stop] += bias[:, None]

    if xp is np and n > 1:
        parallel.for_chunks(by_image, n)
    else:
        _chunks(xp, by_column, height * width, at_least=256)
    return y.reshape(n, len(weight), height, width)


def _correlate_by_columns(x: Array, weight: Array, bias: Array | None, geometry: Geometry) -> Array:
    xp = xp_of(x)
    y = xp.empty((len(x), len(weight), *geometry.output), x.dtype)
    matrix = weight.reshape(len(weight), -1)
    blocks = _Blocks(x, geometry)

    def work(start: int, stop: int) -> None:
        for images, rows, columns in blocks.columns(start, stop):
            part = y[images, :, rows]
            product = xp.matmul(matrix, columns)
            product = product.reshape(*part.shape[:3], -1)[..., : part.shape[3]]
            if bias is None:
                part[...] = product
            else:
                xp.add(product, bias[:, None, None], out=part)

    _chunks(xp, work, len(blocks))
    return y


class _Blocks:
    """The columns of a map, a block of images and output rows at a time.

    With stride 1, a row of columns is a *contiguous* run of the padded map, if one lets it run on
    over the row ends: the few columns that start in the padding are computed and thrown away, and
    the copy goes at the memory's full speed. `width` is the number of columns a row then has.
    """

    def __init__(self, x: Array, geometry: Geometry) -> None:
        self.xp = xp_of(x)
        self.geometry = geometry
        n, channels, height, width = x.shape
        py, px = geometry.padding
        # One row more than the padding, for the runs that end behind the last row.
        self.padded = self.xp.zeros((n, channels, height + 2 * py + 1, width + 2 * px), x.dtype)

        def pad(start: int, stop: int) -> None:
            self.padded[start:stop, :, py : py + height, px : px + width] = x[start:stop]

        _chunks(self.xp, pad, n)
        rows, columns = geometry.output
        self.in_runs = geometry.stride == (1, 1)
        self.width = width + 2 * px if self.in_runs else columns
        self.length = channels * int(np.prod(geometry.kernel))
        if self.xp is np:
            self.rows = min(max(_CACHE_ELEMENTS // max(self.length * self.width, 1), 1), rows)
            self.places: list[tuple[Any, int]] = [
                (i, r) for i in range(n) for r in range(0, rows, self.rows)
            ]
        else:  # a GPU wants one large product
            self.rows, self.places = rows, [(slice(None), 0)] if n else []

    def __len__(self) -> int:
        return len(self.places)

    def columns(self, start: int, stop: int) -> Any:
        """Yield (images, rows, columns (n, C·kh·kw, rows·width)); the array is reused."""
        xp, geometry = self.xp, self.geometry
        (kh, kw), (sy, sx), (ey, ex) = geometry.kernel, geometry.stride, geometry.dilation
        last = geometry.output[0]
        n = 1 if xp is np else len(self.padded)
        space = xp.empty(
            (n, self.padded.shape[1], kh, kw, self.rows * self.width), self.padded.dtype
        )
        for image, first in self.places[start:stop]:
            images = slice(image, image + 1) if isinstance(image, int) else image
            rows = slice(first, min(first + self.rows, last))
            count = rows.stop - rows.start
            columns = space[..., : count * self.width]
            if count != self.rows:
                columns = xp.empty(columns.shape, columns.dtype)
            source = self.padded[images]
            if self.in_runs:
                flat = source.reshape(*source.shape[:2], -1)
                for u in range(kh):
                    for v in range(kw):
                        at = (first + u * ey) * self.width + v * ex
                        columns[:, :, u, v] = flat[:, :, at : at + count * self.width]
            else:
                wide = columns.reshape(*columns.shape[:4], count, self.width)
                for u in range(kh):
                    for v in range(kw):
                        y0, x0 = first * sy + u * ey, v * ex
                        wide[:, :, u, v] = source[
                            :, :, y0 : y0 + (count - 1) * sy + 1 : sy,
                            x0 : x0 + (self.width - 1) * sx + 1 : sx,
                        ]  # fmt: skip
            yield images, rows, columns.reshape(len(columns), self.length, -1)

    def widened(self, dy: Array) -> Array:
        """Rows of dy as (n, O, rows·width), zero where a column starts in the padding."""
        if dy.shape[3] == self.width:
            return dy.reshape(*dy.shape[:2], -1)
        wide = self.xp.zeros((*dy.shape[:3], self.width), dy.dtype)
        wide[..., : dy.shape[3]] = dy
        return wide.reshape(*dy.shape[:2], -1)


def _sum_of_products(xp: Any, rows: Array, columns: Array) -> Array:
    """Σ_n rows[n] columns[n]ᵀ for (N, O, L) and (N, C, L)."""
    if xp is not np:
        return xp.matmul(rows, columns.transpose(0, 2, 1)).sum(axis=0)
    if len(rows) == 1:
        return parallel.matmul(rows[0], columns[0].T)
    partial: dict[int, Array] = {}

    def work(start: int, stop: int) -> None:
        total = np.zeros((rows.shape[1], columns.shape[1]), rows.dtype)
        for i in range(start, stop):
            total += rows[i] @ columns[i].T
        partial[start] = total

    parallel.for_chunks(work, len(rows))
    return sum(partial[start] for start in sorted(partial))


def _chunks(xp: Any, work: Callable[[int, int], None], n: int, at_least: int = 1) -> None:
    """Threads on the host; on a GPU everything at once, since its library does the sharing out."""
    if xp is np:
        parallel.for_chunks(work, n, at_least=at_least)
    else:
        work(0, n)


def _cut(x: Array, groups: int, axis: int = 1) -> list[Array]:
    size = x.shape[axis] // groups
    return [
        x[:, i * size : (i + 1) * size] if axis else x[i * size : (i + 1) * size]
        for i in range(groups)
    ]


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def _check_conv(
    name: str, x: Array, weight: Array, bias: Array | None, channels: int, outputs: int, groups: int
) -> None:
    if x.ndim != 4:
        raise ValueError(f"{name}: x has shape {x.shape}; it should be (N, C, H, W)")
    if weight.ndim != 4:
        raise ValueError(f"{name}: weight has shape {weight.shape}; it should have four axes")
    if groups < 1 or x.shape[1] % groups or outputs % groups:
        raise ValueError(f"{name}: groups is {groups}; it should divide {x.shape[1]} and {outputs}")
    given = weight.shape[0] if name == "conv_transpose2d" else weight.shape[1]
    if given != channels or (name == "conv_transpose2d" and x.shape[1] != channels):
        raise ValueError(
            f"{name}: weight has shape {weight.shape}, which does not fit x of shape {x.shape}"
        )
    if bias is not None and bias.shape != (outputs,):
        raise ValueError(f"{name}: bias has shape {bias.shape}; it should be ({outputs},)")
