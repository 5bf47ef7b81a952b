"""3×3 convolutions on a GPU by Winograd's algorithm: transforms of ours, 36 products by cuBLAS."""

from __future__ import annotations

from minirnn.backend import Array, xp_of
from minirnn.kernels.cuda.launch import run
from minirnn.ops.checks import Padding, Pair, pair, sides

FILE = "winograd.cu"
_TILE = 4  # results of a tile, along each side
_RINGS = ((0, 0), (0, 0)), ((1, 1), (1, 1))  # of zeros around the map
_LEAST = 16  # channels, below which the transforms cost more than the products save


def suits(x: Array, weight: Array, stride: Pair, padding: Padding, dilation: Pair) -> bool:
    """Whether a convolution goes this way.

    Float64 does not: whoever asks for it wants the digits that the transforms cost.
    """
    usual = weight.shape[2:] == (3, 3) and pair(stride) == pair(dilation) == (1, 1)
    many = min(weight.shape[:2]) >= _LEAST and len(x) > 0
    return usual and many and sides(padding) in _RINGS and x.dtype.name == "float32"


def correlate(
    x: Array, weight: Array, bias: Array | None, add: Array | None, padding: int, limit: float
) -> Array:
    """y = x * weight, + bias, + add, ReLU; contiguous x (N, C, H, W), weight (O, C, 3, 3), 0 to 2 rings.

    `limit` is that of the ReLU, see `minirnn.kernels.cuda.convolution.limit_of`.
    """
    xp, dtype = xp_of(x, weight), x.dtype
    (n, channels, height, width), outputs = x.shape, len(weight)
    size = height + 2 * padding - 2, width + 2 * padding - 2
    down, across = (-(-length // _TILE) for length in size)
    tiles = n * down * across
    u = xp.empty((36, outputs, channels), dtype)
    v = xp.empty((36, channels, tiles), dtype)
    y = xp.empty((n, outputs, *size), dtype)
    run(
        FILE, "winograd_weights", outputs * channels, xp.ascontiguousarray(weight), u, outputs * channels,
        dtype=dtype,
    )  # fmt: skip
    run(
        FILE, "winograd_in", channels * tiles, x, v, channels * tiles, n, channels, height, width, down,
        across, padding, dtype=dtype,
    )  # fmt: skip
    run(
        FILE, "winograd_out", outputs * tiles, xp.ascontiguousarray(u @ v), y,
        y if bias is None else xp.ascontiguousarray(bias), y if add is None else xp.ascontiguousarray(add),
        outputs * tiles, n, outputs, *size, down, across, int(bias is not None), int(add is not None),
        limit, dtype=dtype,
    )  # fmt: skip
    return y


def back(dy: Array, weight: Array, padding: int) -> Array:
    """The gradient of x: the same with the weights turned round, and their axes exchanged."""
    turned = weight[:, :, ::-1, ::-1].swapaxes(0, 1)
    return correlate(dy, turned, None, None, 2 - padding, 0.0)
