"""RoIWarp: round the region like RoIPool, then sample it bilinearly like RoIAlign."""

from __future__ import annotations

from minirnn.autograd.tensor import differentiable
from minirnn.backend import Array
from minirnn.ops.roi_pool import quantised
from minirnn.ops.roi_regions import Side, bins_of, check_regions
from minirnn.ops.roi_sampling import sample_regions


@differentiable(check=check_regions)
def roi_warp(
    features: Array,
    boxes: Array,
    image_index: Array,
    *,
    output_size: int | tuple[int, int] = (7, 7),
    spatial_scale: float,
    sampling_ratio: int = 2,
    reduce: str = "mean",
) -> tuple[Array, tuple]:
    """Round each region to whole cells, cut it in equal bins and sample those bilinearly.

    It stands between the two others, to show what makes RoIAlign better: it interpolates as
    RoIAlign does, and it rounds the region as RoIPool does. The cells

        first = round(x1 · spatial_scale) … last = round(x2 · spatial_scale)     (at least one)

    are read as the stretch from first to last + 1, in which the centre of cell i stands at i + ½,
    so that the rounding is all that separates it from `roi_align(..., aligned=True)`.

    Args:
        features: (N, C, H, W).
        boxes: (R, 4) x1, y1, x2, y2 in pixels of the image. Constants: no gradient flows to them
            (the paper's layer has one; in Mask R-CNN's comparison and here proposals are fixed).
        image_index: (R,) int, the image (0…N-1) that each box is in.
        output_size: bins (vertically, horizontally); one number stands for both.
        spatial_scale: cells of the feature map per pixel of the image, 1/16 at stride 16.
        sampling_ratio: points along one side of a bin; 0 takes as many as the bin has cells,
            rounded up, separately for each box.
        reduce: "mean" over the points of a bin, or "max" (the gradient goes to the winning point).

    Returns:
        (R, C, output_size), of the type of `features`. A point outside of the map by up to one cell
        reads the border's cell, one farther out reads 0.

    Raises:
        InputError: a shape, type, image_index or setting that does not fit; it is named.

    Source: Dai et al., "Instance-aware Semantic Segmentation via Multi-task Network Cascades",
    2016, section 3.2; rounded as He et al., "Mask R-CNN", 2017, sections 3 and 4.2 describe it.
    """
    bins = bins_of(output_size)
    first, size = quantised(boxes, spatial_scale)
    columns, rows = (
        Side.of(first[:, k] - 0.5, size[:, k], bins[1 - k], sampling_ratio) for k in (0, 1)
    )
    pooled, gradient = sample_regions(features, rows, columns, image_index, bins, reduce)
    return pooled, (gradient, None, None)
