"""RoIPool: round the region and its bins to whole cells, and take the maximum of each bin."""

from __future__ import annotations

import numpy as np

from minirnn.autograd.tensor import differentiable
from minirnn.backend import Array, scatter_add, xp_of
from minirnn.kernels.cpu.rectangles import Rectangles
from minirnn.ops.roi_regions import bins_of, cells_first, check_regions, in_channel_blocks, store


@differentiable
def roi_pool(
    features: Array,
    boxes: Array,
    image_index: Array,
    *,
    output_size: int | tuple[int, int] = (7, 7),
    spatial_scale: float,
) -> tuple[Array, tuple]:
    """Round each region to whole cells, cut it in bins of whole cells, keep each bin's maximum.

        first = round(x1 · spatial_scale)    last = round(x2 · spatial_scale)    (½ away from 0)
        size  = max(last - first + 1, 1)     the last cell belongs to the region
        bin j = first + floor(j · size / bins) … first + ceil((j + 1) · size / bins) - 1

    Neighbouring bins may share a cell. What is left of a bin after cutting at the map's border may
    be nothing; such a bin is 0.

    Args:
        features: (N, C, H, W).
        boxes: (R, 4) x1, y1, x2, y2 in pixels of the image. Constants: no gradient flows to them.
        image_index: (R,) int, the image (0…N-1) that each box is in.
        output_size: bins (vertically, horizontally); one number stands for both.
        spatial_scale: cells of the feature map per pixel of the image, 1/16 at stride 16.

    Returns:
        (R, C, output_size), of the type of `features`. The gradient goes to the cell that held the
        maximum; of equal cells, to the first in reading order.

    Raises:
        InputError: a shape, type, image_index or setting that does not fit; it is named.

    Source: Girshick, "Fast R-CNN", 2015, section 2.1. The rounding is that of its Caffe code.
    """
    check_regions(features, boxes, image_index)
    rows, columns = bins_of(output_size)
    xp = xp_of(features)
    _, channels, height, width = features.shape
    pooled = xp.zeros((len(boxes), channels, rows, columns), features.dtype)
    first, size = quantised(boxes, spatial_scale)
    top, bottom = (edge[:, :, None] for edge in _bin_edges(first[:, 1], size[:, 1], rows, height))
    left, right = (edge[:, None, :] for edge in _bin_edges(first[:, 0], size[:, 0], columns, width))
    rectangles = Rectangles(image_index[:, None, None], top, bottom, left, right, features.shape)

    def forward(block: slice) -> None:
        store(pooled, block, rectangles.maximum(cells_first(features, block)))

    in_channel_blocks(forward, features)

    def gradient(dy: Array) -> Array:
        dx = xp.empty_like(features)

        def backward(block: slice) -> None:
            cells = cells_first(features, block)
            place = rectangles.places(cells)[rectangles.filled]
            total = xp.zeros(cells.size, dx.dtype)
            flat = place * cells.shape[1] + xp.arange(cells.shape[1])
            dy_filled = cells_first(dy, block)[rectangles.filled]
            scatter_add(total, flat.ravel(), dy_filled.ravel())
            store(dx, block, total.reshape(cells.shape))

        in_channel_blocks(backward, features)
        return dx

    return pooled, (gradient, None, None)


def quantised(boxes: Array, spatial_scale: float) -> tuple[Array, Array]:
    """The regions in whole cells: first cell (R, 2) and number of cells (R, 2), x before y."""
    xp = xp_of(boxes)
    corners = boxes * spatial_scale
    whole = xp.trunc(corners)
    whole = whole + xp.sign(corners) * (xp.abs(corners - whole) >= 0.5)
    return whole[:, :2], xp.maximum(whole[:, 2:] - whole[:, :2] + 1, 1)


def _bin_edges(first: Array, size: Array, bins: int, length: int) -> tuple[Array, Array]:
    """First cell (R, bins) of every bin, and the one after the last, cut at the map's border."""
    xp = xp_of(first)
    step = (size / bins)[:, None]
    number = xp.arange(bins).astype(first.dtype)
    start = first[:, None] + xp.floor(number * step)
    stop = first[:, None] + xp.ceil((number + 1) * step)
    start, stop = (xp.clip(edge, 0, length).astype(np.int64) for edge in (start, stop))
    return start, stop
