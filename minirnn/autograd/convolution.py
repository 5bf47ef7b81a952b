"""Convolution, transposed convolution and the fully connected layer, all as matrix products.

One idea carries the file. A convolution is linear, so there is a linear map A (made of the weights)
with y = A x. Training needs three products with it, and transposed convolution needs the same three
in other places:

    forward            y  = A x          `_correlate`       transposed convolution's input gradient
    gradient of input  dx = Aᵀ dy        `_spread`          transposed convolution's forward
    gradient of weight dw = dy ⊗ x       `_weight_gradient` the same, with x and dy exchanged

Each is a matrix product of the weights with *columns*: the patches that the kernel sees, one patch a
column (see `minirnn.autograd.columns`).

`minirnn.textbook.convolution` has the same three functions as plain loops.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minirnn import parallel
from minirnn.autograd import winograd
from minirnn.autograd.columns import Columns
from minirnn.autograd.tensor import differentiable
from minirnn.backend import Array, xp_of

_PATCHES = 1 << 20  # numbers in the patches that are stamped at a time: 4 MiB of float32


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
    matrix = weight.reshape(len(weight), channels, kh * kw).transpose(1, 2, 0)  # (C, kh·kw, O)
    matrix = xp.ascontiguousarray(matrix)
    rows = dy.reshape(n, dy.shape[1], oh * ow)
    # Stamps that do not overlap are written, others are added up on a map with room for the padding.
    apart = kh <= sy and kw <= sx and (py, px) == (0, 0) and (ey, ex) == (1, 1)
    gaps = (height, width) != (oh * kh, ow * kw)

    def stamp(image: Any, part: slice) -> None:
        """The channels `part` of some images."""
        goal = dx[image, part]
        kernels = matrix[part].reshape(-1, matrix.shape[2])
        patches = (kernels @ rows[image]).reshape(*goal.shape[:-2], kh, kw, oh, ow)
        offset = 0 if bias is None else bias[part, None, None]
        if apart:
            large = goal
            if gaps:
                goal[...] = offset
        else:
            shape = (*goal.shape[:-2], height + 2 * py + sy, width + 2 * px + sx)
            large = xp.zeros(shape, dy.dtype)
        for u in range(kh):
            for v in range(kw):
                y0, x0, own = u * ey, v * ex, patches[..., u, v, :, :]
                place = large[..., y0 : y0 + oh * sy : sy, x0 : x0 + ow * sx : sx]
                if apart:
                    xp.add(own, offset, out=place)
                else:
                    place += own
        if not apart:
            xp.add(large[..., py : py + height, px : px + width], offset, out=goal)

    def work(start: int, stop: int) -> None:
        for index in range(start, stop):
            image, piece = divmod(index, pieces)
            stamp(image, slice(piece * step, min((piece + 1) * step, channels)))

    if xp is not np:  # a GPU wants one large product
        stamp(slice(None), slice(None))
        return dx
    # So many channels at a time that their patches stay in the cache, and each thread has some.
    step = min(max(_PATCHES // (kh * kw * oh * ow), 8), -(-channels // parallel.thread_count()))
    pieces = -(-channels // max(step, 1))
    parallel.for_chunks(work, n * pieces)
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

    columns = Columns(x, geometry, least=512)
    partial: dict[int, Array] = {}

    def work(start: int, stop: int) -> None:
        total = None
        for images, rows, block in columns.blocks(start, stop):
            gradient = columns.widened(dy[images, :, rows])
            product = _sum_of_products(xp, gradient, block)
            total = product if total is None else xp.add(total, product, out=total)
        partial[start] = total

    if not len(columns):
        return xp.zeros(shape, dy.dtype)
    _chunks(xp, work, len(columns))
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
    columns = Columns(x, geometry)

    def work(start: int, stop: int) -> None:
        for images, rows, block in columns.blocks(start, stop):
            part = y[images, :, rows]
            product = xp.matmul(matrix, block)
            product = product.reshape(*part.shape[:3], -1)[..., : part.shape[3]]
            if bias is None:
                part[...] = product
            else:
                xp.add(product, bias[:, None, None], out=part)

    _chunks(xp, work, len(columns))
    return y


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
