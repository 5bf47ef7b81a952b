"""Who changes the weights: SGD with momentum, or AdamW; and a limit on the gradient."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import numpy as np

from minirnn.autograd import Tensor
from minirnn.backend import Array, to_host, xp_of
from minirnn.errors import InputError
from minirnn.ops.adamw import adamw_step
from minirnn.ops.sgd import sgd_step, sgd_steps
from minirnn.training.settings import TrainingSettings

__all__ = ["SGD", "AdamW", "Optimiser", "adamw_step", "clip_gradients", "gradient_norm", "sgd_step"]


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


AVERAGE = "average."  # begins the names of the averaged parameters in an optimiser's state


class Optimiser:
    """What every optimiser does: it knows which parameters it may change, and keeps arrays beside them.

    Frozen parameters (`requires_grad` False) and those that no gradient has reached are not
    touched, not even by weight decay. Parameters of normalisation layers get no weight decay: a
    smaller scale there does not make the function simpler.

    Args:
        model: has `named_parameters()` and `named_modules()`.
        weight_decay: pull towards 0.
        averaging: see `averaged`; 0 for none.
    """

    #: What is kept beside each parameter: the beginnings of names in `state_dict`.
    KEPT: ClassVar[tuple[str, ...]] = ()

    def __init__(self, model: Any, weight_decay: float, averaging: float = 0.0) -> None:
        self.weight_decay = weight_decay
        self.averaging = averaging
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
        self._state: dict[str, Array] = {}

    def parameters(self) -> list[Tensor]:
        """The tensors that are trained."""
        return [tensor for tensor in self._tensors.values() if tensor.requires_grad]

    def named_parameters(self) -> dict[str, Tensor]:
        """The same by name."""
        return {name: tensor for name, tensor in self._tensors.items() if tensor.requires_grad}

    def step(self, learning_rate: float) -> None:
        """Change all parameters by their `grad`."""
        averages = {
            name: self._kept(AVERAGE + name)
            for name in (self.named_parameters() if self.averaging else ())
        }
        self._step(learning_rate)
        for name, average in averages.items():
            average += (1 - self.averaging) * (self._tensors[name].data - average)

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Within this block the parameters are a running mean of what they were after each step.

            average ← average + (1 - averaging) · (parameter - average)

        Steps on few images throw the weights to and fro. Their mean lies in the middle, where the loss is
        lower, and changes little from one evaluation to the next. Without averaging (or before the first
        step) nothing changes.

        Source: Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", 1992; as a
            running mean: Tarvainen and Valpola, "Mean teachers", 2017, section 2, equation 1.
        """
        kept = {AVERAGE + name: tensor for name, tensor in self.named_parameters().items()}
        own = {name: tensor.data for name, tensor in kept.items()}
        for name, tensor in kept.items():
            tensor.data = self._state.get(name, tensor.data)
        try:
            yield
        finally:
            for name, tensor in kept.items():
                tensor.data = own[name]

    def _step(self, learning_rate: float) -> None:
        raise NotImplementedError

    def zero_grad(self) -> None:
        """Forget all gradients, those of frozen parameters too."""
        for tensor in self._tensors.values():
            tensor.grad = None

    def state_dict(self) -> dict[str, Array]:
        """What is kept beside each trained parameter; see `Module.state_dict`."""
        kept = {name: self._kept(name) for name in self._names()}
        return {name: xp_of(array).ascontiguousarray(array) for name, array in kept.items()}

    def load_state_dict(self, state: dict[str, np.ndarray]) -> None:
        """Take over what was kept.

        Raises:
            InputError: it is not that of the trained parameters; lists the differences. Nothing
                has been changed then.
        """
        own = self._names()
        problems = [f"missing: {name}" for name in own if name not in state]
        problems += [f"unexpected: {name}" for name in state if name not in own]
        problems += [
            f"shape: {name} is {state[name].shape}, the model has {tensor.shape}"
            for name, tensor in own.items()
            if name in state and state[name].shape != tensor.shape
        ]
        if problems:
            lines = "\n  ".join(problems)
            raise InputError(f"the optimiser's state does not fit the model:\n  {lines}")
        for name, tensor in own.items():
            array = xp_of(tensor.data).asarray(state[name])
            self._state[name] = kept = xp_of(array).empty_like(tensor.data)
            kept[...] = array

    def _with_gradients(self) -> Iterator[tuple[str, Tensor, float]]:
        """Name, tensor and weight decay of each parameter that takes a step."""
        for name, tensor in self.named_parameters().items():
            if tensor.grad is not None:
                yield name, tensor, self.weight_decay if self._decays[name] else 0.0

    def _names(self) -> dict[str, Tensor]:
        """The names of all that is kept, and the parameter that it stands beside."""
        own = self.named_parameters()
        beginnings = (*self.KEPT, AVERAGE) if self.averaging else self.KEPT
        return {kept + name: tensor for kept in beginnings for name, tensor in own.items()}

    def _kept(self, name: str) -> Array:
        """What is kept under this name. Before the first step: zeros; of an average, the parameter."""
        if name not in self._state:
            kept = next(kept for kept in (AVERAGE, *self.KEPT) if name.startswith(kept))
            data = self._tensors[name.removeprefix(kept)].data
            self._state[name] = xp_of(data).zeros_like(data)
            if kept == AVERAGE:
                self._state[name] += data
        return self._state[name]


class SGD(Optimiser):
    """`sgd_step` for every parameter of a model.

    Args:
        model: see `Optimiser`.
        momentum: share of the velocity that is kept.
        weight_decay: pull towards 0.
        averaging: see `Optimiser.averaged`.
    """

    KEPT = ("",)  # the velocities, under the parameters' own names

    def __init__(
        self,
        model: Any,
        momentum: float = 0.9,
        weight_decay: float = 1e-4,
        averaging: float = 0.0,
    ) -> None:
        super().__init__(model, weight_decay, averaging)
        self.momentum = momentum

    def _step(self, learning_rate: float) -> None:
        arrays: list[Array] = []
        decays = []
        for name, tensor, decay in self._with_gradients():
            arrays += [tensor.data, tensor.grad, self._kept(name)]
            decays.append(decay)
        sgd_steps(
            *arrays, learning_rate=learning_rate, momentum=self.momentum, weight_decays=decays
        )


class AdamW(Optimiser):
    """`adamw_step` for every parameter of a model.

    Args:
        model: see `Optimiser`.
        momentum: β₁, share of the running mean of the gradients that is kept.
        beta2: the same of their squares.
        weight_decay: pull towards 0, times the learning rate.
        averaging: see `Optimiser.averaged`.
        eps: keeps a division by 0 away.
    """

    KEPT = ("mean.", "square.")
    STEPS = "steps"  # under this name `state_dict` holds how many steps were taken

    def __init__(
        self,
        model: Any,
        momentum: float = 0.9,
        beta2: float = 0.999,
        weight_decay: float = 0.01,
        averaging: float = 0.0,
        eps: float = 1e-8,
    ) -> None:
        super().__init__(model, weight_decay, averaging)
        self.momentum, self.beta2, self.eps = momentum, beta2, eps
        self.steps = 0

    def _step(self, learning_rate: float) -> None:
        self.steps += 1
        for name, tensor, decay in self._with_gradients():
            adamw_step(
                tensor.data,
                tensor.grad,
                self._kept("mean." + name),
                self._kept("square." + name),
                step=self.steps,
                learning_rate=learning_rate,
                beta1=self.momentum,
                beta2=self.beta2,
                weight_decay=decay,
                eps=self.eps,
            )

    def state_dict(self) -> dict[str, Array]:
        """Both running means of each trained parameter, and how many steps were taken."""
        return super().state_dict() | {self.STEPS: np.array([self.steps])}

    def load_state_dict(self, state: dict[str, np.ndarray]) -> None:
        """Take them over.

        Raises:
            InputError: as for `Optimiser.load_state_dict`.
        """
        if self.STEPS not in state:
            raise InputError(
                "the optimiser's state does not say how many steps were taken: it is none of AdamW"
            )
        super().load_state_dict({name: a for name, a in state.items() if name != self.STEPS})
        self.steps = int(state[self.STEPS][0])


def optimiser_of(model: Any, settings: TrainingSettings) -> Optimiser:
    """The optimiser that the settings name."""
    rest = {"weight_decay": settings.weight_decay, "averaging": settings.averaging}
    if settings.optimiser == "adamw":
        return AdamW(model, settings.momentum, settings.beta2, **rest)
    return SGD(model, settings.momentum, **rest)
