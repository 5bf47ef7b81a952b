"""Non-linear functions between layers, and those that make probabilities."""

from __future__ import annotations

from collections.abc import Callable

from minirnn.autograd.tensor import differentiable
from minirnn.backend import Array, xp_of
from minirnn.errors import InputError


@differentiable
def relu(x: Array) -> tuple[Array, Callable]:
    """max(x, 0); the gradient passes where y > 0 (so not at 0 itself).

    Source: Nair and Hinton, "Rectified linear units improve restricted Boltzmann machines", 2010.
    """
    y = xp_of(x).maximum(x, 0)
    return y, lambda dy: dy * (y > 0)


@differentiable
def relu6(x: Array) -> tuple[Array, Callable]:
    """min(max(x, 0), 6); the gradient passes where 0 < y < 6.

    The limit keeps numbers small enough for arithmetic with few bits, as on telephones.

    Source: Howard et al., "MobileNets: efficient convolutional neural networks for mobile vision
    applications", 2017; Sandler et al., "MobileNetV2", 2018, section 3.
    """
    y = xp_of(x).minimum(xp_of(x).maximum(x, 0), 6)
    return y, lambda dy: dy * (y > 0) * (y < 6)


@differentiable
def sigmoid(x: Array) -> tuple[Array, Callable]:
    """1 / (1 + e⁻ˣ), written with e^-|x| so that nothing overflows; derivative y (1 - y)."""
    xp = xp_of(x)
    small = xp.exp(-xp.absolute(x))
    y = xp.where(x >= 0, xp.ones_like(small), small) / (1 + small)
    return y, lambda dy: dy * y * (1 - y)


@differentiable
def tanh(x: Array) -> tuple[Array, Callable]:
    """The hyperbolic tangent; derivative 1 - y²."""
    y = xp_of(x).tanh(x)
    return y, lambda dy: dy * (1 - y * y)


@differentiable
def softmax(x: Array, *, axis: int = -1) -> tuple[Array, Callable]:
    """Probabilities eˣ / Σ eˣ along an axis; the largest x is subtracted first, or eˣ could overflow.

    The gradient is y (dy - Σ y dy).

    Raises:
        InputError: x has no such axis, or the axis has length 0.
    """
    _check_axis("softmax", x, axis)
    y = xp_of(x).exp(x - x.max(axis=axis, keepdims=True))
    y /= y.sum(axis=axis, keepdims=True)

    def gradient(dy: Array) -> Array:
        weighted = y * dy
        return weighted - y * weighted.sum(axis=axis, keepdims=True)

    return y, gradient


@differentiable
def log_softmax(x: Array, *, axis: int = -1) -> tuple[Array, Callable]:
    """x - log Σ eˣ along an axis, without the detour that would take the logarithm of a rounded 0.

    The gradient is dy - softmax(x) Σ dy.

    Raises:
        InputError: x has no such axis, or the axis has length 0.
    """
    _check_axis("log_softmax", x, axis)
    xp = xp_of(x)
    shifted = x - x.max(axis=axis, keepdims=True)
    y = shifted - xp.log(xp.exp(shifted).sum(axis=axis, keepdims=True))
    return y, lambda dy: dy - xp.exp(y) * dy.sum(axis=axis, keepdims=True)


def _check_axis(name: str, x: Array, axis: int) -> None:
    if not -x.ndim <= axis < x.ndim or x.shape[axis] < 1:
        raise InputError(
            f"{name}: x has shape {x.shape}; its axis {axis} should have at least one element"
        )
