"""Drawn calls of the operations on boxes, regions and masks that have kernels.

By the operation's name: a function from a `numpy.random.Generator` to (arrays, settings). One call in a
few is degenerate: no boxes at all, boxes without area, equal boxes, equal scores, an IoU at the threshold.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minirnn.ops.roi_regions import Side

Case = tuple[tuple, dict[str, Any]]


def boxes_of(
    rng: np.random.Generator, count: int, size: float = 60, dtype: Any = None
) -> np.ndarray:
    """(count, 4) boxes, some without area, some the wrong way round, some equal, many on whole pixels."""
    dtype = dtype or (np.float32 if rng.random() < 0.5 else np.float64)
    boxes = rng.uniform(-0.2 * size, size, (count, 4))
    if rng.random() < 0.5:
        boxes = np.round(boxes / 4) * 4
    boxes[:, 2:] = boxes[:, :2] + np.abs(boxes[:, 2:] / 2)
    boxes[rng.random(count) < 0.1, 2] = boxes[0, 0] if count else 0
    if count > 2 and rng.random() < 0.5:
        boxes[1] = boxes[0]
    return boxes.astype(dtype)


def two_sets(rng: np.random.Generator) -> Case:
    """Two sets of boxes, of one dtype or two."""
    n, m = (int(rng.choice([0, 1, 5, 40, 300])) for _ in range(2))
    return (boxes_of(rng, n), boxes_of(rng, m)), {}


def scored(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float]:
    """Boxes, scores with ties, and a threshold that some IoUs are equal to."""
    n = int(rng.choice([0, 1, 2, 30, 64, 65, 200, 700]))
    scores = rng.integers(0, max(n // 2, 1), n) / 7 if rng.random() < 0.5 else rng.random(n)
    threshold = float(rng.choice([0, 0.2, 0.25, 0.3, 0.5, 0.7, 1]))
    return boxes_of(rng, n), scores.astype(np.float32), threshold


def for_nms(rng: np.random.Generator) -> Case:
    """One group of boxes."""
    return scored(rng), {}


def for_batched_nms(rng: np.random.Generator) -> Case:
    """Boxes in groups, and sometimes a limit."""
    boxes, scores, threshold = scored(rng)
    groups = rng.integers(-1, 4, len(boxes))
    at_most = None if rng.random() < 0.3 else int(rng.choice([0, 1, 10, 1000]))
    return (boxes, scores, groups, threshold), {"at_most": at_most}


def maps_of(rng: np.random.Generator, least: int = 1) -> np.ndarray:
    """(N, C, H, W), often with equal values in it, in either order in memory, sometimes no image at all."""
    n, c = int(rng.choice([0, 1, 2])), int(rng.choice([1, 3, 8]))
    shape = (n, *(int(v) for v in rng.integers(least, 14, 2)), c)
    values = rng.integers(-3, 3, shape) if rng.random() < 0.4 else rng.normal(size=shape)
    maps = values.astype(np.float32 if rng.random() < 0.5 else np.float64).transpose(0, 3, 1, 2)
    return np.ascontiguousarray(maps) if rng.random() < 0.3 else maps


def for_pooling(rng: np.random.Generator) -> Case:
    """Windows that overlap or leave gaps, with and without padding and a last window in part."""
    kernel = tuple(int(v) for v in rng.integers(1, 5, 2))
    settings = {
        "kernel": kernel,
        "stride": None if rng.random() < 0.3 else tuple(int(v) for v in rng.integers(1, 5, 2)),
        "padding": tuple(int(rng.integers(0, k // 2 + 1)) for k in kernel),
        "ceil_mode": bool(rng.random() < 0.3),
    }
    return (maps_of(rng, least=4),), settings


def for_mean_pooling(rng: np.random.Generator) -> Case:
    """The same, with padding that counts or does not."""
    arrays, settings = for_pooling(rng)
    return arrays, settings | {"count_include_pad": bool(rng.random() < 0.6)}


def for_nearest(rng: np.random.Generator) -> Case:
    """Larger, smaller, and twice the size."""
    maps = maps_of(rng)
    twice = (2 * maps.shape[2], 2 * maps.shape[3])
    size = twice if rng.random() < 0.4 else tuple(int(v) for v in rng.integers(1, 30, 2))
    return (maps,), {"size": size}


def for_bilinear(rng: np.random.Generator) -> Case:
    """Larger and smaller, after either rule."""
    arrays, settings = for_nearest(rng)
    return arrays, settings | {"align_corners": bool(rng.random() < 0.4)}


def regions(rng: np.random.Generator) -> tuple[tuple, dict[str, Any]]:
    """Maps, boxes on and off them, and the image of each."""
    maps = rng.normal(size=(2, 5, *rng.integers(1, 15, 2)))
    maps = maps.astype(np.float32 if rng.random() < 0.5 else np.float64)
    count = int(rng.choice([0, 1, 12]))
    boxes = boxes_of(rng, count, dtype=maps.dtype)
    settings = {"output_size": tuple(int(n) for n in rng.integers(1, 5, 2)), "spatial_scale": 0.25}
    return (maps, boxes, rng.integers(0, 2, count)), settings


def for_sampling(rng: np.random.Generator) -> Case:
    """The mean or the largest of as many samples as a bin has cells, or of a fixed number."""
    arrays, settings = regions(rng)
    ratio, reduce = int(rng.integers(0, 4)), str(rng.choice(["mean", "max"]))
    return arrays, settings | {"sampling_ratio": ratio, "reduce": reduce}


def for_alignment(rng: np.random.Generator) -> Case:
    """The same, with and without the half cell."""
    arrays, settings = for_sampling(rng)
    return arrays, settings | {"aligned": bool(rng.random() < 0.5)}


def for_sides(rng: np.random.Generator) -> Case:
    """The sides of regions themselves, those without samples among them."""
    (maps, boxes, image_index), settings = regions(rng)
    bins, ratio = settings["output_size"], int(rng.integers(0, 4))
    columns, rows = (
        Side.of(boxes[:, k] / 4, (boxes[:, k + 2] - boxes[:, k]) / 4, bins[1 - k], ratio)
        for k in (0, 1)
    )
    return (maps, rows, columns, image_index, bins, str(rng.choice(["mean", "max"]))), {}


def for_match(rng: np.random.Generator) -> Case:
    """Overlaps of objects with anchors: none of either, equal ones, and some at a threshold."""
    objects, anchors = int(rng.choice([0, 1, 5, 30])), int(rng.choice([0, 1, 40, 9000]))
    quality = rng.random((objects, anchors)).astype(
        np.float32 if rng.random() < 0.5 else np.float64
    )
    if rng.random() < 0.6:
        quality = np.round(quality * 10) / 10
    if objects and rng.random() < 0.3:
        quality[0] = 0  # an object that no anchor touches
    low, high = sorted(float(v) for v in rng.choice([0, 0.3, 0.5, 0.7, 1], 2))
    return (quality, low, high), {"force": bool(rng.random() < 0.5)}


def masks_of(rng: np.random.Generator, count: int, height: int, width: int) -> np.ndarray:
    """(count, H, W) bool: rectangles, speckles, all, and nothing."""
    masks = np.zeros((count, height, width), bool)
    for mask in masks:
        kind = rng.integers(4)
        if kind == 0:
            mask[rng.integers(height) :, : rng.integers(width) + 1] = True
        elif kind == 1:
            mask[...] = rng.random((height, width)) < 0.4
        elif kind == 2:
            mask[...] = True
    return masks


def for_crop(rng: np.random.Generator) -> Case:
    """Proposals on, over and beside masks, several of one mask, boxes without area among them."""
    height, width = (int(n) for n in rng.integers(1, 90, 2))
    count, objects = int(rng.choice([0, 1, 15])), int(rng.integers(1, 4))
    boxes = boxes_of(rng, count, size=90)
    settings = {"size": int(rng.choice([1, 5, 28])), "aligned": bool(rng.random() < 0.5)}
    index = rng.integers(0, objects, count)
    return (masks_of(rng, objects, height, width), boxes, index), settings


def for_paste(rng: np.random.Generator) -> Case:
    """Boxes in, over and beside the image, large, tiny and without area; no image; all cells equal."""
    height, width, cells = (int(rng.choice(n)) for n in ([0, 1, 30, 41], [1, 40], [1, 2, 14, 28]))
    boxes = boxes_of(rng, int(rng.choice([0, 1, 20])), size=60)
    shape = (len(boxes), cells, cells)
    drawn = rng.random(shape) if rng.random() < 0.7 else np.full(shape, 0.5)
    settings = {"mode": str(rng.choice(["continuous", "legacy"]))}
    settings |= {"threshold": float(rng.choice([0.2, 0.5, 1]))}
    return (drawn.astype(boxes.dtype), boxes, height, width), settings


def for_run_lengths(rng: np.random.Generator) -> Case:
    """A mask, sometimes without pixels at all."""
    height, width = (int(rng.choice([0, 1, 2, 17])) for _ in range(2))
    if 0 in (height, width):
        return (np.zeros((height, width), bool),), {}
    return (masks_of(rng, 1, height, width)[0],), {}


CASES: dict[str, Callable[[np.random.Generator], Case]] = {
    "intersection": two_sets,
    "iou": two_sets,
    "match": for_match,
    "crop": for_crop,
    "paste": for_paste,
    "run_lengths": for_run_lengths,
    "nms": for_nms,
    "batched_nms": for_batched_nms,
    "max_pool2d": for_pooling,
    "avg_pool2d": for_mean_pooling,
    "nearest": for_nearest,
    "bilinear": for_bilinear,
    "roi_pool": regions,
    "sample_regions": for_sides,
    "roi_warp": for_sampling,
    "roi_align": for_alignment,
}
