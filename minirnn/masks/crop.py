"""The mask branch's targets: each proposal's view of its ground-truth mask."""

from __future__ import annotations

import math

import numpy as np

from minirnn.backend import Array, scatter_add, to_host, xp_of
from minirnn.errors import InputError


def crop(
    masks: Array, boxes: Array, gt_index: Array, size: int = 28, *, aligned: bool = False
) -> Array:
    """The part of a ground-truth mask that a proposal sees, resampled to size x size.

    It is RoIAlign of the mask with as many samples a bin as the bin has pixels: with
    n = ceil(extent / size) samples a bin along each axis,

        y(i, k) = y1 + (i + (k + 1/2) / n) (y2 - y1) / size, and x(j, l) likewise,
        target[i, j] = mean over k, l of the mask read bilinearly at (y(i, k), x(j, l)).

    A bilinear reading is a row weighting times a column weighting, and so is the mean over a grid
    of them: target = A @ mask @ B.T, with A (size, H) and B (size, W) that depend on the box only.
    The proposals that share a ground truth share the first of the two matrix products, and only
    the part of the mask under them is touched.

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
        InputError: a shape is wrong, or an index is not in 0…G-1.

    Source: He et al., Mask R-CNN (arXiv 1703.06870), section 3, "Mask Representation" and RoIAlign.
    """
    xp = xp_of(masks, boxes, gt_index)
    _check(masks, boxes, gt_index, size)
    targets = xp.zeros((len(boxes), size, size), dtype=boxes.dtype)
    if len(boxes) == 0:
        return targets
    height, width = masks.shape[1:]
    # Box corners steer Python's loop and the slices: a few numbers, moved to the host once.
    index, corners = to_host(gt_index), to_host(boxes)
    if index.min() < 0 or index.max() >= len(masks):
        raise InputError(
            f"gt_index holds {index.min()}…{index.max()}; there are {len(masks)} masks"
        )
    if not np.isfinite(corners).all():
        raise InputError("boxes holds a number that is not finite")
    for g in np.unique(index).tolist():
        members = np.flatnonzero(index == g)
        near = corners[members].astype(np.float64)
        top, bottom = _span(near[:, 1], near[:, 3], height)
        left, right = _span(near[:, 0], near[:, 2], width)
        members = xp.asarray(members)
        own = boxes[members]
        rows = _axis_weights(own[:, 1], own[:, 3], size, top, bottom, height, aligned)
        columns = _axis_weights(own[:, 0], own[:, 2], size, left, right, width, aligned)
        part = masks[g, top:bottom, left:right].astype(boxes.dtype)
        read = (rows.reshape(-1, bottom - top) @ part).reshape(len(own), size, right - left)
        targets[members] = read @ columns.swapaxes(1, 2)
    return xp.clip(targets, 0, 1)  # n times 1/n may exceed 1 by a rounding error


def _span(start: np.ndarray, stop: np.ndarray, length: int) -> tuple[int, int]:
    """The pixels of one axis that any of the boxes can read, with a margin for rounding."""
    low = min(max(math.floor(start.min()) - 2, 0), length - 1)
    high = max(min(math.floor(max(stop.max(), start.max() + 1)) + 3, length), low + 1)
    return low, high


def _axis_weights(
    start: Array, stop: Array, size: int, low: int, high: int, length: int, aligned: bool
) -> Array:
    """(R, size, high - low): how much each bin reads of each pixel low…high-1, along one axis."""
    xp, dtype = xp_of(start), start.dtype
    if aligned:
        start, stop = start - 0.5, stop - 0.5
        extent = stop - start
    else:
        extent = xp.maximum(stop - start, 1)
    n = xp.maximum(xp.ceil(extent / size), 0)[:, None, None]
    safe = xp.maximum(n, 1)
    step = (extent / size)[:, None, None]
    k = xp.arange(max(int(n.max()), 1), dtype=dtype)
    bins = xp.arange(size, dtype=dtype)[:, None]
    at = start[:, None, None] + bins * step + (k + 0.5) * step / safe  # (R, size, most samples)
    # Up to a pixel outside the mask its border value counts; further away there is nothing.
    reads = (k < n) & (at >= -1) & (at <= length)
    share = reads.astype(dtype) / safe
    at = xp.clip(at, 0, length - 1)
    pixel = xp.floor(at)
    fraction = at - pixel
    first = xp.clip(pixel.astype(np.intp) - low, 0, high - low - 1)
    second = xp.minimum(first + 1, high - low - 1)
    row = xp.arange(len(start) * size).reshape(len(start), size, 1) * (high - low)
    weights = xp.zeros(len(start) * size * (high - low), dtype=dtype)
    scatter_add(weights, (row + first).reshape(-1), (share * (1 - fraction)).reshape(-1))
    scatter_add(weights, (row + second).reshape(-1), (share * fraction).reshape(-1))
    return weights.reshape(len(start), size, high - low)


def _check(masks: Array, boxes: Array, gt_index: Array, size: int) -> None:
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
    if len(boxes) > 0 and 0 in masks.shape[1:]:
        raise InputError(f"masks has shape {masks.shape}; H and W should be at least 1")
