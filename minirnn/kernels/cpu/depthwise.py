"""Depthwise convolution: a kernel for each channel, which sees that channel alone.

It is no matrix product, and has few multiplications for each number that is read: what costs is the way
through memory. So a block of rows is laid into the cache with its border of zeros, and there the map,
shifted by each element of the kernel, is multiplied with that element's weights and added up.

Channels last, a shifted row is one run of W·C numbers, if the weights of a place are repeated for its W
places: `np.einsum` then goes through long runs, multiplies and adds in one step. With stride 2, even and
odd columns are sorted into two maps before, each seen with stride 1.

With stride 1 and kernels of 3×3 or 5×5, `kernels.cpu.depthwise_winograd` takes fewer multiplications.

All three products are such sums. The gradient of the input is one for each remainder of y / stride and
x / stride: with stride 2, even rows see only every second element of the kernel, and odd rows the others.
Source: Howard et al., "MobileNets", 2017, section 3.1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from minirnn.backend import Array
from minirnn.kernels.cpu import depthwise_winograd as winograd
from minirnn.kernels.cpu.correlation import Epilogue, sum_of_places
from minirnn.kernels.cpu.layout import hwio_of, nchw_of, nhwc_of, oihw_of, on_host
from minirnn.kernels.cpu.passes import before_relu
from minirnn.kernels.cpu.walk import BLOCK, walk
from minirnn.kernels.table import kernel
from minirnn.ops import convolution as plain
from minirnn.ops.checks import Padding, Pair, Sides, conv_size, pair, sides

_ROWS = 16  # of a block at least: the rows above and below that its kernels see are laid out twice
_WEIGHTS = 1 << 15  # numbers of the repeated weights: 128 KiB of float32


def is_depthwise(x: Array, weight: Array, *arrays: Any, groups: int = 1, **settings: Any) -> bool:
    """Whether each channel of a call of `conv2d` has a group, one kernel and one output."""
    return x.shape[1] == groups == len(weight) > 1


def _applies(*arrays: Any, **settings: Any) -> bool:
    return is_depthwise(*arrays, **settings) and on_host(*arrays)


@kernel(
    plain.conv2d,
    "cpu",
    reason="depthwise: multiply-adds in long runs in the cache, stride 1 by Winograd along y; all cores",
    accuracy="stride 1, float32: 2e-6 of the largest result at most (found 1e-6; plain 3e-7); else same",
    applies=_applies,
)
def depthwise_conv2d(
    x: Array,
    weight: Array,
    bias: Array | None,
    add: Array | None = None,
    *,
    stride: Pair = 1,
    padding: Padding = 0,
    dilation: Pair = 1,
    groups: int = 1,
    relu: bool = False,
    relu6: bool = False,
) -> tuple[Array, tuple]:
    """`minirnn.ops.convolution.conv2d` with as many groups as channels and outputs."""
    size = conv_size(x.shape[2:], weight.shape[2:], stride, padding, dilation)
    where = _Where(pair(stride), sides(padding), pair(dilation), size)
    cells, taps = nhwc_of(x), hwio_of(weight)[:, :, 0]  # (N, H, W, C), (kh, kw, C)
    epilogue = Epilogue(bias, None if add is None else nhwc_of(add), relu, relu6)
    y = _correlate(cells, taps, where, epilogue)
    inner = before_relu(y, relu, nhwc_of, relu6)

    def to_weight(dy: Array) -> Array:
        return oihw_of(_weight_gradient(cells, inner(dy), taps.shape[:2], where)[:, :, None])

    vjps: tuple[Callable | None, ...] = (
        lambda dy: nchw_of(_transposed(inner(dy), taps, where, cells.shape)),
        to_weight,
        None if bias is None else lambda dy: sum_of_places(inner(dy)),
    )
    if add is not None:
        vjps = (*vjps, lambda dy: nchw_of(inner(dy)))
    return nchw_of(y), vjps


class _Where(NamedTuple):
    """Where the kernels stand; (y, x) each."""

    stride: tuple[int, int]
    padding: Sides
    dilation: tuple[int, int]
    output: tuple[int, int]

    def back(self, kernel: tuple[int, ...], shape: tuple[int, ...]) -> _Where | None:
        """Where the turned kernels stand on the way back, with stride 1; None where that does not go."""
        reach = [d * (k - 1) for d, k in zip(self.dilation, kernel, strict=True)]
        (top, bottom), (left, right) = self.padding
        padding = (reach[0] - top, reach[0] - bottom), (reach[1] - left, reach[1] - right)
        if self.stride != (1, 1) or min(min(each) for each in padding) < 0:
            return None
        return _Where((1, 1), padding, self.dilation, (shape[0], shape[1]))

    def suits_winograd(self, cells: Array, kernel: tuple[int, ...]) -> bool:
        """Whether Winograd's algorithm takes less time."""
        return (
            self.stride == (1, 1)
            and self.dilation[0] == 1
            and winograd.suits(cells.dtype, kernel, self.output, cells.shape[3])
        )

    def seen(self, cells: Array, rows: slice, kernel: tuple[int, ...]) -> Array:
        """What the kernels see of (n, H, W, C) for some rows of the output."""
        spans = []
        for axis, part in enumerate((rows, slice(0, self.output[1]))):
            first = part.start * self.stride[axis] - self.padding[axis][0]
            last = (part.stop - 1) * self.stride[axis] - self.padding[axis][0]
            spans.append((first, last + self.dilation[axis] * (kernel[axis] - 1) + 1))
        return _cut(cells, *spans)


def _correlate(cells: Array, taps: Array, where: _Where, epilogue: Epilogue) -> Array:
    """y[i, j, c] = Σ_u Σ_v w[u, v, c] · x[i·s + u·d - p, j·s + v·d - p, c], with the epilogue done."""
    if where.suits_winograd(cells, taps.shape[:2]):
        return winograd.correlate(cells, taps, where.padding, where.dilation[1], epilogue)
    y = np.empty((len(cells), *where.output, cells.shape[3]), cells.dtype)

    def work(images: slice, rows: slice) -> None:
        part, out = where.seen(cells[images], rows, taps.shape), y[images, rows]
        _slide(part, taps, where.stride, where.dilation, out)
        epilogue(out, (images, rows), out)

    _by_rows(work, y)
    return y


def _transposed(dy: Array, taps: Array, where: _Where, shape: tuple[int, ...]) -> Array:
    """dx[y, x, c] = Σ w[u, v, c] · dy[i, j, c] over u, v, i, j with i·s + u·d - p = y, and x likewise."""
    back = where.back(taps.shape[:2], shape[1:3])
    if back is not None and back.suits_winograd(dy, taps.shape[:2]):
        turned = taps[::-1, ::-1]
        return winograd.correlate(dy, turned, back.padding, back.dilation[1], Epilogue(None))
    dx = np.empty(shape, dy.dtype)

    def work(images: slice, rows: slice) -> None:
        part, source = dx[images, rows], dy[images]
        for of_y in _remainders(rows, 0, len(taps), where):
            for of_x in _remainders(slice(0, shape[2]), 1, taps.shape[1], where):
                out = part[:, of_y.goal, of_x.goal]
                own = taps[of_y.taps, of_x.taps]
                if not own.size:
                    out[...] = 0
                    continue
                sum_of = out if where.stride[1] == 1 else np.empty(out.shape, out.dtype)
                seen, steps = _cut(source, of_y.span, of_x.span), (of_y.step, of_x.step)
                _slide(seen, own, (1, 1), steps, sum_of)
                if sum_of is not out:
                    out[...] = sum_of

    _by_rows(work, dx)
    return dx


class _Remainder(NamedTuple):
    """The places of one axis of dx that see the same elements of the kernel.

    Attributes:
        goal: the places, counted from the block's first.
        taps: the elements, the last first.
        span: what they see of dy, first and last + 1.
        step: from one element to the next in dy.
    """

    goal: slice
    taps: slice
    span: tuple[int, int]
    step: int


def _remainders(places: slice, axis: int, kernel: int, where: _Where) -> Iterator[_Remainder]:
    s, d, p = where.stride[axis], where.dilation[axis], where.padding[axis][0]
    for offset in range(min(s, places.stop - places.start)):
        y = places.start + offset
        own = [u for u in range(kernel) if (y + p - u * d) % s == 0]
        goal = slice(offset, None, s)
        if not own:
            yield _Remainder(goal, slice(0, 0), (0, 0), 1)
            continue
        between = own[1] - own[0] if len(own) > 1 else 1
        step = between * d // s if len(own) > 1 else 1
        first, count = (y + p - own[-1] * d) // s, len(range(y, places.stop, s))
        stop = own[0] - between
        taps = slice(own[-1], stop if stop >= 0 else None, -between)
        yield _Remainder(goal, taps, (first, first + count + (len(own) - 1) * step), step)


def _weight_gradient(cells: Array, dy: Array, kernel: tuple[int, ...], where: _Where) -> Array:
    """dw[u, v, c] = Σ_n Σ_i Σ_j dy[n, i, j, c] · x[n, i·s + u·d - p, j·s + v·d - p, c]."""
    sums: dict[tuple[int, int], Array] = {}
    channels = dy.shape[3]

    def work(images: slice, rows: slice) -> None:
        part, own = where.seen(cells[images], rows, kernel), _joined(dy[images, rows])
        total = np.zeros((*kernel, channels), dy.dtype)
        for plane, columns, step in _planes(part, kernel[1], where.stride[1], where.dilation[1]):
            goal = total[:, columns]
            steps = where.dilation[0], step
            x = _windows(plane, goal.shape[:2], where.stride[0], steps, dy[images, rows])
            for run in _runs(goal.shape, own.shape[2]):
                by_place = np.einsum("uvnij,nij->uvj", x[..., run], own[..., run])
                goal += by_place.reshape(*goal.shape[:2], -1, channels).sum(axis=2)
        sums[images.start, rows.start] = total

    _by_rows(work, dy)
    zero = np.zeros((*kernel, channels), dy.dtype)
    return sum((sums[place] for place in sorted(sums)), zero)  # always in the same order


def _by_rows(work: Callable[[slice, slice], None], maps: Array) -> None:
    """Call `work(images, rows)` for blocks of rows of (N, H, W, C), on all cores."""
    row = maps.shape[2] * maps.shape[3]
    walk(work, *maps.shape[:2], numbers=row, most=max(BLOCK, _ROWS * row))


def _slide(
    part: Array, taps: Array, stride: tuple[int, int], dilation: tuple[int, int], out: Array
) -> None:
    """out[i, j, c] = Σ_u Σ_v w[u, v, c] · part[i·s + u·d, j·s + v·d, c]: nothing lies outside of `part`."""
    y, scratch = _joined(out), None
    for plane, columns, step in _planes(part, taps.shape[1], stride[1], dilation[1]):
        own = taps[:, columns]
        x = _windows(plane, own.shape[:2], stride[0], (dilation[0], step), out)
        runs = _runs(own.shape, y.shape[2])
        # The weights of a place, for each place of a run.
        wide = np.tile(own, (1, 1, (runs[0].stop - runs[0].start) // own.shape[2]))
        goal = y if scratch is None else scratch
        for run in runs:
            each = wide[..., : run.stop - run.start]
            np.einsum("uvnij,uvj->nij", x[..., run], each, out=goal[..., run])
        if scratch is None:
            scratch = np.empty(y.shape, y.dtype) if stride[1] > 1 else y
        else:
            y += scratch


def _planes(
    part: Array, kernel: int, stride: int, dilation: int
) -> Iterator[tuple[Array, slice, int]]:
    """The columns of (n, h, w, C) sorted by what is left of x / stride, each with what sees them.

    Yields:
        a map that is seen with stride 1, the columns of the kernel that see it, and the distance that they
        have there.
    """
    if stride == 1:
        yield part, slice(None), dilation
        return
    for first in range(min(stride, kernel)):
        start, left = divmod(first * dilation, stride)
        seen_before = any((v * dilation - left) % stride == 0 for v in range(first))
        if seen_before:
            continue
        between = next(n for n in range(1, stride + 1) if n * dilation % stride == 0)
        plane = np.ascontiguousarray(part[:, :, left::stride][:, :, start:])
        yield plane, slice(first, None, between), between * dilation // stride


def _windows(
    part: Array, kernel: tuple[int, ...], stride: int, dilation: tuple[int, int], maps: Array
) -> Array:
    """(n, h, w, C) → (kh, kw, n, H', W'·C) for maps (n, H', W', C): what each element of the kernel sees.

    It is a view. The stride is that of rows; places of a row lie side by side.
    """
    of_n, of_y, of_x, of_c = part.strides
    steps = (dilation[0] * of_y, dilation[1] * of_x, of_n, stride * of_y, of_c)
    n, height, width, channels = maps.shape
    shape = (kernel[0], kernel[1], n, height, width * channels)
    return np.lib.stride_tricks.as_strided(part, shape, steps, writeable=False)


def _runs(taps: tuple[int, ...], length: int) -> list[slice]:
    """Parts of a row's W·C numbers, whole places, of which the first is the longest.

    Args:
        taps: (kh, kw, C), whose weights are repeated for each place.
        length: W·C.
    """
    step = max(_WEIGHTS // (taps[0] * taps[1] * taps[2]), 1) * taps[2]
    return [slice(i, min(i + step, length)) for i in range(0, length, step)]


def _joined(maps: Array) -> Array:
    """(…, W, C) → (…, W·C), of places that lie side by side; a view."""
    shape = (*maps.shape[:-2], maps.shape[-2] * maps.shape[-1])
    steps = (*maps.strides[:-2], maps.itemsize)
    return np.lib.stride_tricks.as_strided(maps, shape, steps)


def _cut(cells: Array, rows: tuple[int, int], columns: tuple[int, int]) -> Array:
    """The rows and columns (first, last + 1) of (n, H, W, C); what lies outside of the map is 0."""
    height, width = cells.shape[1:3]
    (top, bottom), (left, right) = rows, columns
    y, x = slice(max(top, 0), min(bottom, height)), slice(max(left, 0), min(right, width))
    if (y.start, y.stop, x.start, x.stop) == (top, bottom, left, right):
        return cells[:, y, x]
    part = np.zeros((len(cells), bottom - top, right - left, cells.shape[3]), cells.dtype)
    if y.start < y.stop and x.start < x.stop:
        inside = slice(y.start - top, y.stop - top), slice(x.start - left, x.stop - left)
        part[:, inside[0], inside[1]] = cells[:, y, x]
    return part
