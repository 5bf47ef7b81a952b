"""What the notebooks need besides the library: pictures, source text, and answers that are checked.

A checker takes the reader's answer and compares it with the library's. While the answer is `...` it
only says so, so that a notebook runs from top to bottom before anybody has solved anything.
"""

from __future__ import annotations

import inspect
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from minirnn.ops.roi_align import roi_align
from minirnn.ops.roi_pool import quantised


@dataclass(frozen=True)
class Picture:
    """A figure as a notebook shows it: a small PNG that is the same on every run."""

    figure: Figure
    dpi: int = 90

    def _repr_png_(self) -> bytes:
        memory = io.BytesIO()
        # matplotlib would write its version into the file, which is then new with each release.
        self.figure.savefig(memory, format="png", dpi=self.dpi, metadata={"Software": None})
        return memory.getvalue()

    def __repr__(self) -> str:
        return "<picture>"


@dataclass(frozen=True)
class Source:
    """Functions of the library as a notebook shows them: their source text, in colours."""

    functions: tuple[Callable, ...]

    def _repr_markdown_(self) -> str:
        text = "\n\n".join(inspect.getsource(function) for function in self.functions)
        return f"```python\n{text}```"

    def __repr__(self) -> str:
        names = ", ".join(f"{f.__module__}.{f.__name__}" for f in self.functions)
        return f"<source of {names}>"


def source(*functions: Callable) -> Source:
    """The source text of functions, to be shown as the last value of a cell."""
    return Source(functions)


@dataclass(frozen=True)
class Verdict:
    """What a checker says about an answer.

    Attributes:
        right: True or False; None where there is no answer yet.
        message: one sentence for the reader. It never holds the solution.
    """

    right: bool | None
    message: str

    def __repr__(self) -> str:
        return self.message


NOT_YET = Verdict(None, "Not answered yet: replace the `...` and run the cell again.")
RIGHT = Verdict(True, "Right.")


def check_cells_read(answer: Callable) -> Verdict:
    """Exercise: `cells_read(box, stride)` gives RoIPool's first and last cells.

    Args:
        answer: takes (x1, y1, x2, y2) in pixels and the stride, and returns whole numbers (first
            column, first line, last column, last line) on the feature map.
    """
    rng = np.random.default_rng(0)
    # Sides of at least one cell, and halves among them, which `round` of Python takes to even.
    for stride in (4, 8, 16, 32):
        corners = rng.integers(0, 40, (8, 2)) * stride / 2
        for box in np.concatenate([corners, corners + rng.integers(2, 20, (8, 2)) * stride / 2], 1):
            box = np.round(box + rng.choice([0, 0, 0.3, 5.1], 4), 1)
            first, size = quantised(box[None], 1 / stride)
            expected = np.concatenate([first, first + size - 1], axis=1)[0]
            verdict = _compare(answer, (tuple(box.tolist()), stride), expected, 0)
            if verdict is not RIGHT:
                return verdict
    return RIGHT


def check_bilinear_weights(answer: Callable) -> Verdict:
    """Exercise: `bilinear_weights(x, y)` gives the weights of the four cells around a point.

    Args:
        answer: takes a point on the feature map (cell i covers [i, i + 1)) at least half a cell
            from its border, and returns the weights of the upper left, upper right, lower left and
            lower right one of the four cells with the nearest centres.
    """
    rng = np.random.default_rng(1)
    size = 6
    for x, y in np.round(rng.uniform(0.55, size - 0.55, (12, 2)), 2) + 0.001:
        # The gradient of a single sample is the weight of each cell.
        _, (vjp, _, _) = roi_align.raw(
            np.zeros((1, 1, size, size)),
            np.array([[x - 0.5, y - 0.5, x + 0.5, y + 0.5]]),
            np.zeros(1, int),
            output_size=1,
            spatial_scale=1.0,
            sampling_ratio=1,
            aligned=True,
        )
        column, line = int(np.floor(x - 0.5)), int(np.floor(y - 0.5))
        weights = vjp(np.ones((1, 1, 1, 1)))[0, 0, line : line + 2, column : column + 2]
        point = (round(float(x), 3), round(float(y), 3))
        verdict = _compare(answer, point, weights.ravel(), 1e-6)
        if verdict is not RIGHT:
            return verdict
    return RIGHT


def check_legacy_shift(answer: Any, stride: float) -> Verdict:
    """Exercise: by how many pixels of the image legacy RoIAlign reads beside the box.

    Args:
        answer: a number of pixels, along one axis.
        stride: pixels per cell.
    """
    columns = np.arange(64.0)[None, None, None] + 0.5  # the value is the place, in cells
    box = np.array([[10.0, 0.0, 30.0, 1.0]]) * stride
    legacy, aligned = (
        roi_align(
            columns, box, np.zeros(1, int), output_size=1, spatial_scale=1 / stride, aligned=aligned
        )
        for aligned in (False, True)
    )
    return _compare_number(answer, float((legacy - aligned).item()) * stride, 1e-6)


def check_drift(answer: Any, stride: float) -> Verdict:
    """Exercise: how far the centre of RoIPool's region lies from the box's centre, on average.

    Args:
        answer: a number of pixels to the right (and down), the mean over all positions of a box.
        stride: pixels per cell.
    """
    corner = np.random.default_rng(2).uniform(0, 1000, (50_000, 2))
    boxes = np.concatenate([corner, corner + 100], axis=1)
    first, size = quantised(boxes, 1 / stride)
    drift = ((first + size / 2) * stride - (corner + 50)).mean()
    return _compare_number(answer, float(drift), 0.02 * stride)


def _compare(answer: Callable, arguments: tuple, expected: np.ndarray, tolerance: float) -> Verdict:
    try:
        given = answer(*arguments)
    except (
        Exception
    ) as error:  # whatever the reader's function does wrong is to be told, not raised
        return Verdict(False, f"Not yet: for {arguments} your function raised {error!r}.")
    if given is None or given is ...:
        return NOT_YET
    try:
        numbers = np.asarray(given, dtype=float)
    except (TypeError, ValueError):
        numbers = np.empty(0)
    if numbers.shape != expected.shape:
        return Verdict(
            False,
            f"Not yet: for {arguments} it should return {len(expected)} numbers, not {given}.",
        )
    if np.abs(numbers - expected).max() <= tolerance:
        return RIGHT
    count = int((np.abs(numbers - expected) > tolerance).sum())
    return Verdict(
        False, f"Not yet: for {arguments} you return {given}; {count} of these are not right."
    )


def _compare_number(answer: Any, expected: float, tolerance: float) -> Verdict:
    if answer is None or answer is ...:
        return NOT_YET
    try:
        number = float(answer)
    except (TypeError, ValueError):
        return Verdict(False, f"Not yet: the answer should be a number, not {answer!r}.")
    if abs(number - expected) <= tolerance:
        return RIGHT
    return Verdict(False, f"Not yet: {answer} is too {'small' if number < expected else 'large'}.")
