"""Depthwise convolution with fewer multiplications: Winograd's algorithm along y, plain sums along x.

The idea is that of `kernels.cpu.winograd`, in one direction: m rows of the result see m + k - 1 rows d
of the map. These rows and the k rows g of a kernel are brought to values at as many points, multiplied
value by value, and brought back:

    Y = Aᵀ [ (G g) ⊙ (Bᵀ d) ]

Along x, the products are summed over the kernel's columns as they are. A 5×5 kernel so takes 10
multiplications for each result instead of 25 (m = 4), and a 3×3 kernel 4 instead of 9 (m = 6).

Why only along y: a row of the map with its channels last is one run of W·C numbers, and all of them are
treated alike. So Bᵀ d is a matrix product with a very small left factor, which BLAS does as fast as memory
gives and takes the numbers (`kernels.cpu.matmul.multiply`). It also writes them between two borders of
zeros, which stand for the padding; and Aᵀ adds the bias, as one more row. What is left for `np.einsum` are
the products, each with a channel's own weight, of a whole tile at a time: threads get in each other's way
between two calls, where Python's lock changes hands, and two threads were as slow as one where a call took
20 µs.

Cost in accuracy: with points up to 2 and ½ the largest error is 10⁻⁶ of the largest result, where the plain
sum in float32 has 3 · 10⁻⁷. `kernels.cpu.winograd.exact()` switches it off; float64 never comes here.

Sources: Lavin and Gray, "Fast algorithms for convolutional neural networks", 2016, section 4.1; for the
matrices of any points Blahut, "Fast algorithms for signal processing", section 5.2 (Toom and Cook).
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache, lru_cache
from itertools import pairwise, product
from typing import NamedTuple

import numpy as np

from minirnn.backend import Array
from minirnn.kernels.cpu import winograd
from minirnn.kernels.cpu.correlation import Epilogue
from minirnn.kernels.cpu.depthwise_sums import repeats
from minirnn.kernels.cpu.matmul import multiply
from minirnn.kernels.cpu.walk import walk
from minirnn.ops.checks import Sides

# And ∞. With more of them, errors soon are ten times as large.
_POINTS = (0, 1, -1, 2, -2, 0.5, -0.5)
_LEAST_ROWS = 8  # of the result
_LEAST = 2048  # numbers of a row of the result, below which the steps in Python take too long


def suits(dtype: np.dtype, kernel: tuple[int, ...], output: tuple[int, int], channels: int) -> bool:
    """Whether a depthwise convolution of stride 1 is done here: float32, and large enough.

    Args:
        dtype: of the map.
        kernel: (kh, kw).
        output: (H', W').
        channels: C.
    """
    return (
        dtype == np.float32
        and 3 <= kernel[0] <= 5
        and output[0] >= _LEAST_ROWS
        and output[1] * channels >= _LEAST
        and not winograd.is_exact()
    )


class Matrices(NamedTuple):
    """Those of Y = Aᵀ [(G g) ⊙ (Bᵀ d)]: (m, n), (n, k) and (n, n) for n points."""

    a_t: Array
    g: Array
    b_t: Array


def tile_rows(kernel: int, rows: int) -> int:
    """How many rows of the result a tile has, such that all tiles together have the fewest values.

    Args:
        kernel: rows of the kernel.
        rows: of the result.
    """
    most = len(_POINTS) + 2 - kernel
    return min(range(most, 1, -1), key=lambda m: -(-rows // m) * (m + kernel - 1))


@cache
def matrices(rows: int, kernel: int) -> Matrices:
    """For so many results of a kernel of this length, float64.

    A convolution of k and m numbers is a product of polynomials. With V the matrix that brings coefficients
    to values (at ∞ the value is the highest coefficient), it is V⁻¹ [(V g) ⊙ (V a)], and the sum that a
    kernel slid over a map takes is its transpose.
    """
    count = rows + kernel - 1
    points = np.array(_POINTS[: count - 1])

    def to_values(coefficients: int) -> Array:
        at_infinity = np.eye(coefficients)[-1:]
        return np.concatenate([np.vander(points, coefficients, increasing=True), at_infinity])

    b_t = np.linalg.inv(to_values(count)).T
    # In G, which is used once, the thirds are rounded least often: Bᵀ has sums of powers of two.
    apart = points[:, None] - points + np.eye(len(points))
    scale = np.append(apart.prod(axis=1), 1)[:, None]
    return Matrices(to_values(rows).T, to_values(kernel) / scale, b_t * scale)


@cache
def _single(rows: int, kernel: int) -> Matrices:
    """The same in float32, and Aᵀ with a column of ones more, for the bias."""
    a_t, g, b_t = (each.astype(np.float32) for each in matrices(rows, kernel))
    return Matrices(np.concatenate([a_t, np.ones((rows, 1), np.float32)], axis=1), g, b_t)


def correlate(
    cells: Array, taps: Array, padding: Sides, dilation: int, epilogue: Epilogue
) -> Array:
    """y[i, j, c] = Σ_u Σ_v w[u, v, c] · x[i + u - p, j + v·d - p, c], with the epilogue done.

    Args:
        cells: (N, H, W, C).
        taps: (kh, kw, C).
        padding: of zeros on each side.
        dilation: of the kernel's columns.
        epilogue: what is done to the result.
    """
    tiles = tiles_of(cells.shape, taps.shape, padding, dilation)
    a_t, g, b_t = _single(tiles.step, len(taps))
    channels, count = cells.shape[3], len(g)
    own = (g @ taps.reshape(len(taps), -1)).reshape(count, -1, 1, channels)
    many = np.broadcast_to(own, (*own.shape[:2], tiles.repeat, channels))
    weights = many.reshape(count, len(own[0]), -1)
    bias, after = epilogue.bias, replace(epilogue, bias=None)
    if bias is None:
        a_t = a_t[:, :count]
    rows = cells.reshape(*cells.shape[:2], cells.shape[2] * channels)
    y = np.empty((len(cells), *tiles.output, channels), np.float32)

    def work(images: slice, numbers: slice) -> None:
        values, sums = tiles.room(), np.empty((a_t.shape[1], tiles.length), np.float32)
        if bias is not None:
            sums[-1].reshape(-1, channels)[...] = bias
        # The windows are made once: each tile's values lie where those of the last one lay.
        pairs = [
            (window, weights[:, :, : total.shape[2]], total)
            for window, total in tiles.windows(values, sums[:count])
        ]
        for image, tile in product(range_of(images), range_of(numbers)):
            seen, given = tiles.seen(tile), tiles.given(tile)
            multiply(b_t[:, tiles.inside(tile)], rows[image, seen], out=values[:, tiles.inner])
            for window, each, total in pairs:
                np.einsum("pvrj,pvj->prj", window, each, out=total)
            block = y[image, given]
            multiply(a_t[: len(block)], sums, out=block.reshape(len(block), -1))
            after(block, (image, given), block)

    walk(work, len(cells), tiles.count, numbers=tiles.step * tiles.output[1] * channels, most=None)
    return y


def range_of(part: slice) -> range:
    """The indices of a slice that has a start and a stop."""
    return range(part.start, part.stop)


@lru_cache(maxsize=256)
def tiles_of(
    shape: tuple[int, ...], kernel: tuple[int, ...], padding: Sides, dilation: int
) -> Tiles:
    """`Tiles`, kept: beside a small map, cutting it up takes a while."""
    return Tiles(shape, kernel, padding, dilation)


class Tiles:
    """Tiles of a map: as many of its rows as there are points.

    Attributes:
        output: (H', W') of the convolution.
        step: rows of the result that a tile gives.
        count: how many tiles there are for an image.
        repeat: places that the weights are repeated for.
        length: numbers of a row of the result.
        inner: where the numbers of a row of the map stand in a row of values, between the borders.
    """

    def __init__(
        self, shape: tuple[int, ...], kernel: tuple[int, ...], padding: Sides, dilation: int
    ) -> None:
        _, self.height, width, channels = shape
        (self.top, bottom), (left, right) = padding
        reach = dilation * (kernel[1] - 1)
        self.output = self.height + self.top + bottom - kernel[0] + 1, width + left + right - reach
        self.step = tile_rows(kernel[0], self.output[0])
        self.count = -(-self.output[0] // self.step)
        self.points = self.step + kernel[0] - 1
        self.kernel, self.channels, self.dilation = kernel, channels, dilation
        self.length, self.repeat = self.output[1] * channels, repeats(self.output[1], channels)
        self.inner = slice(left * channels, (left + width) * channels)
        self._wide = (left + width + right) * channels

    def room(self) -> Array:
        """Room for a tile's values, with borders of zeros left and right: (n, (left + W + right)·C)."""
        values = np.empty((self.points, self._wide), np.float32)
        values[:, : self.inner.start] = 0
        values[:, self.inner.stop :] = 0
        return values

    def seen(self, tile: int) -> slice:
        """The rows of the map that a tile sees."""
        first = tile * self.step - self.top
        return slice(max(first, 0), max(min(first + self.points, self.height), 0))

    def inside(self, tile: int) -> slice:
        """Which of a tile's rows these are. The others are 0, and are left out of the product."""
        first, seen = tile * self.step - self.top, self.seen(tile)
        return slice(seen.start - first, max(seen.stop, seen.start) - first)

    def given(self, tile: int) -> slice:
        """The rows of the result that a tile gives."""
        return slice(tile * self.step, min((tile + 1) * self.step, self.output[0]))

    def windows(self, values: Array, sums: Array) -> list[tuple[Array, Array]]:
        """What the columns of the kernel see, and where the sum of the products belongs.

        Returns:
            One or two pairs of views: (n, kw, R, L) and (n, R, L), for R runs of L numbers.
        """
        channels, places, (of_p, of_j) = self.channels, self.output[1], values.strides
        seen = np.lib.stride_tricks.as_strided(
            values,
            (self.points, self.kernel[1], self.length),
            (of_p, self.dilation * channels * of_j, of_j),
            writeable=False,
        )
        pairs = []
        for start, stop in pairwise(sorted({0, places - places % self.repeat, places})):
            length = min(self.repeat, stop - start) * channels
            part = slice(start * channels, stop * channels)
            window = seen[:, :, part].reshape(*seen.shape[:2], -1, length)
            pairs.append((window, sums[:, part].reshape(self.points, -1, length)))
        return pairs
