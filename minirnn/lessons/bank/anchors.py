"""Lesson 04: anchors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minirnn.anchors import base_anchors, grid_anchors
from minirnn.boxes import iou
from minirnn.draw.picture import Picture
from minirnn.lessons.exercise import Function, Mistake, Number, Property
from minirnn.lessons.sketch import boxes_sketch


def _anchors(column: int, row: int, stride: int, size: float, ratios: tuple) -> np.ndarray:
    every = grid_anchors(
        base_anchors(size, ratios), row + 1, column + 1, stride, stride, offset=0.5, dtype=float
    )
    return every[-len(ratios) :]  # of the last cell


def _around(sides: Callable, at: Callable | None = None, half: float = 0.5) -> Callable:
    """The function of somebody who gets the sides, or the centre, from other formulas."""

    def answer(column: int, row: int, stride: int, size: float, ratios: tuple) -> list:
        if at is None:
            x, y = (column + 0.5) * stride, (row + 0.5) * stride
        else:
            x, y = at(column, row, stride)
        boxes = []
        for ratio in ratios:
            w, h = sides(size, ratio)
            boxes.append([x - w * half, y - h * half, x + w * half, y + h * half])
        return boxes

    return answer


def _right_sides(size: float, ratio: float) -> tuple[float, float]:
    return size / ratio**0.5, size * ratio**0.5


def _anchor_cases(rng: np.random.Generator) -> list[tuple]:
    cases: list[tuple] = []
    for stride in (4, 8, 16, 32):
        for ratios in ((4.0,), (1.0,), (0.25, 1.0), (0.5, 1.0, 2.0), (0.25, 4.0)):
            column, row = (int(v) for v in rng.integers(0, 6, 2))
            cases.append((column, row, stride, int(stride * rng.choice([2, 4, 8])), ratios))
    return cases


def _anchors_sketch(arguments: tuple, yours: np.ndarray, true: np.ndarray) -> Picture:
    column, row, stride = arguments[:3]
    cell = np.array([column, row, column + 1, row + 1]) * stride
    return boxes_sketch(
        cell, yours=yours, true=true, labels=["cell"], title=f"cell ({column}, {row})"
    )


ANCHORS = Function(
    name="anchors",
    truth=_anchors,
    cases=_anchor_cases,
    shown=("column", "row", "stride", "size", "ratios"),
    size=lambda arguments: (len(arguments[4]), arguments[3], arguments[0] + arguments[1]),
    sketch=_anchors_sketch,
    mistakes=(
        Mistake(
            "ratio_inverted",
            "you took the ratio as width / height; in this library it is height / width",
            _around(lambda size, ratio: (size * ratio**0.5, size / ratio**0.5)),
        ),
        Mistake(
            "area_changes",
            "you left the width at `size` and changed the height alone, so that the area changes "
            "with the ratio",
            _around(lambda size, ratio: (size, size * ratio)),
        ),
        Mistake(
            "no_root",
            "you used the ratio where its root belongs: the area is right, but height / width is "
            "the ratio's square",
            _around(lambda size, ratio: (size / ratio, size * ratio)),
        ),
        Mistake(
            "cell_corner",
            "you put the anchors around the cell's upper left corner",
            _around(_right_sides, lambda column, row, stride: (column * stride, row * stride)),
        ),
        Mistake(
            "half_a_pixel",
            "you added half a pixel where half a cell belongs",
            _around(
                _right_sides,
                lambda column, row, stride: (column * stride + 0.5, row * stride + 0.5),
            ),
        ),
        Mistake(
            "whole_sides",
            "you went a whole side from the centre to each edge, which makes boxes of twice the size",
            _around(_right_sides, half=1.0),
        ),
        Mistake(
            "axes_swapped",
            "you took the column for y and the row for x",
            _around(
                _right_sides,
                lambda column, row, stride: ((row + 0.5) * stride, (column + 0.5) * stride),
            ),
        ),
    ),
    properties=(
        Property(
            "every anchor should have the area size²",
            lambda arguments, boxes: bool(
                np.allclose((boxes[:, 2:] - boxes[:, :2]).prod(axis=1), arguments[3] ** 2)
            ),
        ),
        Property(
            "all anchors of a cell should have the same centre",
            lambda _, boxes: bool(np.allclose(boxes[:, :2] + boxes[:, 2:], (boxes[0, :2] + boxes[0, 2:]))),
        ),
    ),
    why="The root of the ratio goes into one side and out of the other, so that the area stays size².",
    hints=(
        "Two equations: height / width = ratio, and height · width = size². Multiply them.",
        "The centre of cell i is at (i + ½) · stride; the edges are half a side away from it.",
        "height² = ratio · size², so height = size · √ratio.",
    ),
    solution="""
def anchors(column, row, stride, size, ratios):
    x, y = (column + 0.5) * stride, (row + 0.5) * stride
    boxes = []
    for ratio in ratios:
        width, height = size / math.sqrt(ratio), size * math.sqrt(ratio)
        boxes.append([x - width / 2, y - height / 2, x + width / 2, y + height / 2])
    return boxes
""",
)  # fmt: skip


def _index_of(y: int, x: int, a: int, height: int, width: int, per_place: int) -> int:
    base = np.arange(1.0, per_place + 1)[:, None] * [-1, -1, 1, 1]
    every = grid_anchors(base, height, width, 1, 1, dtype=float)
    wanted = base[a] + [x, y, x, y]
    return int(np.flatnonzero((every == wanted).all(axis=1))[0])


def _index_cases(rng: np.random.Generator) -> list[tuple]:
    cases = [(0, 0, 0, 1, 1, 1), (1, 2, 0, 2, 3, 1)]
    while len(cases) < 36:
        height, width, per_place = (int(v) for v in rng.integers(1, (6, 7, 5)))
        y, x, a = (int(v) for v in rng.integers(0, (height, width, per_place)))
        cases.append((y, x, a, height, width, per_place))
    return cases


INDEX_OF = Function(
    name="index_of",
    truth=_index_of,
    cases=_index_cases,
    shown=("y", "x", "a", "height", "width", "per_place"),
    mistakes=(
        Mistake(
            "columns_first",
            "you went down the columns; the list goes along the rows",
            lambda y, x, a, height, width, n: (x * height + y) * n + a,
        ),
        Mistake(
            "anchor_outermost",
            "you put all cells of the first shape before those of the second, as the head's channels "
            "lie; in the list the shapes of one cell stand side by side",
            lambda y, x, a, height, width, n: (a * height + y) * width + x,
        ),
        Mistake(
            "times_anchors_forgotten",
            "you counted cells and added the shape: each cell before has `per_place` anchors, not one",
            lambda y, x, a, height, width, n: y * width + x + a,
        ),
        Mistake(
            "height_for_width",
            "you multiplied the row by the map's height",
            lambda y, x, a, height, width, n: (y * height + x) * n + a,
        ),
        Mistake(
            "row_not_multiplied",
            "you counted a row as `width` anchors; each of its cells has `per_place`",
            lambda y, x, a, height, width, n: y * width + x * n + a,
        ),
    ),
    properties=(
        Property(
            "the first anchor of the first cell has the number 0",
            lambda arguments, index: any(arguments[:3]) or float(index) == 0,
        ),
        Property(
            "a number should be at least 0 and below height · width · per_place",
            lambda arguments, index: bool(0 <= index < np.prod(arguments[3:])),
        ),
    ),
    why="Rows outermost, then columns, then shapes. Whoever uses another order gives each answer of the "
    "network to the wrong anchor, and no shape of an array shows it.",
    hints=(
        "How many cells come before cell (y, x), row by row?",
        "Each of those cells has `per_place` anchors in the list.",
    ),
    solution="""
def index_of(y, x, a, height, width, per_place):
    return (y * width + x) * per_place + a
""",
)


def _worst_place(size: float, stride: float) -> float:
    """The object half way between four anchors of its own size."""
    anchor = np.array([[0.0, 0.0, size, size]])
    return float(iou(anchor, anchor + stride / 2).item())


WORST_PLACE = Number(
    name="worst_place",
    truth=_worst_place(32, 8),
    tolerance=0.006,
    unit="IoU",
    mistakes={
        28
        * 32
        / (2 * 32**2 - 28 * 32): "you moved it along one axis only; the worst place is half way "
        "along both",
        24**2
        / (2 * 32**2 - 24**2): "you moved it by a whole stride; then another anchor is nearer",
        28**2 / 32**2: "you divided by the area of one box; the union is larger",
        28**2 / (2 * 32**2): "you counted what they share twice in the union",
        _worst_place(
            32, 4
        ): "you used half of the stride as the stride: the anchors are 8 pixels apart, "
        "so the object may be 4 away from one, along each axis",
    },
    why="28² / (2 · 32² − 28²) = 0.62, below 0.7. So the stride should be a small part of the anchor's "
    "size; in the paper's pyramid it is an eighth of it.",
    hints=(
        "Where, between four neighbouring centres, is one farthest from all of them?",
        "Half a stride along x and half a stride along y. How wide and how high is what they share?",
    ),
    solution="Half way between four anchors the object is 4 pixels off along both axes. It shares "
    "28 × 28 = 784 with the anchor; the union is 1024 + 1024 − 784 = 1264; 784 / 1264 = 0.62.",
)

EXERCISES = (ANCHORS, INDEX_OF, WORST_PLACE)
