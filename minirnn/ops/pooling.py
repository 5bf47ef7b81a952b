"""Pooling: a window moves over the map, and its maximum or mean stands for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from minirnn.autograd.tensor import differentiable
from minirnn.backend import Array, xp_of
from minirnn.errors import InputError
from minirnn.ops.checks import Pair, pair


@differentiable
def max_pool2d(
    x: Array,
    *,
    kernel: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    ceil_mode: bool = False,
) -> tuple[Array, Callable]:
    """The largest value under each window.

        y[n, c, i, j] = max over u < kh, v < kw of x[n, c, i·s + u - p, j·s + v - p]

    Padding never wins. The gradient goes to the largest value; of equal ones, to the first in reading
    order. With kernel 1 this is subsampling.

    Args:
        x: (N, C, H, W).
        kernel: height and width of the window; one number stands for both, here and below.
        stride: step between windows; None for the kernel's size.
        padding: rings around the map, at most half the kernel (the same on opposite sides).
        ceil_mode: whether a last window counts that the map and its padding fill only in part, as long
            as it begins inside the map or the padding before it.

    Returns:
        (N, C, H', W') with H' = floor((H + 2p - kh) / s) + 1; ceil with ceil_mode.

    Raises:
        InputError: x is not (N, C, H, W), a setting is out of range, or no window fits.
    """
    xp = xp_of(x)
    windows = Windows("max_pool2d", x.shape, kernel, stride, padding, ceil_mode)
    padded = windows.pad(x, -xp.inf)
    # One map of the output's size for each place in the window: (kh · kw, N, C, H', W').
    seen = xp.stack([padded[place] for place in windows.places()])
    winner = seen.argmax(axis=0)  # the first of equal ones

    def gradient(dy: Array) -> Array:
        dpadded = xp.zeros(padded.shape, dy.dtype)
        for number, place in enumerate(windows.places()):
            dpadded[place] += dy * (winner == number)
        return windows.unpad(dpadded)

    return seen.max(axis=0), gradient


@differentiable
def avg_pool2d(
    x: Array,
    *,
    kernel: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> tuple[Array, Callable]:
    """The mean value under each window, padding counted as zeros (or not at all).

        y[n, c, i, j] = Σ_u Σ_v x[n, c, i·s + u - p, j·s + v - p] / (kh · kw)

    Args:
        x: (N, C, H, W).
        kernel: height and width of the window; one number stands for both, here and below.
        stride: step between windows; None for the kernel's size.
        padding: rings of zeros around the map, at most half the kernel (the same on opposite sides).
        ceil_mode: whether a last window counts that the map and its padding fill only in part, as long
            as it begins inside the map or the padding before it.
        count_include_pad: whether the padding counts in the mean; False divides by the number of values
            of the map under the window.

    Returns:
        (N, C, H', W') with H' = floor((H + 2p - kh) / s) + 1; ceil with ceil_mode.

    Raises:
        InputError: x is not (N, C, H, W), a setting is out of range, or no window fits.
    """
    xp = xp_of(x)
    windows = Windows("avg_pool2d", x.shape, kernel, stride, padding, ceil_mode)
    padded = windows.pad(x, 0)
    counted = windows.pad(xp.ones((1, 1, *x.shape[2:]), x.dtype), float(count_include_pad))
    share = sum(counted[place] for place in windows.places())  # values that count in each window
    y = sum(padded[place] for place in windows.places()) / share

    def gradient(dy: Array) -> Array:
        dpadded = xp.zeros(padded.shape, dy.dtype)
        for place in windows.places():
            dpadded[place] += dy / share
        return windows.unpad(dpadded)

    return y, gradient


@differentiable
def global_avg_pool2d(x: Array) -> tuple[Array, Callable]:
    """The mean of each whole map, (N, C, H, W) → (N, C).

    Source: Lin et al., "Network in network", 2014, section 3.2.

    Raises:
        InputError: x is not (N, C, H, W) with H and W of 1 or more.
    """
    if x.ndim != 4 or 0 in x.shape[2:]:
        raise InputError(
            f"global_avg_pool2d: x has shape {x.shape}; it should be (N, C, H, W), H and W at least 1"
        )
    xp, shape = xp_of(x), x.shape
    count = shape[2] * shape[3]
    return x.sum(axis=(2, 3)) / count, lambda dy: xp.broadcast_to(
        (dy / count)[:, :, None, None], shape
    ).copy()


class Windows:
    """Where the windows of a pooling stand: kernel, stride, padding and sizes, (y, x) each.

    Attributes:
        kernel: height and width of a window.
        stride: step between windows.
        padding: rings around the map, on opposite sides the same.
        input: the map's size.
        padded: its size with padding.
        output: number of windows.
    """

    def __init__(
        self,
        name: str,
        shape: tuple[int, ...],
        kernel: Pair,
        stride: Pair | None = None,
        padding: Pair = 0,
        ceil_mode: bool = False,
    ) -> None:
        if len(shape) != 4:
            raise InputError(f"{name}: x has shape {shape}; it should be (N, C, H, W)")
        self.kernel = pair(kernel)
        self.stride = self.kernel if stride is None else pair(stride)
        self.padding = pair(padding)
        if min(self.kernel) < 1 or min(self.stride) < 1 or min(self.padding) < 0:
            raise InputError(
                f"{name}: kernel {self.kernel} and stride {self.stride} should be at least 1, "
                f"padding {self.padding} at least 0"
            )
        if any(2 * p > k for p, k in zip(self.padding, self.kernel, strict=True)):
            # A window in the corner would see nothing but padding.
            raise InputError(
                f"{name}: padding {self.padding} should be at most half of kernel {self.kernel}"
            )
        self.input = shape[2:]
        self.padded = tuple(n + 2 * p for n, p in zip(self.input, self.padding, strict=True))
        self.output = tuple(
            _count(*sizes, ceil_mode)
            for sizes in zip(self.padded, self.kernel, self.stride, self.padding, strict=True)
        )
        if min(self.output) < 1:
            raise InputError(
                f"{name}: kernel {self.kernel} is larger than the map {self.input} "
                f"with padding {self.padding}"
            )

    def pad(self, x: Array, value: float) -> Array:
        """The map with a border of `value`; a last window sees -inf beyond that if it is, else 0."""
        (py, px), (height, width) = self.padding, self.input
        reach = (
            max(n, (windows - 1) * s + k)
            for n, windows, s, k in zip(
                self.padded, self.output, self.stride, self.kernel, strict=True
            )
        )
        beyond = value if value < 0 else 0
        padded = xp_of(x).full((*x.shape[:2], *reach), beyond, x.dtype)
        padded[:, :, : self.padded[0], : self.padded[1]] = value
        padded[:, :, py : py + height, px : px + width] = x
        return padded

    def unpad(self, padded: Array) -> Array:
        """The map (N, C, H, W) without its border."""
        (py, px), (height, width) = self.padding, self.input
        return padded[:, :, py : py + height, px : px + width]

    def places(self) -> Iterator[tuple[Any, ...]]:
        """For each place in the window, in reading order: an index of the padded cells that stand there."""
        (kh, kw), (sy, sx), (height, width) = self.kernel, self.stride, self.output
        for u in range(kh):
            for v in range(kw):
                rows = slice(u, u + (height - 1) * sy + 1, sy)
                yield ..., rows, slice(v, v + (width - 1) * sx + 1, sx)


def _count(length: int, kernel: int, stride: int, padding: int, ceil_mode: bool) -> int:
    """How many windows stand on a padded axis."""
    if not ceil_mode:
        return (length - kernel) // stride + 1
    count = -(-(length - kernel) // stride) + 1
    # A window that would begin in the padding behind the map does not count.
    return count - ((count - 1) * stride >= length - padding)
