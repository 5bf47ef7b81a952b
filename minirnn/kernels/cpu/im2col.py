"""The columns of a map: the patch under the kernel, for each place where the kernel stands.

A convolution is then a matrix product, patches (places, kh·kw·C) times weights (kh·kw·C, O) ("im2col";
Chellapilla et al., "High performance convolutional neural networks for document processing", 2006). The
patches hold each number of the map up to kh·kw times, so that making them costs as much as the product
if it is done carelessly. Two things keep it cheap here:

- They are made for a few rows of the output at a time, and are still in a cache when they are
  multiplied.
- They are copied in long runs. The map lies with its channels last (see `kernels.cpu.layout`): a row of a
  patch is one contiguous run of kw·C numbers, whatever the stride. Where that is short, as in an image
  with its three colours, the map is sorted into planes, and a run is what a tap sees of a whole row.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from minirnn.backend import Array
from minirnn.kernels.cpu.layout import nchw_of
from minirnn.kernels.cpu.walk import blocks, walk
from minirnn.kernels.threads import thread_count

if TYPE_CHECKING:
    from minirnn.kernels.cpu.correlation import Geometry

_CACHE_ELEMENTS = 1 << 19  # numbers in the patches of one block: 2 MiB of float32
_COPIED = 1 << 19  # numbers below which a thread takes longer to start than to copy them
_SHORT = 32  # numbers in a run; of shorter ones, most of a copy's time goes into starting them


class Patches:
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
        self.dtype = cells.dtype
        n, channels = len(cells), cells.shape[3]
        rows, width = geometry.output
        self.patch = (*geometry.kernel, channels)
        self.length = math.prod(self.patch)
        self.by_plane = by_plane(geometry, cells)
        # Views of the map that together hold all patches, (N, H', W', kh, kw, C) or a part of kw.
        self.views = (_by_plane if self.by_plane else _by_place)(cells, geometry)
        fitting = _CACHE_ELEMENTS // max(self.length * width, 1)
        # ... and where there are few, each core has its share of them.
        share = -(-rows * n // thread_count())
        step = max(min(max(fitting, -(-least // width)), share), 1)
        self.places = blocks((n, rows), (1, step))

    def __len__(self) -> int:
        return len(self.places)

    def blocks(self, part: slice) -> Iterator[tuple[tuple[slice, ...], Array]]:
        """Yield (images, rows) and their patches (places, kh·kw·C); the array is reused."""
        space = None
        for place in self.places[part]:
            views = [(part, view[place]) for part, view in self.views]
            size = views[0][1].shape[:3]
            if space is None or space.shape[:3] != size:
                space = self._space(size)
            for part, view in views:
                space[..., part, :] = view
            yield place, space.reshape(-1, self.length)

    def _space(self, size: tuple[int, ...]) -> Array:
        """Room for patches (n, H', W', kh, kw, C), in memory patch after patch or tap after tap."""
        if self.by_plane:
            return np.empty((*self.patch, *size), self.dtype).transpose(3, 4, 5, 0, 1, 2)
        return np.empty((*size, *self.patch), self.dtype)


def by_plane(geometry: Geometry, cells: Array) -> bool:
    """Whether patches are copied tap by tap, which works however the map lies in memory."""
    run = geometry.kernel[1] * cells.shape[3]
    return run < _SHORT <= geometry.output[1]


def _by_place(cells: Array, geometry: Geometry) -> list[tuple[Any, Array]]:
    """All patches as one view of the padded map: places with their channels side by side."""
    (kh, kw), (sy, sx), (ey, ex) = geometry.kernel, geometry.stride, geometry.dilation
    windows = np.lib.stride_tricks.sliding_window_view(
        pad(cells, geometry.padding), (ey * (kh - 1) + 1, ex * (kw - 1) + 1), axis=(1, 2)
    )
    # (N, H', W', C, kh, kw) → (N, H', W', kh, kw, C)
    return [(slice(None), windows[:, ::sy, ::sx, :, ::ey, ::ex].transpose(0, 1, 2, 4, 5, 3))]


def _by_plane(cells: Array, geometry: Geometry) -> list[tuple[Any, Array]]:
    """A view for each of the kernel's columns: what it sees of a row of the map is one run.

    With stride s a tap sees every s-th number of a row. So these are sorted by the remainder of x / s.
    """
    (kh, kw), (sy, sx), (ey, ex) = geometry.kernel, geometry.stride, geometry.dilation
    (py, px), (height, width) = geometry.padding, geometry.input
    maps, steps = nchw_of(cells), -(-(width + 2 * px) // sx)
    planes = np.zeros((*maps.shape[:2], sx, height + 2 * py, steps), cells.dtype)

    def sort(rows: slice) -> None:
        for remainder in range(sx):
            first = (remainder - px) % sx
            chosen = maps[:, :, rows, first::sx]
            column = (first + px) // sx
            goal = planes[:, :, remainder, py + rows.start : py + rows.stop]
            goal[..., column : column + chosen.shape[3]] = chosen

    walk(sort, height, most=None, least=16)
    windows = np.lib.stride_tricks.sliding_window_view(planes, ey * (kh - 1) + 1, axis=3)
    windows = windows[:, :, :, ::sy, :, ::ey]  # (N, C, s, H', W / s, kh)
    views = []
    for v in range(kw):
        first, remainder = divmod(v * ex, sx)
        seen = windows[:, :, remainder, :, first : first + geometry.output[1]]
        views.append((slice(v, v + 1), seen.transpose(0, 2, 3, 4, 1)[..., None, :]))
    return views


def pad(cells: Array, padding: tuple[int, int]) -> Array:
    """(N, H, W, C) with rings of zeros around the maps."""
    (py, px), (height, width) = padding, cells.shape[1:3]
    if (py, px) == (0, 0):
        return cells
    return pad_to(cells, (py, px), (height + 2 * py, width + 2 * px))


def pad_to(cells: Array, origin: tuple[int, int], size: tuple[int, int]) -> Array:
    """(N, H, W, C) laid on maps of zeros of another size, at a place (y, x)."""
    (y, x), (n, height, width, channels) = origin, cells.shape
    padded = np.zeros((n, *size, channels), cells.dtype)

    def lay(rows: slice) -> None:
        padded[:, y + rows.start : y + rows.stop, x : x + width] = cells[:, rows]

    walk(lay, height, numbers=n * width * channels, most=None, least=_COPIED)
    return padded
