"""Lesson 07: non-maximum suppression."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from minirnn.boxes import iou, nms
from minirnn.draw.picture import Picture
from minirnn.lessons.exercise import Function, Mistake, Number, Property
from minirnn.lessons.sketch import boxes_sketch


def away_from(boxes: np.ndarray, threshold: float) -> bool:
    """Whether no overlap is so near to the threshold that rounding would decide."""
    return bool((abs(iou(boxes, boxes) - threshold) > 1e-6).all())


def _crowds(rng: np.random.Generator) -> list[tuple]:
    """Boxes in a row, so that those that are dropped overlap others; and one overlap of exactly ½."""
    half = np.array([[0.0, 0, 10, 10], [0, 0, 10, 5], [20, 0, 30, 10]])
    cases: list[tuple] = [
        (half, np.array([0.6, 0.9, 0.3]), 0.5),
        (np.array([[3.0, 2, 9, 8]]), np.array([0.4]), 0.5),
    ]
    while len(cases) < 40:
        count = int(rng.integers(2, 7))
        corner = rng.integers(0, (22, 4), (count, 2))
        boxes = np.concatenate([corner, corner + rng.integers(8, 14, (count, 2))], 1).astype(float)
        threshold = float(rng.choice([0.3, 0.4, 0.5]))
        if away_from(boxes, threshold):
            scores = rng.permutation(np.arange(1, 20))[:count] / 20
            cases.append((boxes, scores, threshold))
    return cases


def by_score(scores: np.ndarray) -> list[int]:
    """Indices by falling score."""
    return sorted(range(len(scores)), key=lambda i: -scores[i])


def greedy(
    boxes: np.ndarray,
    order: Sequence[int],
    drops: Callable[[float], bool],
    overlaps: np.ndarray | None = None,
) -> list[int]:
    """Visit boxes in an order; one is kept unless its overlap with a kept one `drops` it."""
    overlaps = iou(boxes, boxes) if overlaps is None else overlaps
    kept: list[int] = []
    for i in order:
        if not any(drops(overlaps[i, k]) for k in kept):
            kept.append(i)
    return kept


def _still_suppress(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> list[int]:
    order, overlaps = by_score(scores), iou(boxes, boxes)
    return [
        i for n, i in enumerate(order) if not any(overlaps[i, k] > threshold for k in order[:n])
    ]


def _best_only(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> list[int]:
    first, *others = by_score(scores)
    return [first, *(i for i in others if iou(boxes, boxes)[i, first] <= threshold)]


def _over_smaller(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> list[int]:
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    ratio = iou(boxes, boxes)
    shared = ratio * (areas[:, None] + areas) / (1 + ratio)
    overlaps = shared / np.minimum(areas[:, None], areas)
    return greedy(boxes, by_score(scores), lambda o: o > threshold, overlaps)


def _nms_sketch(arguments: tuple, yours: np.ndarray, true: np.ndarray) -> Picture:
    boxes, _, threshold = arguments  # scores stand in the message; here they would cover each other
    chosen = [
        boxes[np.clip(np.nan_to_num(index), 0, len(boxes) - 1).astype(int)]
        for index in (yours, true)
    ]
    return boxes_sketch(
        boxes, yours=chosen[0], true=chosen[1],
        title=f"kept at a threshold of {threshold:g}",
    )  # fmt: skip


NMS = Function(
    name="nms",
    truth=nms,
    cases=_crowds,
    shown=("boxes", "scores", "threshold"),
    sketch=_nms_sketch,
    mistakes=(
        Mistake(
            "suppressed_still_suppress",
            "you let a box that was dropped drop others; only boxes that are kept do that",
            _still_suppress,
        ),
        Mistake(
            "ascending",
            "you began with the lowest score; the best box is kept first",
            lambda boxes, scores, threshold: greedy(
                boxes, by_score(scores)[::-1], lambda o: o > threshold
            ),
        ),
        Mistake(
            "in_the_order_given",
            "you visited the boxes in the order in which they were given, without a look at their scores",
            lambda boxes, scores, threshold: greedy(
                boxes, range(len(boxes)), lambda o: o > threshold
            ),
        ),
        Mistake(
            "sorted_by_index",
            "you kept the right boxes and gave their indices by number, not by falling score",
            lambda *case: sorted(nms(*case).tolist()),
        ),
        Mistake(
            "places_in_the_order",
            "you gave the places among the sorted boxes, not the indices of the boxes as they were given",
            lambda boxes, scores, threshold: [
                by_score(scores).index(i) for i in nms(boxes, scores, threshold)
            ],
        ),
        Mistake(
            "at_the_threshold",
            "you dropped a box whose overlap is just the threshold; it has to be more",
            lambda boxes, scores, threshold: greedy(
                boxes, by_score(scores), lambda o: o >= threshold
            ),
        ),
        Mistake(
            "best_only",
            "you compared with the best box alone and not with the others that are kept",
            _best_only,
        ),
        Mistake(
            "over_the_smaller",
            "you divided by the area of the smaller box where the union belongs",
            _over_smaller,
        ),
    ),
    properties=(
        Property(
            "every box is either kept or given once at most",
            lambda _, kept: len(set(kept.tolist())) == len(kept),
        ),
        Property(
            "the box with the best score always comes first",
            lambda case, kept: bool(kept[0] == np.argmax(case[1])),
        ),
    ),
    why="Each box asks only those that are kept already, and they all have higher scores, so one walk from "
    "the best down is enough.",
    hints=(
        "`order = np.argsort(-scores)` visits the boxes from the best to the worst.",
        "Have a list of those that are kept, at first empty. When may the next box join it?",
        "It joins if its IoU with *each* box of the list is at most the threshold. Append its own index.",
    ),
    solution="""
def overlap(a, b):
    width = max(min(a[2], b[2]) - max(a[0], b[0]), 0)
    height = max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return width * height / (areas - width * height)

def nms(boxes, scores, threshold):
    kept = []
    for i in np.argsort(-scores):
        if all(overlap(boxes[i], boxes[k]) <= threshold for k in kept):
            kept.append(i)
    return kept
""",
)

NEIGHBOUR = Number(
    name="neighbour",
    truth=24 / 56,
    tolerance=0.006,
    unit="IoU",
    mistakes={
        24 / 40: "that is the shared part of one box; the union of both belongs below",
        24 / 80: "you added the two areas and did not take what they share off once",
        1 - 24 / 56: "that is the part that they do not share",
        16 / 40: "that is how far one is beside the other, as a part of its width",
        0.5: "that is where people set it; both are kept at lower thresholds already",
    },
    why="At 0.3, which was usual once, the second of two people side by side is lost, however sure the "
    "network is of both; at 0.5 both stay, and so do more duplicates.",
    hints=(
        "They share a rectangle of 24 × 40 pixels.",
        "The union is both areas less what they share: 1600 + 1600 − 960.",
    ),
    solution="960 / (1600 + 1600 − 960) = 0.43. An IoU of just the threshold does not drop a box.",
)

EXERCISES = (NMS, NEIGHBOUR)
