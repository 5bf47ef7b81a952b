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

from minirnn.autograd.passes import in_blocks, together
from minirnn.autograd.tensor import differentiable
from minirnn.backend import Array, xp_of


@differentiable
def group_norm(
    x: Array, weight: Array, bias: Array, *, groups: int, eps: float = 1e-5
) -> tuple[Array, tuple]:
    """Normalise each image's channels in groups: no other image of the batch is needed.

    Args:
        x: (N, C, …).
        weight: (C,).
        bias: (C,).
        groups: number of groups that the channels are cut into.
        eps: ε, keeps the division finite.

    Returns:
        of x's shape.

    Raises:
        ValueError: shapes do not fit, or groups does not divide C.

    Source: Wu and He, "Group normalization", 2018, section 3.
    """
    xp = xp_of(x, weight, bias)
    _check("group_norm", x, weight, bias)
    n, channels = x.shape[:2]
    if groups < 1 or channels % groups:
        raise ValueError(f"group_norm: {channels} channels cannot be cut into {groups} groups")
    # A row is one group of one image; it has `members` channels of `area` values.
    members, area, rows = channels // groups, _size(x.shape[2:]), n * groups
    length = members * area or 1
    shape = (rows, members, area)
    x3, y = x.reshape(shape), xp.empty(shape, x.dtype)
    w, b = (
        xp.broadcast_to(p.reshape(groups, members), (n, groups, members)).reshape(rows, members)
        for p in (weight, bias)
    )
    mean, r = xp.empty((rows, 1), x.dtype), xp.empty((rows, 1), x.dtype)

    def forward(start: int, stop: int) -> None:
        part = slice(start, stop)
        out = y[part]
        mean[part] = (
            x3[part].reshape(stop - start, members * area).sum(axis=1, keepdims=True) / length
        )
        xp.subtract(x3[part], mean[part, :, None], out=out)
        variance = xp.einsum("rca,rca->r", out, out)[:, None] / length
        r[part] = 1 / xp.sqrt(variance + eps)
        out *= (r[part] * w[part])[:, :, None]
        out += b[part, :, None]

    in_blocks(xp, forward, rows, members * area)

    def gradients(dy: Array) -> tuple[Array, Array, Array]:
        dy = dy.reshape(shape)
        dx = xp.empty(shape, dy.dtype)
        dw, db = xp.empty((rows, members), dy.dtype), xp.empty((rows, members), dy.dtype)

        def backward(start: int, stop: int) -> None:
            part = slice(start, stop)
            out, root = dx[part], r[part]
            xp.subtract(x3[part], mean[part, :, None], out=out)  # x̂ / r
            dw[part] = xp.einsum("rca,rca->rc", dy[part], out) * root
            db[part] = dy[part].sum(axis=2)
            mean_g = (db[part] * w[part]).sum(axis=1, keepdims=True) / length
            mean_gx = (dw[part] * w[part]).sum(axis=1, keepdims=True) / length
            out *= (-(root**2) * mean_gx)[:, :, None]
            out -= (root * mean_g)[:, :, None]
            out += dy[part] * (root * w[part])[:, :, None]

        in_blocks(xp, backward, rows, members * area)
        dw, db = (d.reshape(n, channels).sum(axis=0) for d in (dw, db))
        return dx.reshape(x.shape), dw, db

    return y.reshape(x.shape), together(gradients, 3)


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
    xp = xp_of(x, weight, bias, mean, variance)
    _check("frozen_batch_norm", x, weight, bias, mean, variance)
    scale = weight / xp.sqrt(variance + eps)
    shift = (bias - mean * scale).astype(x.dtype, copy=False)
    scale = scale.astype(x.dtype, copy=False)
    n, channels = x.shape[:2]
    area = _size(x.shape[2:])

    def scaled(values: Array, offset: Array | None) -> Array:
        planes = values.reshape(n, channels, area)
        out = xp.empty(planes.shape, planes.dtype)

        def work(start: int, stop: int) -> None:
            part = slice(start, stop)
            xp.multiply(planes[:, part], scale[part, None], out=out[:, part])
            if offset is not None:
                out[:, part] += offset[part, None]

        in_blocks(xp, work, channels, n * area)
        return out.reshape(values.shape)

    return scaled(x, shift), (lambda dy: scaled(dy, None), None, None, None, None)


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
