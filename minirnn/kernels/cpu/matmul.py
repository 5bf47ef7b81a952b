"""A matrix product that is shared out among the cores."""

from __future__ import annotations

import numpy as np

from minirnn.backend import Array
from minirnn.kernels.cpu.walk import walk


def matmul(a: Array, b: Array) -> Array:
    """`a @ b` of two matrices (M, K) and (K, N), cut along the longer side of the result."""
    out = np.empty((a.shape[0], b.shape[1]), np.result_type(a, b))

    def rows(part: slice) -> None:
        np.matmul(a[part], b, out=out[part])

    def columns(part: slice) -> None:
        np.matmul(a, b[:, part], out=out[:, part])

    if a.shape[0] >= b.shape[1]:
        walk(rows, len(a), most=None, least=8)
    else:
        walk(columns, b.shape[1], most=None, least=8)
    return out
