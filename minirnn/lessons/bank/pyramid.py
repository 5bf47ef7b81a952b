"""Lesson 03: the feature pyramid, and which of its levels reads a box."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from minirnn.lessons.exercise import Function, Mistake, Number, Property
from minirnn.ops.resize import bilinear, nearest
from minirnn.roi.levels import assign_levels


def _stretched(above: np.ndarray, like: np.ndarray, way: Callable = nearest) -> np.ndarray:
    whole = np.asarray(above, dtype=float)[None, None]
    return way(whole, size=np.shape(like))[0, 0]


def _twice(above: np.ndarray) -> np.ndarray:
    return np.repeat(np.repeat(above, 2, axis=0), 2, axis=1)


def _spread(above: np.ndarray, like: np.ndarray) -> np.ndarray:
    spread = np.zeros(like.shape)
    spread[::2, ::2] = above
    return spread


def _maps(rng: np.random.Generator) -> list[tuple]:
    """A level's own map of any size, and the one above it, of half the size, rounded up."""
    cases = []
    for _ in range(36):
        height, width = rng.integers(1, 6, 2)
        above = (height + 1) // 2, (width + 1) // 2
        cases.append((rng.integers(0, 6, (height, width)), rng.integers(0, 6, above)))
    return cases


TOP_DOWN = Function(
    name="top_down",
    truth=lambda own, above: own + _stretched(above, own),
    cases=_maps,
    shown=("own", "above"),
    mistakes=(
        Mistake(
            "own_map_skipped",
            "you left out the level's own map: what comes from above does not know where exactly",
            lambda own, above: _stretched(above, own),
        ),
        Mistake(
            "bilinear",
            "you read between the cells of the map above; here each cell copies one",
            lambda own, above: own + _stretched(above, own, bilinear),
        ),
        Mistake(
            "mean",
            "you took the mean of the two maps; they are added",
            lambda own, above: (own + _stretched(above, own)) / 2,
        ),
        Mistake(
            "tiled",
            "you laid copies of the whole map side by side; every cell is to become 2 × 2",
            lambda own, above: own + np.tile(above, (2, 2))[: own.shape[0], : own.shape[1]],
        ),
        Mistake(
            "cut_at_the_wrong_side",
            "you doubled an odd map and cut off its first row or column; the last one is too much",
            lambda own, above: own + _twice(above)[-own.shape[0] :, -own.shape[1] :],
        ),
        Mistake(
            "zeros_between",
            "you put the values of the map above in every second cell and left 0 between them",
            lambda own, above: own + _spread(above, own),
        ),
        Mistake(
            "always_twice",
            "you doubled the map above whatever the size of the level's own map; half of an odd number was "
            "rounded up on the way",
            lambda own, above: own + _twice(above),
        ),
    ),
    properties=(
        Property(
            "no sum is smaller than the level's own value, where the map above is not negative",
            lambda case, result: bool((result >= case[0]).all()),
        ),
    ),
    why="Copying cells makes blocks of 2 × 2, which is what the 3 × 3 convolution behind it smooths.",
    hints=(
        "Make the map above as large as `own` first, then add.",
        "`np.repeat` along each axis makes every cell 2 × 2.",
        "If `own` has an odd number of rows, the doubled map has one too many: keep the first ones.",
    ),
    solution="""
def top_down(own, above):
    twice = np.repeat(np.repeat(above, 2, axis=0), 2, axis=1)
    return own + twice[: own.shape[0], : own.shape[1]]
""",
)


def _exact(box: np.ndarray) -> float:
    x1, y1, x2, y2 = box
    return 4 + math.log2(math.sqrt((x2 - x1) * (y2 - y1)) / 224)


def _clamped(level: float) -> int:
    return int(min(max(level, 2), 5))


def _boxes(rng: np.random.Generator) -> list[tuple]:
    """Sides from 1 to 900, long thin boxes, and squares at which the level changes."""
    sides = [(side, side) for side in (1, 20, 111, 112, 113, 158, 224, 317, 448, 600, 896)]
    sides += [(40, 640), (640, 40), (30, 900), (300, 100), (50, 400)]
    sides += [(int(w), int(h)) for w, h in np.exp(rng.uniform(np.log(10), np.log(900), (30, 2)))]
    corners = rng.integers(0, 50, (len(sides), 2))
    return [
        (np.array([x, y, x + w, y + h]),) for (x, y), (w, h) in zip(corners, sides, strict=True)
    ]


LEVEL = Function(
    name="level",
    truth=lambda box: assign_levels(np.asarray(box, dtype=float)[None])[0] + 2,
    cases=_boxes,
    shown=("box",),
    size=lambda case: float((case[0][2:] - case[0][:2]).sum()),
    mistakes=(
        Mistake(
            "rounded",
            "you rounded to the nearest level; the rule cuts the fraction off",
            lambda box: _clamped(math.floor(_exact(box) + 0.5)),
        ),
        Mistake(
            "root_forgotten",
            "you put the area where its root belongs: 224 is a side",
            lambda box: _clamped(
                math.floor(4 + math.log2((box[2] - box[0]) * (box[3] - box[1]) / 224))
            ),
        ),
        Mistake(
            "not_clamped",
            "you did not keep to the levels that there are, 2 to 5",
            lambda box: math.floor(_exact(box)),
        ),
        Mistake(
            "natural_logarithm",
            "you took the natural logarithm; a level is one doubling",
            lambda box: _clamped(math.floor(4 + (_exact(box) - 4) * math.log(2))),
        ),
        Mistake(
            "longer_side",
            "you took the longer side alone; the size is the root of width times height",
            lambda box: _clamped(
                math.floor(4 + math.log2(max(box[2] - box[0], box[3] - box[1]) / 224))
            ),
        ),
        Mistake(
            "rounded_up",
            "you rounded up; a box of a level and a half belongs to the lower one",
            lambda box: _clamped(math.ceil(_exact(box))),
        ),
        Mistake(
            "counted_from_0",
            "you gave the place in the list of maps; the question asks for the level, 2 to 5",
            lambda box: _clamped(math.floor(_exact(box))) - 2,
        ),
        Mistake(
            "upside_down",
            "you sent large boxes to the fine maps; it is the other way round",
            lambda box: _clamped(math.floor(8 - _exact(box))),
        ),
    ),
    properties=(
        Property("there are levels 2 to 5 only", lambda _, level: bool(2 <= level <= 5)),
        Property("a level is a whole number", lambda _, level: bool(level % 1 == 0)),
    ),
    why="One level for each doubling, so that inside of the pyramid's range a box is always 14 to 28 cells "
    "in size on the map that reads it.",
    hints=(
        "The size of a box is the side of the square that has its area.",
        "`math.log2(size / 224)` says how many doublings it is above 224.",
        "`math.floor` cuts off, and `min(max(k, 2), 5)` keeps to the levels that there are.",
    ),
    solution="""
def level(box):
    x1, y1, x2, y2 = box
    size = math.sqrt((x2 - x1) * (y2 - y1))
    k = math.floor(4 + math.log2(size / 224) + 1e-6)
    return min(max(k, 2), 5)
""",
)


def _cells_across(side: float) -> float:
    level = int(assign_levels(np.array([[0, 0, side, side]]))[0]) + 2
    return side / 2**level


CELLS_ACROSS = Number(
    name="cells_across",
    truth=_cells_across(400),
    unit="cells",
    mistakes={
        100.0: "that is on P2, the finest map; large boxes are read on coarse ones",
        50.0: "that is on P3; 400 is more than 224, so it is level 4 or higher",
        12.5: "that is on P5; the rule cuts 4.84 off to 4",
        7.0: "that is what comes out of RoIAlign; the question is how many cells of the map it reads",
        14.0: "that is a box of exactly 224; a larger one has more cells before it goes a level up",
        6.25: "that is on P6, which is there for the RPN only",
    },
    why="25 cells for 7 bins are enough: a hundred of them, on P2, would be read by the same few points, "
    "and most would be skipped.",
    hints=("Which level does √(400 · 400) = 400 give?", "Level k has stride 2 to the power k."),
    solution="log2(400 / 224) = 0.84, so the level is floor(4.84) = 4, of stride 16: 400 / 16 = 25.",
)

EXERCISES = (TOP_DOWN, LEVEL, CELLS_ACROSS)
