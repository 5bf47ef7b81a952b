"""The columns of a map: the patch under the kernel, for each place where the kernel stands.

A convolution is then a matrix product, weights (O, C·kh·kw) times columns (C·kh·kw, places) ("im2col";
Chellapilla et al., "High performance convolutional neural networks for document processing", 2006). The
columns hold each number of the map up to kh·kw times, so that making them costs as much as the product
if it is done carelessly. Two things keep it cheap here:

- They are made for a few rows of the output at a time, and are still in the cache when they are
  multiplied.
- A row of columns is copied as one contiguous run. With stride 1, what tap (u, v) sees is the padded
  map from (u, v) on. If one lets the run go on over the row ends, a few columns start in the padding;
  they are computed and thrown away. With stride s, tap (u, v) sees every s-th row and column only.
  So the map is first sorted into its s·s *phases* (for stride 2: even and odd rows, even and odd
  columns), and what a tap sees is a run of one phase.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from minirnn import parallel
from minirnn.backend import Array, xp_of

if TYPE_CHECKING:
    from minirnn.autograd.convolution import Geometry

_CACHE_ELEMENTS = 1 << 17  # columns of one block: 512 KiB of float32, half of a usual L2 cache


class Columns:
    """The columns of a map, a block of images and output rows at a time.

    Args:
        x: (N, C, H, W).
        geometry: where the kernel stands.
        least: a block has at least so many columns where there are so many: with fewer, reading the
            other factor of the product takes longer than the product.

    Attributes:
        width: columns of one output row, those that are thrown away included.
        length: numbers in a column, C·kh·kw.
    """

    def __init__(self, x: Array, geometry: Geometry, least: int = 256) -> None:
        self.xp = xp_of(x)
        self.geometry = geometry
        n, channels = x.shape[:2]
        rows = geometry.output[0]
        self.phases = _phases(x, geometry)
        self.width = self.phases.shape[-1]
        self.length = channels * int(np.prod(geometry.kernel))
        if self.xp is np:
            fitting = _CACHE_ELEMENTS // max(self.length * self.width, 1)
            self.rows = min(max(fitting, -(-least // self.width)), rows)
            self.places: list[tuple[Any, int]] = [
                (i, r) for i in range(n) for r in range(0, rows, self.rows)
            ]
        else:  # a GPU wants one large product
            self.rows, self.places = rows, [(slice(None), 0)] if n else []

    def __len__(self) -> int:
        return len(self.places)

    def blocks(self, start: int, stop: int) -> Iterator[tuple[slice, slice, Array]]:
        """Yield (images, rows, columns (n, C·kh·kw, rows·width)); the array is reused."""
        xp, geometry, phases = self.xp, self.geometry, self.phases
        (kh, kw), (sy, sx), (ey, ex) = geometry.kernel, geometry.stride, geometry.dilation
        n, channels = (1 if xp is np else phases.shape[2]), phases.shape[3]
        space = xp.empty((n, channels, kh, kw, self.rows * self.width), phases.dtype)
        for image, first in self.places[start:stop]:
            images = slice(image, image + 1) if isinstance(image, int) else image
            rows = slice(first, min(first + self.rows, geometry.output[0]))
            count = (rows.stop - rows.start) * self.width
            columns = space[..., :count]
            if count != space.shape[-1]:
                columns = xp.empty(columns.shape, columns.dtype)
            flat = phases[:, :, images].reshape(sy, sx, n, channels, -1)
            for u in range(kh):
                for v in range(kw):
                    (down, a), (right, b) = divmod(u * ey, sy), divmod(v * ex, sx)
                    at = (first + down) * self.width + right
                    columns[:, :, u, v] = flat[a, b, :, :, at : at + count]
            yield images, rows, columns.reshape(n, self.length, -1)

    def widened(self, dy: Array) -> Array:
        """Rows of dy as (n, O, rows·width), zero where a column starts in the padding."""
        if dy.shape[3] == self.width:
            return dy.reshape(*dy.shape[:2], -1)
        wide = self.xp.zeros((*dy.shape[:3], self.width), dy.dtype)
        wide[..., : dy.shape[3]] = dy
        return wide.reshape(*dy.shape[:2], -1)


def _phases(x: Array, geometry: Geometry) -> Array:
    """(sy, sx, N, C, H', W'): [a, b, :, :, i, j] is the padded map at (i·sy + a, j·sx + b)."""
    xp = xp_of(x)
    n, channels, height, width = x.shape
    (sy, sx), (py, px) = geometry.stride, geometry.padding
    # One row more than there is, for the runs that end behind the last row.
    shape = (sy, sx, n, channels, -(-(height + 2 * py) // sy) + 1, -(-(width + 2 * px) // sx))
    phases = xp.zeros(shape, x.dtype)

    def sort(start: int, stop: int) -> None:
        for index in range(start, stop):
            i, c = divmod(index, pieces)
            part = slice(c * step, min((c + 1) * step, channels)) if xp is np else slice(None)
            images = slice(i, i + 1) if xp is np else slice(None)
            for a in range(sy):
                for b in range(sx):
                    source = x[images, part, (a - py) % sy :: sy, (b - px) % sx :: sx]
                    # The map's first row (a - py) mod s is row py + that of the padded one.
                    top, left = (py + (a - py) % sy) // sy, (px + (b - px) % sx) // sx
                    goal = phases[a, b, images, part]
                    goal[:, :, top : top + source.shape[2], left : left + source.shape[3]] = source

    step = -(-channels // parallel.thread_count())
    pieces = -(-channels // max(step, 1))
    if xp is np:
        parallel.for_chunks(sort, n * pieces)
    elif n:
        pieces = 1
        sort(0, 1)
    return phases
