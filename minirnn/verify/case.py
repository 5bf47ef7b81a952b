"""One drawn input: what this library answers, what a reference does, and both gradients."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from minirnn.autograd import Tensor
from minirnn.autograd.check import central_difference
from minirnn.verify.difference import as_arrays
from minirnn.verify.drawing import arrays_in
from minirnn.verify.references import Reference, Skip
from minirnn.verify.subject import Subject

_STEP = 1e-5  # of the difference quotient
_DIRECTIONS = 3  # in which it is taken, for each input


def ask(reference: Reference, name: str, inputs: Any, settings: Any) -> list[np.ndarray]:
    """The reference's answer.

    Raises:
        Skip: it has none: it refuses empty arrays, or its answer is NaN.
    """
    try:
        expected = reference.forward(name, inputs, dict(settings))
    except Skip:
        raise
    except Exception as error:
        if reference.packages and any(array.size == 0 for array in arrays_in(inputs)):
            raise Skip("refuses empty arrays") from error
        raise
    if reference.packages and any(a.dtype.kind == "f" and np.isnan(a).any() for a in expected):
        raise Skip("answers NaN")
    return expected


def ours(
    subject: Subject, inputs: tuple, settings: dict[str, Any], rng: np.random.Generator
) -> tuple[list[np.ndarray], dict[int, np.ndarray], list[np.ndarray]]:
    """Our answer, its gradients by the input's position, and the cotangents that they belong to."""
    positions = subject.differentiable
    if positions is None:
        positions = tuple(i for i, value in enumerate(inputs) if _is_float(value))
    tensors = [
        Tensor(value.copy(), requires_grad=True) if i in positions else value
        for i, value in enumerate(inputs)
    ]
    outputs = subject.function()(*tensors, **settings)
    answer = as_arrays(outputs)
    several = outputs if isinstance(outputs, (tuple, list)) else [outputs]
    cotangents = []
    for output in several:
        if isinstance(output, Tensor):
            cotangent = np.asarray(rng.standard_normal(output.shape), output.dtype)
            cotangents.append(cotangent)
            output.backward(cotangent)
    gradients = {i: np.asarray(tensors[i].grad) for i in positions if tensors[i].grad is not None}
    return answer, gradients, cotangents


def both_gradients(
    reference: Reference,
    name: str,
    inputs: tuple,
    settings: dict[str, Any],
    gradients: dict[int, np.ndarray],
    cotangents: list[np.ndarray],
    rng: np.random.Generator,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Our gradients, and the reference's: of its autograd, or as slopes in a few directions.

    Raises:
        ValueError: we have none.
    """
    if not gradients:
        raise ValueError("no input got a gradient")
    if reference.gradients == "differences":
        return _slopes(reference, name, inputs, settings, gradients, cotangents, rng)
    goal = reference.gradient(name, inputs, settings, list(gradients), cotangents)()
    return list(gradients.values()), goal


def _slopes(
    reference: Reference,
    name: str,
    inputs: tuple,
    settings: dict[str, Any],
    gradients: dict[int, np.ndarray],
    cotangents: list[np.ndarray],
    rng: np.random.Generator,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """What our gradients say that slopes in random directions are, and the reference's slopes."""

    def number(position: int, shifted: np.ndarray) -> float:
        moved = (*inputs[:position], shifted, *inputs[position + 1 :])
        outputs = reference.forward(name, moved, dict(settings))
        return sum(float((c * y).sum()) for c, y in zip(cotangents, outputs, strict=True))

    said, slopes = [], []
    for position, gradient in gradients.items():
        x = inputs[position]
        directions = [np.asarray(rng.standard_normal(x.shape)) for _ in range(_DIRECTIONS)]
        directions = [v / max(float(np.linalg.norm(v)), 1e-9) for v in directions]
        along = partial(number, position)
        slopes.append(np.array([central_difference(along, x, v, _STEP)[0] for v in directions]))
        if gradient.shape == x.shape:
            said.append(np.array([float((gradient * v).sum()) for v in directions]))
        else:
            said.append(gradient)  # another shape than the slopes': a miss
    return said, slopes


def _is_float(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"
