"""Activations of one number, and of one row. Read this first, then `minirnn.ops.activation`."""

from __future__ import annotations

import math

import numpy as np


def relu(x: float) -> float:
    """x where it is positive, else 0 (Nair and Hinton, Rectified linear units, 2010)."""
    return x if x > 0 else 0.0


def sigmoid(x: float) -> float:
    """1 / (1 + e^-x); for negative x as e^x / (1 + e^x), which is the same and does not overflow."""
    if x >= 0:
        return 1 / (1 + math.exp(-x))
    return math.exp(x) / (1 + math.exp(x))


def tanh(x: float) -> float:
    """(e^x - e^-x) / (e^x + e^-x), which is a sigmoid stretched to -1…1."""
    return 2 * sigmoid(2 * x) - 1


def softmax(row: np.ndarray) -> np.ndarray:
    """e^x over the sum of all e^x; a constant taken off all x changes nothing but overflows less."""
    powers = [math.exp(x - max(row)) for x in row]
    return np.array([power / sum(powers) for power in powers], row.dtype)


def log_softmax(row: np.ndarray) -> np.ndarray:
    """x - log of the sum of all e^x."""
    largest = max(row)
    log_sum = largest + math.log(sum(math.exp(x - largest) for x in row))
    return np.array([x - log_sum for x in row], row.dtype)
