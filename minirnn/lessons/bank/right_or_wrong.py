"""Lesson 12: which detections are right, and what changes the list of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minirnn.draw.palette import TRUTH, YOURS
from minirnn.draw.picture import Picture
from minirnn.evaluation.average_precision import match
from minirnn.lessons.exercise import Choice, Function, Mistake, Property


def _assign(scores: np.ndarray, iou: np.ndarray, crowd: np.ndarray, threshold: float) -> np.ndarray:
    scores, iou, crowd = np.asarray(scores), np.asarray(iou), np.asarray(crowd, dtype=bool)
    order = np.argsort(-scores, kind="stable")
    found, excused = match(iou[order], threshold, crowd, crowd)
    verdicts = np.zeros(len(scores), dtype=int)
    verdicts[order] = np.where(excused, -1, found)
    return verdicts


def _assign_wrongly(
    *,
    in_file_order: bool = False,
    again: bool = False,
    excuse: int = -1,
    crowd_once: bool = False,
    gives_up: bool = False,
    strictly: bool = False,
) -> Callable:
    """The assignment with one thing wrong."""

    def assign(scores: Any, iou: Any, crowd: Any, threshold: float) -> list[int]:
        order = range(len(scores)) if in_file_order else np.argsort(-scores, kind="stable")
        free = np.ones(len(crowd), dtype=bool)
        verdicts = [0] * len(scores)
        for d in order:
            enough = iou[d] > threshold if strictly else iou[d] >= threshold
            for kind in (False, True):
                able = enough & (crowd == kind) if gives_up else enough & (crowd == kind) & free
                if able.any():
                    best = int(np.argmax(np.where(able, iou[d], -1)))
                    if free[best]:
                        verdicts[d] = excuse if kind else 1
                    free[best] = free[best] and (again if not kind else not crowd_once)
                    break
        return verdicts

    return assign


def _scenes(rng: np.random.Generator) -> list[tuple]:
    """Overlaps on a grid of 0.05, so that some are the threshold; the last object may be a crowd."""
    cases: list[tuple] = []
    for number in range(48):
        detections, objects = int(rng.integers(2, 6)), int(rng.integers(1, 4))
        scores = rng.permutation(np.arange(1, 10))[:detections] / 10
        iou = rng.choice(np.arange(0, 20), (detections, objects)) / 20
        iou[rng.random(iou.shape) < 0.25] = 0.5
        crowd = np.zeros(objects, dtype=bool)
        crowd[-1] = number % 2 == 0
        cases.append((scores, iou, crowd, 0.5))
    cases.append((np.array([0.4]), np.zeros((1, 0)), np.zeros(0, dtype=bool), 0.5))
    return [case for case in cases if not _tied(case[1])]


def _tied(iou: np.ndarray) -> bool:
    """Whether a detection overlaps two objects equally: who gets it is then a convention."""
    return any(len(set(row[row >= 0.5])) < (row >= 0.5).sum() for row in iou)


def _assign_sketch(arguments: tuple, yours: np.ndarray, true: np.ndarray) -> Picture:
    scores, iou, crowd, _ = arguments
    rows, objects = len(scores), len(crowd)
    picture = Picture(figsize=(2.8 + 0.8 * objects, 1.2 + 0.4 * rows), layout="constrained")
    axes = picture.subplots()
    axes.imshow(iou if objects else np.zeros((rows, 1)), cmap="Greys", vmin=0, vmax=2)
    for (d, g), value in np.ndenumerate(iou):
        axes.text(g, d, f"{value:.2f}", ha="center", va="center", fontsize=9)
    names = [f"object {g}" + ("\n(crowd)" if crowd[g] else "") for g in range(objects)]
    axes.set_xticks(
        [*range(objects), objects, objects + 0.8], [*names, "yours", "true"], fontsize=8
    )
    axes.set_yticks(range(rows), [f"score {score:g}" for score in scores])
    axes.set_xlim(-0.5, objects + 1.3)
    axes.set_title("IoU of each detection with each object", fontsize=10)
    for d, (a, b) in enumerate(zip(yours, true, strict=True)):
        weight = "bold" if a != b else "normal"
        axes.text(objects, d, f"{a:g}", color=YOURS, ha="center", va="center", weight=weight)
        axes.text(objects + 0.8, d, f"{b:g}", color=TRUTH, ha="center", va="center", weight=weight)
    return picture


ASSIGN = Function(
    name="assign",
    truth=_assign,
    cases=_scenes,
    shown=("scores", "iou", "crowd", "threshold"),
    sketch=_assign_sketch,
    mistakes=(
        Mistake("found_twice", "you let two detections find the same object", _assign_wrongly(again=True)),
        Mistake("file_order", "you went through the detections in the order in which they are given",
                _assign_wrongly(in_file_order=True)),
        Mistake("crowd_is_wrong", "you counted a detection in a crowd as wrong", _assign_wrongly(excuse=0)),
        Mistake("crowd_is_right", "you counted a detection in a crowd as right", _assign_wrongly(excuse=1)),
        Mistake("crowd_used_up", "you let a crowd excuse one detection and no more",
                _assign_wrongly(crowd_once=True)),
        Mistake("gives_up",
                "you looked at the object of the largest overlap alone, and stopped where it was taken",
                _assign_wrongly(gives_up=True)),
        Mistake("strictly", "you left out a detection whose overlap is the threshold itself",
                _assign_wrongly(strictly=True)),
    ),
    properties=(
        Property("each verdict is 1, 0 or -1", lambda _, v: bool(np.isin(v, (-1, 0, 1)).all())),
        Property("there are not more right detections than objects that count",
                 lambda a, v: int((v == 1).sum()) <= int((~np.asarray(a[2], bool)).sum())),
        Property("where there is no crowd, nothing is excused",
                 lambda a, v: bool(np.any(a[2])) or not (v == -1).any()),
    ),
    why="The best score chooses first, an object can be found once, and a crowd never runs out.",
    hints=(
        "`np.argsort(-scores)` gives the numbers of the detections, best score first.",
        "Keep a list of which objects are still free. Of those that are free, are no crowd, and overlap "
        "enough, take the one with the largest overlap.",
        "Only when there is none of these, look for a crowd that overlaps enough. It stays free.",
    ),
    solution="""
def assign(scores, iou, crowd, threshold):
    free = [True] * len(crowd)
    verdicts = [0] * len(scores)
    for d in np.argsort(-np.asarray(scores), kind="stable"):
        enough = [g for g in range(len(crowd)) if iou[d][g] >= threshold]
        able = [g for g in enough if free[g] and not crowd[g]]
        if able:
            best = max(able, key=lambda g: iou[d][g])
            free[best] = False
            verdicts[d] = 1
        elif any(crowd[g] for g in enough):
            verdicts[d] = -1
    return verdicts
""",
)  # fmt: skip


MOVES_AP = Choice(
    name="moves_ap",
    truth="swapped",
    mistakes={
        "squared": "that leaves the order of the list as it was, and AP looks at nothing else of a score",
        "appended": "that adds its wrong detections where the recall no longer grows: no reading is there",
        "nudged": "that keeps every IoU above 0.5, and AP50 asks no more of a box",
    },
    why="The wrong detection now stands above a right one, so precision is lower where recall is low.",
    hints=(
        "AP50 is made of a list of right and wrong. For which of the four does that list change?",
        "And where in the list would a change have to be, to be seen in the staircase?",
    ),
    solution="`swapped`: only there does the list of right and wrong change at a place where recall "
    "still grows.",
)

EXERCISES = (ASSIGN, MOVES_AP)
