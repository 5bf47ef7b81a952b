"""Lesson 09: whose mask it is, and what the mask head's loss looks at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minirnn.heads.mask import mask_loss
from minirnn.lessons.exercise import Choice, Function, Mistake, Property


def _mask_loss(logits: np.ndarray, targets: np.ndarray, labels: np.ndarray) -> float:
    logits, targets, labels = (np.asarray(each) for each in (logits, targets, labels))
    own = labels > 0
    return float(mask_loss(logits[own], targets[own], labels[own].astype(np.intp)))


def _regions(rng: np.random.Generator) -> list[tuple]:
    """Two classes and background, masks of 2 × 2; some regions are background, some cases all."""
    cases: list[tuple] = []
    for number in range(28):
        count = int(rng.integers(1, 4))
        labels = rng.integers(0, 3, count)
        if number % 3 == 0:
            labels[0] = 1 + number % 2
        logits = rng.integers(-3, 4, (count, 3, 2, 2)).astype(float)
        targets = rng.integers(0, 2, (count, 2, 2)).astype(float)
        cases.append((logits, targets, labels))
    cases.append((np.ones((2, 3, 2, 2)), np.zeros((2, 2, 2)), np.zeros(2, dtype=int)))
    return cases


def _surprise(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    return np.maximum(logits, 0) - logits * targets + np.log1p(np.exp(-np.abs(logits)))


def _all_channels(logits: Any, targets: Any, labels: Any) -> float:
    own = labels > 0
    if not own.any():
        return 0.0
    everywhere = np.repeat(targets[own][:, None], logits.shape[1] - 1, axis=1)
    return float(_surprise(logits[own][:, 1:], everywhere).mean())


def _channels(shift: int, backgrounds: bool = False) -> Callable:
    def loss(logits: Any, targets: Any, labels: Any) -> float:
        own = np.ones(len(labels), dtype=bool) if backgrounds else labels > 0
        maps = logits[own][np.arange(own.sum()), labels[own] + shift]
        return float(_surprise(maps, targets[own]).mean()) if own.any() else 0.0

    return loss


def _softmax(logits: Any, targets: Any, labels: Any) -> float:
    own = labels > 0
    if not own.any():
        return 0.0
    z = logits[own]
    log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    rows, cells = np.arange(len(z)), targets[own]
    true = np.where(cells > 0, log_p[rows, labels[own]], log_p[:, 0])
    return float(-true.mean())


def _summed(logits: Any, targets: Any, labels: Any) -> float:
    return _mask_loss(logits, targets, labels) * int((labels > 0).sum()) * targets[0].size


def _over_all(logits: Any, targets: Any, labels: Any) -> float:
    return _mask_loss(logits, targets, labels) * float((labels > 0).mean())


MASK_LOSS = Function(
    name="mask_loss",
    truth=_mask_loss,
    cases=_regions,
    shown=("logits", "targets", "labels"),
    mistakes=(
        Mistake("all_channels", "you took the loss of all classes' masks, not of one",
                _all_channels),
        Mistake("backgrounds", "you let regions of background count, which have no mask",
                _channels(0, backgrounds=True)),
        Mistake("off_by_one",
                "you took channel label − 1, which for label 1 is background's", _channels(-1)),
        Mistake("softmax", "you let the classes compete for each cell (softmax)", _softmax),
        Mistake("summed", "you summed over the cells where the mean is asked for", _summed),
        Mistake("over_all", "you divided by all regions, where only those with an object count", _over_all),
    ),
    properties=(
        Property("no loss is negative", lambda _, v: bool(v >= 0)),
        Property("without an object the loss is 0", lambda a, v: bool(np.any(a[2] > 0) or v == 0)),
    ),
    why="The box head says which channel it is, so the mask head has one question left, yes or no, for "
    "each cell.",
    hints=(
        "`labels > 0` are the regions that count. If there is none, the loss is 0.",
        "Of region r, take `logits[r, labels[r]]`: one mask of logits z.",
        "A cell of target t has the loss −t log p − (1 − t) log(1 − p), with p = 1 / (1 + e^−z). "
        "Then the mean over all cells of all these regions.",
    ),
    solution="""
def mask_loss(logits, targets, labels):
    losses = []
    for z, t, label in zip(logits, targets, labels):
        if label > 0:
            p = 1 / (1 + np.exp(-z[label]))
            losses.append(-t * np.log(p) - (1 - t) * np.log(1 - p))
    return np.mean(losses) if losses else 0.0
""",
)  # fmt: skip


WHOSE_MASK = Choice(
    name="whose_mask",
    truth="circle",
    mistakes={
        "square": "that is the larger mask; how many cells a mask has does not make it the answer",
        "both": "that would be two detections, and this one has one label",
        "mean": "that mixes two answers to different questions: is it in the circle, is it in the square",
    },
    why="The box head has named it, and the mask of that class is pasted, whatever the others look like.",
    hints=(
        "Which head gives the detection its label?",
        "The mask head answers, for each class: if it is one of these, where is it?",
    ),
    solution="circle: the box head's label picks the channel, and no other channel is looked at.",
)

EXERCISES = (WHOSE_MASK, MASK_LOSS)
