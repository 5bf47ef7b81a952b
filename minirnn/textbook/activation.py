"""Activations: functions of one number, and softmax, of one row. Then see `minirnn.ops.activation`."""

from __future__ import annotations

import math

import numpy as np

from minirnn.textbook.elements import each


def relu(x: np.ndarray) -> np.ndarray:
    """x where it is positive, else 0.

    Source: Nair and Hinton, Rectified linear units (2010).
    """
    return each(lambda x: x if x > 0 else 0.0, x)


def relu6(x: np.ndarray) -> np.ndarray:
    """x where it is from 0 to 6, else the nearer of the two.

    Source: Howard et al., MobileNets (2017).
    """
    return each(lambda x: min(max(x, 0.0), 6.0), x)


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + e^-x) of each element: from all numbers to those between 0 and 1."""
    return each(sigmoid_of_number, x)


def sigmoid_of_number(x: float) -> float:
    """1 / (1 + e^-x); for negative x as e^x / (1 + e^x), which is the same and does not overflow."""
    if x >= 0:
        return 1 / (1 + math.exp(-x))
    return math.exp(x) / (1 + math.exp(x))


def tanh(x: np.ndarray) -> np.ndarray:
    """(e^x - e^-x) / (e^x + e^-x), which is a sigmoid stretched to -1…1: 2 sigmoid(2x) - 1."""
    return each(lambda x: 2 * sigmoid_of_number(2 * x) - 1, x)


def softmax(x: np.ndarray, *, axis: int = -1) -> np.ndarray:
    """Probabilities along an axis: e^x over the sum of all e^x.

    A constant taken off all x changes nothing, so the largest is taken off: e^x cannot overflow.

    Source: Bridle, Probabilistic interpretation of feedforward classification networks (1990).
    """
    rows = np.moveaxis(x, axis, -1)
    y = np.zeros_like(rows)
    for place in np.ndindex(*rows.shape[:-1]):
        row = rows[place].tolist()
        powers = [math.exp(number - max(row)) for number in row]
        y[place] = [power / sum(powers) for power in powers]
    return np.moveaxis(y, -1, axis)


def log_softmax(x: np.ndarray, *, axis: int = -1) -> np.ndarray:
    """The logarithm of `softmax`, x - log of the sum of all e^x; also where softmax rounds to 0."""
    rows = np.moveaxis(x, axis, -1)
    y = np.zeros_like(rows)
    for place in np.ndindex(*rows.shape[:-1]):
        row = rows[place].tolist()
        log_sum = max(row) + math.log(sum(math.exp(number - max(row)) for number in row))
        y[place] = [number - log_sum for number in row]
    return np.moveaxis(y, -1, axis)
