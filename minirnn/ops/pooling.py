"""Pooling: a window moves over the map, and its maximum or mean stands for it.

Instead of gathering windows, the map is read once per place in the window: all values that stand
at the window's upper left form a map of the output's size, and so do those at each other place. A
maximum over windows is then the maximum of those few maps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from minirnn.autograd.tensor import differentiable
from minirnn.backend import Array, xp_of
from minirnn.kernels.cpu.layout import cells_of, in_rows, maps_of
from minirnn.kernels.cpu.parallel import BLOCK

Pair = int | tuple[int, int]
_ROWS = 16  # rows of a block, at least, where the windows at its edge are asked twice


class _Windows:
    """Where a window of a pooling stands: kernel, stride, padding and sizes, (y, x) each."""

    def __init__(
        self, name: str, shape: tuple[int, ...], kernel: Pair, stride: Pair | None, padding: Pair
    ) -> None:
        if len(shape) != 4:
            raise ValueError(f"{name}: x has shape {shape}; it should be (N, C, H, W)")
        self.kernel = _pair(kernel)
        self.stride = self.kernel if stride is None else _pair(stride)
        self.padding = _pair(padding)
        if min(self.kernel) < 1 or min(self.stride) < 1 or min(self.padding) < 0:
            raise ValueError(
                f"{name}: kernel {self.kernel} and stride {self.stride} should be at least 1, "
                f"padding {self.padding} at least 0"
            )
        if any(2 * p > k for p, k in zip(self.padding, self.kernel, strict=True)):
            # A window in the corner would see nothing but padding.
            raise ValueError(
                f"{name}: padding {self.padding} should be at most half of kernel {self.kernel}"
            )
        self.input = shape[2:]
        self.padded = tuple(n + 2 * p for n, p in zip(self.input, self.padding, strict=True))
        self.output = tuple(
            (n - k) // s + 1 for n, k, s in zip(self.padded, self.kernel, self.stride, strict=True)
        )
        if min(self.output) < 1:
            raise ValueError(
                f"{name}: kernel {self.kernel} is larger than the map {self.input} "
                f"with padding {self.padding}"
            )

    def places(self, height: int) -> Iterator[tuple[Any, slice, slice]]:
        """For each place in the window, in reading order: the padded rows and columns it visits.

        Args:
            height: rows of windows.
        """
        (kh, kw), (sy, sx), width = self.kernel, self.stride, self.output[1]
        for u in range(kh):
            for v in range(kw):
                yield (
                    slice(None),
                    slice(u, u + (height - 1) * sy + 1, sy),
                    slice(v, v + (width - 1) * sx + 1, sx),
                )

    def seen(self, cells: Array, rows: slice, value: float) -> Array:
        """What some rows of windows see of (N, H, W, C), with a border of `value`."""
        (py, px), (height, width) = self.padding, self.input
        top = rows.start * self.stride[0] - py
        bottom = (rows.stop - 1) * self.stride[0] + self.kernel[0] - py
        first, last = max(top, 0), min(bottom, height)
        if px == 0 and (first, last) == (top, bottom):
            return cells[:, first:last]
        shape = (len(cells), bottom - top, width + 2 * px, cells.shape[3])
        padded = xp_of(cells).full(shape, value, cells.dtype)
        padded[:, first - top : last - top, px : px + width] = cells[:, first:last]
        return padded

    def run(self, cells: Array, work: Callable[[slice, slice], None]) -> None:
        """Call `work(images, rows)` for blocks of rows of windows, on all cores."""
        n, width, channels = len(cells), self.input[1], cells.shape[3]
        step = max(BLOCK // max(self.stride[0] * width * channels, 1), 1)
        in_rows(xp_of(cells), work, n, self.output[0], step)

    def spread(self, dx: Array, work: Callable[[slice, slice, Array], None]) -> None:
        """Fill `dx` (N, H, W, C) with what `work(images, rows, part)` adds to each part of it.

        `rows` are rows of windows, and `part` is zeros that stand for what they see. Windows overlap,
        so those at the edge of a block are asked twice, and each time one of their rows counts.
        """
        xp, (py, px), (height, width) = xp_of(dx), self.padding, self.input
        (kernel, _), (stride, _) = self.kernel, self.stride

        def fill(images: slice, rows: slice) -> None:
            start, stop = rows.start, rows.stop
            first = max(-(-(start + py - kernel + 1) // stride), 0)
            last = min((stop - 1 + py) // stride + 1, self.output[0])
            if last <= first:
                dx[images, start:stop] = 0
                return
            top, bottom = first * stride - py, (last - 1) * stride + kernel - py
            base, end = min(top, start), max(bottom, stop)
            shape = (len(dx[images]), end - base, self.padded[1], dx.shape[3])
            padded = xp.zeros(shape, dx.dtype)
            work(images, slice(first, last), padded[:, top - base : bottom - base])
            dx[images, start:stop] = padded[:, start - base : stop - base, px : px + width]

        in_rows(xp, fill, len(dx), height, max(BLOCK // max(width * dx.shape[3], 1), _ROWS))


@differentiable
def max_pool2d(
    x: Array, *, kernel: Pair, stride: Pair | None = None, padding: Pair = 0
) -> tuple[Array, Callable]:
    """The largest value under each window.

        y[n, c, i, j] = max over u < kh, v < kw of x[n, c, i·s + u - p, j·s + v - p]

    Padding never wins. The gradient goes to the largest value; of equal ones, to the first in reading
    order. With kernel 1 this is subsampling.

    Args:
        x: (N, C, H, W).
        kernel: height and width of the window; one number stands for both, here and below.
        stride: step between windows; None for the kernel's size.
        padding: rings around the map, at most half the kernel.

    Returns:
        (N, C, H', W') with H' = floor((H + 2p - kh) / s) + 1.

    Raises:
        ValueError: x is not (N, C, H, W), or no window fits.
    """
    xp = xp_of(x)
    windows = _Windows("max_pool2d", x.shape, kernel, stride, padding)
    cells = cells_of(x)
    y = xp.empty((len(x), *windows.output, x.shape[1]), x.dtype)

    def forward(images: slice, rows: slice) -> None:
        source, out = windows.seen(cells[images], rows, -xp.inf), y[images, rows]
        for number, place in enumerate(windows.places(out.shape[1])):
            if number == 0:
                out[...] = source[place]
            else:
                xp.maximum(out, source[place], out=out)

    windows.run(cells, forward)

    def gradient(dy: Array) -> Array:
        dy = cells_of(dy)
        dx = xp.empty(cells.shape, dy.dtype)

        def backward(images: slice, rows: slice, part: Array) -> None:
            source, best = windows.seen(cells[images], rows, -xp.inf), y[images, rows]
            own = dy[images, rows]
            waiting = xp.ones(best.shape, bool)  # windows whose maximum has not been met yet
            for place in windows.places(best.shape[1]):
                met = source[place] == best
                met &= waiting
                waiting ^= met
                part[place] += own * met

        windows.spread(dx, backward)
        return maps_of(dx)

    return maps_of(y), gradient


@differentiable
def avg_pool2d(
    x: Array, *, kernel: Pair, stride: Pair | None = None, padding: Pair = 0
) -> tuple[Array, Callable]:
    """The mean value under each window, padding counted as zeros.

        y[n, c, i, j] = Σ_u Σ_v x[n, c, i·s + u - p, j·s + v - p] / (kh · kw)

    Args:
        x: (N, C, H, W).
        kernel: height and width of the window; one number stands for both, here and below.
        stride: step between windows; None for the kernel's size.
        padding: rings of zeros around the map, at most half the kernel.

    Returns:
        (N, C, H', W') with H' = floor((H + 2p - kh) / s) + 1.

    Raises:
        ValueError: x is not (N, C, H, W), or no window fits.
    """
    xp = xp_of(x)
    windows = _Windows("avg_pool2d", x.shape, kernel, stride, padding)
    cells = cells_of(x)
    y = xp.zeros((len(x), *windows.output, x.shape[1]), x.dtype)
    share = windows.kernel[0] * windows.kernel[1]

    def forward(images: slice, rows: slice) -> None:
        source, out = windows.seen(cells[images], rows, 0), y[images, rows]
        for place in windows.places(out.shape[1]):
            out += source[place]
        out /= share

    windows.run(cells, forward)
    shape = cells.shape

    def gradient(dy: Array) -> Array:
        dy = cells_of(dy)
        dx = xp.empty(shape, dy.dtype)

        def backward(images: slice, rows: slice, part: Array) -> None:
            own = dy[images, rows] / share
            for place in windows.places(own.shape[1]):
                part[place] += own

        windows.spread(dx, backward)
        return maps_of(dx)

    return maps_of(y), gradient


@differentiable
def global_avg_pool2d(x: Array) -> tuple[Array, Callable]:
    """The mean of each whole map, (N, C, H, W) → (N, C).

    Source: Lin et al., "Network in network", 2014, section 3.2.

    Raises:
        ValueError: x is not (N, C, H, W) with H and W of 1 or more.
    """
    if x.ndim != 4 or 0 in x.shape[2:]:
        raise ValueError(
            f"global_avg_pool2d: x has shape {x.shape}; it should be (N, C, H, W), H and W at least 1"
        )
    xp, shape = xp_of(x), x.shape
    count = shape[2] * shape[3]
    return x.sum(axis=(2, 3)) / count, lambda dy: xp.broadcast_to(
        (dy / count)[:, :, None, None], shape
    ).copy()


def _pair(value: Any) -> tuple[int, int]:
    y, x = (value, value) if isinstance(value, int) else value
    return int(y), int(x)
