"""Is the derivative right? Compare it with the difference of two function values.

With a random cotangent c, the whole Jacobian is tested as the gradient of one number, L = Σ c · f(x),
which a central difference knows without any calculus:

    dL/dx ≈ (L(x + h) - L(x - h)) / 2h        error O(h²), in float64 about 1e-10 at h = 1e-5

At a kink (ReLU at 0, a tie of a maximum) there is no derivative to compare with. Kinks are told from
curvature by halving the step: the bend L(x + h) - 2 L(x) + L(x - h), divided by h, halves with h where
L is smooth, and does not at a kink.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minirnn.autograd.tensor import Tensor, data_of

_FEW = 128  # an input of up to so many elements is checked element by element
_SINGLE = 8  # of a larger one, so many elements are, and so many random directions


@dataclass
class GradientCheck:
    """What a comparison found.

    Attributes:
        error: largest |numerical - analytical| over the inputs, each relative to the larger of the
            two gradients (or to 1e-3, below which the difference itself has few digits).
        errors: the same for each input by its position; inputs without gradient are left out.
        kinks: (position of input, index of element; -1 for a direction) where the function has no
            derivative within a step, so that the comparison says nothing there.
    """

    error: float = 0.0
    errors: dict[int, float] = field(default_factory=dict)
    kinks: list[tuple[int, int]] = field(default_factory=list)


def check_gradient(
    function: Callable,
    inputs: Sequence[Any],
    *,
    rng: np.random.Generator,
    settings: Mapping[str, Any] | None = None,
    step: float = 1e-5,
) -> GradientCheck:
    """Compare a function's gradient with central differences, in float64.

    Args:
        function: takes Tensors by position and settings by keyword, and returns a Tensor: an
            operation, or any composition of them. The same numbers must give the same result.
        inputs: NumPy arrays, numbers or None. Arrays of a floating type are checked, unless the
            function has no gradient for them.
        rng: draws the cotangent and, for large inputs, the elements and directions.
        settings: keyword arguments of the function.
        step: h.

    Returns:
        The relative error and the kinks that were met.

    Raises:
        ValueError: a gradient has another shape than its input.
    """
    settings = dict(settings or {})
    values = [
        x.astype(np.float64) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x
        for x in inputs
    ]
    tensors = [
        Tensor(x.copy(), requires_grad=True)
        if isinstance(x, np.ndarray) and x.dtype.kind == "f"
        else x
        for x in values
    ]
    output = function(*tensors, **settings)
    cotangent = rng.standard_normal(output.shape)
    output.backward(np.asarray(cotangent))

    def loss(position: int, shifted: np.ndarray) -> float:
        arguments = [*values[:position], shifted, *values[position + 1 :]]
        return float((cotangent * data_of(function(*arguments, **settings))).sum())

    result = GradientCheck()
    for position, tensor in enumerate(tensors):
        if isinstance(tensor, Tensor) and tensor.grad is not None:
            _check_input(result, position, tensor, loss, rng, step)
    return result


def _check_input(
    result: GradientCheck,
    position: int,
    tensor: Tensor,
    loss: Callable[[int, np.ndarray], float],
    rng: np.random.Generator,
    step: float,
) -> None:
    x, gradient = tensor.data, np.asarray(tensor.grad)
    if gradient.shape != x.shape:
        raise ValueError(
            f"the gradient of input {position} has shape {gradient.shape}; it should be {x.shape}"
        )
    along = functools.partial(loss, position)
    centre = along(x)
    analytical, numerical = [], []
    for element, direction in _directions(x.shape, rng):
        # The rounding error of L grows with L; a bend smaller than that is no kink.
        slope, bend = central_difference(along, x, direction, step, centre)
        _, half_bend = central_difference(along, x, direction, step / 2, centre)
        noise = 1e-13 * (1 + abs(centre)) / step
        if abs(bend - 2 * half_bend) > 1e-4 * (1 + abs(slope)) + noise:
            result.kinks.append((position, element))
        analytical.append(float((gradient * direction).sum()))
        numerical.append(slope)
    if not analytical:
        result.errors[position] = 0.0
        return
    a, b = np.array(analytical), np.array(numerical)
    error = np.abs(a - b).max() / max(np.abs(a).max(), np.abs(b).max(), 1e-3)
    # A NaN in a gradient must not pass as "not larger than the tolerance".
    result.errors[position] = float(error) if np.isfinite(error) else float("inf")
    result.error = max(result.error, result.errors[position])


def _directions(shape: tuple[int, ...], rng: np.random.Generator) -> list[tuple[int, np.ndarray]]:
    """(index of element or -1, direction): every element, or for a large input a sample."""
    size = int(np.prod(shape))
    chosen = range(size) if size <= _FEW else rng.choice(size, _SINGLE, replace=False).tolist()
    directions = []
    for element in chosen:
        direction = np.zeros(size)
        direction[element] = 1
        directions.append((element, direction.reshape(shape)))
    if size > _FEW:
        directions += [(-1, rng.standard_normal(shape)) for _ in range(_SINGLE)]
    return directions


def central_difference(
    function: Callable[[np.ndarray], float],
    x: np.ndarray,
    direction: np.ndarray,
    step: float,
    centre: float | None = None,
) -> tuple[float, float]:
    """The slope of a function along a direction, and how far it bends there.

        slope = (L(x + h v) - L(x - h v)) / 2h
        bend = (L(x + h v) - 2 L(x) + L(x - h v)) / h

    Args:
        function: L, from an array to a number.
        x: where.
        direction: v, of x's shape.
        step: h.
        centre: L(x), where the bend is wanted; without it the bend is NaN.

    Returns:
        (slope, bend).
    """
    above, below = function(x + step * direction), function(x - step * direction)
    bend = float("nan") if centre is None else (above - 2 * centre + below) / step
    return (above - below) / (2 * step), bend
