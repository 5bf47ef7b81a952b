"""Non-linear functions between layers, and those that make probabilities."""

from __future__ import annotations

from collections.abc import Callable

from minirnn.autograd.tensor import differentiable
from minirnn.backend import Array, positive_part, xp_of
from minirnn.kernels.cpu.passes import element_by_element, where_positive


@differentiable
def relu(x: Array) -> tuple[Array, Callable]:
    """max(x, 0); the gradient passes where y > 0 (so not at 0 itself).

    Source: Nair and Hinton, "Rectified linear units improve restricted Boltzmann machines", 2010.
    """
    y = xp_of(x).empty_like(x)  # that lies in memory as x does

    def forward(out: Array, values: Array) -> None:
        positive_part(values, out=out)

    element_by_element(forward, y, x)
    return y, lambda dy: where_positive(dy, y)


@differentiable
def sigmoid(x: Array) -> tuple[Array, Callable]:
    """1 / (1 + e⁻ˣ), written with e^-|x| so that nothing overflows; y (1 - y)."""
    xp = xp_of(x)
    small = xp.exp(-xp.absolute(x))
    y = xp.where(x >= 0, xp.ones_like(small), small) / (1 + small)
    return y, lambda dy: dy * y * (1 - y)


@differentiable
def tanh(x: Array) -> tuple[Array, Callable]:
    """The hyperbolic tangent; 1 - y²."""
    y = xp_of(x).tanh(x)
    return y, lambda dy: dy * (1 - y * y)


@differentiable
def softmax(x: Array, *, axis: int = -1) -> tuple[Array, Callable]:
    """Probabilities eˣ / Σ eˣ along an axis; the largest x is taken off first, or eˣ overflows.

    The gradient is y (dy - Σ y dy).
    """
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
    """
    xp = xp_of(x)
    shifted = x - x.max(axis=axis, keepdims=True)
    y = shifted - xp.log(xp.exp(shifted).sum(axis=axis, keepdims=True))
    return y, lambda dy: dy - xp.exp(y) * dy.sum(axis=axis, keepdims=True)
