"""The mask branch's targets: each proposal's view of its ground-truth mask."""

from __future__ import annotations

from typing import Any

from minirnn.backend import Array, xp_of
from minirnn.errors import InputError
from minirnn.kernels.table import operation
from minirnn.ops.roi_align import roi_align
from minirnn.require import require


def _check(masks: Array, boxes: Array, gt_index: Array, size: int = 28, **_: Any) -> None:
    if masks.ndim != 3:
        raise InputError(f"masks has shape {masks.shape}; it should be (G, H, W)")
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise InputError(f"boxes has shape {boxes.shape}; it should be (R, 4)")
    if boxes.dtype.kind != "f":
        raise InputError(f"boxes has dtype {boxes.dtype}; it should be float32 or float64")
    if gt_index.shape != (len(boxes),) or gt_index.dtype.kind not in "iu":
        raise InputError(
            f"gt_index has shape {gt_index.shape} and dtype {gt_index.dtype}; "
            f"it should be ({len(boxes)},) whole numbers"
        )
    if size < 1:
        raise InputError(f"size is {size}; it should be at least 1")
    if len(boxes) == 0:
        return
    if 0 in masks.shape[1:]:
        raise InputError(f"masks has shape {masks.shape}; H and W should be at least 1")
    require(
        ((gt_index >= 0) & (gt_index < len(masks))).all(),
        lambda: InputError(
            f"gt_index holds {int(gt_index.min())}…{int(gt_index.max())}; there are {len(masks)} masks"
        ),
    )
    require(
        xp_of(boxes).isfinite(boxes).all(),
        lambda: InputError("boxes holds a number that is not finite"),
    )


@operation(check=_check)
def crop(
    masks: Array, boxes: Array, gt_index: Array, size: int = 28, *, aligned: bool = False
) -> Array:
    """The part of a ground-truth mask that a proposal sees, resampled to size x size.

    It is RoIAlign of the mask with as many samples a bin as the bin has pixels: with
    n = ceil(extent / size) samples a bin along each axis,

        y(i, k) = y1 + (i + (k + 1/2) / n) (y2 - y1) / size, and x(j, l) likewise,
        target[i, j] = mean over k, l of the mask read bilinearly at (y(i, k), x(j, l)).

    The result is not rounded to 0 and 1: a rounded one loses up to half a cell at each border.

    Args:
        masks: (G, H, W) bool (or numbers in [0, 1]), in the image.
        boxes: (R, 4) float, the proposals, in pixels of the same image.
        gt_index: (R,) int, which of the G masks each proposal is to learn.
        size: cells along each side of the target.
        aligned: False reads pixel i at coordinate i and widens boxes to at least one pixel, as
            torchvision does (its targets sit half a pixel to the upper left); True reads it at its
            centre i + 1/2, as Detectron2 does, and gives zeros for a box of no area.

    Returns:
        (R, size, size) of the boxes' dtype, in [0, 1].

    Raises:
        InputError: a shape or type is wrong, an index is not in 0…G-1, or a box is not finite.

    Source: He et al., Mask R-CNN (arXiv 1703.06870), section 3, "Mask Representation" and RoIAlign.
    """
    xp = xp_of(masks, boxes, gt_index)
    settings = {"output_size": size, "spatial_scale": 1.0, "sampling_ratio": 0, "aligned": aligned}
    targets, _ = roi_align.raw(masks[:, None].astype(boxes.dtype), boxes, gt_index, **settings)
    return xp.clip(targets[:, 0], 0, 1)  # n times 1/n may exceed 1 by a rounding error
