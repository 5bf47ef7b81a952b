"""RoIPool: round the region and its bins to whole cells, and take the maximum of each bin."""

from __future__ import annotations

import numpy as np

from minirnn.autograd.tensor import differentiable
from minirnn.backend import Array, to_host, xp_of
from minirnn.ops.roi_regions import bins_of, check_regions


@differentiable(check=check_regions)
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
    xp, bins = xp_of(features), bins_of(output_size)
    sides = bin_edges(boxes, spatial_scale, bins, features.shape)
    top, bottom, left, right = (to_host(edge) for edge in sides)
    images, channel = to_host(image_index), xp.arange(features.shape[1])
    pooled = xp.zeros((len(boxes), len(channel), *bins), features.dtype)
    winners = []  # of each bin that has cells: its index, image, and row and column for each channel
    for r, i, j in np.ndindex(len(boxes), *bins):
        rows, columns = slice(top[r, i], bottom[r, i]), slice(left[r, j], right[r, j])
        cells = features[images[r], :, rows, columns]
        if cells.size:
            place = cells.reshape(len(channel), -1).argmax(axis=1)
            y, x = rows.start + place // cells.shape[2], columns.start + place % cells.shape[2]
            pooled[r, :, i, j] = features[images[r], channel, y, x]
            winners.append((r, i, j, images[r], y, x))

    def gradient(dy: Array) -> Array:
        dx = xp.zeros(features.shape, dy.dtype)
        for r, i, j, image, y, x in winners:
            dx[image, channel, y, x] += dy[r, :, i, j]
        return dx

    return pooled, (gradient, None, None)


def quantised(boxes: Array, spatial_scale: float) -> tuple[Array, Array]:
    """The regions in whole cells: first cell (R, 2) and number of cells (R, 2), x before y."""
    xp = xp_of(boxes)
    corners = boxes * spatial_scale
    whole = xp.trunc(corners)
    whole = whole + xp.sign(corners) * (xp.abs(corners - whole) >= 0.5)
    return whole[:, :2], xp.maximum(whole[:, 2:] - whole[:, :2] + 1, 1)


def bin_edges(
    boxes: Array, spatial_scale: float, bins: tuple[int, int], shape: tuple[int, ...]
) -> tuple[Array, Array, Array, Array]:
    """Top and bottom (R, bins[0]), left and right (R, bins[1]) of all bins, in cells."""
    first, size = quantised(boxes, spatial_scale)
    top, bottom = _edges_along(first[:, 1], size[:, 1], bins[0], shape[2])
    return top, bottom, *_edges_along(first[:, 0], size[:, 0], bins[1], shape[3])


def _edges_along(first: Array, size: Array, bins: int, length: int) -> tuple[Array, Array]:
    """First cell (R, bins) of every bin, and the one after the last, cut at the map's border."""
    xp = xp_of(first)
    step = (size / bins)[:, None]
    number = xp.arange(bins).astype(first.dtype)
    start = first[:, None] + xp.floor(number * step)
    stop = first[:, None] + xp.ceil((number + 1) * step)
    start, stop = (xp.clip(edge, 0, length).astype(np.intp) for edge in (start, stop))
    return start, stop
