"""RoIAlign: sample the feature map inside the region itself, and round nothing."""

from __future__ import annotations

from minirnn.autograd.tensor import differentiable
from minirnn.backend import Array
from minirnn.ops.roi_regions import aligned_sides, bins_of, check_regions
from minirnn.ops.roi_sampling import sample_regions


@differentiable(check=check_regions)
def roi_align(
    features: Array,
    boxes: Array,
    image_index: Array,
    *,
    output_size: int | tuple[int, int] = (7, 7),
    spatial_scale: float,
    sampling_ratio: int = 2,
    aligned: bool = False,
    reduce: str = "mean",
) -> tuple[Array, tuple]:
    """Cut each region in equal bins and read the features at a few exact points in every bin.

    Neither the region nor its bins are rounded to cells: a point (x, y) between the centres of four
    cells reads their bilinear interpolation,

        out[r, c, i, j] = mean over the bin's points of  Σ_v Σ_u  F[c, v, u] · k(y - v) · k(x - u)
        k(d) = max(0, 1 - |d|)

    where the region, on the grid of the feature map, starts at x1 · spatial_scale (- ½ if aligned).

    Args:
        features: (N, C, H, W).
        boxes: (R, 4) x1, y1, x2, y2 in pixels of the image. Constants: no gradient flows to them.
        image_index: (R,) int, the image (0…N-1) that each box is in.
        output_size: bins (vertically, horizontally); one number stands for both.
        spatial_scale: cells of the feature map per pixel of the image, 1/16 at stride 16.
        sampling_ratio: points along one side of a bin, so that a bin has its square; 0 takes as
            many as the bin has cells, rounded up, separately for each box.
        aligned: whether the centre of cell i stands at i + ½, where it is. False is the older way
            that torchvision's public weights (and ONNX up to opset 15) expect: centres at i, so that
            what is read lies half a cell to the lower right; sides below one cell count as one.
            With True an empty box has no points: its output and its gradient are 0.
        reduce: "mean" over the points of a bin, or "max" (the gradient goes to the winning point).

    Returns:
        (R, C, output_size), of the type of `features`. A point outside of the map by up to one cell
        reads the border's cell, one farther out reads 0.

    Raises:
        InputError: a shape, type, image_index or setting that does not fit; it is named.

    Source: He et al., "Mask R-CNN", 2017, section 3. The half cell: detectron2's ROIAlign.
    """
    bins = bins_of(output_size)
    rows, columns = aligned_sides(boxes, spatial_scale, bins, sampling_ratio, aligned)
    pooled, gradient = sample_regions(features, rows, columns, image_index, bins, reduce)
    return pooled, (gradient, None, None)
