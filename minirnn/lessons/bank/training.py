"""Lesson 11: the first losses, a few steps downhill, and a planted bug."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minirnn.lessons.exercise import Choice, Function, Mistake, Number, Property
from minirnn.ops.sgd import sgd_step


def _sgd(
    weights: np.ndarray,
    gradients: np.ndarray,
    trained: np.ndarray,
    rate: float,
    momentum: float,
    decay: float,
) -> np.ndarray:
    result = np.array(weights, dtype=float)
    moving, velocity = result[np.asarray(trained)], np.zeros(int(np.sum(trained)))
    for gradient in np.asarray(gradients, dtype=float):
        sgd_step(
            moving, gradient[np.asarray(trained)], velocity,
            learning_rate=rate, momentum=momentum, weight_decay=decay,
        )  # fmt: skip
    result[np.asarray(trained)] = moving
    return result


def _sgd_wrongly(bug: str) -> Any:
    def sgd(
        w: Any, gradients: Any, trained: Any, rate: float, momentum: float, decay: float
    ) -> Any:
        velocity, kept = np.zeros(len(w)), np.zeros(len(w))
        for g in gradients:
            if bug == "not_cleared":
                kept = kept + g
                g = kept
            if bug == "restarted":
                velocity = np.zeros(len(w))
            slope = g + (0.0 if bug == "no_decay" else decay * w)
            if bug == "averaged":
                slope = (1 - momentum) * slope
            if bug == "frozen_decays":
                slope = np.where(trained, slope, decay * w)
            velocity = momentum * velocity + slope
            step = rate * velocity * (-1 if bug == "uphill" else 1)
            w = w - (step if bug == "frozen_decays" else np.where(trained, step, 0.0))
        return w

    return sgd


def _trainings(rng: np.random.Generator) -> list[tuple]:
    cases: list[tuple] = []
    for steps in (1, 2, 3) * 8:
        count = int(rng.integers(1, 4))
        trained = rng.random(count) < 0.6
        cases.append((
            rng.integers(-4, 5, count).astype(float), rng.integers(-3, 4, (steps, count)).astype(float),
            trained, 0.1, float(rng.choice([0.5, 0.9])), float(rng.choice([0.0, 0.1])),
        ))  # fmt: skip
    cases.append((np.array([1.0]), np.array([[2.0]]), np.array([False]), 0.1, 0.9, 0.1))
    return cases


SGD = Function(
    name="sgd",
    truth=_sgd,
    cases=_trainings,
    shown=("weights", "gradients", "trained", "rate", "momentum", "decay"),
    mistakes=(
        Mistake("frozen_decays", "you let weights that are not trained decay: they are to stay as they are",
                _sgd_wrongly("frozen_decays")),
        Mistake("not_cleared", "you added each gradient to those of the steps before (not cleared)",
                _sgd_wrongly("not_cleared")),
        Mistake("restarted", "you began each step with a velocity of 0: momentum then does nothing",
                _sgd_wrongly("restarted")),
        Mistake("no_decay", "you left the weight decay out", _sgd_wrongly("no_decay")),
        Mistake("uphill", "you went uphill: the sign of the step", _sgd_wrongly("uphill")),
        Mistake("averaged", "you took a mean of old velocity and gradient, where they are added",
                _sgd_wrongly("averaged")),
    ),
    properties=(
        Property("weights that are not trained do not change",
                 lambda a, w: bool(np.array_equal(w[~a[2]], a[0][~a[2]]))),
    ),
    why="The velocity is the only memory of the optimiser: it lives from step to step, while the gradient "
    "is new in each.",
    hints=(
        "The velocity is 0 before the first step, and is kept between steps.",
        "In each step: slope = gradient + decay · weights, velocity = momentum · velocity + slope, "
        "weights = weights − rate · velocity.",
        "`np.where(trained, new, old)` leaves the others alone.",
    ),
    solution="""
def sgd(weights, gradients, trained, rate, momentum, decay):
    weights = np.array(weights, dtype=float)
    velocity = np.zeros(len(weights))
    for gradient in gradients:
        velocity = momentum * velocity + gradient + decay * weights
        weights = np.where(trained, weights - rate * velocity, weights)
    return weights
""",
)  # fmt: skip

FIRST_LOSS = Number(
    name="first_loss",
    truth=math.log(81),
    tolerance=0.006,
    unit="nats",
    mistakes={
        math.log(80): "you counted 80 classes; background is a class, too",
        math.log(2): "that is the loss of a question with two answers",
        math.log2(81): "that is the logarithm to base 2; the library's is the natural one",
        math.log10(81): "that is the logarithm to base 10; the library's is the natural one",
        80 / 81: "that is the probability of a wrong answer; the loss is −log of the right one's",
        1 / 81: "that is the probability of the true class; the loss is −log of it",
    },
    why="Undecided between 81 classes, the true one has the probability 1/81, and −log(1/81) = log 81.",
    hints=(
        "How many scores does the box head give for 80 categories?",
        "If all are alike, what is the probability of the true one? The loss is −log of it (`np.log`).",
    ),
    solution="80 categories and background are 81 classes. Undecided, each has the probability 1/81, and "
    "the loss is log 81 ≈ 4.39.",
)

FIND_BUG = Choice(
    name="find_bug",
    truth="gradients",
    mistakes={
        "rate": "that would not double the second step's gradient: the first step was the same as in the "
        "right run, and the losses still are",
        "data": "that would show in the first step already: there the losses are those of the right run",
        "head": "that would leave one loss behind while the others fall; here all of them go up and down",
    },
    why="The second gradient is the sum of the first two, the third is that of three: the weights hardly "
    "move in these steps, so the gradient cannot have grown by itself.",
    hints=(
        "Compare the first three lines. In which column do the runs differ first, and by which factor?",
        "The losses are the same to three digits, so the weights are nearly the same. What could make a "
        "gradient twice as long at the same weights?",
    ),
    solution="gradients: they were not cleared, so that each step's gradient was added to those before. "
    "At nearly the same weights its length is then 1, 2, 3, … times the right one.",
)

EXERCISES = (FIRST_LOSS, SGD, FIND_BUG)
