"""The gradient of depthwise kernels by Winograd's algorithm along y: as many multiplications as forward.

From Y = Aᵀ [(G g) ⊙ (Bᵀ d)] follows dL/dg = Gᵀ Σ (A dY) ⊙ (Bᵀ d), summed over tiles; along x, the products
are summed for each column of the kernel as they are. See `kernels.cpu.depthwise_winograd`.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from minirnn.backend import Array
from minirnn.kernels.cpu.depthwise_winograd import matrices, range_of, tiles_of
from minirnn.kernels.cpu.matmul import multiply
from minirnn.kernels.cpu.walk import walk
from minirnn.ops.checks import Sides


def weight_gradient(
    cells: Array, dy: Array, kernel: tuple[int, ...], padding: Sides, dilation: int
) -> Array:
    """dw[u, v, c] = Σ_n Σ_i Σ_j dy[n, i, j, c] · x[n, i + u - p, j + v·d - p, c], (kh, kw, C).

    Args:
        cells: (N, H, W, C).
        dy: (N, H', W', C).
        kernel: (kh, kw).
        padding: of zeros on each side.
        dilation: of the kernel's columns.
    """
    tiles = tiles_of(cells.shape, kernel, padding, dilation)
    form, channels = matrices(tiles.step, kernel[0]), cells.shape[3]
    a, b_t = form.a_t.T.astype(np.float32), form.b_t.astype(np.float32)
    rows = cells.reshape(*cells.shape[:2], cells.shape[2] * channels)
    size = tiles.points, kernel[1], tiles.repeat * channels
    parts: dict[tuple[int, int], Array] = {}

    def work(images: slice, numbers: slice) -> None:
        values, gradients = tiles.room(), np.empty((tiles.points, tiles.length), np.float32)
        pairs = tiles.windows(values, gradients)
        total, products = np.zeros(size, np.float32), np.empty(size, np.float32)
        for image, tile in product(range_of(images), range_of(numbers)):
            seen, inner = rows[image, tiles.seen(tile)], values[:, tiles.inner]
            multiply(b_t[:, tiles.inside(tile)], seen, out=inner)
            block = dy[image, tiles.given(tile)]
            multiply(a[:, : len(block)], block.reshape(len(block), -1), out=gradients)
            for window, gradient in pairs:
                length = gradient.shape[2]
                out = products[:, :, :length]
                np.einsum("pvrj,prj->pvj", window, gradient, out=out)
                total[:, :, :length] += out
        parts[images.start, numbers.start] = total

    walk(work, len(cells), tiles.count, numbers=tiles.step * dy.shape[2] * channels, most=None)
    total = sum((parts[place] for place in sorted(parts)), np.zeros(size, np.float32))
    total = total.reshape(*size[:2], tiles.repeat, channels).sum(axis=2)
    gradient = form.g.T @ total.reshape(tiles.points, -1)
    return gradient.astype(np.float32).reshape(*kernel, channels)
