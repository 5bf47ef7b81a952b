"""Many numbers to one: those that differ only in the axes that are counted over.

Read this first, then `minirnn.ops.reduction`.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable

import numpy as np


def sum(
    x: np.ndarray, *, axis: int | tuple[int, ...] | None = None, keepdims: bool = False
) -> np.ndarray:
    """The sum of all numbers; of none, 0."""
    return _reduce(math.fsum, x, axis, keepdims)


def mean(
    x: np.ndarray, *, axis: int | tuple[int, ...] | None = None, keepdims: bool = False
) -> np.ndarray:
    """The sum of all numbers over their count; of none, 0."""

    def average(numbers: list[float]) -> float:
        return math.fsum(numbers) / len(numbers) if numbers else 0.0

    return _reduce(average, x, axis, keepdims)


def max(
    x: np.ndarray, *, axis: int | tuple[int, ...] | None = None, keepdims: bool = False
) -> np.ndarray:
    """The largest number."""
    return _reduce(builtins.max, x, axis, keepdims)


def _reduce(
    number: Callable, x: np.ndarray, axis: int | tuple[int, ...] | None, keepdims: bool
) -> np.ndarray:
    """`number` of each list of elements that agree in all axes but those counted over.

    Args:
        number: a function of a list of numbers.
        x: any shape.
        axis: the axes counted over; None for all.
        keepdims: leave them in the shape, with length 1.
    """
    axes = range(x.ndim) if axis is None else [axis] if isinstance(axis, int) else axis
    gone = [a % x.ndim for a in axes]
    lists: dict[tuple[int, ...], list[float]] = {
        place: [] for place in np.ndindex(*(1 if a in gone else n for a, n in enumerate(x.shape)))
    }
    for place in np.ndindex(*x.shape):
        lists[tuple(0 if a in gone else i for a, i in enumerate(place))].append(x[place].item())
    y = np.zeros([1 if a in gone else n for a, n in enumerate(x.shape)], x.dtype)
    for place, numbers in lists.items():
        y[place] = number(numbers)
    return y if keepdims else y.reshape([n for a, n in enumerate(x.shape) if a not in gone])
