"""What the RoI operations share: checks of their input, and the sides of regions."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minirnn.backend import Array, xp_of
from minirnn.errors import InputError
from minirnn.require import require


def check_regions(features: Array, boxes: Array, image_index: Array, **_: Any) -> None:
    """Refuse regions that do not fit the feature map.

    Raises:
        InputError: naming the argument, its shape or content, and what it should be.
    """
    xp = xp_of(features, boxes, image_index)
    if features.ndim != 4 or features.dtype.kind != "f":
        raise InputError(
            f"features has shape {features.shape} and type {features.dtype}; "
            "it should be (N, C, H, W) of floats"
        )
    if boxes.ndim != 2 or boxes.shape[1] != 4 or boxes.dtype.kind != "f":
        raise InputError(
            f"boxes has shape {boxes.shape} and type {boxes.dtype}; it should be (R, 4) of floats"
        )
    if image_index.shape != (len(boxes),) or image_index.dtype.kind not in "iu":
        raise InputError(
            f"image_index has shape {image_index.shape} and type {image_index.dtype}; "
            f"it should be ({len(boxes)},) of integers, one for each box"
        )
    if len(boxes) == 0:
        return
    if min(features.shape[2:]) == 0:
        raise InputError(f"features has shape {features.shape}: a map without cells has no regions")
    require(
        xp.isfinite(boxes).all(),
        lambda: InputError("boxes holds NaN or infinity; all coordinates should be finite"),
    )
    require(
        ((image_index >= 0) & (image_index < len(features))).all(),
        lambda: InputError(
            f"image_index runs from {int(image_index.min())} to {int(image_index.max())}; "
            f"it should be within 0 and {len(features) - 1}, as features has {len(features)} images"
        ),
    )


def bins_of(output_size: int | tuple[int, int]) -> tuple[int, int]:
    """Bins (vertically, horizontally); one number stands for both.

    Raises:
        InputError: a number below 1.
    """
    rows, columns = (output_size, output_size) if isinstance(output_size, int) else output_size
    if rows < 1 or columns < 1:
        raise InputError(
            f"output_size is {output_size}; it should be at least 1 in both directions"
        )
    return rows, columns


class Side(NamedTuple):
    """One side (vertical or horizontal) of every region, on the grid of the feature map.

    Attributes:
        start: (R,) where the regions start. Whole numbers are the centres of cells.
        size: (R,) their lengths in cells.
        samples: (R,) int, samples along one bin; 0 where a region is empty.
    """

    start: Array
    size: Array
    samples: Array

    @classmethod
    def of(cls, start: Array, size: Array, bins: int, sampling_ratio: int) -> Side:
        """With `sampling_ratio` samples a bin or, where that is 0, ceil(size of a bin in cells)."""
        if sampling_ratio < 0:
            raise InputError(f"sampling_ratio is {sampling_ratio}; it should be 0 or more")
        xp = xp_of(start)
        if sampling_ratio > 0:
            samples = xp.full(size.shape, sampling_ratio, dtype=np.intp)
        else:
            samples = xp.ceil(size / bins).astype(np.intp)
        return cls(start, size, xp.where(size > 0, samples, 0))


def aligned_sides(
    boxes: Array, spatial_scale: float, bins: tuple[int, int], sampling_ratio: int, aligned: bool
) -> tuple[Side, Side]:
    """The vertical and the horizontal sides of boxes (R, 4) in pixels; arguments as in `roi_align`."""
    corners = boxes * spatial_scale - (0.5 if aligned else 0.0)
    start, size = corners[:, :2], corners[:, 2:] - corners[:, :2]
    if not aligned:
        size = xp_of(boxes).maximum(size, 1)
    columns, rows = (Side.of(start[:, k], size[:, k], bins[1 - k], sampling_ratio) for k in (0, 1))
    return rows, columns
