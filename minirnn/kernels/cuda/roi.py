"""Regions on a GPU: read from all levels of a pyramid in one launch, and the way back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minirnn.backend import Array, xp_of
from minirnn.kernels.cuda.launch import addresses, atomics, run, suits
from minirnn.kernels.table import kernel
from minirnn.ops.roi_align import roi_align
from minirnn.ops.roi_regions import Side, aligned_sides, bins_of, check_regions
from minirnn.ops.roi_sampling import sample_regions as plain_sample_regions
from minirnn.roi.levels import SPATIAL_SCALES, assign_levels
from minirnn.roi.levels import pyramid_roi as plain_pyramid_roi

FILE = "roi_sample.cu"


def _samples(features: Array, rows: Side, *_: Any) -> bool:
    return suits(features, rows.start)


@kernel(
    plain_sample_regions,
    "cuda",
    reason="one launch for all regions, a thread a bin and channel",
    applies=_samples,
)
def sample_regions(
    features: Array,
    rows: Side,
    columns: Side,
    image_index: Array,
    bins: tuple[int, int],
    reduce: str,
) -> tuple[Array, Callable[[Array], Array]]:
    """`minirnn.ops.roi_sampling.sample_regions` by roi_sample.cu."""
    level = xp_of(features).zeros(len(image_index), np.int64)
    pooled, (gradient,) = _sampled([features], level, image_index, rows, columns, bins, reduce)
    return pooled, gradient


def _pools(*inputs: Array, operation: Callable = roi_align, **_: Any) -> bool:
    *maps, boxes, _index = inputs
    return operation is roi_align and suits(*maps, boxes)


@kernel(
    plain_pyramid_roi,
    "cuda",
    reason="all levels in one launch, and no list of the regions of each level to wait for",
    applies=_pools,
)
def pyramid_roi(
    *inputs: Array,
    operation: Callable = roi_align,
    output_size: int | tuple[int, int] = (7, 7),
    spatial_scales: Sequence[float] = SPATIAL_SCALES,
    lowest: int = 2,
    sampling_ratio: int = 2,
    aligned: bool = False,
    reduce: str = "mean",
    **rules: Any,
) -> tuple[Array, tuple]:
    """`minirnn.roi.pyramid_roi` of `roi_align` by roi_sample.cu."""
    *maps, boxes, image_index = inputs
    check_regions(maps[0], boxes, image_index)
    xp, bins = xp_of(*inputs), bins_of(output_size)
    level = assign_levels(boxes, lowest=lowest, highest=lowest + len(maps) - 1, **rules)
    scales = xp.asarray(np.array(spatial_scales, boxes.dtype))[level][:, None]  # of each region
    rows, columns = aligned_sides(boxes, scales, bins, sampling_ratio, aligned)
    pooled, gradients = _sampled(maps, level, image_index, rows, columns, bins, reduce)
    return pooled, (*gradients, None, None)


def _sampled(
    maps: Sequence[Array],
    level: Array,
    image_index: Array,
    rows: Side,
    columns: Side,
    bins: tuple[int, int],
    reduce: str,
) -> tuple[Array, tuple[Callable[[Array], Array], ...]]:
    """The pooled regions, and for each map what carries a gradient back to it."""
    xp, dtype = xp_of(*maps), maps[0].dtype
    maps = [xp.ascontiguousarray(features) for features in maps]
    count, (images, channels), largest = len(image_index), maps[0].shape[:2], int(reduce == "max")
    sizes = xp.asarray(np.array([features.shape[2:] for features in maps], np.int64))
    of_sides = [part for side in (rows, columns) for part in side]
    regions = [
        xp.ascontiguousarray(part if part.dtype.kind == "f" else part.astype(np.int64))
        for part in (level, image_index, *of_sides)
    ]
    pooled = xp.empty((count, channels, *bins), dtype)
    winner = xp.empty(pooled.shape if largest else 1, np.int32)
    ends = (images, channels, *bins, largest)
    run(
        FILE, "sample_forward", pooled.size, addresses(xp, maps), sizes, *regions, pooled, winner,
        pooled.size, *ends, dtype=dtype,
    )  # fmt: skip

    def gathered(number: int, dy: Array) -> Array:
        dx = xp.empty(maps[number].shape, dtype)
        run(
            FILE, "sample_backward_gather", dx.size, dx, number, *dx.shape[2:], *regions,
            xp.ascontiguousarray(dy), winner, dx.size, count, channels, *bins, largest, dtype=dtype,
        )  # fmt: skip
        return dx

    def added(number: int, dy: Array) -> Array:
        dx = xp.zeros(maps[number].shape, dtype)
        own = xp.where(
            regions[0] == number, regions[1], -1
        )  # regions of other levels have no image
        alone = xp.zeros_like(regions[0])
        run(
            FILE, "sample_backward_atomic", dy.size, addresses(xp, [dx]), sizes[number:], alone, own,
            *regions[2:], xp.ascontiguousarray(dy), winner, dy.size, *ends, dtype=dtype,
        )  # fmt: skip
        return dx

    back = added if atomics() else gathered
    return pooled, tuple(lambda dy, number=number: back(number, dy) for number in range(len(maps)))
