"""Losses as sums over elements. Read this first, then `minirnn.ops.losses`."""

from __future__ import annotations

import math

import numpy as np

from minirnn.textbook.activation import log_softmax, sigmoid_of_number


def cross_entropy(
    logits: np.ndarray,
    labels: np.ndarray,
    *,
    ignore: int | None = None,
    class_weights: np.ndarray | None = None,
    reduction: str = "mean",
) -> float | np.ndarray:
    """The mean of -log of the probability that each row's true class was given.

        L = mean over rows of -log softmax(logits)[label];   0 for no rows

    With weights of the classes, a mean in which each row has the weight of its class.

    Args:
        logits: (N, K).
        labels: (N,) in 0…K - 1.
        ignore: rows with this label do not count; None for none.
        class_weights: (K,), how much a row of each class counts; None for 1.
        reduction: "mean", "sum", or "none" for the loss of each row times its weight.

    Returns:
        A number; (N,) for "none".
    """
    losses = np.zeros(len(logits), logits.dtype)
    weights = 0.0
    for number, (row, label) in enumerate(zip(logits, labels, strict=True)):
        if label != ignore:
            weight = 1.0 if class_weights is None else float(class_weights[label])
            losses[number] = -weight * log_softmax(row)[label]
            weights += weight
    if reduction == "none":
        return losses
    total = float(sum(losses.tolist()))
    if reduction == "sum":
        return total
    return total / weights if weights else 0.0


def binary_cross_entropy_with_logits(
    logits: np.ndarray, targets: np.ndarray, *, reduction: str = "mean"
) -> float | np.ndarray:
    """How unlikely each element's target is: -t log p - (1 - t) log(1 - p) with p = sigmoid(logit).

    Args:
        logits: any shape.
        targets: the same shape, 0…1.
        reduction: "mean" (of nothing: 0), "sum" or "none".

    Returns:
        A number; the loss of each element for "none".
    """
    losses = np.zeros_like(logits)
    for index in np.ndindex(logits.shape):
        z, t = float(logits[index]), float(targets[index])
        # 1 - sigmoid(z) is sigmoid(-z): the subtraction would round a small result to nothing.
        yes, no = sigmoid_of_number(z), sigmoid_of_number(-z)
        losses[index] = -t * math.log(yes) - (1 - t) * math.log(no)
    return _reduced(losses, reduction)


def smooth_l1(
    prediction: np.ndarray, target: np.ndarray, *, beta: float = 1.0, reduction: str = "mean"
) -> float | np.ndarray:
    """A square near 0, then a line, so that one wild box does not outweigh all others.

        d² / 2β where d < β,   d - β / 2 elsewhere,   with d = |prediction - target|

    Args:
        prediction: any shape.
        target: the same shape.
        beta: β, where the square turns into the line.
        reduction: "mean" (of nothing: 0), "sum" or "none".

    Returns:
        A number; the loss of each element for "none".

    Source: Girshick, Fast R-CNN (2015), equation 3, where β is 1.
    """
    losses = np.zeros_like(prediction)
    for index in np.ndindex(prediction.shape):
        distance = abs(prediction[index] - target[index])
        if distance < beta:
            losses[index] = distance**2 / (2 * beta)
        else:
            losses[index] = distance - beta / 2
    return _reduced(losses, reduction)


def _reduced(losses: np.ndarray, reduction: str) -> float | np.ndarray:
    if reduction == "none":
        return losses
    total = float(sum(losses.ravel().tolist()))
    if reduction == "sum":
        return total
    return total / losses.size if losses.size else 0.0
