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

from typing import Any

import numpy as np

from minirnn.backend import Array
from minirnn.kernels.cpu.walk import walk

_BLOCK = 1 << 15  # numbers that are transposed at a time, so that they stay in the cache


def nhwc_of(maps: Array) -> Array:
    """(N, C, H, W) → the same numbers as (N, H, W, C), contiguous; no copy if they lie like that."""
    cells = maps.transpose(0, 2, 3, 1)
    if cells.flags.c_contiguous:
        return cells
    n, height, width, channels = cells.shape
    out = np.empty(cells.shape, cells.dtype)

    def copy(images: slice, rows: slice) -> None:
        out[images, rows] = cells[images, rows]

    walk(copy, n, height, numbers=width * channels, most=_BLOCK)
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


def on_host(*arguments: Any, **settings: Any) -> bool:
    """Whether no argument is another library's array; settings may stand among them, by position."""
    return not any(
        hasattr(each, "shape") and not isinstance(each, np.ndarray | np.generic)
        for each in arguments
    )


def contiguous(array: Array, axis: int = 0) -> Array:
    """`ascontiguousarray`, with the copy, if there is one, shared out among the cores along an axis."""
    if array.flags.c_contiguous:
        return array
    out = np.empty(array.shape, array.dtype)

    def copy(part: slice) -> None:
        place = (*(slice(None),) * axis, part)
        out[place] = array[place]

    walk(copy, array.shape[axis], numbers=array.size // max(array.shape[axis], 1), most=None)
    return out


def nchw_of(cells: Array) -> Array:
    """(N, H, W, C) → (N, C, H, W), a view."""
    return cells.transpose(0, 3, 1, 2)
