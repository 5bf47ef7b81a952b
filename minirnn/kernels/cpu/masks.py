"""Masks: cropped and pasted over the pixels of their boxes only; run lengths over their own columns."""

from __future__ import annotations

import numpy as np

from minirnn.backend import Array, scatter_add
from minirnn.kernels.cpu.convolution import on_host
from minirnn.kernels.cpu.roi_matrix import readings
from minirnn.kernels.cpu.walk import walk
from minirnn.kernels.table import kernel
from minirnn.masks.crop import crop
from minirnn.masks.paste import paste, place, weights_within, with_border
from minirnn.masks.rle import run_lengths
from minirnn.ops.roi_regions import Side, aligned_sides


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
    for g in np.unique(gt_index).tolist():
        members = np.flatnonzero(gt_index == g)
        sides = aligned_sides(boxes[members], 1.0, (size, size), 0, aligned)
        (top, rows), (left, columns) = (
            _bin_weights(side, size, length)
            for side, length in zip(sides, masks.shape[1:], strict=True)
        )
        part = masks[g, top : top + rows.shape[2], left : left + columns.shape[2]]
        read = rows.reshape(-1, rows.shape[2]) @ part.astype(boxes.dtype)
        targets[members] = read.reshape(len(members), size, -1) @ columns.swapaxes(1, 2)
    return targets.clip(0, 1)


def _bin_weights(side: Side, bins: int, length: int) -> tuple[int, Array]:
    """The first pixel that any region reads along one axis, and what each bin reads from there on.

    Returns:
        first, and weights (R, bins, pixels).
    """
    low, high, low_weight, high_weight = readings(side, bins, length)
    first, last = int(low.min()), int(high.max()) + 1
    weights = np.zeros((*low.shape[:2], last - first), low_weight.dtype)
    row = np.arange(weights.size, step=last - first).reshape(-1, bins, 1) - first
    flat = weights.reshape(-1)
    scatter_add(flat, (row + low).ravel(), low_weight.ravel())
    scatter_add(flat, (row + high).ravel(), high_weight.ravel())
    return first, weights


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
            rows = weights_within(ys, i, np.arange(tops[i], bottoms[i]), mask_probabilities)
            columns = weights_within(xs, i, np.arange(lefts[i], rights[i]), mask_probabilities)
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
