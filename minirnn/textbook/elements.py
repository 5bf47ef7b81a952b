"""What the loops share: a walk over the elements of arrays, and settings that stand for two numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def each(number: Callable[..., float], *arrays: np.ndarray) -> np.ndarray:
    """number(a, b, …) at each place of arrays (a, b, …), which are stretched to one shape first.

    Args:
        number: a function of one element of each array.
        arrays: of shapes that broadcast: an axis that is missing, or has length 1, is repeated.

    Returns:
        of the common shape, and of the type of the last array.
    """
    shape = np.broadcast_shapes(*(x.shape for x in arrays))
    stretched = [np.broadcast_to(x, shape) for x in arrays]
    y = np.zeros(shape, arrays[-1].dtype)
    for place in np.ndindex(*shape):
        y[place] = number(*(x[place].item() for x in stretched))
    return y


def pair(value: Any) -> tuple[int, int]:
    """A setting's two numbers, vertical and horizontal; one number stands for both."""
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def sides(padding: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    """((top, bottom), (left, right)) of a padding, which is that, (y, x), or one number."""
    rows, columns = pair(padding)
    return pair(rows), pair(columns)
