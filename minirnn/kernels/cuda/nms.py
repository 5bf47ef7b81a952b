"""Non-maximum suppression on a GPU: overlaps as bits, and the walk over them there too."""

from __future__ import annotations

from typing import Any

import numpy as np

from minirnn.backend import Array, by_falling_score, xp_of
from minirnn.boxes.nms import batched_nms as plain_batched_nms
from minirnn.boxes.nms import nms as plain_nms
from minirnn.boxes.nms import rounded_down
from minirnn.kernels.cuda.launch import run, suits
from minirnn.kernels.table import kernel

_WORD = 64  # boxes whose overlaps with one are a number


def _applies(boxes: Array, *_: Any, **__: Any) -> bool:
    return suits(boxes)


@kernel(
    plain_nms,
    "cuda",
    reason="a bit for each pair, and the walk on the device: waits once, for how many are kept",
    applies=_applies,
)
def nms(boxes: Array, scores: Array, iou_threshold: float) -> Array:
    """`minirnn.boxes.nms` by nms.cu."""
    groups = xp_of(boxes).zeros(len(boxes), np.int64)
    return _kept(boxes, scores, groups, iou_threshold, len(boxes))


@kernel(
    plain_batched_nms,
    "cuda",
    reason="all groups in two launches; boxes of different groups are not compared",
    applies=_applies,
)
def batched_nms(
    boxes: Array, scores: Array, groups: Array, iou_threshold: float, at_most: int | None = None
) -> Array:
    """`minirnn.boxes.batched_nms` by nms.cu."""
    return _kept(boxes, scores, groups, iou_threshold, len(boxes) if at_most is None else at_most)


def _kept(boxes: Array, scores: Array, groups: Array, threshold: float, at_most: int) -> Array:
    xp, n = xp_of(boxes, scores, groups), len(boxes)
    order = by_falling_score(scores)
    if n == 0 or at_most == 0:
        return order[:0]
    words = -(-n // _WORD)
    ranked = xp.ascontiguousarray(boxes[order])
    bits = xp.empty((n, words), np.uint64)
    run(
        "nms.cu", "overlap_bits", n * words, ranked, groups[order].astype(np.int64), bits, n, words,
        float(rounded_down(threshold, boxes.dtype)), dtype=boxes.dtype,
    )  # fmt: skip
    dropped, kept, total = xp.zeros(words, np.uint64), xp.empty(n, np.int64), xp.empty(1, np.int64)
    run(
        "nms.cu", "walk_bits", 1, bits, dropped, kept, total, n, words, at_most, dtype=boxes.dtype
    )  # one block
    return order[kept[: int(total[0])].astype(order.dtype)]
