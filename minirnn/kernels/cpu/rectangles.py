"""The largest value in many rectangles of a map, at a cost that does not grow with their size."""

from __future__ import annotations

import itertools

import numpy as np

from minirnn.backend import Array


class Rectangles:
    """Rectangles on (N, H, W) maps, prepared for looking up the maximum in each.

    Two overlapping stretches of 2^k cells cover any stretch of 2^k to 2^(k+1) cells, and a maximum
    does not mind that a cell is counted twice. So the maxima over all rectangles of 2^a x 2^b cells
    are made by doubling, and any other rectangle is the maximum of four of those, one in each of
    its corners.

    Args:
        image, top, bottom, left, right: integers that broadcast together to all rectangles: the
            image, the first line and the one after the last, the first column and the one after
            the last. Within the map. Bottom = top or right = left is an empty rectangle.
        shape: (N, C, H, W) of the maps.

    Attributes:
        filled: indices of the rectangles that are not empty.

    Source: Bender and Farach-Colton, "The LCA problem revisited", 2000, section 3.
    """

    def __init__(
        self,
        image: Array,
        top: Array,
        bottom: Array,
        left: Array,
        right: Array,
        shape: tuple[int, ...],
    ) -> None:
        sides = [a.ravel() for a in np.broadcast_arrays(image, top, bottom, left, right)]
        self.count = len(sides[0])
        self.shape = shape
        (self.filled,) = np.nonzero((sides[2] > sides[1]) & (sides[4] > sides[3]))
        image, top, bottom, left, right = (a[self.filled].astype(np.intp) for a in sides)
        tall, wide = (
            np.floor(np.log2(length.astype(np.float64))).astype(np.intp)
            for length in (bottom - top, right - left)
        )
        sizes = [range(int(k.max()) + 1 if len(k) else 0) for k in (tall, wide)]
        self.lookups: dict[tuple[int, int], tuple[Array, list[Array]]] = {}
        for a, b in itertools.product(*sizes):
            (which,) = np.nonzero((tall == a) & (wide == b))
            if len(which):
                rows, columns = shape[2] - 2**a + 1, shape[3] - 2**b + 1  # where 2^a x 2^b fits
                self.lookups[a, b] = (
                    self.filled[which],
                    [
                        (image[which] * rows + y) * columns + x
                        for y in (top[which], bottom[which] - 2**a)
                        for x in (left[which], right[which] - 2**b)
                    ],
                )

    def maximum(self, cells: Array) -> Array:
        """The maxima (rectangles, C) of maps (N·H·W, C); 0 for an empty rectangle."""
        n, _, height, width = self.shape
        result = np.zeros((self.count, cells.shape[1]), cells.dtype)
        tall = cells.reshape(n, height, width, cells.shape[1])
        for a in range(max((a for a, _ in self.lookups), default=-1) + 1):
            if a > 0:
                half = 2 ** (a - 1)
                tall = np.maximum(tall[:, :-half], tall[:, half:])
            table = tall
            for b in range(max((b for of_a, b in self.lookups if of_a == a), default=-1) + 1):
                if b > 0:
                    half = 2 ** (b - 1)
                    table = np.maximum(table[:, :, :-half], table[:, :, half:])
                if (a, b) in self.lookups:
                    which, corners = self.lookups[a, b]
                    rows = table.reshape(-1, cells.shape[1])
                    best = rows[corners[0]]
                    for corner in corners[1:]:
                        best = np.maximum(best, rows[corner])
                    result[which] = best
        return result

    def places(self, cells: Array) -> Array:
        """The row of `cells` (rectangles, C) that holds each maximum; of equal ones the first.

        Only for the rectangles in `filled`; the others have no maximum.
        """
        best = self.maximum(_ordered_with_place(cells))
        return (len(cells) - 1 - (best & 0xFFFFFFFF)).astype(np.intp)


def _ordered_with_place(cells: Array) -> Array:
    """Integers in the order of the values, the earlier of two equal values higher.

    The upper 32 bits order the values and the lower 32 count the rows from the end, so that the
    largest integer tells the largest value and where it is.
    """
    if cells.dtype == np.float32:
        # The bits of a float, read as an integer, have the order of the floats where these are
        # positive, and the opposite order where they are negative. (+ 0 makes 0 of -0.)
        rank = (cells + 0).view(np.int32).astype(np.int64)
        rank = np.where(rank < 0, rank ^ 0x7FFFFFFF, rank)
    else:
        rank = np.unique(cells, return_inverse=True)[1].reshape(cells.shape).astype(np.int64)
    return (rank << 32) + np.arange(len(cells))[::-1, None]
