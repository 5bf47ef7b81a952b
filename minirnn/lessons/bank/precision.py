"""Lesson 12: from a list of right and wrong to COCO's average precision."""

from __future__ import annotations

import numpy as np

from minirnn.evaluation.average_precision import precision_at_recalls
from minirnn.lessons.exercise import Function, Mistake, Number, Property


def _average_precision(correct: np.ndarray, count: int) -> float:
    return float(precision_at_recalls(np.asarray(correct, dtype=bool), count)[0].mean())


def _curve(correct: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Recall, precision and envelope after each detection."""
    right = np.cumsum(correct)
    precision = right / np.arange(1, len(correct) + 1)
    return right / count, precision, np.maximum.accumulate(precision[::-1])[::-1]


def _read(recall: np.ndarray, values: np.ndarray, places: np.ndarray) -> np.ndarray:
    index = np.searchsorted(recall, places, side="left")
    padded = np.append(values, 0.0)
    return padded[np.minimum(index, len(values))]


_PLACES = np.linspace(0, 1, 101)


def _no_envelope(correct: np.ndarray, count: int) -> float:
    recall, precision, _ = _curve(correct, count)
    return float(_read(recall, precision, _PLACES).mean())


def _exact_area(correct: np.ndarray, count: int) -> float:
    recall, _, envelope = _curve(correct, count)
    return float((np.diff(np.append(0.0, recall)) * envelope).sum())


def _trapezoids(correct: np.ndarray, count: int) -> float:
    recall, precision, _ = _curve(correct, count)
    if not len(recall):
        return 0.0
    x, y = np.append(0.0, recall), np.append(1.0, precision)
    return float((np.diff(x) * (y[1:] + y[:-1]) / 2).sum())


def _eleven(correct: np.ndarray, count: int) -> float:
    recall, _, envelope = _curve(correct, count)
    return float(_read(recall, envelope, np.linspace(0, 1, 11)).mean())


def _of_those_found(correct: np.ndarray, count: int) -> float:
    return _average_precision(correct, max(int(np.sum(correct)), 1))


def _reached_only(correct: np.ndarray, count: int) -> float:
    recall, _, envelope = _curve(correct, count)
    if not len(recall):
        return 0.0
    return float(_read(recall, envelope, _PLACES)[recall[-1] >= _PLACES].mean())


def _lists(rng: np.random.Generator) -> list[tuple]:
    """Counts whose recalls k / count meet hundredths at 0, ½ and 1 only, where no rounding decides."""
    cases: list[tuple] = [(np.zeros(0, dtype=bool), 3), (np.array([False, False]), 1)]
    for _ in range(38):
        count = int(rng.choice([1, 3, 6, 7, 9, 11]))
        correct = rng.random(int(rng.integers(1, 9))) < 0.6
        correct &= np.cumsum(correct) <= count
        cases.append((correct, count))
    return cases


AVERAGE_PRECISION = Function(
    name="average_precision",
    truth=_average_precision,
    cases=_lists,
    shown=("correct", "count"),
    mistakes=(
        Mistake("no_envelope",
                "you read the precision at the first detection that reaches a recall, where a later one "
                "may be better", _no_envelope),
        Mistake("exact_area",
                "you took the exact area under the envelope, not the mean of 101 readings", _exact_area),
        Mistake("trapezoids",
                "you joined the points by straight lines and took the area (trapezoids)", _trapezoids),
        Mistake("eleven", "you read the curve at 11 recalls, as PASCAL VOC once did", _eleven),
        Mistake("of_those_found",
                "you divided by the number of right detections, so that what was missed costs nothing",
                _of_those_found),
        Mistake("reached_only",
                "you left out the recalls that are never reached", _reached_only),
    ),
    properties=(
        Property("the average precision is between 0 and 1", lambda _, v: bool(0 <= v <= 1)),
        Property("without a right detection it is 0", lambda a, v: bool(np.any(a[0]) or v == 0)),
        Property("if the first detections are right and find everything, it is 1",
                 lambda a, v: bool(len(a[0]) < a[1] or not np.all(a[0][: a[1]]) or abs(v - 1) < 1e-9)),
    ),
    why="A reading says, if one must find this share of the objects, how clean can the list be at best.",
    hints=(
        "After k detections, with `right` right ones among them, recall is right / count and precision "
        "right / k.",
        "For each of `np.linspace(0, 1, 101)`: the largest precision among the places in the list whose "
        "recall is at least that; 0 if there is none.",
        "The empty list has no place at all: every reading is 0.",
    ),
    solution="""
def average_precision(correct, count):
    right, points = 0, []
    for k, hit in enumerate(correct, start=1):
        right += bool(hit)
        points.append((right / count, right / k))
    readings = []
    for r in np.linspace(0, 1, 101):
        readings.append(max((p for recall, p in points if recall >= r), default=0.0))
    return sum(readings) / 101
""",
)  # fmt: skip


_HITS, _COUNT = np.array([True, False, True, True]), 4

AP_BY_HAND = Number(
    name="ap_by_hand",
    truth=_average_precision(_HITS, _COUNT),
    tolerance=6e-4,
    unit="(an AP is between 0 and 1)",
    mistakes={
        _no_envelope(_HITS, _COUNT): "you read 2/3 between recall ¼ and ½, but a later place in the list "
        "has the precision ¾",
        _exact_area(_HITS, _COUNT): "that is the area under the envelope: nearly it, but COCO counts "
        "readings, and there is one at recall 0 as well",
        _of_those_found(_HITS, _COUNT): "you left the fourth object out, which was never found",
        0.75: "that is the share of detections that are right",
        _trapezoids(_HITS, _COUNT): "that is the area under straight lines between the points",
        _eleven(_HITS, _COUNT): "you read the curve at 11 recalls, not at 101",
    },
    why="26 readings of 1 (recall 0 to 0.25), 50 of ¾ (0.26 to 0.75) and 25 of 0: 63.5 / 101.",
    hints=(
        "Write down recall and precision after each detection: (¼, 1), (¼, ½), (½, 2/3), (¾, ¾).",
        "Which precision does the envelope have between recall ¼ and ½? The largest one to the right.",
        "How many of 0, 0.01, …, 1 are at most ¼? How many are above ¼ and at most ¾?",
    ),
    solution="The envelope is 1 as far as recall ¼, ¾ as far as recall ¾, and 0 after it. Of the 101 "
    "recalls, 26 are in the first stretch, 50 in the second and 25 in the third: "
    "(26 · 1 + 50 · ¾ + 25 · 0) / 101 = 63.5 / 101 ≈ 0.629.",
)  # fmt: skip

EXERCISES = (AVERAGE_PRECISION, AP_BY_HAND)
