"""Lesson 14: one wrong detection, traced back to the step that is to blame."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minirnn.lessons.exercise import Choice, Function, Mistake, Property

#: What a gate asks of its number: IoU of an anchor, of a moved one, of one before and after the first
#: suppression; then the own class's score before and after the last one.
LEAST = (0.3, 0.5, 0.5, 0.5, 0.05, 0.05)


def _blame(best: np.ndarray) -> int:
    for gate, (value, least) in enumerate(zip(best, LEAST, strict=True)):
        if value < least:
            return gate
    return len(LEAST)


def _fates(rng: np.random.Generator) -> list[tuple]:
    """Objects that got as far as any gate, some of them over a later one that looks worse."""
    cases = []
    for lost in list(range(len(LEAST) + 1)) * 6:
        best = np.array([rng.uniform(least, 1) for least in LEAST])
        best[4:] = np.round(rng.uniform(0.1, 0.99, 2), 2)
        best[5] = min(best[4:])
        if lost < len(LEAST):
            best[lost] = LEAST[lost] * rng.uniform(0.1, 0.9)
            best[lost + 1 :] *= rng.choice([0.0, 1.0], len(LEAST) - lost - 1)
        cases.append((np.round(best, 3),))
    cases.append((np.array(LEAST),))
    return cases


def _last(best: np.ndarray) -> int:
    failed = [gate for gate, least in enumerate(LEAST) if best[gate] < least]
    return failed[-1] if failed else len(LEAST)


def _worst(best: np.ndarray) -> int:
    if _blame(best) == len(LEAST):
        return len(LEAST)
    return int(np.argmin(np.asarray(best)))


def _with(least: tuple[float, ...]) -> Callable[[np.ndarray], int]:
    def answer(best: np.ndarray) -> int:
        for gate, (value, limit) in enumerate(zip(best, least, strict=True)):
            if value < limit:
                return gate
        return len(least)

    return answer


def _strict(best: np.ndarray) -> int:
    for gate, (value, least) in enumerate(zip(best, LEAST, strict=True)):
        if value <= least:
            return gate
    return len(LEAST)


BLAME = Function(
    name="blame",
    truth=_blame,
    cases=_fates,
    shown=("best",),
    mistakes=(
        Mistake(
            "last",
            "you blame the last gate that failed; what never arrived at a gate cannot pass it",
            _last,
        ),
        Mistake(
            "worst",
            "you blame the gate with the smallest number; the numbers are of different kinds, and "
            "after the first failure they mean nothing",
            _worst,
        ),
        Mistake(
            "one_threshold",
            "you ask all gates for a half; an anchor need only be near, and a score only be above 0.05",
            _with((0.5,) * 6),
        ),
        Mistake(
            "classifier_first",
            "you blame the classifier before the proposals: it judges only what is proposed to it",
            lambda best: 4 if best[4] < LEAST[4] else _blame(best),
        ),
        Mistake(
            "strict",
            "you lose what is exactly at a threshold: at the least that is asked, a gate is passed",
            _strict,
        ),
    ),
    properties=(
        Property(
            "the gates are numbered 0 to 5, and 6 is found", lambda _, gate: bool(0 <= gate <= 6)
        ),
    ),
    why="A network is a chain: the first gate that nothing passes is where the object was lost, and "
    "what comes after it never saw the object.",
    hints=(
        "Go through the gates in their order, and stop at the first that fails.",
        "`for gate, (value, least) in enumerate(zip(best, LEAST)):` and a `return` inside.",
        "What has passed all of them was found: 6.",
    ),
    solution="""
def blame(best):
    least = (0.3, 0.5, 0.5, 0.5, 0.05, 0.05)
    for gate, (value, limit) in enumerate(zip(best, least)):
        if value < limit:
            return gate
    return 6
""",
)

CULPRIT = Choice(
    name="culprit",
    truth="suppression",
    mistakes={
        "anchor": "the best anchor overlaps the square by more than 0.3, so that it may be moved there",
        "objectness": "the RPN is almost sure that something is there, as the third bar shows",
        "proposal": "a proposal with an IoU of more than a half came through the first suppression",
        "class": "the box head does give such a region 'square', and enough to be a candidate",
        "threshold": "the candidate's score is well above 0.05",
        "mask": "the mask head only draws inside of boxes that were kept; it never saw this one",
    },
    why="Its box was there and had the right name; a surer box of the same class, which covers both "
    "shapes, suppressed it. No training of the classifier's names would have helped, a better box would.",
    hints=("Which bar is the first orange one?", "Read the sentence of `fate` once more."),
    solution="The gates before the last are passed; a neighbour of the same class with a higher score "
    "overlaps it by more than 0.5: `suppression`.",
)

LARGEST_LOSS = Choice(
    name="largest_loss",
    truth="roipool",
    mistakes={
        "softmax": "that costs 5.5 (table 2b: 30.3 with a sigmoid for each class, 24.8 with a softmax)",
        "mlp": "that costs 2.1 (table 2e: 33.6 with convolutions, 31.5 with fully connected layers)",
        "class-agnostic": "that costs 0.6 only (section 4.2: 29.7 in place of 30.3): the class is the "
        "box head's business",
        "max": "that costs 0.1 only (table 2c: 30.2 with the maximum, 30.3 with the mean)",
    },
    why="At a stride of 32 RoIPool costs 7.3 points of mask AP (table 2d: 23.6 in place of 30.9): a cell "
    "is as large as a small object, and rounding to it loses the place.",
    hints=(
        "Which of them moves things, and which only weighs them otherwise?",
        "How large is a cell at stride 32, and how large an object?",
    ),
    solution="RoIPool at stride 32, `roipool`: 7.3 points, more than any other row of the paper's table 2.",
)

EXERCISES = (BLAME, CULPRIT, LARGEST_LOSS)
