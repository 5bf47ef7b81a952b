"""What training does between two gradients: the optimiser's steps, clipping, and the learning rates.

The functions of the library and of the textbook change things in place, or answer for one step. The
functions here call either for several steps, from arrays to arrays, so that momentum and schedules
show.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from minirnn.autograd import Tensor
from minirnn.training.settings import TrainingSettings
from minirnn.verify.drawing import Rng, case, drawn, normal
from minirnn.verify.subject import Subject, stage


def take_steps(step: Any, parameter: np.ndarray, gradients: np.ndarray, **settings: float) -> Any:
    """The parameter after one step, which is taken in place, with each of the gradients (S, …)."""
    parameter = np.array(parameter)
    velocity = np.zeros_like(parameter)
    for gradient in gradients:
        step(parameter, gradient, velocity, **settings)
    return parameter


def take_adamw_steps(
    step: Any, parameter: np.ndarray, gradients: np.ndarray, **settings: float
) -> Any:
    """The same with AdamW, which counts its steps from 1."""
    parameter = np.array(parameter)
    mean, square = np.zeros_like(parameter), np.zeros_like(parameter)
    for number, gradient in enumerate(gradients, start=1):
        step(parameter, gradient, mean, square, step=number, **settings)
    return parameter


def clip_with(clip: Any, *gradients: np.ndarray, max_norm: float) -> list[np.ndarray]:
    """The gradients of several parameters, clipped together by `clip`, a function of tensors."""
    tensors = [Tensor(np.zeros_like(gradient)) for gradient in gradients]
    for tensor, gradient in zip(tensors, gradients, strict=True):
        tensor.grad = np.array(gradient)
    clip(tensors, max_norm)
    return [tensor.grad for tensor in tensors if tensor.grad is not None]


def learning_rates(rate: Any, **settings: Any) -> np.ndarray:
    """The learning rate of every step of a run."""
    run = TrainingSettings(**settings)
    return np.array([rate(step, run) for step in range(run.steps)])


_SGD = {"learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.01}
_ADAMW = {"learning_rate": 0.1, "beta1": 0.9, "beta2": 0.99, "weight_decay": 0.1, "eps": 1e-8}
_GRADIENTS = normal(3, 4), normal(5), normal(2, 1, 2)


@drawn
def _run(rng: Rng, **settings: Any) -> Any:
    return (), {"learning_rate": float(rng.uniform(0.01, 0.1)), **settings}


TRAINING_STAGES: tuple[Subject, ...] = (
    stage(
        "sgd_steps=training.optimiser.sgd_step",
        case(normal(3, 4), normal(5, 3, 4), **_SGD),
        case(normal(3, 4), normal(5, 3, 4), **{**_SGD, "momentum": 0.0}),
        case(normal(3, 4), normal(5, 3, 4), **{**_SGD, "weight_decay": 0.0}),
        case(normal(3, 4), normal(0, 3, 4), **_SGD),
        through=lambda of_one_step: partial(take_steps, of_one_step),
    ),
    stage(
        "adamw_steps=training.optimiser.adamw_step",
        case(normal(3, 4), normal(5, 3, 4), **_ADAMW),
        case(normal(3, 4), normal(5, 3, 4), **{**_ADAMW, "weight_decay": 0.0}),
        case(normal(3, 4), normal(1, 3, 4), **{**_ADAMW, "beta1": 0.0}),
        through=lambda of_one_step: partial(take_adamw_steps, of_one_step),
    ),
    stage(
        "clipped_gradients=training.optimiser.clip_gradients",
        case(*_GRADIENTS, max_norm=1.0),
        case(*_GRADIENTS, max_norm=1e3),
        through=lambda of_one_step: partial(clip_with, of_one_step),
    ),
    stage(
        "learning_rates=training.schedule.learning_rate",
        _run(steps=40, warmup_steps=10, schedule="step", milestones=(20, 30)),
        _run(steps=40, warmup_steps=10, schedule="cosine", final_fraction=0.1),
        _run(steps=20, warmup_steps=0, schedule="cosine"),
        _run(steps=12, warmup_steps=5, schedule="constant"),
        through=lambda of_one_step: partial(learning_rates, of_one_step),
    ),
)
