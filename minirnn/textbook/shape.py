"""Moving numbers without changing them, one at a time: which element goes where.

Read this first, then `minirnn.ops.shape`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np


def reshape(x: np.ndarray, *, shape: int | Sequence[int]) -> np.ndarray:
    """The same numbers in reading order, in another shape; a side of -1 is what is left over."""
    sides = [shape] if isinstance(shape, int) else list(shape)
    known = math.prod(n for n in sides if n >= 0)
    y = np.zeros([n if n >= 0 else x.size // known for n in sides], x.dtype)
    for to, at in zip(np.ndindex(*y.shape), np.ndindex(*x.shape), strict=True):
        y[to] = x[at]
    return y


def flatten(x: np.ndarray) -> np.ndarray:
    """(N, …) → (N, everything else): each image's numbers in one row."""
    return reshape(x, shape=(len(x), math.prod(x.shape[1:])))


def transpose(x: np.ndarray, *, axes: Sequence[int] | None = None) -> np.ndarray:
    """Axis k of the result is axis axes[k] of x; all axes in reverse where axes is None."""
    order = [a % x.ndim for a in (range(x.ndim - 1, -1, -1) if axes is None else axes)]
    y = np.zeros([x.shape[a] for a in order], x.dtype)
    for place in np.ndindex(*x.shape):
        y[tuple(place[a] for a in order)] = x[place]
    return y


def take(x: np.ndarray, *, index: Any) -> np.ndarray:
    """x[index] for any index of Python's and NumPy's: numbers, slices, masks, arrays of numbers.

    All elements are numbered in reading order. The index says which numbers are meant, and one after
    the other is fetched.
    """
    numbers = np.arange(x.size).reshape(x.shape)[index]
    elements = x.ravel().tolist()
    return np.array([elements[i] for i in np.ravel(numbers)], x.dtype).reshape(np.shape(numbers))


def concatenate(*xs: np.ndarray, axis: int = 0) -> np.ndarray:
    """Arrays one after the other along an axis that exists; on the others they are equally long."""
    axis %= xs[0].ndim
    shape = list(xs[0].shape)
    shape[axis] = sum(x.shape[axis] for x in xs)
    y, start = np.zeros(shape, xs[0].dtype), 0
    for x in xs:
        for place in np.ndindex(*x.shape):
            y[(*place[:axis], place[axis] + start, *place[axis + 1 :])] = x[place]
        start += x.shape[axis]
    return y


def stack(*xs: np.ndarray, axis: int = 0) -> np.ndarray:
    """Arrays of one shape side by side along a new axis: number i of them stands at i."""
    axis %= xs[0].ndim + 1
    y = np.zeros([*xs[0].shape[:axis], len(xs), *xs[0].shape[axis:]], xs[0].dtype)
    for i, x in enumerate(xs):
        for place in np.ndindex(*x.shape):
            y[(*place[:axis], i, *place[axis:])] = x[place]
    return y


def pad(x: np.ndarray, *, widths: Sequence[tuple[int, int]]) -> np.ndarray:
    """x with so many zeros before it and after it on each axis."""
    y = np.zeros([before + n + after for n, (before, after) in zip(x.shape, widths, strict=True)])
    y = y.astype(x.dtype)
    for place in np.ndindex(*x.shape):
        y[tuple(i + before for i, (before, _) in zip(place, widths, strict=True))] = x[place]
    return y


def broadcast_to(x: np.ndarray, *, shape: Sequence[int]) -> np.ndarray:
    """x repeated to a larger shape: along axes that it lacks (the first ones) or has at length 1."""
    y = np.zeros(shape, x.dtype)
    for place in np.ndindex(*y.shape):
        own = place[len(place) - x.ndim :]
        y[place] = x[tuple(i if n > 1 else 0 for i, n in zip(own, x.shape, strict=True))]
    return y
