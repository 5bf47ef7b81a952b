"""Few passes over memory: how operations that are cheaper than reading their input go fast.

A processor computes several additions in the time in which one number arrives from memory. So an
operation such as a normalisation is not slow for its arithmetic, but for the number of times it walks
over the whole array. Here it walks block by block, each small enough to stay in the cache from the
first step on it to the last, and the blocks are shared out among the cores.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minirnn.autograd.tensor import accumulated, remembered
from minirnn.backend import Array, xp_of
from minirnn.kernels.cpu.parallel import PIECE, in_blocks
from minirnn.kernels.table import kernel


def element_by_element(work: Callable[..., None], out: Array, *arrays: Array) -> None:
    """Call `work(out, *arrays)` for blocks of equally shaped arrays, element beside element.

    Args:
        work: writes to its first argument what it makes of the others.
        out: the result.
        arrays: what goes in. Where all lie in memory in the same order, blocks are runs of it.
    """
    xp = xp_of(out, *arrays)
    same = out.size >= 8 * PIECE and all(array.strides == out.strides for array in arrays)
    flat = [array.ravel(order="K") for array in (out, *arrays)] if xp is np and same else []
    if not flat or not np.may_share_memory(flat[0], out):
        work(out, *arrays)
        return
    in_blocks(np, lambda start, stop: work(*(a[start:stop] for a in flat)), out.size, 1)


@kernel(accumulated, "cpu", reason="large gradients are added on all cores")
def added(a: Array, b: Array) -> Array:
    """a + b, of equally shaped arrays, on all cores."""
    if a.size < 8 * PIECE or a.shape != b.shape or a.dtype != b.dtype:
        return a + b
    xp = xp_of(a, b)
    out = xp.empty_like(a)
    element_by_element(lambda out, a, b: xp.add(a, b, out=out), out, a, b)
    return out


def sum_of_rows(rows: Array) -> Array:
    """(…, R, C) → (…, C), as a product with ones.

    BLAS adds up several rows in one walk. `rows.sum(axis=-2)` begins anew with each row, and takes two
    to nine times as long where rows are short.
    """
    return xp_of(rows).ones(rows.shape[-2], rows.dtype) @ rows


def where_positive(dy: Array, y: Array) -> Array:
    """The gradient that ReLU lets through: dy where y > 0, else 0."""
    xp = xp_of(dy, y)
    dx = xp.empty_like(dy)

    def backward(out: Array, gradient: Array, values: Array) -> None:
        xp.multiply(gradient, values > 0, out=out)

    element_by_element(backward, dx, dy, y)
    return dx


def before_relu(y: Array, relu: bool, lay: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """The way back through the ReLU that an operation ends with, if it does: dy → dy in front of it.

    Args:
        y: the operation's result.
        relu: whether it ends with a ReLU.
        lay: brings a gradient into the order in which y lies in memory.
    """

    def gradient(dy: Array) -> Array:
        dy = lay(dy)
        return where_positive(dy, y) if relu else dy

    return remembered(gradient)
