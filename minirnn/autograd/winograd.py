"""3×3 convolution with a quarter of the multiplications (Winograd's F(4×4, 3×3)).

The idea: a convolution in one dimension is a product of polynomials, and a product of polynomials is
cheap where they are given by their *values* at a few points instead of their coefficients. So a 6×6
tile d of the map and the 3×3 kernel g are brought to values at the points 0, ±1, ±2, ∞ in each
direction, multiplied value by value, and brought back to 4×4 outputs:

    Y = Aᵀ [ (G g Gᵀ) ⊙ (Bᵀ d B) ] A

36 multiplications give 16 outputs, where sliding the kernel takes 144. Over C input and O output
channels, the product ⊙ becomes 36 matrix products of (O, C) with (C, tiles): the work of BLAS.

Cost in accuracy: the points ±2 make numbers of different size meet, so that the error is a few times
that of the plain sum in float32 (`tests/test_winograd.py` measures it). Where that matters, `exact()`
switches it off; float64 never comes here.

Source: Lavin and Gray, "Fast algorithms for convolutional neural networks", 2016, section 4.1.3.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from minirnn import parallel
from minirnn.backend import Array

_B_T = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    np.float64,
)
_G = np.array(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ],
    np.float64,
)
_A_T = np.array(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]],
    np.float64,
)
# The transform of a tile, rows and columns at once, as one matrix: vec(P d Pᵀ) = (P ⊗ P) vec(d).
_TILE = np.kron(_B_T, _B_T).astype(np.float32)  # (36, 36)
_KERNEL = np.kron(_G, _G).astype(np.float32)  # (36, 9)
_OUTPUT = np.kron(_A_T, _A_T).astype(np.float32)  # (16, 36)

_TILES = 128  # tiles of a block: enough for matrix products at full speed, few enough for the cache
_SMALL = 600_000  # below so many multiplications OpenBLAS skips its packing, and is twice as fast
_mode = threading.local()


@contextmanager
def exact() -> Iterator[None]:
    """Inside, convolutions in this thread are plain sums: the last digit instead of speed."""
    before = getattr(_mode, "exact", False)
    _mode.exact = True
    try:
        yield
    finally:
        _mode.exact = before


def suits(x: Array, outputs: int, geometry: Any, least_tiles: int = 1) -> bool:
    """Whether this convolution is done here: float32 on the host, 3×3, stride 1, and large enough.

    With few channels the transforms of the tiles cost more than the products save, and with few
    tiles those of the kernels.
    """
    height, width = geometry.output
    return (
        isinstance(x, np.ndarray)
        and x.dtype == np.float32
        and geometry.kernel == (3, 3)
        and geometry.stride == geometry.dilation == (1, 1)
        and min(x.shape[1], outputs) >= 32
        and min(height, width) >= 4
        and len(x) * height * width >= 16 * least_tiles
        and not getattr(_mode, "exact", False)
    )


def correlate(x: Array, weight: Array, bias: Array | None, padding: tuple[int, int]) -> Array:
    """The convolution of (N, C, H, W) with (O, C, 3, 3), stride 1."""
    outputs = len(weight)
    kernels = _values_of_kernels(weight)
    tiles = _Tiles(x, padding, outputs)
    height, width = tiles.output
    y = np.empty((len(x), outputs, height, width), np.float32)

    def work(start: int, stop: int) -> None:
        for images, first, last, values in tiles.blocks(start, stop):
            product = np.matmul(kernels, values)  # (36, O, tiles)
            result = _OUTPUT @ product.reshape(36, -1)
            result = result.reshape(4, 4, outputs, -1, last - first, tiles.columns)
            for i in range(4):
                for j in range(4):
                    part = y[images, :, 4 * first + i : 4 * last : 4, j::4]
                    source = result[i, j].transpose(1, 0, 2, 3)[
                        :, :, : part.shape[2], : part.shape[3]
                    ]
                    if bias is None:
                        part[...] = source
                    else:
                        np.add(source, bias[:, None, None], out=part)

    parallel.for_chunks(work, len(tiles))
    return y


def weight_gradient(x: Array, dy: Array, padding: tuple[int, int]) -> Array:
    """dL/dw of the convolution: the same values, multiplied with those of dy.

    From Y = Aᵀ[U ⊙ V]A follows dU = (A dY Aᵀ) ⊙ V, summed over tiles, and dw = Gᵀ dU G.
    """
    outputs, channels = dy.shape[1], x.shape[1]
    tiles = _Tiles(x, padding, outputs)
    partial: dict[int, Array] = {}

    def work(start: int, stop: int) -> None:
        total = np.zeros((36, outputs, channels), np.float32)
        spare = np.empty_like(total)
        for images, first, last, values in tiles.blocks(start, stop):
            count = images.stop - images.start
            patch = np.zeros((4, 4, outputs, count, last - first, tiles.columns), np.float32)
            for i in range(4):
                for j in range(4):
                    part = dy[images, :, 4 * first + i : 4 * last : 4, j::4].transpose(1, 0, 2, 3)
                    patch[i, j, :, :, : part.shape[2], : part.shape[3]] = part
            gradient = (_OUTPUT.T @ patch.reshape(16, -1)).reshape(36, outputs, -1)
            total += np.matmul(gradient, values.transpose(0, 2, 1), out=spare)
        partial[start] = total

    parallel.for_chunks(work, len(tiles))
    total = sum(partial[start] for start in sorted(partial))
    flat = parallel.matmul(total.reshape(36, -1).T, _KERNEL)
    return flat.reshape(outputs, channels, 3, 3)


def _values_of_kernels(weight: Array) -> Array:
    """(O, C, 3, 3) → (36, O, C)."""
    values = parallel.matmul(_KERNEL, weight.reshape(-1, 9).T)
    return values.reshape(36, *weight.shape[:2])


class _Tiles:
    """The 6×6 tiles of a map, at steps of 4, a block of images and tile rows at a time."""

    def __init__(self, x: Array, padding: tuple[int, int], outputs: int) -> None:
        n, channels, height, width = x.shape
        py, px = padding
        self.output = (height + 2 * py - 2, width + 2 * px - 2)
        self.rows, self.columns = -(-self.output[0] // 4), -(-self.output[1] // 4)
        self.padded = np.zeros((n, channels, 4 * self.rows + 2, 4 * self.columns + 2), np.float32)

        def pad(start: int, stop: int) -> None:
            self.padded[start:stop, :, py : py + height, px : px + width] = x[start:stop]

        parallel.for_chunks(pad, n)
        # Small maps: several images in a block. Large maps: several blocks in an image.
        per_image = self.rows * self.columns
        small = _SMALL // (channels * outputs)
        most = small if small >= _TILES // 4 else _TILES
        if per_image >= most:
            step = max(most // self.columns, 1)
            self.places = [
                (i, i + 1, first, min(first + step, self.rows))
                for i in range(n)
                for first in range(0, self.rows, step)
            ]
        else:
            step = max(min(most // per_image, -(-n // parallel.thread_count())), 1)
            self.places = [(i, min(i + step, n), 0, self.rows) for i in range(0, n, step)]

    def __len__(self) -> int:
        return len(self.places)

    def blocks(self, start: int, stop: int) -> Iterator[tuple[slice, int, int, Array]]:
        """Yield (images, first tile row, last tile row, values (36, C, tiles))."""
        channels = self.padded.shape[1]
        for begin, end, first, last in self.places[start:stop]:
            shape = (36, channels, end - begin, last - first, self.columns)
            tiles = np.empty(shape, np.float32)
            source = self.padded[begin:end].transpose(1, 0, 2, 3)
            for u in range(6):
                for v in range(6):
                    # u and v up to 5, in steps of 4: the last tile's row 5 is row 4·last + 1.
                    tiles[6 * u + v] = source[
                        :, :, 4 * first + u : 4 * (last - 1) + u + 1 : 4,
                        v : 4 * (self.columns - 1) + v + 1 : 4,
                    ]  # fmt: skip
            values = (_TILE @ tiles.reshape(36, -1)).reshape(36, channels, -1)
            yield slice(begin, end), first, last, values
