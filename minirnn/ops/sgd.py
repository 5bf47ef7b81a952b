"""Stochastic gradient descent: the step of one parameter."""

from __future__ import annotations

from collections.abc import Sequence
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


@operation
def sgd_steps(
    *arrays: Array, learning_rate: float, momentum: float, weight_decays: Sequence[float]
) -> None:
    """`sgd_step` for several parameters.

    Args:
        arrays: parameter, gradient and velocity of the first, then of the second, and so on.
        learning_rate: as in `sgd_step`, like the next.
        momentum: see there.
        weight_decays: of each parameter.
    """
    rates = {"learning_rate": learning_rate, "momentum": momentum}
    triples = zip(arrays[0::3], arrays[1::3], arrays[2::3], weight_decays, strict=True)
    for parameter, gradient, velocity, weight_decay in triples:
        sgd_step(parameter, gradient, velocity, weight_decay=weight_decay, **rates)
