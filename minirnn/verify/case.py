"""One drawn input: what this library answers, what a reference does, and both gradients."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from minirnn.autograd import Tensor
from minirnn.autograd.check import central_difference
from minirnn.verify.difference import Difference, difference
from minirnn.verify.drawing import Rng, arrays_in
from minirnn.verify.references import Reference, Skip
from minirnn.verify.subject import Subject

_STEP = 1e-5  # of the difference quotient
_DIRECTIONS = 3  # in which it is taken, for each input


@dataclass
class Question:
    """A call that is put to us and to a reference.

    Attributes:
        subject: our function.
        reference: who else is asked.
        inputs: by position.
        settings: by keyword.
        rng: draws cotangents and directions.
        cotangents: of our outputs that have a gradient, after `forward`.
        gradients: ours, by the input's position, after `forward`.
    """

    subject: Subject
    reference: Reference
    inputs: tuple[Any, ...]
    settings: dict[str, Any]
    rng: Rng
    cotangents: list[np.ndarray] = field(default_factory=list)
    gradients: dict[int, np.ndarray] = field(default_factory=dict)

    @property
    def has_gradient(self) -> bool:
        """Whether both sides say what the gradient is."""
        return self.subject.differentiable != () and self.reference.gradients != "none"

    def theirs(self) -> list[np.ndarray]:
        """The reference's answer.

        Raises:
            Skip: it has none: it refuses empty arrays, or its answer is NaN.
        """
        try:
            answer = self._asked(self.inputs)
        except Skip:
            raise
        except Exception as error:
            empty = any(array.size == 0 for array in arrays_in(self.inputs))
            if self.reference.packages and empty:
                raise Skip("refuses empty arrays") from error
            raise
        if self.reference.packages and any(map(_has_nan, answer)):
            raise Skip("answers NaN")
        return answer

    def forward(self, theirs: list[np.ndarray]) -> Difference:
        """Compare our answer with theirs, and find our gradients on the way."""
        positions = self.subject.differentiable
        if positions is None:
            positions = tuple(i for i, value in enumerate(self.inputs) if _is_float(value))
        tensors = [
            Tensor(value.copy(), requires_grad=True) if i in positions else value
            for i, value in enumerate(self.inputs)
        ]
        outputs = self.subject.function()(*tensors, **self.settings)
        for output in outputs if isinstance(outputs, (tuple, list)) else [outputs]:
            if isinstance(output, Tensor):
                cotangent = self.rng.standard_normal(output.shape)
                self.cotangents.append(np.asarray(cotangent, output.dtype))
                output.backward(self.cotangents[-1])
        self.gradients = {
            i: np.asarray(tensors[i].grad) for i in positions if tensors[i].grad is not None
        }
        return difference(outputs, theirs)

    def backward(self) -> Difference:
        """Our gradients beside the reference's: of its autograd, or as slopes in a few directions.

        Raises:
            ValueError: we have none.
        """
        if not self.gradients:
            raise ValueError("no input got a gradient")
        if self.reference.gradients == "differences":
            return self._slopes()
        call = self.inputs, self.settings, list(self.gradients), self.cotangents
        goal = self.reference.gradient(self.subject.name, *call)()
        return difference(list(self.gradients.values()), goal)

    def _slopes(self) -> Difference:
        """Slopes in random directions: by our gradients, and by difference quotients of the reference."""

        def number(position: int, shifted: np.ndarray) -> float:
            moved = (*self.inputs[:position], shifted, *self.inputs[position + 1 :])
            pairs = zip(self.cotangents, self._asked(moved), strict=True)
            return sum(float((c * y).sum()) for c, y in pairs)

        said, slopes = [], []
        for position, gradient in self.gradients.items():
            x = self.inputs[position]
            directions = [np.asarray(self.rng.standard_normal(x.shape)) for _ in range(_DIRECTIONS)]
            directions = [v / max(float(np.linalg.norm(v)), 1e-9) for v in directions]
            along = partial(number, position)
            slopes.append(np.array([central_difference(along, x, v, _STEP)[0] for v in directions]))
            if gradient.shape == x.shape:
                said.append(np.array([float((gradient * v).sum()) for v in directions]))
            else:
                said.append(gradient)  # another shape than the slopes': a miss
        return difference(said, slopes)

    def _asked(self, inputs: tuple[Any, ...]) -> list[np.ndarray]:
        return self.reference.forward(self.subject.name, inputs, dict(self.settings))


def _is_float(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def _has_nan(array: np.ndarray) -> bool:
    return _is_float(array) and bool(np.isnan(array).any())
