"""Lesson 09: where a mask's target is read, and which cell a keypoint is in."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minirnn.draw.picture import Picture
from minirnn.heads.keypoint import keypoint_cells
from minirnn.lessons.exercise import Function, Mistake, Property
from minirnn.lessons.sketch import boxes_sketch
from minirnn.masks.crop import crop


def _centres(low: float, high: float, size: int) -> np.ndarray:
    return low + (np.arange(size) + 0.5) * (high - low) / size


def _mask_target(region: np.ndarray, box: np.ndarray, size: int) -> np.ndarray:
    """Where the cells read: the library's crop of a picture whose value is the place itself."""
    del box
    place = (np.arange(64) + 0.5) / 64
    ramps = np.stack([np.tile(place, (64, 1)), np.tile(place[:, None], (1, 64))])
    both = np.repeat(np.asarray(region, dtype=float)[None], 2, axis=0)
    columns, rows = crop(ramps, both, np.array([0, 1]), size, aligned=True) * 64
    return np.stack([columns[0], rows[:, 0]])


def _read_at(change: Callable, which: int = 0) -> Callable:
    def places(region: Any, box: Any, size: int) -> list[np.ndarray]:
        x1, y1, x2, y2 = change((region, box)[which])
        return [_centres(x1, x2, size), _centres(y1, y2, size)]

    return places


def _regions_and_boxes(rng: np.random.Generator) -> list[tuple]:
    cases = []
    for _ in range(24):
        box = np.sort(rng.integers(4, 60, (2, 2)), axis=0).astype(float)
        box[1] = np.maximum(box[1], box[0] + 4)
        region = np.round(np.clip(box + rng.uniform(-3, 3, (2, 2)), 1, 63), 1)
        region[1] = np.maximum(region[1], region[0] + 2.6)
        cases.append((region.ravel(), np.minimum(box, 63).ravel(), int(rng.integers(2, 5))))
    return cases


def _places_sketch(arguments: tuple, yours: np.ndarray, true: np.ndarray) -> Picture:
    region, box, size = arguments
    picture = boxes_sketch([region, box], labels=["region", "object's box"], title=f"size {size}")
    axes = picture.axes[0]
    for (x, y), mark, name in ((true, "bo", "the true places"), (yours, "rx", "yours")):
        u, v = np.meshgrid(x, y)
        axes.plot(u.ravel(), v.ravel(), mark, label=name, fillstyle="none")
    for legend in list(picture.legends):  # one legend for all
        legend.remove()
    picture.legend(loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return picture


MASK_TARGET = Function(
    name="mask_target",
    truth=_mask_target,
    cases=_regions_and_boxes,
    shown=("region", "box", "size"),
    sketch=_places_sketch,
    mistakes=(
        Mistake("rounded", "you rounded the region to whole pixels first", _read_at(np.round)),
        Mistake("truncated", "you cut the region's fractions off (int)", _read_at(np.floor)),
        Mistake("object_box", "you divided the object's own box", _read_at(np.array, 1)),
        Mistake("corners", "you took the upper left corner of each cell, not its centre",
                lambda region, box, size: [
                    region[k] + np.arange(size) * (region[k + 2] - region[k]) / size for k in (0, 1)]),
        Mistake("edge_to_edge", "you put the first and the last place on the region's edges",
                lambda region, box, size: [np.linspace(region[k], region[k + 2], size) for k in (0, 1)]),
    ),
    properties=(
        Property("all places are inside the region", lambda a, v: bool(
            (v >= a[0][:2, None] - 1e-9).all() and (v <= a[0][2:, None] + 1e-9).all())),
    ),
    why="The target is read where the features were read, in the region as it is, so that cell by cell "
    "question and answer are about the same place.",
    hints=(
        "Which of the two boxes has the head seen the features of?",
        "Cell j is from x1 + j · w / size to x1 + (j + 1) · w / size, with w = x2 − x1.",
        "Its centre is at x1 + (j + ½) · w / size; the rows alike.",
    ),
    solution="""
def mask_target(region, box, size):
    x1, y1, x2, y2 = region
    steps = (np.arange(size) + 0.5) / size
    return [x1 + steps * (x2 - x1), y1 + steps * (y2 - y1)]
""",
)  # fmt: skip


def _keypoint_cell(x: float, y: float, visible: int, box: np.ndarray, size: int) -> int:
    point = np.array([[[x, y, visible]]], dtype=float)
    return int(keypoint_cells(point, np.asarray(box, dtype=float)[None], size)[0, 0])


def _cell(how: Callable, *, swapped: bool = False, clamped: bool = False, unseen: bool = False,
          edge: bool = True) -> Callable:  # fmt: skip
    def cell(x: float, y: float, visible: int, box: Any, size: int) -> int:
        x1, y1, x2, y2 = box
        column, row = how((x - x1) * size / (x2 - x1)), how((y - y1) * size / (y2 - y1))
        if edge:
            column, row = size - 1 if x == x2 else column, size - 1 if y == y2 else row
        if clamped:
            column, row = (min(max(v, 0), size - 1) for v in (column, row))
        if not (visible or unseen) or not (0 <= column < size and 0 <= row < size):
            return -1
        return column * size + row if swapped else row * size + column

    return cell


def _points(rng: np.random.Generator) -> list[tuple]:
    cases = []
    for number in range(40):
        x1, y1 = rng.integers(0, 9, 2).tolist()
        size = int(rng.choice([4, 8]))
        box = np.array(
            [x1, y1, x1 + size * rng.choice([2, 3]), y1 + size * rng.choice([2, 4])], float
        )
        x = float(rng.integers(int(box[0]) - 2, int(box[2]) + 3)) + float(rng.choice([0, 0.5, 0.8]))
        y = float(rng.integers(int(box[1]) - 1, int(box[3]) + 2)) + float(rng.choice([0, 0.5, 0.8]))
        if number % 8 == 0:
            x, y = float(box[2]), float(box[1]) + 0.5
        cases.append((x, y, int(number % 5 != 1) * 2, box, size))
    return cases


KEYPOINT_CELL = Function(
    name="keypoint_cell",
    truth=_keypoint_cell,
    cases=_points,
    shown=("x", "y", "visible", "box", "size"),
    mistakes=(
        Mistake("rounded", "you rounded to the nearest cell; a cell holds what is between its edges",
                _cell(lambda v: math.floor(v + 0.5))),
        Mistake("swapped", "you numbered the cells down the columns", _cell(math.floor, swapped=True)),
        Mistake("clamped", "you moved points from outside the region onto its border",
                _cell(math.floor, clamped=True)),
        Mistake("unseen", "you gave a cell to a point without a label", _cell(math.floor, unseen=True)),
        Mistake("far_edge", "you left out the far edge, which belongs to the last cell",
                _cell(math.floor, edge=False)),
    ),
    properties=(
        Property("a cell's number is below size · size", lambda a, v: bool(v < a[4] ** 2)),
        Property("a point without a label has no cell", lambda a, v: bool(a[2] > 0 or v == -1)),
    ),
    why="A cell holds what lies between its edges (floor), and a point outside of the region teaches "
    "nothing about it.",
    hints=(
        "How many cells from the region's left edge is the point? (x − x1) · size / (x2 − x1).",
        "Cells are numbered like words on a page: row · size + column.",
        "Give −1 where the point is not labelled or outside. Exactly on the right or lower edge it "
        "belongs to the last column or row.",
    ),
    solution="""
def keypoint_cell(x, y, visible, box, size):
    x1, y1, x2, y2 = box
    if visible == 0 or not (x1 <= x <= x2 and y1 <= y <= y2):
        return -1
    column = min(math.floor((x - x1) * size / (x2 - x1)), size - 1)
    row = min(math.floor((y - y1) * size / (y2 - y1)), size - 1)
    return row * size + column
""",
)  # fmt: skip

EXERCISES = (MASK_TARGET, KEYPOINT_CELL)
