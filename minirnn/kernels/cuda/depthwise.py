"""Depthwise convolution on a GPU: a thread for each number, and a block for each weight on the way back."""

from __future__ import annotations

from typing import Any

from minirnn.autograd.tensor import remembered
from minirnn.backend import Array, xp_of
from minirnn.kernels.cuda.convolution import let_through, limit_of
from minirnn.kernels.cuda.launch import BLOCK, run, suits
from minirnn.kernels.table import kernel
from minirnn.ops.checks import Padding, Pair, conv_size, pair, sides
from minirnn.ops.convolution import conv2d as plain_conv2d

FILE = "depthwise.cu"


def _applies(
    x: Array,
    weight: Array,
    bias: Array | None,
    add: Array | None = None,
    *,
    groups: int = 1,
    **_: Any,
) -> bool:
    each_its_own = x.shape[1] == groups == len(weight) > 1
    return each_its_own and suits(x, weight, bias, add)


@kernel(
    plain_conv2d,
    "cuda",
    reason="depthwise: one launch, instead of two walks over the map for each element of the kernel",
    applies=_applies,
)
def depthwise_conv2d(
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
    """`minirnn.ops.convolution.conv2d` with as many groups as channels and outputs, by depthwise.cu."""
    xp, dtype = xp_of(x, weight, bias, add), x.dtype
    x, weight = xp.ascontiguousarray(x), xp.ascontiguousarray(weight)
    n, channels, height, width = x.shape
    size = conv_size((height, width), weight.shape[2:], stride, padding, dilation)
    rings = tuple(before for before, _ in sides(padding))  # those behind follow from the size
    numbers = (
        channels,
        height,
        width,
        *weight.shape[2:],
        *size,
        *pair(stride),
        *rings,
        *pair(dilation),
    )
    y, limit = xp.empty((n, channels, *size), dtype), limit_of(relu, relu6)
    run(
        FILE, "depthwise", y.size, x, weight, y if bias is None else xp.ascontiguousarray(bias),
        y if add is None else xp.ascontiguousarray(add), y, y.size, *numbers, int(bias is not None),
        int(add is not None), limit, dtype=dtype,
    )  # fmt: skip

    @remembered
    def inner(dy: Array) -> Array:
        return let_through(dy, y, limit)

    def to_x(dy: Array) -> Array:
        dx = xp.empty(x.shape, dtype)
        run(
            FILE, "depthwise_to_map", dx.size, inner(dy), weight, dx, dx.size, *numbers, dtype=dtype
        )  # fmt: skip
        return dx

    def to_weight(dy: Array) -> Array:
        dw = xp.empty(weight.shape, dtype)
        run(
            FILE, "depthwise_to_weights", dw.size, x, inner(dy), dw, n, *numbers, dtype=dtype,
            grid=(dw.size,), block=BLOCK,
        )  # fmt: skip
        return dw

    to_bias = None if bias is None else lambda dy: inner(dy).sum(axis=(0, 2, 3))
    return y, (to_x, to_weight, to_bias) + (() if add is None else (inner,))
