"""Stochastic gradient descent with momentum and weight decay, and limits on the gradient."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from minirnn.autograd import Tensor
from minirnn.backend import Array, to_host, xp_of
from minirnn.errors import InputError
from minirnn.ops.sgd import sgd_step, sgd_steps

__all__ = ["SGD", "clip_gradients", "gradient_norm", "sgd_step"]


def gradient_norm(parameters: Iterable[Tensor]) -> float:
    """Length of the gradient of all parameters together: √(Σ over all elements of g²).

    Args:
        parameters: tensors; those without a gradient are left out.

    Returns:
        The norm; inf or nan if a gradient holds such a number.
    """
    gradients = [tensor.grad for tensor in parameters if tensor.grad is not None]
    if not gradients:
        return 0.0
    xp = xp_of(*gradients)
    flat = [gradient.ravel(order="K") for gradient in gradients]
    with np.errstate(over="ignore", invalid="ignore"):  # the answer inf or nan is wanted
        squares = to_host(xp.stack([xp.dot(g, g) for g in flat])).astype(np.float64)
        if not np.isfinite(squares).all():  # float32 ends at 3e38: squares can leave it first
            wide = [g.astype(xp.float64) for g in flat]
            squares = to_host(xp.stack([xp.dot(g, g) for g in wide]))
    return math.sqrt(math.fsum(squares)) if np.isfinite(squares).all() else float(squares.sum())


def clip_gradients(parameters: Iterable[Tensor], max_norm: float) -> float:
    """Shorten the gradient to `max_norm` if it is longer, without turning it.

        g ← g · max_norm / ‖g‖   where ‖g‖ > max_norm, over all parameters together

    A gradient that is not finite is left as it is: no factor repairs it.

    Args:
        parameters: tensors; their `grad` is replaced, never changed in place, because two of them
            may share one array.
        max_norm: more than 0.

    Returns:
        The norm before.

    Raises:
        InputError: max_norm is not more than 0.

    Source: Pascanu et al., "On the difficulty of training recurrent neural networks", 2013,
        section 3.2, algorithm 1.
    """
    if not max_norm > 0:
        raise InputError(f"max_norm is {max_norm}; it should be more than 0")
    parameters = list(parameters)
    norm = gradient_norm(parameters)
    if math.isfinite(norm) and norm > max_norm:
        for tensor in parameters:
            if tensor.grad is not None:
                tensor.grad = tensor.grad * (max_norm / norm)
    return norm


class SGD:
    """`sgd_step` for every parameter of a model.

    Frozen parameters (`requires_grad` False) and those that no gradient has reached are not
    touched, not even by weight decay. Parameters of normalisation layers get no weight decay: a
    smaller scale there does not make the function simpler.

    Args:
        model: has `named_parameters()` and `named_modules()`.
        momentum: share of the velocity that is kept.
        weight_decay: pull towards 0.
    """

    def __init__(self, model: Any, momentum: float = 0.9, weight_decay: float = 1e-4) -> None:
        self.momentum = momentum
        self.weight_decay = weight_decay
        normalisations = tuple(
            f"{path}." if path else ""
            for path, module in model.named_modules()
            if getattr(module, "is_normalisation", False)
        )
        self._tensors: dict[str, Tensor] = {}
        self._decays: dict[str, bool] = {}
        seen: set[int] = set()  # one tensor under two names takes one step, not two
        for name, tensor in model.named_parameters():
            if id(tensor) not in seen:
                seen.add(id(tensor))
                self._tensors[name] = tensor
                self._decays[name] = not name.startswith(normalisations)
        self._velocities: dict[str, Array] = {}

    def parameters(self) -> list[Tensor]:
        """The tensors that are trained."""
        return [tensor for tensor in self._tensors.values() if tensor.requires_grad]

    def named_parameters(self) -> dict[str, Tensor]:
        """The same by name."""
        return {name: tensor for name, tensor in self._tensors.items() if tensor.requires_grad}

    def step(self, learning_rate: float) -> None:
        """Change all parameters by their `grad`."""
        arrays: list[Array] = []
        decays = []
        for name, tensor in self.named_parameters().items():
            if tensor.grad is not None:
                arrays += [tensor.data, tensor.grad, self._velocity(name)]
                decays.append(self.weight_decay if self._decays[name] else 0.0)
        sgd_steps(
            *arrays, learning_rate=learning_rate, momentum=self.momentum, weight_decays=decays
        )

    def zero_grad(self) -> None:
        """Forget all gradients, those of frozen parameters too."""
        for tensor in self._tensors.values():
            tensor.grad = None

    def _velocity(self, name: str) -> Array:
        if name not in self._velocities:
            data = self._tensors[name].data
            self._velocities[name] = xp_of(data).zeros_like(data)
        return self._velocities[name]

    def state_dict(self) -> dict[str, Array]:
        """The velocity of each trained parameter, by the parameter's name; see `Module.state_dict`."""
        velocities = {name: self._velocity(name) for name in self.named_parameters()}
        return {name: xp_of(v).ascontiguousarray(v) for name, v in velocities.items()}

    def load_state_dict(self, state: dict[str, np.ndarray]) -> None:
        """Take over velocities.

        Raises:
            InputError: they are not those of the trained parameters; lists the differences. Nothing
                has been changed then.
        """
        own = self.named_parameters()
        problems = [f"missing: {name}" for name in own if name not in state]
        problems += [f"unexpected: {name}" for name in state if name not in own]
        problems += [
            f"shape: {name} is {state[name].shape}, the model has {own[name].shape}"
            for name in own
            if name in state and state[name].shape != own[name].shape
        ]
        if problems:
            lines = "\n  ".join(problems)
            raise InputError(f"the optimiser's state does not fit the model:\n  {lines}")
        for name, tensor in own.items():
            array = xp_of(tensor.data).asarray(state[name])
            self._velocities[name] = velocity = xp_of(array).empty_like(tensor.data)
            velocity[...] = array
