"""What the RoI operations share: checks of their input, and going through channels in blocks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minirnn.backend import Array, xp_of
from minirnn.errors import InputError
from minirnn.kernels.cpu.parallel import for_chunks

# 32 float32 are two cache lines, and 32 channels of a map of 200 x 304 cells are 8 MB, most of
# which stays near the core while the matrix picks from it. Measured from 8 to 256: best at 32.
_CHANNELS_AT_ONCE = 32


def check_regions(features: Array, boxes: Array, image_index: Array) -> None:
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
    if not bool(xp.isfinite(boxes).all()):
        raise InputError("boxes holds NaN or infinity; all coordinates should be finite")
    lowest, highest = int(image_index.min()), int(image_index.max())
    if lowest < 0 or highest >= len(features):
        raise InputError(
            f"image_index runs from {lowest} to {highest}; "
            f"it should be within 0 and {len(features) - 1}, as features has {len(features)} images"
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


def in_channel_blocks(work: Callable[[slice], None], features: Array) -> None:
    """Call `work` for blocks of channels that together are all of them, on every core."""
    channels = features.shape[1]
    if not isinstance(features, np.ndarray):
        work(slice(0, channels))  # a GPU is busiest with everything at once
        return

    def piece(start: int, stop: int) -> None:
        for first in range(start, stop, _CHANNELS_AT_ONCE):
            work(slice(first, min(first + _CHANNELS_AT_ONCE, stop)))

    for_chunks(piece, channels)


def cells_first(maps: Array, block: slice) -> Array:
    """Some channels of (N, C, H, W) as a matrix (N·H·W, channels), a view where there is one."""
    part = maps[:, block].transpose(0, 2, 3, 1)
    return part.reshape(-1, part.shape[3])


def store(maps: Array, block: slice, matrix: Array) -> None:
    """The reverse of `cells_first`: write a matrix (N·H·W, channels) to some channels of `maps`."""
    n, _, height, width = maps.shape
    maps[:, block] = matrix.reshape(n, height, width, matrix.shape[1]).transpose(0, 3, 1, 2)
