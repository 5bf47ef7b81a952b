"""Normalisation: take off the mean, divide by the standard deviation, then scale and shift.

    x̂ = (x - μ) / √(σ² + ε)        y = w x̂ + b

The four differ only in the set of values that μ and σ² are taken over: a channel over the whole batch
(batch), constants (frozen batch), a group of channels of one image (group), the last axis (layer).
The variance is the mean of (x - μ)²; the cheaper E[x²] - μ² loses all digits where μ is large.

With r = 1 / √(σ² + ε), g = w dy, and means over the same set of values:

    dx = r (g - mean(g) - x̂ mean(g x̂))        dw = Σ dy x̂        db = Σ dy
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minirnn.autograd.tensor import differentiable
from minirnn.backend import Array, positive_part, xp_of
from minirnn.kernels.cpu import parallel
from minirnn.kernels.cpu.layout import cells_of
from minirnn.kernels.cpu.parallel import BLOCK
from minirnn.kernels.cpu.passes import before_relu, sum_of_rows, together


@differentiable
def group_norm(
    x: Array,
    weight: Array,
    bias: Array,
    residual: Array | None = None,
    *,
    groups: int,
    eps: float = 1e-5,
    relu: bool = False,
) -> tuple[Array, tuple]:
    """Normalise each image's channels in groups: no other image of the batch is needed.

    Args:
        x: (N, C, …).
        weight: (C,).
        bias: (C,).
        residual: of x's shape, is added to the result; or None.
        groups: number of groups that the channels are cut into.
        eps: ε, keeps the division finite.
        relu: whether negative results become 0.

    Returns:
        of x's shape.

    Raises:
        ValueError: shapes do not fit, or groups does not divide C.

    Source: Wu and He, "Group normalization", 2018, section 3.
    """
    xp = xp_of(x, weight, bias, residual)
    _check("group_norm", x, weight, bias)
    if residual is not None and residual.shape != x.shape:
        raise ValueError(f"group_norm: residual has shape {residual.shape}; it should be {x.shape}")
    n, channels = x.shape[:2]
    if groups < 1 or channels % groups:
        raise ValueError(f"group_norm: {channels} channels cannot be cut into {groups} groups")
    rows = _rows_of(x)  # (N, places, C)
    added = None if residual is None else _rows_of(residual)
    members = channels // groups
    length = members * rows.shape[1] or 1
    y = xp.empty(rows.shape, x.dtype)
    blocks = _Blocks(rows)

    def over_group(sums: Array) -> Array:
        """(N, C) → for each channel the sum of its group, divided by the number of values in it."""
        means = sums.reshape(n, groups, members).sum(axis=2) / length
        return xp.repeat(means, members, axis=1)[:, None]  # (N, 1, C)

    mean = over_group(blocks.sum(lambda place: sum_of_rows(rows[place])))

    def centred(place: Place) -> Array:
        out = y[place]
        xp.subtract(rows[place], mean[place[0]], out=out)
        return sum_of_rows(out * out)

    r = 1 / xp.sqrt(over_group(blocks.sum(centred)) + eps)
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
        dx = xp.empty(rows.shape, dy.dtype)

        def products(place: Place) -> Array:
            out = dx[place]
            xp.subtract(rows[place], mean[place[0]], out=out)  # x̂ / r
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
    if residual is not None:
        vjps = (*vjps, lambda dy: _like(inner(dy), x))
    return _like(y, x), vjps


Place = tuple[slice, slice]


def _rows_of(x: Array) -> Array:
    """(N, C, …) → (N, places, C), contiguous."""
    if x.ndim == 4:
        cells = cells_of(x)
    else:
        cells = xp_of(x).ascontiguousarray(x.transpose(0, *range(2, x.ndim), 1))
    return cells.reshape(len(x), _size(x.shape[2:]), x.shape[1])


def _like(rows: Array, x: Array) -> Array:
    """The reverse of `_rows_of`: x's shape (N, C, …), a view."""
    cells = rows.reshape(len(x), *x.shape[2:], x.shape[1])
    return cells.transpose(0, x.ndim - 1, *range(1, x.ndim - 1))


class _Blocks:
    """Walk over (N, places, C) in blocks of the cache's size; on a GPU, over all of it at once.

    A block is a part of an image or, where images are small, several whole ones.
    """

    def __init__(self, rows: Array) -> None:
        self.xp, self.dtype, self.shape = xp_of(rows), rows.dtype, rows.shape
        n, places, channels = rows.shape
        if self.xp is not np:
            self.images, self.places = max(n, 1), max(places, 1)
        else:
            self.places = min(max(BLOCK // max(channels, 1), 1), max(places, 1))
            self.images = max(BLOCK // max(places * channels, 1), 1)
        self.parts = -(-places // self.places)  # of an image

    def run(self, work: Callable[[Place], Any]) -> None:
        """Call `work(place)` for all blocks, on all cores."""
        self._run(lambda place, _: work(place))

    def sum(self, values: Callable[[Place], Array]) -> Array:
        """Σ over all places of an image, (N, C), where `values(place)` is the sum over a block's."""
        n, _, channels = self.shape
        sums = self.xp.zeros((n, self.parts, channels), self.dtype)

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
        if self.xp is np:
            parallel.for_chunks(share, count)
        else:
            share(0, count)


@differentiable
def frozen_batch_norm(
    x: Array, weight: Array, bias: Array, mean: Array, variance: Array, *, eps: float = 1e-5
) -> tuple[Array, tuple]:
    """Batch normalisation with everything given: one multiplication and one addition per value.

        y = s x + t        s = w / √(variance + ε)        t = b - mean s

    Args:
        x: (N, C, …).
        weight: (C,), like the next three a constant without gradient.
        bias: (C,).
        mean: (C,), of the data that the network was trained on.
        variance: (C,), likewise.
        eps: ε, keeps the division finite.

    Returns:
        of x's shape.

    Raises:
        ValueError: shapes do not fit.
    """
    _check("frozen_batch_norm", x, weight, bias, mean, variance)
    scale, shift = (
        values.astype(x.dtype, copy=False).reshape(-1, *(1,) * (x.ndim - 2))
        for values in scale_and_shift(weight, bias, mean, variance, eps)
    )
    y = x * scale
    y += shift
    return y, (lambda dy: dy * scale, None, None, None, None)


def scale_and_shift(
    weight: Array, bias: Array, mean: Array, variance: Array, eps: float
) -> tuple[Array, Array]:
    """s and t of frozen batch normalisation, y = s x + t."""
    scale = weight / xp_of(weight, variance).sqrt(variance + eps)
    return scale, bias - mean * scale


@differentiable
def batch_norm(
    x: Array,
    weight: Array,
    bias: Array,
    *,
    eps: float = 1e-5,
    observe: Callable[[Array, Array], None] | None = None,
) -> tuple[Array, tuple]:
    """Normalise each channel over all images and places of the batch.

    Args:
        x: (N, C, …).
        weight: (C,).
        bias: (C,).
        eps: ε, keeps the division finite.
        observe: is called once with the batch's mean (C,) and variance (C,), the latter divided by the
            number of values: for running averages, which are no part of the formula.

    Returns:
        of x's shape.

    Raises:
        ValueError: shapes do not fit.

    Source: Ioffe and Szegedy, "Batch normalization", 2015, algorithm 1.
    """
    xp = xp_of(x, weight, bias)
    _check("batch_norm", x, weight, bias)
    n, channels = x.shape[:2]
    x3 = x.reshape(n, channels, _size(x.shape[2:]))
    count = n * x3.shape[2] or 1
    mean = x3.sum(axis=(0, 2)) / count
    y = x3 - mean[:, None]
    variance = xp.einsum("nca,nca->c", y, y) / count
    r = 1 / xp.sqrt(variance + eps)
    if observe is not None:
        observe(mean, variance)
    y *= (r * weight)[:, None]
    y += bias[:, None]

    def gradients(dy: Array) -> tuple[Array, Array, Array]:
        dy = dy.reshape(x3.shape)
        dx = x3 - mean[:, None]
        total = dy.sum(axis=(0, 2))
        product = xp.einsum("nca,nca->c", dy, dx)
        dx *= (-(r**2) * product / count)[:, None]
        dx += dy
        dx -= (total / count)[:, None]
        dx *= (r * weight)[:, None]
        return dx.reshape(x.shape), product * r, total

    return y.reshape(x.shape), together(gradients, 3)


@differentiable
def layer_norm(x: Array, weight: Array, bias: Array, *, eps: float = 1e-5) -> tuple[Array, tuple]:
    """Normalise along the last axis.

    Args:
        x: (…, D).
        weight: (D,).
        bias: (D,).
        eps: ε, keeps the division finite.

    Returns:
        of x's shape.

    Raises:
        ValueError: shapes do not fit.

    Source: Ba et al., "Layer normalization", 2016, section 3.
    """
    xp = xp_of(x, weight, bias)
    if x.ndim < 1 or weight.shape != x.shape[-1:] or bias.shape != x.shape[-1:]:
        raise ValueError(
            f"layer_norm: x has shape {x.shape}, weight {weight.shape} and bias {bias.shape}; "
            "they should be (…, D), (D,) and (D,)"
        )
    rows = x.reshape(_size(x.shape[:-1]), x.shape[-1])
    length = rows.shape[1] or 1
    centred = rows - rows.sum(axis=1, keepdims=True) / length
    r = 1 / xp.sqrt(xp.einsum("nd,nd->n", centred, centred) / length + eps)
    x_hat = centred * r[:, None]

    def gradients(dy: Array) -> tuple[Array, Array, Array]:
        dy = dy.reshape(rows.shape)
        g = dy * weight
        dx = g - g.sum(axis=1, keepdims=True) / length
        dx -= x_hat * (xp.einsum("nd,nd->n", g, x_hat) / length)[:, None]
        dx *= r[:, None]
        return dx.reshape(x.shape), xp.einsum("nd,nd->d", dy, x_hat), dy.sum(axis=0)

    return (x_hat * weight + bias).reshape(x.shape), together(gradients, 3)


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for n in shape:
        size *= n
    return size


def _check(name: str, x: Array, *per_channel: Any) -> None:
    if x.ndim < 2 or any(p.shape != x.shape[1:2] for p in per_channel):
        raise ValueError(
            f"{name}: x has shape {x.shape} and the values per channel "
            f"{', '.join(str(p.shape) for p in per_channel)}; they should be (N, C, …) and (C,)"
        )
