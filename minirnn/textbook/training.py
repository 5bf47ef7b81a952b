"""Training's formulas as plain loops: one number at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def sgd_step(
    parameter: np.ndarray,
    gradient: np.ndarray,
    velocity: np.ndarray,
    *,
    learning_rate: float,
    momentum: float,
    weight_decay: float,
) -> None:
    """One step of gradient descent with momentum and weight decay, in place.

        v ← momentum · v + gradient + weight_decay · w,   w ← w - learning_rate · v

    Args:
        parameter: w, any shape; is changed.
        gradient: of the loss by w, the same shape.
        velocity: v, the same shape; is changed.
        learning_rate: how far a step goes.
        momentum: how much of the steps before is kept.
        weight_decay: how hard w is pulled towards 0.

    Source: Goyal et al., "Accurate, large minibatch SGD" (arXiv 1706.02677), section 3, equation 9.
    """
    for place in np.ndindex(parameter.shape):
        slope = gradient[place] + weight_decay * parameter[place]
        velocity[place] = momentum * velocity[place] + slope
        parameter[place] = parameter[place] - learning_rate * velocity[place]


def gradient_norm(parameters: list[Any]) -> float:
    """Length of the vector that all gradients, put in a row, make.

    Source: Pascanu et al., "On the difficulty of training recurrent neural networks"
    (arXiv 1211.5063), section 3.2.
    """
    total = 0.0
    for tensor in parameters:
        if tensor.grad is not None:
            for number in tensor.grad.ravel().tolist():
                total += number * number
    return math.sqrt(total)


def clip_gradients(parameters: list[Any], max_norm: float) -> float:
    """Shorten the gradient to max_norm if it is longer, in place.

    Args:
        parameters: tensors; those without a gradient are passed over.
        max_norm: the longest that the gradient of all together may be.

    Returns:
        Its length before.

    Source: Pascanu et al., "On the difficulty of training recurrent neural networks"
    (arXiv 1211.5063), section 3.2, algorithm 1.
    """
    norm = gradient_norm(parameters)
    if norm > max_norm:
        for tensor in parameters:
            if tensor.grad is not None:
                shorter = np.zeros_like(tensor.grad)
                for place in np.ndindex(shorter.shape):
                    shorter[place] = max_norm / norm * tensor.grad[place]
                tensor.grad = shorter
    return norm


def learning_rate(step: int, settings: Any) -> float:
    """The learning rate, followed from the first step to this one.

    Source: warm-up: Goyal et al., "Accurate, large minibatch SGD" (arXiv 1706.02677), section 2.2;
    cosine: Loshchilov and Hutter, "SGDR" (arXiv 1608.03983), section 3, equation 5.
    """
    highest = settings.learning_rate
    fall, warm = 1.0, 1.0
    for now in range(step + 1):
        if settings.schedule == "step" and now in settings.milestones:
            fall = fall * settings.gamma
        if settings.schedule == "cosine" and now >= settings.warmup_steps:
            here = now - settings.warmup_steps
            whole = settings.steps - settings.warmup_steps
            low = settings.final_fraction
            if here >= whole:
                fall = low if here > 0 else 1.0
            else:
                fall = low + 0.5 * (1 - low) * (1 + math.cos(math.pi * here / whole))
        if now < settings.warmup_steps:
            start = settings.warmup_factor
            warm = start + (1 - start) * now / settings.warmup_steps
        else:
            warm = 1.0
    return highest * warm * fall
