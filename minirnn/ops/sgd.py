"""Stochastic gradient descent: the step of one parameter."""

from __future__ import annotations

from typing import Any

from minirnn.backend import Array
from minirnn.errors import InputError
from minirnn.kernels.table import operation


def _check(parameter: Array, gradient: Array, velocity: Array, **_: Any) -> None:
    for name, array in (("gradient", gradient), ("velocity", velocity)):
        if array.shape != parameter.shape:
            raise InputError(f"{name} has shape {array.shape}; it should be {parameter.shape}")


@operation(check=_check)
def sgd_step(
    parameter: Array,
    gradient: Array,
    velocity: Array,
    *,
    learning_rate: float,
    momentum: float,
    weight_decay: float,
) -> None:
    """One step downhill, with the speed of the steps before. Changes parameter and velocity.

        velocity  ← momentum · velocity + gradient + weight_decay · parameter
        parameter ← parameter - learning_rate · velocity

    The learning rate stands outside the velocity (torch's form), so that a change of it takes
    effect at once.

    Args:
        parameter: of any shape.
        gradient: of the same shape. It is only read: two parameters may share one array.
        velocity: of the same shape, zeros before the first step.
        learning_rate: step length.
        momentum: share of the velocity that is kept.
        weight_decay: pull towards 0.

    Raises:
        InputError: the shapes differ.

    Source: Goyal et al., "Accurate, large minibatch SGD", 2017, section 3, equation 9.
    """
    velocity *= momentum
    velocity += weight_decay * parameter + gradient
    parameter -= learning_rate * velocity
