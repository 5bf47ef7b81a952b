"""Lesson 10: run lengths, and the text that COCO packs them into."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minirnn.lessons.exercise import Function, Mistake, Number, Property
from minirnn.masks.rle import run_lengths, unpack


def _masks(rng: np.random.Generator) -> list[tuple]:
    """Small masks of every density, and those where something can be forgotten."""
    cases = [
        (np.array([[0]]),),
        (np.array([[1]]),),
        (np.array([[0, 1]]),),
        (np.array([[1], [0]]),),
        (np.zeros((2, 3), int),),
        (np.ones((3, 2), int),),
        (np.array([[0, 0, 0], [0, 1, 1]]),),
    ]
    for share in (0.15, 0.3, 0.5, 0.7, 0.85):
        for _ in range(5):
            height, width = rng.integers(2, 6, 2)
            cases.append(((rng.random((height, width)) < share).astype(int),))
    return cases


def _runs(pixels: Sequence[int], first: int = 0) -> list[int]:
    counts, current, run = [], first, 0
    for pixel in pixels:
        if pixel != current:
            counts.append(run)
            current, run = pixel, 0
        run += 1
    return [*counts, run]


def _down(mask: np.ndarray) -> list[int]:
    return np.asarray(mask).T.ravel().tolist()


RUN_LENGTHS = Function(
    name="run_lengths",
    truth=lambda mask: run_lengths(mask.astype(bool)),
    cases=_masks,
    shown=("mask",),
    mistakes=(
        Mistake(
            "row_by_row",
            "you went along the rows; COCO goes down the columns",
            lambda mask: _runs(np.asarray(mask).ravel().tolist()),
        ),
        Mistake(
            "begins_with_ones",
            "you began with the pixels that are on; the first count is of those that are off",
            lambda mask: _runs(_down(mask), first=1),
        ),
        Mistake(
            "no_leading_zero",
            "you left out the first count where it is 0; without it nobody knows which runs are on",
            lambda mask: _runs(_down(mask), first=_down(mask)[0]),
        ),
        Mistake(
            "last_run_lost",
            "you lost the last run, which no change of value ends",
            lambda mask: _runs(_down(mask))[:-1],
        ),
        Mistake(
            "columns_apart",
            "you began anew in every column; a run goes on at the top of the next one",
            lambda mask: [
                count for column in np.asarray(mask).T.tolist() for count in _runs(column)
            ],
        ),
        Mistake(
            "places",
            "you gave where the runs end, not how long they are",
            lambda mask: np.cumsum(_runs(_down(mask))).tolist(),
        ),
        Mistake(
            "only_on",
            "you counted the runs that are on and left out those between them",
            lambda mask: _runs(_down(mask))[1::2],
        ),
    ),
    properties=(
        Property(
            "the counts add up to the number of pixels",
            lambda case, counts: bool(counts.sum() == case[0].size),
        ),
        Property(
            "every second count, from the second on, adds up to the pixels that are on",
            lambda case, counts: bool(counts[1::2].sum() == case[0].sum()),
        ),
        Property(
            "only the first run may be of length 0", lambda _, counts: bool((counts[1:] > 0).all())
        ),
    ),
    why="Whoever reads them paints a run, changes the colour and goes on; nothing else is needed but the "
    "height and the width.",
    hints=(
        "First put the pixels in one line. `mask.T.ravel()` goes down the columns.",
        "Walk along it with the colour of the present run, at first off (0), and its length, at first 0.",
        "When the colour changes, write the length down and begin with 0 again. What is left to do when "
        "the line ends?",
    ),
    solution="""
def run_lengths(mask):
    counts, current, run = [], 0, 0
    for pixel in mask.T.ravel():
        if pixel != current:
            counts.append(run)
            current, run = pixel, 0
        run += 1
    counts.append(run)
    return counts
""",
)

FIRST_COUNT = Number(
    name="first_count",
    truth=float(unpack("ch8")[0]),
    unit="pixels",
    mistakes={
        20232.0: "you put the first group at the high end; the groups come from the low end",
        10035.0: "you kept the 32 in the first two numbers; it only says that another group follows",
        51
        + 56 * 64
        + 8 * 4096: "you counted with six bits a group; the sixth is no part of the number",
        19.0: "that is the first group alone; its sixth bit is on, so others follow",
        99 + 104 * 32 + 56 * 1024: "you did not take 48 from the characters' codes",
        51.0: "you added nothing and masked nothing: that is the first character's code less 48",
        19 + 24 + 8: "you added the groups; each is worth 32 times the one before it",
    },
    why="8979 = 70 · 128 + 19, so the square begins in column 70, at row 19.",
    hints=(
        "The codes less 48 are 51, 56 and 8. Which of them are 32 or more?",
        "Without the 32, the three groups are 19, 24 and 8.",
        "The first is worth 1, the second 32, the third 32 · 32.",
    ),
    solution="Codes less 48: 51, 56, 8. The first two are 32 or more, so that others follow, and hold 19 "
    "and 24; the third holds 8 and is the last. 19 + 24 · 32 + 8 · 1024 = 8979.",
)

EXERCISES = (RUN_LENGTHS, FIRST_COUNT)
