"""What training does between two gradients: the optimiser's steps, clipping, and the learning rates.

The functions of the library change things in place, or answer for one step. Here each is wrapped in a
function from arrays to arrays that covers several steps, so that momentum and schedules show.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from minirnn.autograd import Tensor
from minirnn.training import optimiser, schedule
from minirnn.training.settings import TrainingSettings
from minirnn.verify.subject import Draw, Subject


def sgd_steps(parameter: np.ndarray, gradients: np.ndarray, **settings: float) -> np.ndarray:
    """The parameter after one step with each of the gradients (S, …)."""
    return take_steps(optimiser.sgd_step, parameter, gradients, **settings)


def take_steps(step: Any, parameter: np.ndarray, gradients: np.ndarray, **settings: float) -> Any:
    """The same with any function that takes one step in place."""
    parameter = np.array(parameter)
    velocity = np.zeros_like(parameter)
    for gradient in gradients:
        step(parameter, gradient, velocity, **settings)
    return parameter


def clipped_gradients(*gradients: np.ndarray, max_norm: float) -> list[np.ndarray]:
    """The gradients of several parameters, shortened together."""
    return clip_with(optimiser.clip_gradients, *gradients, max_norm=max_norm)


def clip_with(clip: Any, *gradients: np.ndarray, max_norm: float) -> list[np.ndarray]:
    """The same with any function that clips the gradients of tensors."""
    tensors = [Tensor(np.zeros_like(gradient)) for gradient in gradients]
    for tensor, gradient in zip(tensors, gradients, strict=True):
        tensor.grad = np.array(gradient)
    clip(tensors, max_norm)
    return [tensor.grad for tensor in tensors if tensor.grad is not None]


def learning_rates(**settings: Any) -> np.ndarray:
    """The learning rate of every step of a run."""
    run = TrainingSettings(**settings)
    return np.array([schedule.learning_rate(step, run) for step in range(run.steps)])


def _steps(rng: np.random.Generator, *, count: int, **changed: float) -> Any:
    settings = {"learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.01, **changed}
    return (rng.normal(0, 1, (3, 4)), rng.normal(0, 1, (count, 3, 4))), settings


def _gradients(rng: np.random.Generator, *, max_norm: float) -> Any:
    shapes = ((3, 4), (5,), (2, 1, 2))
    return tuple(rng.normal(0, 1, shape) for shape in shapes), {"max_norm": max_norm}


def _run(rng: np.random.Generator, **settings: Any) -> Any:
    return (), {"learning_rate": float(rng.uniform(0.01, 0.1)), **settings}


def _own(function: Any, *draws: Draw) -> Subject:
    return Subject("training", function.__name__, lambda: function, draws, ())


TRAINING_STAGES: tuple[Subject, ...] = (
    _own(
        sgd_steps,
        partial(_steps, count=5),
        partial(_steps, count=5, momentum=0.0),
        partial(_steps, count=5, weight_decay=0.0),
        partial(_steps, count=0),
    ),
    _own(clipped_gradients, partial(_gradients, max_norm=1.0), partial(_gradients, max_norm=1e3)),
    _own(
        learning_rates,
        partial(_run, steps=40, warmup_steps=10, schedule="step", milestones=(20, 30)),
        partial(_run, steps=40, warmup_steps=10, schedule="cosine", final_fraction=0.1),
        partial(_run, steps=20, warmup_steps=0, schedule="cosine"),
        partial(_run, steps=12, warmup_steps=5, schedule="constant"),
    ),
)
