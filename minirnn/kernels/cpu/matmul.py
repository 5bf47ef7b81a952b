"""A matrix product that is shared out among the cores; and one of thin matrices, on a single core."""

from __future__ import annotations

import numpy as np

from minirnn.backend import Array
from minirnn.kernels.cpu.walk import walk

_SMALL = 1_000_000  # multiplications of a product, at most, that OpenBLAS does not lay out anew
_THIN = 1 << 12  # numbers of the smaller matrix, at most: then a piece has hundreds of rows


def multiply(a: Array, b: Array, *, out: Array) -> None:
    """`a @ b` where one of the two is small, its pieces one after the other.

    Before it multiplies, BLAS lays both matrices out anew, as its inner loop reads them. That pays where
    each number is used often, and costs as much as the product where it is used eight times. OpenBLAS, on
    processors with AVX-512, does without it in products of up to a million multiplications: cut into such,
    those of an 8×8 matrix take half the time. Elsewhere the pieces cost nothing that can be measured.

    Args:
        a: (M, K).
        b: (K, N).
        out: (M, N), where the product goes.
    """
    small, axis = (a, 1) if a.size < b.size else (b, 0)
    length = out.shape[axis]
    step = max(_SMALL // max(small.size, 1), 1) if small.size <= _THIN else length
    for start in range(0, length, step):
        part = slice(start, start + step)
        if axis:
            np.matmul(a, b[:, part], out=out[:, part])
        else:
            np.matmul(a[part], b, out=out[part])


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
