"""Convolution, transposed convolution and the fully connected layer.

One idea carries the file. A convolution is linear, so there is a linear map A (made of the weights)
with y = A x. Training needs three products with it, and transposed convolution needs the same three
in other places:

    forward            y  = A x          `correlate`        transposed convolution's input gradient
    gradient of input  dx = Aᵀ dy        `spread`           transposed convolution's forward
    gradient of weight dw = dy ⊗ x       `weight_gradient`  the same, with x and dy exchanged

How each is computed stands in `minirnn.kernels.cpu.correlation`. What usually follows a convolution (a
bias, a shortcut that is added, ReLU) is a part of it here: it is done to each block of the result
while it is in the cache, instead of walking over the whole map again.

`minirnn.textbook.convolution` has the same as plain loops.
"""

from __future__ import annotations

from collections.abc import Callable

from minirnn.autograd.tensor import differentiable
from minirnn.backend import Array, xp_of
from minirnn.kernels.cpu import parallel
from minirnn.kernels.cpu.correlation import (
    Finish,
    Geometry,
    correlate,
    readable,
    spread,
    sum_of_places,
    weight_gradient,
)
from minirnn.kernels.cpu.layout import cells_of, maps_of, taps_of, weight_of
from minirnn.kernels.cpu.passes import before_relu


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
    finish = Finish(bias, None if residual is None else cells_of(residual), relu)
    if groups == 1:
        parts = [(readable(x, geometry), taps_of(weight))]
        y = correlate(*parts[0], geometry, finish)
    else:
        parts = [
            (readable(xi, geometry), taps_of(wi))
            for xi, wi in zip(_cut(x, groups, 1), _cut(weight, groups, 0), strict=True)
        ]
        y = xp_of(x).concatenate([correlate(xi, wi, geometry) for xi, wi in parts], axis=3)
        finish(y, (slice(None),) * 3, y)

    inner = before_relu(y, relu, cells_of)

    def to_x(dy: Array) -> Array:
        pieces = _cut(inner(dy), groups, axis=3)
        dx = [spread(dyi, wi, geometry) for dyi, (_, wi) in zip(pieces, parts, strict=True)]
        return maps_of(dx[0] if groups == 1 else xp_of(dy).concatenate(dx, axis=3))

    def to_weight(dy: Array) -> Array:
        pieces = _cut(inner(dy), groups, axis=3)
        dw = [
            weight_gradient(xi, dyi, geometry) for dyi, (xi, _) in zip(pieces, parts, strict=True)
        ]
        return weight_of(dw[0] if groups == 1 else xp_of(dy).concatenate(dw, axis=3))

    def to_bias(dy: Array) -> Array:
        return sum_of_places(inner(dy))

    vjps: tuple[Callable | None, ...] = (to_x, to_weight, None if bias is None else to_bias)
    if residual is not None:
        vjps = (*vjps, lambda dy: maps_of(inner(dy)))
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
        ValueError: shapes do not fit together, or output_padding is not smaller than the stride.
    """
    _check_conv("conv_transpose2d", x, weight, bias, weight.shape[0], weight.shape[1], 1)
    stride, padding, extra = _pair(stride), _pair(padding), _pair(output_padding)
    if any(not 0 <= e < s for e, s in zip(extra, stride, strict=True)):
        raise ValueError(
            f"conv_transpose2d: output_padding {extra} has to be from 0 to the stride {stride} less one"
        )
    kernel = weight.shape[2:]
    height, width = (
        (n - 1) * s - 2 * p + k + e
        for n, s, p, k, e in zip(x.shape[2:], stride, padding, kernel, extra, strict=True)
    )
    # The convolution that this one is the transpose of goes from the large map to the small one.
    geometry = Geometry(kernel, stride, padding, (1, 1), (height, width))
    cells, taps = cells_of(x), taps_of(weight)
    y = spread(cells, taps, geometry, Finish(bias, relu=relu))

    inner = before_relu(y, relu, cells_of)

    return maps_of(y), (
        lambda dy: maps_of(correlate(inner(dy), taps, geometry)),
        lambda dy: weight_of(weight_gradient(inner(dy), cells, geometry)),
        None if bias is None else lambda dy: sum_of_places(inner(dy)),
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
    taps = taps_of(weight)
    y = parallel.matmul(x, taps)
    Finish(bias, relu=relu)(y, ..., y)

    inner = before_relu(y, relu, lambda dy: dy)

    return y, (
        lambda dy: parallel.matmul(inner(dy), taps.T),
        lambda dy: weight_of(parallel.matmul(x.T, inner(dy))),
        None if bias is None else lambda dy: inner(dy).sum(axis=0),
    )


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
