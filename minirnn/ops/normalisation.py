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

from minirnn.autograd.tensor import differentiable, together
from minirnn.backend import Array, xp_of
from minirnn.errors import InputError
from minirnn.ops.checks import check_group_norm, check_per_channel


@differentiable(check=check_group_norm)
def group_norm(
    x: Array,
    weight: Array,
    bias: Array,
    add: Array | None = None,
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
        add: of x's shape, is added to the result; or None.
        groups: number of groups that the channels are cut into.
        eps: ε, keeps the division finite.
        relu: whether negative results become 0.

    Returns:
        of x's shape.

    Raises:
        InputError: shapes do not fit, or groups does not divide C.

    Source: Wu and He, "Group normalization", 2018, section 3.
    """
    xp, members = xp_of(x, weight, bias, add), x.shape[1] // groups * _size(x.shape[2:])
    grouped = (len(x), groups, members)
    w, b = (values.reshape(-1, *(1,) * (x.ndim - 2)) for values in (weight, bias))

    def mean(values: Array) -> Array:
        return values.sum(axis=2, keepdims=True) / (members or 1)

    centred = x.reshape(grouped) - mean(x.reshape(grouped))
    r = 1 / xp.sqrt(mean(centred * centred) + eps)
    x_hat = centred * r
    y = w * x_hat.reshape(x.shape) + b
    y = y if add is None else y + add
    y = xp.maximum(y, 0) if relu else y

    def inner(dy: Array) -> Array:
        return dy * (y > 0) if relu else dy

    def to_x(dy: Array) -> Array:
        g = (w * inner(dy)).reshape(grouped)
        return (r * (g - mean(g) - x_hat * mean(g * x_hat))).reshape(x.shape)

    axes = (0, *range(2, x.ndim))
    to_weight = lambda dy: (inner(dy) * x_hat.reshape(x.shape)).sum(axis=axes)  # noqa: E731
    to_bias = lambda dy: inner(dy).sum(axis=axes)  # noqa: E731
    return y, (to_x, to_weight, to_bias) + (() if add is None else (inner,))


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
        InputError: shapes do not fit.
    """
    check_per_channel("frozen_batch_norm", x, weight, bias, mean, variance)
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
        InputError: shapes do not fit.

    Source: Ioffe and Szegedy, "Batch normalization", 2015, algorithm 1.
    """
    xp = xp_of(x, weight, bias)
    check_per_channel("batch_norm", x, weight, bias)
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
        InputError: shapes do not fit.

    Source: Ba et al., "Layer normalization", 2016, section 3.
    """
    xp = xp_of(x, weight, bias)
    if x.ndim < 1 or weight.shape != x.shape[-1:] or bias.shape != x.shape[-1:]:
        raise InputError(
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
