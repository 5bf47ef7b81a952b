"""RoIPool on a GPU: all bins in one launch, and the way back in another."""

from __future__ import annotations

from typing import Any

import numpy as np

from minirnn.backend import Array, xp_of
from minirnn.kernels.cuda.launch import run, suits
from minirnn.kernels.table import kernel
from minirnn.ops.roi_pool import bin_edges
from minirnn.ops.roi_pool import roi_pool as plain_roi_pool
from minirnn.ops.roi_regions import bins_of

FILE = "roi_pool.cu"


def _applies(features: Array, boxes: Array, *_: Any, **__: Any) -> bool:
    return suits(features)


@kernel(
    plain_roi_pool,
    "cuda",
    reason="one launch, a thread a bin and channel, instead of several for each bin",
    applies=_applies,
)
def roi_pool(
    features: Array,
    boxes: Array,
    image_index: Array,
    *,
    output_size: int | tuple[int, int] = (7, 7),
    spatial_scale: float,
) -> tuple[Array, tuple]:
    """`minirnn.ops.roi_pool.roi_pool` by roi_pool.cu."""
    xp, bins = xp_of(features, boxes, image_index), bins_of(output_size)
    (images, *size), dtype, count = features.shape, features.dtype, len(boxes)  # size: C, H, W
    edges = bin_edges(boxes, spatial_scale, bins, features.shape)
    regions = [xp.ascontiguousarray(each.astype(np.int64)) for each in (image_index, *edges)]
    pooled = xp.empty((count, size[0], *bins), dtype)
    winner = xp.empty(pooled.shape, np.int64)
    run(
        FILE, "pool_forward", pooled.size, xp.ascontiguousarray(features), *regions, pooled, winner,
        pooled.size, images, *size, *bins, dtype=dtype,
    )  # fmt: skip

    def gradient(dy: Array) -> Array:
        dx = xp.empty(features.shape, dtype)
        run(
            FILE, "pool_backward", dx.size, xp.ascontiguousarray(dy), winner, *regions, dx, dx.size, count,
            *size, *bins, dtype=dtype,
        )  # fmt: skip
        return dx

    return pooled, (gradient, None, None)
