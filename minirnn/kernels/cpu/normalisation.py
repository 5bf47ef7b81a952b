"""Group normalisation in few walks over the map, block by block."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minirnn.autograd.tensor import together
from minirnn.backend import Array, positive_part
from minirnn.kernels.cpu import parallel
from minirnn.kernels.cpu.convolution import on_host
from minirnn.kernels.cpu.layout import nhwc_of
from minirnn.kernels.cpu.parallel import BLOCK
from minirnn.kernels.cpu.passes import before_relu, sum_of_rows
from minirnn.kernels.table import kernel
from minirnn.ops import normalisation as plain
from minirnn.ops.checks import check_group_norm


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
    check_group_norm(x, weight, bias, add, groups)
    n, channels = x.shape[:2]
    rows = _rows_of(x)  # (N, places, C)
    added = None if add is None else _rows_of(add)
    members = channels // groups
    length = members * rows.shape[1] or 1
    y = np.empty(rows.shape, x.dtype)
    blocks = _Blocks(rows)

    def over_group(sums: Array) -> Array:
        """(N, C) → for each channel the sum of its group, divided by the number of values in it."""
        means = sums.reshape(n, groups, members).sum(axis=2) / length
        return np.repeat(means, members, axis=1)[:, None]  # (N, 1, C)

    mean = over_group(blocks.sum(lambda place: sum_of_rows(rows[place])))

    def centred(place: Place) -> Array:
        out = y[place]
        np.subtract(rows[place], mean[place[0]], out=out)
        return sum_of_rows(out * out)

    r = 1 / np.sqrt(over_group(blocks.sum(centred)) + eps)
    scale = r * weight

    def scaled(place: Place) -> None:
        out = y[place]
        out *= scale[place[0]]
        out += bias
        if added is not None:
            out += added[place]
        if relu:
            positive_part(out, out=out)

    blocks.run(scaled)

    inner = before_relu(y, relu, _rows_of)

    def gradients(dy: Array) -> tuple[Array, Array, Array]:
        dy = inner(dy)
        dx = np.empty(rows.shape, dy.dtype)

        def products(place: Place) -> Array:
            out = dx[place]
            np.subtract(rows[place], mean[place[0]], out=out)  # x̂ / r
            return sum_of_rows(out * dy[place])

        db = blocks.sum(lambda place: sum_of_rows(dy[place]))
        dw = blocks.sum(products) * r[:, 0]
        mean_g, mean_gx = over_group(db * weight), over_group(dw * weight)
        of_x, constant = -(r**2) * mean_gx, -r * mean_g

        def combined(place: Place) -> None:
            out = dx[place]
            out *= of_x[place[0]]
            out += constant[place[0]]
            out += dy[place] * scale[place[0]]

        blocks.run(combined)
        return _like(dx, x), dw.sum(axis=0), db.sum(axis=0)

    vjps = together(gradients, 3)
    if add is not None:
        vjps = (*vjps, lambda dy: _like(inner(dy), x))
    return _like(y, x), vjps


Place = tuple[slice, slice]


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


class _Blocks:
    """Walk over (N, places, C) in blocks of the cache's size, on all cores.

    A block is a part of an image or, where images are small, several whole ones.
    """

    def __init__(self, rows: Array) -> None:
        self.dtype, self.shape = rows.dtype, rows.shape
        _, places, channels = rows.shape
        self.places = min(max(BLOCK // max(channels, 1), 1), max(places, 1))
        self.images = max(BLOCK // max(places * channels, 1), 1)
        self.parts = -(-places // self.places)  # of an image

    def run(self, work: Callable[[Place], Any]) -> None:
        """Call `work(place)` for all blocks, on all cores."""
        self._run(lambda place, _: work(place))

    def sum(self, values: Callable[[Place], Array]) -> Array:
        """Σ over all places of an image, (N, C), where `values(place)` is the sum over a block's."""
        n, _, channels = self.shape
        sums = np.zeros((n, self.parts, channels), self.dtype)

        def store(place: Place, part: int) -> None:
            sums[place[0], part] = values(place)

        self._run(store)
        return sums.sum(axis=1)

    def _run(self, work: Callable[[Place, int], Any]) -> None:
        def share(start: int, stop: int) -> None:
            for index in range(start, stop):
                image, part = divmod(index, self.parts)
                image, place = image * self.images, part * self.places
                work((slice(image, image + self.images), slice(place, place + self.places)), part)

        count = -(-self.shape[0] // self.images) * self.parts
        parallel.for_chunks(share, count)
