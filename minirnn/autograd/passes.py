"""Few passes over memory: how operations that are cheaper than reading their input go fast.

A processor computes several additions in the time in which one number arrives from memory. So an
operation such as a normalisation is not slow for its arithmetic, but for the number of times it walks
over the whole array. Here it walks block by block, each small enough to stay in the cache from the
first step on it to the last, and the blocks are shared out among the cores.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minirnn import parallel
from minirnn.backend import Array

_BLOCK = 1 << 16  # elements: 256 KiB of float32, so that three blocks fit in a usual L2 cache
_PIECE = 1 << 14  # elements below which a thread costs more than it saves


def in_blocks(xp: Any, work: Callable[[int, int], None], count: int, elements: int) -> None:
    """Call `work(start, stop)` for pieces that cover `range(count)` and do not overlap.

    On the host: blocks of the cache's size, on all cores. On a GPU: all at once.

    Args:
        xp: the library of the arrays that `work` works on.
        work: does everything for the rows start…stop-1.
        count: number of rows.
        elements: number of array elements in a row.
    """
    if xp is not np:
        work(0, count)
        return
    elements = max(elements, 1)
    step = max(_BLOCK // elements, 1)

    def piece(start: int, stop: int) -> None:
        for first in range(start, stop, step):
            work(first, min(first + step, stop))

    parallel.for_chunks(piece, count, at_least=-(-_PIECE // elements))


def together(
    gradients: Callable[[Array], tuple], count: int
) -> tuple[Callable[[Array], Array], ...]:
    """One vjp per input for an operation that finds all its gradients in one pass.

    The first vjp that is asked computes them all; the others hand out what is there.

    Args:
        gradients: from dy to the gradients of all inputs.
        count: number of inputs.
    """
    last: list[Any] = [None, None]  # dy, and the gradients that belong to it

    def vjp_of(position: int) -> Callable[[Array], Array]:
        def vjp(dy: Array) -> Array:
            if last[0] is not dy:
                last[:] = dy, gradients(dy)
            return last[1][position]

        return vjp

    return tuple(vjp_of(position) for position in range(count))
