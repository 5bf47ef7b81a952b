"""Convolution, transposed convolution and the fully connected layer as products of rows of a map.

Maps are read with their channels last and kernels as (kh, kw, C, O) (see `kernels.cpu.layout`); what
follows a convolution (a bias, an array that is added, ReLU) is done to each block of the result while it
is in the cache. Which algorithm makes the products is decided in `kernels.cpu.correlation`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minirnn.backend import Array
from minirnn.kernels.cpu.correlation import (
    Epilogue,
    Geometry,
    correlate,
    readable,
    sum_of_places,
    transposed,
    weight_gradient,
)
from minirnn.kernels.cpu.depthwise import is_depthwise
from minirnn.kernels.cpu.im2col import pad_to
from minirnn.kernels.cpu.layout import hwio_of, nchw_of, nhwc_of, oihw_of, on_host
from minirnn.kernels.cpu.matmul import matmul
from minirnn.kernels.cpu.passes import before_relu
from minirnn.kernels.table import kernel
from minirnn.ops import convolution as plain
from minirnn.ops.checks import Padding, Pair, pair, sides, transposed_size


def _one_group(*arrays: Any, groups: int = 1, **settings: Any) -> bool:
    return groups == 1 and on_host(*arrays)


def _not_depthwise(*arrays: Any, **settings: Any) -> bool:
    return on_host(*arrays) and not is_depthwise(*arrays, **settings)


@kernel(
    plain.conv2d,
    "cpu",
    reason="channels last; Winograd for 3x3, else im2col in blocks that fit the cache; all cores",
    accuracy="Winograd, float32: 3e-5 of the largest result at most (found 1.4e-5; plain 4e-7); else same",
    applies=_not_depthwise,
)
def conv2d(
    x: Array,
    weight: Array,
    bias: Array | None,
    add: Array | None = None,
    *,
    stride: Pair = 1,
    padding: Padding = 0,
    dilation: Pair = 1,
    groups: int = 1,
    relu: bool = False,
    relu6: bool = False,
) -> tuple[Array, tuple]:
    """`minirnn.ops.convolution.conv2d`."""
    (top, bottom), (left, right) = sides(padding)
    height, width = x.shape[2:]
    # Where opposite sides differ, the zeros that one has more are laid around the map before.
    ring = min(top, bottom), min(left, right)
    more = (top - ring[0], bottom - ring[0]), (left - ring[1], right - ring[1])
    if any(map(sum, more)):
        size = height + sum(more[0]), width + sum(more[1])
        x = nchw_of(pad_to(nhwc_of(x), (more[0][0], more[1][0]), size))
    geometry = Geometry(weight.shape[2:], pair(stride), ring, pair(dilation), x.shape[2:])
    epilogue = Epilogue(bias, None if add is None else nhwc_of(add), relu, relu6)
    if groups == 1:
        parts = [(readable(x, geometry), hwio_of(weight))]
        y = correlate(*parts[0], geometry, epilogue)
    else:
        parts = [
            (readable(xi, geometry), hwio_of(wi))
            for xi, wi in zip(_cut(x, groups, 1), _cut(weight, groups, 0), strict=True)
        ]
        y = np.concatenate([correlate(xi, wi, geometry) for xi, wi in parts], axis=3)
        epilogue(y, (slice(None),) * 3, y)

    inner = before_relu(y, relu, nhwc_of, relu6)

    def to_x(dy: Array) -> Array:
        pieces = _cut(inner(dy), groups, axis=3)
        dx = [transposed(dyi, wi, geometry) for dyi, (_, wi) in zip(pieces, parts, strict=True)]
        whole = nchw_of(dx[0] if groups == 1 else np.concatenate(dx, axis=3))
        return whole[:, :, more[0][0] :, more[1][0] :][:, :, :height, :width]

    def to_weight(dy: Array) -> Array:
        pieces = _cut(inner(dy), groups, axis=3)
        dw = [
            weight_gradient(xi, dyi, geometry) for dyi, (xi, _) in zip(pieces, parts, strict=True)
        ]
        return oihw_of(dw[0] if groups == 1 else np.concatenate(dw, axis=3))

    def to_bias(dy: Array) -> Array:
        return sum_of_places(inner(dy))

    vjps: tuple[Callable | None, ...] = (to_x, to_weight, None if bias is None else to_bias)
    if add is not None:
        vjps = (*vjps, lambda dy: nchw_of(inner(dy)))
    return nchw_of(y), vjps


@kernel(
    plain.conv_transpose2d,
    "cpu",
    reason="channels last; where stamps do not overlap they are written, not added; all cores",
    accuracy="same; the gradients of a 3x3 at stride 1 as in conv2d",
    applies=_one_group,
)
def conv_transpose2d(
    x: Array,
    weight: Array,
    bias: Array | None,
    *,
    stride: Pair = 1,
    padding: Pair = 0,
    output_padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
    relu: bool = False,
) -> tuple[Array, tuple]:
    """`minirnn.ops.convolution.conv_transpose2d`, for groups=1."""
    kernel = weight.shape[2:]
    size = transposed_size(x.shape[2:], kernel, stride, padding, output_padding, dilation)
    # The convolution that this one is the transpose of goes from the large map to the small one.
    geometry = Geometry(kernel, pair(stride), pair(padding), pair(dilation), size)
    cells, taps = nhwc_of(x), hwio_of(weight)
    y = transposed(cells, taps, geometry, Epilogue(bias, relu=relu))

    inner = before_relu(y, relu, nhwc_of)

    return nchw_of(y), (
        lambda dy: nchw_of(correlate(inner(dy), taps, geometry)),
        lambda dy: oihw_of(weight_gradient(inner(dy), cells, geometry)),
        None if bias is None else lambda dy: sum_of_places(inner(dy)),
    )


@kernel(
    plain.linear,
    "cpu",
    reason="the longer side of the product is shared out among the cores; weights lie as BLAS reads them",
    applies=on_host,
)
def linear(
    x: Array, weight: Array, bias: Array | None, *, relu: bool = False
) -> tuple[Array, tuple]:
    """`minirnn.ops.convolution.linear`."""
    taps = hwio_of(weight)
    y = matmul(x, taps)
    Epilogue(bias, relu=relu)(y, ..., y)

    inner = before_relu(y, relu, lambda dy: dy)

    return y, (
        lambda dy: matmul(inner(dy), taps.T),
        lambda dy: oihw_of(matmul(x.T, inner(dy))),
        None if bias is None else lambda dy: inner(dy).sum(axis=0),
    )


def _cut(x: Array, groups: int, axis: int) -> list[Array]:
    """`groups` parts of equal length along an axis."""
    size = x.shape[axis] // groups
    before = (slice(None),) * axis
    return [x[(*before, slice(i * size, (i + 1) * size))] for i in range(groups)]
