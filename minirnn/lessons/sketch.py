"""A case of an exercise drawn: what was asked, the reader's answer, and the true one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from minirnn.draw.palette import TRUTH, YOURS
from minirnn.draw.picture import Picture

CORNERS = ((0, 0), (1, 1), (1, 0), (0, 1))  # of a box: right or left, lower or upper
MOST_NUMBERS = 144  # in one table; more cells than that show colours only


def side_by_side(arguments: tuple, yours: np.ndarray, true: np.ndarray) -> Picture:
    """Your numbers and the true ones as two tables, cells that differ outlined."""
    del arguments
    yours, true = np.atleast_2d(_flat(yours)), np.atleast_2d(_flat(true))
    rows, columns = true.shape
    stacked = columns > 2 * rows
    width, height = max(0.62 * columns, 1.6), max(0.42 * rows, 0.5)
    size = (width + 0.4, 2 * height + 1.1) if stacked else (2 * width + 0.8, height + 0.8)
    picture = Picture(figsize=(max(size[0], 3.2), size[1]), layout="constrained")
    axes = picture.subplots(*((2, 1) if stacked else (1, 2)))
    with np.errstate(invalid="ignore"):
        differ = ~(np.isclose(yours, true) | (np.isnan(yours) & np.isnan(true)))
    finite = np.concatenate([yours[np.isfinite(yours)], true[np.isfinite(true)], [0.0]])
    limits = {"vmin": finite.min(), "vmax": max(finite.max(), finite.min() + 1e-9)}
    for where, values, title, colour in zip(
        axes, (yours, true), ("yours", "the true one"), (YOURS, TRUTH), strict=True
    ):
        where.imshow(values, cmap="Greys", alpha=0.45, **limits)
        where.set_title(title, color=colour)
        where.set_xticks([])
        where.set_yticks([])
        if values.size <= MOST_NUMBERS:
            for (i, j), value in np.ndenumerate(values):
                where.text(j, i, f"{value:.4g}", ha="center", va="center", fontsize=8)
        for i, j in np.argwhere(differ)[:MOST_NUMBERS]:
            where.add_patch(_frame(j, i, colour))
    return picture


def boxes_sketch(
    boxes: Any,
    *,
    yours: Any = (),
    true: Any = (),
    labels: Sequence[str] = (),
    title: str = "",
) -> Picture:
    """Boxes in pixels: the given ones in grey, yours and the true ones in their colours.

    Args:
        boxes: (N, 4) x1, y1, x2, y2 of the case.
        yours: (M, 4), what the answer gives.
        true: (K, 4), what it should give.
        labels: a word at each of `boxes`.
        title: above the picture.
    """
    groups = [np.asarray(group, dtype=float).reshape(-1, 4) for group in (boxes, true, yours)]
    everything = np.concatenate(groups)
    everything = everything[np.isfinite(everything).all(axis=1)]
    picture = Picture(figsize=(4.2, 3.8), layout="constrained")
    axes = picture.subplots()
    for group, colour, style, width, name in zip(
        groups, ("0.45", TRUTH, YOURS), ("-", "-", "--"), (1.5, 3, 2),
        ("given", "the true one", "yours"), strict=True,
    ):  # fmt: skip
        for number, box in enumerate(group):
            add_box(axes, box, color=colour, linestyle=style, linewidth=width,
                    label=name if number == 0 else None)  # fmt: skip
    for number, (box, label) in enumerate(zip(groups[0], labels, strict=False)):
        # Each at another corner of its box: two boxes often begin at the same place.
        x, y = CORNERS[number % len(CORNERS)]
        axes.annotate(
            label, (box[2 * x], box[2 * y + 1]), xytext=(3 - 6 * x, 6 * y - 3),
            textcoords="offset points", ha=("left", "right")[x], va=("top", "bottom")[y],
            bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 1},
        )  # fmt: skip
    if len(everything):
        low, high = everything[:, :2].min(0), everything[:, 2:].max(0)
        margin = 0.08 * max(float((high - low).max()), 1.0)
        axes.set_xlim(low[0] - margin, high[0] + margin)
        axes.set_ylim(high[1] + margin, low[1] - margin)
        picture.legend(loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    axes.set_aspect("equal")
    axes.set_xlabel("x, pixels")
    axes.set_ylabel("y, pixels")
    axes.set_title(title)
    return picture


def add_box(axes: Axes, box: np.ndarray, **style: Any) -> None:
    """The outline of x1, y1, x2, y2."""
    x1, y1, x2, y2 = box
    axes.plot([x1, x2, x2, x1, x1], [y1, y1, y2, y2, y1], **style)


def _frame(x: float, y: float, colour: str) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, edgecolor=colour, linewidth=2)


def _flat(values: np.ndarray) -> np.ndarray:
    """At most two axes: further ones at the front are put into rows."""
    return values.reshape(-1, values.shape[-1]) if values.ndim > 2 else values
