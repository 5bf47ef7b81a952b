"""Lesson 05: matching."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minirnn.draw.palette import TRUTH, YOURS
from minirnn.draw.picture import Picture
from minirnn.lessons.exercise import Function, Mistake, Property
from minirnn.matching import BACKGROUND, IGNORE, match

LOW, HIGH = 0.3, 0.7


def _match(quality: np.ndarray, low: float, high: float) -> np.ndarray:
    return match(np.asarray(quality), low, high, force=True)


def _match_cases(rng: np.random.Generator) -> list[tuple]:
    """IoUs in tenths, so that ties and exact thresholds are frequent; some objects that nothing touches."""
    cases = [
        np.array([[0.5]]),  # forced
        np.array([[0.2, 0.0]]),  # forced below `low`
        np.array([[0.3, 0.7, 0.2]]),  # both thresholds exactly
        np.array([[0.5, 0.5, 0.1]]),  # tied
        np.array([[0.0, 0.0], [0.9, 0.1]]),  # an object that nothing touches
        np.array([[0.8, 0.1], [0.6, 0.5]]),  # the forced anchor belongs to another object
        np.array([[0.4, 0.2], [0.6, 0.0]]),
        np.array([[0.7, 0.7]]).T,  # tied objects
    ]
    while len(cases) < 40:
        quality = rng.integers(0, 10, rng.integers(1, (4, 7))) / 10
        quality[rng.random(quality.shape) < 0.3] = 0
        if rng.random() < 0.2:
            quality[rng.integers(len(quality))] = 0
        cases.append(quality)
    return [(quality, LOW, HIGH) for quality in cases]


def _decide(
    positive: Callable | None = None,
    forced: Callable | None = None,
    between: int = IGNORE,
    owner: Callable | None = None,
) -> Callable:
    """`match` with one of its decisions taken in another way."""

    def answer(quality: np.ndarray, low: float, high: float) -> np.ndarray:
        best = quality.max(axis=0)
        good = best >= high if positive is None else positive(best, high)
        rows = quality.max(axis=1)[:, None]
        pushed = (quality == rows) & (rows > 0) if forced is None else forced(quality, rows)
        result = np.where(best < low, BACKGROUND, between)
        result = np.where(good | pushed.any(axis=0), quality.argmax(axis=0), result)
        return result if owner is None else owner(result, pushed)

    return answer


def _owner_is_who_forced(result: np.ndarray, forced: np.ndarray) -> np.ndarray:
    return np.where(forced.any(axis=0), forced.argmax(axis=0), result)


def _first_only(quality: np.ndarray, rows: np.ndarray) -> np.ndarray:
    first = np.zeros(quality.shape, bool)
    first[np.arange(len(quality)), quality.argmax(axis=1)] = True
    return first & (rows > 0)


def _word(value: float) -> str:
    return {-1.0: "back-\nground", -2.0: "ignore"}.get(float(value), f"object\n{value:g}")


def _match_sketch(arguments: tuple, yours: np.ndarray, true: np.ndarray) -> Picture:
    """The table of overlaps, and below it what each anchor got."""
    quality = np.asarray(arguments[0])
    n, columns = quality.shape
    picture = Picture(figsize=(max(0.72 * columns + 1.6, 3.4), 0.5 * n + 2.1), layout="constrained")
    axes = picture.subplots()
    axes.imshow(quality, cmap="Greys", vmin=0, vmax=1.8)
    for (g, a), value in np.ndenumerate(quality):
        axes.text(a, g, f"{value:g}", ha="center", va="center", fontsize=9)
    for below, values, colour in ((n, true, TRUTH), (n + 1, yours, YOURS)):
        for a, value in enumerate(values):
            axes.text(a, below, _word(value), ha="center", va="center", fontsize=8, color=colour)
    axes.set(xlim=(-0.5, columns - 0.5), ylim=(n + 1.5, -0.5), xlabel="anchor")
    axes.set_xticks(range(columns))
    objects = [f"object {g}" for g in range(n)]
    axes.set_yticks(range(n + 2), labels=[*objects, "the true one", "yours"])
    axes.set_title(f"IoU; low {arguments[1]:g}, high {arguments[2]:g}", fontsize=10)
    return picture


MATCH = Function(
    name="match_anchors",
    truth=_match,
    cases=_match_cases,
    shown=("quality", "low", "high"),
    sketch=_match_sketch,
    mistakes=(
        Mistake(
            "not_forced",
            "you left objects without any anchor: their best overlap is below `high`, and nothing "
            "makes its anchor positive",
            _decide(forced=lambda quality, rows: np.zeros(quality.shape, bool)),
        ),
        Mistake(
            "nothing_forces_all",
            "you let an object that no anchor touches make every anchor positive: all of them equal "
            "its best overlap, which is 0",
            _decide(forced=lambda quality, rows: quality == rows),
        ),
        Mistake(
            "first_of_tied",
            "you forced one anchor only where several overlap an object equally well",
            _decide(forced=_first_only),
        ),
        Mistake(
            "owner_is_who_forced",
            "you gave a forced anchor the object that forced it, though it overlaps another one more",
            _decide(owner=_owner_is_who_forced),
        ),
        Mistake(
            "between_is_background",
            "you made background of the anchors between the two thresholds",
            _decide(between=BACKGROUND),
        ),
        Mistake(
            "high_exclusive",
            "you asked for more than `high`; an IoU of exactly `high` is a positive, too",
            _decide(positive=lambda best, high: best > high),
        ),
        Mistake(
            "low_decides",
            "you took every anchor that is not background for a positive",
            lambda quality, low, high: _decide()(quality, low, low),
        ),
    ),
    properties=(
        Property(
            "each anchor gets −1, −2 or the index of an object",
            lambda arguments, got: bool(
                ((got >= IGNORE) & (got < len(arguments[0])) & (got % 1 == 0)).all()
            ),
        ),
        Property(
            "an anchor that touches nothing should be background",
            lambda arguments, got: bool((got[arguments[0].max(axis=0) == 0] == BACKGROUND).all()),
        ),
    ),
    why="Each anchor takes its own best object. The thresholds decide whether it may keep it, and an "
    "object's best anchors keep theirs in any case.",
    hints=(
        "`quality.max(axis=0)` is the best overlap of each anchor, `quality.max(axis=1)` that of each "
        "object.",
        "An anchor is forced where `quality` equals the best of its row, and that best is above 0.",
        "Begin with −1 below `low` and −2 elsewhere. Then put `quality.argmax(axis=0)` where an "
        "anchor is good enough, or forced by any object.",
    ),
    solution="""
def match_anchors(quality, low, high):
    best = quality.max(axis=0)
    best_of_object = quality.max(axis=1, keepdims=True)
    forced = ((quality == best_of_object) & (best_of_object > 0)).any(axis=0)
    result = np.where(best < low, -1, -2)
    return np.where((best >= high) | forced, quality.argmax(axis=0), result)
""",
)

EXERCISES = (MATCH,)
