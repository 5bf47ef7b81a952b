"""Lesson 05: sampling."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minirnn.lessons.exercise import Function, Mistake, Number, Property
from minirnn.matching import BACKGROUND, IGNORE, sample


class _InOrder:
    """Stands for a generator: what is drawn is what comes first in the given order."""

    def __init__(self, order: np.ndarray) -> None:
        self.rank = np.argsort(order)

    def choice(self, candidates: np.ndarray, count: int, **_: bool) -> np.ndarray:
        return candidates[np.argsort(self.rank[candidates], kind="stable")[:count]]


def _labels(matches: np.ndarray, positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    labels = np.full(len(matches), -1)
    labels[positives], labels[negatives] = 1, 0
    return labels


def _sample(matches: np.ndarray, count: int, fraction: float, order: np.ndarray) -> np.ndarray:
    matches = np.asarray(matches, dtype=np.intp)
    return _labels(matches, *sample(matches, count, fraction, _InOrder(order)))  # type: ignore[arg-type]


def _sample_cases(rng: np.random.Generator) -> list[tuple]:
    cases = [(np.array([BACKGROUND, IGNORE]), 2, 0.5, np.arange(2))]
    for length in [4] * 10 + [6] * 12 + [9] * 14:
        matches = rng.choice([0, 1, BACKGROUND, IGNORE], length, p=rng.dirichlet(np.ones(4)))
        count, fraction = int(rng.integers(2, length)), float(rng.choice([0.25, 0.5]))
        cases.append((matches, count, fraction, rng.permutation(length)))
    return cases


def _take(rule: Callable) -> Callable:
    """`sample` where the two candidate lists and how many of each are taken come from a rule."""

    def answer(matches: np.ndarray, count: int, fraction: float, order: np.ndarray) -> np.ndarray:
        positives = [a for a in order if matches[a] >= 0]
        negatives = [a for a in order if matches[a] == BACKGROUND]
        return _labels(matches, *rule(matches, positives, negatives, count, fraction, order))

    return answer


def _usual(positives: list, negatives: list, count: int, most: int) -> tuple[list, list]:
    chosen = positives[:most]
    return chosen, negatives[: max(count - len(chosen), 0)]


SAMPLE = Function(
    name="sample_anchors",
    truth=_sample,
    cases=_sample_cases,
    shown=("matches", "count", "positive_fraction", "order"),
    mistakes=(
        Mistake(
            "ignored_are_negative",
            "you took ignored anchors for negatives: everything below 0 is not background",
            _take(lambda matches, pos, neg, count, fraction, order: _usual(
                pos, [a for a in order if matches[a] < 0], count, int(count * fraction))),
        ),
        Mistake(
            "gaps_not_filled",
            "you drew a fixed number of negatives; where positives are few, negatives fill up to `count`",
            _take(lambda matches, pos, neg, count, fraction, order: (
                pos[: int(count * fraction)], neg[: count - int(count * fraction)])),
        ),
        Mistake(
            "positives_without_limit",
            "you took more positives than `count · positive_fraction`",
            _take(lambda matches, pos, neg, count, fraction, order: _usual(pos, neg, count, count)),
        ),
        Mistake(
            "part_of_positives",
            "you took the fraction of the positives that there are; it is a part of `count`",
            _take(lambda matches, pos, neg, count, fraction, order: _usual(
                pos, neg, count, int(len(pos) * fraction))),
        ),
        Mistake(
            "too_many",
            "you drew `count` negatives beside the positives; `count` is for both together",
            _take(lambda matches, pos, neg, count, fraction, order: (
                pos[: int(count * fraction)], neg[:count])),
        ),
        Mistake(
            "not_drawn",
            "you took the first anchors of the list, not those that come first in `order`",
            _take(lambda matches, pos, neg, count, fraction, order: _usual(
                sorted(pos), sorted(neg), count, int(count * fraction))),
        ),
    ),
    properties=(
        Property("ignored anchors are never used",
                 lambda case, got: bool((got[np.asarray(case[0]) == IGNORE] == -1).all())),
        Property("no more than `count` anchors are used",
                 lambda case, got: bool((got >= 0).sum() <= case[1])),
    ),
    why="At most half of the draw (or what the fraction says) is positive, and negatives fill the rest.",
    hints=(
        "Go through `order` and keep the anchors with a match of 0 or more: these are the positives, in "
        "the order of the draw. Negatives are those with a match of exactly −1.",
        "At most `int(count * positive_fraction)` positives. How many places are left then?",
    ),
    solution="""
def sample_anchors(matches, count, positive_fraction, order):
    positives = [a for a in order if matches[a] >= 0][:int(count * positive_fraction)]
    negatives = [a for a in order if matches[a] == -1][:count - len(positives)]
    result = np.full(len(matches), -1)
    result[positives] = 1
    result[negatives] = 0
    return result
""",
)  # fmt: skip


def _negatives(positives: int, negatives: int, count: int, fraction: float) -> int:
    matches = np.repeat([0, BACKGROUND], [positives, negatives]).astype(np.intp)
    return len(sample(matches, count, fraction, np.random.default_rng(0))[1])


NEGATIVES = Number(
    name="negatives",
    truth=_negatives(22, 64_419, 256, 0.5),
    unit="anchors",
    mistakes={
        128: "you drew half of 256; there are not so many positives, and negatives fill the gap",
        256: "you forgot the positives: 256 is for both together",
        22: "you balanced the two; there is no such rule, only a limit for positives",
        64_419: "you took all negatives; the draw is there to take few of them",
        106: "you took the positives off one half; they leave their places to negatives",
    },
    why="256 − 22 = 234. The limit of 128 is for positives, and few pictures ever reach it.",
    hints=("How many positives are drawn, if at most 128 may be?", "How many places are left?"),
    solution="All 22 positives are drawn, since they are fewer than 128. 256 − 22 = 234 are left.",
)

EXERCISES = (SAMPLE, NEGATIVES)
