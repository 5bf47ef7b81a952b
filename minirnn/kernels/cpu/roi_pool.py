"""RoIPool by a table of maxima, at a cost that does not grow with the size of the regions."""

from __future__ import annotations

import numpy as np

from minirnn.backend import Array, scatter_add
from minirnn.kernels.cpu.channels import cells_first, in_channel_blocks, store
from minirnn.kernels.cpu.rectangles import Rectangles
from minirnn.kernels.table import kernel
from minirnn.ops.roi_pool import bin_edges, roi_pool
from minirnn.ops.roi_regions import bins_of


@kernel(roi_pool, "cpu", reason="maxima of rectangles by doubling, channels in blocks on all cores")
def roi_pool_by_rectangles(
    features: Array,
    boxes: Array,
    image_index: Array,
    *,
    output_size: int | tuple[int, int] = (7, 7),
    spatial_scale: float,
) -> tuple[Array, tuple]:
    """`minirnn.ops.roi_pool.roi_pool`."""
    rows, columns = bins_of(output_size)
    channels = features.shape[1]
    pooled = np.zeros((len(boxes), channels, rows, columns), features.dtype)
    edges = bin_edges(boxes, spatial_scale, (rows, columns), features.shape)
    top, bottom = (edge[:, :, None] for edge in edges[:2])
    left, right = (edge[:, None, :] for edge in edges[2:])
    rectangles = Rectangles(image_index[:, None, None], top, bottom, left, right, features.shape)

    def forward(block: slice) -> None:
        store(pooled, block, rectangles.maximum(cells_first(features, block)))

    in_channel_blocks(forward, features)

    def gradient(dy: Array) -> Array:
        dx = np.empty_like(features)

        def backward(block: slice) -> None:
            cells = cells_first(features, block)
            place = rectangles.places(cells)[rectangles.filled]
            total = np.zeros(cells.size, dx.dtype)
            flat = place * cells.shape[1] + np.arange(cells.shape[1])
            dy_filled = cells_first(dy, block)[rectangles.filled]
            scatter_add(total, flat.ravel(), dy_filled.ravel())
            store(dx, block, total.reshape(cells.shape))

        in_channel_blocks(backward, features)
        return dx

    return pooled, (gradient, None, None)
