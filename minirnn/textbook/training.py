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


def adamw_step(
    parameter: np.ndarray,
    gradient: np.ndarray,
    mean: np.ndarray,
    square: np.ndarray,
    *,
    step: int,
    learning_rate: float,
    beta1: float,
    beta2: float,
    weight_decay: float,
    eps: float,
) -> None:
    """One step of Adam with decoupled weight decay, in place.

        m ← β₁ · m + (1 - β₁) · g,   s ← β₂ · s + (1 - β₂) · g²
        w ← w - learning_rate · (m / (1 - β₁ᵗ) / (√(s / (1 - β₂ᵗ)) + eps) + weight_decay · w)

    Args:
        parameter: w, any shape; is changed.
        gradient: g, of the loss by w, the same shape.
        mean: m, the running mean of the gradients, the same shape; is changed.
        square: s, the running mean of their squares, the same shape; is changed.
        step: t, the number of this step, from 1.
        learning_rate: how far a step goes.
        beta1: how much of the mean is kept.
        beta2: how much of the squares is kept.
        weight_decay: how hard w is pulled towards 0.
        eps: added to the root.

    Source: Loshchilov and Hutter, "Decoupled weight decay regularization" (arXiv 1711.05101),
    algorithm 2, with the decay times the learning rate.
    """
    for place in np.ndindex(parameter.shape):
        slope = gradient[place]
        mean[place] = beta1 * mean[place] + (1 - beta1) * slope
        square[place] = beta2 * square[place] + (1 - beta2) * slope * slope
        usual = mean[place] / (1 - beta1**step)
        size = math.sqrt(square[place] / (1 - beta2**step)) + eps
        move = usual / size + weight_decay * parameter[place]
        parameter[place] = parameter[place] - learning_rate * move


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
