"""How time and memory grow: the exponent p of y ~ x^p, fitted as a slope of logarithms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass
class Point:
    """One measurement along an axis.

    Attributes:
        axis: "area", "batch", "proposals" or "instances".
        asked: what was asked for: shorter side, images, proposals, instances.
        x: what it is plotted over: million pixels at the network, images, regions that there were.
        seconds: our median.
        peak: bytes that the process had at most.
        base: bytes before the work began: library, weights, picture.
    """

    axis: str
    asked: float
    x: float
    seconds: float
    peak: int
    base: int

    @property
    def memory(self) -> int:
        """Bytes that the work itself took."""
        return self.peak - self.base

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "memory": self.memory}


@dataclass
class Growth:
    """The exponents along an axis: 1 is in proportion, less is better.

    Attributes:
        axis: see `Point`.
        time: over all points, of the time.
        memory: over all points, of the memory.
        time_at_end: of the time, over the last step along the axis, where fixed costs weigh least;
            None if the axis has no such step (see `_last_step`).
        memory_at_end: the same of the memory.
    """

    axis: str
    time: float
    memory: float
    time_at_end: float | None
    memory_at_end: float | None

    @classmethod
    def of(cls, axis: str, points: Sequence[Point]) -> Growth:
        """Fit the points of one axis, in rising order."""
        x = [point.x for point in points]
        seconds = [point.seconds for point in points]
        memory = [float(max(point.memory, 1)) for point in points]
        ends = [
            exponent([x[k], x[-1]], [values[k], values[-1]]) if k is not None else None
            for values in (seconds, memory)
            for k in [_last_step(x)]
        ]
        return cls(axis, exponent(x, seconds), exponent(x, memory), *ends)

    def sentence(self) -> str:
        """One line for a person."""
        time, memory = (
            "" if end is None else f" (last step {end:.2f})"
            for end in (self.time_at_end, self.memory_at_end)
        )
        return f"{self.axis}: time ~ x^{self.time:.2f}{time}, memory ~ x^{self.memory:.2f}{memory}"


def _last_step(x: Sequence[float]) -> int | None:
    """Where the last step begins: the last point that is a quarter smaller, or more, than the end.

    Two points closer together tell nothing: their times differ by chance.
    """
    return next((k for k in range(len(x) - 1, -1, -1) if x[k] <= 0.75 * x[-1]), None)


def exponent(x: Sequence[float], y: Sequence[float]) -> float:
    """The slope of log y over log x by least squares; 0 where x does not change.

    Raises:
        ValueError: a number is not > 0, or the lengths differ.
    """
    logs = [np.log(np.asarray(values, np.float64)) for values in (x, y)]
    if len(logs[0]) != len(logs[1]) or not all(np.isfinite(values).all() for values in logs):
        raise ValueError("x and y should be equally many numbers > 0")
    a, b = (values - values.mean() if len(values) else values for values in logs)
    square = float(a @ a)
    return float(a @ b) / square if square > 0 else 0.0
