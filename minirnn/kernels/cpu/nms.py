"""Greedy non-maximum suppression by blocks of boxes, one group after the other."""

from __future__ import annotations

import numpy as np

from minirnn.backend import by_falling_score
from minirnn.boxes.nms import batched_nms, nms, rounded_down
from minirnn.kernels.cpu.boxes import iou_of_sides, row_by_row, sides_of
from minirnn.kernels.cpu.walk import blocks
from minirnn.kernels.table import kernel

# NMS compares so many boxes with all that are left at a time. More waste tests on boxes that are dropped
# anyway, fewer spend their time in calls: 64 was fastest for 1000 to 5000 boxes, and is the most that
# `_kept_of_block` takes ...
_BLOCK = 64
# ... and with so many of those at a time, for the sake of memory.
_COLUMNS = 4096


@kernel(
    nms,
    "cpu",
    reason="many boxes against all that are left, without a table of all pairs",
)
def nms_by_blocks(boxes: np.ndarray, scores: np.ndarray, iou_threshold: float) -> np.ndarray:
    """`minirnn.boxes.nms`."""
    order = by_falling_score(scores).astype(np.intp, copy=False)
    with row_by_row():
        return _suppress(boxes, order, iou_threshold)


@kernel(
    batched_nms,
    "cpu",
    reason="blocks of boxes; stops with the best boxes where they are enough for at_most",
)
def batched_nms_by_blocks(
    boxes: np.ndarray,
    scores: np.ndarray,
    groups: np.ndarray,
    iou_threshold: float,
    at_most: int | None = None,
) -> np.ndarray:
    """`minirnn.boxes.batched_nms`."""
    order = by_falling_score(scores).astype(np.intp, copy=False)
    at_most = len(order) if at_most is None else at_most
    # Whether a box is kept depends only on those before it. So the best that are kept of all are the
    # best that are kept of the first few, if they are enough; mostly half of them are.
    first = 2 * at_most
    while len(kept := _suppress_groups(boxes, groups, order[:first], iou_threshold)) < at_most:
        if first >= len(order):
            break
        first *= 2
    return kept[:at_most]


def _suppress(boxes: np.ndarray, order: np.ndarray, iou_threshold: float) -> np.ndarray:
    """The part of `order` (indices, best first) that greedy NMS keeps.

    A block of the best boxes that are left is compared with all that are left. That settles which of the
    block are kept, and what those drop behind it.
    """
    limit = rounded_down(iou_threshold, boxes.dtype)
    kept = []
    sides = sides_of(boxes.take(order, axis=0))
    while len(order) > 1:
        block, left = sides[:, :_BLOCK], len(order)
        clash = np.empty((block.shape[1], left), bool)
        for (part,) in blocks((left,), (_COLUMNS,)):
            np.greater(iou_of_sides(block, sides[:, part]), limit, out=clash[:, part])
        own = _kept_of_block(clash[:, :_BLOCK])
        kept.append(order.take(own))
        if left <= _BLOCK:
            return np.concatenate(kept)
        dropped = np.logical_or.reduce(clash.take(own, axis=0))
        dropped[:_BLOCK] = True
        stay = np.flatnonzero(~dropped)
        order, sides = order.take(stay), sides.take(stay, axis=1)
    return np.concatenate([*kept, order])  # a single box that is left is kept


def _suppress_groups(
    boxes: np.ndarray, groups: np.ndarray, order: np.ndarray, iou_threshold: float
) -> np.ndarray:
    """The part of `order` that is kept where each group is suppressed by itself."""
    by_group = order[np.argsort(groups[order], kind="stable")]  # falling score inside a group
    bounds = np.flatnonzero(np.diff(groups[by_group])) + 1
    kept = np.zeros(len(boxes), dtype=bool)
    with row_by_row():
        for members in np.split(by_group, bounds):
            kept[_suppress(boxes, members, iou_threshold)] = True
    return order[kept[order]]


def _kept_of_block(clash: np.ndarray) -> np.ndarray:
    """The rows that greedy NMS keeps, given which pairs clash: (n, n) bool, n up to 64."""
    # A row of the table becomes one Python integer whose bit j says "clashes with j": to drop all
    # of them is then a single `|`, far cheaper than an array operation on so few elements.
    table = np.zeros((len(clash), 64), bool)
    table[:, : len(clash)] = clash
    words = np.packbits(table, axis=1, bitorder="little").view("<u8")
    dropped = 0
    kept = []
    for i, word in enumerate(words[:, 0].tolist()):
        if not dropped >> i & 1:
            kept.append(i)
            dropped |= word
    return np.array(kept, dtype=np.intp)
