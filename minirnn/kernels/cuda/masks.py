"""Masks on a GPU: all of an image pasted, or all targets cut, in one launch."""

from __future__ import annotations

from typing import Any

import numpy as np

from minirnn.backend import Array, xp_of
from minirnn.kernels.cuda.launch import run, suits
from minirnn.kernels.table import kernel
from minirnn.masks.crop import crop as plain_crop
from minirnn.masks.paste import paste as plain_paste
from minirnn.masks.paste import place, with_border
from minirnn.ops.roi_regions import aligned_sides

_PIXELS = 128  # of a row, in a block
_MOST = 65535  # blocks along y and z


def _pastes(probabilities: Array, boxes: Array, height: int, width: int, **_: Any) -> bool:
    return suits(probabilities) and max(len(boxes), height) <= _MOST


@kernel(
    plain_paste,
    "cuda",
    reason="one launch, a thread a pixel, instead of 20 for each mask",
    applies=_pastes,
)
def paste(
    mask_probabilities: Array,
    boxes: Array,
    height: int,
    width: int,
    *,
    threshold: float = 0.5,
    mode: str = "continuous",
) -> Array:
    """`minirnn.masks.paste` by paste.cu."""
    xp, legacy = xp_of(mask_probabilities, boxes), mode == "legacy"
    if legacy:
        mask_probabilities, boxes = with_border(mask_probabilities, boxes)
    masks = xp.empty((len(boxes), height, width), bool)
    cells = mask_probabilities.shape[2]
    sides = (place(boxes[:, k], boxes[:, k + 2], cells, mode) for k in (1, 0))
    places = [xp.ascontiguousarray(part) for side in sides for part in side[:4]]
    run(
        "paste.cu", "paste", masks.size, xp.ascontiguousarray(mask_probabilities), *places, masks,
        height, width, cells, int(legacy), float(threshold), int(legacy),
        dtype=mask_probabilities.dtype, grid=(-(-width // _PIXELS), height, len(boxes)), block=_PIXELS,
    )  # fmt: skip
    return masks


def _crops(masks: Array, boxes: Array, gt_index: Array, *_: Any, **__: Any) -> bool:
    return suits(boxes) and masks.dtype == bool


@kernel(
    plain_crop,
    "cuda",
    reason="one launch, a thread a cell; the masks are read as they are, a byte a pixel",
    applies=_crops,
)
def crop(
    masks: Array, boxes: Array, gt_index: Array, size: int = 28, *, aligned: bool = False
) -> Array:
    """`minirnn.masks.crop` by crop.cu."""
    xp = xp_of(masks, boxes, gt_index)
    targets = xp.empty((len(boxes), size, size), boxes.dtype)
    rows, columns = aligned_sides(boxes, 1.0, (size, size), 0, aligned)
    sides = [
        xp.ascontiguousarray(part if part.dtype.kind == "f" else part.astype(np.int64))
        for side in (rows, columns)
        for part in side
    ]
    run(
        "crop.cu", "crop", targets.size, xp.ascontiguousarray(masks), gt_index.astype(np.int64), *sides,
        targets, targets.size, *masks.shape, size, dtype=boxes.dtype,
    )  # fmt: skip
    return targets
