"""Many numbers to one: sum, mean, maximum, over all axes or some."""

from __future__ import annotations

import math
from collections.abc import Callable

from minirnn.autograd.tensor import differentiable
from minirnn.backend import Array, xp_of

Axis = int | tuple[int, ...] | None


def _reduced_shape(shape: tuple[int, ...], axis: Axis) -> tuple[int, ...]:
    """The shape with 1 on each axis that is summed over."""
    if axis is None:
        return (1,) * len(shape)
    axes = {a % len(shape) for a in (axis if isinstance(axis, tuple) else (axis,))}
    return tuple(1 if k in axes else n for k, n in enumerate(shape))


@differentiable
def sum(x: Array, *, axis: Axis = None, keepdims: bool = False) -> tuple[Array, Callable]:
    """The sum; every summand gets the gradient as it is.

    Args:
        x: any shape.
        axis: axis, or axes, to sum over; None for all.
        keepdims: leave those axes in the shape, with length 1.
    """
    xp, shape = xp_of(x), x.shape
    once = _reduced_shape(shape, axis)

    def gradient(dy: Array) -> Array:
        return xp.broadcast_to(dy.reshape(once), shape).copy()  # a copy: nobody may write to a view

    return x.sum(axis=axis, keepdims=keepdims), gradient


@differentiable
def mean(x: Array, *, axis: Axis = None, keepdims: bool = False) -> tuple[Array, Callable]:
    """The mean, Σ x / n. The mean of nothing is 0, and its gradient is empty.

    Args:
        x: any shape.
        axis: axis, or axes, to average over; None for all.
        keepdims: leave those axes in the shape, with length 1.
    """
    xp, shape = xp_of(x), x.shape
    once = _reduced_shape(shape, axis)
    count = math.prod(n for n, m in zip(shape, once, strict=True) if m != n) or 1

    def gradient(dy: Array) -> Array:
        return xp.broadcast_to((dy / count).reshape(once), shape).copy()

    return x.sum(axis=axis, keepdims=keepdims) / count, gradient


@differentiable
def max(x: Array, *, axis: Axis = None, keepdims: bool = False) -> tuple[Array, Callable]:
    """The largest; it gets the gradient. Several equal ones share it in equal parts.

    Args:
        x: any shape.
        axis: axis, or axes, to look along; None for all.
        keepdims: leave those axes in the shape, with length 1.

    Raises:
        ValueError: an axis to look along has length 0.
    """
    once = _reduced_shape(x.shape, axis)
    y = x.max(axis=axis, keepdims=keepdims)

    def gradient(dy: Array) -> Array:
        best = (x == y.reshape(once)).astype(dy.dtype)
        best *= dy.reshape(once) / best.sum(axis=axis, keepdims=True)
        return best

    return y, gradient
