"""Bilinear sampling of many regions as one sparse matrix.

A bilinear sample is a weighted sum of four cells, and an average of samples is a weighted sum of
more cells. So every bin of every region is one row of a sparse matrix S, with one column for each
cell of the feature map:

    forward     output   = S  @ features      features as (N·H·W, C), output as (R·bins, C)
    backward  d features = Sᵀ @ d output

The weights separate: the weight of cell (y, x) is a weight of line y times a weight of column x. S
is therefore put together from two short lists a bin, one for each axis, in which samples that share
a cell are merged already.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minirnn.backend import Array, scatter_add, sparse_of
from minirnn.ops.interpolation import neighbours
from minirnn.ops.roi_regions import Side


def sampling_matrix(
    rows: Side,
    columns: Side,
    image_index: Array,
    bins: tuple[int, int],
    shape: tuple[int, ...],
    dtype: Any,
    sample: tuple[int, int] | None = None,
) -> Any:
    """The sparse matrix whose row (r, i, j) is the mean of the samples in bin (i, j) of region r.

    Args:
        rows: the vertical side of each of the R regions.
        columns: the horizontal side.
        image_index: (R,) int, the image of each region.
        bins: how many bins a region has, vertically and horizontally.
        shape: (N, C, H, W) of the feature map.
        dtype: type of the weights.
        sample: if given, only this sample of each bin (line, column) instead of the mean of all.

    Returns:
        A CSR matrix (R·bins[0]·bins[1], N·H·W). Columns ascend in a row, and none occurs twice.
    """
    n, _, height, width = shape
    only_y, only_x = sample if sample else (None, None)
    y_first, y_count, y_cell, y_weight = _cells_along(rows, bins[0], height, dtype, only_y)
    x_first, x_count, x_cell, x_weight = _cells_along(columns, bins[1], width, dtype, only_x)

    # The cells of a bin are a small rectangle: first list its lines, then the cells of each line.
    grid = (len(image_index), *bins)
    y_bin = np.broadcast_to(np.arange(grid[0] * grid[1]).reshape(*grid[:2], 1), grid).ravel()
    x_bin = np.broadcast_to(np.arange(grid[0] * grid[2]).reshape(grid[0], 1, -1), grid).ravel()
    matrix_row, place = _ragged(y_count[y_bin])
    line = y_first[y_bin][matrix_row] + place
    line_bin = x_bin[matrix_row]
    image = image_index.astype(np.intp)[line_bin // bins[1]]
    line_origin = (image * height + y_cell[line]) * width
    line_weight = y_weight[line]

    of_line, place = _ragged(x_count[line_bin])
    place += x_first[line_bin][of_line]
    index = line_origin[of_line] + x_cell[place]
    weight = line_weight[of_line] * x_weight[place]

    pointers = np.zeros(len(y_bin) + 1, np.intp)
    pointers[1:] = np.cumsum(y_count[y_bin] * x_count[x_bin])
    return sparse_of(weight).csr_matrix(
        (weight, index.astype(np.int32), pointers.astype(np.int32)),
        shape=(len(y_bin), n * height * width),
    )


def _cells_along(
    side: Side, bins: int, length: int, dtype: Any, only: int | None
) -> tuple[Array, Array, Array, Array]:
    """For each bin of each region, the cells that its samples touch along one axis.

    Returns:
        first, count: (R·bins,) where the list of each bin begins, and how long it is.
        cell, weight: the lists, one after the other; cells ascend in each.
    """
    low, high, low_weight, high_weight = readings(side, bins, length, only)
    # Merge: a table over the cells from the bin's first one on, in which shared cells add up.
    origin = low[:, :, :1]
    reach = int((high - origin).max()) + 1
    table = np.zeros(len(low) * bins * reach, dtype)
    table_row = np.arange(len(low) * bins).reshape(-1, bins, 1) * reach
    scatter_add(table, (table_row + low - origin).ravel(), low_weight.ravel().astype(dtype))
    scatter_add(table, (table_row + high - origin).ravel(), high_weight.ravel().astype(dtype))
    table = table.reshape(-1, reach)
    of_bin, place = np.nonzero(table)
    count = (table != 0).sum(axis=1)
    return np.cumsum(count) - count, count, origin.ravel()[of_bin] + place, table[of_bin, place]


def readings(
    side: Side, bins: int, length: int, only: int | None = None
) -> tuple[Array, Array, Array, Array]:
    """What the samples of all bins read along one axis: two cells each, and the weights of both.

    Args:
        side: of R regions.
        bins: of a region along this axis.
        length: cells of the axis.
        only: if given, this sample of each bin alone, with weight 1; else all, weights adding up to 1.

    Returns:
        low, high, low_weight, high_weight: (R, bins, samples). A sample that reads nothing has weights of
        0, and the low cell of the first sample of its bin.
    """
    kind = side.start.dtype
    start, step, samples = (a[:, None, None] for a in (side.start, side.size / bins, side.samples))
    number = (
        np.arange(max(int(side.samples.max()), 1)) if only is None else np.arange(only, only + 1)
    )
    in_bin = np.maximum(samples, 1).astype(kind)
    bin_start = start + np.arange(bins).astype(kind)[:, None] * step
    position = bin_start + (number.astype(kind) + 0.5) * step / in_bin

    # A sample more than one cell outside of the outermost centres reads 0; a nearer one reads the
    # border's cell.
    reads = (number < samples) & (position >= -1) & (position <= length)
    low, high, t = neighbours(np.clip(position, 0, length - 1), length)
    share = reads.astype(kind) / (in_bin if only is None else 1)
    high_weight = t * share
    low, high = (np.where(reads, cell, low[:, :, :1]) for cell in (low, high))
    return low, high, share - high_weight, high_weight


def _ragged(counts: Array) -> tuple[Array, Array]:
    """Lists of the given lengths, one after the other: whose list each entry is in, and where.

    [2, 0, 3] gives owners [0, 0, 2, 2, 2] and places [0, 1, 0, 1, 2].
    """
    owner = np.repeat(np.arange(len(counts)), counts)
    return owner, np.arange(len(owner)) - (np.cumsum(counts) - counts)[owner]
