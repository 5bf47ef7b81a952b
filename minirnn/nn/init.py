"""Initial weights. All are float32 and drawn on the host, so that CPU and GPU start alike.

For a weight of shape (O, I, kh, kw) or (O, I): fan-in = I·kh·kw, fan-out = O·kh·kw.
Sources: Glorot and Bengio 2010; He et al., "Delving deep into rectifiers", 2015, section 2.2.
"""

from __future__ import annotations

import numpy as np


def _fans(shape: tuple[int, ...]) -> tuple[int, int]:
    area = int(np.prod(shape[2:]))
    return shape[1] * area, shape[0] * area


def kaiming_normal_fan_out(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Normal with standard deviation sqrt(2 / fan-out): keeps the gradient's size through ReLU layers."""
    return (rng.standard_normal(shape) * np.sqrt(2 / _fans(shape)[1])).astype(np.float32)


def kaiming_normal_depthwise(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """The same for a depthwise kernel (C, 1, kh, kw), each of whose inputs has one output: kh·kw."""
    return (rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[2:]))).astype(np.float32)


def kaiming_uniform(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Uniform in ±sqrt(3 / fan-in), variance 1 / fan-in: keeps the values' size through linear layers."""
    bound = np.sqrt(3 / _fans(shape)[0])
    return rng.uniform(-bound, bound, shape).astype(np.float32)


def normal(deviation: float) -> object:
    """An initialisation: normal with the given standard deviation, as for the heads' last layers."""

    def draw(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        return (rng.standard_normal(shape) * deviation).astype(np.float32)

    return draw
