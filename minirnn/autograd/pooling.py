"""Pooling: a window moves over the map, and its maximum or mean stands for it.

Instead of gathering windows, the map is read once per place in the window: all values that stand
at the window's upper left form a map of the output's size, and so do those at each other place. A
maximum over windows is then the maximum of those few maps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from minirnn.autograd.passes import in_blocks
from minirnn.autograd.tensor import differentiable
from minirnn.backend import Array, xp_of

Pair = int | tuple[int, int]


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
        self.planes, self.input = shape[0] * shape[1], shape[2:]
        self.padded = tuple(n + 2 * p for n, p in zip(self.input, self.padding, strict=True))
        self.output = tuple(
            (n - k) // s + 1 for n, k, s in zip(self.padded, self.kernel, self.stride, strict=True)
        )
        if min(self.output) < 1:
            raise ValueError(
                f"{name}: kernel {self.kernel} is larger than the map {self.input} "
                f"with padding {self.padding}"
            )
        self.shape = (*shape[:2], *self.output)

    def places(self) -> Iterator[tuple[slice, slice]]:
        """For each place in the window, in reading order: the padded rows and columns it visits."""
        (kh, kw), (sy, sx), (height, width) = self.kernel, self.stride, self.output
        for u in range(kh):
            for v in range(kw):
                yield (
                    slice(u, u + (height - 1) * sy + 1, sy),
                    slice(v, v + (width - 1) * sx + 1, sx),
                )

    def pad(self, planes: Array, value: float) -> Array:
        """(B, H, W) with a border of `value`; without padding, the planes as they are."""
        if self.padding == (0, 0):
            return planes
        padded = xp_of(planes).full((len(planes), *self.padded), value, planes.dtype)
        self.inside(padded)[...] = planes
        return padded

    def inside(self, padded: Array) -> Array:
        """The planes without their border."""
        (py, px), (height, width) = self.padding, self.input
        return padded[:, py : py + height, px : px + width]


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
    planes = x.reshape(windows.planes, *windows.input)
    y = xp.empty((windows.planes, *windows.output), x.dtype)
    size = windows.padded[0] * windows.padded[1]

    def forward(start: int, stop: int) -> None:
        source, out = windows.pad(planes[start:stop], -xp.inf), y[start:stop]
        for number, (rows, columns) in enumerate(windows.places()):
            if number == 0:
                out[...] = source[:, rows, columns]
            else:
                xp.maximum(out, source[:, rows, columns], out=out)

    in_blocks(xp, forward, windows.planes, size)

    def gradient(dy: Array) -> Array:
        dx = xp.empty((windows.planes, *windows.input), dy.dtype)
        dy = dy.reshape(y.shape)

        def backward(start: int, stop: int) -> None:
            source, best, part = (
                windows.pad(planes[start:stop], -xp.inf),
                y[start:stop],
                dy[start:stop],
            )
            spread = xp.zeros(source.shape, dy.dtype)
            waiting = xp.ones(best.shape, bool)  # windows whose maximum has not been met yet
            for rows, columns in windows.places():
                met = source[:, rows, columns] == best
                met &= waiting
                waiting ^= met
                spread[:, rows, columns] += part * met
            dx[start:stop] = windows.inside(spread)

        in_blocks(xp, backward, windows.planes, size)
        return dx.reshape(x.shape)

    return y.reshape(windows.shape), gradient


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
    planes = x.reshape(windows.planes, *windows.input)
    y = xp.zeros((windows.planes, *windows.output), x.dtype)
    size, share = windows.padded[0] * windows.padded[1], windows.kernel[0] * windows.kernel[1]
    shape = x.shape

    def forward(start: int, stop: int) -> None:
        source, out = windows.pad(planes[start:stop], 0), y[start:stop]
        for rows, columns in windows.places():
            out += source[:, rows, columns]
        out /= share

    in_blocks(xp, forward, windows.planes, size)

    def gradient(dy: Array) -> Array:
        dx = xp.empty((windows.planes, *windows.input), dy.dtype)
        dy = dy.reshape(windows.planes, *windows.output)

        def backward(start: int, stop: int) -> None:
            spread = xp.zeros((stop - start, *windows.padded), dy.dtype)
            part = dy[start:stop] / share
            for rows, columns in windows.places():
                spread[:, rows, columns] += part
            dx[start:stop] = windows.inside(spread)

        in_blocks(xp, backward, windows.planes, size)
        return dx.reshape(shape)

    return y.reshape(windows.shape), gradient


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
