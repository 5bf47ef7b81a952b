"""Masks: targets and pasting over the pixels of their boxes only, run lengths over their own columns."""

from __future__ import annotations

import math

import numpy as np

from minirnn.backend import Array, scatter_add
from minirnn.kernels.cpu.convolution import on_host
from minirnn.kernels.cpu.walk import walk
from minirnn.kernels.table import kernel
from minirnn.masks.crop import crop
from minirnn.masks.paste import paste, place, weights_of, with_border
from minirnn.masks.rle import run_lengths
from minirnn.ops.interpolation import neighbours


@kernel(
    crop,
    "cpu",
    reason="the mean of a bin's readings is two matrix products; proposals of one object share the first",
    applies=on_host,
)
def crop_by_axes(
    masks: Array, boxes: Array, gt_index: Array, size: int = 28, *, aligned: bool = False
) -> Array:
    """`minirnn.masks.crop`: A @ mask @ B.T, where A (size, H) and B (size, W) depend on the box alone."""
    targets = np.zeros((len(boxes), size, size), boxes.dtype)
    height, width = masks.shape[1:]
    for g in np.unique(gt_index).tolist():
        members = np.flatnonzero(gt_index == g)
        own = boxes[members]
        top, bottom = _span(own[:, 1], own[:, 3], height)
        left, right = _span(own[:, 0], own[:, 2], width)
        rows = _axis_weights(own[:, 1], own[:, 3], size, top, bottom, height, aligned)
        columns = _axis_weights(own[:, 0], own[:, 2], size, left, right, width, aligned)
        part = masks[g, top:bottom, left:right].astype(boxes.dtype)
        read = (rows.reshape(-1, bottom - top) @ part).reshape(len(own), size, right - left)
        targets[members] = read @ columns.swapaxes(1, 2)
    return targets.clip(0, 1)


def _span(start: Array, stop: Array, length: int) -> tuple[int, int]:
    """The pixels of one axis that any of the boxes can read, with a margin for rounding."""
    low = min(max(math.floor(start.min()) - 2, 0), length - 1)
    high = max(min(math.floor(max(stop.max(), start.max() + 1)) + 3, length), low + 1)
    return low, high


def _axis_weights(
    start: Array, stop: Array, size: int, low: int, high: int, length: int, aligned: bool
) -> Array:
    """(R, size, high - low): how much each bin reads of each pixel low…high-1, along one axis."""
    dtype = start.dtype
    if aligned:
        start, stop = start - 0.5, stop - 0.5
    extent = stop - start if aligned else np.maximum(stop - start, 1)
    n = np.maximum(np.ceil(extent / size), 0)[:, None, None]
    safe = np.maximum(n, 1)
    step = (extent / size)[:, None, None]
    k = np.arange(max(int(n.max()), 1), dtype=dtype)
    bins = np.arange(size, dtype=dtype)[:, None]
    at = start[:, None, None] + bins * step + (k + 0.5) * step / safe  # (R, size, most samples)
    # Up to a pixel outside the mask its border value counts; further away there is nothing.
    share = ((k < n) & (at >= -1) & (at <= length)) / safe
    first, second, t = neighbours(at.clip(0, length - 1), length)
    first, second = (index.clip(low, high - 1) - low for index in (first, second))
    row = np.arange(len(start) * size).reshape(len(start), size, 1) * (high - low)
    weights = np.zeros(len(start) * size * (high - low), dtype)
    scatter_add(weights, (row + first).ravel(), (share * (1 - t)).ravel())
    scatter_add(weights, (row + second).ravel(), (share * t).ravel())
    return weights.reshape(len(start), size, high - low)


@kernel(
    paste,
    "cpu",
    reason="only the pixels of each box, the boxes shared out among the cores",
)
def paste_near_boxes(
    mask_probabilities: Array,
    boxes: Array,
    height: int,
    width: int,
    *,
    threshold: float = 0.5,
    mode: str = "continuous",
) -> Array:
    """`minirnn.masks.paste`."""
    if mode == "legacy":
        mask_probabilities, boxes = with_border(mask_probabilities, boxes)
    masks = np.zeros((len(boxes), height, width), bool)
    cells = mask_probabilities.shape[2]
    ys, xs = (place(boxes[:, k], boxes[:, k + 2], cells, mode) for k in (1, 0))
    tops, lefts = (side.first.clip(0).astype(np.intp).tolist() for side in (ys, xs))
    bottoms = ys.last.clip(0, height).astype(np.intp).tolist()
    rights = xs.last.clip(0, width).astype(np.intp).tolist()

    def work(part: slice) -> None:
        for i in range(part.start, part.stop):
            rows = weights_of(ys, i, np.arange(tops[i], bottoms[i]), mask_probabilities)
            columns = weights_of(xs, i, np.arange(lefts[i], rights[i]), mask_probabilities)
            read = rows @ mask_probabilities[i] @ columns.T
            inside = read > threshold if mode == "legacy" else read >= threshold
            masks[i, tops[i] : bottoms[i], lefts[i] : rights[i]] = inside

    walk(work, len(boxes), most=None, least=8)
    return masks


@kernel(
    run_lengths,
    "cpu",
    reason="turning to column order is the slow part: only from the first column with a pixel to the last",
)
def run_lengths_of_columns(mask: np.ndarray) -> np.ndarray:
    """`minirnn.masks.rle.run_lengths`."""
    height, width = mask.shape
    columns = np.flatnonzero(mask.any(axis=0))
    if len(columns) == 0:
        return np.array([height * width], dtype=np.int64)
    first, last = int(columns[0]), int(columns[-1]) + 1
    flat = np.zeros((last - first) * height + 2, dtype=bool)  # off before and after
    flat[1:-1].reshape(last - first, height)[...] = mask[:, first:last].T
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + first * height
    # The change to off at the very end of the image is where the counts end anyway.
    ends = [] if changes[-1] == height * width else [height * width]
    return np.diff(np.concatenate([[0], changes, ends]).astype(np.int64))
