"""Reading between cells: the bilinear weight of one axis, for everything that resizes or samples.

A bilinear reading at (y, x) is a weighting of rows times a weighting of columns. So one axis is all that
has to be written down: the reading at position p takes from cell j

    k(p - j) = max(0, 1 - |p - j|)

which is not 0 for the two neighbours of p alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minirnn.backend import Array, positive_part, xp_of


def bilinear_weights(positions: Array, cells: int) -> Array:
    """What a reading at each position takes from each cell: max(0, 1 - |p - j|).

    Args:
        positions: (...) float; whole numbers are the centres of cells.
        cells: how many there are.

    Returns:
        (..., cells), of the positions' dtype. Outside of the outermost centres the weights fall to 0; clip
        the positions first where the border's cells should reach on.
    """
    distance = abs(positions[..., None] - xp_of(positions).arange(cells, dtype=positions.dtype))
    return positive_part(1 - distance)


def neighbours(positions: Array, cells: int) -> tuple[Array, Array, Array]:
    """The same weights as the two cells that have one: low, high and t, with 1 - t for low and t for high.

    Args:
        positions: (...) float, not negative; beyond the last centre, low and high are the last cell.
        cells: how many there are.
    """
    xp = xp_of(positions)
    whole = xp.minimum(xp.floor(positions), cells - 1)
    low = whole.astype(np.intp)
    return low, xp.minimum(low + 1, cells - 1), positions - whole  # in the positions' dtype


def resize_positions(before: int, after: int, align_corners: bool, dtype: Any) -> np.ndarray:
    """Where the output cells of a resize read, along one axis: (after,) float64, on the host.

    For float32 the positions are rounded to float32, as torch does: one near 1000 then has three digits
    behind the point, and public weights were trained on images resized like that.
    """
    cell = np.arange(after)
    if align_corners:
        return cell * ((before - 1) / max(after - 1, 1))
    scale = dtype.type(before) / dtype.type(after)
    return np.maximum((cell + 0.5) * float(scale) - 0.5, 0).astype(dtype).astype(np.float64)


def nearest_index(before: int, after: int) -> np.ndarray:
    """Which input cell each output cell copies, along one axis: (after,)."""
    return (np.arange(after, dtype=np.int64) * before // after).astype(np.intp)
