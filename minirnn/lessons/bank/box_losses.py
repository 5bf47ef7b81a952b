"""Lesson 06: what a wrong answer of the RPN costs."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from minirnn.lessons.exercise import Function, Mistake, Number, Property
from minirnn.ops.losses import binary_cross_entropy_with_logits, smooth_l1


def _box_loss(deltas: np.ndarray, goals: np.ndarray, beta: float, sampled: int) -> float:
    total = smooth_l1(np.asarray(deltas), np.asarray(goals), beta=beta, reduction="sum")
    return float(total) / sampled


def _cases(rng: np.random.Generator) -> list[tuple]:
    """Differences on both sides of β and exactly on it, of both signs."""
    cases = []
    for beta in (0.25, 0.5, 1.0, 2.0):
        for positives in (1, 1, 2, 3, 1, 2, 2, 3):
            goals = rng.integers(-2, 3, (positives, 4)) / 4
            off = rng.choice([0.0, 0.5, 1.0, 2.0, -0.5, -1.5], (positives, 4)) * beta
            cases.append((goals + off, goals, beta, int(positives + rng.integers(2, 9))))
    return cases


def _charged(rule: Callable, parts: Callable = lambda deltas, sampled: sampled) -> Callable:
    """The loss with another rule for one difference, or divided by something else."""

    def answer(deltas: np.ndarray, goals: np.ndarray, beta: float, sampled: int) -> float:
        losses = [rule(d, beta) for d in (deltas - goals).ravel()]
        return sum(losses) / parts(deltas, sampled)

    return answer


def _smooth(d: float, beta: float) -> float:
    return d * d / (2 * beta) if abs(d) < beta else abs(d) - beta / 2


BOX_LOSS = Function(
    name="box_loss",
    truth=_box_loss,
    cases=_cases,
    shown=("deltas", "goals", "beta", "sampled"),
    mistakes=(
        Mistake("beta_missing",
                "you wrote d² / 2 for small differences; where β is not 1 that is another curve",
                _charged(lambda d, beta: d * d / 2 if abs(d) < beta else abs(d) - beta / 2)),
        Mistake("jump_at_beta",
                "you wrote |d| beyond β, so that the loss jumps by β / 2 there",
                _charged(lambda d, beta: d * d / (2 * beta) if abs(d) < beta else abs(d))),
        Mistake("as_if_beta_were_one",
                "you wrote |d| − ½ beyond β, which fits a β of 1 only",
                _charged(lambda d, beta: d * d / (2 * beta) if abs(d) < beta else abs(d) - 0.5)),
        Mistake("half_missing",
                "you wrote d² / β for small differences, which is twice too much",
                _charged(lambda d, beta: d * d / beta if abs(d) < beta else abs(d) - beta / 2)),
        Mistake("divided_by_positives",
                "you divided by the positives only; negatives belong to the sample, too",
                _charged(_smooth, lambda deltas, sampled: len(deltas))),
        Mistake("mean_of_all_numbers",
                "you took the mean over the four numbers as well; they are added up",
                _charged(_smooth, lambda deltas, sampled: 4 * sampled)),
        Mistake("not_divided",
                "you did not divide, so that the loss grows with the sample",
                _charged(_smooth, lambda deltas, sampled: 1)),
        Mistake("sign_kept",
                "you compared d itself with β: a large negative difference is large, too",
                _charged(lambda d, beta: d * d / (2 * beta) if d < beta else d - beta / 2)),
        Mistake("square_everywhere",
                "you squared everywhere; beyond β the loss is a straight line",
                _charged(lambda d, beta: d * d / (2 * beta))),
    ),
    properties=(
        Property("a loss is never negative", lambda _, loss: bool(loss >= -1e-9)),
        Property("it is 0 only where all numbers are right",
                 lambda case, loss: bool(loss > 0 or np.allclose(case[0], case[1]))),
    ),
    why="Dividing by all sampled anchors keeps objectness and box at the same scale: both are sums over "
    "the sample, divided by its size.",
    hints=(
        "d = deltas − goals. Two cases: |d| < β, and the rest.",
        "d² / 2β at |d| = β is β / 2. What has to be taken off |d| so that the line begins there?",
        "Add up all numbers, then divide by `sampled` once.",
    ),
    solution="""
def box_loss(deltas, goals, beta, sampled):
    d = np.abs(deltas - goals)
    losses = np.where(d < beta, d**2 / (2 * beta), d - beta / 2)
    return losses.sum() / sampled
""",
)  # fmt: skip


UNDECIDED = Number(
    name="undecided",
    truth=float(binary_cross_entropy_with_logits(np.zeros(8), np.arange(8) % 2.0)),
    tolerance=0.004,
    unit="nats",
    mistakes={
        0.5: "that is the probability; the loss is minus its logarithm",
        -math.log(2): "the sign: a logarithm of ½ is negative, and the loss is minus that",
        1.0: "that is in bits, with the logarithm to the base 2; here it is the natural one",
        math.log10(2): "you took the logarithm to the base 10; here it is the natural one",
        0.0: "that would be a network that is sure, and right; 0 is the logit of one half",
        2 * math.log(2): "you counted yes and no; for each anchor only one of the two is charged",
    },
    why="−log ½ = log 2 = 0.693, for positives and negatives alike. If a fresh network begins "
    "somewhere else, look for a mistake before you train it.",
    hints=(
        "sigmoid(0) = 1 / (1 + e⁰). How probable does the network think an object is?",
        "The loss of an anchor is minus the natural logarithm of the probability of what is true.",
    ),
    solution="sigmoid(0) = ½, whatever is true. −log ½ = 0.693 for every anchor, and so is the mean.",
)

EXERCISES = (BOX_LOSS, UNDECIDED)
