"""Steps that go element by element, in one walk over memory; and the way back through a fused ReLU."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from minirnn.autograd.tensor import remembered
from minirnn.backend import Array
from minirnn.kernels.cpu.walk import BLOCK, PIECE, walk
from minirnn.kernels.table import kernel
from minirnn.ops.adamw import adamw_step
from minirnn.ops.sgd import sgd_step


def element_by_element(
    work: Callable[..., object], out: Array, *arrays: Array, most: int | None = BLOCK
) -> None:
    """Call `work(out, *arrays)` for blocks of equally shaped arrays, element beside element.

    Args:
        work: writes to its first argument what it makes of the others.
        out: the result.
        arrays: what goes in. Where all lie in memory in the same order, blocks are runs of it.
        most: as in `walk`; None where `work` is a single step.
    """
    same = out.size >= 8 * PIECE and all(array.strides == out.strides for array in arrays)
    flat = [array.ravel(order="K") for array in (out, *arrays)] if same else []
    if not flat or not np.may_share_memory(flat[0], out):
        work(out, *arrays)
        return
    walk(lambda part: work(*(a[part] for a in flat)), out.size, most=most)


@kernel(sgd_step, "cpu", reason="all steps on a block that stays in the cache, on all cores")
def sgd_step_in_blocks(
    parameter: Array,
    gradient: Array,
    velocity: Array,
    *,
    learning_rate: float,
    momentum: float,
    weight_decay: float,
) -> None:
    """`minirnn.ops.sgd.sgd_step`."""

    def step(parameter: Array, gradient: Array, velocity: Array) -> None:
        scratch = np.multiply(parameter, weight_decay, out=np.empty_like(parameter))
        scratch += gradient
        velocity *= momentum
        velocity += scratch
        np.multiply(velocity, learning_rate, out=scratch)
        parameter -= scratch

    element_by_element(step, parameter, gradient, velocity)


@kernel(adamw_step, "cpu", reason="all steps on a block that stays in the cache, on all cores")
def adamw_step_in_blocks(
    parameter: Array,
    gradient: Array,
    mean: Array,
    square: Array,
    *,
    step: int,
    learning_rate: float,
    beta1: float,
    beta2: float,
    weight_decay: float,
    eps: float,
) -> None:
    """`minirnn.ops.adamw.adamw_step`."""
    length = learning_rate / (1 - beta1**step)
    root = math.sqrt(1 - beta2**step)

    def work(parameter: Array, gradient: Array, mean: Array, square: Array) -> None:
        scratch = np.multiply(gradient, 1 - beta1, out=np.empty_like(parameter))
        mean *= beta1
        mean += scratch
        np.multiply(gradient, 1 - beta2, out=scratch)
        scratch *= gradient
        square *= beta2
        square += scratch
        spread = np.sqrt(square, out=scratch)
        spread /= root
        spread += eps
        move = np.multiply(mean, length, out=np.empty_like(parameter))
        move /= spread
        parameter *= 1 - learning_rate * weight_decay
        parameter -= move

    element_by_element(work, parameter, gradient, mean, square)


def sum_of_rows(rows: Array) -> Array:
    """(…, R, C) → (…, C), as a product with ones.

    BLAS adds up several rows in one walk. `rows.sum(axis=-2)` begins anew with each row, and takes two
    to nine times as long where rows are short.
    """
    return np.ones(rows.shape[-2], rows.dtype) @ rows


def where_positive(dy: Array, y: Array) -> Array:
    """The gradient that ReLU lets through: dy where y > 0, else 0."""
    dx = np.empty_like(dy)

    def backward(out: Array, gradient: Array, values: Array) -> None:
        np.multiply(gradient, values > 0, out=out)

    element_by_element(backward, dx, dy, y)
    return dx


def where_inside(dy: Array, y: Array) -> Array:
    """The gradient that ReLU6 lets through: dy where 0 < y < 6, else 0."""
    dx = np.empty_like(dy)

    def backward(out: Array, gradient: Array, values: Array) -> None:
        passes = values > 0
        passes &= values < 6
        np.multiply(gradient, passes, out=out)

    element_by_element(backward, dx, dy, y)
    return dx


def before_relu(
    y: Array, relu: bool, lay: Callable[[Array], Array], relu6: bool = False
) -> Callable[[Array], Array]:
    """The way back through the ReLU that an operation may end with: dy → the gradient before the ReLU.

    Args:
        y: the operation's result.
        relu: whether it ends with a ReLU.
        lay: brings a gradient into the order in which y lies in memory.
        relu6: whether it ends with a ReLU6.
    """

    def gradient(dy: Array) -> Array:
        dy = lay(dy)
        if relu6:
            return where_inside(dy, y)
        return where_positive(dy, y) if relu else dy

    return remembered(gradient)
