"""Arithmetic, element by element, and the matrix product.

Shapes broadcast as in NumPy. A value that was broadcast to many places has the sum of their gradients
(`unbroadcast`). Python numbers take the type of the array beside them: float32 stays float32, and so
does its gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minirnn.autograd.tensor import differentiable, unbroadcast
from minirnn.backend import Array, xp_of


def _back_to(x: Any) -> Callable[[Array], Array]:
    """How a gradient of the broadcast shape becomes one of x's own shape and type.

    It keeps x's shape and type only, so that x itself can be freed.
    """
    shape = getattr(x, "shape", ())
    dtype = getattr(x, "dtype", None)

    def back(gradient: Array) -> Array:
        gradient = unbroadcast(gradient, shape)
        keep = dtype is None or dtype.kind != "f"
        return gradient if keep else gradient.astype(dtype, copy=False)

    return back


@differentiable
def add(a: Array, b: Array) -> tuple[Array, tuple]:
    """a + b."""
    return a + b, (_back_to(a), _back_to(b))


@differentiable
def subtract(a: Array, b: Array) -> tuple[Array, tuple]:
    """a - b."""
    to_a, to_b = _back_to(a), _back_to(b)
    return a - b, (to_a, lambda dy: to_b(-dy))


@differentiable
def multiply(a: Array, b: Array) -> tuple[Array, tuple]:
    """a · b, element by element."""
    to_a, to_b = _back_to(a), _back_to(b)
    return a * b, (lambda dy: to_a(dy * b), lambda dy: to_b(dy * a))


@differentiable
def divide(a: Array, b: Array) -> tuple[Array, tuple]:
    """a / b; the derivative with respect to b is -a / b² = -y / b."""
    y = a / b
    to_a, to_b = _back_to(a), _back_to(b)
    return y, (lambda dy: to_a(dy / b), lambda dy: to_b(-dy * y / b))


@differentiable
def negative(x: Array) -> tuple[Array, Callable]:
    """-x."""
    return -x, lambda dy: -dy


@differentiable
def power(x: Array, *, exponent: float) -> tuple[Array, Callable]:
    """x to the power p, a constant; derivative p · x^(p - 1).

    Args:
        x: any shape; not negative where the exponent is no whole number.
        exponent: p, a Python number.
    """
    if exponent == 0:  # 0 · x^-1 would be 0/0 at 0
        return x**exponent, lambda dy: dy * 0
    return x**exponent, lambda dy: dy * (exponent * x ** (exponent - 1))


@differentiable
def exp(x: Array) -> tuple[Array, Callable]:
    """eˣ, its own derivative."""
    y = xp_of(x).exp(x)
    return y, lambda dy: dy * y


@differentiable
def log(x: Array) -> tuple[Array, Callable]:
    """The natural logarithm; derivative 1 / x."""
    return xp_of(x).log(x), lambda dy: dy / x


@differentiable
def sqrt(x: Array) -> tuple[Array, Callable]:
    """√x; derivative 1 / (2√x), which is infinite at 0."""
    y = xp_of(x).sqrt(x)
    return y, lambda dy: dy / (2 * y)


@differentiable
def absolute(x: Array) -> tuple[Array, Callable]:
    """|x|; the derivative is the sign, 0 at 0."""
    xp = xp_of(x)
    return xp.absolute(x), lambda dy: dy * xp.sign(x)


@differentiable
def maximum(a: Array, b: Array) -> tuple[Array, tuple]:
    """The larger of two; it gets the gradient. Where both are equal, each gets half."""
    y = xp_of(a, b).maximum(a, b)
    to_a, to_b = _back_to(a), _back_to(b)
    return y, (lambda dy: to_a(dy * _share(a, b, dy)), lambda dy: to_b(dy * _share(b, a, dy)))


@differentiable
def minimum(a: Array, b: Array) -> tuple[Array, tuple]:
    """The smaller of two; it gets the gradient. Where both are equal, each gets half."""
    y = xp_of(a, b).minimum(a, b)
    to_a, to_b = _back_to(a), _back_to(b)
    return y, (lambda dy: to_a(dy * _share(b, a, dy)), lambda dy: to_b(dy * _share(a, b, dy)))


def _share(a: Any, b: Any, like: Array) -> Array:
    """1 where a > b, ½ where they are equal, else 0."""
    xp = xp_of(like)
    greater, equal = xp.asarray(a > b), xp.asarray(a == b)
    return greater.astype(like.dtype) + equal.astype(like.dtype) / 2


@differentiable
def clip(
    x: Array, *, low: float | None = None, high: float | None = None
) -> tuple[Array, Callable]:
    """x, but no smaller than low and no larger than high; no gradient where it was changed.

    Args:
        x: any shape.
        low: lower bound, or None.
        high: upper bound, or None.
    """
    y = xp_of(x).clip(x, low, high)
    kept = y == x
    return y, lambda dy: dy * kept


@differentiable
def where(condition: Array, a: Array, b: Array) -> tuple[Array, tuple]:
    """a where the condition holds, else b; the gradient goes where the value came from.

    Args:
        condition: bool; it has no gradient.
        a: values where it is True.
        b: values where it is False.
    """
    xp = xp_of(condition, a, b)
    to_a, to_b = _back_to(a), _back_to(b)
    return xp.where(condition, a, b), (
        None,
        lambda dy: to_a(dy * condition),
        lambda dy: to_b(dy * ~condition),
    )


@differentiable
def matmul(a: Array, b: Array) -> tuple[Array, tuple]:
    """The matrix product a @ b of matrices, vectors, or stacks of matrices (which broadcast).

    From Y = A B follow dA = dY Bᵀ and dB = Aᵀ dY. A vector counts as a matrix of one row (a) or one
    column (b).

    Args:
        a: (…, M, K) or (K,).
        b: (…, K, N) or (K,).

    Returns:
        (…, M, N), without the axis that a vector does not have.
    """
    left = a[None, :] if a.ndim == 1 else a
    right = b[:, None] if b.ndim == 1 else b

    def as_matrix(dy: Array) -> Array:
        dy = dy[..., None] if b.ndim == 1 else dy
        return dy[..., None, :] if a.ndim == 1 else dy

    to_left, to_right = _back_to(left), _back_to(right)
    return a @ b, (
        lambda dy: to_left(as_matrix(dy) @ right.swapaxes(-1, -2)).reshape(a.shape),
        lambda dy: to_right(left.swapaxes(-1, -2) @ as_matrix(dy)).reshape(b.shape),
    )
