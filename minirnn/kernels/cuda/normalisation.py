"""Group normalisation on a GPU: a block for each group of each image."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minirnn.autograd.tensor import remembered
from minirnn.backend import Array, xp_of
from minirnn.kernels.cuda.convolution import let_through
from minirnn.kernels.cuda.launch import BLOCK, run, suits
from minirnn.kernels.table import kernel
from minirnn.ops.normalisation import group_norm as plain_group_norm

FILE = "group_norm.cu"


def _applies(x: Array, weight: Array, bias: Array, add: Array | None = None, **_: Any) -> bool:
    return suits(x, weight, bias, add) and x.size > 0


@kernel(
    plain_group_norm,
    "cuda",
    reason="one launch forward and three back, instead of a dozen walks over the map",
    applies=_applies,
)
def group_norm(
    x: Array,
    weight: Array,
    bias: Array,
    add: Array | None = None,
    *,
    groups: int,
    eps: float = 1e-5,
    relu: bool = False,
) -> tuple[Array, tuple]:
    """`minirnn.ops.normalisation.group_norm` by group_norm.cu."""
    xp, dtype = xp_of(x, weight, bias), x.dtype
    x, weight, bias = (xp.ascontiguousarray(array) for array in (x, weight, bias))
    shortcut = x if add is None else xp.ascontiguousarray(add)
    n, channels = x.shape[:2]
    area = int(np.prod(x.shape[2:]))
    members = channels // groups * area
    y, means, rs = (
        xp.empty(x.shape, dtype),
        xp.empty(n * groups, dtype),
        xp.empty(n * groups, dtype),
    )
    blocks = {"dtype": dtype, "grid": (n * groups,), "block": BLOCK}
    run(
        FILE, "group_norm_forward", n * groups, x, weight, bias, shortcut, y, means, rs, members, groups,
        area, float(eps), int(add is not None), int(relu), **blocks,
    )  # fmt: skip

    @remembered
    def inner(dy: Array) -> Array:
        return let_through(dy, y, math.inf if relu else 0.0)

    def to_x(dy: Array) -> Array:
        dx = xp.empty(x.shape, dtype)
        run(
            FILE, "group_norm_backward", n * groups, x, inner(dy), weight, means, rs, dx, members, groups,
            area, **blocks,
        )  # fmt: skip
        return dx

    @remembered
    def of_channels(dy: Array) -> Any:
        sums = [xp.empty((n, channels), dtype) for _ in range(2)]
        run(
            FILE, "group_norm_channels", n * channels, x, inner(dy), means, rs, *sums, channels, groups,
            area, dtype=dtype, grid=(n * channels,), block=BLOCK,
        )  # fmt: skip
        return [each.sum(axis=0) for each in sums]

    back: tuple = (to_x, lambda dy: of_channels(dy)[0], lambda dy: of_channels(dy)[1])
    return y, back + (() if add is None else (inner,))
