"""Where the numbers of a map lie in memory: the channels of one place side by side.

A map has the shape (N, C, H, W), as everywhere in this field. In memory it lies as (N, H, W, C),
"channels last": the array is a transposed view. Convolution, pooling and RoIAlign always take whole
places with all their channels. Stored like this, a place is one run of C numbers, which a processor
copies and adds at full speed however small the map is, and a 1×1 convolution is a matrix product as
it stands. Stored plane by plane, the same numbers lie H·W apart.

Weights are treated alike. A kernel has the shape (O, C, kh, kw) and lies as (kh, kw, C, O), the outputs
side by side: that is the right factor of the product of patches and weights, as it stands.

Nobody has to know: every operation takes an array (N, C, H, W) or (O, C, kh, kw) that lies in any way and
gives one back. `nhwc_of` and `hwio_of` are where another way of lying is paid for, with one copy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minirnn.backend import Array, xp_of
from minirnn.kernels.cpu import parallel

_BLOCK = 1 << 15  # numbers that are transposed at a time, so that they stay in the cache


def nhwc_of(maps: Array) -> Array:
    """(N, C, H, W) → the same numbers as (N, H, W, C), contiguous; no copy if they lie like that."""
    cells = maps.transpose(0, 2, 3, 1)
    if not isinstance(maps, np.ndarray):
        return xp_of(maps).ascontiguousarray(cells)
    if cells.flags.c_contiguous:
        return cells
    n, height, width, channels = cells.shape
    out = np.empty(cells.shape, cells.dtype)
    step = max(_BLOCK // max(width * channels, 1), 1)

    def copy(images: slice, rows: slice) -> None:
        out[images, rows] = cells[images, rows]

    in_rows(np, copy, n, height, step)
    return out


def planes_of(maps: Array) -> Array:
    """(N, C, H, W) plane by plane, contiguous: the order in which a flattened map is numbered."""
    return contiguous(maps)


def hwio_of(weight: Array) -> Array:
    """(O, C, kh, kw) → the same numbers as (kh, kw, C, O), contiguous; linear: (O, C) → (C, O)."""
    axes = (*range(2, weight.ndim), 1, 0)
    return contiguous(weight.transpose(axes), axis=weight.ndim - 2)


def oihw_of(taps: Array) -> Array:
    """(kh, kw, C, O) → (O, C, kh, kw), or (C, O) → (O, C): a view."""
    return taps.transpose(taps.ndim - 1, taps.ndim - 2, *range(taps.ndim - 2))


def contiguous(array: Array, axis: int = 0) -> Array:
    """`ascontiguousarray`, with the copy, if there is one, shared out among the cores along an axis."""
    if not isinstance(array, np.ndarray) or array.flags.c_contiguous:
        return xp_of(array).ascontiguousarray(array)
    out = np.empty(array.shape, array.dtype)

    def work(start: int, stop: int) -> None:
        part = (*(slice(None),) * axis, slice(start, stop))
        out[part] = array[part]

    parallel.for_chunks(work, array.shape[axis])
    return out


def rows_of_images(start: int, stop: int, rows: int, most: int) -> Iterator[tuple[slice, slice]]:
    """Cut the rows start…stop-1 of many images, counted through, in blocks (images, rows).

    Args:
        start: the first row.
        stop: behind the last row.
        rows: that one image has.
        most: rows of a block; a block stays within one image.
    """
    while start < stop:
        image, first = divmod(start, rows)
        count = min(most, stop - start, rows - first)
        yield slice(image, image + 1), slice(first, first + count)
        start += count


def in_rows(xp: Any, work: Callable[[slice, slice], None], n: int, rows: int, most: int) -> None:
    """Call `work(images, rows)` for blocks that cover all rows of all images.

    On the host: parts of an image, or a few small images, on all cores. On a GPU: all at once.

    Args:
        xp: the library of the arrays that `work` works on.
        work: does everything for some rows of some images.
        n: number of images.
        rows: that one image has.
        most: rows of a block.
    """
    if xp is not np:
        work(slice(None), slice(0, rows))
        return
    if most >= 2 * rows > 0:
        images = most // rows

        def whole(start: int, stop: int) -> None:
            for first in range(start, stop, images):
                work(slice(first, min(first + images, stop)), slice(0, rows))

        parallel.for_chunks(whole, n, at_least=max(images // 4, 1))
        return

    def share(start: int, stop: int) -> None:
        for images, part in rows_of_images(start, stop, rows, most):
            work(images, part)

    parallel.for_chunks(share, n * rows, at_least=most)


def nchw_of(cells: Array) -> Array:
    """(N, H, W, C) → (N, C, H, W), a view."""
    return cells.transpose(0, 3, 1, 2)
