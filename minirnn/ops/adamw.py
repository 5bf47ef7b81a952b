"""Adam with decoupled weight decay: the step of one parameter."""

from __future__ import annotations

import math
from typing import Any

from minirnn.backend import Array, xp_of
from minirnn.errors import InputError
from minirnn.kernels.table import operation


def _check(parameter: Array, gradient: Array, mean: Array, square: Array, **_: Any) -> None:
    for name, array in (("gradient", gradient), ("mean", mean), ("square", square)):
        if array.shape != parameter.shape:
            raise InputError(f"{name} has shape {array.shape}; it should be {parameter.shape}")


@operation(check=_check)
def adamw_step(
    parameter: Array,
    gradient: Array,
    mean: Array,
    square: Array,
    *,
    step: int,
    learning_rate: float,
    beta1: float,
    beta2: float,
    weight_decay: float,
    eps: float,
) -> None:
    """One step downhill, of about the same length for every number. Changes parameter, mean and square.

        mean      ← β₁ · mean   + (1 - β₁) · gradient
        square    ← β₂ · square + (1 - β₂) · gradient²
        parameter ← parameter · (1 - learning_rate · weight_decay)
                    - learning_rate · (mean / (1 - β₁ᵗ)) / (√(square / (1 - β₂ᵗ)) + eps)

    A gradient that is always small moves its parameter as far as one that is always large: what counts is
    how much its steps agree. Both averages begin at zero, and are too small in the first steps; the
    divisions by 1 - βᵗ make up for it. The decay acts on the parameter itself. As a part of the gradient
    (as in SGD) it would be divided by the root, too.

    Args:
        parameter: of any shape.
        gradient: of the same shape. It is only read: two parameters may share one array.
        mean: of the same shape, zeros before the first step: the running mean of the gradients.
        square: the same of their squares.
        step: t, the number of this step, from 1.
        learning_rate: step length.
        beta1: share of the mean that is kept.
        beta2: share of the squares that is kept.
        weight_decay: pull towards 0.
        eps: keeps a division by 0 away.

    Raises:
        InputError: the shapes differ.

    Source: Kingma and Ba, "Adam", 2015, algorithm 1; Loshchilov and Hutter, "Decoupled weight decay
        regularization", 2019, algorithm 2 (with the decay times the learning rate, as in torch).
    """
    xp = xp_of(parameter)
    mean *= beta1
    mean += (1 - beta1) * gradient
    square *= beta2
    square += (1 - beta2) * gradient * gradient
    length = learning_rate / (1 - beta1**step)
    spread = xp.sqrt(square) / math.sqrt(1 - beta2**step) + eps
    parameter *= 1 - learning_rate * weight_decay
    parameter -= length * mean / spread
