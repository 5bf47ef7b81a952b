"""Going through the channels of a map in blocks, on every core."""

from __future__ import annotations

from collections.abc import Callable

from minirnn.backend import Array
from minirnn.kernels.cpu.walk import walk

# 32 float32 are two cache lines, and 32 channels of a map of 200 x 304 cells are 8 MB, most of
# which stays near the core while the matrix picks from it. Measured from 8 to 256: best at 32.
_CHANNELS_AT_ONCE = 32


def in_channel_blocks(work: Callable[[slice], None], features: Array) -> None:
    """Call `work` for blocks of channels that together are all of them, on every core."""
    walk(work, features.shape[1], most=_CHANNELS_AT_ONCE, least=1)


def cells_first(maps: Array, block: slice) -> Array:
    """Some channels of (N, C, H, W) as a matrix (N·H·W, channels), a view where there is one."""
    part = maps[:, block].transpose(0, 2, 3, 1)
    return part.reshape(-1, part.shape[3])


def store(maps: Array, block: slice, matrix: Array) -> None:
    """The reverse of `cells_first`: write a matrix (N·H·W, channels) to some channels of `maps`."""
    n, _, height, width = maps.shape
    maps[:, block] = matrix.reshape(n, height, width, matrix.shape[1]).transpose(0, 3, 1, 2)
