"""Lesson 08: RoIPool, RoIWarp and RoIAlign."""

from __future__ import annotations

import math

import numpy as np

from minirnn.draw.picture import Picture
from minirnn.lessons.exercise import Function, Mistake, Number, Property
from minirnn.lessons.sketch import boxes_sketch
from minirnn.ops.roi_align import roi_align
from minirnn.ops.roi_pool import quantised
from minirnn.textbook.roi_pool import round_half_away


def _cells_read(box: np.ndarray, stride: int) -> np.ndarray:
    first, size = quantised(np.asarray(box)[None], 1 / stride)
    return np.concatenate([first, first + size - 1], axis=1)[0]


def _boxes_and_strides(rng: np.random.Generator) -> list[tuple]:
    """Sides of at least one cell, and halves among the edges, which Python's `round` takes to even."""
    cases = []
    for stride in (4, 8, 16, 32):
        corners = rng.integers(0, 40, (8, 2)) * stride / 2
        boxes = np.concatenate([corners, corners + rng.integers(2, 20, (8, 2)) * stride / 2], 1)
        for box in boxes:
            cases.append((np.round(box + rng.choice([0, 0, 0.3, 5.1], 4), 1), stride))
    return cases


def _cells_sketch(arguments: tuple, yours: np.ndarray, true: np.ndarray) -> Picture:
    box, stride = arguments
    as_pixels = [np.append(cells[:2], cells[2:] + 1) * stride for cells in (yours, true)]
    return boxes_sketch(
        box, yours=as_pixels[0], true=as_pixels[1], labels=["the box"], title=f"stride {stride}"
    )


CELLS_READ = Function(
    name="cells_read",
    truth=_cells_read,
    cases=_boxes_and_strides,
    shown=("box", "stride"),
    size=lambda arguments: arguments[1] * 1000 + float(arguments[0].max()),
    sketch=_cells_sketch,
    mistakes=(
        Mistake(
            "python_round",
            "you used Python's `round`, which takes 2.5 to 2: halves go to the even number",
            lambda box, stride: [round(edge / stride) for edge in box],
        ),
        Mistake(
            "floor",
            "you cut the fraction off (floor) where the edge should be rounded",
            lambda box, stride: [math.floor(edge / stride) for edge in box],
        ),
        Mistake(
            "floor_ceil",
            "you took every cell that the box touches (floor and ceil); RoIPool rounds both edges",
            lambda box, stride: [
                *(math.floor(edge / stride) for edge in box[:2]),
                *(math.ceil(edge / stride) for edge in box[2:]),
            ],
        ),
        Mistake(
            "last_exclusive",
            "you left out the last cell: the cell at the rounded right edge is read, too",
            lambda box, stride: [
                *(round_half_away(edge / stride) for edge in box[:2]),
                *(round_half_away(edge / stride) - 1 for edge in box[2:]),
            ],
        ),
        Mistake(
            "fractions",
            "you divided and did not round: cells are whole",
            lambda box, stride: [edge / stride for edge in box],
        ),
    ),
    properties=(
        Property(
            "cells are counted in whole numbers", lambda _, cells: bool((cells % 1 == 0).all())
        ),
        Property(
            "the last cell is not before the first",
            lambda _, cells: bool((cells[2:] >= cells[:2]).all()),
        ),
    ),
    why="Both edges are rounded to the nearest cell, and the last one is read as well: a region is "
    "half a cell larger at each side, on average, than its box.",
    hints=(
        "How many cells from the map's left border is the edge? Divide by the stride.",
        "For numbers that are not negative, `math.floor(v + 0.5)` rounds halves up.",
        "All four edges are treated alike. There is no −1.",
    ),
    solution="""
def cells_read(box, stride):
    return [math.floor(edge / stride + 0.5) for edge in box]
""",
)


def _weights(x: float, y: float) -> np.ndarray:
    """The gradient of a single sample of RoIAlign is the weight of each cell."""
    size = 6
    _, (vjp, _, _) = roi_align.raw(
        np.zeros((1, 1, size, size)),
        np.array([[x - 0.5, y - 0.5, x + 0.5, y + 0.5]]),
        np.zeros(1, int),
        output_size=1,
        spatial_scale=1.0,
        sampling_ratio=1,
        aligned=True,
    )
    column, row = math.floor(x - 0.5), math.floor(y - 0.5)
    return vjp(np.ones((1, 1, 1, 1)))[0, 0, row : row + 2, column : column + 2].ravel()


def _by_hand(across: float, down: float) -> list[float]:
    return [
        (1 - down) * (1 - across),
        (1 - down) * across,
        down * (1 - across),
        down * across,
    ]


BILINEAR_WEIGHTS = Function(
    name="bilinear_weights",
    truth=_weights,
    cases=lambda rng: [
        (float(x), float(y)) for x, y in np.round(rng.uniform(0.55, 5.45, (32, 2)), 2) + 0.001
    ],
    shown=("x", "y"),
    mistakes=(
        Mistake("centres_at_i",
                "you put the centre of cell i at i; it is at i + ½",
                lambda x, y: _by_hand(x % 1, y % 1)),
        Mistake("axes_swapped",
                "you exchanged x and y, or went down the columns: x goes along a row, from left to right",
                lambda x, y: _by_hand((y - 0.5) % 1, (x - 0.5) % 1)),
        Mistake("far_is_heavy",
                "you gave the far cell the large weight; the nearer a centre, the more it counts",
                lambda x, y: _by_hand((x - 0.5) % 1, (y - 0.5) % 1)[::-1]),
        Mistake("nearest",
                "you took the nearest cell alone",
                lambda x, y: [float(w == max(_by_hand((x - 0.5) % 1, (y - 0.5) % 1)))
                              for w in _by_hand((x - 0.5) % 1, (y - 0.5) % 1)]),
    ),
    properties=(
        Property("the four weights add up to 1", lambda _, w: abs(w.sum() - 1) < 1e-6),
        Property("no weight is negative", lambda _, w: bool((w >= 0).all())),
    ),
    why="Each weight is the area of the rectangle between the point and the opposite centre, so the "
    "four of them fill a square of one cell.",
    hints=(
        "Where is the point, seen from the centre at its upper left? Both distances are below 1.",
        "That centre is at floor(x − ½) + ½, so the distance to the right is (x − ½) − floor(x − ½).",
        "With `across` and `down` for the two distances, the upper right cell gets "
        "(1 − down) · across.",
    ),
    solution="""
def bilinear_weights(x, y):
    across, down = (x - 0.5) % 1, (y - 0.5) % 1
    return [(1 - down) * (1 - across), (1 - down) * across, down * (1 - across), down * across]
""",
)  # fmt: skip


def _legacy_shift(stride: float) -> float:
    columns = np.arange(64.0)[None, None, None] + 0.5  # the value is the place, in cells
    box = np.array([[10.0, 0.0, 30.0, 1.0]]) * stride
    kind = {"output_size": 1, "spatial_scale": 1 / stride}
    legacy, aligned = (
        roi_align(columns, box, np.zeros(1, int), aligned=aligned, **kind)
        for aligned in (False, True)
    )
    return float((legacy - aligned).item()) * stride


LEGACY_SHIFT = Number(
    name="legacy_shift",
    truth=_legacy_shift(32),
    unit="pixels",
    mistakes={
        0.5: "that is in cells; the question asks for pixels of the image",
        32.0: "that is a whole cell; the two centres differ by half of one",
        -16.0: "the sign: the legacy way reads to the lower right of the box",
        8.0: "that is half of it: both ends of the box move by the same half cell",
        1 / 64: "you divided by the stride; a cell of stride 32 is 32 pixels wide",
    },
    why="Half a cell of 32 pixels. A pyramid's finest map, of stride 4, is off by 2 pixels only, "
    "which is one reason why the mistake lived so long.",
    hints=("How far apart are i and i + ½, in cells?", "How many pixels has a cell of stride 32?"),
    solution="The centres differ by half a cell, and a cell has 32 pixels: 32 / 2 = 16.",
)


def _drift(stride: float) -> float:
    corner = np.random.default_rng(2).uniform(0, 1000, (50_000, 2))
    first, size = quantised(np.concatenate([corner, corner + 100], axis=1), 1 / stride)
    return float(((first + size / 2) * stride - (corner + 50)).mean())


DRIFT = Number(
    name="drift",
    truth=_drift(16),
    tolerance=0.3,
    unit="pixels",
    mistakes={
        0.0: "that would be so if rounding were all; the last cell is read on top",
        16.0: "the region grows by a whole cell, but its centre moves by less",
        0.5: "that is in cells; the question asks for pixels of the image",
        -8.0: "the sign: the cell that comes on top is at the right",
    },
    why="Rounding errors cancel on average, but the last cell is added at one side only, which moves "
    "the centre by half a cell. The mask head then learns masks that are off by that much.",
    hints=(
        "Rounded edges are as often too far left as too far right: their mean error is 0.",
        "If one end of a stretch moves by a cell, by how much does its middle move?",
    ),
    solution="One end moves by a whole cell, 16 pixels, so the centre moves by 8.",
)

EXERCISES = (CELLS_READ, BILINEAR_WEIGHTS, LEGACY_SHIFT, DRIFT)
