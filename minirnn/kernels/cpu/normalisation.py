"""Group normalisation in few walks over the map, block by block."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from minirnn.autograd.tensor import together
from minirnn.backend import Array, positive_part
from minirnn.kernels.cpu.layout import nhwc_of, on_host
from minirnn.kernels.cpu.passes import before_relu, sum_of_rows
from minirnn.kernels.cpu.walk import walk
from minirnn.kernels.table import kernel
from minirnn.ops import normalisation as plain


@kernel(
    plain.group_norm,
    "cpu",
    reason="channels last, in blocks that stay in the cache from the first step to the last, on all cores",
    applies=on_host,
)
def group_norm(
    x: Array,
    weight: Array,
    bias: Array,
    add: Array | None = None,
    *,
    groups: int,
    eps: float = 1e-5,
    relu: bool = False,
) -> tuple[Array, tuple]:
    """`minirnn.ops.normalisation.group_norm`."""
    n, channels = x.shape[:2]
    rows = _rows_of(x)  # (N, places, C)
    added = None if add is None else _rows_of(add)
    members = channels // groups
    length = members * rows.shape[1] or 1
    y = np.empty(rows.shape, x.dtype)

    def over_group(sums: Array) -> Array:
        """(N, C) → for each channel the sum of its group, divided by the number of values in it."""
        means = sums.reshape(n, groups, members).sum(axis=2) / length
        return np.repeat(means, members, axis=1)[:, None]  # (N, 1, C)

    mean = over_group(_sums(lambda *place: sum_of_rows(rows[place]), rows))

    def centred(images: slice, places: slice) -> Array:
        out = y[images, places]
        np.subtract(rows[images, places], mean[images], out=out)
        return sum_of_rows(out * out)

    r = 1 / np.sqrt(over_group(_sums(centred, rows)) + eps)
    scale = r * weight

    def scaled(images: slice, places: slice) -> None:
        out = y[images, places]
        out *= scale[images]
        out += bias
        if added is not None:
            out += added[images, places]
        if relu:
            positive_part(out, out=out)

    walk(scaled, *rows.shape[:2], numbers=channels)

    inner = before_relu(y, relu, _rows_of)

    def gradients(dy: Array) -> tuple[Array, Array, Array]:
        dy = inner(dy)
        dx = np.empty(rows.shape, dy.dtype)

        def products(images: slice, places: slice) -> Array:
            out = dx[images, places]
            np.subtract(rows[images, places], mean[images], out=out)  # x̂ / r
            return sum_of_rows(out * dy[images, places])

        db = _sums(lambda *place: sum_of_rows(dy[place]), rows)
        dw = _sums(products, rows) * r[:, 0]
        mean_g, mean_gx = over_group(db * weight), over_group(dw * weight)
        of_x, constant = -(r**2) * mean_gx, -r * mean_g

        def combined(images: slice, places: slice) -> None:
            out = dx[images, places]
            out *= of_x[images]
            out += constant[images]
            out += dy[images, places] * scale[images]

        walk(combined, *rows.shape[:2], numbers=channels)
        return _like(dx, x), dw.sum(axis=0), db.sum(axis=0)

    vjps = together(gradients, 3)
    if add is not None:
        vjps = (*vjps, lambda dy: _like(inner(dy), x))
    return _like(y, x), vjps


def _rows_of(x: Array) -> Array:
    """(N, C, …) → (N, places, C), contiguous."""
    if x.ndim == 4:
        cells = nhwc_of(x)
    else:
        cells = np.ascontiguousarray(x.transpose(0, *range(2, x.ndim), 1))
    return cells.reshape(len(x), math.prod(x.shape[2:]), x.shape[1])


def _like(rows: Array, x: Array) -> Array:
    """The reverse of `_rows_of`: x's shape (N, C, …), a view."""
    cells = rows.reshape(len(x), *x.shape[2:], x.shape[1])
    return cells.transpose(0, x.ndim - 1, *range(1, x.ndim - 1))


def _sums(values: Callable[[slice, slice], Array], rows: Array) -> Array:
    """Σ over all places of an image, (N, C), where `values(images, places)` gives a block's sums."""
    n, places, channels = rows.shape
    parts: dict[tuple[int, int], Array] = {}

    def keep(images: slice, block: slice) -> None:
        parts[block.start, images.start] = values(images, block)

    walk(keep, n, places, numbers=channels)
    sums = np.zeros((n, channels), rows.dtype)
    for (_, first), part in sorted(parts.items()):  # always in the same order
        sums[first : first + len(part)] += part
    return sums
