"""Lesson 10: from the head's grid into the image."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from minirnn.lessons.exercise import Function, Mistake, Number, Property
from minirnn.masks.paste import paste

FOUND_EDGE = Number(
    name="found_edge",
    truth=2 + 0.5 + (0.75 - 0.5) / 0.75,
    tolerance=0.006,
    unit="cells",
    mistakes={
        2.75: "that is where the object really ends; the reading crosses ½ a little beside it",
        3.0: "that is where it would be found with 1, 1, 1, 0: you made the cells yes or no first",
        7 / 3: "you put the centre of cell i at i; it is at i + ½",
        2.5: "that is the centre of the cell that says 0.75, where the reading is 0.75",
        3.5: "that is the centre of the last cell, where the reading is already 0",
        2.75
        + 1 / 12
        - 2: "you counted from the cell's own border; the question counts from the box's",
    },
    why="It is off by a twelfth of a cell. Made yes or no first, the cells would give 3, which is off by "
    "a quarter.",
    hints=(
        "Cell 2 has its centre at 2.5 and says 0.75; cell 3 has its centre at 3.5 and says 0.",
        "Between the two centres the reading falls in a straight line. Which part of the way is it to ½?",
        "It has to fall by 0.25 of the 0.75 that it falls in a whole cell.",
    ),
    solution="From the centre at 2.5 the reading falls from 0.75 to 0 within one cell. It has fallen to ½ "
    "after 0.25 / 0.75 = 1/3 of the way: 2.5 + 1/3 = 2.83.",
)


def _row(cells: np.ndarray, x1: float, x2: float, width: int) -> np.ndarray:
    """`paste` of a grid whose rows are all alike, in a box far higher than the one row of pixels."""
    grid = np.tile(np.asarray(cells, dtype=float), (len(cells), 1))
    return paste(grid[None], np.array([[x1, -9.5, x2, 10.5]]), 1, width)[0, 0]


def _in_a_row(
    place: Callable[[int, float, float, int], float],
    cells: Sequence[float] | np.ndarray,
    x1: float,
    x2: float,
    width: int,
) -> list[float]:
    """What each pixel reads, where `place` says which cell coordinate it reads at."""
    read = []
    for x in range(width):
        u = place(x, x1, x2, len(cells))
        low = math.floor(u)
        pair = [float(cells[i]) if 0 <= i < len(cells) else 0.0 for i in (low, low + 1)]
        read.append((1 - u + low) * pair[0] + (u - low) * pair[1])
    return read


def _right_place(x: int, x1: float, x2: float, cells: int) -> float:
    return (x + 0.5 - x1) / (x2 - x1) * cells - 0.5


def _no_centre(x: int, x1: float, x2: float, cells: int) -> float:
    return (x - x1) / (x2 - x1) * cells - 0.5


def _no_half_cell(x: int, x1: float, x2: float, cells: int) -> float:
    return (x + 0.5 - x1) / (x2 - x1) * cells


def _corners_aligned(x: int, x1: float, x2: float, cells: int) -> float:
    return (x + 0.5 - x1) / (x2 - x1) * (cells - 1)


def _truncated(x: int, x1: float, x2: float, cells: int) -> float:
    return _right_place(x, int(x1), int(x2), cells)


def _on(read: Sequence[float]) -> list[bool]:
    return [value >= 0.5 for value in read]


def _rows(rng: np.random.Generator) -> list[tuple]:
    """Boxes with fractions, some over the border; no reading so near to ½ that rounding would decide."""
    cases: list[tuple] = []
    while len(cases) < 40:
        count = int(rng.integers(2, 6))
        cells = np.round(rng.choice([0, 0.2, 0.4, 0.6, 0.7, 0.9, 1], count), 1)
        x1 = round(float(rng.uniform(-3, 6)), 1)
        x2 = round(x1 + float(rng.uniform(2, 10)), 1)
        width = int(rng.integers(4, 11))
        if int(x2) <= int(x1) or not cells.any():
            continue
        read = np.asarray(_in_a_row(_right_place, cells, x1, x2, width), dtype=float)
        if (abs(read - 0.5) > 0.01).all():
            cases.append((cells, x1, x2, width))
    return cases


PASTE_ROW = Function(
    name="paste_row",
    truth=_row,
    cases=_rows,
    shown=("cells", "x1", "x2", "width"),
    mistakes=(
        Mistake(
            "box_truncated",
            "you cut the box to whole pixels; each pixel asks the box as it is",
            lambda *a: _on(_in_a_row(_truncated, *a)),
        ),
        Mistake(
            "threshold_first",
            "you made the cells yes or no before you read between them, or took the nearest one alone, "
            "which comes to the same; what a cell says about where the edge is gets lost",
            lambda cells, *a: _on(_in_a_row(_right_place, [c >= 0.5 for c in cells], *a)),
        ),
        Mistake(
            "corners_aligned",
            "you stretched the cells from centre to centre, over M − 1 of them; the box has M cells, from "
            "border to border",
            lambda *a: _on(_in_a_row(_corners_aligned, *a)),
        ),
        Mistake(
            "pixel_without_centre",
            "you asked at the pixel's left border; its centre is at x + ½",
            lambda *a: _on(_in_a_row(_no_centre, *a)),
        ),
        Mistake(
            "cell_without_centre",
            "you put the centre of cell i at i; it is at i + ½, for cells as for pixels",
            lambda *a: _on(_in_a_row(_no_half_cell, *a)),
        ),
    ),
    properties=(
        Property(
            "a pixel is in the mask or it is not: 1 or 0",
            lambda _, mask: bool(np.isin(mask, (0, 1)).all()),
        ),
        Property(
            "a pixel far outside of the box is never in the mask",
            lambda case, mask: (
                not any(
                    on and not 2 * case[1] - case[2] < x + 0.5 < 2 * case[2] - case[1]
                    for x, on in enumerate(mask)
                )
            ),
        ),
    ),
    why="Down the columns it is the same once more, and the two weightings together are the whole of "
    "`paste`.",
    hints=(
        "Which part of the way from x1 to x2 is the centre of pixel x? And how many cells is that?",
        "That many cells from the left border is the cell coordinate + ½, because the centre of cell 0 is "
        "half a cell from the border.",
        "With u = (x + 0.5 − x1) / (x2 − x1) · M − 0.5, the cells to read are floor(u) and floor(u) + 1; "
        "cells that are not there count as 0.",
    ),
    solution="""
def paste_row(cells, x1, x2, width):
    padded = [0, *cells, 0]
    mask = []
    for x in range(width):
        u = (x + 0.5 - x1) / (x2 - x1) * len(cells) - 0.5
        left = math.floor(u)
        if not -1 <= left < len(cells):
            mask.append(False)
            continue
        t = u - left
        mask.append((1 - t) * padded[left + 1] + t * padded[left + 2] >= 0.5)
    return mask
""",
)


def _expected(probabilities: Sequence[float], cut: float) -> float:
    """The expected IoU of the pixels from `cut` on."""
    inside = sum(p for p in probabilities if p >= cut)
    union = sum(1.0 if p >= cut else p for p in probabilities)
    return inside / union


def _best_cut(probabilities: Sequence[float]) -> float:
    return max(probabilities, key=lambda cut: _expected(probabilities, cut))


def _pixels(rng: np.random.Generator) -> list[tuple]:
    """Lists of hundredths of which one cut is clearly the best, below ½ in every second one."""
    cases: list[tuple] = []
    while len(cases) < 40:
        p = [round(float(each), 2) for each in rng.beta(0.7, 0.9, int(rng.integers(3, 10)))]
        if len(set(p)) < len(p) or not 0 < min(p) <= max(p) < 1:
            continue
        *_, second, first = sorted(_expected(p, cut) for cut in p)
        if first - second > 1e-4 and (_best_cut(p) < 0.5 or len(cases) % 2):
            cases.append((p,))
    return cases


def _that_of_one_half(p: Sequence[float]) -> float:
    return min((each for each in p if each >= 0.5), default=max(p))


def _formula(p: Sequence[float]) -> float:
    best = _expected(p, _best_cut(p))
    return best / (1 + best)


BEST_CUT = Function(
    name="best_cut",
    truth=_best_cut,
    cases=_pixels,
    shown=("probabilities",),
    mistakes=(
        Mistake(
            "one_half",
            "you cut at ½: right for each pixel alone, but not for the mask as a whole",
            _that_of_one_half,
        ),
        Mistake(
            "nothing_missed",
            "you divided by the number of pixels that you took; the union is also what you missed, and "
            "without it the likeliest pixel alone is always best",
            max,
        ),
        Mistake(
            "union_of_all",
            "you divided by the number of all pixels, whatever you took; so it always pays to take more",
            min,
        ),
        Mistake(
            "formula",
            "that is J / (1 + J), the limit; the question is for the smallest probability that is above it",
            _formula,
        ),
    ),
    properties=(
        Property(
            "it is one of the probabilities",
            lambda case, cut: bool(np.isin(np.round(cut, 6), np.round(case[0], 6))),
        ),
    ),
    why="The library sorts the 784 cells of each mask once, and then all sums are running sums.",
    hints=(
        "Try each of the probabilities as the threshold, and keep the one with the largest J.",
        "For a threshold t: the intersection is the sum of all p ≥ t; the union has 1 for each of those, "
        "and p for each of the others.",
    ),
    solution="""
def best_cut(probabilities):
    def expected(cut):
        intersection = sum(p for p in probabilities if p >= cut)
        union = sum(1 if p >= cut else p for p in probabilities)
        return intersection / union

    return max(probabilities, key=expected)
""",
)

EXERCISES = (FOUND_EDGE, PASTE_ROW, BEST_CUT)
