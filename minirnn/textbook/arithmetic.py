"""Arithmetic, one element at a time. Arrays of different shapes are stretched to one, as in NumPy.

Read this first, then `minirnn.ops.arithmetic`, which has the gradients beside it.
"""

from __future__ import annotations

import math

import numpy as np

from minirnn.textbook.elements import each


def add(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a + b."""
    return each(lambda a, b: a + b, a, b)


def subtract(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a - b."""
    return each(lambda a, b: a - b, a, b)


def multiply(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a · b, element by element; for the matrix product see `matmul`."""
    return each(lambda a, b: a * b, a, b)


def divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a / b."""
    return each(lambda a, b: a / b, a, b)


def negative(x: np.ndarray) -> np.ndarray:
    """-x."""
    return each(lambda x: -x, x)


def power(x: np.ndarray, *, exponent: float) -> np.ndarray:
    """x to the power of a constant."""
    return each(lambda x: x**exponent, x)


def exp(x: np.ndarray) -> np.ndarray:
    """e to the power of x."""
    return each(math.exp, x)


def log(x: np.ndarray) -> np.ndarray:
    """The natural logarithm: log(x) = y where e^y = x."""
    return each(math.log, x)


def sqrt(x: np.ndarray) -> np.ndarray:
    """The y ≥ 0 with y · y = x."""
    return each(math.sqrt, x)


def absolute(x: np.ndarray) -> np.ndarray:
    """x without its sign."""
    return each(abs, x)


def maximum(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The larger of two."""
    return each(max, a, b)


def minimum(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The smaller of two."""
    return each(min, a, b)


def clip(x: np.ndarray, *, low: float | None = None, high: float | None = None) -> np.ndarray:
    """low where x is smaller, high where x is larger, else x. None is no limit."""

    def limited(x: float) -> float:
        if low is not None and x < low:
            return low
        return high if high is not None and x > high else x

    return each(limited, x)


def where(condition: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a where the condition holds, else b."""
    return each(lambda condition, a, b: a if condition else b, condition, a, b)


def matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Row i of the one matrix with column j of the other: y[i, j] = Σ_k a[i, k] b[k, j].

    Args:
        a: (…, M, K), matrices, or a vector (K,), which counts as one row.
        b: (…, K, N), or a vector (K,), which counts as one column.

    Returns:
        (…, M, N): a product for each matrix of the stacks; without the axis that a vector lacks.
    """
    left, right = np.atleast_2d(a), b[:, None] if b.ndim == 1 else b
    stack = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    left = np.broadcast_to(left, (*stack, *left.shape[-2:]))
    right = np.broadcast_to(right, (*stack, *right.shape[-2:]))
    y = np.zeros((*stack, left.shape[-2], right.shape[-1]), np.result_type(a, b))
    for *matrix, i, j in np.ndindex(*y.shape):
        for k in range(right.shape[-2]):
            y[(*matrix, i, j)] += left[(*matrix, i, k)] * right[(*matrix, k, j)]
    rows = () if a.ndim == 1 else y.shape[-2:-1]
    columns = () if b.ndim == 1 else y.shape[-1:]
    return y.reshape((*stack, *rows, *columns))
