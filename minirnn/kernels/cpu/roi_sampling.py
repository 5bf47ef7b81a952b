"""Sampling the bins of many regions by sparse matrices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minirnn.backend import Array
from minirnn.kernels.cpu.channels import cells_first, in_channel_blocks, store
from minirnn.kernels.cpu.layout import nchw_of, nhwc_of
from minirnn.kernels.cpu.roi_matrix import sampling_matrix
from minirnn.kernels.cpu.walk import walk
from minirnn.kernels.table import kernel
from minirnn.ops.roi_regions import Side
from minirnn.ops.roi_sampling import sample_regions


@kernel(sample_regions, "cpu", reason="one sparse matrix for all regions, its rows on all cores")
def sample_regions_by_matrix(
    features: Array,
    rows: Side,
    columns: Side,
    image_index: Array,
    bins: tuple[int, int],
    reduce: str,
) -> tuple[Array, Callable[[Array], Array]]:
    """`minirnn.ops.roi_sampling.sample_regions`."""
    if len(image_index) == 0:
        nothing = np.zeros((0, features.shape[1], *bins), features.dtype)
        return nothing, lambda dy: np.zeros_like(features)
    pool = _mean if reduce == "mean" else _maximum
    return pool(features, rows, columns, image_index, bins)


def _mean(
    features: Array, rows: Side, columns: Side, image_index: Array, bins: tuple[int, int]
) -> tuple[Array, Callable[[Array], Array]]:
    matrix = sampling_matrix(rows, columns, image_index, bins, features.shape, features.dtype)
    cells = nhwc_of(features)
    pooled = _product(matrix, cells.reshape(-1, cells.shape[3]))
    shape = cells.shape

    def gradient(dy: Array) -> Array:
        dx = _product(matrix.T.tocsr(), nhwc_of(dy).reshape(-1, shape[3]))
        return nchw_of(dx.reshape(shape))

    return nchw_of(pooled.reshape(len(image_index), *bins, shape[3])), gradient


def _product(matrix: Any, cells: Array) -> Array:
    """A sparse matrix (rows, places) times (places, C), its rows shared out among the cores."""
    out = np.empty((matrix.shape[0], cells.shape[1]), cells.dtype)

    def work(part: slice) -> None:
        out[part] = matrix[part] @ cells

    walk(work, len(out), most=None, least=64)
    return out


def _maximum(
    features: Array, rows: Side, columns: Side, image_index: Array, bins: tuple[int, int]
) -> tuple[Array, Callable[[Array], Array]]:
    """One sample of every bin at a time, so that the samples never stand in memory together."""
    in_region = np.arange(bins[0] * bins[1])
    steps = []  # for each sample: which rows of the result have it, and the matrix that reads it
    for i in range(int(rows.samples.max())):
        for j in range(int(columns.samples.max())):
            (regions,) = np.nonzero((rows.samples > i) & (columns.samples > j))
            if len(regions) == 0:
                continue
            matrix = sampling_matrix(
                Side(*(a[regions] for a in rows)),
                Side(*(a[regions] for a in columns)),
                image_index[regions],
                bins,
                features.shape,
                features.dtype,
                sample=(i, j),
            )
            bin_rows = (regions[:, None] * len(in_region) + in_region).ravel()
            # A slice is a view, where a list of rows would copy.
            steps.append((slice(None) if len(regions) == len(image_index) else bin_rows, matrix))
    pooled = np.zeros((len(image_index), features.shape[1], *bins), features.dtype)

    def forward(block: slice) -> None:
        cells = cells_first(features, block)
        best = np.zeros((len(image_index) * len(in_region), cells.shape[1]), cells.dtype)
        for step, (bin_rows, matrix) in enumerate(steps):
            value = matrix @ cells
            # Every region that is not empty has the first sample, which has nothing to beat yet.
            best[bin_rows] = value if step == 0 else np.maximum(best[bin_rows], value)
        store(pooled, block, best)

    in_channel_blocks(forward, features)

    def gradient(dy: Array) -> Array:
        dx = np.empty_like(features)

        def backward(block: slice) -> None:
            cells, best = cells_first(features, block), cells_first(pooled, block)
            remaining, total = cells_first(dy, block).copy(), np.zeros_like(cells)
            for bin_rows, matrix in steps:  # of equal samples, the first takes the gradient
                wins = (matrix @ cells) == best[bin_rows]
                total += matrix.T @ (remaining[bin_rows] * wins)
                remaining[bin_rows] = remaining[bin_rows] * ~wins
            store(dx, block, total)

        in_channel_blocks(backward, features)
        return dx

    return pooled, gradient
