"""Convolution, transposed convolution and the fully connected layer.

One idea carries the file. A convolution is linear: there is a linear map A, made of the weights, with
y = A x. Training needs three products with it, and a transposed convolution the same three in other
places:

    forward            y  = A x          `_products`           transposed convolution's input gradient
    gradient of input  dx = Aᵀ dy        `_stamps`             transposed convolution's forward
    gradient of weight dw = dy ⊗ x       `_weight_products`    the same, with x and dy exchanged

Each is a sum over the places (u, v) of the kernel, and at each place a matrix product: the weights
w[:, :, u, v] times the map shifted by (u, v), all its places at once. `minirnn.textbook.convolution` has
the same as plain loops, `minirnn.kernels.cpu.convolution` the faster ways.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from minirnn.autograd.tensor import differentiable
from minirnn.backend import Array, xp_of
from minirnn.ops.checks import (
    Padding,
    Pair,
    Sides,
    check_conv2d,
    check_conv_transpose2d,
    check_linear,
    conv_size,
    pair,
    sides,
    transposed_size,
)


@differentiable(check=check_conv2d)
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
    """Slide a kernel over a map and take the inner product with the patch under it.

        y[n, o, i, j] = b[o] + Σ_c Σ_u Σ_v  w[o, c, u, v] · x[n, c, i·s + u·d - p, j·s + v·d - p]

    (a cross-correlation, as everywhere in deep learning; outside of the map, x is 0.) Then, if asked,
    y + add, and max(y, 0) or min(max(y, 0), 6).

    Args:
        x: (N, C, H, W).
        weight: (O, C / groups, kh, kw).
        bias: (O,) or None.
        add: (N, O, H', W'), is added: the shortcut of a residual block; or None.
        stride: s, step between patches; a number or (y, x), like the next two.
        padding: p, rings of zeros around the map; ((top, bottom), (left, right)) where opposite sides
            differ.
        dilation: d, distance between the kernel's elements.
        groups: the channels are cut into so many groups that do not see each other; as many as there
            are channels is a depthwise convolution, one kernel for each channel.
        relu: whether negative results become 0.
        relu6: whether results are clipped to 0…6.

    Returns:
        (N, O, H', W') with H' = floor((H + 2p - d(kh - 1) - 1) / s) + 1.

    Raises:
        InputError: shapes do not fit together, there are no channels, or the kernel is larger than
            the padded map.
    """
    size = conv_size(x.shape[2:], weight.shape[2:], stride, padding, dilation)
    places = list(_places(weight.shape[2:], pair(stride), pair(dilation), size))
    padded, w = _grouped(_padded(x, sides(padding)), groups, 1), _grouped(weight, groups, 0)
    y = _products(padded, w, places, size).reshape(len(x), len(weight), *size)
    y = _finished(y, bias, add, relu, relu6)

    def inner(dy: Array) -> Array:
        return _before_relu(dy, y, relu, relu6)

    def to_x(dy: Array) -> Array:
        dx = _stamps(_grouped(inner(dy), groups, 1), w, places, padded.shape)
        return _unpadded(dx.reshape(len(x), x.shape[1], *padded.shape[3:]), sides(padding))

    def to_weight(dy: Array) -> Array:
        return _weight_products(_grouped(inner(dy), groups, 1), padded, places, weight.shape)

    to_bias = None if bias is None else lambda dy: inner(dy).sum(axis=(0, 2, 3))
    return y, (to_x, to_weight, to_bias) + (() if add is None else (inner,))


@differentiable(check=check_conv_transpose2d)
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
    """Stamp the kernel, times the value, onto a larger map: the transpose of a convolution.

        y[n, o, i·s + u·d - p, j·s + v·d - p] += w[c, o, u, v] · x[n, c, i, j]

    Args:
        x: (N, C, H, W).
        weight: (C, O / groups, kh, kw): the first axis is the input's channels.
        bias: (O,) or None.
        stride: s, step between stamps.
        padding: p, rings that are cut off the result.
        output_padding: rows and columns added at the bottom and right, where several sizes fit.
        dilation: d, distance between the kernel's elements.
        groups: the channels are cut into so many groups that do not see each other.
        relu: whether negative results become 0.

    Returns:
        (N, O, (H - 1)·s - 2p + d(kh - 1) + 1 + output_padding, …).

    Raises:
        InputError: shapes do not fit together, there are no channels, nothing is left of the result,
            or output_padding is not smaller than the stride.
    """
    kernel, (py, px) = weight.shape[2:], pair(padding)
    size = transposed_size(x.shape[2:], kernel, stride, padding, output_padding, dilation)
    height, width, outputs = size[0] + 2 * py, size[1] + 2 * px, weight.shape[1]
    places = list(_places(kernel, pair(stride), pair(dilation), x.shape[2:]))
    cells, w = _grouped(x, groups, 1), _grouped(weight, groups, 0)
    large = _stamps(cells, w, places, (len(x), groups, outputs, height, width))
    y = _unpadded(large.reshape(len(x), groups * outputs, height, width), sides(padding))
    y = _finished(y, bias, None, relu)

    def inner(dy: Array) -> Array:
        return dy * (y > 0) if relu else dy

    def padded(dy: Array) -> Array:
        return _grouped(_padded(inner(dy), sides(padding)), groups, 1)

    return y, (
        lambda dy: _products(padded(dy), w, places, x.shape[2:]).reshape(x.shape),
        lambda dy: _weight_products(cells, padded(dy), places, weight.shape),
        None if bias is None else lambda dy: inner(dy).sum(axis=(0, 2, 3)),
    )


@differentiable(check=check_linear)
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
        InputError: x is not (N, I) for weight's I.
    """
    y = x @ weight.T
    if bias is not None:
        y = y + bias
    if relu:
        y = xp_of(y).maximum(y, 0)

    def inner(dy: Array) -> Array:
        return dy * (y > 0) if relu else dy

    return y, (
        lambda dy: inner(dy) @ weight,
        lambda dy: inner(dy).T @ x,
        None if bias is None else lambda dy: inner(dy).sum(axis=0),
    )


def _finished(
    y: Array, bias: Array | None, add: Array | None, relu: bool, relu6: bool = False
) -> Array:
    """What follows a convolution: + bias, + add, ReLU or ReLU6, each if it is asked for."""
    y = y if bias is None else y + bias[:, None, None]
    y = y if add is None else y + add
    y = xp_of(y).maximum(y, 0) if relu or relu6 else y
    return xp_of(y).minimum(y, 6) if relu6 else y


def _before_relu(dy: Array, y: Array, relu: bool, relu6: bool) -> Array:
    """The gradient before the ReLU or ReLU6 that led to y."""
    dy = dy * (y > 0) if relu or relu6 else dy
    return dy * (y < 6) if relu6 else dy


Places = list[tuple[int, int, tuple]]


def _places(
    kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int], size: Any
) -> Iterator[tuple[int, int, tuple]]:
    """For each element (u, v) of the kernel: the part of the padded map that it meets, as an index."""
    (sy, sx), (dy, dx), (height, width) = stride, dilation, size
    for u in range(kernel[0]):
        for v in range(kernel[1]):
            rows = slice(u * dy, u * dy + height * sy, sy)
            columns = slice(v * dx, v * dx + width * sx, sx)
            yield u, v, (..., rows, columns)


def _flat(maps: Array) -> Array:
    """(N, G, C, H, W) → (N, G, C, H·W)."""
    return maps.reshape(*maps.shape[:3], maps.shape[3] * maps.shape[4])


def _products(padded: Array, w: Array, places: Places, size: Any) -> Array:
    """A x: (N, G, C, H, W), (G, O, C, kh, kw) → (N, G, O, H'·W')."""
    return sum(w[..., u, v] @ _flat(padded[place]) for u, v, place in places)


def _stamps(dy: Array, w: Array, places: Places, shape: tuple[int, ...]) -> Array:
    """Aᵀ dy: (N, G, O, H', W'), (G, O, C, kh, kw) → (N, G, C, H, W), the given shape."""
    dx = xp_of(dy, w).zeros(shape, dy.dtype)
    for u, v, place in places:
        part = dx[place]
        part += (w[..., u, v].swapaxes(1, 2) @ _flat(dy)).reshape(part.shape)
    return dx


def _weight_products(dy: Array, padded: Array, places: Places, shape: tuple[int, ...]) -> Array:
    """dy ⊗ x: (N, G, O, H', W'), (N, G, C, H, W) → the weight's shape."""
    taps = [(_flat(dy) @ _flat(padded[place]).swapaxes(2, 3)).sum(axis=0) for _, _, place in places]
    return xp_of(dy, padded).stack(taps, axis=-1).reshape(shape)


def _grouped(x: Array, groups: int, axis: int) -> Array:
    """An axis cut in two, (groups, the group's own)."""
    return x.reshape(*x.shape[:axis], groups, x.shape[axis] // groups, *x.shape[axis + 1 :])


def _padded(x: Array, padding: Sides) -> Array:
    """Zeros around each map."""
    return xp_of(x).pad(x, ((0, 0), (0, 0), *padding))


def _unpadded(x: Array, padding: Sides) -> Array:
    """The maps without those zeros."""
    ((top, bottom), (left, right)), (height, width) = padding, x.shape[-2:]
    return x[..., top : height - bottom, left : width - right]
