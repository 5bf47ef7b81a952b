"""Moving numbers without changing them: each gradient is the way back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minirnn.autograd.tensor import differentiable, unbroadcast
from minirnn.backend import Array, scatter_add, xp_of
from minirnn.kernels.table import operation


@differentiable
def reshape(x: Array, *, shape: int | Sequence[int]) -> tuple[Array, Callable]:
    """The same numbers in reading order, in another shape; one side may be -1."""
    before = x.shape
    return x.reshape(shape), lambda dy: dy.reshape(before)


@operation
def arranged(weight: Array) -> Array:
    """A weight as a device's kernels like it to lie in memory: the same numbers in the same shape.

    Args:
        weight: (O, I) or (O, I, kh, kw), or of one axis.
    """
    return weight


@differentiable
def flatten(x: Array) -> tuple[Array, Callable]:
    """(N, …) → (N, everything else), also where N is 0."""
    before = x.shape
    length = int(np.prod(before[1:]))
    return x.reshape(before[0], length), lambda dy: dy.reshape(before)


@differentiable
def transpose(x: Array, *, axes: Sequence[int] | None = None) -> tuple[Array, Callable]:
    """Axis k of the result is axis axes[k] of x; all axes in reverse where axes is None."""
    axes = tuple(reversed(range(x.ndim))) if axes is None else tuple(a % x.ndim for a in axes)
    back = tuple(axes.index(k) for k in range(len(axes)))
    return x.transpose(axes), lambda dy: dy.transpose(back)


@differentiable
def take(x: Array, *, index: Any) -> tuple[Array, Callable]:
    """x[index], for any index that the array takes: numbers, slices, masks, arrays of numbers.

    An element that is taken twice gets the sum of both gradients.

    Args:
        x: any shape.
        index: an index or a tuple of indices. Arrays in it belong to x's device.
    """
    xp = xp_of(x)
    parts = index if isinstance(index, tuple) else (index,)
    parts = tuple(_array(xp, part) if isinstance(part, list) else part for part in parts)
    # Slices, single numbers and masks reach an element once, and plain assignment is much faster.
    repeats = any(getattr(part, "shape", ()) and part.dtype.kind in "iu" for part in parts)
    shape, dtype = x.shape, x.dtype

    def gradient(dy: Array) -> Array:
        dx = xp.zeros(shape, dtype)
        if repeats:
            scatter_add(dx, parts, dy)
        else:
            dx[parts] = dy
        return dx

    return x[parts], gradient


def _array(xp: Any, index: list) -> Array:
    """A list as an index; an empty one has no numbers that could tell its type."""
    array = xp.asarray(index)
    return array if array.size else array.astype(xp.intp)


@differentiable
def concatenate(*xs: Array, axis: int = 0) -> tuple[Array, tuple]:
    """Arrays one after the other along an axis; each gets its part of the gradient."""
    y = xp_of(*xs).concatenate(xs, axis=axis)
    axis %= y.ndim
    stops = np.cumsum([x.shape[axis] for x in xs]).tolist()
    starts = [0, *stops[:-1]]

    def part(start: int, stop: int) -> Callable[[Array], Array]:
        return lambda dy: dy[(slice(None),) * axis + (slice(start, stop),)]

    return y, tuple(part(start, stop) for start, stop in zip(starts, stops, strict=True))


@differentiable
def stack(*xs: Array, axis: int = 0) -> tuple[Array, tuple]:
    """Arrays of one shape along a new axis."""
    y = xp_of(*xs).stack(xs, axis=axis)
    axis %= y.ndim

    def part(position: int) -> Callable[[Array], Array]:
        return lambda dy: dy[(slice(None),) * axis + (position,)]

    return y, tuple(part(position) for position in range(len(xs)))


@differentiable
def pad(x: Array, *, widths: Sequence[tuple[int, int]]) -> tuple[Array, Callable]:
    """Zeros around x; the gradient is cut out again.

    Args:
        x: any shape.
        widths: (before, after) of each axis.
    """
    inner = tuple(slice(before, before + n) for (before, _), n in zip(widths, x.shape, strict=True))
    return xp_of(x).pad(x, tuple(map(tuple, widths))), lambda dy: dy[inner]


@differentiable
def broadcast_to(x: Array, *, shape: Sequence[int]) -> tuple[Array, Callable]:
    """x repeated to a larger shape without a copy; the gradient is summed over the repetitions."""
    before = x.shape
    return xp_of(x).broadcast_to(x, tuple(shape)), lambda dy: unbroadcast(dy, before)
