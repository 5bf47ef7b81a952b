"""The columns of a map: the patch under the kernel, for each place where the kernel stands.

A convolution is then a matrix product, patches (places, kh·kw·C) times weights (kh·kw·C, O) ("im2col";
Chellapilla et al., "High performance convolutional neural networks for document processing", 2006). The
patches hold each number of the map up to kh·kw times, so that making them costs as much as the product
if it is done carelessly. Two things keep it cheap here:

- They are made for a few rows of the output at a time, and are still in the cache when they are
  multiplied.
- The map lies with its channels last (see `minirnn.layout`): a row of a patch is one contiguous run of
  kw·C numbers, whatever the stride.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from minirnn import parallel
from minirnn.backend import Array, xp_of

if TYPE_CHECKING:
    from minirnn.autograd.correlation import Geometry

_CACHE_ELEMENTS = 1 << 18  # patches of one block: 1 MiB of float32, a usual L2 cache


class Columns:
    """The patches of a map, a block of images and output rows at a time.

    Args:
        cells: (N, H, W, C).
        geometry: where the kernel stands.
        least: a block has at least so many patches where there are so many: with fewer, reading the
            other factor of the product takes longer than the product.

    Attributes:
        length: numbers in a patch, kh·kw·C.
    """

    def __init__(self, cells: Array, geometry: Geometry, least: int = 256) -> None:
        self.xp = xp_of(cells)
        n, channels = len(cells), cells.shape[3]
        rows, width = geometry.output
        (kh, kw), (sy, sx), (ey, ex) = geometry.kernel, geometry.stride, geometry.dilation
        self.length = channels * kh * kw
        windows = self.xp.lib.stride_tricks.sliding_window_view(
            pad(cells, geometry.padding), (ey * (kh - 1) + 1, ex * (kw - 1) + 1), axis=(1, 2)
        )
        # (N, H', W', C, kh, kw) → (N, H', W', kh, kw, C), all of it a view
        self.windows = windows[:, ::sy, ::sx, :, ::ey, ::ex].transpose(0, 1, 2, 4, 5, 3)
        if self.xp is np:
            fitting = _CACHE_ELEMENTS // max(self.length * width, 1)
            # ... and where there are few, each core has its share of them.
            share = -(-rows * n // parallel.thread_count()) if n else rows
            self.rows = max(min(max(fitting, -(-least // width)), rows, share), 1)
            self.places: list[tuple[Any, int]] = [
                (slice(i, i + 1), r) for i in range(n) for r in range(0, rows, self.rows)
            ]
        else:  # a GPU wants one large product
            self.rows, self.places = rows, [(slice(None), 0)] if n else []

    def __len__(self) -> int:
        return len(self.places)

    def blocks(self, start: int, stop: int) -> Iterator[tuple[tuple[slice, slice], Array]]:
        """Yield (images, rows) and their patches (places, kh·kw·C); the array is reused."""
        space = None
        for images, first in self.places[start:stop]:
            place = (images, slice(first, first + self.rows))
            windows = self.windows[place]
            if space is None or space.shape != windows.shape:
                space = self.xp.empty(windows.shape, windows.dtype)
            space[...] = windows
            yield place, space.reshape(-1, self.length)


def pad(cells: Array, padding: tuple[int, int]) -> Array:
    """(N, H, W, C) with rings of zeros around the maps."""
    (py, px), (height, width) = padding, cells.shape[1:3]
    if (py, px) == (0, 0):
        return cells
    return pad_to(cells, (py, px), (height + 2 * py, width + 2 * px))


def pad_to(cells: Array, origin: tuple[int, int], size: tuple[int, int]) -> Array:
    """(N, H, W, C) laid on maps of zeros of another size, at a place (y, x)."""
    xp = xp_of(cells)
    (y, x), (n, height, width, channels) = origin, cells.shape
    padded = xp.zeros((n, *size, channels), cells.dtype)

    def lay(start: int, stop: int) -> None:
        for image in range(n):
            padded[image, y + start : y + stop, x : x + width] = cells[image, start:stop]

    if xp is np:
        parallel.for_chunks(lay, height, at_least=4)
    else:
        padded[:, y : y + height, x : x + width] = cells
    return padded
