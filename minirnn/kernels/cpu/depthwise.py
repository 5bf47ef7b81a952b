"""Depthwise convolution: a kernel for each channel, which sees that channel alone.

It is no matrix product, and has few multiplications for each number that is read: what costs is the way
through memory. Which way goes, for each of the three products:

- With stride 1 and kernels of 3 to 5 rows Winograd's algorithm, which takes fewer multiplications
  (`kernels.cpu.depthwise_winograd`).
- Else sums of shifted rows, as the convolution is defined (`depthwise_sums`, and for gradients
  `depthwise_back`).

Source: Howard et al., "MobileNets", 2017, section 3.1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minirnn.backend import Array
from minirnn.kernels.cpu import (
    depthwise_back,
    depthwise_sums,
    depthwise_winograd,
    depthwise_winograd_back,
)
from minirnn.kernels.cpu.correlation import Epilogue, sum_of_places
from minirnn.kernels.cpu.depthwise_sums import Where
from minirnn.kernels.cpu.layout import hwio_of, nchw_of, nhwc_of, oihw_of, on_host
from minirnn.kernels.cpu.passes import before_relu
from minirnn.kernels.table import kernel
from minirnn.ops import convolution as plain
from minirnn.ops.checks import Padding, Pair, conv_size, pair, sides


def is_depthwise(x: Array, weight: Array, *arrays: Any, groups: int = 1, **settings: Any) -> bool:
    """Whether each channel of a call of `conv2d` has a group, one kernel and one output."""
    return x.shape[1] == groups == len(weight) > 1


def _applies(*arrays: Any, **settings: Any) -> bool:
    return is_depthwise(*arrays, **settings) and on_host(*arrays)


@kernel(
    plain.conv2d,
    "cpu",
    reason="depthwise: multiply-adds in long runs in the cache, stride 1 by Winograd along y; all cores",
    accuracy="stride 1, float32: 2e-6 of the largest result at most (found 1e-6; plain 3e-7); else same",
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
    """`minirnn.ops.convolution.conv2d` with as many groups as channels and outputs."""
    size = conv_size(x.shape[2:], weight.shape[2:], stride, padding, dilation)
    where = Where(pair(stride), sides(padding), pair(dilation), size)
    cells, taps = nhwc_of(x), hwio_of(weight)[:, :, 0]  # (N, H, W, C), (kh, kw, C)
    epilogue = Epilogue(bias, None if add is None else nhwc_of(add), relu, relu6)
    y = _correlate(cells, taps, where, epilogue)
    inner = before_relu(y, relu, nhwc_of, relu6)

    def to_weight(dy: Array) -> Array:
        return oihw_of(_weight_gradient(cells, inner(dy), taps.shape[:2], where)[:, :, None])

    vjps: tuple[Callable | None, ...] = (
        lambda dy: nchw_of(_transposed(inner(dy), taps, where, cells.shape)),
        to_weight,
        None if bias is None else lambda dy: sum_of_places(inner(dy)),
    )
    if add is not None:
        vjps = (*vjps, lambda dy: nchw_of(inner(dy)))
    return nchw_of(y), vjps


def _correlate(cells: Array, taps: Array, where: Where, epilogue: Epilogue) -> Array:
    """y[i, j, c] = Σ_u Σ_v w[u, v, c] · x[i·s + u·d - p, j·s + v·d - p, c], with the epilogue done."""
    if _suits_winograd(cells, taps.shape[:2], where):
        return depthwise_winograd.correlate(cells, taps, where.padding, where.dilation[1], epilogue)
    return depthwise_sums.correlate(cells, taps, where, epilogue)


def _transposed(dy: Array, taps: Array, where: Where, shape: tuple[int, ...]) -> Array:
    """dx[y, x, c] = Σ w[u, v, c] · dy[i, j, c] over u, v, i, j with i·s + u·d - p = y, and x likewise."""
    back = where.back(taps.shape[:2], shape[1:3])
    if back is not None and _suits_winograd(dy, taps.shape[:2], back):
        return _correlate(dy, taps[::-1, ::-1], back, Epilogue(None))
    return depthwise_back.transposed(dy, taps, where, shape)


def _weight_gradient(cells: Array, dy: Array, kernel: tuple[int, ...], where: Where) -> Array:
    """dw[u, v, c] = Σ_n Σ_i Σ_j dy[n, i, j, c] · x[n, i·s + u·d - p, j·s + v·d - p, c]."""
    if _suits_winograd(dy, kernel, where):
        padding, dilation = where.padding, where.dilation[1]
        return depthwise_winograd_back.weight_gradient(cells, dy, kernel, padding, dilation)
    return depthwise_back.weight_gradient(cells, dy, kernel, where)


def _suits_winograd(maps: Array, kernel: tuple[int, ...], where: Where) -> bool:
    steps = (*where.stride, where.dilation[0])
    return steps == (1, 1, 1) and depthwise_winograd.suits(
        maps.dtype, kernel, where.output, maps.shape[3]
    )
