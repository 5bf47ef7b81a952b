"""3×3 convolution with a quarter of the multiplications (Winograd's F(4×4, 3×3)).

The idea: a convolution in one dimension is a product of polynomials, and a product of polynomials is
cheap where they are given by their *values* at a few points instead of their coefficients. So a 6×6
tile d of the map and the 3×3 kernel g are brought to values at the points 0, ±1, ±2, ∞ in each
direction, multiplied value by value, and brought back to 4×4 outputs:

    Y = Aᵀ [ (G g Gᵀ) ⊙ (Bᵀ d B) ] A

36 multiplications give 16 outputs, where sliding the kernel takes 144. Over C input and O output
channels, the product ⊙ becomes 36 matrix products of (tiles, C) with (C, O): the work of BLAS.

What is left to do well is moving numbers. Maps lie with their channels last (`layout`), so that a
tile is read and written in runs of C numbers. Tiles are read in pieces whose 36 taps stay in a core's
cache while they become values. Pieces are multiplied in batches: large enough that reading the kernels,
which BLAS does anew for each batch, is little beside the work, small enough for the memory. (With 227 tiles
to a batch, which a usual L3 cache holds, a convolution took a tenth longer than with 900.)

Cost in accuracy: the points ±2 make numbers of different size meet. Against float64, with 64 to 512
channels of standard normal numbers, the largest error is 0.6 to 1.4 · 10⁻⁵ of the largest result (the
root of the mean square 3 to 7 · 10⁻⁷), where the plain sum in float32 has 4 · 10⁻⁷ (6 · 10⁻⁸);
`tests/test_winograd.py` holds it there. Where that matters, `exact()` switches it off; float64 never
comes here.

Source: Lavin and Gray, "Fast algorithms for convolutional neural networks", 2016, section 4.1.3.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from minirnn.backend import Array
from minirnn.kernels.cpu.im2col import pad_to
from minirnn.kernels.cpu.walk import blocks, steps_of, walk
from minirnn.kernels.threads import thread_count

B_T = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    np.float32,
)
G = np.array(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ],
    np.float32,
)
A_T = np.array(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]],
    np.float32,
)

_PIECE = (
    4096  # numbers of one tap in a piece: its 36 taps and their values stay in a usual L2 cache
)
# Small kernels stay in the cache of each core, which then does batches of its own. Of large ones each
# core takes a few of the 36 for a batch in common, so that they are read once and not once a core.
_SMALL = 1 << 18
_ALONE = 1 << 20  # values of a batch, read and multiplied, of one core: 4 MiB
_TOGETHER = 1 << 24  # of a batch of all cores: 64 MiB, some 900 tiles with 256 channels
_LEAST = 32  # tiles, below which the transforms of the kernels cost more than the products save
_KERNELS = 4096  # kernels that are transformed at a time
_mode = threading.local()

Epilogue = Callable[[Array, tuple[slice, slice, slice], Array], None]


@contextmanager
def exact() -> Iterator[None]:
    """Inside, convolutions in this thread are plain sums: the last digit instead of speed."""
    before = getattr(_mode, "exact", False)
    _mode.exact = True
    try:
        yield
    finally:
        _mode.exact = before


def is_exact() -> bool:
    """Whether `exact()` holds in this thread."""
    return getattr(_mode, "exact", False)


def suits(cells: Array, outputs: int, geometry: Any) -> bool:
    """Whether this convolution is done here: float32 on the host, 3×3, stride 1, and large enough.

    With few channels the transforms of the tiles cost more than the products save, and with few
    tiles those of the kernels.
    """
    height, width = geometry.output
    return (
        isinstance(cells, np.ndarray)
        and cells.dtype == np.float32
        and geometry.kernel == (3, 3)
        and geometry.stride == geometry.dilation == (1, 1)
        and min(cells.shape[3], outputs) >= 32
        and min(height, width) >= 4
        and len(cells) * height * width >= 16 * _LEAST
        and not is_exact()
    )


def correlate(
    cells: Array,
    taps: Array,
    padding: tuple[int, int],
    epilogue: Epilogue,
) -> Array:
    """The convolution of (N, H, W, C) with (3, 3, C, O), stride 1.

    Args:
        cells: the map, channels last.
        taps: the kernels.
        padding: rings of zeros around the map.
        epilogue: called with each block of the result, its place there and where to put it, to go on
            working on it while it is in the cache.

    Returns:
        (N, H', W', O).
    """
    matrices = _values_of_kernels(taps)  # (36, inputs, outputs)
    outputs = matrices.shape[2]
    alone = matrices.size <= _SMALL
    size, sharers = (_ALONE, thread_count()) if alone else (_TOGETHER, 1)
    tiles = _Tiles(cells, padding, size // (36 * sum(matrices.shape[1:])), sharers)
    y = np.empty((len(cells), *tiles.output, outputs), np.float32)

    def convolve(pieces: list[_Piece]) -> None:
        values = tiles.values(pieces)
        products = np.empty((*values.shape[:2], outputs), np.float32)

        def multiply(part: slice) -> None:
            np.matmul(values[part], matrices[part], out=products[part])

        def write(part: slice) -> None:
            for piece in pieces[part]:
                own = products[:, piece.start : piece.stop].reshape(6, 6, -1)
                result = A_T @ np.matmul(A_T, own).reshape(6, -1)
                # (4, 4, images, rows, columns, O) → whole rows and columns of the map
                result = result.reshape(4, 4, *piece.shape, outputs).transpose(2, 3, 0, 4, 1, 5)
                n, height, width = piece.shape
                block = result.reshape(n, 4 * height, 4 * width, outputs)
                goal = y[piece.outputs]
                block = block[:, : goal.shape[1], : goal.shape[2]]
                epilogue(block, piece.outputs, goal)

        walk(multiply, 36, most=None, least=1)
        walk(write, len(pieces), most=None, least=1)

    def share(part: slice) -> None:
        for pieces in tiles.batches[part]:
            convolve(pieces)

    if alone:
        walk(share, len(tiles.batches), most=None, least=1)
    else:
        share(slice(None))
    return y


def weight_gradient(cells: Array, dy: Array, padding: tuple[int, int]) -> Array:
    """dL/dw (3, 3, C, O) of the convolution: the same values, multiplied with those of dy.

    With U = G g Gᵀ and V = Bᵀ d B: from Y = Aᵀ[U ⊙ V]A follows dU = (A dY Aᵀ) ⊙ V, summed over
    tiles, and dw = Gᵀ dU G.
    """
    channels, outputs = cells.shape[3], dy.shape[3]
    tiles = _Tiles(cells, padding, _TOGETHER // (36 * (channels + outputs)))
    rows, columns = tiles.grid
    if dy.shape[1:3] != (4 * rows, 4 * columns):
        dy = pad_to(dy, (0, 0), (4 * rows, 4 * columns))
    squares = dy.reshape(len(dy), rows, 4, columns, 4, outputs).transpose(2, 4, 0, 1, 3, 5)
    total = np.empty((36, channels, outputs), np.float32)

    def accumulate(pieces: list[_Piece]) -> None:
        values = tiles.values(pieces)
        gradients = np.empty((*values.shape[:2], outputs), np.float32)

        def read(part: slice) -> None:
            for piece in pieces[part]:
                square = squares[(slice(None), slice(None), *piece.tiles)].reshape(4, -1)
                goal = gradients[:, piece.start : piece.stop].reshape(6, 6, -1)
                np.matmul(A_T.T, (A_T.T @ square).reshape(6, 4, -1), out=goal)

        def multiply(part: slice) -> None:
            for k in range(part.start, part.stop):
                if pieces is tiles.batches[0]:
                    np.matmul(values[k].T, gradients[k], out=total[k])
                else:
                    total[k] += values[k].T @ gradients[k]

        walk(read, len(pieces), most=None, least=1)
        walk(multiply, 36, most=None, least=1)

    for pieces in tiles.batches:
        accumulate(pieces)
    return _back_to_kernels(total)


def _values_of_kernels(taps: Array) -> Array:
    """(3, 3, C, O) → (36, C, O)."""
    kernels = taps.reshape(3, 3, -1)
    values = np.empty((6, 6, kernels.shape[2]), np.float32)

    def work(part: slice) -> None:
        half = (G @ kernels[:, :, part].reshape(3, -1)).reshape(6, 3, -1)
        np.matmul(G, half, out=values[:, :, part])

    walk(work, kernels.shape[2], most=_KERNELS, least=_KERNELS // 4)
    return values.reshape(36, *taps.shape[2:])


def _back_to_kernels(total: Array) -> Array:
    """(36, C, O) → Gᵀ dU G as (3, 3, C, O)."""
    values = total.reshape(6, 6, -1)
    kernels = np.empty((3, 3, values.shape[2]), np.float32)

    def work(part: slice) -> None:
        half = (G.T @ values[:, :, part].reshape(6, -1)).reshape(3, 6, -1)
        np.matmul(G.T, half, out=kernels[:, :, part])

    walk(work, kernels.shape[2], most=_KERNELS, least=_KERNELS // 4)
    return kernels.reshape(3, 3, *total.shape[1:])


@dataclass(frozen=True)
class _Piece:
    """A few tiles: which images, tile rows and tile columns, and where they stand in their batch."""

    tiles: tuple[slice, ...]  # three
    start: int

    @property
    def shape(self) -> tuple[int, int, int]:
        n, rows, columns = (part.stop - part.start for part in self.tiles)
        return n, rows, columns

    @property
    def stop(self) -> int:
        n, rows, columns = self.shape
        return self.start + n * rows * columns

    @property
    def outputs(self) -> tuple[slice, slice, slice]:
        """The rows and columns of the result that the tiles give."""
        images, rows, columns = self.tiles
        return (
            images,
            slice(4 * rows.start, 4 * rows.stop),
            slice(4 * columns.start, 4 * columns.stop),
        )


class _Tiles:
    """The 6×6 tiles of a map (N, H, W, C), at steps of 4.

    Attributes:
        output: (H', W') of the convolution.
        grid: rows and columns of tiles.
        batches: all tiles, cut in batches of pieces.
    """

    def __init__(
        self, cells: Array, padding: tuple[int, int], in_batch: int, sharers: int = 1
    ) -> None:
        n, height, width, channels = cells.shape
        self.output = (height + 2 * padding[0] - 2, width + 2 * padding[1] - 2)
        self.grid = rows, columns = -(-self.output[0] // 4), -(-self.output[1] // 4)
        padded = pad_to(cells, padding, (4 * rows + 2, 4 * columns + 2))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (6, 6), axis=(1, 2))
        # (N, rows, columns, C, 6, 6) → (6, 6, N, rows, columns, C), a view
        self.taps = windows[:, ::4, ::4].transpose(4, 5, 0, 1, 2, 3)

        in_piece = max(_PIECE // channels, 4)
        # Batches of about the same size, and as many for each of the sharers.
        tiles = n * rows * columns
        count = -(-tiles // (max(in_batch, 1) * sharers)) * sharers
        in_batch = -(-tiles // max(count, 1))
        self.batches: list[list[_Piece]] = []
        for block in blocks(self.taps.shape[2:5], steps_of(self.taps.shape[2:5], in_piece)):
            start = self.batches[-1][-1].stop if self.batches else in_batch
            if start >= in_batch:
                self.batches.append([])
                start = 0
            self.batches[-1].append(_Piece(block, start))

    def values(self, pieces: list[_Piece]) -> Array:
        """Bᵀ d B of all tiles of a batch, (36, tiles, C)."""
        channels = self.taps.shape[-1]
        values = np.empty((6, 6, pieces[-1].stop, channels), np.float32)

        def read(part: slice) -> None:
            for piece in pieces[part]:
                taps = self.taps[(slice(None), slice(None), *piece.tiles)].reshape(6, -1)
                half = (B_T @ taps).reshape(6, 6, -1)
                goal = values[:, :, piece.start : piece.stop].reshape(6, 6, -1)
                np.matmul(B_T, half, out=goal)

        walk(read, len(pieces), most=None, least=1)
        return values.reshape(36, -1, channels)
