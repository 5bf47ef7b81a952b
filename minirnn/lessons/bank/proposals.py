"""Lesson 07: the steps from anchors to proposals."""

from __future__ import annotations

import numpy as np

from minirnn.boxes import clip
from minirnn.lessons.bank.suppression import away_from, by_score, greedy
from minirnn.lessons.exercise import Function, Mistake, Property
from minirnn.lessons.sketch import boxes_sketch
from minirnn.proposals.rpn import proposals_of_image

SIDE = 64  # of the image, pixels
THRESHOLD = 0.7


def _truth(
    boxes: np.ndarray, scores: np.ndarray, level: np.ndarray, top: int, count: int
) -> np.ndarray:
    """The library's steps, for anchors that are not moved."""
    sizes = [int((level == k).sum()) for k in range(int(level.max()) + 1)]
    found, _ = proposals_of_image(
        scores, np.zeros_like(boxes), boxes, sizes, (SIDE, SIDE),
        pre_nms=top, post_nms=count, nms_iou=THRESHOLD,
    )  # fmt: skip
    return found


def _steps(
    boxes: np.ndarray,
    scores: np.ndarray,
    level: np.ndarray,
    top: int,
    count: int,
    *,
    clip_when: str = "before",
    top_of: str = "level",
    nms_of: str = "level",
    drop_empty: bool = True,
    count_of: str = "all",
) -> np.ndarray:
    """The same steps, in which one thing can be done otherwise."""
    inside = clip(boxes, SIDE, SIDE)
    groups = [[i for i in by_score(scores) if level[i] == k] for k in np.unique(level)]
    chosen = [i for g in groups for i in g[:top]]
    if top_of == "all":
        chosen = by_score(scores)[:top]
    elif top_of == "after":
        chosen = [i for g in groups for i in g]
    sides = inside[:, 2:] - inside[:, :2]
    chosen = [i for i in chosen if (sides[i] > 0).all() or not drop_empty]
    compared = inside if clip_when == "before" else boxes
    parts = [
        [i for i in by_score(scores) if i in chosen and level[i] == k] for k in np.unique(level)
    ]
    if nms_of == "all":
        parts = [[i for i in by_score(scores) if i in chosen]]
    kept = [greedy(compared, part, lambda o: o > THRESHOLD) for part in parts]
    if top_of == "after":
        kept = [part[:top] for part in kept]
    if count_of == "level":
        kept = [part[:count] for part in kept]
    merged = [i for i in by_score(scores) if any(i in part for part in kept)]
    merged = merged if count_of == "level" else merged[:count]
    return boxes[merged] if clip_when == "never" else inside[merged]


def _levels_of_boxes(rng: np.random.Generator) -> list[tuple]:
    """Two levels, heaps at the border and inside, and now and then a box that is wholly outside."""
    cases: list[tuple] = []
    while len(cases) < 40:
        count = int(rng.integers(4, 11))
        heaps = np.array([[-8, 10], [40, 40], [52, -6]])
        corner = heaps[rng.integers(0, 3, count)] + rng.integers(0, 4, (count, 2))
        boxes = np.concatenate([corner, corner + rng.integers(18, 22, (count, 2))], 1).astype(float)
        boxes[rng.random(count) < 0.3, 0] -= 9
        if rng.random() < 0.3:
            boxes[int(rng.integers(count))] = [70, 5, 90, 25]
        level = np.sort(rng.integers(0, 2, count))
        level[0], level[-1] = 0, 1
        scores = rng.permutation(np.arange(1, 20))[:count] / 20
        top, most = int(rng.integers(2, 4)), int(rng.integers(2, 6))
        inside = clip(boxes, SIDE, SIDE)
        if not (away_from(boxes, THRESHOLD) and away_from(inside, THRESHOLD)):
            continue
        cases.append((boxes, scores, level, top, most))
    return cases


PROPOSALS = Function(
    name="proposals",
    truth=_truth,
    cases=_levels_of_boxes,
    shown=("boxes", "scores", "level", "top", "count"),
    sketch=lambda case, yours, true: boxes_sketch(
        case[0], yours=yours, true=true, title=f"in an image of {SIDE} × {SIDE}"
    ),
    mistakes=(
        Mistake(
            "clip_after_nms",
            "you cut the boxes off at the image's edge after the suppression; two that differ only outside "
            "of the image then both stay",
            lambda *case: _steps(*case, clip_when="after"),
        ),
        Mistake(
            "never_clipped",
            "you left the boxes as they are where they reach out of the image",
            lambda *case: _steps(*case, clip_when="never"),
        ),
        Mistake(
            "top_of_all_levels",
            "you took the best of all levels together; each level has its own `top`",
            lambda *case: _steps(*case, top_of="all"),
        ),
        Mistake(
            "one_nms",
            "you suppressed boxes of all levels at once; each level is suppressed by itself",
            lambda *case: _steps(*case, nms_of="all"),
        ),
        Mistake(
            "top_after_nms",
            "you took each level's best after the suppression; they are taken before it",
            lambda *case: _steps(*case, top_of="after"),
        ),
        Mistake(
            "empty_kept",
            "you kept a box of which nothing lies in the image",
            lambda *case: _steps(*case, drop_empty=False),
        ),
        Mistake(
            "count_of_each_level",
            "you took `count` of each level; it is for all levels together",
            lambda *case: _steps(*case, count_of="level"),
        ),
    ),
    properties=(
        Property(
            "every proposal lies in the image",
            lambda _, boxes: bool(((boxes >= 0) & (boxes <= SIDE)).all()),
        ),
        Property(
            "every proposal has a width and a height",
            lambda _, boxes: bool((boxes[:, 2:] > boxes[:, :2]).all()),
        ),
    ),
    why="Each step throws boxes away for another reason, so another order throws other boxes away.",
    hints=(
        "For each level: the indices of its `top` best scores. Then go on with all of them together.",
        "`np.clip(boxes, 0, 64)` cuts off. Then drop the boxes without a width or a height.",
        "Call your `nms` once for each level, on the boxes that were cut off, and put the kept ones of all "
        "levels in one order, by score; the first `count` are the proposals.",
    ),
    solution="""
def overlap(a, b):
    width = max(min(a[2], b[2]) - max(a[0], b[0]), 0)
    height = max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return width * height / (areas - width * height)

def proposals(boxes, scores, level, top, count):
    inside = np.clip(boxes, 0, 64)
    order = np.argsort(-scores)
    kept = []
    for k in np.unique(level):
        best = [i for i in order if level[i] == k][:top]
        mine = []
        for i in best:
            width, height = inside[i, 2:] - inside[i, :2]
            if width > 0 and height > 0 and all(overlap(inside[i], inside[j]) <= 0.7 for j in mine):
                mine.append(i)
        kept += mine
    kept = sorted(kept, key=lambda i: -scores[i])[:count]
    return inside[kept]
""",
)

EXERCISES = (PROPOSALS,)
