"""Convolution, transposed convolution and the fully connected layer, all as matrix products.

One idea carries the file. A convolution is linear, so there is a linear map A (made of the weights)
with y = A x. Training needs three products with it, and transposed convolution needs the same three
in other places:

    forward            y  = A x          `_correlate`       transposed convolution's input gradient
    gradient of input  dx = Aᵀ dy        `_spread`          transposed convolution's forward
    gradient of weight dw = dy ⊗ x       `_weight_gradient` the same, with x and dy exchanged

Each is a matrix product of *patches*, what the kernel sees at each place (see
`minirnn.autograd.columns`), with the weights. The three work on maps with their channels last, (N, H,
W, C), so that a patch is made of a few contiguous runs (see `minirnn.layout`).

What usually follows a convolution (a bias, a shortcut that is added, ReLU) is done to each block of
the result while it is still in the cache, instead of walking over the whole map again.

`minirnn.textbook.convolution` has the same three functions as plain loops.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minirnn import parallel
from minirnn.autograd import winograd
from minirnn.autograd.activation import where_positive
from minirnn.autograd.columns import Columns
from minirnn.autograd.passes import remembered
from minirnn.autograd.tensor import differentiable
from minirnn.backend import Array, xp_of
from minirnn.layout import cells_of, maps_of

_PATCHES = 1 << 18  # numbers in the patches that are stamped at a time: 1 MiB of float32
_ROWS = 1 << 19  # numbers that a pointwise convolution reads and writes at a time


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


@dataclass(frozen=True)
class _Finish:
    """What is done to a block of the result while it is in the cache: + bias, + residual, ReLU."""

    bias: Array | None
    residual: Array | None = None  # channels last
    relu: bool = False

    def __call__(self, block: Array, place: Any) -> None:
        """Change the block of the result that stands at `place`."""
        if self.bias is not None:
            block += self.bias
        if self.residual is not None:
            block += self.residual[place]
        if self.relu:
            xp_of(block).maximum(block, 0, out=block)

    def over_rows(self) -> _Finish:
        """The same where the places are not (image, row, column) but one long list."""
        if self.residual is None:
            return self
        rows = self.residual.reshape(-1, self.residual.shape[3])
        return _Finish(self.bias, rows, self.relu)


_NOTHING = _Finish(None)


@differentiable
def conv2d(
    x: Array,
    weight: Array,
    bias: Array | None,
    residual: Array | None = None,
    *,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
    relu: bool = False,
) -> tuple[Array, tuple]:
    """Slide a kernel over a map and take the inner product with the patch under it.

        y[n, o, i, j] = b[o] + Σ_c Σ_u Σ_v  w[o, c, u, v] · x[n, c, i·s + u·d - p, j·s + v·d - p]

    (a cross-correlation, as everywhere in deep learning; outside of the map, x is 0.) Then, if asked,
    y + residual, and max(y, 0): the same as separate operations, without walking over the map again.

    Args:
        x: (N, C, H, W).
        weight: (O, C / groups, kh, kw).
        bias: (O,) or None.
        residual: (N, O, H', W'), is added; or None.
        stride: s, step between patches; a number or (y, x), like the next two.
        padding: p, rings of zeros around the map.
        dilation: d, distance between the kernel's taps.
        groups: the channels are cut into so many groups that do not see each other.
        relu: whether negative results become 0.

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
    shape = (len(x), len(weight), *geometry.output)
    if residual is not None and residual.shape != shape:
        raise ValueError(f"conv2d: residual has shape {residual.shape}; it should be {shape}")
    finish = _Finish(bias, None if residual is None else cells_of(residual), relu)
    if groups == 1:
        parts = [(cells_of(x), weight)]
        y = _correlate(parts[0][0], weight, geometry, finish)
    else:
        parts = [
            (cells_of(xi), wi)
            for xi, wi in zip(_cut(x, groups, 1), _cut(weight, groups, 0), strict=True)
        ]
        y = xp_of(x).concatenate([_correlate(xi, wi, geometry) for xi, wi in parts], axis=3)
        finish(y, (slice(None),) * 3)

    @remembered
    def before_relu(dy: Array) -> Array:
        dy = cells_of(dy)
        return where_positive(dy, y) if relu else dy

    def to_x(dy: Array) -> Array:
        pieces = _cut(before_relu(dy), groups, axis=3)
        dx = [_spread(dyi, wi, geometry) for dyi, (_, wi) in zip(pieces, parts, strict=True)]
        return maps_of(dx[0] if groups == 1 else xp_of(dy).concatenate(dx, axis=3))

    def to_weight(dy: Array) -> Array:
        pieces = _cut(before_relu(dy), groups, axis=3)
        dw = [
            _weight_gradient(xi, dyi, geometry) for dyi, (xi, _) in zip(pieces, parts, strict=True)
        ]
        return dw[0] if groups == 1 else xp_of(dy).concatenate(dw)

    def to_bias(dy: Array) -> Array:
        return _sum_of_places(before_relu(dy))

    vjps: tuple[Callable | None, ...] = (to_x, to_weight, None if bias is None else to_bias)
    if residual is not None:
        vjps = (*vjps, lambda dy: maps_of(before_relu(dy)))
    return maps_of(y), vjps


@differentiable
def conv_transpose2d(
    x: Array,
    weight: Array,
    bias: Array | None,
    *,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    output_padding: int | tuple[int, int] = 0,
    relu: bool = False,
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
        relu: whether negative results become 0.

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
    cells = cells_of(x)
    y = _spread(cells, weight, geometry, _Finish(bias, relu=relu))

    @remembered
    def before_relu(dy: Array) -> Array:
        dy = cells_of(dy)
        return where_positive(dy, y) if relu else dy

    return maps_of(y), (
        lambda dy: maps_of(_correlate(before_relu(dy), weight, geometry)),
        lambda dy: _weight_gradient(before_relu(dy), cells, geometry),
        None if bias is None else lambda dy: _sum_of_places(before_relu(dy)),
    )


@differentiable
def linear(
    x: Array, weight: Array, bias: Array | None, *, relu: bool = False
) -> tuple[Array, tuple]:
    """A fully connected layer: y = x wᵀ + b.

    Args:
        x: (N, I).
        weight: (O, I).
        bias: (O,) or None.
        relu: whether negative results become 0.

    Returns:
        (N, O).

    Raises:
        ValueError: x is not (N, I) for weight's I.
    """
    if x.ndim != 2 or x.shape[1] != weight.shape[1]:
        raise ValueError(f"linear: x has shape {x.shape}; it should be (N, {weight.shape[1]})")
    y = parallel.matmul(x, weight.T)
    _Finish(bias, relu=relu)(y, ...)

    @remembered
    def before_relu(dy: Array) -> Array:
        return where_positive(dy, y) if relu else dy

    return y, (
        lambda dy: parallel.matmul(before_relu(dy), weight),
        lambda dy: parallel.matmul(before_relu(dy).T, x),
        None if bias is None else lambda dy: before_relu(dy).sum(axis=0),
    )


def _correlate(
    cells: Array,
    weight: Array,
    geometry: Geometry,
    finish: _Finish = _NOTHING,
    *,
    turned: bool = False,
) -> Array:
    """y = A x. This is the dispatch: which algorithm runs is decided here and nowhere else.

    Args:
        cells: (N, H, W, C).
        weight: (O, C, kh, kw).
        geometry: where the kernel stands.
        finish: what is done to the result.
        turned: exchange inputs and outputs and turn the kernels by 180 degrees.

    Returns:
        (N, H', W', O).
    """
    if geometry.is_pointwise:
        sy, sx = geometry.stride
        return _pointwise(cells[:, ::sy, ::sx], _matrix(weight, turned), finish)
    if winograd.suits(cells, weight.shape[1 if turned else 0], geometry):
        return winograd.correlate(cells, weight, geometry.padding, finish, turned=turned)
    return _correlate_by_columns(cells, _matrix(weight, turned), geometry, finish)


def _matrix(weight: Array, turned: bool) -> Array:
    """Weights (O, C, kh, kw) as the right factor of patches, (kh·kw·C, O); turned: (kh·kw·O, C)."""
    if not turned:
        return _by_output(weight).T
    back = weight[:, :, ::-1, ::-1].transpose(2, 3, 0, 1)
    if weight.shape[2:] == (1, 1):
        return back[0, 0]
    xp = xp_of(weight)
    matrix = xp.empty(back.shape, back.dtype)

    def copy(start: int, stop: int) -> None:
        matrix[:, :, start:stop] = back[:, :, start:stop]

    _chunks(xp, copy, len(weight), at_least=8)
    return matrix.reshape(-1, weight.shape[1])


def _by_output(weight: Array) -> Array:
    """Weights (O, C, kh, kw) in the order of a patch, (O, kh·kw·C)."""
    if weight.shape[2:] == (1, 1):
        return weight[:, :, 0, 0]
    xp, ordered = xp_of(weight), weight.transpose(0, 2, 3, 1)
    matrix = xp.empty(ordered.shape, weight.dtype)

    def copy(start: int, stop: int) -> None:
        matrix[start:stop] = ordered[start:stop]

    _chunks(xp, copy, len(weight), at_least=8)
    return matrix.reshape(len(weight), -1)


def _pointwise(cells: Array, matrix: Array, finish: _Finish) -> Array:
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
            finish(y[part], part)

    if len(rows):
        _chunks(xp, work, len(rows), at_least=64)
    return y.reshape(*cells.shape[:3], outputs)


def _correlate_by_columns(
    cells: Array, matrix: Array, geometry: Geometry, finish: _Finish
) -> Array:
    columns = Columns(cells, geometry)
    y = columns.xp.empty((len(cells), *geometry.output, matrix.shape[1]), cells.dtype)

    def work(start: int, stop: int) -> None:
        for place, patches in columns.blocks(start, stop):
            block = y[place]
            product = (patches @ matrix).reshape(block.shape)
            finish(product, (*place, slice(None)))
            block[...] = product

    _chunks(columns.xp, work, len(columns))
    return y


def _spread(dy: Array, weight: Array, geometry: Geometry, finish: _Finish = _NOTHING) -> Array:
    """dx = Aᵀ dy, finished: each output value stamped back over its patch, (N, H, W, C)."""
    (kh, kw), (py, px), (ey, ex) = geometry.kernel, geometry.padding, geometry.dilation
    reach = (ey * (kh - 1) - py, ex * (kw - 1) - px)
    if geometry.stride == (1, 1) and min(reach) >= 0:
        # With stride 1 the transpose is a convolution itself, with the kernel turned by 180 degrees.
        back = Geometry(geometry.kernel, (1, 1), reach, geometry.dilation, dy.shape[1:3])
        return _correlate(dy, weight, back, finish, turned=True)
    sy, sx = geometry.stride
    if kh <= sy and kw <= sx and (py, px) == (0, 0) and (ey, ex) == (1, 1):
        return _stamp_apart(dy, weight, geometry, finish)
    return _stamp(dy, weight, geometry, finish)


def _stamp_apart(dy: Array, weight: Array, geometry: Geometry, finish: _Finish) -> Array:
    """`_spread` where no place of dx is under two stamps: they are written, not added."""
    xp = xp_of(dy)
    n, oh, ow, outputs = dy.shape
    (height, width), (kh, kw), (sy, sx) = geometry.input, geometry.kernel, geometry.stride
    channels = weight.shape[1]
    matrix = _by_output(weight)
    gaps = (height, width) != (oh * kh, ow * kw)
    dx = (xp.zeros if gaps else xp.empty)((n, height, width, channels), dy.dtype)
    step = min(max(_PATCHES // (ow * matrix.shape[1]), 1), oh) if xp is np else oh
    places = [(i, r) for i in range(n if xp is np else 1) for r in range(0, oh, step)]

    def work(start: int, stop: int) -> None:
        for image, first in places[start:stop]:
            last = min(first + step, oh)
            images = slice(image, image + 1) if xp is np else slice(None)
            part = dy[images, first:last]
            patches = (part.reshape(-1, outputs) @ matrix).reshape(
                *part.shape[:3], kh, kw, channels
            )
            rows = slice(first * sy, last * sy if last < oh else height)
            goal = dx[images, rows]
            for u in range(kh):
                for v in range(kw):
                    own = patches[:, :, :, u, v]
                    goal[:, u::sy, v::sx][:, : own.shape[1], : own.shape[2]] = own
            finish(goal, (images, rows))

    _chunks(xp, work, len(places))
    return dx


def _stamp(dy: Array, weight: Array, geometry: Geometry, finish: _Finish) -> Array:
    """`_spread` where stamps overlap: they are added up on a map with room for the padding."""
    xp = xp_of(dy)
    n, oh, ow, outputs = dy.shape
    (height, width), (kh, kw), (sy, sx) = geometry.input, geometry.kernel, geometry.stride
    (py, px), (ey, ex) = geometry.padding, geometry.dilation
    channels = weight.shape[1]
    dx = xp.empty((n, height, width, channels), dy.dtype)
    # Threads share out the channels: places are under several stamps.
    share = -(-channels // parallel.thread_count()) if xp is np else channels
    pieces = -(-channels // max(share, 1))
    step = min(max(_PATCHES // (kh * kw * max(share, 1) * ow), 1), oh) if xp is np else oh

    def stamp(images: slice, part: slice) -> None:
        """Some channels of some images."""
        matrix = weight[:, part].transpose(0, 2, 3, 1).reshape(outputs, -1)  # (O, kh·kw·channels)
        goal = dx[images, :, :, part]
        size = (len(goal), height + 2 * py + sy, width + 2 * px + sx, goal.shape[3])
        large = xp.zeros(size, dy.dtype)
        for first in range(0, oh, step):
            rows = dy[images, first : first + step]
            patches = (rows.reshape(-1, outputs) @ matrix).reshape(*rows.shape[:3], kh, kw, -1)
            for u in range(kh):
                for v in range(kw):
                    y0, x0 = first * sy + u * ey, v * ex
                    place = large[:, y0 : y0 + rows.shape[1] * sy : sy, x0 : x0 + ow * sx : sx]
                    place += patches[:, :, :, u, v]
        goal[...] = large[:, py : py + height, px : px + width]

    def work(start: int, stop: int) -> None:
        for index in range(start, stop):
            image, piece = divmod(index, pieces)
            stamp(slice(image, image + 1), slice(piece * share, (piece + 1) * share))

    if xp is not np:  # a GPU wants one large product
        stamp(slice(None), slice(None))
    else:
        parallel.for_chunks(work, n * pieces)
    finish(dx, (slice(None),))
    return dx


def _weight_gradient(cells: Array, dy: Array, geometry: Geometry) -> Array:
    """dw[o, c, u, v] = Σ_n Σ_i Σ_j dy[n, i, j, o] · x[n, i·s + u·d - p, j·s + v·d - p, c]."""
    xp = xp_of(cells, dy)
    outputs, channels = dy.shape[3], cells.shape[3]
    kh, kw = geometry.kernel
    if geometry.is_pointwise:
        sy, sx = geometry.stride
        rows = cells[:, ::sy, ::sx].reshape(-1, channels)
        return parallel.matmul(dy.reshape(-1, outputs).T, rows).reshape(outputs, channels, 1, 1)
    if winograd.suits(cells, outputs, geometry):
        return winograd.weight_gradient(cells, dy, geometry.padding)

    columns = Columns(cells, geometry, least=512)
    partial: dict[int, Array] = {}

    def work(start: int, stop: int) -> None:
        total = None
        for place, patches in columns.blocks(start, stop):
            product = dy[place].reshape(-1, outputs).T @ patches
            total = product if total is None else xp.add(total, product, out=total)
        partial[start] = total

    if not len(columns):
        return xp.zeros((outputs, channels, kh, kw), dy.dtype)
    _chunks(xp, work, len(columns))
    total = sum(partial[start] for start in sorted(partial))
    return xp.ascontiguousarray(total.reshape(outputs, kh, kw, channels).transpose(0, 3, 1, 2))


def _sum_of_places(dy: Array) -> Array:
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
            rows[block * step : (block + 1) * step].sum(axis=0, out=sums[block])

    parallel.for_chunks(work, len(sums))
    return sums.sum(axis=0)


def _chunks(xp: Any, work: Callable[[int, int], None], n: int, at_least: int = 1) -> None:
    """Threads on the host; on a GPU everything at once, since its library does the sharing out."""
    if xp is np:
        parallel.for_chunks(work, n, at_least=at_least)
    else:
        work(0, n)


def _cut(x: Array, groups: int, axis: int) -> list[Array]:
    """`groups` parts of equal length along an axis."""
    size = x.shape[axis] // groups
    before = (slice(None),) * axis
    return [x[(*before, slice(i * size, (i + 1) * size))] for i in range(groups)]


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
