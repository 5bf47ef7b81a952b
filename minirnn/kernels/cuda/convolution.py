"""Convolution on a GPU: Winograd's tiles, or patches as columns; one walk does what follows."""

from __future__ import annotations

import math
from typing import Any

from minirnn.autograd.tensor import remembered
from minirnn.backend import Array, xp_of
from minirnn.kernels.cuda import winograd
from minirnn.kernels.cuda.launch import run, suits
from minirnn.kernels.table import kernel
from minirnn.ops.checks import Padding, Pair, conv_size, pair, sides
from minirnn.ops.convolution import conv2d as plain_conv2d


def _applies(
    x: Array,
    weight: Array,
    bias: Array | None,
    add: Array | None = None,
    *,
    groups: int = 1,
    **_: Any,
) -> bool:
    return groups == 1 and suits(x, weight, bias, add)


@kernel(
    plain_conv2d,
    "cuda",
    reason="Winograd for 3x3, else one large product; bias, shortcut and ReLU in one walk",
    accuracy="Winograd, float32: as on a CPU; else same",
    applies=_applies,
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
    """`minirnn.ops.convolution.conv2d` by winograd.cu, or by im2col.cu and epilogue.cu."""
    xp = xp_of(x, weight, bias, add)
    x, (n, outputs) = xp.ascontiguousarray(x), (len(x), len(weight))
    size = conv_size(x.shape[2:], weight.shape[2:], stride, padding, dilation)
    patches = _Patches(x.shape, weight.shape[2:], size, stride, padding, dilation)
    w = weight.reshape(outputs, -1)
    limit = limit_of(relu, relu6)
    rings, by_tiles = sides(padding)[0][0], winograd.suits(x, weight, stride, padding, dilation)
    if by_tiles:
        y = winograd.correlate(x, weight, bias, add, rings, limit)
    else:
        y = xp.ascontiguousarray(w @ patches.of(x)).reshape(n, outputs, *size)
        _finish(y, bias, add, limit)

    @remembered
    def inner(dy: Array) -> Array:
        return let_through(dy, y, limit)

    def flat(dy: Array) -> Array:
        return inner(dy).reshape(n, outputs, size[0] * size[1])

    def to_x(dy: Array) -> Array:
        if by_tiles:
            return winograd.back(inner(dy), weight, rings)
        return patches.back(xp.ascontiguousarray(w.T @ flat(dy)))

    def to_weight(dy: Array) -> Array:
        # The patches are made anew: kept, they would be nine times the map's memory.
        return (flat(dy) @ patches.of(x).swapaxes(1, 2)).sum(axis=0).reshape(weight.shape)

    return y, (
        to_x,
        to_weight,
        None if bias is None else lambda dy: inner(dy).sum(axis=(0, 2, 3)),
    ) + (() if add is None else (inner,))


class _Patches:
    """Maps as patches and back, with the numbers that im2col.cu is given."""

    def __init__(
        self, shape: Any, kernel: Any, size: Any, stride: Pair, padding: Padding, dilation: Pair
    ) -> None:
        self.shape, self.kernel, self.size = shape, kernel, size
        rings = tuple(before for before, _ in sides(padding))  # those behind follow from the size
        self.numbers = (*shape[2:], *kernel, *size, *pair(stride), *rings, *pair(dilation))
        usual = pair(stride) == (1, 1) and sides(padding) == ((0, 0), (0, 0))
        self.plain = kernel == (1, 1) and usual  # a patch is a cell

    def of(self, x: Array) -> Array:
        """(N, C, H, W) → (N, C·kh·kw, H'·W')."""
        n, channels = self.shape[:2]
        if self.plain:
            return x.reshape(n, channels, self.size[0] * self.size[1])
        xp = xp_of(x)
        columns = xp.empty(
            (n, channels * self.kernel[0] * self.kernel[1], self.size[0] * self.size[1]), x.dtype
        )
        run(
            "im2col.cu",
            "im2col",
            columns.size,
            x,
            columns,
            columns.size,
            *self.numbers,
            dtype=x.dtype,
        )
        return columns

    def back(self, columns: Array) -> Array:
        """The other way; what several patches have of a cell is added up."""
        if self.plain:
            return columns.reshape(self.shape)
        maps = xp_of(columns).empty(self.shape, columns.dtype)
        run(
            "im2col.cu", "col2im", maps.size, columns, maps, maps.size, *self.numbers, dtype=columns.dtype
        )  # fmt: skip
        return maps


def limit_of(relu: bool, relu6: bool) -> float:
    """The highest result: 6 with relu6, infinity with relu; 0 stands for neither."""
    return 6.0 if relu6 else math.inf if relu else 0.0


def _finish(y: Array, bias: Array | None, add: Array | None, limit: float) -> None:
    """+ bias, + add, ReLU, in place."""
    if bias is None and add is None and not limit:
        return
    xp = xp_of(y)
    run(
        "epilogue.cu", "finish", y.size, y, y if bias is None else xp.ascontiguousarray(bias),
        y if add is None else xp.ascontiguousarray(add), y.size, y.shape[1], y.shape[2] * y.shape[3],
        int(bias is not None), int(add is not None), limit, dtype=y.dtype,
    )  # fmt: skip


def let_through(dy: Array, y: Array, limit: float) -> Array:
    """dy where y is above 0 and below the limit, the way back through a ReLU; contiguous."""
    xp = xp_of(dy, y)
    if not limit:
        return xp.ascontiguousarray(dy)
    dx = xp.empty(y.shape, y.dtype)
    run(
        "epilogue.cu",
        "let_through",
        y.size,
        xp.ascontiguousarray(dy),
        y,
        dx,
        y.size,
        limit,
        dtype=y.dtype,
    )
    return dx
