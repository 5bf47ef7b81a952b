"""One way to draw inputs: `case(normal(3, 4), positive(4), axis=1)` is a call that is yet to be drawn.

A *case* takes a random generator and returns the inputs, by position, and the settings, by keyword. What
stands in it is drawn if it is a `Drawn`, one after the other; everything else is handed on as it is.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

Rng = np.random.Generator
Case = Callable[[Rng], tuple[tuple[Any, ...], dict[str, Any]]]


class Drawn:
    """Something that is yet to be drawn: call it with a generator."""

    def __init__(self, make: Callable[[Rng], Any]) -> None:
        self.make = make

    def __call__(self, rng: Rng) -> Any:
        """Draw it."""
        return self.make(rng)


def drawn(function: Callable) -> Callable[..., Drawn]:
    """Decorate a function of a generator and more: called with the rest, it gives a `Drawn`.

    `normal(3, 4)` is then something to draw, and `normal(3, 4)(rng)` draws it.
    """

    @functools.wraps(function)
    def later(*arguments: Any, **settings: Any) -> Drawn:
        return Drawn(lambda rng: function(rng, *arguments, **settings))

    return later


def case(*inputs: Any, **settings: Any) -> Case:
    """A call with these inputs and settings; each `Drawn` is drawn, in the order in which they stand."""

    def make(rng: Rng) -> tuple[tuple[Any, ...], dict[str, Any]]:
        def value(item: Any) -> Any:
            return item(rng) if isinstance(item, Drawn) else item

        return tuple(map(value, inputs)), {name: value(item) for name, item in settings.items()}

    return make


@drawn
def normal(rng: Rng, *shape: int, deviation: float = 1.0) -> np.ndarray:
    """Normally distributed numbers."""
    return np.asarray(rng.standard_normal(shape) * deviation)


@drawn
def spread(rng: Rng, *shape: int, scale: float = 1.0, offset: float = 0.0) -> np.ndarray:
    """Numbers in random order that all differ by 0.1 or more, none nearer to 0 than 0.05."""
    size = math.prod(shape)
    numbers = ((rng.permutation(size) - size // 2) * 0.1 + 0.05).reshape(shape)
    return np.asarray(numbers * scale + offset)


@drawn
def positive(rng: Rng, *shape: int) -> np.ndarray:
    """Numbers from 0.5 to 2, for functions with a pole at 0, or undefined below it."""
    return np.asarray(rng.uniform(0.5, 2, shape))


@drawn
def share(rng: Rng, *shape: int) -> np.ndarray:
    """Numbers from 0 to 1."""
    return np.asarray(rng.random(shape))


@drawn
def chance(rng: Rng, *shape: int) -> np.ndarray:
    """True or false, one as often as the other."""
    return np.asarray(rng.random(shape) < 0.5)


@drawn
def whole(rng: Rng, low: int, high: int, *shape: int) -> np.ndarray:
    """Whole numbers from `low` on, `high` not among them."""
    return np.asarray(rng.integers(low, high, shape))


def mapped(value: Any, function: Callable[[np.ndarray], Any]) -> Any:
    """A value with `function` applied to every array in its lists, tuples, dictionaries, data classes."""
    if isinstance(value, np.ndarray):
        return function(value)
    if isinstance(value, (list, tuple)):
        return type(value)(mapped(item, function) for item in value)
    if isinstance(value, dict):
        return {key: mapped(item, function) for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return dataclasses.replace(value, **mapped(fields, function))
    return value


def as_type(value: Any, dtype: Any) -> Any:
    """A value with its arrays of floating type as `dtype`."""
    return mapped(value, lambda array: array.astype(dtype) if array.dtype.kind == "f" else array)


def arrays_in(value: Any) -> list[np.ndarray]:
    """Every array in a value's lists, tuples, dictionaries and data classes."""
    found: list[np.ndarray] = []

    def keep(array: np.ndarray) -> np.ndarray:
        found.append(array)
        return array

    mapped(value, keep)
    return found
